// Sums overlapping segments back into a signal.
#pragma once

#include <vector>

namespace edgevc {

// Adds one segment every hop and hands out the samples that no later segment can change.
//
// The segments' window must satisfy: sum over k of window[n + k * hop_length] == 1 for every n.
class OverlapAdd {
 public:
  // Samples: a minute at 16 kHz.
  static constexpr int kLongestSegment = 1 << 20;

  // window: the weighting that the segments already carry; a segment may ring on to segment_length samples.
  // Throws std::invalid_argument unless 0 < hop_length <= window.size() <= segment_length <= kLongestSegment and
  // the window sums to one within 1e-4 at this hop.
  OverlapAdd(const std::vector<float>& window, int hop_length, int segment_length);

  int hop_length() const { return hop_length_; }
  int segment_length() const { return segment_length_; }

  // segment: segment_length() samples. out: hop_length() samples, not overlapping segment. Allocates nothing.
  void Process(const float* segment, float* out) noexcept;

  void Reset() noexcept;

 private:
  int hop_length_;
  int segment_length_;
  // Sum of the segments so far; index 0 is the first sample of the newest segment, after the shift in Process().
  std::vector<float> sum_;
};

}  // namespace edgevc
