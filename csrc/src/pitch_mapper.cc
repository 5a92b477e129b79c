#include "edgevc/pitch_mapper.h"

#include <algorithm>
#include <cmath>

namespace edgevc {

namespace {

// The first voiced frames find the mean, and outweigh the guess at once; then it may move only slowly, or the falling
// melody of a sentence would be flattened: chosen with tools/try_melody.py.
constexpr double kPriorFrames = 4.0;
constexpr int kFirstFrames = 15;
constexpr double kSlowFrames = 2000.0;
// What lies farther from the mean is rather an octave error of the tracker than speech.
constexpr double kMaxOctaves = 1.0;

}  // namespace

double PitchMapper::Map(double f0) noexcept {
  if (!(f0 > 0.0)) return 0.0;
  const double octaves = std::log2(f0);
  n_voiced_ = std::min(n_voiced_ + 1, kFirstFrames + 1);
  mean_ += (octaves - mean_) / (n_voiced_ <= kFirstFrames ? kPriorFrames + n_voiced_ : kSlowFrames);
  return std::exp2(std::min(std::max(octaves - mean_, -kMaxOctaves), kMaxOctaves) + target_);
}

float PitchMapper::Process(const PitchFrame& frame, float* features) noexcept {
  const double f0 = Map(frame.f0);
  features[0] = f0 > 0.0 ? static_cast<float>(std::log2(f0) - 7.5) : 0.0f;
  features[1] = f0 > 0.0 ? 1.0f : 0.0f;
  features[2] = frame.periodicity;
  features[3] = std::min(std::max((frame.level + 40.0f) / 20.0f, -3.0f), 2.0f);
  return static_cast<float>(f0);
}

}  // namespace edgevc
