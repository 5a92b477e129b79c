"""Recordings that are not good enough for a voice: which are refused, which are made and labelled, and why.

    python benchmarks/bench_bad_material.py --clones CLONES --out docs/results/own-voice.json

CLONES: see benchmarks/own_voice_corpus.py. 40 s of two speakers each, spoiled on purpose, go through the check of
`edgevc voice make`. Needs PyTorch, Resemblyzer's weights and soundfile. Rows of other benchmarks stay in the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import own_voice_corpus as corpus

try:
    import torch
    from own_voice_table import Row, row, write_rows

    from edgevc import VoiceConverter, resample
    from edgevc.limits import SAMPLE_RATE
    from edgevc.voice_maker.check import clipped_share
    from edgevc.voice_maker.make import examine
    from edgevc.voice_maker.material import FloatArray, normalised
    from edgevc.voice_maker.speaker import SpeakerEncoder, weights_path
except ModuleNotFoundError as error:
    raise SystemExit(f"this benchmark needs {error.name}; run it as its first lines say") from None


COMMAND = "python benchmarks/bench_bad_material.py"
SPEAKERS = ("SM1", "nathalie")
SECONDS = 60.0
Sounds = list[FloatArray]


def noisy(sounds: Sounds, snr_db: float) -> Sounds:
    """Add white noise."""
    rng = np.random.default_rng(1)
    power = 10 ** (-snr_db / 20)
    return [(x + power * x.std() * rng.standard_normal(len(x))).astype(np.float32) for x in sounds]


def through(sounds: Sounds, gain: Callable[[FloatArray], FloatArray]) -> Sounds:
    """Filter by a gain for each frequency in hertz."""
    found = []
    for x in sounds:
        spectrum = np.fft.rfft(x)
        found.append(np.fft.irfft(spectrum * gain(np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE)), len(x)).astype(np.float32))
    return found


def telephone(sounds: Sounds) -> Sounds:
    """Keep 300 to 3400 Hz."""
    return through(sounds, lambda f: ((f > 300) & (f < 3400)).astype(np.float32))


def in_a_room(sounds: Sounds) -> Sounds:
    """Let speech be heard at 2 m in a room of 0.6 s: the echo is 6 dB louder than what comes straight."""
    rng = np.random.default_rng(2)
    seconds = np.arange(round(0.7 * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / 0.6)
    echo *= 2 / np.sqrt(np.square(echo).sum())
    echo[0] = 1
    return [
        np.fft.irfft(np.fft.rfft(x, 2 * len(x)) * np.fft.rfft(echo, 2 * len(x)), 2 * len(x))[: len(x)].astype(
            np.float32
        )
        for x in sounds
    ]


def clipped(sounds: Sounds) -> Sounds:
    """Clip what is louder than a sixth of the largest sample."""
    return [np.clip(x, -np.abs(x).max() / 6, np.abs(x).max() / 6) for x in sounds]


def whispered(sounds: Sounds) -> Sounds:
    """Let every phase be drawn by chance in frames of 20 ms, and smooth over 550 Hz, so that no pitch is left."""
    rng, window, hop = np.random.default_rng(3), np.hanning(320), 160
    found = []
    for x in sounds:
        out = np.zeros(len(x))
        for start in range(0, len(x) - 320, hop):
            power = np.square(np.abs(np.fft.rfft(x[start : start + 320] * window)))
            spectrum = np.sqrt(np.convolve(power, np.ones(11) / 11, "same"))
            out[start : start + 320] += np.fft.irfft(spectrum * np.exp(2j * np.pi * rng.random(161)), 320) * window
        found.append(out.astype(np.float32))
    return found


def music(sounds: Sounds) -> Sounds:
    """Play chords of three decaying tones with harmonics instead."""
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    rng, found = np.random.default_rng(4), []
    for x in sounds:
        out = np.zeros(len(x) + SAMPLE_RATE)
        for start in range(0, len(x), SAMPLE_RATE // 3):
            for semitone in rng.choice([0, 3, 4, 7, 9, 12], 3, replace=False):
                f = 220 * 2 ** (semitone / 12)
                tone = sum(np.sin(2 * np.pi * f * k * seconds) / k for k in range(1, 8)) * np.exp(-3 * seconds)
                out[start : start + SAMPLE_RATE] += tone
        found.append((0.1 * out[: len(x)]).astype(np.float32))
    return found


def first(sounds: Sounds, seconds: float) -> Sounds:
    """Keep the first seconds."""
    return [np.concatenate(sounds)[: round(seconds * SAMPLE_RATE)]]


def kinds(mine: Sounds, other: Sounds) -> dict[str, Sounds]:
    """Return what is tried, by its name."""
    return {
        "as they are": mine,
        "noise, 15 dB": noisy(mine, 15),
        "noise, 5 dB": noisy(mine, 5),
        "telephone band": telephone(mine),
        "a room, at 2 m": in_a_room(mine),
        "clipping": clipped(mine),
        "20 s": first(mine, 20),
        "two speakers, one after the other": [*mine[::2], *other[::2]],
        "two speakers at once": [
            (a[: min(len(a), len(b))] + b[: min(len(a), len(b))]).astype(np.float32)
            for a, b in zip(mine, other, strict=False)
        ],
        "music": music(mine),
        "silence": [np.zeros_like(x) for x in mine],
        "a whisper": whispered(mine),
        "a wrong rate: 16 kHz that say 22.05": [resample(x, 22_050, SAMPLE_RATE) for x in mine],
        "a wrong rate: 16 kHz that say 11.025": [resample(x, 11_025, SAMPLE_RATE) for x in mine],
    }


def main() -> None:
    """Try all kinds with both speakers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = weights_path()
    encoder = None if path is None else SpeakerEncoder(path)
    converter = VoiceConverter("default", "onnx", 4)
    sounds = {}
    for name in SPEAKERS:
        taken, _ = corpus.divided(arguments.clones, name, SECONDS / 60)
        sounds[name] = [normalised(x) for x in taken]
    found: dict[str, list[tuple[bool, str]]] = {}
    for name, other in zip(SPEAKERS, SPEAKERS[::-1], strict=True):
        for kind, spoiled in kinds(sounds[name], sounds[other]).items():
            _, wrong = examine(converter, spoiled, encoder, max(map(clipped_share, spoiled)))
            fatal = any(problem.fatal for problem in wrong)
            found.setdefault(kind, []).append((fatal, ", ".join(problem.name for problem in wrong)))
    table: list[Row] = []
    for kind, results in found.items():
        said = "; ".join(dict.fromkeys(text or "nothing" for _, text in results))
        refused = float(np.mean([fatal for fatal, _ in results]))
        table.append(
            row(f"{kind}: refused, of {len(results)} speakers; said of them: {said}", refused, command=COMMAND)
        )
    write_rows(arguments.out, table)


if __name__ == "__main__":
    main()
