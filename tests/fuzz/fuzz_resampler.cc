// Any pair of rates, any samples, any cut: as many samples as were announced, finite, the same as in one piece.
#include <algorithm>

#include "edgevc/adaptive_resampler.h"
#include "edgevc/resampler.h"
#include "input.h"

namespace {

template <typename Stream>
void Append(Stream* stream, const float* samples, int64_t count, std::vector<float>* output) {
  const int64_t announced = stream->NextOutput(count);
  REQUIRE(announced <= stream->MaxOutput(count));
  // On the heap and no longer than that: AddressSanitizer sees a sample more.
  std::vector<float> part(static_cast<size_t>(announced));
  REQUIRE(stream->Process(samples, count, part.data()) == announced);
  output->insert(output->end(), part.begin(), part.end());
}

template <typename Stream>
void Flush(Stream* stream, std::vector<float>* output) {
  std::vector<float> part(static_cast<size_t>(stream->FlushOutput()));
  REQUIRE(stream->Flush(part.data()) == static_cast<int64_t>(part.size()));
  output->insert(output->end(), part.begin(), part.end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kRates[] = {4000, 8000, 11025, 16000, 22050, 44100, 48000, 64000, 96000, 192000};
  Input input(data, size);
  const auto rate = [&] {
    // Other rates seldom: their tables are large, and take most of the time.
    return input.Int(0, 31) ? kRates[input.Int(0, 9)] : input.Int(4000, 192000);
  };
  const int from = rate(), to = rate();
  edgevc::Resampler in_pieces(from, to), in_one(from, to);
  edgevc::AdaptiveResampler adaptive(from, to);
  std::vector<float> all, pieces, whole, adapted;
  while (!input.empty() && all.size() < 4096) {
    if (input.Int(0, 3) == 0) adaptive.SetRatio(input.Number(0.97, 1.03));
    const std::vector<float> samples = input.Samples(input.Int(0, 200));
    const int64_t count = static_cast<int64_t>(samples.size());
    Append(&in_pieces, samples.data(), count, &pieces);
    Append(&adaptive, samples.data(), count, &adapted);
    all.insert(all.end(), samples.begin(), samples.end());
  }
  Append(&in_one, all.data(), static_cast<int64_t>(all.size()), &whole);
  REQUIRE(in_pieces.replaced_samples() == in_one.replaced_samples());
  REQUIRE(in_pieces.replaced_samples() == adaptive.replaced_samples());
  Flush(&in_pieces, &pieces);
  Flush(&in_one, &whole);
  Flush(&adaptive, &adapted);
  REQUIRE(Same(pieces, whole));
  REQUIRE(AllFinite(whole));
  REQUIRE(AllFinite(adapted));
  return 0;
}
