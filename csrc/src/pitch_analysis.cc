#include "edgevc/pitch_analysis.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"
#include "edgevc/window.h"

namespace edgevc {

namespace {

constexpr int kSampleRate = 16000;
constexpr int kLevelLength = 400;
constexpr int kRawLength = PitchAnalysis::kLatency + kLevelLength / 2;
// The filters leave nothing that could fold into the bands at half the rate.
constexpr int kBandHop = PitchAnalysis::kHopLength / 2;
constexpr int kBandLength = PitchAnalysis::kWinLength / 2;
// Linear correlation of 320 samples up to lag 161 without wrapping round.
constexpr int kFftSize = 512;

// 18 dB above full scale: no microphone gives more, and one broken sample must not pass for the loudest speech.
constexpr float kMaxSample = 8.0f;
// 200 dB below full scale: small enough not to be heard, large enough that no square of it is denormal.
constexpr float kTiny = 1e-10f;
// Of the fundamental's band, 120 dB below full scale; the rounding to 16 bits alone has -118 dB there.
constexpr float kSilentPower = 1e-12f;
constexpr float kLeastPower = 1e-14f;

constexpr float kHighPassHz = 90.0f;
constexpr float kFundamentalHz = 245.0f;
constexpr float kSpeechHz = 1000.0f;

// Band levels are natural logarithms of power.
constexpr double kBandFloor = 1e-8;
constexpr float kPeakDecay = 0.02f;  // per frame: 8.6 dB per second
constexpr float kLowestBand = -14.0f;

template <int kHop>
float* Shift(std::vector<float>* buffer) {
  std::copy(buffer->begin() + kHop, buffer->end(), buffer->begin());
  return buffer->data() + buffer->size() - kHop;
}

LogMelOptions BandOptions() {
  LogMelOptions options;
  options.mel.n_mels = PitchAnalysis::kBands;
  options.log_floor = kBandFloor;
  options.primed = true;
  return options;
}

}  // namespace

PitchAnalysis::PitchAnalysis(int latency) : latency_(latency), fft_(kFftSize), log_mel_(BandOptions()) {
  if (latency != kLatency && latency != kLowLatency) {
    throw std::invalid_argument("latency must be " + std::to_string(kLatency) + " or " + std::to_string(kLowLatency) +
                                " samples, got " + std::to_string(latency));
  }
  high_pass_ = Butterworth(kHighPassHz, true);
  speech_band_ = Butterworth(kSpeechHz, false);
  fundamental_band_ = Butterworth(kFundamentalHz, false);
  band_window_ = MakeWindow(WindowType::kHann, kBandLength);
  level_window_ = MakeWindow(WindowType::kHann, kLevelLength);
  for (int k = 0; k <= kGridSize; ++k) {
    lags_[Index(k)] = static_cast<float>(kBandRate / (kGridMin * std::exp2((k - 0.5) / kGridPerOctave)));
  }
  raw_.resize(kRawLength);
  speech_.resize(kBandLength);
  fundamental_.resize(kBandLength);
  weighted_.resize(kFftSize);
  energy_.resize(kFftSize);
  for (auto* part : {&window_real_, &window_imag_, &weighted_real_, &weighted_imag_, &energy_real_, &energy_imag_}) {
    part->resize(Index(fft_.bins()));
  }
  std::copy(band_window_.begin(), band_window_.end(), weighted_.begin());
  fft_.Forward(weighted_.data(), window_real_.data(), window_imag_.data());
  Reset();
}

void PitchAnalysis::Reset() noexcept {
  for (auto* buffer : {&raw_, &speech_, &fundamental_}) std::fill(buffer->begin(), buffer->end(), 0.0f);
  features_.fill(0.0f);
  before_ = newest_ = Window();
  log_mel_.Reset();
  state_ = State();
}

PitchAnalysis::Biquad PitchAnalysis::Butterworth(double cutoff, bool high_pass) {
  // By the bilinear transform.
  const double k = std::tan(kPi * cutoff / kSampleRate), scale = 1.0 / (1.0 + std::sqrt(2.0) * k + k * k);
  Biquad section;
  section.b0 = high_pass ? scale : k * k * scale;
  section.b1 = (high_pass ? -2.0 : 2.0) * section.b0;
  section.b2 = section.b0;
  section.a1 = 2.0 * (k * k - 1.0) * scale;
  section.a2 = (1.0 - std::sqrt(2.0) * k + k * k) * scale;
  return section;
}

float PitchAnalysis::Filter(const Biquad& section, float x, BiquadState* state) noexcept {
  const double y = section.b0 * x + state->s1;
  state->s1 = section.b1 * x - section.a1 * y + state->s2;
  state->s2 = section.b2 * x - section.a2 * y;
  return std::abs(y) < kTiny ? 0.0f : static_cast<float>(y);
}

void PitchAnalysis::Push(const float* hop) noexcept {
  float* raw = Shift<kHopLength>(&raw_);
  float* speech = Shift<kBandHop>(&speech_);
  float* fundamental = Shift<kBandHop>(&fundamental_);
  for (int i = 0; i < kHopLength; ++i) {
    const float x = std::isfinite(hop[i]) ? std::clamp(hop[i], -kMaxSample, kMaxSample) : 0.0f;
    raw[i] = x;
    const float wide = Filter(speech_band_, Filter(high_pass_, x, &state_.high_pass), &state_.speech_band);
    // The speech band's filter comes first and adds to the attenuation of what would fold.
    const float low = Filter(fundamental_band_, wide, &state_.fundamental_band);
    if (i % 2 == 0) {
      speech[i / 2] = wide;
      fundamental[i / 2] = low;
    }
  }
  // A decaying filter would reach denormals, which cost many times more than other numbers on some processors.
  for (BiquadState* filter : {&state_.high_pass, &state_.speech_band, &state_.fundamental_band}) {
    if (std::abs(filter->s1) < 1e-3 * kTiny) filter->s1 = 0.0;
    if (std::abs(filter->s2) < 1e-3 * kTiny) filter->s2 = 0.0;
  }

  before_ = newest_;
  newest_.audible = Similarity(fundamental_, newest_.fundamental.data()) >= kSilentPower;
  Similarity(speech_, newest_.speech.data());
  float* features = features_.data();
  SampleOnGrid(newest_.fundamental.data(), features);
  SampleOnGrid(newest_.speech.data(), features + kGridSize);
  BandFeatures(features + 2 * kGridSize);
}

// Returns the weighted mean power of the band.
float PitchAnalysis::Similarity(const std::vector<float>& band, float* similarity) noexcept {
  float power = 0.0f;
  for (size_t i = 0; i < kBandLength; ++i) {
    weighted_[i] = band_window_[i] * band[i];
    energy_[i] = weighted_[i] * band[i];
  }
  for (size_t i = 0; i < kBandLength; ++i) power += energy_[i];
  power /= kBandLength;
  if (power < kSilentPower) {
    std::fill(similarity, similarity + kMaxLag + 1, 0.0f);
    return power;
  }
  // sum over j of w[j] w[j + lag] x[j] x[j + lag], and the same of (x[j]^2 + x[j + lag]^2) / 2. Their ratio is within
  // [-1, 1] because the weights are not negative.
  std::fill(weighted_.begin() + kBandLength, weighted_.end(), 0.0f);
  std::fill(energy_.begin() + kBandLength, energy_.end(), 0.0f);
  fft_.Forward(weighted_.data(), weighted_real_.data(), weighted_imag_.data());
  fft_.Forward(energy_.data(), energy_real_.data(), energy_imag_.data());
  const size_t bins = weighted_real_.size();
  for (size_t k = 0; k < bins; ++k) {
    weighted_real_[k] = weighted_real_[k] * weighted_real_[k] + weighted_imag_[k] * weighted_imag_[k];
    weighted_imag_[k] = 0.0f;
    energy_real_[k] = energy_real_[k] * window_real_[k] + energy_imag_[k] * window_imag_[k];
    energy_imag_[k] = 0.0f;
  }
  fft_.Inverse(weighted_real_.data(), weighted_imag_.data(), weighted_.data());
  fft_.Inverse(energy_real_.data(), energy_imag_.data(), energy_.data());
  // Where only the window's edge holds signal, both sums are small and the FFT's rounding would decide.
  const float rounding = 1e-4f * energy_[0] + kLeastPower;
  for (size_t lag = 0; lag <= kMaxLag; ++lag) similarity[lag] = weighted_[lag] / (energy_[lag] + rounding);
  return power;
}

// The greatest value within half a step of the grid, so that a narrow peak between two points is seen.
void PitchAnalysis::SampleOnGrid(const float* similarity, float* features) const noexcept {
  const auto at = [similarity](float lag) {
    const int low = static_cast<int>(lag);
    const float share = lag - static_cast<float>(low);
    return similarity[low] + share * (similarity[low + 1] - similarity[low]);
  };
  for (size_t k = 0; k < kGridSize; ++k) {
    const float longest = std::min(lags_[k], kMaxLag - 1.0f), shortest = lags_[k + 1];
    float best = at(std::sqrt(longest * shortest));
    for (int lag = static_cast<int>(std::ceil(shortest)); lag <= static_cast<int>(longest); ++lag) {
      best = std::max(best, similarity[lag]);
    }
    features[k] = best;
  }
}

void PitchAnalysis::BandFeatures(float* features) noexcept {
  std::array<float, kBands> bands{};
  log_mel_.Process(raw_.data() + kRawLength - kHopLength, kHopLength, bands.data());
  const float loudest = *std::max_element(bands.begin(), bands.end());
  float level = 0.0f;
  for (float band : bands) level += band;
  level /= kBands;
  state_.peak = state_.started ? std::max(loudest, state_.peak - kPeakDecay) : loudest;
  for (size_t i = 0; i < kBands; ++i) features[i] = std::clamp(bands[i] - state_.peak, kLowestBand, 0.0f) / 4.0f + 1.5f;
  features[kBands] = state_.started ? std::clamp((level - state_.level) / 2.0f, -2.0f, 2.0f) : 0.0f;
  state_.level = level;
  state_.started = true;
}

float PitchAnalysis::Periodicity(float f0) const noexcept {
  const int lag = std::min(std::max(static_cast<int>(std::lround(kBandRate / f0)), 1), kMaxLag - 1);
  const auto& speech = judged().speech;
  const float left = speech[Index(lag - 1)], middle = speech[Index(lag)], right = speech[Index(lag + 1)];
  // vertex of the parabola through the three
  const float curvature = left - 2.0f * middle + right;
  float peak = middle;
  if (curvature < 0.0f) {
    const float place = std::clamp(0.5f * (left - right) / curvature, -0.5f, 0.5f);
    peak = middle - 0.25f * (left - right) * place;
  }
  return std::clamp(std::max({peak, left, right}), 0.0f, 1.0f);
}

float PitchAnalysis::Level() const noexcept {
  float power = 0.0f;
  const float* raw = raw_.data() + kRawLength - latency_ - kLevelLength / 2;
  for (size_t i = 0; i < kLevelLength; ++i) power += level_window_[i] * raw[i] * raw[i];
  return 10.0f * std::log10(power / kLevelLength + 1e-10f);
}

}  // namespace edgevc
