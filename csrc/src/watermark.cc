#include "edgevc/watermark.h"

#include <algorithm>

namespace edgevc {

namespace {

constexpr int kPairs = Watermark::kBands / 2;
// Each random sign stands for a step and its opposite.
constexpr int kRows = Watermark::kPeriod / (2 * Watermark::kHoldFrames);

// The public key: the first 480 bits of SHAKE-256 of the text "edgevc speech watermark 1", 20 bits a row, the first
// pair of bands in the highest bit.
constexpr uint32_t kKey[kRows] = {
    0xf2a12, 0xb2802, 0x8acc5, 0x9d416, 0x1af87, 0x132c4, 0xd7c34, 0x8657c, 0x77969, 0x05da9, 0x7bd72, 0x5476c,
    0x15018, 0x036b6, 0xfccc3, 0x8d94b, 0x0fc1a, 0xfe3a3, 0xa3fc3, 0xe8925, 0x07521, 0xad64a, 0x60874, 0x10aee,
};

struct Step {
  float louder, quieter;
};

// 10^(dB / 20) and its inverse, of kGentleStepDb and kStepDb.
constexpr Step kGentle = {1.0351422f, 0.96605088f};
constexpr Step kFull = {1.0715193f, 0.93325430f};

}  // namespace

int Watermark::Sign(int frame, int band) noexcept {
  const int step = frame / kHoldFrames;
  const uint32_t bit = (kKey[step / 2] >> (kPairs - 1 - band / 2)) & 1u;
  const bool turned = (step % 2 != 0) != (band % 2 != 0);
  return (bit != 0u) != turned ? 1 : -1;
}

void Watermark::Fill(float* factors) const noexcept {
  float* to = factors + kFirstBin;
  for (int band = 0; band < kBands; ++band) {
    const Step& step = band < kGentleBands ? kGentle : kFull;
    to = std::fill_n(to, kBinsPerBand, Sign(frame_, band) > 0 ? step.louder : step.quieter);
  }
}

}  // namespace edgevc
