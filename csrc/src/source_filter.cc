#include "edgevc/source_filter.h"

#include <algorithm>
#include <cmath>

#include "edgevc/exp4.h"
#include "edgevc/float4.h"
#include "edgevc/math.h"
#include "edgevc/window.h"

namespace edgevc {

namespace {

constexpr double kTwoPi = 2.0 * kPi;
constexpr double kHighestHarmonic = 7600.0;
constexpr float kLowestLogMagnitude = -14.0f;
constexpr float kHighestLogMagnitude = 4.0f;

// Sine and cosine of an angle that grows by the same step from sample to sample, of two samples at a time. Rotations
// replace a sine for each; in double, 160 of them cost no accuracy.
struct Turning {
  using Double2 = double __attribute__((vector_size(16)));

  Turning(double start, double step)
      : sine{std::sin(start), std::sin(start + step)},
        cosine{std::cos(start), std::cos(start + step)},
        step_sine(std::sin(2.0 * step)),
        step_cosine(std::cos(2.0 * step)) {}

  void Next() noexcept {
    const Double2 next = sine * step_cosine + cosine * step_sine;
    cosine = cosine * step_cosine - sine * step_sine;
    sine = next;
  }

  Double2 sine, cosine;
  double step_sine, step_cosine;
};

// Whole fours of bins.
constexpr int kPaddedBins = (SourceFilter::kBins + 3) / 4 * 4;

bool AllFinite(const float* values, int count) noexcept {
  // A sum is not finite when any term is not; terms this size cannot overflow it unless they are themselves absurd.
  Float4 sums = {};
  int i = 0;
  for (; i + 4 <= count; i += 4) sums += Load4(values + i) * 0.0f;
  float sum = Sum4(sums);
  for (; i < count; ++i) sum += values[i] * 0.0f;
  return sum == 0.0f;
}

void MultiplyInto(int n, const float* __restrict factors, float* __restrict out) {
  for (int k = 0; k < n; ++k) out[k] *= factors[k];
}

// What the filters' numbers mean, times the watermark's steps.
void Gains(int n, const float* log_magnitudes, const float* steps, float* gains) noexcept {
  Map4(n, log_magnitudes, gains, [](Float4 x) { return Exp4(Clamp4(x, kLowestLogMagnitude, kHighestLogMagnitude)); });
  MultiplyInto(n, steps, gains);
}

// The arrays hold whole fours; what is beyond n is not used.
void SinesAndCosines(int n, const float* phases, float* sines, float* cosines) noexcept {
  int k = 0;
  Map4(n, phases, sines, [&k, cosines](Float4 x) {
    Float4 sine, cosine;
    SinCos4(x, &sine, &cosine);
    Store4(cosines + k, cosine);
    k += 4;
    return sine;
  });
}

void Multiply(int n, const float* __restrict a, const float* __restrict b, float* __restrict out) {
  for (int k = 0; k < n; ++k) out[k] = a[k] * b[k];
}

// Adds the pulses' spectrum times the filter to the noise's.
void AddTurned(int n, const float* __restrict gains, const float* __restrict cosines, const float* __restrict sines,
               const float* __restrict pulse_real, const float* __restrict pulse_imag, float* __restrict noise_real,
               float* __restrict noise_imag) {
  for (int k = 0; k < n; ++k) {
    const float real = gains[k] * cosines[k], imag = gains[k] * sines[k];
    noise_real[k] += pulse_real[k] * real - pulse_imag[k] * imag;
    noise_imag[k] += pulse_real[k] * imag + pulse_imag[k] * real;
  }
}

}  // namespace

SourceFilter::SourceFilter(uint32_t seed)
    : seed_(seed ? seed : 1u),
      fft_(kFftSize),
      overlap_add_(MakeWindow(WindowType::kHann, kSegmentLength), kHopLength, kFftSize),
      window_(MakeWindow(WindowType::kHann, kSegmentLength)),
      noise_(kSegmentLength),
      segment_(kFftSize),
      pulse_real_(kBins),
      pulse_imag_(kBins),
      noise_real_(kBins),
      noise_imag_(kBins),
      steps_(kBins, 1.0f),
      gains_(kBins),
      stretched_(kBins),
      turn_cos_(kPaddedBins),
      turn_sin_(kPaddedBins),
      stretched_cos_(kPaddedBins),
      stretched_sin_(kPaddedBins),
      from_bin_(kBins),
      from_share_(kBins) {
  Reset();
}

void SourceFilter::SetFormantRatio(double ratio) noexcept {
  if (std::isnan(ratio)) return;
  formant_ratio_ = std::min(std::max(ratio, kMinFormantRatio), kMaxFormantRatio);
  int* bins = from_bin_.data();
  float* shares = from_share_.data();
  for (int k = 0; k < kBins; ++k) {
    const double from = std::min(k / formant_ratio_, static_cast<double>(kBins - 1));
    // The bin below the last at most, so that the one above exists.
    bins[k] = std::min(static_cast<int>(from), kBins - 2);
    shares[k] = static_cast<float>(from - bins[k]);
  }
}

void SourceFilter::SetMarked(bool marked) noexcept {
  marked_ = marked;
  std::fill(steps_.begin(), steps_.end(), 1.0f);
}

void SourceFilter::Reset() noexcept {
  random_ = seed_;
  phase_ = 0.0;
  previous_f0_ = 0.0;
  bad_frames_ = 0;
  overlap_add_.Reset();
  watermark_.Reset();
  // The first frame's older half is noise too, as if the stream had always been running.
  FillNoise();
}

// xorshift32 (Marsaglia, 2003), uniform, unit variance.
void SourceFilter::FillNoise() noexcept {
  std::copy(noise_.begin() + kHopLength, noise_.end(), noise_.begin());
  constexpr float kScale = 3.46410161514f / 4294967296.0f;
  for (size_t n = kSegmentLength - kHopLength; n < kSegmentLength; ++n) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 17;
    random_ ^= random_ << 5;
    noise_[n] = static_cast<float>(random_) * kScale - 1.73205080757f;
  }
}

