#include "edgevc/pitch_tracker.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace edgevc {

namespace {

constexpr int kSampleRate = 16000;
constexpr float kBandRate = static_cast<float>(PitchAnalysis::kBandRate);
// Of the "unvoiced" probability; at 0.5 the errors of both kinds cost the same.
constexpr float kUnvoiced = 0.5f;
// Steps of the grid on either side of the likeliest F0 whose probabilities are averaged.
constexpr int kCentroidWidth = 6;
// Relative distance from the coarse F0 within which a peak refines it: a step of the grid is 4.4 %.
constexpr float kRefineWidth = 0.028f;
constexpr float kLeastPeak = 0.3f;

}  // namespace

PitchTracker::PitchTracker(int sample_rate, int hop_length, float f0_min, float f0_max, int latency)
    : sample_rate_(sample_rate),
      hop_length_(hop_length),
      f0_min_(f0_min),
      f0_max_(f0_max),
      analysis_(latency),
      network_(latency) {
  if (sample_rate != kSampleRate) {
    throw std::invalid_argument("sample_rate must be 16000 Hz, got " + std::to_string(sample_rate));
  }
  if (hop_length != PitchAnalysis::kHopLength) {
    throw std::invalid_argument("hop_length must be 160 samples, got " + std::to_string(hop_length));
  }
  // Written so that NaN fails.
  if (!(f0_min >= kLowestF0 && f0_min < f0_max && f0_max <= kHighestF0)) {
    throw std::invalid_argument("expected 60 <= f0_min < f0_max <= 500 Hz, got f0_min=" + std::to_string(f0_min) +
                                ", f0_max=" + std::to_string(f0_max));
  }
  const auto nearest = [](float f0) {
    const float place = PitchAnalysis::kGridPerOctave * std::log2(f0 / PitchAnalysis::kGridMin);
    return std::min(static_cast<int>(std::lround(place)), PitchAnalysis::kGridSize - 1);
  };
  first_ = nearest(f0_min);
  last_ = nearest(f0_max);
}

void PitchTracker::Reset() noexcept {
  analysis_.Reset();
  network_.Reset();
}

void PitchTracker::Process(const float* hop, PitchFrame* frame) noexcept {
  analysis_.Push(hop);
  const float* probabilities = network_.Process(analysis_.features().data());
  frame->level = analysis_.Level();
  if (analysis_.audible()) {
    const float coarse = Coarse(probabilities + 1);
    // with less latency the frame lies between two analysis windows, and the network knows better than either
    const float f0 = analysis_.latency() == PitchAnalysis::kLatency ? Refine(coarse) : coarse;
    frame->f0 = probabilities[0] < kUnvoiced ? f0 : 0.0f;
    frame->periodicity = analysis_.Periodicity(f0);
  } else {
    frame->f0 = 0.0f;
    frame->periodicity = 0.0f;
  }
}

float PitchTracker::Coarse(const float* probabilities) const noexcept {
  const int best =
      static_cast<int>(std::max_element(probabilities + first_, probabilities + last_ + 1) - probabilities);
  float sum = 0.0f, moment = 0.0f;
  for (int k = std::max(first_, best - kCentroidWidth); k <= std::min(last_, best + kCentroidWidth); ++k) {
    sum += probabilities[k];
    moment += probabilities[k] * static_cast<float>(k);
  }
  const float place = sum > 0.0f ? moment / sum : static_cast<float>(best);
  return std::clamp(PitchAnalysis::kGridMin * std::exp2(place / PitchAnalysis::kGridPerOctave), f0_min_, f0_max_);
}

float PitchTracker::Refine(float coarse) const noexcept {
  const float* similarity = analysis_.fundamental_similarity();
  const float centre = kBandRate / coarse;
  const int low = std::max(1, static_cast<int>(std::ceil(centre * (1.0f - kRefineWidth) - 0.5f)));
  const int high =
      std::min(PitchAnalysis::kMaxLag - 1, static_cast<int>(std::floor(centre * (1.0f + kRefineWidth) + 0.5f)));
  float best_lag = 0.0f, best_distance = 1e30f;
  for (int lag = low; lag <= high; ++lag) {
    const float left = similarity[lag - 1], middle = similarity[lag], right = similarity[lag + 1];
    if (middle < kLeastPeak || middle < left || middle <= right) continue;
    // vertex of the parabola through the three
    const float curvature = left - 2.0f * middle + right;
    const float place = static_cast<float>(lag) +
                        (curvature < 0.0f ? std::clamp(0.5f * (left - right) / curvature, -0.5f, 0.5f) : 0.0f);
    const float distance = std::abs(place - centre);
    if (distance < best_distance) {
      best_distance = distance;
      best_lag = place;
    }
  }
  return best_lag > 0.0f ? std::clamp(kBandRate / best_lag, f0_min_, f0_max_) : coarse;
}

}  // namespace edgevc
