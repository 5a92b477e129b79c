// The watermark's pattern, and what the synthesis makes of it.
#include <cmath>
#include <cstddef>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/source_filter.h"
#include "edgevc/watermark.h"

using edgevc::SourceFilter;
using edgevc::Watermark;

namespace {

constexpr int kHop = SourceFilter::kHopLength;

void TestSignsAlternateInTimeAndInFrequency() {
  for (int frame = 0; frame < Watermark::kPeriod; ++frame) {
    for (int band = 0; band < Watermark::kBands; ++band) {
      const int sign = Watermark::Sign(frame, band);
      CHECK(sign == 1 || sign == -1);
      if (band % 2 == 0) CHECK(Watermark::Sign(frame, band + 1) == -sign);
      if (frame % 2 == 0) CHECK(Watermark::Sign(frame + 1, band) == sign);
      if (frame % 4 == 0) CHECK(Watermark::Sign(frame + Watermark::kHoldFrames, band) == -sign);
    }
  }
}

void TestFactorsAreTheStepsInTheBandsAloneAndRepeat() {
  Watermark watermark;
  std::vector<float> first, factors(SourceFilter::kBins, 7.0f);
  for (int frame = 0; frame < 2 * Watermark::kPeriod; ++frame) {
    CHECK(alloc_counter::During([&] {
            watermark.Fill(factors.data());
            watermark.Advance();
          }) == 0);
    for (size_t k = 0; k < SourceFilter::kBins; ++k) {
      const int band = (static_cast<int>(k) - Watermark::kFirstBin) / Watermark::kBinsPerBand;
      if (k < Watermark::kFirstBin || band >= Watermark::kBands) {
        CHECK(factors[k] == 7.0f);
        continue;
      }
      const double db = band < Watermark::kGentleBands ? Watermark::kGentleStepDb : Watermark::kStepDb;
      const double step = std::pow(10.0, db / 20.0);
      const double expected = Watermark::Sign(frame % Watermark::kPeriod, band) > 0 ? step : 1.0 / step;
      CHECK(std::abs(factors[k] - expected) < 1e-7);
    }
    if (frame == 0) first = factors;
    if (frame == Watermark::kPeriod) CHECK(factors == first);
  }
}

std::vector<float> Speak(SourceFilter* synthesis, int n_frames) {
  std::vector<float> filters(SourceFilter::kFilters, -2.0f), sound(static_cast<size_t>(n_frames) * kHop);
  for (int i = 0; i < n_frames; ++i) {
    synthesis->Process(filters.data(), i % 3 ? 120.0f : 0.0f, sound.data() + static_cast<ptrdiff_t>(i) * kHop);
  }
  return sound;
}

void TestTheSynthesisMarksUnlessToldOtherwise() {
  SourceFilter marked, plain;
  CHECK(marked.marked());
  plain.SetMarked(false);
  const std::vector<float> with = Speak(&marked, 100), without = Speak(&plain, 100);
  double difference = 0.0, energy = 0.0;
  for (size_t n = 0; n < with.size(); ++n) {
    difference += (with[n] - without[n]) * (with[n] - without[n]);
    energy += without[n] * without[n];
  }
  // Steps of 0.5 dB, a little less than these, would differ by 24.6 dB less than the sound; the windows smooth them.
  const double level = 10.0 * std::log10(difference / energy);
  CHECK(level < -24.0 && level > -32.0);
}

void TestTheMarkGoesOnWhereItWouldBeAfterItWasOff() {
  SourceFilter always, paused;
  Speak(&always, 50);
  Speak(&paused, 20);
  paused.SetMarked(false);
  Speak(&paused, 30);
  paused.SetMarked(true);
  // What was synthesised while it was off still rings for two hops.
  const std::vector<float> expected = Speak(&always, 60), found = Speak(&paused, 60);
  int differing = 0;
  for (size_t n = 400 * 3; n < found.size(); ++n) differing += found[n] != expected[n];
  CHECK(differing == 0);
}

}  // namespace

int main() {
  TestSignsAlternateInTimeAndInFrequency();
  TestFactorsAreTheStepsInTheBandsAloneAndRepeat();
  TestTheSynthesisMarksUnlessToldOtherwise();
  TestTheMarkGoesOnWhereItWouldBeAfterItWasOff();
  return 0;
}
