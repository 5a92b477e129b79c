#include "edgevc/window.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace edgevc {

std::vector<float> MakeWindow(WindowType type, int length) {
  if (length < 2) throw std::invalid_argument("window length must be at least 2, got " + std::to_string(length));
  constexpr double kPi = 3.14159265358979323846;
  std::vector<float> window(length);
  for (int n = 0; n < length; ++n) {
    if (type == WindowType::kHann) {
      window[n] = static_cast<float>(0.5 - 0.5 * std::cos(2.0 * kPi * n / length));
    } else {
      window[n] = static_cast<float>(std::pow(0.5 - 0.5 * std::cos(2.0 * kPi * n / (length - 1)), 0.85));
    }
  }
  return window;
}

}  // namespace edgevc
