#include "edgevc/pitch_tracker.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace edgevc {

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kSampleRate = 16000;
constexpr int kHopLength = 160;
constexpr int kWinLength = 640;
constexpr int kWindowHops = kWinLength / kHopLength;
constexpr int kLookahead = kHopLength;
constexpr int kLatency = kWinLength / 2 + kLookahead;
constexpr int kLevelLength = 400;
constexpr int kRawLength = kLatency + kLevelLength / 2;
// The fundamental's band is kept at half the rate: its filters leave nothing that could fold into it.
constexpr int kBandRate = kSampleRate / 2;
constexpr int kBandHop = kHopLength / 2;
constexpr int kBandLength = kWinLength / 2;
// Linear correlation of 320 samples up to lag 160 without wrapping round.
constexpr int kFftSize = 512;

// 18 dB above full scale: no microphone gives more, and one broken sample must not pass for the loudest speech.
constexpr float kMaxSample = 8.0f;
// 200 dB below full scale: small enough not to be heard, large enough that no square of it is denormal.
constexpr float kTiny = 1e-10f;
// Of the fundamental's band; the rounding to 16 bits alone has -118 dB there.
constexpr float kSilence = -120.0f;
constexpr float kLeastPower = 1e-14f;
constexpr float kMinSimilarity = 0.2f;

// Found by a random search against pyworld's harvest, with noise that must stay unvoiced; see docs/f0.md.
constexpr float kHighPassHz = 90.0f;
constexpr float kFundamentalHz = 245.0f;
constexpr float kSpeechHz = 1000.0f;
// Costs and scores are in units of periodicity.
constexpr float kOctaveCost = 0.1194f;        // per octave below f0_max: the shorter of two equal periods is the period
constexpr float kJumpCost = 0.4481f;          // per octave between frames
constexpr float kVoicingCost = 0.5778f;       // per change between voiced and unvoiced
constexpr float kContinuationCost = 0.8006f;  // of a candidate that continues a path without being a peak
constexpr float kUnusualCost = 0.1932f;       // per octave from the usual F0, up to one octave
constexpr float kUsualRate = 0.017f;          // per frame
constexpr float kClear = 0.7997f;             // periodicity from which a frame tells the usual F0
constexpr float kUnvoicedScore = 0.5864f;
constexpr float kLevelSlope = 0.0763f;    // per dB
constexpr float kLoudBonus = 0.788f;      // at most, for voiced
constexpr float kQuietPenalty = 0.9173f;  // at most, for voiced
constexpr float kBelowPeak = 41.6386f;    // dB
constexpr float kAboveFloor = 12.0f;      // dB
constexpr float kPeakDecay = 0.0858f;     // dB per frame
// The floor is the least level of the last 4 blocks of frames without a clear period, so that it rises with the noise.
constexpr int kFloorBlockFrames = 40;
constexpr float kPeriodic = 0.9131f;      // noise hardly ever is; a held vowel must not become the floor
constexpr float kTiltSlope = 0.0098f;     // per dB
constexpr float kTiltCentre = -28.4556f;  // dB
constexpr float kTiltRange = 20.0f;       // dB
// Relative width within which a path continues without a peak.
constexpr float kContinuationWidth = 0.06f;

std::vector<float> Hann(int length) {
  std::vector<float> window(length);
  for (int i = 0; i < length; ++i) window[i] = static_cast<float>(0.5 - 0.5 * std::cos(2.0 * kPi * i / length));
  return window;
}

float Clamp(float value, float low, float high) { return std::min(std::max(value, low), high); }

float Decibels(float power, float least) { return 10.0f * std::log10(power + least); }

template <int kHop>
float* Shift(std::vector<float>* buffer) {
  std::copy(buffer->begin() + kHop, buffer->end(), buffer->begin());
  return buffer->data() + buffer->size() - kHop;
}

