"""Hands the trust in an old key over to a new one: a statement that both have signed.

    edgevc key rotation
    old RWQ...
    new RWQ...

Beside the statement lie `.minisig` by the old key and `.new.minisig` by the new one, which proves that whoever made the
statement has the new key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgevc.errors import ConfigError
from edgevc.files import NewFile
from edgevc.signing.keys import SecretKey
from edgevc.signing.minisign import (
    SUFFIX,
    PublicKey,
    SignatureFileError,
    parse_public_key,
    parse_signature,
    read_small_file,
)
from edgevc.signing.trusted import trusted_keys

_TITLE = "edgevc key rotation"


@dataclass(frozen=True)
class Rotation:
    """A proven one."""

    old: PublicKey
    new: PublicKey


def write_rotation(old: SecretKey, new: SecretKey, path: Path) -> None:
    """Write a statement and its two signatures; nothing is replaced.

    Raises:
        OutputError: a file exists or cannot be written; then none is left behind.
    """
    statement = f"{_TITLE}\nold {old.public.line()}\nnew {new.public.line()}\n".encode()
    contents = {
        path: statement,
        _beside(path, SUFFIX): old.sign(statement, "key rotation").text().encode(),
        _beside(path, f".new{SUFFIX}"): new.sign(statement, "key rotation").text().encode(),
    }
    files: list[NewFile] = []
    try:
        for name, content in contents.items():
            files.append(NewFile(name))
            files[-1].file.write(content)
            files[-1].file.flush()
    except BaseException:
        for file in files:
            file.abort()
        raise
    for file in files:
        file.commit()


def read_rotation(path: Path) -> Rotation:
    """Return a statement's keys after checking it.

    Raises:
        ConfigError: a file cannot be read or is none of the three, the old key is not trusted, or a signature is not
            that of its key.
    """
    text = read_small_file(path, "the statement")
    lines = text.rstrip("\n").split("\n")
    if len(lines) != 3 or lines[0] != _TITLE or not lines[1].startswith("old ") or not lines[2].startswith("new "):
        raise SignatureFileError(f"{path}: is no statement of a key rotation; give the file that edgevc keygen wrote")
    old = parse_public_key(lines[1][4:], f"{path}, line 2")
    new = parse_public_key(lines[2][4:], f"{path}, line 3")
    if not any(one.key.key == old.key and one.key.key_id == old.key_id for one in trusted_keys()):
        raise ConfigError(f"{path}: its old key {old.name} is not trusted here; add that key first, if you trust it")
    for key, suffix in ((old, SUFFIX), (new, f".new{SUFFIX}")):
        signature = _beside(path, suffix)
        parsed = parse_signature(read_small_file(signature, "the signature"), str(signature))
        if not parsed.holds(key, text.encode()):
            raise ConfigError(f"{signature}: is no signature of {path} by key {key.name}; get both files again")
    return Rotation(old, new)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
