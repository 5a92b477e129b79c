// Any samples: F0 within its bounds or 0, periodicity within [0, 1], a finite level; and the mapper behind it.
#include <stdexcept>

#include "edgevc/pitch_mapper.h"
#include "edgevc/pitch_tracker.h"
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kHop = edgevc::PitchAnalysis::kHopLength;
  Input input(data, size);
  try {
    const float low = static_cast<float>(input.Number(60.0, 500.0)),
                high = static_cast<float>(input.Number(60.0, 500.0));
    edgevc::PitchTracker tracker(16000, kHop, low, high, input.Int(0, 1) ? 240 : 480);
    edgevc::PitchMapper mapper(input.Number(6.0, 9.0), input.Number(-24.0, 24.0));
    while (!input.empty()) {
      std::vector<float> hop = input.Samples(kHop);
      if (input.Int(0, 7) == 0) tracker.Reset();
      // A period from few bytes, else nothing is ever voiced.
      const int period = input.Int(1, kHop), repeats = input.Int(0, 10);
      for (int i = period; i < kHop; ++i) hop[static_cast<size_t>(i)] = hop[static_cast<size_t>(i - period)];
      for (int repeat = 0; repeat <= repeats; ++repeat) {
        edgevc::PitchFrame frame;
        tracker.Process(hop.data(), &frame);
        REQUIRE(frame.f0 == 0.0f || (frame.f0 >= low && frame.f0 <= high));
        REQUIRE(frame.periodicity >= 0.0f && frame.periodicity <= 1.0f);
        REQUIRE(std::isfinite(frame.level));
        float features[edgevc::PitchMapper::kFeatures];
        mapper.Process(frame, features);
      }
    }
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
