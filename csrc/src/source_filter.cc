#include "edgevc/source_filter.h"

#include <algorithm>
#include <cmath>

#include "edgevc/math.h"
#include "edgevc/window.h"

namespace edgevc {

namespace {

constexpr double kTwoPi = 2.0 * kPi;
constexpr double kHighestHarmonic = 7600.0;
constexpr float kLowestLogMagnitude = -14.0f;
constexpr float kHighestLogMagnitude = 4.0f;

bool AllFinite(const float* values, int count) noexcept {
  // A sum is not finite when any term is not; terms this size cannot overflow it unless they are themselves absurd.
  float sum = 0.0f;
  for (int i = 0; i < count; ++i) sum += values[i] * 0.0f;
  return sum == 0.0f;
}

float Magnitude(float log_magnitude) noexcept {
  return std::exp(std::min(std::max(log_magnitude, kLowestLogMagnitude), kHighestLogMagnitude));
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
      stretched_(kBins),
      turn_cos_(kBins),
      turn_sin_(kBins),
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
  // Dirichlet kernel. Two rotations replace two sines per sample; in double, 320 steps cost no accuracy.
  const double harmonics = std::floor(kHighestHarmonic / f0);
  const double step = kTwoPi * f0 / kSampleRate;
  const double start = phase_ - step * (0.5 * kSegmentLength);
  const double order = harmonics + 0.5;
  double low_sin = std::sin(0.5 * start), low_cos = std::cos(0.5 * start);
  double high_sin = std::sin(order * start), high_cos = std::cos(order * start);
  const double low_step_sin = std::sin(0.5 * step), low_step_cos = std::cos(0.5 * step);
  const double high_step_sin = std::sin(order * step), high_step_cos = std::cos(order * step);
  const double scale = 1.0 / std::sqrt(2.0 * harmonics);
  for (size_t n = 0; n < kSegmentLength; ++n) {
    // Near a pulse the quotient tends to 2 K + 1 (the signs of both sines agree there).
    const double kernel = std::abs(low_sin) < 1e-6 ? 2.0 * harmonics + 1.0 : high_sin / low_sin;
    segment_[n] = static_cast<float>((kernel - 1.0) * scale) * window_[n];
    const double next_low = low_sin * low_step_cos + low_cos * low_step_sin;
    low_cos = low_cos * low_step_cos - low_sin * low_step_sin;
    low_sin = next_low;
    const double next_high = high_sin * high_step_cos + high_cos * high_step_sin;
    high_cos = high_cos * high_step_cos - high_sin * high_step_sin;
    high_sin = next_high;
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

// The pulses' spectrum through the harmonic filter, added to the noise.
void SourceFilter::TurnPulses(const float* log_magnitude, const float* phase) noexcept {
  for (size_t k = 0; k < kBins; ++k) {
    turn_cos_[k] = std::cos(phase[k]);
    turn_sin_[k] = std::sin(phase[k]);
  }
  const float *levels = Stretched(log_magnitude), *steps = steps_.data();
  const float *cosines = turn_cos_.data(), *sines = turn_sin_.data();
  for (size_t k = 0; k < kBins; ++k) {
    float turn_real = cosines[k], turn_imag = sines[k];
    if (formant_ratio_ != 1.0) {
      // Between two phases lies their mean direction: the numbers themselves may differ by whole turns.
      const int low = from_bin_[k];
      const float share = from_share_[k];
      turn_real = cosines[low] + share * (cosines[low + 1] - cosines[low]);
      turn_imag = sines[low] + share * (sines[low + 1] - sines[low]);
      const float length = std::sqrt(turn_real * turn_real + turn_imag * turn_imag);
      // Opposite phases have no mean; either is as good.
      turn_real = length > 1e-3f ? turn_real / length : cosines[low];
      turn_imag = length > 1e-3f ? turn_imag / length : sines[low];
    }
    const float gain = Magnitude(levels[k]) * steps[k];
    const float real = gain * turn_real, imag = gain * turn_imag;
    noise_real_[k] += pulse_real_[k] * real - pulse_imag_[k] * imag;
    noise_imag_[k] += pulse_real_[k] * imag + pulse_imag_[k] * real;
  }
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
  for (size_t n = 0; n < kSegmentLength; ++n) segment_[n] = noise_[n] * window_[n];
  fft_.Forward(segment_.data(), noise_real_.data(), noise_imag_.data());
  const float *breath = Stretched(filters + 2 * kBins), *steps = steps_.data();
  for (size_t k = 0; k < kBins; ++k) {
    const float gain = Magnitude(breath[k]) * steps[k];
    noise_real_[k] *= gain;
    noise_imag_[k] *= gain;
  }
  if (voiced) {
    FillPulses(frequency);
    fft_.Forward(segment_.data(), pulse_real_.data(), pulse_imag_.data());
    TurnPulses(filters, filters + kBins);
  }
  fft_.Inverse(noise_real_.data(), noise_imag_.data(), segment_.data());
  overlap_add_.Process(segment_.data(), out);
}

}  // namespace edgevc
