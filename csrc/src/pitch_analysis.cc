#include "edgevc/pitch_analysis.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "edgevc/float4.h"
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
constexpr int kLanes = 4;

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

float WithoutTiny(double x) noexcept { return std::abs(x) < kTiny ? 0.0f : static_cast<float>(x); }

void Multiply(int n, const float* __restrict a, const float* __restrict b, float* __restrict out) noexcept {
  for (int i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

void Power(int n, float* __restrict real, const float* __restrict imag) noexcept {
  for (int i = 0; i < n; ++i) real[i] = real[i] * real[i] + imag[i] * imag[i];
}

// energies: not negative but for rounding.
void Divide(int n, const float* __restrict products, const float* __restrict energies, float rounding,
            float* __restrict out) noexcept {
  for (int i = 0; i < n; ++i) out[i] = products[i] / (std::abs(energies[i]) + rounding);
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
  MakeGrid();
  MakeTurns();
  raw_.resize(kRawLength);
  speech_.resize(kBandLength);
  fundamental_.resize(kBandLength);
  weighted_.resize(kFftSize);
  real_.resize(Index(fft_.bins()));
  imag_.resize(Index(fft_.bins()));
  running_sums_.resize(kLanes * (kBandLength + 1));
  energy_.resize(kMaxLag + 1);
  Reset();
}

void PitchAnalysis::Reset() noexcept {
  for (auto* buffer : {&raw_, &speech_, &fundamental_}) std::fill(buffer->begin(), buffer->end(), 0.0f);
  features_.fill(0.0f);
  before_ = newest_ = Window();
  log_mel_.Reset();
  state_ = State();
}

void PitchAnalysis::MakeGrid() {
  const auto edge = [](int k) {
    return static_cast<float>(kBandRate / (kGridMin * std::exp2((k - 0.5) / kGridPerOctave)));
  };
  for (int k = 0; k < kGridSize; ++k) {
    const float longest = std::min(edge(k), kMaxLag - 1.0f), shortest = edge(k + 1);
    const float middle = std::sqrt(longest * shortest);
    GridPoint& point = grid_[Index(k)];
    point.below = static_cast<int>(middle);
    point.share = middle - static_cast<float>(point.below);
    point.first = static_cast<int>(std::ceil(shortest));
    point.end = static_cast<int>(longest) + 1;
  }
}

void PitchAnalysis::MakeTurns() {
  const double turn = 2.0 * kPi / kBandLength;
  for (int j = 0; j < kBandLength; ++j) {
    for (double value : {1.0, std::cos(turn * j), std::sin(turn * j), 0.0}) {
      window_turns_.push_back(static_cast<float>(value));
    }
  }
  for (int lag = 0; lag <= kMaxLag; ++lag) {
    for (double value : {0.25, -0.25 * std::cos(turn * lag), 0.25 * std::sin(turn * lag), 0.0}) {
      lag_turns_.push_back(static_cast<float>(value));
    }
  }
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

double PitchAnalysis::Filter(const Biquad& section, double x, BiquadState* state) noexcept {
  const double y = section.b0 * x + state->s1;
  state->s1 = section.b1 * x - section.a1 * y + state->s2;
  state->s2 = section.b2 * x - section.a2 * y;
  return y;
}

// Both bands of the hop, at half the rate.
void PitchAnalysis::FilterHop(const float* hop) noexcept {
  float* raw = Shift<kHopLength>(&raw_);
  float* speech = Shift<kBandHop>(&speech_);
  float* fundamental = Shift<kBandHop>(&fundamental_);
  for (int i = 0; i < kHopLength; ++i) {
    const float x = hop[i];
    // a comparison with NaN is false
    const float finite = std::abs(x) <= std::numeric_limits<float>::max() ? x : 0.0f;
    raw[i] = std::min(std::max(finite, -kMaxSample), kMaxSample);
  }
  // The states in registers.
  BiquadState high_pass = state_.high_pass, speech_band = state_.speech_band, low_band = state_.fundamental_band;
  double wide = 0.0, low = 0.0;
  const auto next = [&](float x) {
    // The speech band's filter comes first and adds to the attenuation of what would fold.
    wide = Filter(speech_band_, Filter(high_pass_, x, &high_pass), &speech_band);
    low = Filter(fundamental_band_, wide, &low_band);
  };
  for (int i = 0; i < kHopLength; i += 2) {
    next(raw[i]);
    speech[i / 2] = WithoutTiny(wide);
    fundamental[i / 2] = WithoutTiny(low);
    next(raw[i + 1]);
  }
  state_.high_pass = high_pass;
  state_.speech_band = speech_band;
  state_.fundamental_band = low_band;
  // A decaying filter would reach denormals, which cost many times more than other numbers on some processors.
  for (BiquadState* filter : {&state_.high_pass, &state_.speech_band, &state_.fundamental_band}) {
    if (std::abs(filter->s1) < 1e-3 * kTiny) filter->s1 = 0.0;
    if (std::abs(filter->s2) < 1e-3 * kTiny) filter->s2 = 0.0;
  }
}

void PitchAnalysis::Push(const float* hop) noexcept {
  FilterHop(hop);
  before_ = newest_;
  newest_.audible = Similarity(fundamental_, newest_.fundamental.data()) >= kSilentPower;
  Similarity(speech_, newest_.speech.data());
  float* features = features_.data();
  SampleOnGrid(newest_.fundamental.data(), features);
  SampleOnGrid(newest_.speech.data(), features + kGridSize);
  BandFeatures(features + 2 * kGridSize);
}

// energy_[lag] = sum over j of w[j] w[j + lag] (x[j]^2 + x[j + lag]^2) / 2 for each lag. Returns the band's weighted
// mean power.
//
// The window is half of 1 - cos(a j), and cos(a (j + lag)) = cos(a j) cos(a lag) - sin(a j) sin(a lag). So running sums
// of w[j] x[j]^2 times 1, cosine and sine hold every lag's energy.
float PitchAnalysis::Energies(const std::vector<float>& band) noexcept {
  Float4 sum = {};
  float* sums = running_sums_.data();
  const float *window = band_window_.data(), *turns = window_turns_.data(), *x = band.data();
  for (int j = 0; j < kBandLength; j += kLanes) {
    const Float4 samples = Load4(x + j), energies = Load4(window + j) * samples * samples;
#pragma GCC unroll 4
    for (int lane = 0; lane < kLanes; ++lane) {
      Store4(sums + kLanes * (j + lane), sum);
      sum += All4(energies[lane]) * Load4(turns + kLanes * (j + lane));
    }
  }
  Store4(sums + kLanes * kBandLength, sum);
  // Of the sine, the sums before and after j have opposite signs.
  const Float4 sides = {1.0f, 1.0f, -1.0f, 0.0f};
  for (int lag = 0; lag <= kMaxLag; ++lag) {
    const Float4 later = (sum - Load4(sums + kLanes * lag)) * sides;
    const Float4 parts = (Load4(sums + kLanes * (kBandLength - lag)) + later) * Load4(lag_turns_.data() + kLanes * lag);
    energy_[Index(lag)] = Sum4(parts);
  }
  return sum[0] / kBandLength;
}

// Returns the weighted mean power of the band.
float PitchAnalysis::Similarity(const std::vector<float>& band, float* similarity) noexcept {
  const float power = Energies(band);
  if (power < kSilentPower) {
    std::fill(similarity, similarity + kMaxLag + 1, 0.0f);
    return power;
  }
  // sum over j of w[j] w[j + lag] x[j] x[j + lag], and the same of (x[j]^2 + x[j + lag]^2) / 2. Their ratio is within
  // [-1, 1] because the weights are not negative.
  Multiply(kBandLength, band_window_.data(), band.data(), weighted_.data());
  std::fill(weighted_.begin() + kBandLength, weighted_.end(), 0.0f);
  fft_.Forward(weighted_.data(), real_.data(), imag_.data());
  Power(fft_.bins(), real_.data(), imag_.data());
  fft_.InverseOfReal(real_.data(), weighted_.data());
  // Where only the window's edge holds signal, both sums are small and the FFT's rounding would decide.
  const float rounding = 1e-4f * energy_[0] + kLeastPower;
  Divide(kMaxLag + 1, weighted_.data(), energy_.data(), rounding, similarity);
  return power;
}

// The greatest value within half a step of the grid, so that a narrow peak between two points is seen.
void PitchAnalysis::SampleOnGrid(const float* similarity, float* features) const noexcept {
  for (size_t k = 0; k < kGridSize; ++k) {
    const GridPoint& point = grid_[k];
    const float below = similarity[point.below];
    float best = below + point.share * (similarity[point.below + 1] - below);
    for (int lag = point.first; lag < point.end; ++lag) best = std::max(best, similarity[lag]);
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
  const float *raw = raw_.data() + kRawLength - latency_ - kLevelLength / 2, *window = level_window_.data();
  Float4 sums = {};
  for (int i = 0; i < kLevelLength; i += kLanes) {
    const Float4 x = Load4(raw + i);
    sums += Load4(window + i) * x * x;
  }
  const float power = Sum4(sums);
  return 10.0f * std::log10(power / kLevelLength + 1e-10f);
}

}  // namespace edgevc
