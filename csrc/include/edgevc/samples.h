// What a stream does to every sample around its model, in one pass.
#pragma once

#include <cstdint>

namespace edgevc {

// How many of n samples are not within +-limit; NaN is not. Allocates nothing.
int64_t CountBeyond(const float* samples, int64_t n, float limit) noexcept;

// Multiplies by gain and limits to +-1, in place; samples must be finite. Allocates nothing.
void ScaleAndClip(float* samples, int64_t n, float gain) noexcept;

}  // namespace edgevc
