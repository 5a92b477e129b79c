#include "sinc_filter.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"
#include "edgevc/resampler.h"

namespace edgevc {

namespace {

// The filter falls from 0.9 to 1.0 of the lower rate's Nyquist frequency; its -6 dB point is in the middle.
constexpr double kCutoff = 0.95;

// Kaiser's formulas: the width of the fall gives (A - 8) / (2.285 * 2 * kHalfWidth) = 0.1 * pi, so A = 76.9 dB, and
// A gives beta = 0.1102 * (A - 8.7).
constexpr double kBeta = 7.5;

// Lanes of the dot product; the compiler maps them to two or four vector registers.
constexpr int kLanes = 16;

// Modified Bessel function of the first kind, order 0, by its power series (Abramowitz and Stegun, 9.6.12).
double BesselI0(double x) {
  const double quarter = 0.25 * x * x;
  double term = 1.0, sum = 1.0;
  for (int k = 1; term > 1e-18 * sum; ++k) {
    term *= quarter / (static_cast<double>(k) * k);
    sum += term;
  }
  return sum;
}

double Sinc(double x) { return std::abs(x) < 1e-12 ? 1.0 : std::sin(kPi * x) / (kPi * x); }

int CheckedRate(int rate, const char* name) {
  if (rate < Resampler::kMinRate || rate > Resampler::kMaxRate) {
    throw std::invalid_argument(std::string(name) + " must be in [4000, 192000] Hz, got " + std::to_string(rate));
  }
  return rate;
}

}  // namespace

SincTable::SincTable(int from_rate, int to_rate) {
  const int divisor = std::gcd(CheckedRate(from_rate, "from_rate"), CheckedRate(to_rate, "to_rate"));
  up = to_rate / divisor;
  down = from_rate / divisor;
  constexpr int kHalfWidth = Resampler::kHalfWidth;
  latency = up > down ? static_cast<int>(CeilDivide(static_cast<int64_t>(kHalfWidth) * up, down)) : kHalfWidth;
  half_width = latency / (static_cast<double>(up) / down);
  // Taps at times in [-half_width, half_width]; 2 * latency * down / up is rounded down exactly.
  used = static_cast<int>(2 * static_cast<int64_t>(latency) * down / up) + 1;
  taps = (used + kLanes - 1) / kLanes * kLanes;
}

void SincTable::Fill(int n_phases, int n_rows) {
  phases = n_phases;
  const double cycles = kCutoff * std::min(1.0, static_cast<double>(up) / down);
  coefficients.assign(Index(n_rows) * Index(taps), 0.0f);
  std::vector<double> row(Index(used));
  for (int p = 0; p < n_rows; ++p) {
    double sum = 0.0;
    for (int j = 0; j < used; ++j) {
      // In input samples.
      const double time = static_cast<double>(p) / phases + j - half_width;
      const double x = time / half_width;
      // Slightly beyond 1 by rounding, the edge of the window still belongs to it.
      const double inside = 1.0 - x * x;
      const double window = inside < -1e-9 ? 0.0 : BesselI0(kBeta * std::sqrt(std::max(inside, 0.0)));
      row[Index(j)] = Sinc(cycles * time) * window;
      sum += row[Index(j)];
    }
    // Each row sums to 1, so that a constant stays a constant, without a tone at the rate of the phases.
    float* out = coefficients.data() + Index(p) * Index(taps);
    for (int j = 0; j < used; ++j) out[taps - 1 - j] = static_cast<float>(row[Index(j)] / sum);
  }
}

// Separate sums per lane: a single one could not be vectorised without reordering it.
float Dot(const float* __restrict a, const float* __restrict b, int length) noexcept {
  float lanes[kLanes] = {};
  for (int i = 0; i < length; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

}  // namespace edgevc
