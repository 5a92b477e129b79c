// What Python cannot see of the resampler: allocations, and positions far beyond int32.
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/resampler.h"

using edgevc::Resampler;

namespace {

struct Rates {
  int from, to;
};

// The last two pairs have no common factor and interpolate the filter table.
constexpr Rates kRates[] = {{48000, 16000}, {44100, 16000}, {16000, 44100}, {16000, 48000},
                            {8000, 16000},  {16000, 16000}, {44101, 16000}, {4001, 191999}};

std::vector<float> Noise(int64_t n) {
  std::vector<float> noise(static_cast<size_t>(n));
  uint32_t state = 1;
  for (float& sample : noise) {
    state = state * 1664525u + 1013904223u;
    sample = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
  }
  return noise;
}

void TestHotPathAllocatesNothing() {
  const std::vector<float> input = Noise(1000);
  for (const Rates& rates : kRates) {
    const int64_t before_control = alloc_counter::count;
    Resampler resampler(rates.from, rates.to);
    std::vector<float> output(static_cast<size_t>(resampler.MaxOutput(1000) + resampler.latency()));
    // The control: a count that cannot grow would prove nothing.
    CHECK(alloc_counter::count > before_control);
    const int64_t before = alloc_counter::count;
    for (int i = 0; i < 1000; ++i) resampler.Process(input.data(), i % 37, output.data());
    resampler.Process(input.data(), 1000, output.data());
    resampler.Flush(output.data());
    resampler.Reset();
    CHECK(alloc_counter::count == before);
  }
}

void TestOutputIsAnnouncedExactlyAndBounded() {
  const std::vector<float> input = Noise(1000);
  for (const Rates& rates : kRates) {
    Resampler resampler(rates.from, rates.to);
    // A guard behind the announced end shows a write beyond it.
    std::vector<float> output(static_cast<size_t>(resampler.MaxOutput(1000) + resampler.latency() + 1));
    int64_t n_in = 0, n_out = 0;
    for (int64_t length : {0, 1, 1, 2, 160, 7, 999, 1000, 1, 0, 441}) {
      const int64_t announced = resampler.NextOutput(length);
      CHECK(announced <= resampler.MaxOutput(length));
      output[static_cast<size_t>(announced)] = 1e9f;
      CHECK(resampler.Process(input.data(), length, output.data()) == announced);
      CHECK(output[static_cast<size_t>(announced)] == 1e9f);
      n_in += length;
      n_out += announced;
      CHECK(n_out == (n_in * resampler.up() + resampler.down() - 1) / resampler.down());
    }
    const int64_t announced = resampler.FlushOutput();
    CHECK(announced <= resampler.latency());
    output[static_cast<size_t>(announced)] = 1e9f;
    CHECK(resampler.Flush(output.data()) == announced);
    CHECK(output[static_cast<size_t>(announced)] == 1e9f);
    CHECK(resampler.Flush(output.data()) == 0);
  }
}

// Two minutes of a sine whose periods fit the blocks: every block must come out as the first settled one, bit for bit.
void TestPositionsDoNotDrift() {
  // 441 input samples are 160 output samples and 10 periods of 1 kHz.
  constexpr int kBlock = 441 * 64;
  constexpr double kPi = 3.14159265358979323846;
  std::vector<float> input(kBlock);
  for (size_t i = 0; i < kBlock; ++i)
    input[i] = static_cast<float>(std::sin(2.0 * kPi * (static_cast<int>(i) % 441) / 44.1));
  Resampler resampler(44100, 16000);
  std::vector<float> output(160 * 64), settled(160 * 64);
  resampler.Process(input.data(), kBlock, output.data());
  resampler.Process(input.data(), kBlock, settled.data());
  for (int i = 0; i < 200; ++i) {
    CHECK(resampler.Process(input.data(), kBlock, output.data()) == 160 * 64);
    CHECK(output == settled);
  }
}

// With the copying resampler, which gets there in seconds.
void TestPositionsPassTheRangeOfInt32() {
  constexpr int kBlock = 1 << 20;
  const std::vector<float> input = Noise(kBlock);
  std::vector<float> output(kBlock);
  Resampler resampler(16000, 16000);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // It would last for minutes.
  return;
#endif
  for (int i = 0; i < 2050; ++i) resampler.Process(input.data(), kBlock, output.data());
  CHECK(resampler.samples_in() == int64_t{2050} * kBlock && resampler.samples_in() > INT32_MAX);
  CHECK(resampler.FlushOutput() == 0);
}

void TestWrongRatesAreRefused() {
  for (const Rates& rates : {Rates{3999, 16000}, Rates{16000, 192001}, Rates{0, 16000}, Rates{16000, -1}}) {
    bool refused = false;
    try {
      Resampler resampler(rates.from, rates.to);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  }
}

}  // namespace

int main() {
  TestHotPathAllocatesNothing();
  TestOutputIsAnnouncedExactlyAndBounded();
  TestPositionsDoNotDrift();
  TestPositionsPassTheRangeOfInt32();
  TestWrongRatesAreRefused();
  return 0;
}
