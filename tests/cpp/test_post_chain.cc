// What Python cannot see of the post chain and the adaptive resampler: allocations, writes beyond the end, long runs.
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/adaptive_resampler.h"
#include "edgevc/fade_gain.h"
#include "edgevc/feedback_guard.h"
#include "edgevc/limiter.h"
#include "edgevc/peaking_eq.h"

using edgevc::AdaptiveResampler;
using edgevc::FadeGain;
using edgevc::FeedbackGuard;
using edgevc::Limiter;
using edgevc::PeakingEq;

namespace {

struct Rates {
  int from, to;
};

constexpr Rates kRates[] = {{48000, 16000}, {44100, 16000}, {16000, 44100},
                            {16000, 16000}, {44101, 16000}, {4001, 191999}};

std::vector<float> Noise(int64_t n, float scale = 1.0f) {
  std::vector<float> noise(static_cast<size_t>(n));
  uint32_t state = 1;
  for (float& sample : noise) {
    state = state * 1664525u + 1013904223u;
    sample = scale * (static_cast<float>(state >> 8) / 8388608.0f - 1.0f);
  }
  return noise;
}

void TestAdaptiveResamplerAllocatesNothingAndStaysInBounds() {
  const std::vector<float> input = Noise(1000);
  for (const Rates& rates : kRates) {
    AdaptiveResampler resampler(rates.from, rates.to);
    // A guard behind the announced end shows a write beyond it.
    std::vector<float> output(static_cast<size_t>(resampler.MaxOutput(1000) + 2 * resampler.latency() + 2));
    const int64_t allocations = alloc_counter::During([&] {
      for (int i = 0; i < 400; ++i) {
        if (i % 7 == 3) resampler.SetRatio(1.0 + 0.02 * (i % 3 - 1));
        const int64_t length = i % 37 == 0 ? 1000 : i % 37;
        const int64_t announced = resampler.NextOutput(length);
        CHECK(announced <= resampler.MaxOutput(length));
        output[static_cast<size_t>(announced)] = 1e9f;
        CHECK(resampler.Process(input.data(), length, output.data()) == announced);
        CHECK(output[static_cast<size_t>(announced)] == 1e9f);
      }
      const int64_t announced = resampler.FlushOutput();
      CHECK(static_cast<double>(announced) <= 1.02 * resampler.latency() + 1);
      output[static_cast<size_t>(announced)] = 1e9f;
      CHECK(resampler.Flush(output.data()) == announced);
      CHECK(output[static_cast<size_t>(announced)] == 1e9f);
      CHECK(resampler.Flush(output.data()) == 0);
    });
    CHECK(allocations == 0);
  }
}

// Ten seconds at the limits: the number of samples is the ratio's, so that no fraction is lost on the way.
void TestAdaptiveResamplerKeepsTheRatio() {
  const std::vector<float> input = Noise(441);
  for (double ratio : {0.98, 0.9999, 1.0001, 1.02}) {
    AdaptiveResampler resampler(44100, 16000);
    std::vector<float> output(static_cast<size_t>(resampler.MaxOutput(441)));
    resampler.SetRatio(ratio);
    int64_t n_out = 0;
    for (int i = 0; i < 1000; ++i) n_out += resampler.Process(input.data(), 441, output.data());
    // The glide of 10 ms costs up to 1.6 samples.
    CHECK(std::abs(static_cast<double>(n_out) - 160000.0 * ratio) < 3.0);
    CHECK(resampler.ratio() == ratio);
  }
}

void TestAdaptiveResamplerTakesBadRatiosCalmly() {
  AdaptiveResampler resampler(16000, 16000);
  resampler.SetRatio(std::nan(""));
  CHECK(resampler.ratio() == 1.0);
  resampler.SetRatio(5.0);
  CHECK(resampler.ratio() == AdaptiveResampler::kMaxRatio);
  resampler.Reset();
  CHECK(resampler.ratio() == 1.0);
  for (const Rates& rates : {Rates{3999, 16000}, Rates{16000, 192001}}) {
    bool refused = false;
    try {
      AdaptiveResampler wrong(rates.from, rates.to);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  }
}

void TestPostChainAllocatesNothing() {
  const std::vector<float> loud = Noise(160, 3.0f);
  std::vector<float> out(160);
  Limiter limiter(16000);
  PeakingEq eq(16000);
  FadeGain fade(160);
  FeedbackGuard guard;
  const int64_t allocations = alloc_counter::During([&] {
    for (int i = 0; i < 500; ++i) {
      if (i % 50 == 0) eq.Set(i / 50 % PeakingEq::kMaxFilters, 100.0 + 10 * i, i % 100 ? 6.0 : -6.0, 1.0);
      if (i == 480) eq.Clear(0);
      fade.SetTarget(i % 20 < 10 ? 0.0f : 1.0f);
      eq.Process(loud.data(), out.data(), 160);
      fade.Process(out.data(), out.data(), 160);
      limiter.Process(out.data(), out.data(), 160);
      // Its own output as the input: the guard goes through all its states.
      guard.Process(out.data(), out.data(), 160);
    }
  });
  CHECK(allocations == 0);
  CHECK(limiter.limited_samples() > 0);
}

void TestTheCeilingHoldsForAbsurdSamples() {
  Limiter limiter(16000);
  std::vector<float> samples = Noise(16000);
  const float absurd[] = {1e30f, -1e30f, 3e38f, 1e-40f, INFINITY, -INFINITY, NAN, 0.0f};
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = i % 5 ? samples[i] * 100.0f : absurd[i / 5 % 8];
  limiter.Process(samples.data(), samples.data(), 16000);
  for (float sample : samples) CHECK(std::abs(sample) <= limiter.ceiling());
  CHECK(limiter.ceiling() <= std::pow(10.0, -0.3 / 20.0));
}

// A long silence after a sound must not end in denormal numbers, which are many times slower.
void TestEqualiserFallsSilent() {
  PeakingEq eq(16000);
  eq.Set(0, 50.0, 24.0, 20.0);
  std::vector<float> block = Noise(160);
  eq.Process(block.data(), block.data(), 160);
  for (int i = 0; i < 4000; ++i) {
    std::fill(block.begin(), block.end(), 0.0f);
    eq.Process(block.data(), block.data(), 160);
  }
  for (float sample : block) CHECK(sample == 0.0f);
}

}  // namespace

int main() {
  TestAdaptiveResamplerAllocatesNothingAndStaysInBounds();
  TestAdaptiveResamplerKeepsTheRatio();
  TestAdaptiveResamplerTakesBadRatiosCalmly();
  TestPostChainAllocatesNothing();
  TestTheCeilingHoldsForAbsurdSamples();
  TestEqualiserFallsSilent();
  return 0;
}