void SourceFilter::FillPulses(double f0) noexcept {
  // Dirichlet kernel.
  const double harmonics = std::floor(kHighestHarmonic / f0);
  const double step = kTwoPi * f0 / kSampleRate;
  const double start = phase_ - step * (0.5 * kSegmentLength);
  const double order = harmonics + 0.5;
  const double scale = 1.0 / std::sqrt(2.0 * harmonics), peak = 2.0 * harmonics + 1.0;
  // The even and the odd samples side by side, two steps at a time.
  Turning low(0.5 * start, 0.5 * step), high(order * start, order * step);
  for (size_t n = 0; n < kSegmentLength; n += 2) {
    for (size_t lane = 0; lane < 2; ++lane) {
      // Near a pulse the quotient tends to 2 K + 1 (the signs of both sines agree there).
      const double quotient = high.sine[lane] / low.sine[lane];
      const double kernel = std::abs(low.sine[lane]) < 1e-6 ? peak : quotient;
      segment_[n + lane] = static_cast<float>((kernel - 1.0) * scale) * window_[n + lane];
    }
    low.Next();
    high.Next();
  }
}

const float* SourceFilter::Stretched(const float* values) noexcept {
  if (formant_ratio_ == 1.0) return values;
  for (size_t k = 0; k < kBins; ++k) {
    const float low = values[from_bin_[k]];
    stretched_[k] = low + from_share_[k] * (values[from_bin_[k] + 1] - low);
  }
  return stretched_.data();
}

// Between two phases lies their mean direction: the numbers themselves may differ by whole turns.
void SourceFilter::StretchTurns() noexcept {
  for (size_t k = 0; k < kBins; ++k) {
    const auto low = static_cast<size_t>(from_bin_[k]);
    const float share = from_share_[k];
    float real = turn_cos_[low] + share * (turn_cos_[low + 1] - turn_cos_[low]);
    float imag = turn_sin_[low] + share * (turn_sin_[low + 1] - turn_sin_[low]);
    const float length = std::sqrt(real * real + imag * imag);
    // Opposite phases have no mean; either is as good.
    stretched_cos_[k] = length > 1e-3f ? real / length : turn_cos_[low];
    stretched_sin_[k] = length > 1e-3f ? imag / length : turn_sin_[low];
  }
  turn_cos_.swap(stretched_cos_);
  turn_sin_.swap(stretched_sin_);
}

// The pulses' spectrum through the harmonic filter, added to the noise.
void SourceFilter::TurnPulses(const float* log_magnitude, const float* phase) noexcept {
  SinesAndCosines(kBins, phase, turn_sin_.data(), turn_cos_.data());
  if (formant_ratio_ != 1.0) StretchTurns();
  Gains(kBins, Stretched(log_magnitude), steps_.data(), gains_.data());
  AddTurned(kBins, gains_.data(), turn_cos_.data(), turn_sin_.data(), pulse_real_.data(), pulse_imag_.data(),
            noise_real_.data(), noise_imag_.data());
}

void SourceFilter::Process(const float* filters, float f0, float* out) noexcept {
  FillNoise();
  if (marked_) watermark_.Fill(steps_.data());
  watermark_.Advance();
  const bool voiced = f0 > 0.0f;
  const double frequency = voiced ? std::min(std::max(static_cast<double>(f0), 20.0), 3800.0) : 0.0;
  if (voiced) {
    // Neighbouring segments agree where they overlap: the phase grows by the mean of both frequencies.
    const double previous = previous_f0_ > 0.0 ? previous_f0_ : frequency;
    phase_ = std::fmod(phase_ + 0.5 * kTwoPi * kHopLength * (previous + frequency) / kSampleRate, kTwoPi);
  }
  previous_f0_ = frequency;

  std::fill(segment_.begin() + kSegmentLength, segment_.end(), 0.0f);
  if (!AllFinite(filters, kFilters)) {
    ++bad_frames_;
    std::fill(segment_.begin(), segment_.end(), 0.0f);
    overlap_add_.Process(segment_.data(), out);
    return;
  }
  Multiply(kSegmentLength, noise_.data(), window_.data(), segment_.data());
  fft_.Forward(segment_.data(), noise_real_.data(), noise_imag_.data());
  Gains(kBins, Stretched(filters + 2 * kBins), steps_.data(), gains_.data());
  MultiplyInto(kBins, gains_.data(), noise_real_.data());
  MultiplyInto(kBins, gains_.data(), noise_imag_.data());
  if (voiced) {
    FillPulses(frequency);
    fft_.Forward(segment_.data(), pulse_real_.data(), pulse_imag_.data());
    TurnPulses(filters, filters + kBins);
  }
  fft_.Inverse(noise_real_.data(), noise_imag_.data(), segment_.data());
  overlap_add_.Process(segment_.data(), out);
}

}  // namespace edgevc
