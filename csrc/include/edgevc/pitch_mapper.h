// Moves a speaker's melody into another voice's range, and hands it to the decoder.
#pragma once

#include "edgevc/pitch_tracker.h"

namespace edgevc {

// Shifts log-F0 by the distance between the speaker's running mean and the target voice's mean. The mean over voiced
// frames is causal, so a stream and a file give the same sound.
class PitchMapper {
 public:
  // Pitch inputs of the decoder per frame.
  static constexpr int kFeatures = 4;

  // target_log2_f0: mean of log2(F0 / Hz) of the target voice. semitones: raises or lowers the result.
  explicit PitchMapper(double target_log2_f0, double semitones = 0.0) noexcept { Retarget(target_log2_f0, semitones); }

  // Another voice or pitch; what is known of the speaker stays.
  void Retarget(double target_log2_f0, double semitones) noexcept { target_ = target_log2_f0 + semitones / 12.0; }

  // features: receives kFeatures values near unit range: log2(F0 / Hz) - 7.5 of the result or 0, voiced or not, the
  // frame's periodicity, its level (-40 dB becomes 0, 20 dB are 1, within -3 to 2). Returns the F0 in Hz that the
  // target voice speaks, 0 where the frame is unvoiced. Allocates nothing.
  float Process(const PitchFrame& frame, float* features) noexcept;

 private:
  double Map(double f0) noexcept;

  double target_ = 0.0;
  double mean_ = 7.228818690495881;  // log2(150 Hz): a speaker's mean is not known before the first word
  int n_voiced_ = 0;
};

}  // namespace edgevc
