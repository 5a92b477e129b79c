// The loops over samples around the model.
#include <limits>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/samples.h"

namespace {

void TestCountsWhatIsNoSound() {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> samples = {0.0f, 1e6f, -1e6f, 1.0001e6f, nan, infinity, -infinity, 1e38f};
  CHECK(alloc_counter::During([&] {
          CHECK(edgevc::CountBeyond(samples.data(), 8, 1e6f) == 5);
          CHECK(edgevc::CountBeyond(samples.data(), 3, 1e6f) == 0);
          CHECK(edgevc::CountBeyond(samples.data(), 0, 1e6f) == 0);
        }) == 0);
}

void TestScalesThenClips() {
  std::vector<float> samples = {0.25f, -0.25f, 0.75f, -0.75f};
  CHECK(alloc_counter::During([&] { edgevc::ScaleAndClip(samples.data(), 4, 2.0f); }) == 0);
  CHECK(samples == std::vector<float>({0.5f, -0.5f, 1.0f, -1.0f}));
}

}  // namespace

int main() {
  TestCountsWhatIsNoSound();
  TestScalesThenClips();
}
