"""Checks Ed25519 signatures (RFC 8032, section 5.1.7); hashing here, the curve in the C++ core.

There is no signing: that needs care about what a processor gives away of a secret, and a well-kept library has it
(`keys`).
"""

from __future__ import annotations

import hashlib

from edgevc import _core

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
_ORDER = 2**252 + 27742317777372353535851937790883648493


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether the holder of the secret key signed the message.

    Args:
        public_key: 32 bytes.
        message: any number of bytes.
        signature: 64 bytes.
    """
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    r, s = signature[:32], signature[32:]
    scalar = int.from_bytes(hashlib.sha512(r + public_key + message).digest(), "little") % _ORDER
    return _core.ed25519_holds(public_key, r, s, scalar.to_bytes(32, "little"))
