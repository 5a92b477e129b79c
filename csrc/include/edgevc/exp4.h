// Exponential function, sine and cosine of four floats at once. The polynomials are those of Cephes' expf, sinf and
// cosf (S. Moshier, public domain). tests/cpp/test_features.cc measures the errors that are stated here.
#pragma once

#include <cstring>

#include "edgevc/float4.h"

namespace edgevc {

// Adding and taking away 1.5 * 2^23 rounds a float within +-2^22 to a whole number, whose bits are the lowest ones
// between.
constexpr float kRoundToWhole = 12582912.0f;

// Written with vectors' own comparisons: GCC makes a dozen instructions of a loop over std::min and std::max.
inline Float4 Clamp4(Float4 x, float low, float high) noexcept {
  x = x > low ? x : All4(low);
  return x < high ? x : All4(high);
}

// x: finite; kept within [-87, 88]. Relative error at most 2e-7.
inline Float4 Exp4(Float4 x) noexcept {
  x = Clamp4(x, -87.0f, 88.0f);
  const Float4 shifted = x * 1.44269504089f + kRoundToWhole;
  const Float4 n = shifted - kRoundToWhole;
  // ln 2 in two parts, so that n * 0.693359375 is exact
  const Float4 r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Float4 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  // 2^n: n is in the lowest bits of `shifted`, and all above them leave the register
  return ((p * (r * r) + r) + 1.0f) * AsFloats((AsBits(shifted) + 127u) << 23);
}

// x: finite. Absolute errors at most 2e-7 and 3e-7.
inline Float4 Sigmoid4(Float4 x) noexcept { return 1.0f / (1.0f + Exp4(-x)); }
inline Float4 Tanh4(Float4 x) noexcept { return 2.0f * Sigmoid4(2.0f * x) - 1.0f; }

// x: finite, in radians; kept within +-65536, where the next float is half a degree away. Absolute errors at most 2e-7
// within +-100.
inline void SinCos4(Float4 x, Float4* sine, Float4* cosine) noexcept {
  x = Clamp4(x, -65536.0f, 65536.0f);
  const Float4 shifted = x * 0.636619772368f + kRoundToWhole;
  const Float4 n = shifted - kRoundToWhole;
  // pi / 2 in three parts, the first two short
  const Float4 r = ((x - n * 1.5703125f) - n * 4.837512969970703125e-4f) - n * 7.54978995489188216e-8f, r2 = r * r;
  Float4 s = r2 * -1.9515295891e-4f + 8.3321608736e-3f;
  s = s * r2 - 1.6666654611e-1f;
  s = s * r2 * r + r;
  Float4 c = r2 * 2.443315711809948e-5f - 1.388731625493765e-3f;
  c = c * r2 + 4.166664568298827e-2f;
  c = c * (r2 * r2) - 0.5f * r2 + 1.0f;
  // The quarter turn is in the lowest two bits: 1 and 3 change sine and cosine, 2 and 3 the sine's sign, 1 and 2 the
  // cosine's.
  const Bits4 quarter = AsBits(shifted), odd = 0u - (quarter & 1u);
  const Bits4 s_bits = AsBits(s), c_bits = AsBits(c);
  *sine = AsFloats(((s_bits & ~odd) | (c_bits & odd)) ^ ((quarter & 2u) << 30));
  *cosine = AsFloats(((c_bits & ~odd) | (s_bits & odd)) ^ (((quarter + 1u) & 2u) << 30));
}

}  // namespace edgevc
