// Lock-free queue of samples between one writing and one reading thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgevc {

// Single producer, single consumer. One thread may call the producer's functions and one other the consumer's, at the
// same time; neither ever waits. Capacity, positions and lengths are in samples.
class RingBuffer {
 public:
  static constexpr int64_t kMaxCapacity = int64_t{1} << 28;

  // Throws std::invalid_argument unless capacity is a power of two in [2, kMaxCapacity].
  explicit RingBuffer(int64_t capacity);

  RingBuffer(const RingBuffer&) = delete;
  RingBuffer& operator=(const RingBuffer&) = delete;

  int64_t capacity() const noexcept { return capacity_; }

  // Producer: appends the first min(n, free space) samples and returns how many they were. Allocates nothing.
  int64_t Write(const float* samples, int64_t n) noexcept;

  // Consumer: takes the oldest min(n, Available()) samples and returns how many they were. Allocates nothing.
  int64_t Read(float* samples, int64_t n) noexcept;

  // Consumer: drops the oldest min(n, Available()) samples and returns how many they were.
  int64_t Discard(int64_t n) noexcept;

  // Samples to read. Exact for the consumer at the time of the call, after which there can only be more;
  // for any other thread an estimate in [0, capacity()].
  int64_t Available() const noexcept;

  // Samples that can be written: capacity() - Available(), with the producer in the consumer's place.
  int64_t Space() const noexcept;

  // Samples ever written, and ever read or discarded, since the last reset.
  int64_t write_position() const noexcept {
    return static_cast<int64_t>(write_position_.load(std::memory_order_acquire));
  }
  int64_t read_position() const noexcept {
    return static_cast<int64_t>(read_position_.load(std::memory_order_acquire));
  }

  // Equal to a new object. Only while no other thread uses the buffer.
  void Reset() noexcept;

 private:
  // 64 bytes on Cortex-A and x86-64. The two sides write to lines of their own; sharing one would bounce it between
  // the cores at every block.
  static constexpr std::size_t kCacheLine = 64;

  const int64_t capacity_;
  const uint64_t mask_;
  std::vector<float> samples_;

  // The producer's line. Positions only grow; uint64 wraps after millions of years.
  alignas(kCacheLine) std::atomic<uint64_t> write_position_{0};
  // What the producer last saw of the other side, refreshed only when the buffer looks too full.
  uint64_t seen_read_position_ = 0;

  // The consumer's line.
  alignas(kCacheLine) std::atomic<uint64_t> read_position_{0};
  uint64_t seen_write_position_ = 0;
};

}  // namespace edgevc
