#include "edgevc/ring_buffer.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace edgevc {

static_assert(std::atomic<uint64_t>::is_always_lock_free, "the ring buffer needs 64-bit atomics without a lock");

namespace {

int64_t CheckedCapacity(int64_t capacity) {
  if (capacity < 2 || capacity > RingBuffer::kMaxCapacity || (capacity & (capacity - 1)) != 0) {
    throw std::invalid_argument("capacity must be a power of two in [2, 2^28], got " + std::to_string(capacity));
  }
  return capacity;
}

}  // namespace

RingBuffer::RingBuffer(int64_t capacity)
    : capacity_(CheckedCapacity(capacity)),
      mask_(static_cast<uint64_t>(capacity) - 1),
      samples_(static_cast<size_t>(capacity), 0.0f) {}

int64_t RingBuffer::Write(const float* samples, int64_t n) noexcept {
  const uint64_t position = write_position_.load(std::memory_order_relaxed);
  int64_t space = capacity_ - static_cast<int64_t>(position - seen_read_position_);
  if (space < n) {
    // Acquire: the consumer has finished copying out what these samples overwrite.
    seen_read_position_ = read_position_.load(std::memory_order_acquire);
    space = capacity_ - static_cast<int64_t>(position - seen_read_position_);
  }
  n = std::clamp<int64_t>(n, 0, space);
  const int64_t start = static_cast<int64_t>(position & mask_);
  const int64_t first = std::min(n, capacity_ - start);
  std::copy_n(samples, first, samples_.data() + start);
  std::copy_n(samples + first, n - first, samples_.data());
  // Release: the samples are there before the position says so.
  write_position_.store(position + static_cast<uint64_t>(n), std::memory_order_release);
  return n;
}

int64_t RingBuffer::Read(float* samples, int64_t n) noexcept {
  const uint64_t position = read_position_.load(std::memory_order_relaxed);
  int64_t available = static_cast<int64_t>(seen_write_position_ - position);
  if (available < n) {
    seen_write_position_ = write_position_.load(std::memory_order_acquire);
    available = static_cast<int64_t>(seen_write_position_ - position);
  }
  n = std::clamp<int64_t>(n, 0, available);
  const int64_t start = static_cast<int64_t>(position & mask_);
  const int64_t first = std::min(n, capacity_ - start);
  std::copy_n(samples_.data() + start, first, samples);
  std::copy_n(samples_.data(), n - first, samples + first);
  // Release: the samples are copied out before the producer may overwrite them.
  read_position_.store(position + static_cast<uint64_t>(n), std::memory_order_release);
  return n;
}

int64_t RingBuffer::Discard(int64_t n) noexcept {
  const uint64_t position = read_position_.load(std::memory_order_relaxed);
  seen_write_position_ = write_position_.load(std::memory_order_acquire);
  n = std::clamp<int64_t>(n, 0, static_cast<int64_t>(seen_write_position_ - position));
  read_position_.store(position + static_cast<uint64_t>(n), std::memory_order_release);
  return n;
}

int64_t RingBuffer::Available() const noexcept {
  // The read position first: it can only be behind the write position loaded after it, so the difference is not
  // negative. A third thread may see the writer a lap ahead of that old value, hence the clamp.
  const uint64_t read = read_position_.load(std::memory_order_acquire);
  const uint64_t write = write_position_.load(std::memory_order_acquire);
  return std::min(static_cast<int64_t>(write - read), capacity_);
}

int64_t RingBuffer::Space() const noexcept { return capacity_ - Available(); }

void RingBuffer::Reset() noexcept {
  write_position_.store(0, std::memory_order_relaxed);
  read_position_.store(0, std::memory_order_relaxed);
  seen_read_position_ = 0;
  seen_write_position_ = 0;
  std::fill(samples_.begin(), samples_.end(), 0.0f);
}

}  // namespace edgevc
