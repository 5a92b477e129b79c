"""Voices made of recordings: how much they are like their speakers, whether their words are heard, and what it costs.

    python benchmarks/bench_own_voice.py --data DATA --whisper FOLDER --cache CACHE --out docs/results/own-voice.json

DATA is what tools/prepare_data.py writes; the targets are speakers of its test split, whom no training heard. FOLDER
holds a CTranslate2 model of Whisper. Needs PyTorch, Resemblyzer, speechmos, faster-whisper and soundfile, in an
environment of its own. Each voice is judged by what it makes of the same sources, speakers of LibriSpeech, through the
product in int8. What was measured stays in CACHE, so that a run that was stopped goes on; `--only` names targets.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from whisper_words import errors, words

FloatArray = NDArray[np.float32]

RATE = 16_000
TARGETS = {
    "ls19": "F, LibriSpeech",
    "SM1": "M, Voice Conversion Challenge 2016",
    "oc9601": "speechocean762, Mandarin speaker",
    "TF2": "F, Voice Conversion Challenge 2016",
    "oc9622": "speechocean762, Mandarin speaker",
    "SF1": "F, Voice Conversion Challenge 2016",
    "TM3": "M, Voice Conversion Challenge 2016",
    "oc9610": "speechocean762, Mandarin speaker",
    "oc9623": "speechocean762, Mandarin speaker",
    "oc9626": "speechocean762, Mandarin speaker",
    "oc9629": "speechocean762, Mandarin speaker",
    "oc9635": "speechocean762, Mandarin speaker",
}
N_SOURCES, N_HELD_OUT = 8, 8
COMMAND = "python benchmarks/bench_own_voice.py"


def speaker(rows: list[dict[str, Any]], data: Path, name: str, seed: int = 1) -> list[FloatArray]:
    """Return a speaker's recordings in a shuffled order."""
    import soundfile as sf

    found = [sf.read(data / row["path"], dtype="float32")[0] for row in rows if row["speaker"] == name]
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))]


def sources(rows: list[dict[str, Any]], data: Path) -> list[FloatArray]:
    """Return a recording of each of some LibriSpeech speakers who are no targets, 4 to 9 s long."""
    import soundfile as sf

    first: dict[str, str] = {}
    for row in rows:
        if (
            row["speaker"].startswith("ls")
            and row["speaker"] not in ("ls19", "ls26", "ls27")
            and 4 < row["seconds"] < 9
        ):
            first.setdefault(row["speaker"], row["path"])
    names = sorted(first)
    # behind the 120 of the background mixture, see tools/make_voice_background.py
    chosen = [names[i] for i in np.random.default_rng(3).permutation(len(names))[-N_SOURCES:]]
    return [sf.read(data / first[name], dtype="float32")[0] for name in chosen]


class Judges:
    """What judges a sound; each is loaded once."""

    def __init__(self, whisper: Path, heard: list[FloatArray]) -> None:
        """Read what the sources say."""
        from faster_whisper import WhisperModel
        from resemblyzer import VoiceEncoder

        self._encoder = VoiceEncoder("cpu", verbose=False)
        self._whisper = WhisperModel(str(whisper), device="cpu", compute_type="int8", cpu_threads=1)
        self._said = [words(self._whisper, samples) for samples in heard]

    def vector(self, samples: FloatArray) -> FloatArray:
        """Return who speaks."""
        from resemblyzer import preprocess_wav

        return np.asarray(self._encoder.embed_utterance(preprocess_wav(samples, RATE)), np.float32)

    def of(self, sounds: list[FloatArray], centre: FloatArray, likeness: Any) -> dict[str, float]:
        """Return the figures of a voice's conversions of all sources."""
        from speechmos import dnsmos

        similarity = [float(self.vector(sound) @ centre) for sound in sounds]
        pairs = [(said, words(self._whisper, sound)) for said, sound in zip(self._said, sounds, strict=True)]
        # Whisper may repeat itself where it understands nothing
        wrong = sum(min(errors(said, found), len(said)) for said, found in pairs)
        quality = [dnsmos.run(0.7 * sound / np.abs(sound).max(), RATE)["ovrl_mos"] for sound in sounds]
        return {
            "similarity": float(np.mean(similarity)),
            "likeness": float(np.mean([likeness.of(sound) for sound in sounds])),
            "wrong": wrong / sum(map(len, self._said)),
            "ovrl": float(np.mean(quality)),
        }

    @property
    def n_words(self) -> int:
        """Words in the sources."""
        return sum(map(len, self._said))


def make(recordings: list[FloatArray], folder: Path, name: str, steps: int) -> dict[str, float]:
    """Make a voice as `edgevc voice make` does; return what it cost."""
    import soundfile as sf

    from edgevc.bundle import ConsentRecord, ModelBundle
    from edgevc.voice_maker.make import Plan, make_voice
    from edgevc.voice_maker.tune import Recipe

    where = folder / f"{name}-recordings"
    where.mkdir(parents=True, exist_ok=True)
    for i, samples in enumerate(recordings):
        sf.write(where / f"{i:03d}.wav", samples, RATE)
    consent = ConsentRecord("licence", "published for any use; this voice is measured and not given to others")
    paths = tuple(sorted(where.glob("*.wav")))
    plan = Plan(name, paths, folder / f"{name}.voice", consent, recipe=Recipe(steps=steps), insist=True)
    began = time.process_time()
    outcome = make_voice(ModelBundle.default(), plan, lambda step, share: None, print)
    for path in paths:
        path.unlink()
    return {
        "cpu_s": time.process_time() - began,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "speech_s": outcome.facts.speech_seconds,
    }


