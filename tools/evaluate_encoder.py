"""What a bundle's phone head can do: phones of unseen speakers, clean and in a kitchen, and spoken commands.

    python tools/evaluate_encoder.py --bundle models/default --data DATA --noises ESC-10 --clones CLONES --out OUT

The encoder runs as on the device: streaming, through edgevc's engine, int8 or float as the bundle is. CLONES holds a
clone of Picovoice/speech-to-intent-benchmark (Apache-2.0), which no training hears; without --clones only phones are
evaluated. The search's numbers were chosen on the recordings of `in_tuning_third`; the others are reported as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from vctrain.data.alignment import aligned, label_index
from vctrain.data.corpora import SAMPLE_RATE, Clone, decode_audio
from vctrain.data.speakers import PHONE_TESTS, UNSEEN_SPEAKERS
from vctrain.data.voices import normalise
from vctrain.errors import one_line_errors
from vctrain.evaluation.noise import Kitchen
from vctrain.metrics import edit_errors

from edgevc.bundle import ModelBundle
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.emissions import SearchSettings, emissions, phone_log_priors
from edgevc.recognition.lexicon import lexicon_of, read_dictionary
from edgevc.recognition.network import build_network
from edgevc.recognition.phone_loop import decode_phones, spoken
from edgevc.recognition.posteriors import PhonePosteriors
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.search import CommandSearch, Recognition, fully_right

NOISE_DB = 10.0
PHONE_SETTINGS = SearchSettings(prior_weight=0.3, floor=-20.0)
INSERTION_PENALTY = -6.0
"""Of the free decoding; chosen on slt's unseen prompts, which are not reported."""
DICTIONARY = Path(__file__).parent / "vctrain" / "evaluation" / "coffee_maker.dict"
"""What the CMU dictionary lacks of the benchmark's words."""
BARS = {"default": (0.68, 0.90), "low-latency": (0.66, 0.88), "tiny": (0.64, 0.85)}
"""Bundle to frame accuracy on the unseen speaker, and share of commands."""


