// Checks Ed25519 signatures (RFC 8032): whether a file is what the holder of a key signed.
#pragma once

#include <cstdint>

namespace edgevc {

// The part of a check that needs the curve; the caller has hashed already.
//
// Returns whether [s]B = R + [h]A, compared as bytes. All are little-endian, 32 bytes: public_key is A and r is R,
// points as RFC 8032 encodes them; s is the signature's second half, below the group's order or refused; h is
// SHA-512(R, A, message) modulo the order. A key that is no point, is not encoded in the one right way, or has a small
// order, which would make one signature fit many messages, is refused.
//
// It signs nothing and sees no secret, so its time may depend on its arguments. Allocates nothing.
bool Ed25519Holds(const uint8_t* public_key, const uint8_t* r, const uint8_t* s, const uint8_t* h) noexcept;

}  // namespace edgevc
