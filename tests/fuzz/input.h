// What the fuzzers in C++ share: a fuzzer's bytes as numbers and as samples, good ones and bad ones.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

// Ends the run with the rule that was broken; the fuzzer keeps the input.
#define REQUIRE(condition)                                                          \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::fprintf(stderr, "%s:%d: REQUIRE(%s)\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                 \
    }                                                                               \
  } while (false)

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), end_(data + size) {}

  bool empty() const { return data_ == end_; }

  // 0 behind the end.
  uint8_t Byte() { return empty() ? uint8_t{0} : *data_++; }

  // In [low, high].
  int Int(int low, int high) {
    const uint32_t bits = static_cast<uint32_t>(Byte()) << 16 | static_cast<uint32_t>(Byte()) << 8 | Byte();
    const int64_t span = int64_t{high} - low + 1;
    return static_cast<int>(low + bits % span);
  }

  // Any value now and then, else one in [low, high].
  double Number(double low, double high) {
    const uint8_t kind = Byte();
    if (kind < 16) return Odd(kind);
    return low + (high - low) * Byte() / 255.0;
  }

  // A byte each: sound, loud sound, and one in 16 of what is no sound.
  float Sample() {
    const uint8_t byte = Byte();
    if (byte < 16) return static_cast<float>(Odd(byte));
    return static_cast<float>(byte - 136) / (byte % 16 ? 120.0f : 0.01f);
  }

  std::vector<float> Samples(int count) {
    std::vector<float> samples(static_cast<size_t>(count));
    for (float& sample : samples) sample = Sample();
    return samples;
  }

 private:
  // Within float.
  static double Odd(uint8_t kind) {
    constexpr double kOdd[16] = {0.0,   -0.0, 1e30,  -1e30,  3e38,   -3e38, 1e-40, -1e-45,
                                 1.1e6, 1e6,  -1e-9, 1e-310, 1e-314, 0.0,   0.0,   0.0};
    if (kind == 13) return std::numeric_limits<double>::quiet_NaN();
    if (kind == 14) return std::numeric_limits<double>::infinity();
    if (kind == 15) return -std::numeric_limits<double>::infinity();
    return kOdd[kind];
  }

  const uint8_t* data_;
  const uint8_t* end_;
};

inline bool AllFinite(const std::vector<float>& values) {
  for (float value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

// Bit for bit, but any NaN is as good as another.
inline bool Same(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])))) return false;
  }
  return true;
}
