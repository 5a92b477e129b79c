// Streaming sample rate conversion by a rational factor, with a stated latency.
#pragma once

#include <cstdint>
#include <vector>

namespace edgevc {

// Resamples a mono signal from one integer rate to another with a linear-phase polyphase filter.
//
// With up / down = to_rate / from_rate in lowest terms, output sample n stands for the input at the (fractional) sample
// (n - latency()) * down / up. It needs the input up to sample floor(n * down / up) and leaves Process() with that
// sample, so ceil(n_in * up / down) samples have come out after n_in samples went in, however they were cut.
//
// The filter is a sinc under a Kaiser window (J. F. Kaiser, 1974), kHalfWidth samples of the lower rate to each side:
// flat within 0.002 dB up to 0.9 of the lower rate's Nyquist frequency, at least 70 dB down from that frequency on.
// The group delay is latency() output samples, exactly: the window is stretched so that it is a whole number.
// Equal rates copy the input: no filter, latency 0.
//
// Samples that are not finite, or beyond 1e30, are taken as 0 and counted; they never enter the filter.
// One object serves one thread at a time.
class Resampler {
 public:
  static constexpr int kMinRate = 4000;
  static constexpr int kMaxRate = 192000;
  static constexpr int kHalfWidth = 48;

  // Rates in hertz. Throws std::invalid_argument unless both are in [kMinRate, kMaxRate].
  Resampler(int from_rate, int to_rate);

  int from_rate() const { return from_rate_; }
  int to_rate() const { return to_rate_; }
  int up() const { return up_; }
  int down() const { return down_; }
  // Filter taps per output sample.
  int taps() const { return taps_; }

  // Delay in output samples; kHalfWidth samples of the lower rate, rounded up to the output's grid.
  // In input samples it is latency() * down() / up(), which may have a fraction.
  int latency() const { return latency_; }

  // The most samples that Process() returns for n_in input samples: ceil(n_in * up / down). n_in in [0, 2^40].
  int64_t MaxOutput(int64_t n_in) const noexcept;

  // The number of samples that Process() will return for the next n_in samples.
  int64_t NextOutput(int64_t n_in) const noexcept;

  // input: n_in samples; output: room for NextOutput(n_in) samples, not overlapping input. Returns the number written.
  // Allocates nothing.
  int64_t Process(const float* input, int64_t n_in, float* output) noexcept;

  // The number of samples that Flush() will return, at most latency().
  int64_t FlushOutput() const noexcept;

  // Ends the signal with silence, so that all output together is floor(n_in * up / down + 1/2) + latency() samples,
  // then resets. Returns nothing when no sample went in. output: room for FlushOutput() samples. Allocates nothing.
  int64_t Flush(float* output) noexcept;

  // Equal to a new object. Allocates nothing.
  void Reset() noexcept;

  // Input samples since the last reset, and how many of them were replaced by 0.
  int64_t samples_in() const { return samples_in_; }
  int64_t replaced_samples() const { return replaced_samples_; }

 private:
  float FilterAt(const float* newest) const noexcept;
  // Process(), but stops after max_out samples; the state is then good for Reset() only.
  int64_t Run(const float* input, int64_t n_in, float* output, int64_t max_out) noexcept;
  // Appends at most what fits and returns how many samples were taken.
  int64_t Append(const float* input, int64_t n_in) noexcept;

  int from_rate_, to_rate_, up_, down_;
  int latency_ = 0;
  int taps_ = 1;
  // Rows of the filter table. Equal to up_, or fewer: then neighbouring rows are interpolated.
  int phases_ = 1;
  bool interpolate_ = false;
  // (phases_, or phases_ + 1 when interpolating) rows of taps_ coefficients, for the oldest sample first.
  std::vector<float> filter_;
  // The last taps_ - 1 samples at least, ending at fill_.
  std::vector<float> history_;

  int64_t fill_ = 0;
  // Input samples still to come before the one that completes the next output sample; 0: the next one does.
  int64_t wait_ = 0;
  // The next output sample lies phase_ / up_ after that input sample.
  int phase_ = 0;
  // int64: at 48 kHz int32 overflows after 12.4 hours, and a board stays on for months.
  int64_t samples_in_ = 0;
  int64_t samples_out_ = 0;
  int64_t replaced_samples_ = 0;
};

}  // namespace edgevc
