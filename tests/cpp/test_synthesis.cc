// Source-filter synthesis and overlap-add: allocations, reset, and input that no network should give.
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/overlap_add.h"
#include "edgevc/source_filter.h"

using edgevc::OverlapAdd;
using edgevc::SourceFilter;

namespace {

constexpr int kHop = SourceFilter::kHopLength;

std::vector<float> Filters(float log_magnitude, float phase) {
  std::vector<float> filters(SourceFilter::kFilters, log_magnitude);
  for (size_t k = 0; k < SourceFilter::kBins; ++k) filters[SourceFilter::kBins + k] = phase * static_cast<float>(k);
  return filters;
}

std::vector<float> Speak(SourceFilter* synthesis, int n_frames) {
  const std::vector<float> filters = Filters(-2.0f, 0.1f);
  std::vector<float> sound(static_cast<size_t>(n_frames) * kHop);
  for (int i = 0; i < n_frames; ++i) {
    const float f0 = i % 10 < 7 ? 100.0f + static_cast<float>(i) : 0.0f;
    synthesis->Process(filters.data(), f0, sound.data() + static_cast<ptrdiff_t>(i) * kHop);
  }
  return sound;
}

void TestHotPathAllocatesNothing() {
  SourceFilter synthesis;
  const std::vector<float> filters = Filters(-1.0f, 0.2f);
  std::vector<float> out(kHop);
  CHECK(alloc_counter::During([] { SourceFilter control; }) > 0);
  CHECK(alloc_counter::During([&] {
          for (int i = 0; i < 200; ++i) synthesis.Process(filters.data(), i % 3 ? 140.0f : 0.0f, out.data());
          synthesis.Reset();
        }) == 0);
}

void TestResetEqualsANewObject() {
  SourceFilter used(7), fresh(7);
  Speak(&used, 25);
  used.Reset();
  CHECK(Speak(&used, 25) == Speak(&fresh, 25));
}

void TestAFrameThatIsNotFiniteIsSilentAndCounted() {
  SourceFilter synthesis;
  Speak(&synthesis, 10);
  std::vector<float> out(kHop);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> filters = Filters(0.0f, 0.0f);
    filters[300] = bad;
    for (int i = 0; i < 5; ++i) synthesis.Process(filters.data(), 120.0f, out.data());
    for (float x : out) CHECK(x == 0.0f);
  }
  CHECK(synthesis.bad_frames() == 10);
  for (float x : Speak(&synthesis, 10)) CHECK(std::isfinite(x));
}

void TestAbsurdInputStaysFinite() {
  SourceFilter synthesis;
  std::vector<float> out(kHop);
  for (float f0 :
       {1e-6f, -5.0f, 1e9f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (float magnitude : {-1e30f, 1e30f}) {
      synthesis.Process(Filters(magnitude, 1e6f).data(), f0, out.data());
      for (float x : out) CHECK(std::isfinite(x));
    }
  }
}

template <typename Call>
bool Throws(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

void TestOverlapAddChecksItsWindow() {
  const std::vector<float> flat(160, 1.0f), wrong(320, 0.4f);
  OverlapAdd exact(flat, 160, 160);
  CHECK(Throws([&] { OverlapAdd bad(wrong, 160, 512); }));
  CHECK(Throws([&] { OverlapAdd bad(flat, 0, 160); }));
  CHECK(Throws([&] { OverlapAdd bad(flat, 160, 100); }));
}

void TestOverlapAddReturnsWhatTheWindowsSumTo() {
  std::vector<float> window(320);
  for (size_t n = 0; n < 320; ++n) {
    window[n] = static_cast<float>(0.5 - 0.5 * std::cos(6.283185307179586 * static_cast<double>(n) / 320));
  }
  OverlapAdd overlap_add(window, 160, 512);
  std::vector<float> segment(512), out(160);
  std::copy(window.begin(), window.end(), segment.begin());
  CHECK(alloc_counter::During([&] {
          for (int i = 0; i < 10; ++i) overlap_add.Process(segment.data(), out.data());
        }) == 0);
  for (float x : out) CHECK(std::abs(x - 1.0f) < 1e-6f);
  overlap_add.Reset();
  overlap_add.Process(segment.data(), out.data());
  CHECK(std::memcmp(out.data(), segment.data(), sizeof(float) * 160) == 0);
}

}  // namespace

int main() {
  TestHotPathAllocatesNothing();
  TestResetEqualsANewObject();
  TestAFrameThatIsNotFiniteIsSilentAndCounted();
  TestAbsurdInputStaysFinite();
  TestOverlapAddChecksItsWindow();
  TestOverlapAddReturnsWhatTheWindowsSumTo();
  return 0;
}
