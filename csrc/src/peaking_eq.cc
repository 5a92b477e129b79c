#include "edgevc/peaking_eq.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"

namespace edgevc {

namespace {

// Below this the state is silence; denormal numbers are slow.
constexpr double kInaudible = 1e-30;

std::string Text(double value) { return std::to_string(value); }

}  // namespace

PeakingEq::PeakingEq(int sample_rate) : sample_rate_(sample_rate), glide_length_(sample_rate / 50) {
  if (sample_rate < 4000 || sample_rate > 192000) {
    throw std::invalid_argument("sample_rate must be in [4000, 192000] Hz, got " + std::to_string(sample_rate));
  }
  const Coefficients through = {1.0, 0.0, 0.0, 0.0, 0.0};
  for (Filter& filter : filters_) filter = {through, through, {}, 0.0, 0.0, 0, true};
}

PeakingEq::Filter& PeakingEq::At(int index) {
  if (index < 0 || index >= kMaxFilters) {
    throw std::invalid_argument("index must be in [0, " + std::to_string(kMaxFilters) + "), got " +
                                std::to_string(index));
  }
  return filters_[Index(index)];
}

void PeakingEq::Set(int index, double centre, double gain_db, double quality) {
  Filter& filter = At(index);
  if (!(centre > 0.0 && centre <= 0.49 * sample_rate_)) {
    throw std::invalid_argument("centre must be in (0, " + Text(0.49 * sample_rate_) + "] Hz, got " + Text(centre));
  }
  if (!(std::abs(gain_db) <= kMaxGainDb)) {
    throw std::invalid_argument("gain_db must be in [-" + Text(kMaxGainDb) + ", " + Text(kMaxGainDb) + "], got " +
                                Text(gain_db));
  }
  if (!(quality >= kMinQ && quality <= kMaxQ)) {
    throw std::invalid_argument("quality must be in [" + Text(kMinQ) + ", " + Text(kMaxQ) + "], got " + Text(quality));
  }
  const double amplitude = std::pow(10.0, gain_db / 40.0);
  const double angle = 2.0 * kPi * centre / sample_rate_;
  const double alpha = std::sin(angle) / (2.0 * quality);
  const double scale = 1.0 / (1.0 + alpha / amplitude);
  const double middle = -2.0 * std::cos(angle) * scale;
  Move(&filter,
       {(1.0 + alpha * amplitude) * scale, middle, (1.0 - alpha * amplitude) * scale, middle,
        (1.0 - alpha / amplitude) * scale},
       gain_db == 0.0);
}

void PeakingEq::Clear(int index) {
  Filter& filter = At(index);
  // Of the same poles: only the gain goes.
  Move(&filter, {1.0, filter.target[3], filter.target[4], filter.target[3], filter.target[4]}, true);
}

void PeakingEq::Move(Filter* filter, const Coefficients& target, bool neutral) const noexcept {
  if (filter->neutral && filter->moving == 0) {
    // It was left out: start from the new poles, where a filter of 0 dB has nothing in its state.
    filter->now = {1.0, target[3], target[4], target[3], target[4]};
    filter->state1 = filter->state2 = 0.0;
  }
  filter->target = target;
  filter->neutral = neutral;
  filter->moving = glide_length_;
  for (size_t k = 0; k < 5; ++k) filter->step[k] = (target[k] - filter->now[k]) / glide_length_;
}

void PeakingEq::Process(const float* in, float* out, int64_t n) noexcept {
  if (out != in) std::copy(in, in + n, out);
  for (Filter& filter : filters_) {
    if (filter.neutral && filter.moving == 0) continue;
    Coefficients c = filter.now;
    double state1 = filter.state1, state2 = filter.state2;
    for (int64_t i = 0; i < n; ++i) {
      if (filter.moving > 0) {
        for (size_t k = 0; k < 5; ++k) c[k] += filter.step[k];
        if (--filter.moving == 0) c = filter.target;
      }
      // What is not finite must not stay in the state for ever.
      const double x = std::isfinite(out[i]) ? out[i] : 0.0f;
      const double y = c[0] * x + state1;
      state1 = c[1] * x - c[3] * y + state2;
      state2 = c[2] * x - c[4] * y;
      out[i] = static_cast<float>(y);
    }
    filter.now = c;
    filter.state1 = std::abs(state1) < kInaudible ? 0.0 : state1;
    filter.state2 = std::abs(state2) < kInaudible ? 0.0 : state2;
  }
}

void PeakingEq::Reset() noexcept {
  for (Filter& filter : filters_) {
    filter.now = filter.target;
    filter.state1 = filter.state2 = 0.0;
    filter.moving = 0;
  }
}

}  // namespace edgevc