// Vertex of the parabola through three values at -1, 0, 1 of which the middle one is not the least.
struct Vertex {
  float place, value;
};
Vertex Parabola(float left, float middle, float right) {
  const float curvature = left - 2.0f * middle + right;
  const float place = curvature < 0.0f ? Clamp(0.5f * (left - right) / curvature, -0.5f, 0.5f) : 0.0f;
  return {place, middle - 0.25f * (left - right) * place};
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
  // Written so that NaN fails.
  if (!(f0_min >= 50.0f && f0_min < f0_max && f0_max <= 1000.0f)) {
    throw std::invalid_argument("expected 50 <= f0_min < f0_max <= 1000 Hz, got f0_min=" + std::to_string(f0_min) +
                                ", f0_max=" + std::to_string(f0_max));
  }
  lag_min_ = static_cast<int>(std::floor(kBandRate / f0_max));
  lag_max_ = static_cast<int>(std::ceil(kBandRate / f0_min));
  high_pass_ = Butterworth(kHighPassHz, true);
  speech_band_ = Butterworth(kSpeechHz, false);
  fundamental_band_ = Butterworth(kFundamentalHz, false);
  window_ = Hann(kWinLength);
  band_window_ = Hann(kBandLength);
  level_window_ = Hann(kLevelLength);
  raw_.resize(kRawLength);
  speech_.resize(kWinLength + kLookahead);
  fundamental_.resize(kBandLength);
  weighted_.resize(kFftSize);
  energy_.resize(kFftSize);
  for (auto* part : {&window_real_, &window_imag_, &weighted_real_, &weighted_imag_, &energy_real_, &energy_imag_}) {
    part->resize(fft_.bins());
  }
  similarity_.resize(lag_max_ + 2);
  std::copy(band_window_.begin(), band_window_.end(), weighted_.begin());
  fft_.Forward(weighted_.data(), window_real_.data(), window_imag_.data());
  Reset();
}

int PitchTracker::latency() const { return kLatency; }

void PitchTracker::Reset() noexcept {
  for (auto* buffer : {&raw_, &speech_, &fundamental_}) std::fill(buffer->begin(), buffer->end(), 0.0f);
  state_ = State();
}

void PitchTracker::Process(const float* hop, PitchFrame* frame) noexcept {
  Push(hop);
  const Column& before = state_.columns[state_.newest_column];
  Column& now = state_.columns[1 - state_.newest_column];
  Analyse(before, &now);
  Advance(before, &now);
  int best = 0;
  for (int j = 1; j < now.n_candidates; ++j) {
    if (now.candidates[j].score > now.candidates[best].score) best = j;
  }
  const int chosen = now.candidates[best].previous;
  const Candidate& candidate = before.candidates[chosen];
  frame->f0 = candidate.f0;
  frame->level = Level();
  // An unvoiced frame tells how periodic it is at its best peak, which Analyse() put first.
  const float period_f0 = chosen > 0 || before.n_candidates == 1 ? candidate.f0 : before.candidates[1].f0;
  frame->periodicity = period_f0 > 0.0f ? SpeechBandPeriodicity(period_f0) : 0.0f;

  if (chosen > 0) LearnUsual(before);
  state_.newest_column = 1 - state_.newest_column;
}

