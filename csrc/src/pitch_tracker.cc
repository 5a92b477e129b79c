#include "edgevc/pitch_tracker.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace edgevc {

PitchTracker::Tuning PitchTracker::tuning;

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kSampleRate = 16000;
constexpr int kHopLength = 160;
constexpr int kWinLength = 640;
constexpr int kLookahead = 160;
constexpr int kLatency = kWinLength / 2 + kLookahead;
constexpr int kLevelLength = 400;
constexpr int kRawLength = kLatency + kLevelLength / 2;
constexpr int kFftSize = 1024;
constexpr float kMaxSample = 1e4f;
constexpr float kTiny = 1e-10f;
constexpr float kMinLevel = -90.0f;
constexpr float kMinPeak = 0.2f;

std::vector<float> Hann(int length) {
  std::vector<float> window(length);
  for (int i = 0; i < length; ++i) window[i] = static_cast<float>(0.5 - 0.5 * std::cos(2.0 * kPi * i / length));
  return window;
}

}  // namespace

PitchTracker::PitchTracker(int sample_rate, int hop_length, float f0_min, float f0_max)
    : sample_rate_(sample_rate), hop_length_(hop_length), f0_min_(f0_min), f0_max_(f0_max), fft_(kFftSize) {
  if (sample_rate != kSampleRate) {
    throw std::invalid_argument("sample_rate must be 16000 Hz, got " + std::to_string(sample_rate));
  }
  if (hop_length != kHopLength) {
    throw std::invalid_argument("hop_length must be 160 samples, got " + std::to_string(hop_length));
  }
  if (!(f0_min >= 50.0f && f0_min < f0_max && f0_max <= 1000.0f)) {
    throw std::invalid_argument("expected 50 <= f0_min < f0_max <= 1000 Hz, got f0_min=" + std::to_string(f0_min) +
                                ", f0_max=" + std::to_string(f0_max));
  }
  lag_min_ = static_cast<int>(std::floor(kSampleRate / f0_max));
  lag_max_ = static_cast<int>(std::ceil(kSampleRate / f0_min));
  const auto design = [](double cutoff, bool high) {
    // Butterworth by the bilinear transform.
    const double k = std::tan(kPi * cutoff / kSampleRate), norm = 1.0 / (1.0 + std::sqrt(2.0) * k + k * k);
    Biquad section;
    section.b0 = high ? norm : k * k * norm;
    section.b1 = (high ? -2.0 : 2.0) * section.b0;
    section.b2 = section.b0;
    section.a1 = 2.0 * (k * k - 1.0) * norm;
    section.a2 = (1.0 - std::sqrt(2.0) * k + k * k) * norm;
    return section;
  };
  high_pass_ = design(tuning.hp, true);
  low_pass_ = design(tuning.lp, false);
  window_.assign(kWinLength, 0.0f);
  {
    const int length = static_cast<int>(tuning.win);
    const auto w = Hann(length);
    std::copy(w.begin(), w.end(), window_.begin() + (kWinLength - length) / 2);
  }
  level_window_ = Hann(kLevelLength);
  work_.resize(kFftSize);
  for (auto* spectrum : {&window_real_, &window_imag_, &weighted_real_, &weighted_imag_, &energy_real_, &energy_imag_}) {
    spectrum->resize(fft_.bins());
  }
  product_.resize(kFftSize);
  energy_.resize(kFftSize);
  similarity_.resize(lag_max_ + 2);
  raw_.resize(kRawLength);
  filtered_.resize(kWinLength);
  std::copy(window_.begin(), window_.end(), work_.begin());
  fft_.Forward(work_.data(), window_real_.data(), window_imag_.data());
  Reset();
}

int PitchTracker::latency() const { return kLatency; }

void PitchTracker::Reset() noexcept {
  std::fill(raw_.begin(), raw_.end(), 0.0f);
  std::fill(filtered_.begin(), filtered_.end(), 0.0f);
  state_ = State();
}

void PitchTracker::Filter(const float* hop) noexcept {
  std::copy(raw_.begin() + kHopLength, raw_.end(), raw_.begin());
  std::copy(filtered_.begin() + kHopLength, filtered_.end(), filtered_.begin());
  float* raw = raw_.data() + kRawLength - kHopLength;
  float* filtered = filtered_.data() + kWinLength - kHopLength;
  double h1 = state_.high_pass_1, h2 = state_.high_pass_2, l1 = state_.low_pass_1, l2 = state_.low_pass_2;
  for (int i = 0; i < kHopLength; ++i) {
    const float x = std::isfinite(hop[i]) ? std::min(std::max(hop[i], -kMaxSample), kMaxSample) : 0.0f;
    raw[i] = x;
    const double high = high_pass_.b0 * x + h1;
    h1 = high_pass_.b1 * x - high_pass_.a1 * high + h2;
    h2 = high_pass_.b2 * x - high_pass_.a2 * high;
    const double low = low_pass_.b0 * high + l1;
    l1 = low_pass_.b1 * high - low_pass_.a1 * low + l2;
    l2 = low_pass_.b2 * high - low_pass_.a2 * low;
    filtered[i] = std::abs(low) < kTiny ? 0.0f : static_cast<float>(low);
  }
  // A decaying filter would reach denormals, which cost many times more than other numbers on some processors.
  const auto settle = [](double value) { return std::abs(value) < 1e-3 * kTiny ? 0.0 : value; };
  state_.high_pass_1 = settle(h1);
  state_.high_pass_2 = settle(h2);
  state_.low_pass_1 = settle(l1);
  state_.low_pass_2 = settle(l2);
}

