#include "edgevc/resampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "edgevc/math.h"
#include "edgevc/samples.h"
#include "sinc_filter.h"

namespace edgevc {

namespace {

// Tables above this many coefficients (1 MiB) are sampled more coarsely and interpolated. The common rates are below.
constexpr int64_t kMaxTable = 1 << 18;

// Rows per sample of the lower rate when interpolating. A straight line between rows is off by (pi / rows)^2 / 8,
// which is -118 dB.
constexpr int kRowsPerSample = 1024;

}  // namespace

Resampler::Resampler(int from_rate, int to_rate) : from_rate_(from_rate), to_rate_(to_rate) {
  SincTable table(from_rate, to_rate);
  up_ = table.up;
  down_ = table.down;
  if (up_ != down_) {
    latency_ = table.latency;
    taps_ = table.taps;
    interpolate_ = static_cast<int64_t>(up_) * taps_ > kMaxTable;
    const double ratio = static_cast<double>(up_) / down_;
    phases_ = interpolate_ ? static_cast<int>(std::ceil(kRowsPerSample * std::min(1.0, ratio))) : up_;
    // One row more when interpolating: the neighbour of the last one.
    table.Fill(phases_, interpolate_ ? phases_ + 1 : phases_);
    filter_ = std::move(table.coefficients);
    // Four times the filter, so that the past is moved to the front only once in a while.
    history_.resize(4 * static_cast<size_t>(std::max(taps_, 256)));
  }
  Reset();
}

void Resampler::Reset() noexcept {
  // Silence before the first sample.
  std::fill(history_.begin(), history_.end(), 0.0f);
  fill_ = taps_ - 1;
  wait_ = 0;
  phase_ = 0;
  samples_in_ = 0;
  samples_out_ = 0;
  replaced_samples_ = 0;
}

int64_t Resampler::MaxOutput(int64_t n_in) const noexcept { return n_in > 0 ? CeilDivide(n_in * up_, down_) : 0; }

int64_t Resampler::NextOutput(int64_t n_in) const noexcept {
  return n_in > wait_ ? CeilDivide((n_in - wait_) * up_ - phase_, down_) : 0;
}

int64_t Resampler::Append(const float* input, int64_t n_in) noexcept {
  const int64_t capacity = static_cast<int64_t>(history_.size());
  const int64_t past = taps_ - 1;
  if (fill_ == capacity) {
    std::memmove(history_.data(), history_.data() + fill_ - past, sizeof(float) * Index(past));
    fill_ = past;
  }
  const int64_t taken = std::min(n_in, capacity - fill_);
  replaced_samples_ += CopyWithin(input, taken, kLargestResampled, history_.data() + fill_);
  fill_ += taken;
  samples_in_ += taken;
  return taken;
}

float Resampler::FilterAt(const float* newest) const noexcept {
  const float* samples = newest - (taps_ - 1);
  if (!interpolate_) return Dot(samples, filter_.data() + Index(phase_) * Index(taps_), taps_);
  const int64_t scaled = static_cast<int64_t>(phase_) * phases_;
  const float* row = filter_.data() + Index(scaled / up_) * Index(taps_);
  const float fraction = static_cast<float>(scaled % up_) / static_cast<float>(up_);
  const float low = Dot(samples, row, taps_);
  return low + fraction * (Dot(samples, row + taps_, taps_) - low);
}

int64_t Resampler::Process(const float* input, int64_t n_in, float* output) noexcept {
  return Run(input, n_in, output, std::numeric_limits<int64_t>::max());
}

int64_t Resampler::Run(const float* input, int64_t n_in, float* output, int64_t max_out) noexcept {
  int64_t n_out = 0;
  if (up_ == down_) {
    replaced_samples_ += CopyWithin(input, n_in, kLargestResampled, output);
    samples_in_ += n_in;
    n_out = n_in;
    n_in = 0;
  }
  const int whole = down_ / up_, rest = down_ % up_;
  while (n_in > 0) {
    const int64_t taken = Append(input, n_in);
    const float* first = history_.data() + fill_ - taken;
    while (wait_ < taken && n_out < max_out) {
      output[n_out++] = FilterAt(first + wait_);
      wait_ += whole;
      phase_ += rest;
      if (phase_ >= up_) {
        phase_ -= up_;
        ++wait_;
      }
    }
    wait_ -= taken;
    input += taken;
    n_in -= taken;
  }
  samples_out_ += n_out;
  return n_out;
}

int64_t Resampler::FlushOutput() const noexcept {
  if (samples_in_ == 0) return 0;
  // In two parts, because samples_in_ * up_ would overflow after some years.
  const int64_t whole = samples_in_ / down_, rest = samples_in_ % down_;
  return whole * up_ + (2 * rest * up_ + down_) / (2 * static_cast<int64_t>(down_)) + latency_ - samples_out_;
}

int64_t Resampler::Flush(float* output) noexcept {
  const float silence[64] = {};
  const int64_t total = FlushOutput();
  // One input sample can complete more output than is left to return, hence the limit; Reset() undoes what it breaks.
  for (int64_t n_out = 0; n_out < total;) n_out += Run(silence, 64, output + n_out, total - n_out);
  Reset();
  return total;
}

}  // namespace edgevc
