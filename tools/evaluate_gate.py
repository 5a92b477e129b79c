"""What the silence gate does to speech and to noise, for several probabilities at which it may open.

    python tools/evaluate_gate.py --bundle models/default --data DATA

Speech: 8 recordings each of speaker 19 and of bdl's unseen prompts, 8 s at most, by their aligned phones. Noise: 20 s
of white, pink and brown noise at -60 and -45 dBFS.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vctrain.data.alignment import label_index
from vctrain.data.speakers import PHONE_TESTS
from vctrain.data.speech import Utterance, load_utterances
from vctrain.data.voices import normalise
from vctrain.errors import one_line_errors

from edgevc.bundle import ModelBundle
from edgevc.converter import silence_gate as gate
from edgevc.recognition.posteriors import PhonePosteriors

THRESHOLDS = (0.4, gate.OPEN_BELOW, 0.6, 0.8)
RATE = 16_000
SHUT_DB = -20.0
CUT_DB = -3.0


def gains(silence: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """The gate's gains in dB for probabilities of silence (L,), were it to open below `threshold`."""
    # probabilities on the other side of its own threshold, as those are of the one that is tried
    own = np.where(silence < threshold, 0.0, 1.0)
    state = gate.SilenceGate()
    return np.array([state.process(value) for value in own])


def coloured(slope: float, dbfs: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """20 s of noise whose power falls with frequency to the power of `slope`."""
    spectrum = np.fft.rfft(rng.standard_normal(20 * RATE))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 50) ** (slope / 2))
    return (noise / noise.std() * 10 ** (dbfs / 20)).astype(np.float32)


@one_line_errors
def main() -> None:
    """Prints a line for each threshold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    model = PhonePosteriors(ModelBundle.open(args.bundle))
    column = model.phones.index("SIL")

    def silence(samples: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.exp(model(samples)[:, column].astype(np.float64))

    speech: dict[str, list[tuple[NDArray[np.float64], NDArray[np.bool_]]]] = {}
    for utterance in chosen(load_utterances(args.data)):
        samples = normalise(utterance.sound[: 8 * RATE])
        found = silence(samples)
        index = np.clip(label_index(model.centres(len(found))), 0, len(utterance.labels) - 1)
        speech.setdefault(utterance.speaker, []).append((found, utterance.labels[index] != 0))
    rng = np.random.default_rng(0)
    noises = {
        f"{name} {dbfs:g} dBFS": silence(coloured(slope, dbfs, rng))
        for name, slope in (("white", 0.0), ("pink", 1.0), ("brown", 2.0))
        for dbfs in (-60.0, -45.0)
    }
    for threshold in THRESHOLDS:
        cut = {
            speaker: np.concatenate([(gains(found, threshold) < CUT_DB)[spoken] for found, spoken in group]).mean()
            for speaker, group in speech.items()
        }
        shut = {name: float((gains(found, threshold) <= SHUT_DB).mean()) for name, found in noises.items()}
        print(
            f"opens below {threshold:g}: cut "
            + ", ".join(f"{speaker} {100 * share:.2f} %" for speaker, share in cut.items())
            + "; shut "
            + ", ".join(f"{name} {share:.2f}" for name, share in shut.items()),
            flush=True,
        )


def chosen(utterances: list[Utterance]) -> list[Utterance]:
    """The first recordings of two speakers that no training heard so."""
    held_out = [u for u in utterances if u.split == "test"]
    return [u for speaker in PHONE_TESTS for u in [u for u in held_out if u.speaker == speaker][:8]]


if __name__ == "__main__":
    main()
