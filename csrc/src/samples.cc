#include "edgevc/samples.h"

#include <algorithm>
#include <cmath>

namespace edgevc {

int64_t CountBeyond(const float* samples, int64_t n, float limit) noexcept {
  int64_t count = 0;
  // NaN compares false with everything.
  for (int64_t i = 0; i < n; ++i) count += !(std::abs(samples[i]) <= limit);
  return count;
}

void ScaleAndClip(float* samples, int64_t n, float gain) noexcept {
  for (int64_t i = 0; i < n; ++i) samples[i] = std::min(std::max(samples[i] * gain, -1.0f), 1.0f);
}

}  // namespace edgevc
