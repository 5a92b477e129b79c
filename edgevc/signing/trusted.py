"""The keys whose signatures count: those that come with edgevc, and those in the user's folder of settings."""

from __future__ import annotations

import logging
import stat
from dataclasses import dataclass
from pathlib import Path

from edgevc.errors import ConfigError, EdgevcError, ModelError, OutputError
from edgevc.files import config_dir, write_atomic
from edgevc.signing.minisign import (
    PublicKey,
    SignatureFileError,
    decoded,
    parse_public_key,
    parse_signature,
    read_small_file,
)

_LOG = logging.getLogger("edgevc.signing")
_OWN = Path(__file__).with_name("built_in")
MAX_KEYS = 100
"""Files in the folder that are looked at."""


@dataclass(frozen=True)
class TrustedKey:
    """A key and the file that says so."""

    key: PublicKey
    path: Path
    built_in: bool


@dataclass(frozen=True)
class Signer:
    """Who signed something, as far as is known here."""

    key_name: str
    """Id of the key, 16 hexadecimal digits."""
    trusted: bool
    """Whether the key is one of ours and the signature is its; False: nothing is known but what the file claims."""
    comment: str = ""
    """The signature's trusted comment; empty where it was not proven."""
    owner: str = ""
    """The trusted key's comment."""


def keys_folder() -> Path | None:
    """Return the user's folder of trusted keys, whether it is there or not; None where there is no home."""
    folder = config_dir()
    return None if folder is None else folder / "trusted_keys"


def trusted_keys() -> list[TrustedKey]:
    """Return all keys that count; a file that is no key, or that others may change, is left out with a warning."""
    folder = keys_folder()
    own = [TrustedKey(_read(path), path, True) for path in sorted(_OWN.glob("*.pub"))]
    return own if folder is None else own + _users(folder)


def _users(folder: Path) -> list[TrustedKey]:
    try:
        paths = sorted(folder.glob("*.pub"))[:MAX_KEYS] if folder.is_dir() else []
        if paths:
            _require_own(folder)
    except (OSError, EdgevcError) as error:
        _LOG.warning("trusted keys are not used: %s", error)
        return []
    found = []
    for path in paths:
        try:
            _require_own(path)
            found.append(TrustedKey(_read(path), path, False))
        except (OSError, EdgevcError) as error:
            _LOG.warning("a trusted key is not used: %s", error)
    return found


def _require_own(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        raise ConfigError(f"{path}: others may change it, its mode is {mode:o}; chmod go-w {path}")


def _read(path: Path) -> PublicKey:
    return parse_public_key(read_small_file(path, "the public key"), str(path))


def add_key(key: PublicKey) -> Path:
    """Trust a key from now on; return its file.

    Raises:
        ConfigError: there is no home, or another key with the same id is trusted.
        OutputError: the file cannot be written.
    """
    folder = keys_folder()
    if folder is None:
        raise ConfigError("there is no folder of settings to keep a key in; set HOME or XDG_CONFIG_HOME")
    for other in trusted_keys():
        if other.key.key_id == key.key_id and other.key.key != key.key:
            raise ConfigError(f"another key with the id {key.name} is trusted, {other.path}; remove it first")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}; check its permissions") from error
    path = folder / f"{key.name}.pub"
    write_atomic(path, key.text().encode())
    path.chmod(0o600)
    return path


def remove_key(name: str) -> Path:
    """Trust a key no longer; return the file that is gone.

    Raises:
        ConfigError: no such key is trusted, or it comes with edgevc.
        OutputError: its file cannot be removed.
    """
    found = [one for one in trusted_keys() if one.key.name == name.upper()]
    users = [one for one in found if not one.built_in]
    if not users:
        known = ", ".join(one.key.name for one in trusted_keys() if not one.built_in) or "none"
        why = "comes with edgevc" if found else "is not trusted"
        raise ConfigError(f"the key {name} {why}; keys that can be removed: {known}")
    try:
        users[0].path.unlink()
    except OSError as error:
        raise OutputError(f"cannot remove {users[0].path}: {error.strerror}; check its permissions") from error
    return users[0].path


def signer_of(message: bytes, signature: bytes, what: str) -> Signer:
    """Return who signed a message.

    Args:
        message: the signed bytes.
        signature: content of the signature's file.
        what: what messages call the signed thing.

    Raises:
        ModelError: the signature is none, or one of the trusted keys is named and did not make it.
    """
    try:
        parsed = parse_signature(decoded(signature, "its signature"), "its signature")
    except SignatureFileError as error:
        raise ModelError(f"{what}: {error}") from error
    for one in trusted_keys():
        if one.key.key_id == parsed.key_id:
            if not parsed.holds(one.key, message):
                raise ModelError(
                    f"{what} was changed after it was signed, or the signature is forged: it is none of key "
                    f"{one.key.name}; get it again from its maker"
                )
            return Signer(one.key.name, True, parsed.trusted_comment, one.key.comment)
    return Signer(parsed.key_name, False)
