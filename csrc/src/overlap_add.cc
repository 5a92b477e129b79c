#include "edgevc/overlap_add.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"

namespace edgevc {

OverlapAdd::OverlapAdd(const std::vector<float>& window, int hop_length, int segment_length)
    : hop_length_(hop_length), segment_length_(segment_length) {
  // Before the length becomes an int.
  if (!(0 < hop_length && static_cast<size_t>(hop_length) <= window.size() && segment_length <= kLongestSegment &&
        window.size() <= static_cast<size_t>(segment_length))) {
    throw std::invalid_argument(
        "expected 0 < hop_length <= window length <= segment_length <= " + std::to_string(kLongestSegment) + ", got " +
        std::to_string(hop_length) + ", " + std::to_string(window.size()) + ", " + std::to_string(segment_length));
  }
  const int length = static_cast<int>(window.size());
  for (int n = 0; n < hop_length; ++n) {
    double sum = 0.0;
    for (int k = n; k < length; k += hop_length) sum += window[Index(k)];
    if (!(std::abs(sum - 1.0) < 1e-4)) {
      throw std::invalid_argument("the window must sum to 1 at every hop of " + std::to_string(hop_length) +
                                  ", but sums to " + std::to_string(sum) + " at sample " + std::to_string(n));
    }
  }
  sum_.resize(Index(segment_length));
}

void OverlapAdd::Process(const float* segment, float* out) noexcept {
  for (int n = 0; n < segment_length_; ++n) sum_[Index(n)] += segment[n];
  std::copy_n(sum_.begin(), hop_length_, out);
  std::copy(sum_.begin() + hop_length_, sum_.end(), sum_.begin());
  std::fill(sum_.end() - hop_length_, sum_.end(), 0.0f);
}

void OverlapAdd::Reset() noexcept { std::fill(sum_.begin(), sum_.end(), 0.0f); }

}  // namespace edgevc
