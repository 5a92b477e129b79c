"""Voices made of recordings: how much they are like their speakers, whether their words are heard, and what it costs.

    python benchmarks/bench_own_voice.py --clones CLONES --whisper TINY BASE --cache CACHE --out FILE.json

CLONES: see benchmarks/own_voice_corpus.py. TINY and BASE are CTranslate2 models of Whisper. Needs PyTorch, Resemblyzer,
speechmos, faster-whisper, soundfile and what benchmarks/second_encoder.py names, in an environment of its own. Each
voice is made by `edgevc voice make` and judged by what it makes of the same speech of others, in int8, through the
product. CACHE keeps a line for each voice that was measured, so that a run that was stopped goes on; `--only` names
speakers, `--minutes 1` how much of each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import own_voice_corpus as corpus
from own_voice_table import rows, write_rows
from whisper_words import errors, words

from edgevc import VoiceConverter
from edgevc.limits import SAMPLE_RATE

try:
    from second_encoder import SecondEncoder

    from edgevc.voice_maker.material import FloatArray, normalised
except ModuleNotFoundError as error:
    raise SystemExit(f"this benchmark needs {error.name}; run it as its first lines say") from None

from edgevc.voice_maker.mixture import Likeness
from edgevc.voices.library import open_voice

SENTENCES, READINGS = 4, 2
N_SHORT = 12
"""Sources by which a voice of one minute is judged."""
N_QUALITY = 9
"""Sources whose quality is judged; the network that does it takes longest."""


class Judges:
    """What judges a sound; each is loaded once, when it is needed."""

    def __init__(self, whisper: list[Path], heard: list[FloatArray], cache: Path) -> None:
        """`heard`: the sources; `cache`: a folder."""
        self._folders, self._heard, self._cache = whisper, heard, cache
        self._name = f"{len(heard)}-{sum(map(len, heard))}"

    @cached_property
    def _encoder(self) -> Any:
        from resemblyzer import VoiceEncoder

        return VoiceEncoder("cpu", verbose=False)

    @cached_property
    def _second(self) -> SecondEncoder:
        return SecondEncoder()

    @cached_property
    def _whispers(self) -> dict[str, Any]:
        from faster_whisper import WhisperModel

        return {
            folder.name: WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
            for folder in self._folders
        }

    @cached_property
    def said(self) -> dict[str, list[list[str]]]:
        """What each Whisper reads in the sources themselves."""
        return self._kept(
            f"said-{self._name}",
            lambda: {name: [words(model, x) for x in self._heard] for name, model in self._whispers.items()},
        )

    def _kept(self, name: str, make: Callable[[], Any]) -> Any:
        path = self._cache / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(make()))
        return json.loads(path.read_text())

    def vector(self, samples: FloatArray) -> FloatArray:
        """Return who speaks, by Resemblyzer as it is installed."""
        from resemblyzer import preprocess_wav

        return np.asarray(self._encoder.embed_utterance(preprocess_wav(samples, SAMPLE_RATE)), np.float32)

    def likeness(self, sounds: list[FloatArray], held_out: list[FloatArray]) -> dict[str, float]:
        """Return how much sounds are like a speaker's recordings, by the three measures."""
        mixture = Likeness(held_out)
        return {
            "similarity": _cosine(self.vector, sounds, held_out),
            "second": _cosine(self._second.of, sounds, held_out),
            "likeness": float(np.mean([mixture.of(sound) for sound in sounds])),
        }

    def speech(self, sounds: list[FloatArray]) -> dict[str, Any]:
        """Return the quality of conversions of all sources, and for each Whisper and source the words it misreads."""
        from speechmos import dnsmos

        wrong = {
            # Whisper may repeat itself where it understands nothing
            name: [
                min(errors(said, words(model, sound)), len(said))
                for said, sound in zip(self.said[name], sounds, strict=True)
            ]
            for name, model in self._whispers.items()
        }
        some = sounds[:: max(1, len(sounds) // N_QUALITY)]
        quality = [dnsmos.run(0.7 * sound / np.abs(sound).max(), SAMPLE_RATE)["ovrl_mos"] for sound in some]
        return {"wrong": wrong, "ovrl": float(np.mean(quality))}

    def speech_of_shipped(self, model: str, voice: str, sounds: Callable[[], list[FloatArray]]) -> Any:
        """Return the same of a model's own voice; measured once."""
        return self._kept(f"{model}-{voice}-{self._name}", lambda: self.speech(sounds()))


def _cosine(of: Callable[[FloatArray], FloatArray], sounds: list[FloatArray], held_out: list[FloatArray]) -> float:
    """Return the mean cosine of sounds to the centroid of recordings."""
    centre = np.mean([of(samples) for samples in held_out], 0)
    return float(np.mean([of(sound) @ centre for sound in sounds]) / np.linalg.norm(centre))


def make(arguments: argparse.Namespace, name: str, minutes: float, output: Path) -> dict[str, float]:
    """Make a voice by the command, once; return what it cost."""
    cost = output.with_suffix(".json")
    if cost.exists():
        return dict(json.loads(cost.read_text()))
    files, seconds = [], 0.0
    for path in corpus.recordings(arguments.clones, name)[corpus.N_HELD_OUT :]:
        if seconds >= 60 * minutes:
            break
        files.append(path)
        seconds += len(corpus.load(path)) / SAMPLE_RATE
    command = [
        sys.executable,
        "-P",
        "-m",
        "edgevc",
        "voice",
        "make",
        name,
        *map(str, files),
        "-o",
        str(output),
        "--force",
    ]
    command += ["--bundle", arguments.model, "--anyway", "--i-have-written-consent", "published for any use"]
    if arguments.steps:
        command += ["--steps", str(arguments.steps)]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{name}: edgevc voice make ended with {process.returncode}")
    found = {
        "minutes": round(seconds / 60, 2),
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1000,
        "bytes": output.stat().st_size,
    }
    cost.write_text(json.dumps(found))
    return found


def measure(arguments: argparse.Namespace, name: str, minutes: float, judges: Judges, speech: list) -> dict[str, Any]:
    """Make one voice and judge it, its start and its speaker."""
    output = arguments.cache / f"{name}-{minutes:g}-{arguments.model}.voice"
    cost = make(arguments, name, minutes, output)
    _, held_out = corpus.divided(arguments.clones, name, 0.0)
    taken, _ = corpus.divided(arguments.clones, name, minutes)
    held_out = [normalised(samples) for samples in held_out]
    quality = open_voice(output).quality
    start = str(quality["began_as"])
    converter = VoiceConverter(arguments.model, "litert")
    whole = minutes > 1
    # its own recordings are no source: they would be like it however they are converted
    used = [i for i, (speaker, _) in enumerate(speech) if speaker != name]
    if not whole:
        used = used[:: len(used) // N_SHORT]

    def said_as(voice: str, which: list[int]) -> list[FloatArray]:
        return [normalised(converter.convert(normalised(speech[i][1]), voice)) for i in which]

    found: dict[str, Any] = {"start": start, "steps": quality["steps"], **cost, "used": used}
    found["problems"] = sorted(quality.get("wrong", {}))
    everything = list(range(len(speech)))
    sounds = said_as(str(output), everything if whole else used)
    found["voice"] = judges.likeness([sounds[i] for i in used] if whole else sounds, held_out)
    if whole:
        found["voice"] |= judges.speech(sounds)
    sounds = said_as(start, used)
    found["begun"] = judges.likeness(sounds, held_out)
    if whole:
        shipped = judges.speech_of_shipped(arguments.model, start, lambda: said_as(start, everything))
        found["begun"] |= shipped
        found["words"] = {name: [len(said) for said in all_said] for name, all_said in judges.said.items()}
    found["speaker"] = judges.likeness([normalised(samples) for samples in taken[: corpus.N_HELD_OUT]], held_out)
    return found


def main() -> None:
    """Measure what is not measured yet, a line for each voice, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--whisper", type=Path, nargs="+", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", default=list(corpus.TARGETS), metavar="NAME")
    parser.add_argument("--minutes", type=float, nargs="*", default=[3.0, 1.0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--steps", type=int, help="instead of the product's own number")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    kept = arguments.cache / "voices.jsonl"
    found = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(entry["name"], entry["asked"], entry["model"]) for entry in found}
    speech = corpus.sources(arguments.clones, SENTENCES, READINGS)
    judges = Judges(arguments.whisper, [normalised(samples) for _, samples in speech], arguments.cache)
    for minutes in arguments.minutes:
        for name in arguments.only:
            if (name, minutes, arguments.model) in done:
                continue
            entry = {"name": name, "asked": minutes, "model": arguments.model}
            entry |= measure(arguments, name, minutes, judges, speech)
            found.append(entry)
            with kept.open("a") as lines:
                lines.write(json.dumps(entry) + "\n")
            print(*[f"{r['name']}: {r['value']:.3f}" for r in rows([entry])], sep="\n", flush=True)
    if arguments.out is not None:
        write_rows(arguments.out, rows(found))


if __name__ == "__main__":
    main()
