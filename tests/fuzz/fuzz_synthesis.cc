// Any filters, any F0, any formant ratio: finite sound; and windows that do not add up are refused.
#include <stdexcept>

#include "edgevc/overlap_add.h"
#include "edgevc/source_filter.h"
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using edgevc::SourceFilter;
  Input input(data, size);
  try {
    edgevc::OverlapAdd overlap_add(input.Samples(input.Int(0, 20)), input.Int(-1, 21), input.Int(-1, 41));
    const std::vector<float> segment = input.Samples(overlap_add.segment_length());
    std::vector<float> out(static_cast<size_t>(overlap_add.hop_length()));
    overlap_add.Process(segment.data(), out.data());
  } catch (const std::invalid_argument&) {
  }
  SourceFilter synthesis(static_cast<uint32_t>(input.Int(0, 1 << 20)));
  std::vector<float> out(SourceFilter::kHopLength);
  for (int frame = 0; !input.empty() && frame < 50; ++frame) {
    if (input.Int(0, 3) == 0) synthesis.SetFormantRatio(input.Number(0.4, 2.1));
    if (input.Int(0, 15) == 0) synthesis.Reset();
    const std::vector<float> values = input.Samples(input.Int(1, 40));
    std::vector<float> filters(SourceFilter::kFilters);
    for (size_t i = 0; i < filters.size(); ++i) filters[i] = values[i % values.size()];
    synthesis.Process(filters.data(), static_cast<float>(input.Number(-10.0, 4000.0)), out.data());
    REQUIRE(AllFinite(out));
  }
  return 0;
}
