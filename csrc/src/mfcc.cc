#include "edgevc/mfcc.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"

namespace edgevc {

namespace {

double LifterGain(const MfccOptions& options, int n) {
  if (options.lifter_type == LifterType::kNone) return 1.0;
  const int shifted = options.lifter_type == LifterType::kLibrosa ? n + 1 : n;
  return 1.0 + 0.5 * options.lifter * std::sin(kPi * shifted / options.lifter);
}

void AddRow(int count, float gain, const float* __restrict row, float* __restrict sum) {
  for (int i = 0; i < count; ++i) sum[i] += gain * row[i];
}

}  // namespace

Mfcc::Mfcc(const MfccOptions& options) : n_mfcc_(options.n_mfcc), log_mel_(options.log_mel) {
  const int n_mels = log_mel_.n_mels();
  if (n_mfcc_ < 1 || n_mfcc_ > n_mels) {
    throw std::invalid_argument("n_mfcc must be in [1, n_mels], got n_mfcc=" + std::to_string(n_mfcc_) +
                                ", n_mels=" + std::to_string(n_mels));
  }
  stride_ = (n_mfcc_ + 3) / 4 * 4;
  if (options.lifter_type != LifterType::kNone && !(options.lifter > 0.0 && options.lifter <= 1e6)) {
    throw std::invalid_argument("lifter must be in (0, 1e6], got " + std::to_string(options.lifter));
  }
  transposed_dct_.resize(Index(n_mels) * Index(stride_));
  mel_frame_.resize(Index(n_mels));
  cepstrum_.resize(Index(stride_));
  for (int mel = 0; mel < n_mels; ++mel) {
    for (int n = 0; n < n_mfcc_; ++n) {
      const double scale = std::sqrt((n == 0 ? 1.0 : 2.0) / n_mels) * LifterGain(options, n);
      transposed_dct_[Index(mel) * Index(stride_) + Index(n)] =
          static_cast<float>(scale * std::cos(kPi * n * (mel + 0.5) / n_mels));
    }
  }
}

int64_t Mfcc::Process(const float* samples, int64_t n_samples, float* out) noexcept {
  int64_t n_frames = 0;
  while (n_samples > 0) {
    const int64_t count = std::min(n_samples, log_mel_.SamplesToNextFrame());
    if (log_mel_.Process(samples, count, mel_frame_.data()) == 1) {
      std::fill(cepstrum_.begin(), cepstrum_.end(), 0.0f);
      for (size_t mel = 0; mel < mel_frame_.size(); ++mel) {
        AddRow(stride_, mel_frame_[mel], transposed_dct_.data() + mel * Index(stride_), cepstrum_.data());
      }
      std::copy_n(cepstrum_.begin(), n_mfcc_, out + n_frames * n_mfcc_);
      ++n_frames;
    }
    samples += count;
    n_samples -= count;
  }
  return n_frames;
}

}  // namespace edgevc
