"""Zipped bundles that are encrypted with age (https://age-encryption.org), for makers who must protect a voice.

They are decrypted in memory only: nothing readable is written. What opens them is told to the process once, as for
signatures, so that every part that opens a model can.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgevc.errors import ConfigError, MissingPackageError, ModelError, OutputError
from edgevc.files import check_output, require_private, write_atomic

MAGIC = b"age-encryption.org/v1\n"
MAX_KEY_BYTES = 65_536
"""Of a file of identities or of a passphrase."""

_identity: Path | None = None
_passphrase: Path | None = None


def unlock_with(identity: Path | None = None, passphrase: Path | None = None) -> None:
    """Say what opens encrypted models in this process from now on.

    Args:
        identity: file of age identities (AGE-SECRET-KEY-1...), as age-keygen writes it.
        passphrase: file whose first line is the passphrase.
    """
    global _identity, _passphrase
    _identity, _passphrase = identity, passphrase


def unlocked_by() -> tuple[str | None, str | None]:
    """Return what `unlock_with` was told, as absolute paths: another process of the same work needs it too."""
    identity, passphrase = (str(one.resolve()) if one else None for one in (_identity, _passphrase))
    return identity, passphrase


def decrypted(path: Path, limit: int) -> bytes:
    """Return the content of an encrypted file.

    Args:
        path: of the file.
        limit: bytes that it may have.

    Raises:
        ConfigError: a key's file cannot be read, or others can read it.
        ModelError: nothing here opens it, or it is damaged.
        MissingPackageError: the extra `age` is not installed.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ModelError(f"{path}: an encrypted model has at most {limit} bytes; give another model")
    if _identity is None and _passphrase is None:
        raise ModelError(f"{path} is encrypted; say what opens it with --identity FILE or --passphrase-file FILE")
    pyrage = _pyrage("opening an encrypted model")
    if b"\n-> scrypt " in data[:200]:
        if _passphrase is None:
            raise ModelError(f"{path} is encrypted with a passphrase; give --passphrase-file FILE")
        secret = _secret(_passphrase).split("\n")[0]
        try:
            return bytes(pyrage.passphrase.decrypt(data, secret))
        except pyrage.DecryptError as error:
            raise ModelError(
                f"{path}: the passphrase of {_passphrase} does not open it ({error}); check both"
            ) from error
    if _identity is None:
        raise ModelError(f"{path} is encrypted to a key, not with a passphrase; give --identity FILE")
    try:
        return bytes(pyrage.decrypt(data, _identities(pyrage, _identity)))
    except pyrage.DecryptError as error:
        raise ModelError(f"{path}: no identity of {_identity} opens it ({error}); check both") from error


def encrypt(path: Path, output: Path, recipients: Sequence[str] = (), passphrase: Path | None = None) -> None:
    """Encrypt a zipped bundle.

    Args:
        path: of the .zip.
        output: of the .age file; nothing is replaced.
        recipients: public keys (age1...) whose identities will open it.
        passphrase: file whose first line will open it, in place of recipients.

    Raises:
        ConfigError: neither or both are given, or one cannot be used.
        OutputError: the output exists or cannot be written.
        MissingPackageError: the extra `age` is not installed.
    """
    if bool(recipients) == (passphrase is not None):
        raise ConfigError("give either recipients (age1...) or a passphrase")
    check_output(output)
    pyrage = _pyrage("encrypting a model")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}; check the path") from error
    if passphrase is not None:
        secret = _secret(passphrase).split("\n")[0]
        if not secret:
            raise ConfigError(f"{passphrase}: an empty passphrase hides nothing; write one into its first line")
        write_atomic(output, bytes(pyrage.passphrase.encrypt(data, secret)))
        return
    keys = []
    for text in recipients:
        try:
            keys.append(pyrage.x25519.Recipient.from_str(text))
        except pyrage.RecipientError as error:
            raise ConfigError(f"a recipient is age1..., got {text[:20]!r}; take it from age-keygen -y") from error
    write_atomic(output, bytes(pyrage.encrypt(data, keys)))


def is_encrypted(path: Path) -> bool:
    """Return whether a file begins as age's files do."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _identities(pyrage: Any, path: Path) -> list[Any]:
    lines = [line.strip() for line in _secret(path).splitlines()]
    found = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        try:
            found.append(pyrage.x25519.Identity.from_str(line))
        except pyrage.IdentityError:
            # the line may be a secret in another form, so it is not shown
            raise ConfigError(f"{path}, line {number}: is no age identity; make one with age-keygen") from None
    return found


def _secret(path: Path) -> str:
    require_private(path, "what opens a model")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check the path") from error
    if len(data) > MAX_KEY_BYTES:
        raise ConfigError(f"{path}: a key's file has at most {MAX_KEY_BYTES} bytes; give another file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; give a key's file") from error


def _pyrage(what: str) -> Any:
    try:
        import pyrage
    except ImportError:
        raise MissingPackageError(what, "pyrage", "age") from None
    return pyrage
