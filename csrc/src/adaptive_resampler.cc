#include "edgevc/adaptive_resampler.h"

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

// Rows per sample of the lower rate. A straight line between rows is off by (pi / rows)^2 / 8, which is -94 dB; the
// table of the common rates is 0.1 MB and stays in a small board's cache.
constexpr int kRowsPerSample = 256;

// Output samples per 10 ms are to_rate / kGlidesPerSecond.
constexpr int kGlidesPerSecond = 100;

}  // namespace

AdaptiveResampler::AdaptiveResampler(int from_rate, int to_rate) : from_rate_(from_rate), to_rate_(to_rate) {
  SincTable table(from_rate, to_rate);
  up_ = table.up;
  down_ = table.down;
  latency_ = table.latency;
  half_width_ = table.half_width;
  taps_ = table.taps;
  phases_ = static_cast<int>(std::ceil(kRowsPerSample * std::min(1.0, static_cast<double>(up_) / down_)));
  table.Fill(phases_, phases_ + 1);
  filter_ = std::move(table.coefficients);
  history_.resize(4 * static_cast<size_t>(std::max(taps_, 256)));
  glide_length_ = to_rate / kGlidesPerSecond;
  // Rounded up: output may come a little after the sample that it needs, never before it.
  nominal_step_ = CeilDivide(static_cast<int64_t>(down_) << kFraction, up_);
  Reset();
}

void AdaptiveResampler::Reset() noexcept {
  std::fill(history_.begin(), history_.end(), 0.0f);
  fill_ = taps_ - 1;
  ratio_ = 1.0;
  clock_ = {0, nominal_step_, nominal_step_, 0, -1};
  delaying_ = up_ == down_;
  samples_in_ = 0;
  replaced_samples_ = 0;
}

void AdaptiveResampler::SetRatio(double ratio) noexcept {
  if (std::isnan(ratio)) return;
  ratio = std::min(std::max(ratio, kMinRatio), kMaxRatio);
  if (ratio == ratio_) return;
  ratio_ = ratio;
  clock_.target = ratio == 1.0 ? nominal_step_ : std::llround(static_cast<double>(nominal_step_) / ratio);
  if (delaying_) {
    if (clock_.fade < 0) clock_.fade = glide_length_;
  } else {
    clock_.glide = glide_length_;
  }
}

void AdaptiveResampler::Clock::Advance(int glide_length) noexcept {
  time += step;
  if (fade > 0) {
    if (--fade == 0) glide = glide_length;
  } else if (glide > 0) {
    step += (target - step) / glide;
    --glide;
  }
}

int64_t AdaptiveResampler::MaxOutput(int64_t n_in) const noexcept {
  if (n_in <= 0) return 0;
  const int64_t nominal = CeilDivide(n_in * up_, down_);
  return nominal + nominal / 50 + 2;
}

int64_t AdaptiveResampler::Count(int64_t n_in, Clock* clock) const noexcept {
  // In pieces, whose length in units of 2^-kFraction fits into 64 bits.
  constexpr int64_t kPiece = 1 << 20;
  int64_t count = 0;
  while (n_in > 0) {
    const int64_t piece = std::min(n_in, kPiece);
    const int64_t end = piece << kFraction;
    for (; clock->time < end && (clock->glide > 0 || clock->fade > 0); ++count) clock->Advance(glide_length_);
    if (clock->time < end) {
      const int64_t rest = CeilDivide(end - clock->time, clock->step);
      clock->time += rest * clock->step;
      count += rest;
    }
    clock->time -= end;
    n_in -= piece;
  }
  return count;
}

int64_t AdaptiveResampler::NextOutput(int64_t n_in) const noexcept {
  Clock clock = clock_;
  return Count(n_in, &clock);
}

int64_t AdaptiveResampler::Append(const float* input, int64_t n_in) noexcept {
  const int64_t past = taps_ - 1;
  if (fill_ == static_cast<int64_t>(history_.size())) {
    std::memmove(history_.data(), history_.data() + fill_ - past, sizeof(float) * Index(past));
    fill_ = past;
  }
  const int64_t taken = std::min(n_in, static_cast<int64_t>(history_.size()) - fill_);
  replaced_samples_ += CopyWithin(input, taken, kLargestResampled, history_.data() + fill_);
  fill_ += taken;
  samples_in_ += taken;
  return taken;
}

float AdaptiveResampler::OutputAt(const float* newest, int64_t fraction) const noexcept {
  const float* samples = newest - (taps_ - 1);
  if (delaying_ && clock_.fade < 0) return newest[-latency_];
  constexpr float kUnit = 1.0f / static_cast<float>(int64_t{1} << kFraction);
  const int64_t scaled = fraction * phases_;
  const float between = static_cast<float>(scaled & ((int64_t{1} << kFraction) - 1)) * kUnit;
  const float* row = filter_.data() + (scaled >> kFraction) * taps_;
  const float low = Dot(samples, row, taps_);
  const float filtered = between == 0.0f ? low : low + between * (Dot(samples, row + taps_, taps_) - low);
  if (!delaying_) return filtered;
  const float delayed = newest[-latency_];
  return filtered + static_cast<float>(clock_.fade) / static_cast<float>(glide_length_) * (delayed - filtered);
}

int64_t AdaptiveResampler::Process(const float* input, int64_t n_in, float* output) noexcept {
  return Run(input, n_in, output, std::numeric_limits<int64_t>::max());
}

int64_t AdaptiveResampler::Run(const float* input, int64_t n_in, float* output, int64_t max_out) noexcept {
  int64_t n_out = 0;
  while (n_in > 0) {
    const int64_t taken = Append(input, n_in);
    const float* first = history_.data() + fill_ - taken;
    while (clock_.time < (taken << kFraction) && n_out < max_out) {
      output[n_out++] = OutputAt(first + (clock_.time >> kFraction), clock_.time & ((int64_t{1} << kFraction) - 1));
      clock_.Advance(glide_length_);
      if (delaying_ && clock_.fade == 0) delaying_ = false;
    }
    clock_.time -= taken << kFraction;
    input += taken;
    n_in -= taken;
  }
  return n_out;
}

int64_t AdaptiveResampler::FlushOutput() const noexcept {
  if (samples_in_ == 0) return 0;
  // Every output sample whose own time, half a step later, is not beyond the end of the input; the tolerance undoes
  // the rounding of the step where that is a tie.
  constexpr double kTolerance = 1e-6;
  const double unit = static_cast<double>(int64_t{1} << kFraction);
  int64_t count = 0;
  for (Clock clock = clock_;
       (static_cast<double>(clock.time) + 0.5 * static_cast<double>(clock.step)) / unit - half_width_ <= kTolerance;
       ++count) {
    clock.Advance(glide_length_);
  }
  return count;
}

int64_t AdaptiveResampler::Flush(float* output) noexcept {
  const float silence[64] = {};
  const int64_t total = FlushOutput();
  for (int64_t n_out = 0; n_out < total;) n_out += Run(silence, 64, output + n_out, total - n_out);
  Reset();
  return total;
}

}  // namespace edgevc