@dataclass(frozen=True)
class Aligned:
    """A recording and its phones as columns of the posteriors."""

    name: str
    samples: NDArray[np.float32]
    phones: tuple[tuple[int, int, int], ...]
    """(column, first label frame, label frames)."""

    def labels(self, centres: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the phone at each frame centre, in samples, and whether the alignment reaches there."""
        n_labels = max(start + length for _, start, length in self.phones)
        labels = np.zeros(n_labels, np.intp)
        for column, start, length in self.phones:
            labels[start : start + length] = column
        index = label_index(centres)
        inside = (index >= 0) & (index < n_labels)
        return labels[np.clip(index, 0, n_labels - 1)], inside


@dataclass(frozen=True)
class Command:
    """What one recording of the speech-to-intent benchmark should mean, and what was heard."""

    name: str
    slots: dict[str, str]
    found: Recognition | None
    right: bool


def aligned_phones(data: Path, phones: Sequence[str]) -> Iterator[tuple[dict[str, Any], list[tuple[int, int, int]]]]:
    """Every aligned utterance's row and its (column, start, length); noises of the aligner count as silence."""
    column = {phone: i for i, phone in enumerate(phones)}
    for row, entry in aligned(data):
        yield row, [(column.get(name, 0), start, n) for name, start, n in entry["phones"]]


def log_priors(data: Path, phones: Sequence[str]) -> NDArray[np.float64]:
    """The phones' frequencies in what training hears."""
    counts = np.zeros(len(phones), np.int64)
    for row, found in aligned_phones(data, phones):
        if row["split"] == "train":
            for column, _, length in found:
                counts[column] += length
    return phone_log_priors(counts)


def held_out_recordings(data: Path, speaker: str, phones: Sequence[str]) -> list[Aligned]:
    """A speaker's aligned test utterances, at the level of the training data."""
    return [
        Aligned(
            f"{speaker}/{row['utterance']}", normalise(sf.read(data / row["path"], dtype="float32")[0]), tuple(found)
        )
        for row, found in aligned_phones(data, phones)
        if row["speaker"] == speaker and row["split"] == "test"
    ]


def phone_errors(reference: Sequence[int], heard: Sequence[int], silence: int = 0) -> int:
    """Substitutions, insertions and deletions; silence does not count."""
    return edit_errors(spoken(reference, silence), spoken(heard, silence))


def score_phones(
    model: PhonePosteriors, recordings: Sequence[Aligned], priors: NDArray[np.float64], noises: Path | None
) -> tuple[float, float]:
    """Frame accuracy and phone error rate, with noise of NOISE_DB from `noises` where given."""
    right = frames = errors = count = 0
    for recording in recordings:
        samples = recording.samples
        if noises is not None:
            samples = Kitchen(noises, NOISE_DB).add(samples, recording.name)
        posteriors = model(samples)
        labels, inside = recording.labels(model.centres(len(posteriors)))
        right += int((posteriors.argmax(1) == labels)[inside].sum())
        frames += int(inside.sum())
        reference = [column for column, _, _ in recording.phones]
        heard = decode_phones(emissions(posteriors, priors, PHONE_SETTINGS), INSERTION_PENALTY)
        errors += phone_errors(reference, heard)
        count += len(spoken(reference, 0))
    return right / frames, errors / count


def in_tuning_third(name: str) -> bool:
    """Whether the search's numbers may be chosen on this recording."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3 == 0


class CommandEvaluation:
    """The recordings of the speech-to-intent benchmark, its grammar, and the search."""

    def __init__(self, clone: Clone, model: PhonePosteriors, priors: NDArray[np.float64]) -> None:
        self._clone = clone
        self._model = model
        self._labels = json.loads(clone.read("data/label/label.json"))
        grammar = compile_grammar(parse_rhino(clone.read("data/rhino/coffee_maker.yaml").decode()))
        lexicon = lexicon_of({arc.label.word for arc in grammar.arcs}, [read_dictionary(DICTIONARY)])
        self.search = CommandSearch(build_network(grammar, lexicon, model.phones), priors)
        present = set(clone.names())
        # six labels of the benchmark have no recording
        self.names = [name for name in sorted(self._labels) if f"data/speech/clean/{name}" in present]

    def posteriors(self, name: str, noises: Path | None) -> NDArray[np.float32]:
        """What the encoder makes of a recording, with noise of NOISE_DB from `noises` where given."""
        samples = normalise(decode_audio(self._clone.read(f"data/speech/clean/{name}")))
        if noises is not None:
            samples = Kitchen(noises, NOISE_DB).add(samples, name)
        return self._model(samples)

    def evaluate(self, noises: Path | None, keep: Path | None = None) -> tuple[list[Command], float]:
        """Every recording's command, and the search's seconds per second of sound."""
        kept = dict(np.load(keep)) if keep is not None and keep.exists() else {}
        commands: list[Command] = []
        seconds = searched = 0.0
        for i, name in enumerate(self.names, 1):
            if name not in kept:
                kept[name] = self.posteriors(name, noises)
            started = time.process_time()
            found = self.search.decode(kept[name])
            searched += time.process_time() - started
            seconds += len(kept[name]) * self._model.hop_length / SAMPLE_RATE
            label = self._labels[name]
            slots = {slot: value.strip() for slot, value in label["slots"].items()}
            commands.append(Command(name, slots, found, fully_right(found, label["intent"], slots)))
            if i % 100 == 0 or i == len(self.names):
                print(f"{i}/{len(self.names)} commands, {right_share(commands):.3f} fully right", flush=True)
        if keep is not None and not keep.exists():
            np.savez(keep, **kept)
        return commands, searched / seconds


def right_share(commands: Sequence[Command]) -> float:
    """Share of the commands whose intent and slots are all right."""
    return float(np.mean([command.right for command in commands]))


def mistakes(commands: Sequence[Command]) -> Counter[str]:
    """How often which value of which slot was taken for which."""
    found: Counter[str] = Counter()
    for command in commands:
        heard = command.found.meaning.slots if command.found else {}
        for slot in sorted({*command.slots, *heard}):
            pair = command.slots.get(slot, "nothing"), heard.get(slot, "nothing")
            if pair[0] != pair[1]:
                found[f"{slot}: {pair[0]} -> {pair[1]}"] += 1
    return found


@one_line_errors
def main() -> None:
    """Writes the figures as rows for benchmarks/make_results.py and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of prepare_data.py and align.py")
    parser.add_argument("--noises", type=Path, required=True, help="ESC-10")
    parser.add_argument("--clones", type=Path, help="folder of the clone Picovoice+speech-to-intent-benchmark")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", default="auto", help="auto, litert or onnx")
    parser.add_argument("--noisy-commands", action="store_true", help="also the commands in a kitchen: twice the time")
    parser.add_argument(
        "--keep", type=Path, help="posteriors of the clean commands, .npz: read where it exists, else written"
    )
    args = parser.parse_args()

    model = PhonePosteriors(ModelBundle.open(args.bundle), args.engine)
    priors = log_priors(args.data, model.phones)
    accuracy_bar, command_bar = BARS.get(args.bundle.name, (None, None))
    what = f"{args.bundle.name}, {model.engine}"
    rows: list[dict[str, Any]] = []

    def add(name: str, value: float, unit: str = "", bar: float | None = None) -> None:
        command = "python tools/evaluate_encoder.py"
        rows.append({"name": f"{what}: {name}", "value": value, "unit": unit, "bar": bar, "command": command})
        print(f"{name}: {value:.4g} {unit}", flush=True)
        # after every figure: the last ones take minutes
        args.out.write_text(json.dumps(rows, indent=1) + "\n")

    for speaker, title in PHONE_TESTS.items():
        recordings = held_out_recordings(args.data, speaker, model.phones)
        for noises, condition in ((None, "clean"), (args.noises, f"kitchen at {NOISE_DB:g} dB")):
            accuracy, errors = score_phones(model, recordings, priors, noises)
            barred = speaker in UNSEEN_SPEAKERS and noises is None
            add(f"phone frame accuracy, {title}, {condition}", accuracy, bar=accuracy_bar if barred else None)
            add(f"phone error rate, free decoding, {title}, {condition}", errors)
    if args.clones is not None:
        evaluation = CommandEvaluation(Clone(args.clones / "Picovoice+speech-to-intent-benchmark"), model, priors)
        network = evaluation.search.network
        print(f"grammar: {network.n_nodes} nodes, {network.n_states} states", flush=True)
        commands, rtf = evaluation.evaluate(None, args.keep)
        rest = [command for command in commands if not in_tuning_third(command.name)]
        add(f"commands fully right, all {len(commands)}", right_share(commands), bar=command_bar)
        add(f"commands fully right, the {len(rest)} on which no number was chosen", right_share(rest))
        add("search of the command grammar, processing / audio", rtf)
        print("\n".join(f"{n:4d} {mistake}" for mistake, n in mistakes(commands).most_common(15)))
        if args.noisy_commands:
            noisy, _ = evaluation.evaluate(args.noises)
            add(f"commands fully right, kitchen at {NOISE_DB:g} dB, all {len(noisy)}", right_share(noisy))


if __name__ == "__main__":
    main()
