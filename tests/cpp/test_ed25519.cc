// What Python cannot see of the check of signatures: allocations. RFC 8032's vectors are in tests/signing.
#include <array>

#include "alloc_counter.h"
#include "check.h"
#include "edgevc/ed25519.h"

namespace {

// [1]B = B + [0]A, with the base point as key.
void TestItHoldsAndAllocatesNothing() {
  std::array<uint8_t, 32> base{}, one{}, zero{};
  base.fill(0x66);
  base[0] = 0x58;
  one[0] = 1;
  bool holds = false;
  const int64_t allocations =
      alloc_counter::During([&] { holds = edgevc::Ed25519Holds(base.data(), base.data(), one.data(), zero.data()); });
  CHECK(holds);
  CHECK(allocations == 0);
  CHECK(!edgevc::Ed25519Holds(base.data(), base.data(), one.data(), one.data()));
}

}  // namespace

int main() {
  TestItHoldsAndAllocatesNothing();
  return 0;
}
