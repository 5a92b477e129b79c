// Triangular mel filterbanks, applied sparsely.
#pragma once

#include <vector>

namespace edgevc {

enum class MelScale {
  // 2595 log10(1 + f / 700): HTK, Kaldi, librosa with htk=True.
  kHtk,
  // Linear below 1 kHz, logarithmic above: Slaney's Auditory Toolbox, librosa's default.
  kSlaney,
};

enum class MelInterpolation {
  // The sides of a triangle are straight lines over hertz (librosa, HTK toolkit's picture).
  kHertz,
  // The sides are straight lines over mel (Kaldi).
  kMel,
};

enum class MelNorm {
  // Peak 1.
  kNone,
  // Area 1 over hertz: 2 / (upper edge - lower edge) (librosa's norm="slaney").
  kSlaney,
};

struct MelOptions {
  int sample_rate = 16000;  // hertz
  int n_fft = 512;
  int n_mels = 80;
  double fmin = 20.0;    // hertz, lower edge of the first triangle
  double fmax = 8000.0;  // hertz, upper edge of the last triangle
  MelScale scale = MelScale::kHtk;
  MelInterpolation interpolation = MelInterpolation::kHertz;
  MelNorm norm = MelNorm::kNone;
};

// n_mels triangles whose n_mels + 2 edges stand at equal distances on the mel scale from fmin to fmax.
class MelFilterbank {
 public:
  // Throws std::invalid_argument unless 1 <= n_mels <= 1024, 8 <= n_fft <= 65536, 0 <= fmin < fmax <= sample_rate / 2,
  // and every triangle covers at least one bin.
  explicit MelFilterbank(const MelOptions& options);

  int n_mels() const { return n_mels_; }
  int bins() const { return bins_; }

  // Row-major (n_mels, bins), the weights that Apply uses.
  std::vector<float> Dense() const;

  // power: bins() values. mel: n_mels() values. Allocates nothing.
  void Apply(const float* power, float* mel) const noexcept;

 private:
  struct Row {
    int first_bin;
    int first_weight;
    // a multiple of four, or the whole spectrum where that is shorter
    int length;
  };

  int n_mels_, bins_;
  std::vector<Row> rows_;
  std::vector<float> weights_;
};

}  // namespace edgevc
