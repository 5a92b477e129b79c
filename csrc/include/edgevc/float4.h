// Four floats side by side: one register of NEON and of SSE2.
//
// Where a compiler does not see by itself that a loop may run four at a time, the loop is written in these. They are
// the vector types of GCC and Clang, not a processor's: + and * act on each lane, and no sum changes its order.
#pragma once

#include <cstddef>
#include <cstring>

namespace edgevc {

using Float4 = float __attribute__((vector_size(16)));

// from, to: four floats at any address.
inline Float4 Load4(const float* from) noexcept {
  Float4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void Store4(float* to, Float4 value) noexcept { std::memcpy(to, &value, sizeof value); }

inline Float4 All4(float value) noexcept { return Float4{value, value, value, value}; }

// The same registers as bits; AsFloats(AsBits(a)) is a.
using Bits4 = unsigned __attribute__((vector_size(16)));
inline Bits4 AsBits(Float4 a) noexcept { return reinterpret_cast<Bits4>(a); }
inline Float4 AsFloats(Bits4 a) noexcept { return reinterpret_cast<Float4>(a); }

// (a[0] + a[1]) + (a[2] + a[3])
inline float Sum4(Float4 a) noexcept { return (a[0] + a[1]) + (a[2] + a[3]); }

// out[i] = function(in[i]) for i < n, of four at a time; what fills up the last four is 0. in and out may be the same.
template <typename Function>
inline void Map4(int n, const float* in, float* out, const Function& function) noexcept {
  int i = 0;
  for (; i + 4 <= n; i += 4) Store4(out + i, function(Load4(in + i)));
  if (i < n) {
    const auto rest = static_cast<std::size_t>(n - i) * sizeof(float);
    Float4 last = {};
    std::memcpy(&last, in + i, rest);
    last = function(last);
    std::memcpy(out + i, &last, rest);
  }
}

#if defined(__clang__)
#define EDGEVC_SHUFFLE4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
// GCC knows Clang's way from version 12 on.
#define EDGEVC_SHUFFLE4(a, b, i, j, k, l) __builtin_shuffle(a, b, Bits4{i, j, k, l})
#endif

inline Float4 Reverse4(Float4 a) noexcept { return EDGEVC_SHUFFLE4(a, a, 3, 2, 1, 0); }
// Every other value of eight, and eight values of which a gives every other.
inline Float4 Even4(Float4 a, Float4 b) noexcept { return EDGEVC_SHUFFLE4(a, b, 0, 2, 4, 6); }
inline Float4 Odd4(Float4 a, Float4 b) noexcept { return EDGEVC_SHUFFLE4(a, b, 1, 3, 5, 7); }
inline Float4 FirstPairs4(Float4 a, Float4 b) noexcept { return EDGEVC_SHUFFLE4(a, b, 0, 4, 1, 5); }
inline Float4 LastPairs4(Float4 a, Float4 b) noexcept { return EDGEVC_SHUFFLE4(a, b, 2, 6, 3, 7); }

#undef EDGEVC_SHUFFLE4

}  // namespace edgevc
