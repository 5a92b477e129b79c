#include "edgevc/samples.h"

#include <algorithm>

namespace edgevc {

namespace {

// In pieces that are counted in an int, so that the loops vectorise in 32-bit lanes.
constexpr int64_t kPiece = 4096;

int CountPiece(const float* samples, int n, float limit) noexcept {
  int count = 0;
  for (int i = 0; i < n; ++i) count += IsWithin(samples[i], limit) ? 0 : 1;
  return count;
}

int CopyPiece(const float* __restrict samples, int n, float limit, float* __restrict out) noexcept {
  int count = 0;
  for (int i = 0; i < n; ++i) {
    const bool good = IsWithin(samples[i], limit);
    out[i] = good ? samples[i] : 0.0f;
    count += good ? 0 : 1;
  }
  return count;
}

}  // namespace

int64_t CountBeyond(const float* samples, int64_t n, float limit) noexcept {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kPiece) {
    count += CountPiece(samples + i, static_cast<int>(std::min(kPiece, n - i)), limit);
  }
  return count;
}

int64_t CopyWithin(const float* samples, int64_t n, float limit, float* out) noexcept {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kPiece) {
    count += CopyPiece(samples + i, static_cast<int>(std::min(kPiece, n - i)), limit, out + i);
  }
  return count;
}

void ScaleAndClip(float* samples, int64_t n, float gain) noexcept {
  for (int64_t i = 0; i < n; ++i) samples[i] = std::min(std::max(samples[i] * gain, -1.0f), 1.0f);
}

}  // namespace edgevc
