// parts PART HOPS SOUND.wav: runs one part of the C++ core over HOPS hops of a 16 kHz mono 16-bit WAV file, again and
// again from its start, so that somebody can count what it costs. benchmarks/count_instructions.py does.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "edgevc/high_pass.h"
#include "edgevc/log_mel.h"
#include "edgevc/pitch_mapper.h"
#include "edgevc/pitch_tracker.h"
#include "edgevc/samples.h"
#include "edgevc/source_filter.h"

namespace {

constexpr int kHop = 160;
constexpr int kHeader = 44;

std::vector<float> Read(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) {
    std::perror(path);
    std::exit(1);
  }
  std::vector<float> samples;
  std::fseek(file, kHeader, SEEK_SET);
  for (int16_t value; std::fread(&value, sizeof value, 1, file) == 1;) {
    samples.push_back(static_cast<float>(value) / 32768.0f);
  }
  std::fclose(file);
  samples.resize(samples.size() / kHop * kHop);
  return samples;
}

// Filters that change from hop to hop: a few formants, and phases as far as a decoder's go.
std::vector<float> Filters(int hop) {
  constexpr int kBins = edgevc::SourceFilter::kBins;
  std::vector<float> filters(edgevc::SourceFilter::kFilters);
  const float turn = 0.1f * static_cast<float>(hop % 100);
  for (size_t k = 0; k < kBins; ++k) {
    const float place = static_cast<float>(k);
    filters[k] = std::cos(0.07f * place + turn) - 4.0f;
    filters[kBins + k] = 3.0f * std::sin(0.03f * place + turn);
    filters[2 * kBins + k] = std::sin(0.05f * place + turn) - 6.0f;
  }
  return filters;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "parts PART HOPS SOUND.wav; PART: front, tracker, synthesis, high_pass, gain, nothing\n");
    return 2;
  }
  const std::string part = argv[1];
  const int hops = std::atoi(argv[2]);
  const std::vector<float> sound = Read(argv[3]);
  const int n = static_cast<int>(sound.size()) / kHop;
  if (n == 0) return 1;

  edgevc::LogMelOptions options;
  options.primed = true;
  edgevc::LogMel front(options);
  edgevc::PitchTracker tracker(16000, kHop, 60.0f, 500.0f);
  edgevc::PitchMapper mapper(7.5);
  edgevc::SourceFilter synthesis;
  edgevc::HighPass high_pass(16000);
  std::vector<float> mel(static_cast<size_t>(front.n_mels())), out(kHop);
  std::vector<float> f0(static_cast<size_t>(n));
  std::vector<std::vector<float>> filters;
  float features[edgevc::PitchMapper::kFeatures];
  edgevc::PitchFrame frame;
  // what the synthesis needs, made before the hops that are counted; the same for any number of them
  for (int i = 0; i < n; ++i) {
    tracker.Process(sound.data() + i * kHop, &frame);
    f0[static_cast<size_t>(i)] = mapper.Process(frame, features);
  }
  for (int i = 0; i < 100; ++i) filters.push_back(Filters(i));

  float sum = 0.0f;
  for (int i = 0; i < hops; ++i) {
    const size_t place = static_cast<size_t>(i % n);
    const float* hop = sound.data() + place * kHop;
    if (part == "front") {
      front.Process(hop, kHop, mel.data());
      sum += mel[3];
    } else if (part == "tracker") {
      tracker.Process(hop, &frame);
      sum += mapper.Process(frame, features);
    } else if (part == "synthesis") {
      synthesis.Process(filters[static_cast<size_t>(i % 100)].data(), f0[place], out.data());
      sum += out[5];
    } else if (part == "high_pass") {
      high_pass.Process(hop, out.data(), kHop);
      sum += out[5];
    } else if (part == "gain") {
      std::memcpy(out.data(), hop, kHop * sizeof(float));
      edgevc::ScaleAndClip(out.data(), kHop, 1.1f);
      sum += out[5];
    } else if (part != "nothing") {
      std::fprintf(stderr, "no part %s\n", part.c_str());
      return 2;
    }
  }
  std::printf("%.9g\n", static_cast<double>(sum));
}
