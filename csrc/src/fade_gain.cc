#include "edgevc/fade_gain.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"

namespace edgevc {

namespace {

constexpr float kLargestGain = 100.0f;
constexpr int kLongestFade = 10'000'000;

}  // namespace

FadeGain::FadeGain(int fade_length, float gain) : fade_length_(fade_length), initial_(gain) {
  if (fade_length < 1 || fade_length > kLongestFade) {
    throw std::invalid_argument("fade_length must be in [1, " + std::to_string(kLongestFade) + "], got " +
                                std::to_string(fade_length));
  }
  if (!(gain >= 0.0f && gain <= kLargestGain)) {
    throw std::invalid_argument("gain must be in [0, 100], got " + std::to_string(gain));
  }
  Reset();
}

void FadeGain::Reset() noexcept {
  gain_ = target_ = start_ = initial_;
  remaining_ = 0;
}

void FadeGain::SetTarget(float target) noexcept {
  if (std::isnan(target)) return;
  target = std::min(std::max(target, 0.0f), kLargestGain);
  if (target == target_) return;
  start_ = gain_;
  target_ = target;
  remaining_ = fade_length_;
}

void FadeGain::Process(const float* in, float* out, int64_t n) noexcept {
  int64_t i = 0;
  for (; i < n && remaining_ > 0; ++i) {
    --remaining_;
    const double arrived = 0.5 + 0.5 * std::cos(kPi * remaining_ / fade_length_);
    gain_ = remaining_ == 0 ? target_ : start_ + static_cast<float>(arrived) * (target_ - start_);
    out[i] = in[i] * gain_;
  }
  if (gain_ == 1.0f) {
    if (out != in) std::copy(in + i, in + n, out + i);
  } else if (gain_ == 0.0f) {
    // Not a product: what is not finite is silence too.
    std::fill(out + i, out + n, 0.0f);
  } else {
    for (; i < n; ++i) out[i] = in[i] * gain_;
  }
}

}  // namespace edgevc
