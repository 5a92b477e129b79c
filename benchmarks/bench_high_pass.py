"""Measures what an offset and a rumble of the microphone do to the converted voice, without and with the high-pass.

python benchmarks/bench_high_pass.py

It prints the table of docs/high-pass.md: for each shipped model the level of the converted speech against that of the
undisturbed speech, mean over six recordings (examples/sentence.wav and five of the packaged ones, peak 0.25), and the
mean distance of both log-mel spectra. "16 bits" is the undisturbed speech rounded to 16 bits with dither: how far the
model goes apart for a difference that nobody hears.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.dsp.features import LogMel
from edgevc.quantize.calibration_speech import held_out_clips

RATE = 16_000
SENTENCE = Path(__file__).resolve().parent.parent / "examples" / "sentence.wav"
Samples = NDArray[np.float32]


def plain(converter, samples):
    """Convert without the high-pass that a stream has of its own."""
    return converter.stream("slt", high_pass=False).process(samples)


def recordings() -> list[Samples]:
    clips = [read_audio(SENTENCE)[0], *(samples for _, samples in held_out_clips()[:5])]
    quiet = np.zeros(RATE // 2, np.float32)
    return [np.concatenate([quiet, c[: 5 * RATE] * np.float32(0.25 / np.abs(c).max()), quiet]) for c in clips]


def disturbed(samples: Samples) -> dict[str, Samples]:
    rumble = np.sin(2 * np.pi * 5 * np.arange(len(samples)) / RATE)
    dither = np.random.default_rng(0).triangular(-1, 0, 1, len(samples))
    forms = {
        "none": samples,
        "16 bits": np.round(samples * 32768 + dither) / 32768,
        **{f"offset {value:g}": samples + value for value in (0.01, 0.05, 0.1, 0.3)},
        **{f"5 Hz, amplitude {value:g}": samples + value * rumble for value in (0.1, 0.3)},
    }
    return {name: np.asarray(form, np.float32) for name, form in forms.items()}


def level_db(samples: Samples) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def distance_db(samples: Samples, reference: Samples) -> float:
    """Mean difference of the log-mel spectra where the reference is not silent."""
    mel, expected = (10 / np.log(10) * LogMel(primed=True).process(x) for x in (samples, reference))
    loud = expected.mean(axis=1) > -40
    return float(np.mean(np.abs(mel[loud] - expected[loud])))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    clips = recordings()
    print("| model | disturbance | level without, dB | level with, dB | distance without, dB | distance with, dB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model in ("default", "low-latency", "tiny"):
        converter = VoiceConverter(ModelBundle.find(model), chunk_hops=4)
        clean = [plain(converter, clip) for clip in clips]
        for name in disturbed(clips[0]):
            levels, distances = [], []
            for clip, expected in zip(clips, clean, strict=True):
                samples = disturbed(clip)[name]
                both = [plain(converter, x) for x in (samples, _core.HighPass(RATE).process(samples))]
                levels.append([level_db(x) - level_db(expected) for x in both])
                distances.append([distance_db(x, expected) for x in both])
            cells = [*np.mean(levels, axis=0), *np.mean(distances, axis=0)]
            print(
                f"| {model} | {name} | {cells[0]:+.1f} | {cells[1]:+.1f} | {cells[2]:.1f} | {cells[3]:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
