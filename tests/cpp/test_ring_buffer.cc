// The ring buffer between two threads, and its allocations. Meant to run under ThreadSanitizer as well.
#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/ring_buffer.h"

using edgevc::RingBuffer;

namespace {

// float counts exactly up to 2^24, so the sequence repeats there.
float SampleAt(int64_t position) { return static_cast<float>(position & 0xFFFFFF); }

// Block lengths of both sides change all the time, so that every meeting of positions and ends occurs.
class Lengths {
 public:
  explicit Lengths(uint32_t seed) : state_(seed) {}
  int64_t Next(int64_t limit) {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<int64_t>(state_ >> 8) % (limit + 1);
  }

 private:
  uint32_t state_;
};

void TestSequenceSurvivesTwoThreads(int64_t capacity, int64_t total) {
  RingBuffer ring(capacity);
  std::thread producer([&] {
    std::vector<float> block(300);
    Lengths lengths(1);
    int64_t position = 0;
    while (position < total) {
      const int64_t n = std::min(lengths.Next(300), total - position);
      for (int64_t i = 0; i < n; ++i) block[static_cast<size_t>(i)] = SampleAt(position + i);
      const int64_t space = ring.Space();
      CHECK(space >= 0 && space <= capacity);
      const int64_t written = ring.Write(block.data(), n);
      // Space can only grow under the producer's hands.
      CHECK(written >= std::min(n, space) && written <= n);
      position += written;
      if (written < n) std::this_thread::yield();
    }
  });
  std::vector<float> block(300);
  Lengths lengths(2);
  int64_t position = 0;
  while (position < total) {
    const int64_t n = lengths.Next(300);
    const int64_t available = ring.Available();
    CHECK(available >= 0 && available <= capacity);
    const int64_t read = ring.Read(block.data(), n);
    CHECK(read >= std::min(n, available) && read <= n);
    for (int64_t i = 0; i < read; ++i) CHECK(block[static_cast<size_t>(i)] == SampleAt(position + i));
    position += read;
    // Now and then the oldest samples are dropped, as after a missed deadline.
    if (lengths.Next(63) == 0) position += ring.Discard(lengths.Next(100));
    if (read < n) std::this_thread::yield();
  }
  producer.join();
  CHECK(position == total);
  CHECK(ring.Available() == 0);
  CHECK(ring.write_position() == total && ring.read_position() == total);
}

void TestAThirdThreadSeesSoundCounts() {
  RingBuffer ring(64);
  std::atomic<bool> done{false};
  std::thread observer([&] {
    while (!done) {
      const int64_t available = ring.Available();
      CHECK(available >= 0 && available <= 64);
    }
  });
  std::thread producer([&] {
    std::vector<float> block(48);
    for (int64_t position = 0; position < 200000;) position += ring.Write(block.data(), 48);
  });
  std::vector<float> block(48);
  for (int64_t position = 0; position < 200000;) position += ring.Read(block.data(), 48);
  producer.join();
  done = true;
  observer.join();
}

void TestHotPathAllocatesNothing() {
  const int64_t before_control = alloc_counter::count;
  RingBuffer ring(256);
  std::vector<float> block(200);
  CHECK(alloc_counter::count > before_control);
  const int64_t before = alloc_counter::count;
  for (int i = 0; i < 1000; ++i) {
    ring.Write(block.data(), 200);
    ring.Read(block.data(), 150);
    ring.Discard(10);
  }
  ring.Reset();
  CHECK(alloc_counter::count == before);
}

void TestWrongCapacitiesAreRefused() {
  for (int64_t capacity : {int64_t{-4}, int64_t{0}, int64_t{1}, int64_t{3}, int64_t{1000}, int64_t{1} << 29}) {
    bool refused = false;
    try {
      RingBuffer ring(capacity);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  }
}

}  // namespace

int main() {
  // One cache line's worth, a size that blocks exceed, and a usual one.
  TestSequenceSurvivesTwoThreads(16, 500000);
  TestSequenceSurvivesTwoThreads(256, 3000000);
  TestSequenceSurvivesTwoThreads(4096, 3000000);
  TestAThirdThreadSeesSoundCounts();
  TestHotPathAllocatesNothing();
  TestWrongCapacitiesAreRefused();
  return 0;
}
