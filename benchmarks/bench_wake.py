"""Wake phrases by text on Picovoice's wake-word benchmark: how many are missed at how many false alarms.

    git clone https://github.com/Picovoice/wake-word-benchmark
    git clone https://github.com/Picovoice/speech-to-intent-benchmark
    python benchmarks/bench_wake.py --words wake-word-benchmark/audio --speech LIBRISPEECH \
        --noise speech-to-intent-benchmark/data/noise/kitchen.wav --cache CACHE --hours 24 --out docs/results/wake.json

Needs soundfile. Words are mixed at 10 dB with one half of the noise, the background with the other half: by the rule
of the benchmark's mixer.py, noise throughout, and speech with probability 0.2 over it. Beside it stands speech alone,
which is harder. Recordings that cannot be read are left out. Posteriors are kept in CACHE, for each hour a file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from bench_commands import DICTIONARY, Recordings
from numpy.typing import NDArray

from edgevc.bundle import ModelBundle
from edgevc.recognition.armed import WakeSettings
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.command_set import CommandSet
from edgevc.recognition.grammar import Grammar
from edgevc.recognition.lexicon import lexicon_of, read_dictionary
from edgevc.recognition.network import build_network
from edgevc.recognition.posteriors import PhonePosteriors
from edgevc.recognition.recognizer import CommandRecognizer
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.sentences import Rule
from edgevc.recognition.wake import wake_phrases

WORDS = ("alexa", "computer", "jarvis", "smart mirror", "snowboy", "view glass")
SNR = 10
RATE = 16_000
ENERGY_FRAME = 512
SPEECH_PROBABILITY = 0.2
PEERS = "PocketSphinx 52.0 %, Snowboy 31.9 %, Porcupine 2.7 %, by the benchmark's authors"
FALSE_PER_HOUR = 0.1


def loudest(samples: NDArray[np.float64]) -> float:
    """Greatest energy of a frame."""
    n = len(samples) // ENERGY_FRAME
    return float((samples[: n * ENERGY_FRAME].reshape(n, ENERGY_FRAME) ** 2).sum(axis=1).max())


def over(speech: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Speech at SNR over noise of its length, by the loudest frame of each."""
    return noise + speech * np.sqrt(loudest(noise) * 10 ** (SNR / 10) / max(loudest(speech), 1e-9))


