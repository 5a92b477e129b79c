"""Signs a bundle's manifest, which holds the hash of every other file."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from pathlib import Path

from edgevc.bundle.archive import READ_ERRORS
from edgevc.bundle.reader import SIGNATURE, ModelBundle
from edgevc.errors import ModelError
from edgevc.files import AtomicFile, cannot_write, write_atomic
from edgevc.signing.keys import SecretKey
from edgevc.signing.minisign import PublicKey, decoded, parse_signature
from edgevc.signing.trusted import Signer


def sign_bundle(path: str | os.PathLike[str], key: SecretKey, comment: str = "") -> ModelBundle:
    """Check a bundle, sign it and return it opened again; an older signature is replaced.

    Args:
        path: a folder or a .zip.
        key: that signs.
        comment: signed with it, one line; empty: the model's name and version.

    Raises:
        ModelError: the bundle is damaged or its signature is wrong.
        OutputError: the signature cannot be written; then everything is as it was.
    """
    bundle = ModelBundle.open(path)
    comment = comment or f"{bundle.name} {bundle.version}"
    signature = key.sign(bundle.manifest_bytes, comment).text().encode()
    where = Path(path)
    if where.is_dir():
        write_atomic(where / SIGNATURE, signature)
    else:
        _write_into_zip(where, signature)
    return ModelBundle.open(path)


def signed_by(bundle: ModelBundle, key: PublicKey) -> Signer | None:
    """Return whether one key signed a bundle, whatever is trusted otherwise; None: it is not signed.

    Raises:
        ModelError: it names the key, which did not sign it.
    """
    if bundle.signature is None:
        return None
    parsed = parse_signature(decoded(bundle.signature, "its signature"), "its signature")
    if parsed.key_id != key.key_id:
        return Signer(parsed.key_name, False)
    if not parsed.holds(key, bundle.manifest_bytes):
        raise ModelError(f"the model {bundle.path}: its signature is none of key {key.name}; get it again")
    return Signer(key.name, True, parsed.trusted_comment, key.comment)


def _write_into_zip(path: Path, signature: bytes) -> None:
    target = AtomicFile(path)
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target.file, "w") as copy:
            manifest = next(name for name in archive.namelist() if name.rpartition("/")[2] == "manifest.json")
            wanted = manifest + SIGNATURE[len("manifest.json") :]
            for info in archive.infolist():
                if info.filename == wanted:
                    continue
                with archive.open(info) as source, copy.open(info, "w") as out:
                    shutil.copyfileobj(source, out)
            copy.writestr(wanted, signature)
        target.commit()
    except OSError as error:
        raise cannot_write(path, error) from error
    except READ_ERRORS as error:
        raise ModelError(f"cannot rewrite {path}: {error}; zip the folder again after signing it") from error
    finally:
        with contextlib.suppress(OSError):
            target.abort()
