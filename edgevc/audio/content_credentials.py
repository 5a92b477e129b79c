"""A C2PA manifest in a WAV file: that its voice is converted, by which software and model, signed by the maker.

The signature is made with the maker's own certificate; nothing is asked of the network, and no time stamp is fetched.
Source: C2PA technical specification 2.2, sections 10 (claims), 13 (certificates) and 18 (actions).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgevc.audio.provenance import Provenance
from edgevc.errors import ConfigError, MissingPackageError
from edgevc.files import require_private

_MIME = "audio/wav"
_MADE_FROM_SPEECH = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's name of what a trained model has made out of something that is not named: here, of somebody's words."""
_MAX_BYTES = 65_536
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


class ContentCredentials:
    """Signs files with a maker's certificate."""

    def __init__(self, certificates: Path, key: Path) -> None:
        """Read both, and try them on a file of one sample.

        Args:
            certificates: PEM: the maker's certificate, and behind it those that vouch for it, without the last one.
            key: PEM: its private key, PKCS 8 without a passphrase; EC (P-256, P-384, P-521), Ed25519 or RSA.

        Raises:
            ConfigError: one cannot be read, others can read the key, or they do not belong together or cannot sign.
            MissingPackageError: the extra `c2pa` is not installed.
        """
        self._c2pa = _c2pa()
        require_private(key, "a private key")
        self._key, self._certificates = _read(key), _read(certificates)
        self._algorithm = _algorithm(self._key, key)
        self._names = f"{certificates} and {key}"
        from edgevc.audio.wav_writer import encode_pcm16, wav_header

        silence = encode_pcm16(np.zeros(1, np.float32))
        tried = io.BytesIO()
        self.sign(io.BytesIO(wav_header(16_000, "pcm16", 1) + silence), tried, Provenance.of_recording())
        found = json.loads(self._c2pa.Reader(_MIME, io.BytesIO(tried.getvalue())).json())
        # whether the readers' lists know who vouches is theirs to say
        if found["validation_state"] not in ("Valid", "Trusted"):
            codes = ", ".join(status["code"] for status in found.get("validation_status", ()))
            raise ConfigError(f"{self._names} do not make a valid signature: {codes}; see docs/mark.md")

    def sign(self, source: BinaryIO, target: BinaryIO, provenance: Provenance) -> None:
        """Copy a WAV file and add the manifest.

        Args:
            source: the file, from its beginning.
            target: empty, to be read and written.
            provenance: what the manifest says.

        Raises:
            ConfigError: the certificate or the key cannot sign.
        """
        # "<name> <version>"
        name, _, version = provenance.software.rpartition(" ")
        software = {"name": name, "version": version}
        action = {
            "action": "c2pa.created",
            "digitalSourceType": _MADE_FROM_SPEECH,
            "softwareAgent": software,
            "description": provenance.comment,
        }
        actions = {"label": "c2pa.actions.v2", "data": {"actions": [action]}}
        try:
            # a signer for each file: the library's is used up by one
            signer = self._c2pa.Signer.from_info(
                self._c2pa.C2paSignerInfo(
                    alg=self._algorithm.encode(), sign_cert=self._certificates, private_key=self._key, ta_url=None
                )
            )
            with signer, self._c2pa.Builder({"claim_generator_info": [software], "assertions": [actions]}) as builder:
                builder.sign(signer, _MIME, source, target)
        except self._c2pa.C2paError as error:
            raise ConfigError(f"{self._names} cannot sign a file: {error}; see docs/mark.md") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check its name and permissions") from error
    if len(content) > _MAX_BYTES or b"-----BEGIN " not in content:
        raise ConfigError(f"{path} must be a PEM file of at most {_MAX_BYTES} bytes; convert it with openssl")
    return content


def _algorithm(key: bytes, path: Path) -> str:
    """Return the name of the signature that a key makes."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path} must hold a private key in PEM without a passphrase: {error}; type: openssl pkcs8 -topk8 -nocrypt"
        ) from error
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise ConfigError(f"{path} must hold an EC (P-256, P-384, P-521), Ed25519 or RSA key; make another one")


def _c2pa() -> Any:
    try:
        import c2pa
    except ImportError:
        raise MissingPackageError("a C2PA manifest", "c2pa-python", "c2pa") from None
    return c2pa
