"""How soon the Wyoming service answers: "stop", "yes", and wake phrase and command in one breath.

    python benchmarks/bench_wyoming_end.py [--out docs/results/wyoming_end.json]

Five synthetic voices (flite's slt, rms, awb and kal16, espeak-ng) say each in faint noise, with 0 to 1 s of it before
the first sound. Counted is sound: the seconds from the end of speech to the transcript, in the time of the recording,
so that a busy machine does not count; what it computes and the network come on top.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import encode_pcm16
from edgevc.bundle import ModelBundle
from edgevc.dsp.resample import resample
from edgevc.limits import SAMPLE_RATE
from edgevc.recognition.command_set import CommandSet
from edgevc.recognition.spoken_commands import SpokenCommands
from edgevc.wyoming.hearing import Hearing
from edgevc.wyoming.sound import SPEECH

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python benchmarks/bench_wyoming_end.py"
VOICES = ("slt", "rms", "awb", "kal16", "espeak")
LEADS = np.linspace(0.0, 1.0, 20)
"""Seconds before the first sound."""
SAID = ("stop", "yes", "hey computer turn on the kitchen lamp")
GRAMMAR = """
wake = ["hey computer"]

[[command]]
name = "on"
say = ["turn on [the] {thing}"]
thing = ["kitchen lamp", "desk lamp", "radio"]

[[command]]
name = "stop"
say = ["stop"]

[[command]]
name = "yes"
say = ["yes"]

[[command]]
name = "no"
say = ["no"]
"""


def speak(text: str, voice: str, path: Path) -> NDArray[np.float32]:
    """Speech at 16 kHz, cut where it begins and ends."""
    if voice == "espeak":
        subprocess.run(["espeak-ng", "-v", "en-us", "-w", path, text], check=True)
    else:
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True)
    samples, rate, _ = read_audio(path)
    samples = samples if rate == SAMPLE_RATE else resample(samples, rate, SAMPLE_RATE)
    loud = np.nonzero(np.abs(samples) > 0.01)[0]
    return samples[max(0, loud[0] - 160) : loud[-1]]


def seconds_to_answer(
    commands: SpokenCommands, speech: NDArray[np.float32], lead: float, rng: np.random.Generator
) -> tuple[str, float]:
    """What a client that asks for a transcript is told, and how many seconds of sound behind the end of speech."""
    before = round(SAMPLE_RATE * lead)
    noisy = rng.normal(0, 8 / 32768, before + len(speech) + 2 * SAMPLE_RATE).astype(np.float32)
    noisy[before : before + len(speech)] += speech
    hearing = Hearing(commands.stream(wake=False), SPEECH)
    sound = encode_pcm16(noisy)
    for start in range(0, len(sound), 640):
        for sentence in hearing.hear(sound[start : start + 640]):
            found = sentence.heard.recognition
            text = "" if found is None or sentence.heard.refusal is not None else " ".join(found.words)
            return text, hearing.seconds - (before + len(speech)) / SAMPLE_RATE
    return "", float("inf")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "wyoming_end.json")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = []
    bundle = ModelBundle.find("default")
    with tempfile.TemporaryDirectory() as folder:
        grammar = Path(folder) / "home.toml"
        grammar.write_text(GRAMMAR, encoding="utf-8")
        commands = SpokenCommands(CommandSet.read(grammar, bundle.phones), bundle)
        for text in SAID:
            answers = [
                seconds_to_answer(commands, speech, lead, rng)
                for voice in VOICES
                for speech in [speak(text, voice, Path(folder) / "said.wav")]
                for lead in LEADS
            ]
            wanted = text.removeprefix("hey computer ")
            within = sum(words == wanted and late <= 1 for words, late in answers)
            times = [late for words, late in answers if words == wanted]
            for name, value, unit, bar in (
                (f'"{text}": right within 1 s of its end', within, f"of {len(answers)}", "100"),
                (f'"{text}": end of speech to transcript, median', round(1000 * statistics.median(times)), "ms", ""),
                (f'"{text}": the same, the latest', round(1000 * max(times)), "ms", "1000"),
            ):
                rows.append({"name": name, "value": value, "unit": unit, "command": COMMAND, "bar": bar})
                print(f"{name}: {value} {unit}", flush=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
