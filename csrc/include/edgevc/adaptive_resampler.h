// Sample rate conversion whose ratio can be moved while it runs, for two clocks that drift apart.
#pragma once

#include <cstdint>
#include <vector>

namespace edgevc {

// Resampler (resampler.h) with a ratio around to_rate / from_rate: the same filter, between whose rows it interpolates.
//
// At ratio 1 it does what Resampler does for unequal rates, with the same latency, to -94 dB. Latency is the same from
// the first sample on and does not change when the ratio moves, so equal rates have one as well, unlike Resampler's:
// until the ratio is first moved they are a pure delay of latency() samples, bit for bit. One clock needs no
// AdaptiveResampler; take Resampler there, whose latency is 0 at equal rates.
//
// A new ratio is approached in a straight line over 10 ms of output; time never jumps, only its speed changes. At equal
// rates the first move waits for 10 ms more, in which the pure delay is cross-faded into the filter.
//
// Output leaves Process() with the input sample that completes it. However the input is cut, the output is the same bit
// for bit, if SetRatio() is called after the same number of input samples.
// Samples that are not finite, or beyond 1e30, are taken as 0 and counted. One object serves one thread at a time.
class AdaptiveResampler {
 public:
  static constexpr double kMinRatio = 0.98;
  static constexpr double kMaxRatio = 1.02;

  // Rates in hertz. Throws std::invalid_argument unless both are in [Resampler::kMinRate, Resampler::kMaxRate].
  AdaptiveResampler(int from_rate, int to_rate);

  int from_rate() const { return from_rate_; }
  int to_rate() const { return to_rate_; }

  // Delay in output samples at ratio 1: kHalfWidth samples of the lower rate, rounded up to the output's grid.
  int latency() const { return latency_; }

  // Output samples per input sample are ratio * to_rate / from_rate: above 1 gives more samples. Kept within
  // [kMinRatio, kMaxRatio]; NaN is ignored. Allocates nothing.
  void SetRatio(double ratio) noexcept;
  // The ratio that was last set.
  double ratio() const { return ratio_; }

  // The most samples that Process() returns for n_in input samples at any ratio. n_in in [0, 2^40].
  int64_t MaxOutput(int64_t n_in) const noexcept;

  // The number of samples that Process() will return for the next n_in samples if the ratio is not set before.
  int64_t NextOutput(int64_t n_in) const noexcept;

  // input: n_in samples; output: room for NextOutput(n_in) samples, not overlapping input. Returns the number written.
  // Allocates nothing.
  int64_t Process(const float* input, int64_t n_in, float* output) noexcept;

  // The number of samples that Flush() will return, at most 1.02 * latency() + 1.
  int64_t FlushOutput() const noexcept;

  // Ends the signal with silence, up to the output sample nearest to the end of the input, and resets. At ratio 1 all
  // output together is floor(n_in * to_rate / from_rate + 1/2) + latency() samples. Returns nothing when no sample went
  // in. output: room for FlushOutput() samples. Allocates nothing.
  int64_t Flush(float* output) noexcept;

  // Equal to a new object, ratio included. Allocates nothing.
  void Reset() noexcept;

  // Input samples since the last reset, and how many of them were replaced by 0.
  int64_t samples_in() const { return samples_in_; }
  int64_t replaced_samples() const { return replaced_samples_; }

 private:
  // Where the next output sample lies and how the one after it is found.
  struct Clock {
    // Input samples, in units of 2^-kFraction, from the next input sample to the one that completes the next output
    // sample, and the offset between the two neighbours there.
    int64_t time;
    int64_t step, target;
    // Output samples until step is target.
    int glide;
    // Output samples until a pure delay has become the filter; -1 while there is nothing to fade.
    int fade;

    void Advance(int glide_length) noexcept;
  };

  // 2^-41 sample of rounding per output sample: four years until that is one sample.
  static constexpr int kFraction = 40;

  int64_t Count(int64_t n_in, Clock* clock) const noexcept;
  float OutputAt(const float* newest, int64_t fraction) const noexcept;
  int64_t Run(const float* input, int64_t n_in, float* output, int64_t max_out) noexcept;
  int64_t Append(const float* input, int64_t n_in) noexcept;

  int from_rate_, to_rate_, up_, down_;
  int latency_;
  int taps_, phases_;
  double half_width_;
  int glide_length_;
  int64_t nominal_step_;
  // phases_ + 1 rows of taps_ coefficients, for the oldest sample first.
  std::vector<float> filter_;
  // The last taps_ - 1 samples at least, ending at fill_.
  std::vector<float> history_;

  double ratio_ = 1.0;
  Clock clock_ = {};
  // True from the start at equal rates until the ratio has first been moved and the fade is over.
  bool delaying_ = false;
  int64_t fill_ = 0;
  // int64: at 48 kHz int32 overflows after 12.4 hours, and a board stays on for months.
  int64_t samples_in_ = 0;
  int64_t replaced_samples_ = 0;
};

}  // namespace edgevc