PitchTracker::Biquad PitchTracker::Butterworth(double cutoff, bool high_pass) {
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

float PitchTracker::Filter(const Biquad& section, float x, BiquadState* state) noexcept {
  const double y = section.b0 * x + state->s1;
  state->s1 = section.b1 * x - section.a1 * y + state->s2;
  state->s2 = section.b2 * x - section.a2 * y;
  return std::abs(y) < kTiny ? 0.0f : static_cast<float>(y);
}

void PitchTracker::Push(const float* hop) noexcept {
  float* raw = Shift<kHopLength>(&raw_);
  float* speech = Shift<kHopLength>(&speech_);
  float* fundamental = Shift<kBandHop>(&fundamental_);
  for (int i = 0; i < kHopLength; ++i) {
    const float x = std::isfinite(hop[i]) ? Clamp(hop[i], -kMaxSample, kMaxSample) : 0.0f;
    const float high = Filter(high_pass_, x, &state_.high_pass);
    raw[i] = x;
    speech[i] = Filter(speech_band_, high, &state_.speech_band);
    // The speech band's filter comes first and adds to the attenuation of what would fold.
    const float low = Filter(fundamental_band_, speech[i], &state_.fundamental_band);
    if (i % 2 == 0) fundamental[i / 2] = low;
  }
  // A decaying filter would reach denormals, which cost many times more than other numbers on some processors.
  for (BiquadState* filter : {&state_.high_pass, &state_.speech_band, &state_.fundamental_band}) {
    if (std::abs(filter->s1) < 1e-3 * kTiny) filter->s1 = 0.0;
    if (std::abs(filter->s2) < 1e-3 * kTiny) filter->s2 = 0.0;
  }
}

void PitchTracker::Analyse(const Column& before, Column* now) noexcept {
  now->n_candidates = 1;
  Candidate& unvoiced = now->candidates[0];
  unvoiced = Candidate();
  float power = 0.0f;
  for (int i = 0; i < kBandLength; ++i) {
    weighted_[i] = band_window_[i] * fundamental_[i];
    energy_[i] = weighted_[i] * fundamental_[i];
  }
  for (int i = 0; i < kBandLength; ++i) power += energy_[i];
  const float level = Decibels(power / kBandLength, kLeastPower);
  if (level < kSilence) {
    state_.n_audible = 0;
    return;
  }
  state_.n_audible = std::min(state_.n_audible + 1, kWindowHops);

  // sum over j of w[j] w[j + lag] x[j] x[j + lag], and the same of (x[j]^2 + x[j + lag]^2) / 2. Their ratio is within
  // [-1, 1] because the weights are not negative.
  std::fill(weighted_.begin() + kBandLength, weighted_.end(), 0.0f);
  std::fill(energy_.begin() + kBandLength, energy_.end(), 0.0f);
  fft_.Forward(weighted_.data(), weighted_real_.data(), weighted_imag_.data());
  fft_.Forward(energy_.data(), energy_real_.data(), energy_imag_.data());
  const int bins = fft_.bins();
  for (int k = 0; k < bins; ++k) {
    weighted_real_[k] = weighted_real_[k] * weighted_real_[k] + weighted_imag_[k] * weighted_imag_[k];
    weighted_imag_[k] = 0.0f;
    energy_real_[k] = energy_real_[k] * window_real_[k] + energy_imag_[k] * window_imag_[k];
    energy_imag_[k] = 0.0f;
  }
  fft_.Inverse(weighted_real_.data(), weighted_imag_.data(), weighted_.data());
  fft_.Inverse(energy_real_.data(), energy_imag_.data(), energy_.data());
  // Where only the window's edge holds signal, both sums are small and the FFT's rounding would decide.
  const float rounding = 1e-4f * energy_[0] + kLeastPower;
  for (int lag = lag_min_ - 1; lag <= lag_max_ + 1; ++lag)
    similarity_[lag] = weighted_[lag] / (energy_[lag] + rounding);

  FindPeaks(now);
  for (int i = 1; i < now->n_candidates; ++i) {
    unvoiced.periodicity = std::max(unvoiced.periodicity, now->candidates[i].periodicity);
  }
  AddContinuation(before, now);
  unvoiced.score = UnvoicedScore(level, unvoiced.periodicity);
}

PitchTracker::Candidate PitchTracker::MakeCandidate(float lag, float similarity) const noexcept {
  Candidate candidate;
  candidate.f0 = Clamp(kBandRate / lag, f0_min_, f0_max_);
  candidate.log_f0 = std::log2(candidate.f0);
  candidate.periodicity = Clamp(similarity, 0.0f, 1.0f);
  const float unusual = std::min(std::abs(candidate.log_f0 - state_.usual_log_f0), 1.0f);
  candidate.score = std::min(similarity, 1.0f) - kOctaveCost * std::log2(f0_max_ / candidate.f0) -
                    kUnusualCost * state_.usual_weight * unusual;
  return candidate;
}

// Leaves the best kMaxCandidates peaks in falling order of score.
void PitchTracker::FindPeaks(Column* column) noexcept {
  auto& candidates = column->candidates;
  for (int lag = lag_min_; lag <= lag_max_; ++lag) {
    const float left = similarity_[lag - 1], middle = similarity_[lag], right = similarity_[lag + 1];
    if (middle < kMinSimilarity || middle < left || middle <= right) continue;
    const Vertex peak = Parabola(left, middle, right);
    const Candidate found = MakeCandidate(lag + peak.place, peak.value);
    int place = column->n_candidates;
    if (place <= kMaxCandidates) {
      ++column->n_candidates;
    } else if (candidates[--place].score >= found.score) {
      continue;
    }
    for (; place > 1 && candidates[place - 1].score < found.score; --place) candidates[place] = candidates[place - 1];
    candidates[place] = found;
  }
}

// A voice often goes on for some frames in which its peak is hidden by a neighbour.
void PitchTracker::AddContinuation(const Column& before, Column* now) noexcept {
  int best = 0;
  for (int i = 1; i < before.n_candidates; ++i) {
    if (best == 0 || before.candidates[i].score > before.candidates[best].score) best = i;
  }
  if (best == 0) return;
  const float f0 = before.candidates[best].f0;
  for (int i = 1; i < now->n_candidates; ++i) {
    if (std::abs(now->candidates[i].f0 / f0 - 1.0f) < kContinuationWidth) return;
  }
  const auto lag_at = [](float hertz) { return static_cast<int>(std::lround(kBandRate / hertz)); };
  const int low = std::max(lag_min_, lag_at((1.0f + kContinuationWidth) * f0));
  const int high = std::min(lag_max_, lag_at((1.0f - kContinuationWidth) * f0));
  int lag = low;
  for (int i = low + 1; i <= high; ++i) {
    if (similarity_[i] > similarity_[lag]) lag = i;
  }
  const int place = std::min(now->n_candidates, kMaxCandidates);
  const float left = similarity_[lag - 1], middle = similarity_[lag], right = similarity_[lag + 1];
  const Vertex peak = middle >= left && middle >= right ? Parabola(left, middle, right) : Vertex{0.0f, middle};
  now->candidates[place] = MakeCandidate(lag + peak.place, peak.value);
  now->candidates[place].score -= kContinuationCost;
  now->n_candidates = place + 1;
}

// level: of the fundamental's band, dB. periodicity: of the best peak.
float PitchTracker::UnvoicedScore(float level, float periodicity) noexcept {
  state_.peak_level = std::max(level, state_.peak_level - kPeakDecay);
  // Frames that began in silence are partly silent, so they say nothing about the noise.
  if (state_.n_audible >= kWindowHops && periodicity < kPeriodic) {
    if (state_.n_in_block == kFloorBlockFrames) {
      std::copy_backward(state_.block_minima.begin(), state_.block_minima.end() - 1, state_.block_minima.end());
      state_.block_minima[0] = level;
      state_.n_in_block = 0;
    }
    state_.block_minima[0] = std::min(state_.block_minima[0], level);
    ++state_.n_in_block;
  }
  // Before the first frame without a clear period nothing is known of the noise.
  const float floor = *std::min_element(state_.block_minima.begin(), state_.block_minima.end());
  float reference = state_.peak_level - kBelowPeak;
  if (floor < kUnknownFloor) reference = std::max(reference, floor + kAboveFloor);

  // A difference rises with frequency, so hissing sounds are loud in it.
  const float* raw = raw_.data() + kRawLength - kWinLength;
  float power = 0.0f;
  for (int i = 0; i + 1 < kWinLength; ++i) {
    const float difference = raw[i + 1] - raw[i];
    power += window_[i] * difference * difference;
  }
  const float tilt = level - Decibels(power / kWinLength, kLeastPower);
  return kUnvoicedScore + Clamp(kLevelSlope * (reference - level), -kLoudBonus, kQuietPenalty) +
         kTiltSlope * Clamp(kTiltCentre - tilt, -kTiltRange, kTiltRange);
}

// From the peak that would win without what is usual: a usual F0 that confirms itself would stay in a wrong octave.
void PitchTracker::LearnUsual(const Column& column) noexcept {
  int best = 0;
  float best_score = -1e30f;
  for (int i = 1; i < column.n_candidates; ++i) {
    const Candidate& candidate = column.candidates[i];
    const float score = candidate.periodicity + kOctaveCost * candidate.log_f0;
    if (score > best_score) {
      best_score = score;
      best = i;
    }
  }
  if (best == 0 || column.candidates[best].periodicity < kClear) return;
  state_.usual_weight += kUsualRate * (1.0f - state_.usual_weight);
  // The weight turns the exponential mean into the plain mean of what there is at the start.
  state_.usual_log_f0 += kUsualRate / state_.usual_weight * (column.candidates[best].log_f0 - state_.usual_log_f0);
}

void PitchTracker::Advance(const Column& before, Column* now) noexcept {
  float best_of_all = -1e30f;
  for (int j = 0; j < now->n_candidates; ++j) {
    Candidate& candidate = now->candidates[j];
    float best = -1e30f;
    for (int i = 0; i < before.n_candidates; ++i) {
      float cost = 0.0f;
      if ((i == 0) != (j == 0)) cost = kVoicingCost;
      if (i > 0 && j > 0) cost = kJumpCost * std::abs(candidate.log_f0 - before.candidates[i].log_f0);
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

// At lags near one period, in the frame that Process() returns: wider than the band that finds the period, so that
// breath and friction count.
float PitchTracker::SpeechBandPeriodicity(float f0) const noexcept {
  const int middle = static_cast<int>(std::lround(kSampleRate / f0));
  float similarity[3];
  for (int k = 0; k < 3; ++k) {
    const int lag = middle + k - 1;
    // Eight sums side by side, so that the compiler need not reorder one.
    float product[8] = {}, energy[8] = {};
    const int n = (kWinLength - lag) / 8 * 8;
    for (int j = 0; j < n; j += 8) {
      for (int i = 0; i < 8; ++i) {
        const float weight = window_[j + i] * window_[j + i + lag], a = speech_[j + i], b = speech_[j + i + lag];
        product[i] += weight * a * b;
        energy[i] += 0.5f * weight * (a * a + b * b);
      }
    }
    float total_product = 0.0f, total_energy = kLeastPower;
    for (int i = 0; i < 8; ++i) {
      total_product += product[i];
      total_energy += energy[i];
    }
    similarity[k] = total_product / total_energy;
  }
  const float peak = Parabola(similarity[0], similarity[1], similarity[2]).value;
  return Clamp(std::max({peak, similarity[0], similarity[1], similarity[2]}), 0.0f, 1.0f);
}

float PitchTracker::Level() const noexcept {
  float power = 0.0f;
  for (int i = 0; i < kLevelLength; ++i) power += level_window_[i] * raw_[i] * raw_[i];
  return Decibels(power / kLevelLength, 1e-10f);
}

}  // namespace edgevc
