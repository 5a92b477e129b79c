// Takes away what lies below speech: a microphone's offset (DC), and rumble.
#pragma once

#include <array>
#include <cstdint>

namespace edgevc {

// Fourth-order Butterworth high-pass (bilinear transform), latency 0. At the default cutoff of 20 Hz an offset
// vanishes, 5 Hz lose 48 dB, and 60 Hz, the lowest pitch that is tracked, nothing.
//
// An offset that is there from the first sample makes no thump: the filter starts as if the first sample that is not 0
// had lasted for ever. So a stream may begin with zeros, as sound servers deliver them before a device runs.
//
// A sample that is not finite, or beyond 1e6, comes out as 0 and is counted; the filter does not see it. What is 200 dB
// below full scale comes out as 0, so that silence ends in zeros and not in slow denormal numbers. How the input is cut
// changes nothing. One object serves one thread at a time.
class HighPass {
 public:
  static constexpr double kCutoff = 20.0;
  static constexpr double kMinCutoff = 5.0;
  static constexpr double kMaxCutoff = 200.0;

  // Both in hertz. Throws std::invalid_argument unless sample_rate is in [4000, 192000] and cutoff, where 3 dB are
  // lost, in [kMinCutoff, kMaxCutoff].
  explicit HighPass(int sample_rate, double cutoff = kCutoff);

  int sample_rate() const { return sample_rate_; }
  double cutoff() const { return cutoff_; }
  // Samples since the last reset that were not finite or beyond 1e6.
  int64_t replaced_samples() const { return replaced_samples_; }

  // in, out: n samples; out may be in. Allocates nothing.
  void Process(const float* in, float* out, int64_t n) noexcept;

  // Equal to a new object.
  void Reset() noexcept;

 private:
  // Two poles, in the transposed direct form II; b0 = b2 = -b1 / 2.
  struct Section {
    double b0 = 1.0, a1 = 0.0, a2 = 0.0;
    double state1 = 0.0, state2 = 0.0;

    double Process(double sample) noexcept;
    // Sets a state that is far below hearing to 0.
    void DropTiny() noexcept;
  };

  int sample_rate_;
  double cutoff_;
  std::array<Section, 2> sections_;
  // Whether a sample other than 0 was seen.
  bool started_ = false;
  int64_t replaced_samples_ = 0;
};

}  // namespace edgevc
