// What Python cannot see of the high-pass: allocations, and denormal numbers on the way to silence.
#include <cfloat>
#include <cmath>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/high_pass.h"

using edgevc::HighPass;

namespace {

void TestProcessAllocatesNothing() {
  HighPass filter(48000);
  std::vector<float> block(480, 0.25f);
  const int64_t allocations = alloc_counter::During([&] {
    for (int i = 0; i < 100; ++i) filter.Process(block.data(), block.data(), 480);
    filter.Reset();
  });
  CHECK(allocations == 0);
}

void TestAMinuteOfSilenceHoldsNoDenormalNumbers() {
  HighPass filter(192000, 200.0);
  std::vector<float> block(1920);
  for (size_t i = 0; i < block.size(); ++i) block[i] = i % 7 ? -0.5f : 1e-37f;
  filter.Process(block.data(), block.data(), 1920);
  for (int i = 0; i < 6000; ++i) {
    std::fill(block.begin(), block.end(), 0.0f);
    filter.Process(block.data(), block.data(), 1920);
    for (float sample : block) CHECK(sample == 0.0f || std::abs(sample) >= FLT_MIN);
  }
  for (float sample : block) CHECK(sample == 0.0f);
}

// An hour with an offset and a tone: what is left of the offset does not grow.
void TestTheOffsetStaysAway() {
  HighPass filter(16000);
  std::vector<float> in(16000), out(16000);
  for (size_t i = 0; i < in.size(); ++i) {
    in[i] =
        0.9f + 0.01f * static_cast<float>(std::sin(2.0 * 3.14159265358979 * 1000.0 * static_cast<double>(i) / 16e3));
  }
  for (int second = 0; second < 3600; ++second) filter.Process(in.data(), out.data(), 16000);
  double sum = 0.0;
  for (float sample : out) sum += sample;
  CHECK(std::abs(sum / 16000.0) < 1e-7);
}

}  // namespace

int main() {
  TestProcessAllocatesNothing();
  TestAMinuteOfSilenceHoldsNoDenormalNumbers();
  TestTheOffsetStaysAway();
  return 0;
}
