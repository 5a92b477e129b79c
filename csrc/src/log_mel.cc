#include "edgevc/log_mel.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/fast_log.h"
#include "edgevc/math.h"
#include "edgevc/samples.h"

namespace edgevc {

namespace {

// The pending samples move to the front of their store once in about eight frames.
constexpr int kStoreFrames = 8;

const LogMelOptions& Checked(const LogMelOptions& options) {
  const int n_fft = options.mel.n_fft;
  if (!(0 < options.hop_length && options.hop_length <= options.win_length && options.win_length <= n_fft)) {
    throw std::invalid_argument(
        "expected 0 < hop_length <= win_length <= n_fft, got hop_length=" + std::to_string(options.hop_length) +
        ", win_length=" + std::to_string(options.win_length) + ", n_fft=" + std::to_string(n_fft));
  }
  // Comparisons written so that NaN fails as well.
  if (!(options.preemphasis >= 0.0 && options.preemphasis < 1.0)) {
    throw std::invalid_argument("preemphasis must be in [0, 1), got " + std::to_string(options.preemphasis));
  }
  if (!(options.input_scale > 0.0 && options.input_scale <= 65536.0)) {
    throw std::invalid_argument("input_scale must be in (0, 65536], got " + std::to_string(options.input_scale));
  }
  if (!(options.log_floor >= 1e-30 && options.log_floor <= 1e30)) {
    throw std::invalid_argument("log_floor must be in [1e-30, 1e30], got " + std::to_string(options.log_floor));
  }
  return options;
}

// Sixteen partial sums: without -ffast-math the compiler must not make them itself.
float Mean(const float* x, int length) {
  constexpr int kLanes = 16;
  float sum[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= length; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) sum[lane] += x[i + lane];
  }
  float total = 0.0f;
  for (; i < length; ++i) total += x[i];
  for (float part : sum) total += part;
  return total / static_cast<float>(length);
}

void Multiply(int length, const float* __restrict x, const float* __restrict window, float* __restrict out) {
  for (int i = 0; i < length; ++i) out[i] = x[i] * window[i];
}

void RemoveMean(int length, float mean, const float* __restrict x, float* __restrict out) {
  for (int i = 0; i < length; ++i) out[i] = x[i] - mean;
}

// The first sample stands for its own predecessor, as in Kaldi.
void Preemphasise(int length, float coefficient, const float* __restrict x, const float* __restrict window,
                  float* __restrict out) {
  out[0] = (x[0] - coefficient * x[0]) * window[0];
  for (int i = 1; i < length; ++i) out[i] = (x[i] - coefficient * x[i - 1]) * window[i];
}

void Power(int bins, float* __restrict real, const float* __restrict imag) {
  for (int k = 0; k < bins; ++k) real[k] = real[k] * real[k] + imag[k] * imag[k];
}

void LogAdd(int count, float floor, float* values) {
  for (int i = 0; i < count; ++i) values[i] = FastLog(values[i] + floor);
}

void LogMax(int count, float floor, float* values) {
  for (int i = 0; i < count; ++i) values[i] = FastLog(values[i] > floor ? values[i] : floor);
}

}  // namespace

LogMel::LogMel(const LogMelOptions& options)
    : options_(Checked(options)),
      filterbank_(options.mel),
      fft_(options.mel.n_fft),
      scaled_window_(Window()),
      pending_(Index(options.win_length + kStoreFrames * options.hop_length)),
      padded_(Index(2 * options.mel.n_fft)),
      real_(Index(fft_.bins())),
      imag_(Index(fft_.bins())) {
  for (float& weight : scaled_window_) weight *= static_cast<float>(options_.input_scale);
  Reset();
}

void LogMel::Reset() noexcept {
  start_ = 0;
  filled_ = options_.primed ? options_.win_length - options_.hop_length : 0;
  std::fill(pending_.begin(), pending_.begin() + filled_, 0.0f);
  samples_in_ = 0;
  n_bad_samples_ = 0;
}

int64_t LogMel::FramesFor(int64_t n_samples) const noexcept {
  const int64_t available = filled_ - start_ + n_samples;
  return available < options_.win_length ? 0 : (available - options_.win_length) / options_.hop_length + 1;
}

int64_t LogMel::SamplesToNextFrame() const noexcept { return options_.win_length - (filled_ - start_); }

int64_t LogMel::Process(const float* samples, int64_t n_samples, float* out) noexcept {
  const int capacity = static_cast<int>(pending_.size());
  int64_t n_frames = 0;
  samples_in_ += n_samples;
  while (n_samples > 0) {
    const int count = static_cast<int>(std::min<int64_t>(capacity - filled_, n_samples));
    n_bad_samples_ += CopyWithin(samples, count, kLargestSample, pending_.data() + filled_);
    filled_ += count;
    samples += count;
    n_samples -= count;
    for (; filled_ - start_ >= options_.win_length; start_ += options_.hop_length, ++n_frames) {
      Analyse(pending_.data() + start_, out + n_frames * n_mels());
    }
    if (filled_ == capacity) {
      std::copy(pending_.begin() + start_, pending_.begin() + filled_, pending_.begin());
      filled_ -= start_;
      start_ = 0;
    }
  }
  return n_frames;
}

void LogMel::Analyse(const float* frame, float* log_mel) noexcept {
  const int length = options_.win_length;
  if (options_.remove_dc) {
    float* centred = padded_.data() + options_.mel.n_fft;
    RemoveMean(length, Mean(frame, length), frame, centred);
    frame = centred;
  }
  if (options_.preemphasis > 0.0) {
    Preemphasise(length, static_cast<float>(options_.preemphasis), frame, scaled_window_.data(), padded_.data());
  } else {
    Multiply(length, frame, scaled_window_.data(), padded_.data());
  }
  fft_.Forward(padded_.data(), real_.data(), imag_.data());
  Power(fft_.bins(), real_.data(), imag_.data());
  filterbank_.Apply(real_.data(), log_mel);
  const float floor = static_cast<float>(options_.log_floor);
  if (options_.floor_mode == LogFloor::kAdd) {
    LogAdd(n_mels(), floor, log_mel);
  } else {
    LogMax(n_mels(), floor, log_mel);
  }
}

}  // namespace edgevc
