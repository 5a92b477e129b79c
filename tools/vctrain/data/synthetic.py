"""More speakers for the encoder from Debian's speech synthesisers (flite, espeak-ng)."""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vctrain.data.corpora import Recording

PROGRAMS = ("flite", "espeak-ng")
FLITE_VOICES = ("rms", "awb", "slt", "kal16")
ESPEAK_VOICES = ("en-us+m3", "en-us+f2", "en-gb+m7", "en-us+f4")


def recordings(texts: list[str], per_voice: int, seed: int = 7) -> Iterator[Recording]:
    """Speaks `per_voice` sentences in each voice, none twice; kal16 and espeak-ng, less like people, get a quarter."""
    rng = random.Random(seed)
    left = rng.sample(texts, len(texts))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        for voice in FLITE_VOICES:
            wanted = per_voice if voice != "kal16" else per_voice // 4
            for i, text in enumerate(_take(left, wanted)):
                subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
                yield Recording(f"flite-{voice}", f"{i:04d}", text, path.read_bytes())
        for voice in ESPEAK_VOICES:
            for i, text in enumerate(_take(left, per_voice // 4)):
                pitch, speed = rng.randint(35, 65), rng.randint(140, 180)
                command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "-w", str(path), text]
                subprocess.run(command, check=True)
                yield Recording(f"espeak-{voice}", f"{i:04d}", text, path.read_bytes())


def _take(texts: list[str], wanted: int) -> list[str]:
    """The last `wanted` of the texts, which are gone from the list then; fewer where fewer are left."""
    taken = texts[len(texts) - min(wanted, len(texts)) :]
    del texts[len(texts) - len(taken) :]
    return taken
