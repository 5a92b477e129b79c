#include "edgevc/limiter.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"

namespace edgevc {

namespace {

constexpr double kRecoverySeconds = 0.05;

// A gain this near to 1 (-100 dB) is set to 1, or it would take seconds to become it.
constexpr double kNearlyOne = 0.99999;

}  // namespace

Limiter::Limiter(int sample_rate, double ceiling_db) {
  if (sample_rate < 4000 || sample_rate > 192000) {
    throw std::invalid_argument("sample_rate must be in [4000, 192000] Hz, got " + std::to_string(sample_rate));
  }
  if (!(ceiling_db >= -60.0 && ceiling_db <= 0.0)) {
    throw std::invalid_argument("ceiling_db must be in [-60, 0], got " + std::to_string(ceiling_db));
  }
  latency_ = sample_rate / 1000;
  // Rounded towards 0: the float nearest to the ceiling may lie above it.
  ceiling_ = std::nextafter(static_cast<float>(std::pow(10.0, ceiling_db / 20.0)), 0.0f);
  recovery_ = 1.0 - std::exp(-1.0 / (kRecoverySeconds * sample_rate));
  delay_.resize(Index(latency_ + 1));
  needed_.resize(Index(latency_ + 1));
  recovering_.resize(Index(latency_ + 1));
  Reset();
}

void Limiter::Reset() noexcept {
  std::fill(delay_.begin(), delay_.end(), 0.0f);
  std::fill(needed_.begin(), needed_.end(), 1.0f);
  std::fill(recovering_.begin(), recovering_.end(), 1.0f);
  position_ = 0;
  current_ = 1.0;
  active_ = 0;
  limited_samples_ = 0;
}

// The gain of the sample that leaves, given the one that the newest needs.
float Limiter::Gain(float needed) noexcept {
  const int length = latency_ + 1;
  needed_[Index(position_)] = needed;
  if (needed < 1.0f) {
    active_ = 2 * length;
  } else if (active_ == 0) {
    return 1.0f;
  }
  const float least = *std::min_element(needed_.begin(), needed_.end());
  current_ += recovery_ * (1.0 - current_);
  if (current_ > kNearlyOne) current_ = 1.0;
  current_ = std::min(current_, static_cast<double>(least));
  recovering_[Index(position_)] = static_cast<float>(current_);
  if (current_ == 1.0) --active_;
  float sum = 0.0f;
  for (float gain : recovering_) sum += gain;
  return sum / static_cast<float>(length);
}

void Limiter::Process(const float* in, float* out, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const float sample = std::isfinite(in[i]) ? in[i] : 0.0f;
    const float size = std::abs(sample);
    delay_[Index(position_)] = sample;
    const float gain = Gain(size > ceiling_ ? ceiling_ / size : 1.0f);
    position_ = position_ == latency_ ? 0 : position_ + 1;
    // The oldest sample stands where the next one goes.
    const float delayed = delay_[Index(position_)];
    if (gain < 1.0f) {
      ++limited_samples_;
      // The mean is in time for every peak; rounding alone could exceed the ceiling.
      out[i] = std::min(std::max(delayed * gain, -ceiling_), ceiling_);
    } else {
      out[i] = delayed;
    }
  }
}

}  // namespace edgevc
