// What Python cannot see of the front end: allocations, the logarithm's error, and reads or writes out of bounds (run
// it under ASan and UBSan).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/exp4.h"
#include "edgevc/fast_log.h"
#include "edgevc/mfcc.h"
#include "edgevc/rfft.h"
#include "edgevc/samples.h"

namespace {

using edgevc::LogMel;
using edgevc::LogMelOptions;
using edgevc::Mfcc;
using edgevc::MfccOptions;
using edgevc::Rfft;

LogMelOptions Primed() {
  LogMelOptions options;
  options.primed = true;
  return options;
}

LogMelOptions Kaldi() {
  LogMelOptions options;
  options.window = edgevc::WindowType::kPovey;
  options.remove_dc = true;
  options.preemphasis = 0.97;
  options.mel.interpolation = edgevc::MelInterpolation::kMel;
  options.log_floor = 0x1p-23;
  options.floor_mode = edgevc::LogFloor::kMax;
  return options;
}

LogMelOptions Small() {
  LogMelOptions options;
  options.win_length = 7;
  options.hop_length = 7;
  options.mel.n_fft = 8;
  options.mel.n_mels = 1;
  return options;
}

std::vector<float> Noise(int64_t n_samples) {
  std::vector<float> noise(static_cast<size_t>(n_samples));
  uint32_t state = 1;
  for (float& sample : noise) {
    state = state * 1664525u + 1013904223u;
    sample = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
  }
  return noise;
}

void TestTheCounterCounts() {
  CHECK(alloc_counter::During([] { std::vector<float> values(100); }) == 1);
  CHECK(alloc_counter::During([] { LogMel stream(Primed()); }) > 0);
}

template <typename Stream>
void CheckNoAllocation(Stream stream, int64_t width) {
  const std::vector<float> samples = Noise(5000);
  std::vector<float> out(static_cast<size_t>(1000 * width));
  const int64_t allocations = alloc_counter::During([&] {
    for (int i = 0; i < 1000; ++i) stream.Process(samples.data(), 160, out.data());
    for (int i = 0; i < 500; ++i) stream.Process(samples.data(), i, out.data());
    stream.Process(samples.data(), 5000, out.data());
    stream.Reset();
    stream.Process(samples.data(), 5000, out.data());
  });
  CHECK(allocations == 0);
}

void TestStreamsAllocateNothing() {
  for (const LogMelOptions& options : {Primed(), Kaldi(), Small()}) {
    CheckNoAllocation(LogMel(options), options.mel.n_mels);
    MfccOptions mfcc{options};
    mfcc.n_mfcc = std::min(13, options.mel.n_mels);
    mfcc.lifter_type = edgevc::LifterType::kKaldi;
    CheckNoAllocation(Mfcc(mfcc), mfcc.n_mfcc);
  }
}

void TestFftAllocatesNothing() {
  for (int size = 8; size <= 65536; size *= 2) {
    Rfft fft(size);
    const size_t bins = static_cast<size_t>(fft.bins());
    std::vector<float> signal = Noise(size), real(bins), imag(bins);
    const int64_t allocations = alloc_counter::During([&] {
      fft.Forward(signal.data(), real.data(), imag.data());
      fft.Inverse(real.data(), imag.data(), signal.data());
    });
    CHECK(allocations == 0);
  }
}

// Exact-size heap blocks: ASan sees any access beyond them.
void TestExactBuffersAreEnough() {
  for (const LogMelOptions& options : {LogMelOptions(), Primed(), Kaldi(), Small()}) {
    LogMel stream(options);
    int64_t fed = 0, frames = 0;
    for (int n = 0; n < 700; n += 13) {
      const std::vector<float> samples = Noise(n);
      const int64_t expected = stream.FramesFor(n);
      std::vector<float> out(static_cast<size_t>(expected * stream.n_mels()));
      CHECK(stream.Process(samples.data(), n, out.data()) == expected);
      fed += n;
      frames += expected;
    }
    CHECK(stream.samples_in() == fed);
    const int64_t primed = options.primed ? options.win_length - options.hop_length : 0;
    CHECK(frames == (fed + primed - options.win_length) / options.hop_length + 1);
  }
}

void TestNothingBadPropagates() {
  std::vector<float> samples = Noise(1600);
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::max()};
  for (int i = 0; i < 400; ++i) samples[static_cast<size_t>(4 * i)] = bad[i % 4];
  CHECK(edgevc::CountBeyond(samples.data(), 1600, edgevc::kLargestSample) == 400);
  LogMelOptions loud = Kaldi();
  loud.input_scale = 65536.0;
  for (const LogMelOptions& options : {LogMelOptions(), Kaldi(), loud}) {
    LogMel stream(options);
    std::vector<float> out(static_cast<size_t>(stream.FramesFor(1600) * stream.n_mels()));
    stream.Process(samples.data(), 1600, out.data());
    CHECK(stream.n_bad_samples() == 400);
    for (float value : out) CHECK(std::isfinite(value));
    // the largest samples that are not bad
    const std::vector<float> huge(1600, edgevc::kLargestSample);
    stream.Reset();
    stream.Process(huge.data(), 1600, out.data());
    CHECK(stream.n_bad_samples() == 0);
    for (float value : out) CHECK(std::isfinite(value));
  }
}

void TestFastLogIsWithinItsStatedError() {
  double worst = 0.0;
  const uint32_t first = 0x00800000u, last = 0x7f7fffffu;
  for (uint64_t bits = first; bits <= last; bits += 997) {
    const uint32_t pattern = static_cast<uint32_t>(bits);
    float x;
    std::memcpy(&x, &pattern, sizeof x);
    const double exact = std::log(static_cast<double>(x));
    worst = std::max(worst, std::fabs(edgevc::FastLog(x) - exact) / std::max(1.0, std::fabs(exact)));
  }
  std::printf("FastLog: largest error %.3g * max(1, |ln x|)\n", worst);
  CHECK(worst <= 1.3e-7);
}

