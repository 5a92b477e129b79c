// What Python cannot see of the command search: allocations, and accesses out of bounds (run it under ASan and UBSan).
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/command_search.h"

using edgevc::CommandNetwork;
using edgevc::CommandSearch;
using edgevc::CommandSearchSettings;

namespace {

constexpr int kPhones = 12;

// A ladder of `n_nodes` nodes with `width` words of 2 to 5 phones from each to the next: many paths of one length.
CommandNetwork Ladder(int n_nodes, int width) {
  CommandNetwork network;
  network.n_phones = kPhones;
  network.n_nodes = n_nodes;
  for (int node = 1; node < n_nodes; ++node) {
    for (int w = 0; w < width; ++w) {
      network.first.push_back(static_cast<int32_t>(network.phone.size()));
      for (int p = 0; p < 2 + (node + w) % 4; ++p) {
        for (int frame = 0; frame < 3; ++frame) network.phone.push_back(1 + (3 * node + 5 * w + p) % (kPhones - 1));
      }
      network.last.push_back(static_cast<int32_t>(network.phone.size()) - 1);
      network.source.push_back(node - 1);
      network.target.push_back(node);
    }
  }
  network.finals = {n_nodes - 1, n_nodes / 2};
  return network;
}

// Frames of random log posteriors, some of them none at all.
std::vector<float> Noise(int n_frames) {
  std::vector<float> frames(static_cast<size_t>(n_frames * kPhones));
  uint32_t random = 1;
  for (float& value : frames) {
    random = random * 1664525u + 1013904223u;
    value = -12.0f * static_cast<float>(random >> 8) / 16777216.0f;
  }
  frames[100] = std::numeric_limits<float>::quiet_NaN();
  frames[200] = std::numeric_limits<float>::infinity();
  frames[300] = -std::numeric_limits<float>::infinity();
  return frames;
}

void TestHotPathAllocatesNothing(float beam) {
  const std::vector<float> frames = Noise(3000);
  CommandSearchSettings settings;
  settings.beam = beam;
  settings.filler = 3.0f;
  const int64_t before_control = alloc_counter::count;
  CommandSearch search(Ladder(60, 8), std::vector<double>(kPhones, -2.5), settings);
  // The control: a count that cannot grow would prove nothing.
  CHECK(alloc_counter::count > before_control);
  const int64_t bytes = search.bytes();
  CHECK(alloc_counter::During([&] {
          for (size_t at = 0; at < frames.size(); at += kPhones) search.Process(frames.data() + at);
          search.Reset();
          for (size_t at = 0; at < frames.size(); at += kPhones) search.Process(frames.data() + at);
        }) == 0);
  CHECK(search.bytes() == bytes);
  CHECK(search.n_frames() == 3000);
  std::vector<CommandSearch::Word> words;
  double score = 0.0;
  if (search.Best(&score, &words) >= 0) {
    CHECK(std::isfinite(score));
    int64_t end = -1;
    for (const CommandSearch::Word& word : words) {
      CHECK(word.end > end && word.end < 3000);
      end = word.end;
    }
  }
}

void TestResetEqualsNew() {
  const std::vector<float> frames = Noise(500);
  CommandSearch used(Ladder(20, 4), std::vector<double>(kPhones, -2.5), {});
  CommandSearch fresh(Ladder(20, 4), std::vector<double>(kPhones, -2.5), {});
  for (size_t at = 0; at < frames.size(); at += kPhones) used.Process(frames.data() + at);
  used.Reset();
  for (size_t at = 0; at < frames.size(); at += kPhones) {
    CHECK(used.Process(frames.data() + at) == fresh.Process(frames.data() + at));
  }
  std::vector<CommandSearch::Word> a, b;
  double score_a = 0.0, score_b = 0.0;
  CHECK(used.Best(&score_a, &a) == fresh.Best(&score_b, &b));
  CHECK(score_a == score_b && a.size() == b.size());
}

// One node, one word that leads back to it: sentences without end fill the pool, and nothing else happens.
void TestAFullPoolDropsWordsOnly() {
  CommandNetwork network;
  network.n_phones = kPhones;
  network.n_nodes = 1;
  network.phone = {1, 2};
  network.first = network.source = network.target = {0};
  network.last = {1};
  network.finals = {0};
  CommandSearchSettings settings;
  settings.word_penalty = 0.0f;
  CommandSearch search(network, std::vector<double>(kPhones, 0.0), settings);
  for (int i = 0; i < 20000; ++i) {
    std::vector<float> frame(kPhones, -5.0f);
    frame[static_cast<size_t>(1 + i % 2)] = -0.1f;
    search.Process(frame.data());
  }
  CHECK(search.dropped_words() > 0);
  std::vector<CommandSearch::Word> words;
  CHECK(search.Best(nullptr, &words) == 0);
  CHECK(words.size() > 500 && words.size() < 20000);
}

}  // namespace

int main() {
  TestHotPathAllocatesNothing(100.0f);
  TestHotPathAllocatesNothing(10000.0f);
  TestResetEqualsNew();
  TestAFullPoolDropsWordsOnly();
}
