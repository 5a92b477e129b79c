"""More speakers for the encoder from Debian's speech synthesisers (flite, espeak-ng)."""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vctrain.data.corpora import Recording

FLITE_VOICES = ("rms", "awb", "kal16")
ESPEAK_VOICES = ("en-us+m3", "en-us+f2", "en-gb+m7", "en-us+f4")


def recordings(texts: list[str], per_voice: int, seed: int = 7) -> Iterator[Recording]:
    """Speaks `per_voice` sentences in each voice; the espeak-ng voices, less like people, get a quarter."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        for voice in FLITE_VOICES:
            for i, text in enumerate(rng.sample(texts, min(per_voice, len(texts)))):
                subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
                yield Recording(f"flite-{voice}", f"{i:04d}", text, path.read_bytes())
        for voice in ESPEAK_VOICES:
            for i, text in enumerate(rng.sample(texts, min(per_voice // 4, len(texts)))):
                pitch, speed = rng.randint(35, 65), rng.randint(140, 180)
                command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "-w", str(path), text]
                subprocess.run(command, check=True)
                yield Recording(f"espeak-{voice}", f"{i:04d}", text, path.read_bytes())
