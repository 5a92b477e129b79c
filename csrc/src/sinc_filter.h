// What both resamplers are made of: a windowed sinc, tabulated row by row, and the dot product with it.
#pragma once

#include <cstdint>
#include <vector>

namespace edgevc {

// A sinc under a Kaiser window, half_width input samples to each side, at `phases` offsets between two input samples.
struct SincTable {
  // Throws std::invalid_argument unless both rates are in [4000, 192000].
  SincTable(int from_rate, int to_rate);

  // Fills the table; rows is phases, or phases + 1 where neighbouring rows shall be interpolated.
  void Fill(int n_phases, int n_rows);

  const float* Row(int64_t index) const noexcept { return coefficients.data() + index * taps; }

  // to_rate / from_rate in lowest terms.
  int up, down;
  // Group delay in output samples, and the same in input samples.
  int latency = 0;
  double half_width = 0.0;
  // Coefficients of a row that are not padding, and with it.
  int used = 1, taps = 1;
  int phases = 1;
  // taps per row, for the oldest sample first.
  std::vector<float> coefficients;
};

// Sum of products; length is a multiple of 16.
float Dot(const float* a, const float* b, int length) noexcept;

// A resampler takes any scale, 32-bit integers too: only what a sum of products could carry beyond float32 is bad.
constexpr float kLargestResampled = 1e30f;

inline int64_t CeilDivide(int64_t a, int64_t b) noexcept { return (a + b - 1) / b; }

}  // namespace edgevc