void TestExp4IsWithinItsStatedErrors() {
  double exp_error = 0.0, sigmoid_error = 0.0, tanh_error = 0.0;
  for (int i = -86999; i <= 86999; ++i) {
    const float x = static_cast<float>(i) * 1e-3f;
    const double exact = std::exp(static_cast<double>(x));
    exp_error = std::max(exp_error, std::fabs(edgevc::Exp4(edgevc::All4(x))[i & 3] / exact - 1.0));
    sigmoid_error = std::max(sigmoid_error, std::fabs(edgevc::Sigmoid4(edgevc::All4(x))[0] - exact / (1.0 + exact)));
    tanh_error = std::max(tanh_error, std::fabs(edgevc::Tanh4(edgevc::All4(x))[0] - std::tanh(static_cast<double>(x))));
  }
  std::printf("Exp4: %.3g relative, Sigmoid4: %.3g, Tanh4: %.3g\n", exp_error, sigmoid_error, tanh_error);
  CHECK(exp_error <= 2e-7 && sigmoid_error <= 2e-7 && tanh_error <= 3e-7);
  const edgevc::Float4 ends = edgevc::Exp4(edgevc::Float4{-1e30f, -87.0f, 88.0f, 1e30f});
  CHECK(ends[0] == ends[1] && ends[0] > 0.0f && ends[3] == ends[2] && std::isfinite(ends[2]));
}

void TestSinCos4IsWithinItsStatedErrors() {
  double worst = 0.0;
  edgevc::Float4 sine, cosine;
  for (int i = -100000; i <= 100000; ++i) {
    const float x = static_cast<float>(i) * 1e-3f;
    edgevc::SinCos4(edgevc::All4(x), &sine, &cosine);
    worst = std::max({worst, std::fabs(sine[i & 3] - std::sin(static_cast<double>(x))),
                      std::fabs(cosine[i & 3] - std::cos(static_cast<double>(x)))});
  }
  std::printf("SinCos4: largest error %.3g\n", worst);
  CHECK(worst <= 2e-7);
  edgevc::SinCos4(edgevc::Float4{-1e30f, -65536.0f, 65536.0f, 1e30f}, &sine, &cosine);
  CHECK(sine[0] == sine[1] && cosine[3] == cosine[2] && std::fabs(sine[0]) <= 1.0f && std::fabs(cosine[3]) <= 1.0f);
}

void TestMap4LeavesNothingOut() {
  std::vector<float> in = Noise(23), out(23, 7.0f);
  edgevc::Map4(22, in.data(), out.data(), [](edgevc::Float4 x) { return x * 2.0f; });
  for (size_t i = 0; i < 22; ++i) CHECK(out[i] == 2.0f * in[i]);
  CHECK(out[22] == 7.0f);
}

void TestTheInverseOfARealSpectrumIsTheInverse() {
  for (int size = 8; size <= 2048; size *= 2) {
    Rfft fft(size);
    const std::vector<float> real = Noise(fft.bins()), zero(static_cast<size_t>(fft.bins()));
    std::vector<float> expected(static_cast<size_t>(size)), found(static_cast<size_t>(size));
    fft.Inverse(real.data(), zero.data(), expected.data());
    fft.InverseOfReal(real.data(), found.data());
    for (size_t i = 0; i < found.size(); ++i) CHECK(std::fabs(found[i] - expected[i]) < 1e-6f);
  }
}

template <typename Change>
void CheckRefused(const Change& change) {
  LogMelOptions options;
  change(options);
  bool refused = false;
  try {
    LogMel stream(options);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(refused);
}

void TestBadOptionsAreRefused() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CheckRefused([](LogMelOptions& o) { o.hop_length = 0; });
  CheckRefused([](LogMelOptions& o) { o.hop_length = 401; });
  CheckRefused([](LogMelOptions& o) { o.win_length = -1; });
  CheckRefused([](LogMelOptions& o) { o.win_length = 513; });
  CheckRefused([](LogMelOptions& o) { o.win_length = o.hop_length = 1; });
  CheckRefused([](LogMelOptions& o) { o.mel.n_fft = 500; });
  CheckRefused([](LogMelOptions& o) { o.mel.n_fft = 1 << 30; });
  CheckRefused([](LogMelOptions& o) { o.mel.n_mels = 0; });
  CheckRefused([](LogMelOptions& o) { o.mel.n_mels = 300; });
  CheckRefused([](LogMelOptions& o) { o.mel.fmax = 8000.5; });
  CheckRefused([](LogMelOptions& o) { o.mel.sample_rate = 0; });
  CheckRefused([&](LogMelOptions& o) { o.mel.fmin = nan; });
  CheckRefused([&](LogMelOptions& o) { o.preemphasis = nan; });
  CheckRefused([&](LogMelOptions& o) { o.input_scale = nan; });
  CheckRefused([&](LogMelOptions& o) { o.log_floor = nan; });
}

}  // namespace

int main() {
  TestTheCounterCounts();
  TestStreamsAllocateNothing();
  TestFftAllocatesNothing();
  TestExactBuffersAreEnough();
  TestNothingBadPropagates();
  TestFastLogIsWithinItsStatedError();
  TestExp4IsWithinItsStatedErrors();
  TestSinCos4IsWithinItsStatedErrors();
  TestMap4LeavesNothingOut();
  TestTheInverseOfARealSpectrumIsTheInverse();
  TestBadOptionsAreRefused();
  std::puts("test_features: all passed");
  return 0;
}
