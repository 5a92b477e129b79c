"""Secret keys in minisign's format: made, kept behind a passphrase, and signed with.

The file holds, in base64: "Ed", "Sc" where a passphrase hides the rest (scrypt) or two zero bytes, "B2", 32 bytes of
salt, libsodium's limits for scrypt, and then key id, 64 bytes of key (the seed and the public key) and the BLAKE2b-256
of all three.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgevc.errors import ConfigError, MissingPackageError, OutputError
from edgevc.files import NewFile, require_private
from edgevc.signing.minisign import PublicKey, Signature, SignatureFileError, check_comment, read_small_file

_FORMAT = struct.Struct("<2s2s2s32sQQ104s")
_COMMENT = "untrusted comment: "
_PLAIN, _SCRYPT = b"\0\0", b"Sc"
_OPERATIONS, _MEMORY = 1 << 22, 1 << 27
"""Of scrypt for new keys: N = 2^17, r = 8, p = 1, which takes 128 MiB and half a second; a board has these."""
_MOST_MEMORY = 1 << 30
"""What minisign itself asks for."""


@dataclass(frozen=True)
class SecretKey:
    """What signs. It is never printed: `repr` shows the public half."""

    public: PublicKey
    seed: bytes = field(repr=False)

    def sign(self, message: bytes, trusted_comment: str = "") -> Signature:
        """Return a signature of the message's BLAKE2b-512, and of the comment.

        Raises:
            ConfigError: the comment is too long or has more than one line.
            MissingPackageError: the extra `sign` is not installed.
        """
        check_comment(trusted_comment)
        private = _cryptography().Ed25519PrivateKey.from_private_bytes(self.seed)
        signature = private.sign(hashlib.blake2b(message).digest())
        about_comment = private.sign(signature + trusted_comment.encode())
        return Signature(self.public.key_id, True, signature, trusted_comment, about_comment)


def generate(comment: str = "") -> SecretKey:
    """Return a new key pair with a random key id.

    Raises:
        MissingPackageError: the extra `sign` is not installed.
    """
    check_comment(comment)
    seed = secrets.token_bytes(32)
    return SecretKey(PublicKey(secrets.token_bytes(8), _public_of(seed), comment), seed)


def write_pair(key: SecretKey, secret_path: Path, public_path: Path, passphrase: bytes = b"") -> None:
    """Write both halves, the secret one readable by its owner alone; nothing is replaced.

    Args:
        key: to be written.
        secret_path: of the secret half.
        public_path: of the public half.
        passphrase: hides the secret half; empty: it lies there openly.

    Raises:
        OutputError: a file exists or cannot be written; then neither is left behind.
    """
    umask = os.umask(0o077)
    try:
        secret = NewFile(secret_path)
    finally:
        os.umask(umask)
    try:
        public = NewFile(public_path)
        try:
            for file, text in ((secret, _secret_text(key, passphrase)), (public, key.public.text())):
                file.file.write(text.encode())
                file.file.flush()
            secret.commit()
            public.commit()
        finally:
            public.abort()
    except OSError as error:
        raise OutputError(f"{secret_path}: cannot be written: {error.strerror}; make room") from error
    finally:
        secret.abort()


def read_secret_key(path: Path, ask: Callable[[], bytes]) -> SecretKey:
    """Return the secret key of a file, minisign's own too.

    Args:
        path: of the file.
        ask: gives the passphrase; called only where there is one.

    Raises:
        ConfigError: it cannot be read, others may read it, it is no secret key, or the passphrase is wrong.
    """
    require_private(path, "a secret key")
    text = read_small_file(path, "the secret key")
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) != 2 or not lines[0].startswith(_COMMENT):
        raise SignatureFileError(f"{path}: a secret key has a comment and one line of base64; give the key's file")
    try:
        data = base64.b64decode(lines[1], validate=True)
    except ValueError as error:
        raise SignatureFileError(f"{path}: the second line is no base64; copy the file again") from error
    if len(data) != _FORMAT.size:
        raise SignatureFileError(f"{path}: a secret key has {_FORMAT.size} bytes, got {len(data)}; give the key's file")
    algorithm, derivation, checksum, salt, operations, memory, hidden = _FORMAT.unpack(data)
    if algorithm != b"Ed" or checksum != b"B2" or derivation not in (_PLAIN, _SCRYPT):
        raise SignatureFileError(f"{path}: must be an Ed25519 key of minisign's kind; make one with edgevc keygen")
    if derivation == _SCRYPT:
        hidden = _xor(hidden, _stream(ask(), salt, operations, memory, str(path)))
    key_id, seed, public, found = hidden[:8], hidden[8:40], hidden[40:72], hidden[72:]
    # minisign leaves the checksum of an open key at zero
    checked = found != bytes(32) or derivation == _SCRYPT
    if checked and hashlib.blake2b(algorithm + hidden[:72], digest_size=32).digest() != found:
        wrong = "the passphrase is wrong, or the file is damaged" if derivation == _SCRYPT else "the file is damaged"
        raise ConfigError(f"{path}: {wrong}; try again, or copy the key again")
    if _public_of(seed) != public:
        raise ConfigError(f"{path}: its two halves do not belong together; copy the key again")
    return SecretKey(PublicKey(key_id, public), seed)


def _secret_text(key: SecretKey, passphrase: bytes) -> str:
    hidden = key.public.key_id + key.seed + key.public.key
    hidden += hashlib.blake2b(b"Ed" + hidden, digest_size=32).digest()
    salt = secrets.token_bytes(32) if passphrase else bytes(32)
    limits = (_OPERATIONS, _MEMORY) if passphrase else (0, 0)
    if passphrase:
        hidden = _xor(hidden, _stream(passphrase, salt, *limits, "the new key"))
    data = _FORMAT.pack(b"Ed", _SCRYPT if passphrase else _PLAIN, b"B2", salt, *limits, hidden)
    kind = "encrypted secret key" if passphrase else "secret key"
    return f"{_COMMENT}minisign {kind} {key.public.name}\n{base64.b64encode(data).decode('ascii')}\n"


def _stream(passphrase: bytes, salt: bytes, operations: int, memory: int, name: str) -> bytes:
    """What hides the key; parameters as libsodium's crypto_pwhash_scryptsalsa208sha256 derives them from the limits."""
    operations = max(operations, 1 << 15)
    n_most = operations // (8 * 4) if operations < memory // 32 else memory // (8 * 128)
    n_log2 = max(1, n_most.bit_length() - 1)
    p = 1 if operations < memory // 32 else min(operations // 4 >> n_log2, 0x3FFFFFFF) // 8
    if memory > _MOST_MEMORY or not 1 <= p <= 16 or n_log2 > 20:
        raise SignatureFileError(f"{name}: asks for more than {_MOST_MEMORY >> 20} MiB to be opened; make a new key")
    n = 1 << n_log2
    return hashlib.scrypt(passphrase, salt=salt, n=n, r=8, p=p, maxmem=128 * 8 * (n + p + 2) + (1 << 20), dklen=104)


def _public_of(seed: bytes) -> bytes:
    return bytes(_cryptography().Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _cryptography() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise MissingPackageError("signing", "cryptography", "sign") from None
    return ed25519
