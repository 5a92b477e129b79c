// Natural logarithm in a form that compilers turn into vector code.
#pragma once

#include <cstdint>
#include <cstring>

namespace edgevc {

// x: positive, normal and finite (the caller's floor sees to that); other values give garbage, never a trap.
// Error against the exact value at most 1.3e-7 * max(1, |ln x|), which tests/cpp/test_features.cc measures.
//
// x = m * 2^e with m in [sqrt(1/2), sqrt(2)); ln(1 + f) is Cephes' logf polynomial (S. Moshier, public domain).
inline float FastLog(float x) noexcept {
  constexpr int32_t kSqrtHalfBits = 0x3f3504f3;
  int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const int32_t exponent = (bits - kSqrtHalfBits) >> 23;
  bits -= static_cast<int32_t>(static_cast<uint32_t>(exponent) << 23);
  float m;
  std::memcpy(&m, &bits, sizeof m);
  const float f = m - 1.0f, e = static_cast<float>(exponent), f2 = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  // ln 2 in two parts, so that e * 0.693359375 is exact
  const float small = f2 * f * p - 2.12194440e-4f * e - 0.5f * f2;
  return (f + small) + 0.693359375f * e;
}

}  // namespace edgevc
