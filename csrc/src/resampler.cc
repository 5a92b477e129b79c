#include "edgevc/resampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

namespace edgevc {

namespace {

constexpr double kPi = 3.14159265358979323846;

// The filter falls from 0.9 to 1.0 of the lower rate's Nyquist frequency; its -6 dB point is in the middle.
constexpr double kCutoff = 0.95;

// Kaiser's formulas: the width of the fall gives (A - 8) / (2.285 * 2 * kHalfWidth) = 0.1 * pi, so A = 76.9 dB, and
// A gives beta = 0.1102 * (A - 8.7).
constexpr double kBeta = 7.5;

// Lanes of the dot product; the compiler maps them to two or four vector registers.
constexpr int kLanes = 16;

// Tables above this many coefficients (1 MiB) are sampled more coarsely and interpolated. The common rates are below.
constexpr int64_t kMaxTable = 1 << 18;

// Rows per sample of the lower rate when interpolating. A straight line between rows is off by (pi / rows)^2 / 8,
// which is -118 dB.
constexpr int kRowsPerSample = 1024;

constexpr float kLargestSample = 1e30f;

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

// length is a multiple of kLanes. Separate sums per lane: a single one could not be vectorised without reordering it.
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

int CheckedRate(int rate, const char* name) {
  if (rate < Resampler::kMinRate || rate > Resampler::kMaxRate) {
    throw std::invalid_argument(std::string(name) + " must be in [4000, 192000] Hz, got " + std::to_string(rate));
  }
  return rate;
}

// Copies with every sample that is not finite or not usable set to 0; returns how many were.
int64_t CopyFinite(const float* __restrict input, int64_t n_in, float* __restrict output) noexcept {
  int64_t replaced = 0;
  for (int64_t i = 0; i < n_in; ++i) {
    const bool usable = std::abs(input[i]) <= kLargestSample;
    output[i] = usable ? input[i] : 0.0f;
    replaced += usable ? 0 : 1;
  }
  return replaced;
}

int64_t CeilDivide(int64_t a, int64_t b) noexcept { return (a + b - 1) / b; }

}  // namespace

Resampler::Resampler(int from_rate, int to_rate)
    : from_rate_(CheckedRate(from_rate, "from_rate")), to_rate_(CheckedRate(to_rate, "to_rate")) {
  const int divisor = std::gcd(from_rate, to_rate);
  up_ = to_rate / divisor;
  down_ = from_rate / divisor;
  if (up_ != down_) {
    DesignFilter();
    // Four times the filter, so that the past is moved to the front only once in a while.
    history_.resize(4 * static_cast<size_t>(std::max(taps_, 256)));
  }
  Reset();
}

void Resampler::DesignFilter() {
  latency_ = up_ > down_ ? static_cast<int>(CeilDivide(static_cast<int64_t>(kHalfWidth) * up_, down_)) : kHalfWidth;
  const double ratio = static_cast<double>(up_) / down_;
  // In input samples, as are the times below.
  const double half_width = latency_ / ratio;
  // Taps at times in [-half_width, half_width]; 2 * latency_ * down_ / up_ is rounded down exactly.
  const int used = static_cast<int>(2 * static_cast<int64_t>(latency_) * down_ / up_) + 1;
  taps_ = (used + kLanes - 1) / kLanes * kLanes;
  const double cycles = kCutoff * std::min(1.0, ratio);

  interpolate_ = static_cast<int64_t>(up_) * taps_ > kMaxTable;
  phases_ = interpolate_ ? static_cast<int>(std::ceil(kRowsPerSample * std::min(1.0, ratio))) : up_;
  // One row more when interpolating: the neighbour of the last one.
  const int rows = interpolate_ ? phases_ + 1 : phases_;
  filter_.assign(static_cast<size_t>(rows) * taps_, 0.0f);
  std::vector<double> row(used);
  for (int p = 0; p < rows; ++p) {
    double sum = 0.0;
    for (int j = 0; j < used; ++j) {
      const double time = static_cast<double>(p) / phases_ + j - half_width;
      const double x = time / half_width;
      // Slightly beyond 1 by rounding, the edge of the window still belongs to it.
      const double inside = 1.0 - x * x;
      const double window = inside < -1e-9 ? 0.0 : BesselI0(kBeta * std::sqrt(std::max(inside, 0.0)));
      row[j] = Sinc(cycles * time) * window;
      sum += row[j];
    }
    // Each row sums to 1, so that a constant stays a constant, without a tone at the rate of the phases.
    float* out = filter_.data() + static_cast<size_t>(p) * taps_;
    for (int j = 0; j < used; ++j) out[taps_ - 1 - j] = static_cast<float>(row[j] / sum);
  }
}

void Resampler::Reset() noexcept {
  // Silence before the first sample.
  std::fill(history_.begin(), history_.end(), 0.0f);
  fill_ = taps_ - 1;
  wait_ = 0;
  phase_ = 0;
  samples_in_ = 0;
  samples_out_ = 0;
  replaced_samples_ = 0;
}

int64_t Resampler::MaxOutput(int64_t n_in) const noexcept { return n_in > 0 ? CeilDivide(n_in * up_, down_) : 0; }

int64_t Resampler::NextOutput(int64_t n_in) const noexcept {
  return n_in > wait_ ? CeilDivide((n_in - wait_) * up_ - phase_, down_) : 0;
}

int64_t Resampler::Append(const float* input, int64_t n_in) noexcept {
  const int64_t capacity = static_cast<int64_t>(history_.size());
  const int64_t past = taps_ - 1;
  if (fill_ == capacity) {
    std::memmove(history_.data(), history_.data() + fill_ - past, sizeof(float) * past);
    fill_ = past;
  }
  const int64_t taken = std::min(n_in, capacity - fill_);
  replaced_samples_ += CopyFinite(input, taken, history_.data() + fill_);
  fill_ += taken;
  samples_in_ += taken;
  return taken;
}

float Resampler::FilterAt(const float* newest) const noexcept {
  const float* samples = newest - (taps_ - 1);
  if (!interpolate_) return Dot(samples, filter_.data() + static_cast<size_t>(phase_) * taps_, taps_);
  const int64_t scaled = static_cast<int64_t>(phase_) * phases_;
  const float* row = filter_.data() + static_cast<size_t>(scaled / up_) * taps_;
  const float fraction = static_cast<float>(scaled % up_) / static_cast<float>(up_);
  const float low = Dot(samples, row, taps_);
  return low + fraction * (Dot(samples, row + taps_, taps_) - low);
}

int64_t Resampler::Process(const float* input, int64_t n_in, float* output) noexcept {
  return Run(input, n_in, output, std::numeric_limits<int64_t>::max());
}

int64_t Resampler::Run(const float* input, int64_t n_in, float* output, int64_t max_out) noexcept {
  int64_t n_out = 0;
  if (up_ == down_) {
    replaced_samples_ += CopyFinite(input, n_in, output);
    samples_in_ += n_in;
    n_out = n_in;
    n_in = 0;
  }
  const int whole = down_ / up_, rest = down_ % up_;
  while (n_in > 0) {
    const int64_t taken = Append(input, n_in);
    const float* first = history_.data() + fill_ - taken;
    while (wait_ < taken && n_out < max_out) {
      output[n_out++] = FilterAt(first + wait_);
      wait_ += whole;
      phase_ += rest;
      if (phase_ >= up_) {
        phase_ -= up_;
        ++wait_;
      }
    }
    wait_ -= taken;
    input += taken;
    n_in -= taken;
  }
  samples_out_ += n_out;
  return n_out;
}

int64_t Resampler::FlushOutput() const noexcept {
  if (samples_in_ == 0) return 0;
  // In two parts, because samples_in_ * up_ would overflow after some years.
  const int64_t whole = samples_in_ / down_, rest = samples_in_ % down_;
  return whole * up_ + (2 * rest * up_ + down_) / (2 * static_cast<int64_t>(down_)) + latency_ - samples_out_;
}

int64_t Resampler::Flush(float* output) noexcept {
  const float silence[64] = {};
  const int64_t total = FlushOutput();
  // One input sample can complete more output than is left to return, hence the limit; Reset() undoes what it breaks.
  for (int64_t n_out = 0; n_out < total;) n_out += Run(silence, 64, output + n_out, total - n_out);
  Reset();
  return total;
}

}  // namespace edgevc
