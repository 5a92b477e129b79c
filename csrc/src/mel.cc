#include "edgevc/mel.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"

namespace edgevc {

namespace {

// Four partial sums fill one 128-bit register, the widest that SSE2 and NEON share.
constexpr int kLanes = 4;

// Slaney's scale as in librosa.hz_to_mel: 200/3 Hz per mel below 1 kHz, 27 mels per factor of 6.4 above.
constexpr double kSlaneyHertzPerMel = 200.0 / 3.0;
constexpr double kSlaneyBreak = 1000.0;
const double kSlaneyLogStep = std::log(6.4) / 27.0;

// 1127.0 = 2595 / ln(10) to five digits; the factor cancels, because only ratios of mel distances are used.
double HertzToMel(double hertz, MelScale scale) {
  if (scale == MelScale::kHtk) return 1127.0 * std::log1p(hertz / 700.0);
  if (hertz < kSlaneyBreak) return hertz / kSlaneyHertzPerMel;
  return kSlaneyBreak / kSlaneyHertzPerMel + std::log(hertz / kSlaneyBreak) / kSlaneyLogStep;
}

double MelToHertz(double mel, MelScale scale) {
  if (scale == MelScale::kHtk) return 700.0 * std::expm1(mel / 1127.0);
  const double mel_break = kSlaneyBreak / kSlaneyHertzPerMel;
  if (mel < mel_break) return mel * kSlaneyHertzPerMel;
  return kSlaneyBreak * std::exp((mel - mel_break) * kSlaneyLogStep);
}

void Check(const MelOptions& options) {
  if (options.n_mels < 1 || options.n_mels > 1024) {
    throw std::invalid_argument("n_mels must be in [1, 1024], got " + std::to_string(options.n_mels));
  }
  if (options.sample_rate < 1 || options.n_fft < 8 || options.n_fft > 65536) {
    throw std::invalid_argument("expected sample_rate >= 1 and n_fft in [8, 65536], got sample_rate=" +
                                std::to_string(options.sample_rate) + ", n_fft=" + std::to_string(options.n_fft));
  }
  // written so that NaN fails as well
  if (!(options.fmin >= 0.0 && options.fmin < options.fmax && options.fmax <= 0.5 * options.sample_rate)) {
    throw std::invalid_argument(
        "expected 0 <= fmin < fmax <= sample_rate / 2, got fmin=" + std::to_string(options.fmin) +
        ", fmax=" + std::to_string(options.fmax) + ", sample_rate=" + std::to_string(options.sample_rate));
  }
}

}  // namespace

MelFilterbank::MelFilterbank(const MelOptions& options) : n_mels_(options.n_mels), bins_(options.n_fft / 2 + 1) {
  Check(options);
  const bool over_mel = options.interpolation == MelInterpolation::kMel;
  const double mel_min = HertzToMel(options.fmin, options.scale);
  const double mel_step = (HertzToMel(options.fmax, options.scale) - mel_min) / (n_mels_ + 1);
  const auto edge_mel = [&](int edge) { return mel_min + mel_step * edge; };
  const auto edge_hertz = [&](int edge) { return MelToHertz(edge_mel(edge), options.scale); };
  const double bin_hertz = static_cast<double>(options.sample_rate) / options.n_fft;

  for (int mel = 0; mel < n_mels_; ++mel) {
    const double left = over_mel ? edge_mel(mel) : edge_hertz(mel);
    const double centre = over_mel ? edge_mel(mel + 1) : edge_hertz(mel + 1);
    const double right = over_mel ? edge_mel(mel + 2) : edge_hertz(mel + 2);
    const double peak = options.norm == MelNorm::kSlaney ? 2.0 / (edge_hertz(mel + 2) - edge_hertz(mel)) : 1.0;
    std::vector<float> weights(Index(bins_));
    int first = bins_, last = -1;
    for (int bin = 0; bin < bins_; ++bin) {
      const double place = over_mel ? HertzToMel(bin * bin_hertz, options.scale) : bin * bin_hertz;
      const double height = std::min((place - left) / (centre - left), (right - place) / (right - centre));
      // A bin on an edge: rounding must not decide between zero and almost zero, or the filterbank's hash would
      // depend on the machine's math library.
      if (height < 1e-9) continue;
      weights[Index(bin)] = static_cast<float>(peak * height);
      first = std::min(first, bin);
      last = bin;
    }
    if (last < 0) {
      throw std::invalid_argument("mel filter " + std::to_string(mel) +
                                  " covers no FFT bin with n_mels=" + std::to_string(n_mels_) +
                                  ", n_fft=" + std::to_string(options.n_fft) + ": use fewer filters or a longer FFT");
    }
    // Zero weights fill the row up to whole registers; near the last bin they go in front.
    const int length = std::min((last - first + kLanes) / kLanes * kLanes, bins_);
    first = std::min(first, bins_ - length);
    rows_.push_back({first, static_cast<int>(weights_.size()), length});
    weights_.insert(weights_.end(), weights.begin() + first, weights.begin() + first + length);
  }
}

std::vector<float> MelFilterbank::Dense() const {
  std::vector<float> dense(Index(n_mels_) * Index(bins_));
  for (int mel = 0; mel < n_mels_; ++mel) {
    const Row& row = rows_[Index(mel)];
    std::copy_n(weights_.begin() + row.first_weight, row.length,
                dense.begin() + static_cast<ptrdiff_t>(mel) * bins_ + row.first_bin);
  }
  return dense;
}

void MelFilterbank::Apply(const float* power, float* mel) const noexcept {
  const float* weight = weights_.data();
  for (int m = 0; m < n_mels_; ++m) {
    const Row row = rows_[Index(m)];
    const float* bin = power + row.first_bin;
    float sum[kLanes] = {};
    int i = 0;
    for (; i + kLanes <= row.length; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) sum[lane] += weight[i + lane] * bin[i + lane];
    }
    for (; i < row.length; ++i) sum[0] += weight[i] * bin[i];
    mel[m] = (sum[0] + sum[2]) + (sum[1] + sum[3]);
    weight += row.length;
  }
}

}  // namespace edgevc
