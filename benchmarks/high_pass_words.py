"""Counts the words that an offset and a rumble of the microphone cost, and what the high-pass costs clean speech.

    PYTHONPATH=.:tools python benchmarks/high_pass_words.py --clones CLONES --data DATA

Needs the judges of the training toolchain (docs/training.md, docs/evaluation.md): Whisper base reads the words, DNSMOS
and Resemblyzer judge the sound. The speech is LibriSpeech's speaker 19, whom no training heard, with its transcripts,
each sentence at a peak of 0.25, converted to kathleen by the default model. Writes docs/results/high_pass.json: word
errors, and differences to clean speech with the 95 % interval of a bootstrap over utterances.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter

try:
    from vctrain import metrics
    from vctrain.data.corpora import librispeech_transcribed
    from vctrain.evaluation.whisper_asr import FOLDER_VARIABLE, model_folder, recognise_base, word_errors, words
except ImportError as error:
    raise SystemExit(f"this benchmark needs {error.name}; run it as its first lines say") from None

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000
SPEAKER, VOICE = "ls19", "kathleen"
PEAK = 0.25
DRAWS = 2_000
Samples = NDArray[np.float32]


def disturbed(samples: Samples) -> dict[str, tuple[Samples, bool]]:
    """Name to the sound and whether it goes through the high-pass."""
    rumble = 0.3 * np.sin(2 * np.pi * 5 * np.arange(len(samples)) / RATE)
    forms = {
        "clean": (samples, True),
        "offset 0.3": (samples + 0.3, True),
        "5 Hz, amplitude 0.3": (samples + rumble, True),
        "clean, without the high-pass": (samples, False),
    }
    return {name: (np.asarray(form, np.float32), through) for name, (form, through) in forms.items()}


def level_db(samples: Samples) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def interval(amounts: NDArray[np.float64], out_of: NDArray[np.float64]) -> tuple[float, float, float]:
    """Share, and the ends of its 95 % interval over utterances."""
    drawn = np.random.default_rng(0).integers(len(amounts), size=(DRAWS, len(amounts)))
    low, high = np.percentile(amounts[drawn].sum(axis=1) / out_of[drawn].sum(axis=1), (2.5, 97.5))
    return float(amounts.sum() / out_of.sum()), float(low), float(high)


def measure(clones: Path, n_words: int) -> tuple[dict[str, dict[str, NDArray[np.float64]]], NDArray[np.float64]]:
    """Form to figure to its value for each utterance; and the utterances' numbers of words."""
    converter = VoiceConverter(ModelBundle.default())
    found: dict[str, dict[str, list[float]]] = {}
    lengths: list[int] = []
    for recording in librispeech_transcribed(clones):
        if recording.speaker != SPEAKER or sum(lengths) >= n_words:
            continue
        said = words(recording.text)
        lengths.append(len(said))
        samples = read_audio(io.BytesIO(recording.audio))[0]
        samples = np.asarray(samples * (PEAK / np.abs(samples).max()), np.float32)
        speaker = None
        for name, (form, through) in disturbed(samples).items():
            figures = found.setdefault(name, {})
            out = converter.stream(VOICE, high_pass=through).process(form)
            judged = {"errors": word_errors(said, recognise_base(out)), "level": level_db(out)}
            if form is samples:
                judged |= metrics.dnsmos(out)
                speaker = metrics.embed(out) if speaker is None else speaker
                judged["same speaker"] = float(speaker @ metrics.embed(out))
            for key, value in judged.items():
                figures.setdefault(key, []).append(value)
        print(
            recording.utterance, len(said), {name: figures["errors"][-1] for name, figures in found.items()}, flush=True
        )
    arrays = {form: {key: np.array(v, np.float64) for key, v in figures.items()} for form, figures in found.items()}
    return arrays, np.array(lengths, np.float64)


def rows(found: dict[str, dict[str, NDArray[np.float64]]], n_words: NDArray[np.float64]) -> list[dict]:
    command = "PYTHONPATH=.:tools python benchmarks/high_pass_words.py --clones CLONES --data DATA"
    table = []

    def add(name: str, value: float, unit: str = "", bar: float | None = None) -> None:
        table.append({"name": name, "value": round(value, 4), "unit": unit, "command": command, "bar": bar})

    add("words", float(n_words.sum()))
    add("utterances", len(n_words))
    clean, ones = found["clean"], np.ones(len(n_words))
    for name, figures in found.items():
        add(f"{name}: share of words wrong", interval(figures["errors"], n_words)[0])
        if name == "clean":
            continue
        for end, value in zip(
            ("", ", low", ", high"), interval(figures["errors"] - clean["errors"], n_words), strict=True
        ):
            add(f"{name}, less clean: share of words wrong{end}", value)
        shift = figures["level"] - clean["level"]
        add(f"{name}, less clean: level, largest of an utterance", float(np.abs(shift).max()), "dB", 1.0)
    without = found["clean, without the high-pass"]
    for key in ("ovrl", "sig", "bak"):
        add(f"clean: DNSMOS {key.upper()}", float(clean[key].mean()))
        for end, value in zip(("", ", low", ", high"), interval(clean[key] - without[key], ones), strict=True):
            add(f"clean, with less without the high-pass: DNSMOS {key.upper()}{end}", value)
    add("clean, with and without the high-pass: same speaker, mean cosine", float(without["same speaker"].mean()))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clones", type=Path, required=True, help="folder of clones (docs/training.md)")
    parser.add_argument("--data", type=Path, required=True, help="folder with readers/base, or where to unpack it")
    parser.add_argument("--words", type=int, default=500, help="at least so many (default 500)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "high_pass.json")
    arguments = parser.parse_args()
    os.environ[FOLDER_VARIABLE] = str(model_folder("base", arguments.data).parent)
    table = rows(*measure(arguments.clones, arguments.words))
    arguments.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    for row in table:
        print(f"{row['name']:80s} {row['value']:9.4f} {row['unit']}")


if __name__ == "__main__":
    main()
