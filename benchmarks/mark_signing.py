"""Signatures of models: what verifying costs, and what is refused; a step of benchmarks/bench_mark.py."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgevc.signing.keys import SecretKey, generate, write_pair
from edgevc.signing.minisign import SignatureFileError, parse_public_key, parse_signature
from edgevc.signing.trusted import trusted_keys

ROOT = Path(__file__).resolve().parents[1]
N_TAMPERED = 500
N_TIMED = 500


def figures() -> Iterator[list]:
    """Yield name, value, unit and bar of each figure; needs minisign (the program)."""
    models = sorted(path.parent for folder in ("models", "more_models") for path in (ROOT / folder).glob("*/*.json"))
    key = next(one.key for one in trusted_keys() if one.built_in)
    ours = minisigns = 0
    with tempfile.TemporaryDirectory() as folder:
        public = Path(folder) / "edgevc.pub"
        public.write_text(key.text())
        for model in models:
            manifest = model / "manifest.json"
            signature = parse_signature((model / "manifest.json.minisig").read_text())
            ours += signature.holds(key, manifest.read_bytes())
            minisigns += _runs("-V", "-q", "-p", public, "-m", manifest)
        yield [f"shipped models whose signature holds (of {len(models)})", ours, "models", f">= {len(models)}"]
        yield ["the same, by minisign -V", minisigns, "models", f">= {len(models)}"]
        secret = generate("a maker")
        write_pair(secret, Path(folder) / "m.key", Path(folder) / "m.pub")
        yield ["minisign's own signature holds", _theirs(Path(folder), secret), "", ">= 1"]
    message = (models[0] / "manifest.json").read_bytes()
    text = secret.sign(message, "a comment").text()
    yield [f"tampered manifests and signatures refused (of {N_TAMPERED})", _refused(secret, message, text), "",
           f">= {N_TAMPERED}"]  # fmt: skip
    times = []
    for _ in range(N_TIMED):
        started = time.perf_counter()
        parse_signature(text).holds(secret.public, message)
        times.append(1e3 * (time.perf_counter() - started))
    name = f"time to verify a signature of a manifest of {len(message)} bytes, median"
    yield [name, statistics.median(times), "ms", "<= 1 ms"]


def _runs(*words: str | Path) -> bool:
    return subprocess.run(["minisign", *map(str, words)], capture_output=True, timeout=60).returncode == 0


def _theirs(folder: Path, ours: SecretKey) -> int:
    """Return 1 where we verify what minisign signed with a key of its own, and not as ours."""
    (folder / "said").write_bytes(b"a message")
    if not _runs("-G", "-W", "-p", folder / "t.pub", "-s", folder / "t.key"):
        return 0
    if not _runs("-S", "-s", folder / "t.key", "-m", folder / "said"):
        return 0
    signature = parse_signature((folder / "said.minisig").read_text())
    key = parse_public_key((folder / "t.pub").read_text())
    return int(signature.holds(key, b"a message") and not signature.holds(ours.public, b"a message"))


def _refused(secret: SecretKey, message: bytes, text: str) -> int:
    """Return how many of N_TAMPERED changes of one byte are refused; half are of the manifest."""
    rng, refused = np.random.default_rng(0), 0
    # the first line is a comment that is nobody's word
    start = text.index("\n") + 1
    for i in range(N_TAMPERED):
        data = bytearray(message if i % 2 else text.encode())
        place = int(rng.integers(0 if i % 2 else start, len(data) - 1))
        data[place] ^= 1 << int(rng.integers(7))
        try:
            signature = parse_signature(text if i % 2 else data.decode())
            refused += not signature.holds(secret.public, bytes(data) if i % 2 else message)
        except (SignatureFileError, UnicodeDecodeError):
            refused += 1
    return refused
