"""Makes edgevc/quantize/calibration_speech.npz, which `edgevc quantize` calibrates and tests with by default.

    apt-get install flite espeak-ng
    python tools/make_calibration_speech.py

Needs flite 2.2 and espeak-ng 1.51 (Debian 12) and the default bundle. Nobody was recorded: the sentences are ours, two
synthesisers speak them, the default model converts some of that into its voices. Clips to calibrate with and clips to
test with share no sentence and no synthesiser's voice. Noise and levels are seeded, so the same versions of everything
make the same file.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.dsp.resample import resample
from edgevc.quantize.calibration_speech import SAMPLE_RATE, check_speech, mu_law_codes

TARGET = Path(__file__).resolve().parent.parent / "edgevc" / "quantize" / "calibration_speech.npz"
MAX_BYTES = 600_000


@dataclass(frozen=True)
class Take:
    """One clip: who speaks, into which voice it is converted, how loud, with what noise."""

    synthesiser: str
    voice: str | None
    peak_db: float
    noise: str | None
    snr_db: float
    text: str


CALIBRATION = (
    Take("flite:rms", None, -2, None, 0, "Seven grey geese walked past the old bakery before dawn."),
    Take("flite:slt", "bdl", -12, None, 0, "Would you please turn the kitchen lamp down a little further?"),
    Take("espeak:en-us+m3", None, -24, "pink", 25, "Just measure twice, cut once, and never rush the glue."),
    Take("espeak:en-us+f2", "kathleen", -6, "white", 22, "My neighbour's younger brother fixes radios on Thursday."),
    Take("flite:kal16", "anon", -18, None, 0, "The valley echoed with thunder, then everything was quiet."),
    Take("flite:rms", "slt", -32, "pink", 15, "Fresh bread, cheap oranges, and a jar of thick honey, thank you."),
    Take("flite:slt", None, -9, "pink", 10, "She should have checked the weather chart for the voyage."),
    Take("espeak:en-gb+m1", "bdl", -3, None, 0, "How high could a wooden kite fly without its tail?"),
)
HELD_OUT = (
    Take("flite:awb", None, -5, None, 0, "Nobody believed that the blue boat would cross the harbour again."),
    Take("flite:awb", "kathleen", -20, "pink", 18, "Choose a number between zero and fifty, and write it down."),
    Take("espeak:en-us+f4", "slt", -3, None, 0, "The garden path gets icy, so watch your feet this evening."),
    Take("espeak:en-gb+m7", "anon", -12, "white", 20, "Our judge laughed, paused, and then read the verdict."),
)


def speak(synthesiser: str, text: str) -> np.ndarray:
    """Return what a synthesiser says, (T,) at 16 kHz, peak 1, with a little silence left at both ends."""
    program, name = synthesiser.split(":")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        command = {
            "flite": ["flite", "-voice", name, "-t", text, "-o", str(wav)],
            "espeak": ["espeak-ng", "-v", name, "-s", "165", "-w", str(wav), text],
        }[program]
        subprocess.run(command, check=True)
        samples, rate, _ = read_audio(wav)
    if rate != SAMPLE_RATE:
        samples = resample(samples, rate, SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    margin = SAMPLE_RATE // 10
    samples = samples[max(0, loud[0] - margin) : loud[-1] + margin]
    return (samples / np.abs(samples).max()).astype(np.float32)


def noise_of(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of power 1: white, or pink, whose power falls with frequency as that of rooms does."""
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    if kind == "pink":
        frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
        spectrum *= 1 / np.sqrt(np.maximum(frequency, 40.0))
    noise = np.fft.irfft(spectrum, n)
    return noise / np.sqrt(np.mean(noise**2))


def record(take: Take, converter: VoiceConverter, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return a clip with peak 1, and the gain that brings it to its level."""
    samples = speak(take.synthesiser, take.text)
    if take.voice is not None:
        samples = converter.convert(samples * np.float32(0.5), take.voice)
    if take.noise is not None:
        level = np.sqrt(np.mean(samples**2)) / 10 ** (take.snr_db / 20)
        samples = samples + level * noise_of(take.noise, len(samples), rng)
    samples = samples / np.abs(samples).max()
    return samples.astype(np.float32), 10 ** (take.peak_db / 20)


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    rng = np.random.default_rng(2026)
    converter = VoiceConverter(ModelBundle.default(), "litert")
    takes = [*CALIBRATION, *HELD_OUT]
    clips = [record(take, converter, rng) for take in takes]
    names = [f"{i:02d} {t.synthesiser}{f' as {t.voice}' if t.voice else ''}" for i, t in enumerate(takes)]
    ready = [(name, samples * np.float32(gain)) for name, (samples, gain) in zip(names, clips, strict=True)]
    check_speech(ready[: len(CALIBRATION)], "the calibration set")
    check_speech(ready[len(CALIBRATION) :], "the held-out set")
    codes = [mu_law_codes(samples) for samples, _ in clips]
    np.savez_compressed(
        arguments.out,
        codes=np.concatenate(codes),
        starts=np.cumsum([0, *map(len, codes)]).astype(np.int32),
        gains=np.array([gain for _, gain in clips], np.float32),
        names=np.array(names),
        held_out=np.array([False] * len(CALIBRATION) + [True] * len(HELD_OUT)),
        about=np.array("made by tools/make_calibration_speech.py of edgevc, Apache-2.0; nobody was recorded"),
    )
    size = arguments.out.stat().st_size
    for name, code in zip(names, codes, strict=True):
        print(f"{name:40s} {len(code) / SAMPLE_RATE:5.2f} s")
    print(f"{arguments.out}: {sum(map(len, codes)) / SAMPLE_RATE:.1f} s, {size} bytes")
    if size > MAX_BYTES:
        raise SystemExit(f"the file must have at most {MAX_BYTES} bytes, got {size}")


if __name__ == "__main__":
    main()