class Sounds:
    """Posteriors of words and of background, kept in a folder."""

    def __init__(self, arguments: argparse.Namespace, model: PhonePosteriors) -> None:
        self._words = arguments.words
        self._most = arguments.recordings
        self._speech = sorted(path for folder in arguments.speech for path in folder.rglob("*.flac"))
        if not self._speech:
            raise SystemExit("--speech: expected folders of 16 kHz mono FLAC")
        noise = soundfile.read(arguments.noise)[0]
        self._noise = noise[: len(noise) // 2], noise[len(noise) // 2 :]
        self._cache = arguments.cache
        self._cache.mkdir(parents=True, exist_ok=True)
        self._model = model

    def word(self, word: str) -> list[NDArray[np.float32]]:
        """A word's recordings in noise, half a second before them and one behind."""
        path = self._cache / f"word-{word}.npz"
        if not path.exists():
            rng = np.random.default_rng(5)
            found = {}
            for recording in sorted((self._words / word).iterdir())[:: self._step(word)][: self._most]:
                try:
                    samples, rate = soundfile.read(recording)
                except soundfile.LibsndfileError:
                    continue
                if rate == RATE and samples.ndim == 1:
                    padded = np.concatenate([np.zeros(RATE // 2), samples, np.zeros(RATE)])
                    found[recording.name] = self._posteriors(over(padded, self._excerpt(0, len(padded), rng)))
            np.savez(path, **found)
        with np.load(path) as kept:
            return [kept[name].astype(np.float32) for name in kept.files]

    def _step(self, word: str) -> int:
        return max(1, len(list((self._words / word).iterdir())) // self._most)

    def background(self, hours: int) -> Iterator[NDArray[np.float32]]:
        """An hour each."""
        for hour in range(hours):
            path = self._cache / f"background-{hour:02d}.npy"
            if not path.exists():
                rng = np.random.default_rng(100 + hour)
                parts, n = [], 0
                while n < 3600 * RATE:
                    speech = soundfile.read(self._speech[rng.integers(len(self._speech))])[0]
                    noise = self._excerpt(1, len(speech), rng)
                    mixed = over(speech, noise) if rng.uniform() < SPEECH_PROBABILITY else noise
                    n += len(mixed)
                    parts.append(self._posteriors(mixed))
                np.save(path, np.concatenate(parts))
            yield np.load(path).astype(np.float32)

    def speech(self) -> NDArray[np.float32]:
        """All speech, without noise, as one stream."""
        path = self._cache / "speech.npy"
        if not path.exists():
            read = (soundfile.read(recording, dtype="float32")[0] for recording in self._speech)
            np.save(path, np.concatenate([self._model(samples).astype(np.float16) for samples in read]))
        return np.load(path).astype(np.float32)

    def _excerpt(self, half: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        noise = np.resize(self._noise[half], max(n + 1, len(self._noise[half])))
        start = int(rng.integers(0, len(noise) - n))
        excerpt: NDArray[np.float64] = noise[start : start + n]
        return excerpt

    def _posteriors(self, samples: NDArray[np.float64]) -> NDArray[np.float16]:
        return self._model((samples / (2 * np.abs(samples).max())).astype(np.float32)).astype(np.float16)


@dataclass(frozen=True)
class Curve:
    """What a phrase's certainties say."""

    hits: NDArray[np.float64]
    """Of each recording; -inf where nothing was heard."""
    alarms: NDArray[np.float64]
    """Of everything heard in the background, highest first."""
    hours: float

    def limit(self, per_hour: float) -> float:
        """The lowest certainty to take, at which there are no more false alarms than that."""
        allowed = int(per_hour * self.hours)
        return float(self.alarms[allowed]) if allowed < len(self.alarms) else -np.inf

    def missed(self, per_hour: float) -> float:
        """Share of recordings that are not above that limit."""
        return float(np.mean(self.hits <= self.limit(per_hour)))


def recognizer(phrase: str, phones: Sequence[str]) -> CommandRecognizer:
    """What hears one phrase, and takes everything."""
    automaton = compile_grammar(Grammar(wake_phrases([Rule("wake", 1, phrase)])))
    lexicon = lexicon_of({arc.label.word for arc in automaton.arcs})
    return CommandRecognizer(build_network(automaton, lexicon, phones), phones, least_certainty=-np.inf)


def certainties(listener: CommandRecognizer, posteriors: NDArray[np.float32]) -> list[float]:
    """Of all that is heard in a stream."""
    listener.reset()
    return [heard.evidence.certainty for heard in listener.process(posteriors) if heard.evidence]


def cut(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the silence at both ends: frames that are 35 dB below the loudest."""
    n = len(samples) // ENERGY_FRAME
    energies = (samples[: n * ENERGY_FRAME].reshape(n, ENERGY_FRAME) ** 2).sum(axis=1)
    loud = np.flatnonzero(energies > energies.max() * 10**-3.5)
    return samples[loud[0] * ENERGY_FRAME : (loud[-1] + 1) * ENERGY_FRAME]


def one_breath(words: Path, clone: Path, model: PhonePosteriors, n: int, pause_ms: int) -> tuple[float, float]:
    """Share of commands right behind "computer", and alone; of those on which no number was chosen."""
    recordings = Recordings(clone, Path(), model)
    grammar = parse_rhino((clone / "data/rhino/coffee_maker.yaml").read_text())
    grammar = replace(grammar, wake=wake_phrases([Rule("wake", 1, "computer")]))
    commands = CommandSet.of_grammar(grammar, model.phones, [read_dictionary(DICTIONARY)])
    phrases = sorted((words / "computer").glob("*.wav"))
    right = {"joined": 0, "alone": 0}
    names = recordings.rest[:: len(recordings.rest) // n][:n]
    for i, name in enumerate(names):
        said = cut(soundfile.read(clone / "data/speech/clean" / name)[0])
        wake = cut(soundfile.read(phrases[(7 * i) % len(phrases)])[0])
        # as loud as each other
        wake *= np.sqrt(loudest(said) / loudest(wake))
        silence = np.zeros(RATE)
        pause = np.zeros(RATE * pause_ms // 1000)
        for what, parts in (("joined", (silence, wake, pause, said, silence)), ("alone", (silence, said, silence))):
            posteriors = model(np.concatenate(parts).astype(np.float32))
            listener = commands.armed_recognizer() if what == "joined" else commands.recognizer()
            heard = [one for one in listener.process(posteriors) if one.refusal is None]
            right[what] += bool(heard) and recordings.strict(name, heard[0].recognition)
    return right["joined"] / len(names), right["alone"] / len(names)


def main() -> None:
    """Writes the rows and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=Path, required=True, help="folder audio of Picovoice/wake-word-benchmark")
    parser.add_argument("--speech", type=Path, nargs="+", required=True, help="folders of other speech, 16 kHz FLAC")
    parser.add_argument("--noise", type=Path, required=True, help="noise, 16 kHz mono")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the posteriors")
    parser.add_argument("--commands", type=Path, help="clone of Picovoice/speech-to-intent-benchmark: also joined")
    parser.add_argument("--joined", type=int, default=100, help="wake words joined with a command (default 100)")
    parser.add_argument("--hours", type=int, default=24, help="of background (default 24)")
    parser.add_argument("--recordings", type=int, default=500, help="most recordings of a word (default all)")
    parser.add_argument("--bundle", default="default", help="model whose phones are heard")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = PhonePosteriors(ModelBundle.find(arguments.bundle))
    sounds = Sounds(arguments, model)
    recordings = {word: sounds.word(word) for word in WORDS}
    listeners = {word: recognizer(word, model.phones) for word in WORDS}
    alarms: dict[str, list[float]] = {word: [] for word in WORDS}
    in_speech = {word: certainties(listener, sounds.speech()) for word, listener in listeners.items()}
    n_frames = 0
    for hour in sounds.background(arguments.hours):
        n_frames += len(hour)
        for word, listener in listeners.items():
            alarms[word] += certainties(listener, hour)
    hours, speech_hours = n_frames / 360_000, len(sounds.speech()) / 360_000
    rows = []

    def add(name: str, value: float, bar: str | None = None) -> None:
        rows.append(
            {"name": name, "value": value, "unit": "", "bar": bar, "command": "python benchmarks/bench_wake.py"}
        )
        print(f"{name}: {value:.4g}", flush=True)

    missed = {}
    for word in WORDS:
        hits = np.array([max(certainties(listeners[word], one), default=-np.inf) for one in recordings[word]])
        for where, found, length in (
            (f"background of {hours:.1f} h", alarms[word], hours),
            (f"speech alone, {speech_hours:.2f} h", in_speech[word], speech_hours),
        ):
            curve = Curve(hits, np.sort(np.array(found, np.float64))[::-1], length)
            for per_hour in (FALSE_PER_HOUR, 1.0, 5.0):
                share = curve.missed(per_hour)
                what = f"{word}, {len(hits)} recordings at {SNR} dB: missed at {per_hour:g} false alarms / h, {where}"
                add(what, share, "<= 0.3" if per_hour == FALSE_PER_HOUR and where[0] == "b" else None)
                missed[word, per_hour, where[0]] = share
        add(f"{word}: missed at the default certainty", float(np.mean(hits < WakeSettings().least_certainty)))
    if arguments.commands is not None:
        for pause_ms in (0, 200):
            joined, alone = one_breath(arguments.words, arguments.commands, model, arguments.joined, pause_ms)
            what = f'"computer" and a coffee order, {pause_ms} ms apart, {arguments.joined} pairs'
            add(f"{what}: right", joined)
            add(f"{what}: right, of those right alone", joined / alone, ">= 0.95")
    mean = float(np.mean([missed[word, FALSE_PER_HOUR, "b"] for word in WORDS]))
    add(f"mean of six words, missed at 1 false alarm in 10 h, background of {hours:.1f} h ({PEERS})", mean, "<= 0.3")
    best = min(missed[word, FALSE_PER_HOUR, "b"] for word in WORDS if " " in word)
    add("best phrase of two words, missed at 1 false alarm in 10 h", best, "<= 0.1")
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
