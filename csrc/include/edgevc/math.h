// Small pieces of arithmetic that several parts share.
#pragma once

namespace edgevc {

constexpr double kPi = 3.14159265358979323846;

}  // namespace edgevc
