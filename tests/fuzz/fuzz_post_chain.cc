// High-pass, equaliser, fade, limiter and feedback guard, with any settings and any samples, however they are cut.
#include <algorithm>
#include <stdexcept>

#include "edgevc/fade_gain.h"
#include "edgevc/feedback_guard.h"
#include "edgevc/high_pass.h"
#include "edgevc/limiter.h"
#include "edgevc/peaking_eq.h"
#include "input.h"

namespace {

struct Chain {
  Chain(int rate, double cutoff, double ceiling, int fade_length)
      : high_pass(rate, cutoff), eq(rate), fade(fade_length, 0.5f), limiter(rate, ceiling) {}

  void Process(std::vector<float>* samples) {
    const int64_t n = static_cast<int64_t>(samples->size());
    float* data = samples->data();
    const std::vector<float> heard = *samples;
    high_pass.Process(data, data, n);
    REQUIRE(AllFinite(*samples));
    eq.Process(data, data, n);
    fade.Process(data, data, n);
    limiter.Process(data, data, n);
    for (float sample : *samples) REQUIRE(std::abs(sample) <= limiter.ceiling());
    const float gain = guard.Process(heard.data(), data, n);
    REQUIRE(gain >= 0.003f && gain <= 1.0f);
  }

  edgevc::HighPass high_pass;
  edgevc::PeakingEq eq;
  edgevc::FadeGain fade;
  edgevc::Limiter limiter;
  edgevc::FeedbackGuard guard;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  try {
    Chain chain(input.Int(3990, 192010), input.Number(5.0, 200.0), input.Number(-60.0, 0.0), input.Int(0, 5000));
    while (!input.empty()) {
      if (input.Int(0, 3) == 0) chain.fade.SetTarget(static_cast<float>(input.Number(0.0, 2.0)));
      if (input.Int(0, 7) == 0) {
        chain.eq.Set(input.Int(0, 8), input.Number(0.0, 8000.0), input.Number(-25.0, 25.0), input.Number(0.0, 21.0));
      }
      // The same samples again and again: a long stream from few bytes.
      const std::vector<float> samples = input.Samples(input.Int(0, 200));
      for (int repeat = input.Int(0, 20); repeat >= 0; --repeat) {
        std::vector<float> block = samples;
        chain.Process(&block);
      }
    }
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
