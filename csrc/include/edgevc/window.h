// Analysis windows.
#pragma once

#include <vector>

namespace edgevc {

enum class WindowType {
  // Periodic Hann, 0.5 - 0.5 cos(2 pi n / length): scipy.signal.get_window("hann", length), librosa's default.
  kHann,
  // Kaldi's default: the symmetric Hann window to the power 0.85.
  kPovey,
};

// length values in [0, 1]. Throws std::invalid_argument unless length >= 2.
std::vector<float> MakeWindow(WindowType type, int length);

}  // namespace edgevc
