"""Converts a few recordings with every model that comes along, to be listened to: docs/samples/ and its page.

    python tools/make_samples.py --data DATA --out docs/samples

The first source ships with the project; the others are recordings of unseen speakers (tools/data/sources.toml has their
licences), of which only what the models make is written. Opus, a few kilobytes per second.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from vctrain.data.corpora import listed
from vctrain.data.speakers import UNSEEN
from vctrain.data.voices import normalise
from vctrain.errors import one_line_errors
from vctrain.evaluation import trials

from edgevc.bundle import ModelBundle, shipped_models
from edgevc.converter import VoiceConverter
from edgevc.limits import SAMPLE_RATE

ROOT = Path(__file__).resolve().parent.parent
SENTENCE = ROOT / "examples" / "sentence.wav"
LOUDEST = 0.7

WHO = {"sentence": "flite, a synthesiser"} | UNSEEN


def sources(data: Path) -> dict[str, NDArray[np.float32]]:
    """Name to float32 (T,) at 16 kHz: the sentence, and the first test utterance of each unseen speaker."""
    rows = listed(data)
    paths = {"sentence": SENTENCE}
    paths |= {speaker: data / trials.choose(rows, speaker, 1)[0]["path"] for speaker in UNSEEN}
    return {name: normalise(sf.read(path, dtype="float32")[0]) for name, path in paths.items()}


def page(models: list[str], voices: list[str], names: list[str]) -> str:
    """README.md of the folder."""
    lines = [
        "# Samples",
        "",
        "Made by `python tools/make_samples.py`: what the models make of a synthesiser's sentence and of five people",
        "whom no training has heard. Their own recordings are not here; tools/data/sources.toml says where they are.",
        "int8, streamed hop by hop, brought to one loudness.",
    ]
    for name in names:
        lines += [
            "",
            f"## {name}: {WHO[name]}",
            "",
            "| | " + " | ".join(voices) + " |",
            "| --- " * (len(voices) + 1) + "|",
        ]
        lines += [
            f"| {model} | " + " | ".join(f"[{voice}]({model}-{name}-{voice}.opus)" for voice in voices) + " |"
            for model in models
        ]
    return "\n".join([*lines, ""])


@one_line_errors
def main() -> None:
    """Writes OUT/MODEL-SOURCE-VOICE.opus and OUT/README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    recordings = sources(args.data)
    models = list(shipped_models())
    total = 0
    for model in models:
        converter = VoiceConverter(ModelBundle.find(model))
        voices = [voice.name for voice in converter.bundle.voices]
        for name, samples in recordings.items():
            for voice in voices:
                output = converter.convert(samples, voice)
                output *= LOUDEST / max(float(np.abs(output).max()), 1e-3)
                file = args.out / f"{model}-{name}-{voice}.opus"
                sf.write(file, output, SAMPLE_RATE, format="OGG", subtype="OPUS")
                total += file.stat().st_size
    (args.out / "README.md").write_text(page(models, voices, list(recordings)), encoding="utf-8")
    print(f"{args.out}: {len(models) * len(recordings) * len(voices)} files, {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
