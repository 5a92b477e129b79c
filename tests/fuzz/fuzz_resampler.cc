// Any pair of rates, any samples, any cut: as many samples as were announced, finite, the same as in one piece.
#include <map>
#include <utility>

#include "edgevc/adaptive_resampler.h"
#include "edgevc/resampler.h"
#include "input.h"

namespace {

struct Resamplers {
  edgevc::Resampler fixed;
  edgevc::AdaptiveResampler adaptive;
};

// Copies of those that were made before: making their tables takes longer than all else.
Resamplers Fresh(int from, int to) {
  static std::map<std::pair<int, int>, Resamplers> made;
  constexpr size_t kMost = 150;
  if (made.size() > kMost) made.clear();
  const auto found = made.find({from, to});
  if (found != made.end()) return found->second;
  const Resamplers fresh = {edgevc::Resampler(from, to), edgevc::AdaptiveResampler(from, to)};
  return made.emplace(std::make_pair(from, to), fresh).first->second;
}

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
  auto [in_one, adaptive] = Fresh(from, to);
  edgevc::Resampler in_pieces = in_one;
  std::vector<float> all, pieces, whole, adapted;
  while (!input.empty() && all.size() < 600) {
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
