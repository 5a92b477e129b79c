// Streaming log-mel front end.
#pragma once

#include <cstdint>
#include <vector>

#include "edgevc/mel.h"
#include "edgevc/rfft.h"
#include "edgevc/window.h"

namespace edgevc {

enum class LogFloor {
  // ln(mel + log_floor)
  kAdd,
  // ln(max(mel, log_floor))
  kMax,
};

struct LogMelOptions {
  int win_length = 400;  // samples
  int hop_length = 160;  // samples
  WindowType window = WindowType::kHann;
  bool remove_dc = false;    // subtract each frame's mean
  double preemphasis = 0.0;  // x[n] - preemphasis * x[n - 1] inside the frame, with x[-1] = x[0] as in Kaldi
  double input_scale = 1.0;  // samples are multiplied by this, such as 32768 for Kaldi's 16-bit range
  MelOptions mel;            // sample rate and n_fft; a frame is padded with zeros at its end to n_fft
  double log_floor = 1e-5;   // in units of mel power
  LogFloor floor_mode = LogFloor::kAdd;
  // Start with win_length - hop_length zeros, so that every hop_length samples give exactly one frame from the first
  // on.
  bool primed = false;
};

// Frames of mono audio -> natural log of the mel power, shape (frames, n_mels).
//
// Framing is without padding: frame k covers samples k * hop_length .. k * hop_length + win_length - 1, counted from
// the first sample, or from the zeros in front of it where options.primed. A frame comes with the call that brings its
// last sample, so cutting the input differently changes nothing. Samples that are not within +-kLargestSample are
// replaced by zero and counted, so that no output is NaN or infinite.
class LogMel {
 public:
  // Throws std::invalid_argument unless 0 < hop_length <= win_length <= n_fft, n_fft is a power of two in [8, 65536],
  // 0 <= preemphasis < 1, 0 < input_scale <= 65536, 1e-30 <= log_floor <= 1e30, and the mel options hold.
  explicit LogMel(const LogMelOptions& options);

  const LogMelOptions& options() const { return options_; }
  const MelFilterbank& filterbank() const { return filterbank_; }
  // win_length values, without the input scale.
  std::vector<float> Window() const { return MakeWindow(options_.window, options_.win_length); }
  int n_mels() const { return filterbank_.n_mels(); }

  // Frames that Process would give for n_samples more samples.
  int64_t FramesFor(int64_t n_samples) const noexcept;
  // Samples still missing for the next frame; at least 1.
  int64_t SamplesToNextFrame() const noexcept;

  // out: room for FramesFor(n_samples) * n_mels() values. Returns the number of frames. Allocates nothing.
  int64_t Process(const float* samples, int64_t n_samples, float* out) noexcept;

  // Forgets all samples and counts, like a new object.
  void Reset() noexcept;

  // int64: at 16 kHz int32 overflows after 37 hours, and a board stays on for months.
  int64_t samples_in() const { return samples_in_; }
  int64_t n_bad_samples() const { return n_bad_samples_; }

 private:
  void Analyse(const float* frame, float* log_mel) noexcept;

  LogMelOptions options_;
  MelFilterbank filterbank_;
  Rfft fft_;
  std::vector<float> scaled_window_;
  // Samples not yet done with: pending_[start_ .. filled_). Moved to the front only when the end is reached.
  std::vector<float> pending_;
  int start_ = 0, filled_ = 0;
  int64_t samples_in_ = 0, n_bad_samples_ = 0;
  // One frame on its way. padded_ stays zero from win_length on.
  std::vector<float> padded_, real_, imag_;
};

}  // namespace edgevc
