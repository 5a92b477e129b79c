// What Python cannot see of the F0 tracker: allocations, and accesses out of bounds (run it under ASan and UBSan).
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/pitch_mapper.h"
#include "edgevc/pitch_tracker.h"

using edgevc::PitchAnalysis;
using edgevc::PitchFrame;
using edgevc::PitchMapper;
using edgevc::PitchTracker;

namespace {

constexpr int kHop = 160;

// A sweep from 60 to 500 Hz with noise, silence, full scale and what no microphone should give.
std::vector<float> Difficult() {
  std::vector<float> signal(kHop * 400);
  uint32_t random = 1;
  double phase = 0.0;
  for (size_t i = 0; i < signal.size(); ++i) {
    const double f0 = 60.0 * std::pow(500.0 / 60.0, static_cast<double>(i) / static_cast<double>(signal.size()));
    phase += 6.283185307179586 * f0 / 16000.0;
    random = random * 1664525u + 1013904223u;
    const double noise = static_cast<double>(random >> 8) / 8388608.0 - 1.0;
    signal[i] = static_cast<float>(0.3 * std::sin(phase) + 0.2 * std::sin(2.0 * phase) + 0.01 * noise);
  }
  for (size_t i = 10000; i < 16000; ++i) signal[i] = 0.0f;
  for (size_t i = 20000; i < 21000; ++i) signal[i] = i % 2 ? 1.0f : -1.0f;
  signal[30000] = std::numeric_limits<float>::quiet_NaN();
  signal[30001] = std::numeric_limits<float>::infinity();
  signal[30002] = std::numeric_limits<float>::max();
  signal[30003] = std::numeric_limits<float>::denorm_min();
  return signal;
}

void TestHotPathAllocatesNothing(int latency) {
  const std::vector<float> signal = Difficult();
  const int64_t before_control = alloc_counter::count;
  PitchTracker tracker(16000, kHop, 60.0f, 500.0f, latency);
  PitchMapper mapper(7.5);
  // The control: a count that cannot grow would prove nothing.
  CHECK(alloc_counter::count > before_control);
  int n_voiced = 0;
  CHECK(alloc_counter::During([&] {
          for (size_t start = 0; start < signal.size(); start += kHop) {
            PitchFrame frame;
            tracker.Process(signal.data() + start, &frame);
            CHECK(frame.f0 == 0.0f || (frame.f0 >= 60.0f && frame.f0 <= 500.0f));
            CHECK(frame.periodicity >= 0.0f && frame.periodicity <= 1.0f);
            CHECK(std::isfinite(frame.level));
            n_voiced += frame.f0 > 0.0f;
            float features[PitchMapper::kFeatures];
            const float f0 = mapper.Process(frame, features);
            // 2^7.5 Hz, an octave up or down
            CHECK(f0 == 0.0f || (f0 > 90.0f && f0 < 363.0f));
            for (float feature : features) CHECK(std::abs(feature) <= 3.0f);
          }
          tracker.Reset();
        }) == 0);
  CHECK(n_voiced > 200);
}

void TestResetEqualsNew() {
  const std::vector<float> signal = Difficult();
  PitchTracker used(16000, kHop, 60.0f, 500.0f), fresh(16000, kHop, 60.0f, 500.0f);
  PitchFrame a, b;
  for (size_t start = 0; start < signal.size(); start += kHop) used.Process(signal.data() + start, &a);
  used.Reset();
  for (size_t start = 0; start < signal.size(); start += kHop) {
    used.Process(signal.data() + start, &a);
    fresh.Process(signal.data() + start, &b);
    CHECK(std::memcmp(&a, &b, sizeof(a)) == 0);
  }
}

void TestExtremeLimitsStayInBounds() {
  const std::vector<float> signal = Difficult();
  for (const auto& [low, high] : {std::pair{60.0f, 60.5f}, {499.0f, 500.0f}, {60.0f, 500.0f}}) {
    PitchTracker tracker(16000, kHop, low, high);
    for (size_t start = 0; start < signal.size(); start += kHop) {
      PitchFrame frame;
      tracker.Process(signal.data() + start, &frame);
      CHECK(frame.f0 == 0.0f || (frame.f0 >= low && frame.f0 <= high));
    }
  }
}

void TestWrongSettingsThrow() {
  const auto throws = [](int rate, int hop, float low, float high, int latency = PitchAnalysis::kLatency) {
    try {
      PitchTracker tracker(rate, hop, low, high, latency);
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(throws(8000, kHop, 60.0f, 500.0f));
  CHECK(throws(16000, 128, 60.0f, 500.0f));
  CHECK(throws(16000, kHop, 49.0f, 500.0f));
  CHECK(throws(16000, kHop, 60.0f, 1001.0f));
  CHECK(throws(16000, kHop, 500.0f, 500.0f));
  CHECK(throws(16000, kHop, nan, 500.0f));
  CHECK(throws(16000, kHop, 60.0f, nan));
  CHECK(throws(16000, kHop, 60.0f, 500.0f, 320));
  CHECK(!throws(16000, kHop, 60.0f, 500.0f, PitchAnalysis::kLowLatency));
}

}  // namespace

int main() {
  TestHotPathAllocatesNothing(PitchAnalysis::kLatency);
  TestHotPathAllocatesNothing(PitchAnalysis::kLowLatency);
  TestResetEqualsNew();
  TestExtremeLimitsStayInBounds();
  TestWrongSettingsThrow();
}
