// Counts allocations by replacing the program's operator new. Include it in one source file of a test program.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace alloc_counter {

inline std::atomic<int64_t> count{0};

inline void* Allocate(std::size_t size) {
  ++count;
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}

inline void* AllocateAligned(std::size_t size, std::align_val_t alignment) {
  ++count;
  const std::size_t unit = static_cast<std::size_t>(alignment);
  // aligned_alloc wants a multiple of the alignment
  if (void* memory = std::aligned_alloc(unit, (size + unit - 1) / unit * unit + (size ? 0 : unit))) return memory;
  throw std::bad_alloc();
}

// Allocations that a call makes.
template <typename Call>
int64_t During(const Call& call) {
  const int64_t before = count;
  call();
  return count - before;
}

}  // namespace alloc_counter

// The array and nothrow forms of the standard library end in these.
void* operator new(std::size_t size) { return alloc_counter::Allocate(size); }
void* operator new[](std::size_t size) { return alloc_counter::Allocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return alloc_counter::AllocateAligned(size, alignment);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return alloc_counter::AllocateAligned(size, alignment);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