def measure(arguments: argparse.Namespace, name: str, minutes: float, judges: Judges, heard: list[FloatArray]) -> dict:
    """Make one voice and judge it, its start and its speaker."""
    from edgevc.bundle import ModelBundle
    from edgevc.converter import VoiceConverter
    from edgevc.voice_maker.material import normalised
    from edgevc.voice_maker.mixture import Likeness
    from edgevc.voices.library import open_voice

    rows = [json.loads(line) for line in (arguments.data / "utterances.jsonl").read_text("utf-8").splitlines()]
    recordings = speaker(rows, arguments.data, name)
    held_out = [normalised(samples) for samples in recordings[:N_HELD_OUT]]
    taken, seconds = [], 0.0
    for samples in recordings[N_HELD_OUT:]:
        if seconds < 60 * minutes:
            taken.append(samples)
            seconds += len(samples) / RATE
    path = arguments.cache / f"{name}.voice"
    cost = make(taken, arguments.cache, name, arguments.steps)
    vectors = np.stack([judges.vector(samples) for samples in held_out])
    centre = vectors.mean(0) / np.linalg.norm(vectors.mean(0))
    likeness, start = Likeness(held_out), str(open_voice(path).quality["began_as"])
    converter = VoiceConverter(ModelBundle.default(), "litert")
    found: dict[str, Any] = {"minutes": round(seconds / 60, 2), "start": start, **cost}
    for title, voice in (("voice", str(path)), ("start", start)):
        sounds = [normalised(converter.convert(samples, voice)) for samples in heard]
        found[title] = judges.of(sounds, centre, likeness)
    own = [normalised(samples) for samples in taken[:N_SOURCES]]
    found["speaker"] = {
        "similarity": float(np.mean([judges.vector(samples) @ centre for samples in own])),
        "likeness": float(np.mean([likeness.of(samples) for samples in own])),
    }
    return found


def table(found: dict[str, dict], n_words: int) -> list[dict[str, Any]]:
    """Return rows for docs/results/."""
    rows: list[dict[str, Any]] = []

    def row(name: str, value: float, unit: str, bar: str | None = None) -> None:
        rows.append({"command": COMMAND, "name": name, "value": value, "unit": unit, "bar": bar})

    for key, entry in found.items():
        name, _, minutes = key.partition(" ")
        voice, start, own = entry["voice"], entry["start"], entry["speaker"]
        gone = (voice["likeness"] - start["likeness"]) / (own["likeness"] - start["likeness"])
        what = f"{name} ({TARGETS[name]}), {entry['minutes']:.1f} min, from {entry['start']}"
        row(
            f"{what}: similarity; start {start['similarity']:.2f}, own recordings {own['similarity']:.2f}",
            voice["similarity"],
            "",
            ">= 0.76",
        )
        row(f"{name} {minutes}: way from start to own recordings, by the mixture", gone, "", ">= 0.5")
        row(f"{name} {minutes}: words wrong beyond the start's", voice["wrong"] - start["wrong"], "", "<= 0.03")
        row(f"{name} {minutes}: OVRL beyond the start's", voice["ovrl"] - start["ovrl"], "", ">= -0.1")
        row(f"{name} {minutes}: time of one core", entry["cpu_s"], "s", "<= 180")
        row(f"{name} {minutes}: peak memory", entry["peak_mb"], "MB", "<= 1500")
    whole = [entry for key, entry in found.items() if key.endswith(" 3")]
    if whole:
        mean = {k: float(np.mean([e["voice"][k] - e["start"][k] for e in whole])) for k in ("wrong", "ovrl")}
        n = f"{len(whole)} voices of 2 to 3 minutes"
        row(f"{n}: mean similarity", float(np.mean([e["voice"]["similarity"] for e in whole])), "", ">= 0.82")
        row(f"{n}, {n_words} words each: words wrong beyond the start's", mean["wrong"], "", "<= 0.03")
        row(f"{n}: OVRL beyond the start's", mean["ovrl"], "", ">= -0.1")
    return rows


def main() -> None:
    """Measure what is not measured yet, and write the table after each voice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--whisper", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(TARGETS), metavar="NAME")
    parser.add_argument("--minutes", type=float, nargs="*", default=[3.0, 1.0])
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    kept = arguments.cache / "found.json"
    found: dict[str, dict] = json.loads(kept.read_text()) if kept.exists() else {}
    rows = [json.loads(line) for line in (arguments.data / "utterances.jsonl").read_text("utf-8").splitlines()]
    from edgevc.voice_maker.material import normalised

    heard = [normalised(samples) for samples in sources(rows, arguments.data)]
    judges = Judges(arguments.whisper, heard)
    for minutes in arguments.minutes:
        for name in arguments.only:
            key = f"{name} {minutes:g}"
            if key not in found:
                found[key] = measure(arguments, name, minutes, judges, heard)
                print(key, json.dumps(found[key]), flush=True)
                kept.write_text(json.dumps(found, indent=1))
    arguments.out.write_text(json.dumps(table(found, judges.n_words), indent=1) + "\n")


if __name__ == "__main__":
    main()
