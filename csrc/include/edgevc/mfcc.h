// Streaming mel-frequency cepstral coefficients.
#pragma once

#include <cstdint>
#include <vector>

#include "edgevc/log_mel.h"

namespace edgevc {

enum class LifterType {
  kNone,
  // 1 + lifter / 2 * sin(pi * n / lifter), n from 0 (Kaldi, HTK): coefficient 0 is not changed.
  kKaldi,
  // 1 + lifter / 2 * sin(pi * (n + 1) / lifter), n from 0 (librosa.feature.mfcc).
  kLibrosa,
};

struct MfccOptions {
  LogMelOptions log_mel;
  int n_mfcc = 13;
  LifterType lifter_type = LifterType::kNone;
  double lifter = 22.0;
};

// The orthonormal DCT-II of each natural log-mel frame, first n_mfcc coefficients, liftered; shape (frames, n_mfcc).
// Coefficient 0 is the DCT's own, never the frame's energy. Framing and bad samples as in LogMel.
class Mfcc {
 public:
  // Throws std::invalid_argument unless 1 <= n_mfcc <= n_mels, lifter > 0 where used, and the log-mel options hold.
  explicit Mfcc(const MfccOptions& options);

  int n_mfcc() const { return n_mfcc_; }
  const LogMel& log_mel() const { return log_mel_; }

  // out: room for log_mel().FramesFor(n_samples) * n_mfcc() values. Returns the number of frames. Allocates nothing.
  int64_t Process(const float* samples, int64_t n_samples, float* out) noexcept;

  void Reset() noexcept { log_mel_.Reset(); }

 private:
  int n_mfcc_;
  // n_mfcc_ rounded up to whole registers
  int stride_ = 0;
  LogMel log_mel_;
  // (n_mels, stride_): one row is added per mel band, so that the inner loop runs over coefficients and vectorises.
  std::vector<float> transposed_dct_;
  std::vector<float> mel_frame_, cepstrum_;
};

}  // namespace edgevc
