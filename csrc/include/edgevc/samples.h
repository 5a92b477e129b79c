// What is done to every sample, in one pass: bad ones found and replaced, a gain, a limit.
#pragma once

#include <cmath>
#include <cstdint>

namespace edgevc {

// Full scale is 1. What is beyond this is no sound: its power may leave float32.
constexpr float kLargestSample = 1e6f;

// Whether a sample is within +-limit; NaN is not.
inline bool IsWithin(float sample, float limit) noexcept { return std::abs(sample) <= limit; }

// How many of n samples are not within +-limit. Allocates nothing.
int64_t CountBeyond(const float* samples, int64_t n, float limit) noexcept;

// Copies n samples to out, which does not overlap them, with zeros for those that are not within +-limit; returns how
// many those were. Allocates nothing.
int64_t CopyWithin(const float* samples, int64_t n, float limit, float* out) noexcept;

// Multiplies by gain and limits to +-1, in place; samples must be finite. Allocates nothing.
void ScaleAndClip(float* samples, int64_t n, float gain) noexcept;

}  // namespace edgevc
