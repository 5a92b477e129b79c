#include "edgevc/high_pass.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "edgevc/math.h"
#include "edgevc/samples.h"

namespace edgevc {

namespace {

// 200 dB below full scale.
constexpr double kInaudible = 1e-10;
// Far below what could still become audible, far above the denormal numbers.
constexpr double kTinyState = 1e-30;

double WithoutTiny(double state) noexcept { return std::abs(state) < kTinyState ? 0.0 : state; }

}  // namespace

HighPass::HighPass(int sample_rate, double cutoff) : sample_rate_(sample_rate), cutoff_(cutoff) {
  if (sample_rate < 4000 || sample_rate > 192000) {
    throw std::invalid_argument("sample_rate must be in [4000, 192000] Hz, got " + std::to_string(sample_rate));
  }
  // Written so that NaN fails.
  if (!(cutoff >= kMinCutoff && cutoff <= kMaxCutoff)) {
    throw std::invalid_argument("cutoff must be in [5, 200] Hz, got " + std::to_string(cutoff));
  }
  const double k = std::tan(kPi * cutoff / sample_rate);
  // 2 cos of the angles of the four poles, pi / 8 and 3 pi / 8.
  const double damping[] = {2.0 * std::cos(kPi / 8.0), 2.0 * std::cos(3.0 * kPi / 8.0)};
  for (size_t i = 0; i < sections_.size(); ++i) {
    const double scale = 1.0 / (1.0 + damping[i] * k + k * k);
    sections_[i].b0 = scale;
    sections_[i].a1 = 2.0 * (k * k - 1.0) * scale;
    sections_[i].a2 = (1.0 - damping[i] * k + k * k) * scale;
  }
}

void HighPass::Reset() noexcept {
  for (Section& section : sections_) section.state1 = section.state2 = 0.0;
  started_ = false;
  replaced_samples_ = 0;
}

inline double HighPass::Section::Process(double sample) noexcept {
  const double x = b0 * sample, y = x + state1;
  // In this order only two operations wait for y, which the next sample waits for.
  state1 = (state2 - 2.0 * x) - a1 * y;
  state2 = x - a2 * y;
  return y;
}

inline void HighPass::Section::DropTiny() noexcept {
  state1 = WithoutTiny(state1);
  state2 = WithoutTiny(state2);
}

void HighPass::Process(const float* in, float* out, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const float sample = in[i];
    if (!IsWithin(sample, kLargestSample)) {
      out[i] = 0.0f;
      ++replaced_samples_;
      continue;
    }
    if (!started_ && sample != 0.0f) {
      // The state that a constant leaves behind, of which nothing comes out; the second section hears nothing of it.
      sections_[0].state2 = sections_[0].b0 * sample;
      sections_[0].state1 = -sections_[0].state2;
      started_ = true;
    }
    const double y = sections_[1].Process(sections_[0].Process(sample));
    // Only in silence does a state decay without end: the smallest float is far above the smallest double.
    if (sample == 0.0f) {
      for (Section& section : sections_) section.DropTiny();
    }
    out[i] = std::abs(y) < kInaudible ? 0.0f : static_cast<float>(y);
  }
}

}  // namespace edgevc