void PitchTracker::FindCandidates(Column* column) noexcept {
  column->n_candidates = 1;
  Candidate& unvoiced = column->candidates[0];
  unvoiced = Candidate();

  // sum over j of w[j] w[j+lag] x[j] x[j+lag], and the same of (x[j]^2 + x[j+lag]^2) / 2: their ratio is within [-1, 1].
  const int bins = fft_.bins();
  float total = 0.0f;
  for (int i = 0; i < kWinLength; ++i) {
    const float y = filtered_[i] * window_[i];
    work_[i] = y;
    product_[i] = y * filtered_[i];
  }
  for (int i = 0; i < kWinLength; ++i) total += product_[i];
  const float level = 10.0f * std::log10(total / kWinLength + 1e-10f);
  state_.peak_level = std::max(level, state_.peak_level - tuning.peak_decay);
  unvoiced.score = tuning.threshold + tuning.gate_slope * std::max(0.0f, state_.peak_level - tuning.gate_db - level);
  if (level < kMinLevel) return;

  std::fill(work_.begin() + kWinLength, work_.end(), 0.0f);
  std::fill(product_.begin() + kWinLength, product_.end(), 0.0f);
  fft_.Forward(work_.data(), weighted_real_.data(), weighted_imag_.data());
  fft_.Forward(product_.data(), energy_real_.data(), energy_imag_.data());
  for (int k = 0; k < bins; ++k) {
    weighted_real_[k] = weighted_real_[k] * weighted_real_[k] + weighted_imag_[k] * weighted_imag_[k];
    weighted_imag_[k] = 0.0f;
    energy_real_[k] = energy_real_[k] * window_real_[k] + energy_imag_[k] * window_imag_[k];
    energy_imag_[k] = 0.0f;
  }
  fft_.Inverse(weighted_real_.data(), weighted_imag_.data(), product_.data());
  fft_.Inverse(energy_real_.data(), energy_imag_.data(), energy_.data());
  const float floor = 1e-4f * energy_[0] + 1e-12f;
  for (int lag = lag_min_ - 1; lag <= lag_max_ + 1; ++lag) similarity_[lag] = product_[lag] / (energy_[lag] + floor);

  for (int lag = lag_min_; lag <= lag_max_; ++lag) {
    const float left = similarity_[lag - 1], peak = similarity_[lag], right = similarity_[lag + 1];
    if (peak < kMinPeak || peak < left || peak <= right) continue;
    // Vertex of the parabola through the three values.
    const float curvature = left - 2.0f * peak + right;
    const float shift = curvature < 0.0f ? 0.5f * (left - right) / curvature : 0.0f;
    Candidate found;
    found.f0 = std::min(std::max(kSampleRate / (lag + shift), f0_min_), f0_max_);
    found.periodicity = std::min(peak - 0.25f * (left - right) * shift, 1.0f);
    found.score = found.periodicity - tuning.octave * std::log2(f0_max_ / found.f0);
    unvoiced.periodicity = std::max(unvoiced.periodicity, found.periodicity);
    int place = std::min(column->n_candidates, kMaxCandidates);
    if (column->n_candidates > kMaxCandidates && column->candidates[kMaxCandidates].score >= found.score) continue;
    for (; place > 1 && column->candidates[place - 1].score < found.score; --place) {
      column->candidates[place] = column->candidates[place - 1];
    }
    column->candidates[place] = found;
    column->n_candidates = std::min(column->n_candidates + 1, kMaxCandidates + 1);
  }
}

void PitchTracker::Advance(const Column& before, Column* now) noexcept {
  float best_of_all = -1e30f;
  std::array<float, kMaxCandidates + 1> log_before{};
  for (int i = 1; i < before.n_candidates; ++i) log_before[i] = std::log2(before.candidates[i].f0);
  for (int j = 0; j < now->n_candidates; ++j) {
    Candidate& candidate = now->candidates[j];
    const float log_now = j ? std::log2(candidate.f0) : 0.0f;
    float best = -1e30f;
    for (int i = 0; i < before.n_candidates; ++i) {
      float cost = 0.0f;
      if ((i == 0) != (j == 0)) cost = tuning.vuv;
      if (i > 0 && j > 0) cost = tuning.jump * std::abs(log_now - log_before[i]);
      const float score = before.candidates[i].score - cost;
      if (score > best) {
        best = score;
        candidate.previous = i;
      }
    }
    candidate.score += best;
    best_of_all = std::max(best_of_all, candidate.score);
  }
  // Only differences count; without this the sums would lose precision in long streams.
  for (int j = 0; j < now->n_candidates; ++j) now->candidates[j].score -= best_of_all;
}

float PitchTracker::Level() const noexcept {
  float total = 0.0f;
  for (int i = 0; i < kLevelLength; ++i) total += level_window_[i] * raw_[i] * raw_[i];
  return 10.0f * std::log10(total / kLevelLength + 1e-10f);
}

void PitchTracker::Process(const float* hop, PitchFrame* frame) noexcept {
  Filter(hop);
  const Column& before = state_.columns[state_.newest];
  Column& now = state_.columns[1 - state_.newest];
  FindCandidates(&now);
  Advance(before, &now);
  int best = 0;
  for (int j = 1; j < now.n_candidates; ++j) {
    if (now.candidates[j].score > now.candidates[best].score) best = j;
  }
  const Candidate& chosen = before.candidates[now.candidates[best].previous];
  frame->f0 = chosen.f0;
  frame->periodicity = chosen.periodicity;
  frame->level = Level();
  state_.newest = 1 - state_.newest;
}

}  // namespace edgevc
