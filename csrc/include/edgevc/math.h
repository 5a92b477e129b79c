// Small pieces of arithmetic that several parts share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgevc {

constexpr double kPi = 3.14159265358979323846;

// A length or a place, which is never negative, as the standard library counts it.
constexpr std::size_t Index(std::int64_t n) noexcept { return static_cast<std::size_t>(n); }

}  // namespace edgevc
