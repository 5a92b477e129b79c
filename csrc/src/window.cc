#include "edgevc/window.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"

namespace edgevc {

std::vector<float> MakeWindow(WindowType type, int length) {
  if (length < 2) throw std::invalid_argument("window length must be at least 2, got " + std::to_string(length));
  std::vector<float> window(Index(length));
  for (int n = 0; n < length; ++n) {
    if (type == WindowType::kHann) {
      window[Index(n)] = static_cast<float>(0.5 - 0.5 * std::cos(2.0 * kPi * n / length));
    } else {
      window[Index(n)] = static_cast<float>(std::pow(0.5 - 0.5 * std::cos(2.0 * kPi * n / (length - 1)), 0.85));
    }
  }
  return window;
}

}  // namespace edgevc
