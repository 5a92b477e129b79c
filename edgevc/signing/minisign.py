"""Public keys and signatures as minisign (https://jedisct1.github.io/minisign) writes them.

A public key is a line of comment and base64 of: "Ed", 8 bytes of key id, 32 bytes of key. A signature is an untrusted
comment, base64 of: algorithm ("ED": the message's BLAKE2b-512 is signed; "Ed": the message itself), key id, 64 bytes;
then a trusted comment, and base64 of a signature of these 64 bytes and that comment.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgevc.errors import ConfigError
from edgevc.signing.ed25519 import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, verify
from edgevc.text import printable, shortened

MAX_BYTES = 4096
"""Of a key's or a signature's file."""
MAX_COMMENT = 500
"""Characters; minisign itself takes a few more."""
KEY_ID_BYTES = 8
SUFFIX = ".minisig"
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "


class SignatureFileError(ConfigError):
    """A file that is no public key or no signature."""


@dataclass(frozen=True)
class PublicKey:
    """Whose signatures can be checked."""

    key_id: bytes
    """8 bytes that a signature names its key by; chosen by its maker, so it proves nothing."""
    key: bytes
    comment: str = ""

    @property
    def name(self) -> str:
        """Return the key id as people read it: 16 hexadecimal digits, as minisign prints it."""
        return self.key_id[::-1].hex().upper()

    def line(self) -> str:
        """Return the base64 line that stands for the key wherever one is asked for."""
        return base64.b64encode(b"Ed" + self.key_id + self.key).decode("ascii")

    def text(self) -> str:
        """Return the key's file."""
        return f"{_UNTRUSTED}{self.comment or f'minisign public key {self.name}'}\n{self.line()}\n"


@dataclass(frozen=True)
class Signature:
    """What a signature's file holds; nothing in it is proven before `holds` has said so."""

    key_id: bytes
    prehashed: bool
    signature: bytes
    trusted_comment: str
    comment_signature: bytes
    untrusted_comment: str = ""

    @property
    def key_name(self) -> str:
        """Return the id of the key that it says made it, see `PublicKey.name`."""
        return self.key_id[::-1].hex().upper()

    def holds(self, key: PublicKey, message: bytes) -> bool:
        """Return whether `key` signed the message and the trusted comment."""
        signed = hashlib.blake2b(message).digest() if self.prehashed else message
        return (
            self.key_id == key.key_id
            and verify(key.key, signed, self.signature)
            and verify(key.key, self.signature + self.trusted_comment.encode(), self.comment_signature)
        )

    def text(self) -> str:
        """Return the signature's file."""
        algorithm = b"ED" if self.prehashed else b"Ed"
        first = base64.b64encode(algorithm + self.key_id + self.signature).decode("ascii")
        second = base64.b64encode(self.comment_signature).decode("ascii")
        untrusted = self.untrusted_comment or f"signature from key {self.key_name}"
        return f"{_UNTRUSTED}{untrusted}\n{first}\n{_TRUSTED}{self.trusted_comment}\n{second}\n"


def parse_public_key(text: str, name: str = "public key") -> PublicKey:
    """Return the key of a file's text, or of its base64 line alone.

    Args:
        text: of the file.
        name: what messages call it.

    Raises:
        SignatureFileError: it is no public key.
    """
    lines = _lines(text, name)
    comment = _comment(lines.pop(0), _UNTRUSTED, name) if len(lines) == 2 else ""
    if len(lines) != 1:
        raise SignatureFileError(f"{name}: a public key has a comment and one line of base64; give the .pub file")
    data = _base64(lines[0], name, 2 + KEY_ID_BYTES + PUBLIC_KEY_BYTES)
    if data[:2] != b"Ed":
        raise SignatureFileError(f"{name}: must be an Ed25519 key, got algorithm {data[:2]!r}; give the .pub file")
    return PublicKey(data[2:10], data[10:], comment)


def parse_signature(text: str, name: str = "signature") -> Signature:
    """Return a signature's file.

    Args:
        text: of the file.
        name: what messages call it.

    Raises:
        SignatureFileError: it is no signature.
    """
    lines = _lines(text, name)
    if len(lines) != 4:
        raise SignatureFileError(f"{name}: a signature has 4 lines, got {len(lines)}; sign it again")
    untrusted = _comment(lines[0], _UNTRUSTED, name)
    data = _base64(lines[1], name, 2 + KEY_ID_BYTES + SIGNATURE_BYTES)
    if data[:2] not in (b"ED", b"Ed"):
        raise SignatureFileError(f"{name}: must be an Ed25519 signature, got {data[:2]!r}; sign it with minisign")
    return Signature(
        data[2:10],
        data[:2] == b"ED",
        data[10:],
        _comment(lines[2], _TRUSTED, name),
        _base64(lines[3], name, SIGNATURE_BYTES),
        untrusted,
    )


def read_small_file(path: Path, what: str) -> str:
    """Return the text of a key's or signature's file.

    Raises:
        ConfigError: it cannot be read, is larger than MAX_BYTES, or is no text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigError(f"cannot read {what} {path}: {reason}; check the path") from error
    return decoded(data, str(path))


def decoded(data: bytes, name: str) -> str:
    """Return the text of a key's or signature's file.

    Raises:
        SignatureFileError: it is larger than MAX_BYTES, or no UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise SignatureFileError(f"{name}: must have at most {MAX_BYTES} bytes; give a key or a signature")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SignatureFileError(f"{name}: not UTF-8 at byte {error.start}; give a key or a signature") from error


def check_comment(comment: str) -> str:
    """Return a comment that may stand in a signature.

    Raises:
        ConfigError: it has more than one line, unprintable characters, or more than MAX_COMMENT characters.
    """
    if len(comment) > MAX_COMMENT or printable(comment) != comment:
        raise ConfigError(
            f"a comment is one line of at most {MAX_COMMENT} printable characters, got {shortened(comment)}; shorten it"
        )
    return comment


def _lines(text: str, name: str) -> list[str]:
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > 4:
        raise SignatureFileError(f"{name}: a key or a signature has at most 4 lines, got {len(lines)}")
    return lines


def _comment(line: str, prefix: str, name: str) -> str:
    if not line.startswith(prefix):
        raise SignatureFileError(f"{name}: expected a line `{prefix}...`, got {shortened(line)}; copy the file again")
    return line[len(prefix) :]


def _base64(line: str, name: str, n_bytes: int) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except ValueError as error:
        raise SignatureFileError(f"{name}: {shortened(line)} is no base64; copy the file again") from error
    if len(data) != n_bytes or base64.b64encode(data).decode("ascii") != line:
        raise SignatureFileError(f"{name}: expected {n_bytes} bytes in base64, got {len(data)}; copy the file again")
    return data
