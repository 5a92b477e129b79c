// A gain that moves without a click: mute, bypass, the change from one voice to another.
#pragma once

#include <cstdint>

namespace edgevc {

// The gain goes from where it is to its target over fade_length samples, along half a cosine, sample by sample however
// the input is cut. A gain that has arrived at 1 gives the input bit for bit, at 0 exact silence. Two of them with
// opposite targets are a cross-fade whose gains add up to 1. One object serves one thread at a time.
class FadeGain {
 public:
  // Throws std::invalid_argument unless fade_length is in [1, 10000000] and gain in [0, 100].
  explicit FadeGain(int fade_length, float gain = 1.0f);

  int fade_length() const { return fade_length_; }
  // Of the last sample.
  float gain() const { return gain_; }
  float target() const { return target_; }
  // Samples until the target is reached.
  int remaining() const { return remaining_; }

  // Kept within [0, 100]; NaN is ignored. The target that is set already leaves a fade as it is. Allocates nothing.
  void SetTarget(float target) noexcept;

  // in, out: n samples; out may be in. Allocates nothing.
  void Process(const float* in, float* out, int64_t n) noexcept;

  // Equal to a new object.
  void Reset() noexcept;

 private:
  int fade_length_;
  float initial_;
  float gain_, target_, start_;
  int remaining_ = 0;
};

}  // namespace edgevc
