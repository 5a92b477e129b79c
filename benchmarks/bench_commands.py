"""Spoken commands on Picovoice's speech-to-intent benchmark: right, ended in time, refused where they should be.

    git clone https://github.com/Picovoice/speech-to-intent-benchmark
    python benchmarks/bench_commands.py --data speech-to-intent-benchmark --cache CACHE --intents en.json \
        --out docs/results/commands.json

Needs soundfile. All audio of a recording is fed, the seconds behind the sentence too. Noise is the benchmark's kitchen,
mixed by its own formula (loudest frame of 2,048 samples of speech and of noise); the excerpt is drawn by the file's
name. Two rules of what is right: "strict", where a slot too many is wrong, and Picovoice's, which looks only at the
slots of the label. Figures are of the recordings on which no number was chosen (sha256 of the name, modulo 3, not 0).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from edgevc.bundle import ModelBundle
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.emissions import SearchSettings
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.home_assistant import parse_home_assistant
from edgevc.recognition.lexicon import lexicon_of, read_dictionary
from edgevc.recognition.network import Network, build_network
from edgevc.recognition.phones import log_priors
from edgevc.recognition.posteriors import PhonePosteriors
from edgevc.recognition.recognizer import LEAST_CERTAINTY, LISTENING, CommandRecognizer, Heard
from edgevc.recognition.reference import ReferenceSearch
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.search import CommandSearch, Recognition, SearchState

DICTIONARY = Path(__file__).resolve().parent.parent / "tools" / "vctrain" / "evaluation" / "coffee_maker.dict"
SNRS = (24, 21, 18, 15, 12, 9, 6)
ENERGY_FRAME = 2048
NO_BARS = (None, None)
BARS: dict[int | None, tuple[str | None, str | None]] = {None: (">= 0.96", ">= 0.98"), 6: (">= 0.75", ">= 0.86")}
"""Strict, and by Picovoice's rule."""
NEAR_MISS_SLOTS = ("coffeeDrink", "size", "roast", "numberOfShots")
PLAIN = SearchSettings()
ROOMS = ("kitchen", "office", "garage", "hall", "attic", "cellar", "garden", "library", "nursery", "studio")
THINGS = ("lamp", "desk light", "fan", "television", "speaker", "heater", "blind", "switch", "thermostat", "camera")
UNKNOWN_WORDS = ("awnings", "unpause", "unmute")
"""Words of the English sentences whose pronunciation is not known; for their cost any phone does."""


def chosen_on(name: str) -> bool:
    """Whether the search's numbers were chosen on this recording."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3 == 0


def loudest(samples: NDArray[np.float64]) -> float:
    """Greatest energy of a frame."""
    n = len(samples) // ENERGY_FRAME
    return float((samples[: n * ENERGY_FRAME].reshape(n, ENERGY_FRAME) ** 2).sum(axis=1).max())


def in_noise(samples: NDArray[np.float64], noise: NDArray[np.float64], snr: float, name: str) -> NDArray[np.float64]:
    """The benchmark's mix.py, with an excerpt that does not change from run to run."""
    rng = np.random.default_rng(int(hashlib.sha256(f"{name} {snr}".encode()).hexdigest()[:8], 16))
    start = int(rng.integers(0, len(noise) - len(samples)))
    excerpt = noise[start : start + len(samples)]
    mixed = samples + excerpt * np.sqrt(loudest(samples) / (loudest(excerpt) * 10 ** (snr / 10)))
    return mixed / (2 * np.abs(mixed).max())


class Recordings:
    """The benchmark's recordings as posteriors, kept in a folder."""

    def __init__(self, data: Path, cache: Path, model: PhonePosteriors) -> None:
        self.labels = json.loads((data / "data/label/label.json").read_text())
        self._speech = data / "data/speech/clean"
        # six labels of the benchmark have no recording
        self.names = [name for name in sorted(self.labels) if (self._speech / name).exists()]
        self.rest = [name for name in self.names if not chosen_on(name)]
        self._noise = data / "data/noise/kitchen.wav"
        self._cache = cache
        self._model = model

    def posteriors(self, snr: float | None) -> dict[str, NDArray[np.float32]]:
        """All recordings clean, or those on which nothing was chosen in noise."""
        path = self._cache / f"{'clean' if snr is None else snr}.npz"
        if path.exists():
            return dict(np.load(path))
        found = {}
        noise = None if snr is None else soundfile.read(self._noise)[0]
        for name in self.names if snr is None else self.rest:
            samples = soundfile.read(self._speech / name)[0]
            if snr is not None and noise is not None:
                samples = in_noise(samples, noise, snr, name)
            found[name] = self._model(samples.astype(np.float32))
        self._cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **found)
        print(f"{path}: {len(found)} recordings", flush=True)
        return found

    def wanted(self, name: str) -> Meaning:
        """What a recording asks for."""
        label = self.labels[name]
        return Meaning(label["intent"], {slot: value.strip() for slot, value in label["slots"].items()})

    def strict(self, name: str, found: Recognition | None) -> bool:
        """By our rule: a slot too many is wrong."""
        return found is not None and found.meaning == self.wanted(name)

    def labelled(self, name: str, found: Recognition | None) -> bool:
        """By the benchmark's rule."""
        wanted = self.wanted(name)
        if found is None or found.meaning.intent != wanted.intent:
            return False
        return all(found.meaning.slots.get(slot) == value for slot, value in wanted.slots.items())


@dataclass(frozen=True)
class Grammars:
    """The coffee machine's network, and those that lack one value."""

    text: str
    phones: tuple[str, ...]

    def network(self, slot: str = "", value: str = "") -> Network | None:
        """Without a slot's value where one is given; None where the slot has no such value."""
        text = self.text
        if slot:
            values = re.search(rf"^    {slot}:\n((?:      - .*\n)+)", text, re.MULTILINE)
            line = f'      - "{value}"\n'
            if values is None or line not in values[1]:
                return None
            text = text.replace(values[0], values[0].replace(line, "", 1), 1)
        automaton = compile_grammar(parse_rhino(text))
        lexicon = lexicon_of({arc.label.word for arc in automaton.arcs}, [read_dictionary(DICTIONARY)])
        return build_network(automaton, lexicon, self.phones)


def first_of(sentences: list[Heard], least_certainty: float = float("-inf")) -> Heard | None:
    """The first sentence that is certain enough."""
    return next((h for h in sentences if h.evidence is not None and h.evidence.certainty >= least_certainty), None)


class Results:
    """Rows for make_results.py, written after every figure; rows of the same name that are there are replaced."""

    def __init__(self, out: Path) -> None:
        self._rows: dict[str, dict] = {}
        if out.exists():
            self._rows = {row["name"]: row for row in json.loads(out.read_text())}
        self._out = out

    def value(self, name: str) -> float:
        """A figure that was added, or was there."""
        value: float = self._rows[name]["value"]
        return value

    def add(self, name: str, value: float, unit: str = "", bar: str | None = None) -> None:
        """Write one more row."""
        command = "python benchmarks/bench_commands.py"
        self._rows[name] = {"name": name, "value": value, "unit": unit, "bar": bar, "command": command}
        print(f"{name}: {value:.4g} {unit}", flush=True)
        self._out.write_text(json.dumps(list(self._rows.values()), indent=1) + "\n")


def compare_searches(results: Results, network: Network, recordings: Recordings, priors: NDArray[np.float64]) -> None:
    """The C++ search beside the one in NumPy, and what it costs."""
    fast, plain = CommandSearch(network, priors), ReferenceSearch(network, priors)
    posteriors = recordings.posteriors(None)
    differing, score_gap = 0, 0.0
    for name in recordings.names:
        found, wanted = fast.decode(posteriors[name]), plain.decode(posteriors[name])
        differing += found != wanted
        if found is not None and wanted is not None:
            score_gap = max(score_gap, abs(found.score - wanted.score))
    results.add(f"recordings that C++ and NumPy hear differently, of {len(recordings.names)}", differing, bar="0")
    results.add("greatest difference of their scores", score_gap, bar="<= 1e-4")
    times = []
    for name in recordings.names[:60]:
        fast.reset()
        for frame in posteriors[name]:
            started = time.perf_counter()
            _, state = fast.process(frame[None])
            times.append(time.perf_counter() - started)
            if state is SearchState.ENDED:
                fast.reset()
    for share in (50, 99):
        results.add(f"search, one hop per call, {share}th percentile", 1e6 * float(np.percentile(times, share)), "µs")
    results.add("search, memory", fast.n_bytes / 1e6, "MB")


def judge(
    results: Results, network: Network, recordings: Recordings, phones: tuple[str, ...], snr: float | None
) -> list[Heard]:
    """One condition: right by both rules, step by step, and the end decision; returns the good commands."""
    priors = log_priors(phones)
    posteriors = recordings.posteriors(snr)
    names = recordings.rest
    where = "clean" if snr is None else f"kitchen {snr} dB"

    def both(step: str, found: dict[str, Recognition | None], bars: tuple[str | None, str | None]) -> None:
        strict = float(np.mean([recordings.strict(name, found[name]) for name in names]))
        labelled = float(np.mean([recordings.labelled(name, found[name]) for name in names]))
        results.add(f"{where}: {step}, strict", strict, bar=bars[0])
        results.add(f"{where}: {step}, by Picovoice's rule", labelled, bar=bars[1])

    for step, settings in (("whole recording", PLAIN), ("whole recording, filler", LISTENING)):
        search = CommandSearch(network, priors, settings)
        both(step, {name: search.decode(posteriors[name]) for name in names}, NO_BARS)
    # where the last word ends, as the clean recording's right reading has it
    clean = recordings.posteriors(None)
    search = CommandSearch(network, priors, LISTENING)
    readings = {name: search.decode(clean[name]) for name in names}
    last_word = {name: found.ends[-1] for name, found in readings.items() if recordings.strict(name, found) and found}
    everything = CommandRecognizer(network, phones, least_certainty=float("-inf"))
    ends: dict[str, Heard | None] = {}
    commands: dict[str, Heard | None] = {}
    for name in names:
        everything.reset()
        sentences = everything.process(posteriors[name])
        ends[name] = first_of(sentences)
        commands[name] = first_of(sentences, LEAST_CERTAINTY)
    heard_as = {name: heard.recognition if heard else None for name, heard in ends.items()}
    both("filler and end decision", heard_as, BARS.get(snr, NO_BARS))
    taken_as = {name: heard.recognition if heard else None for name, heard in commands.items()}
    both("also refusing", taken_as, NO_BARS)
    ended = [(name, heard) for name, heard in ends.items() if heard and name in last_word]
    # a last phone that is cut short does no harm; words that are missed do
    missed = [h.end < last_word[n] and not recordings.strict(n, h.recognition) for n, h in ended]
    results.add(f"{where}: ended before the last word, and heard wrong", float(np.mean(missed)))
    results.add(f"{where}: never ended", float(np.mean([heard is None for heard in ends.values()])))
    delays = [10 * (heard.end - last_word[name]) for name, heard in ended if heard.end >= last_word[name]]
    for share in (50, 95):
        late = float(np.percentile(delays, share))
        results.add(f"{where}: end behind the last word, {share}th percentile", late, "ms")
    right = [heard for name, heard in ends.items() if heard and recordings.strict(name, heard.recognition)]
    refused = [heard.evidence is None or heard.evidence.certainty < LEAST_CERTAINTY for heard in right]
    results.add(f"{where}: good commands refused", float(np.mean(refused)))
    return right


def near_misses(
    results: Results, grammars: Grammars, recordings: Recordings, snr: float | None, good: list[Heard]
) -> None:
    """Each slot's value left out of the grammar in turn: the recordings that say it must be refused."""
    posteriors = recordings.posteriors(snr)
    where = "clean" if snr is None else f"kitchen {snr} dB"
    recognizers: dict[tuple[str, str], CommandRecognizer | None] = {}
    heard: list[Heard | None] = []
    for name in recordings.rest:
        for slot, value in recordings.wanted(name).slots.items():
            if slot not in NEAR_MISS_SLOTS:
                continue
            key = slot, value
            if key not in recognizers:
                network = grammars.network(slot, value)
                recognizers[key] = network and CommandRecognizer(network, grammars.phones, least_certainty=-np.inf)
            if (recognizer := recognizers[key]) is not None:
                recognizer.reset()
                heard.append(first_of(recognizer.process(posteriors[name])))
    what = f"{where}: near misses accepted, of {len(heard)}"
    accepted = [h is not None and certainty_of(h) >= LEAST_CERTAINTY for h in heard]
    results.add(f"{what}, at the default limit", float(np.mean(accepted)))
    for figure, of in (("by certainty", certainty_of), ("by mean confidence alone", confidence_of)):
        limit = float(np.quantile([of(h) for h in good], 0.05))
        share = float(np.mean([h is not None and of(h) >= limit for h in heard]))
        results.add(f"{what}, where 5 % of good commands are refused, {figure}", share)


def means(results: Results) -> None:
    """Of all levels of the noise, which is what peers publish."""
    bars = {"strict": ">= 0.88", "by Picovoice's rule": ">= 0.94"}
    for rule, bar in bars.items():
        shares = [results.value(f"kitchen {snr} dB: filler and end decision, {rule}") for snr in SNRS]
        results.add(f"kitchen, mean of 6 to 24 dB: filler and end decision, {rule}", float(np.mean(shares)), bar=bar)


def certainty_of(heard: Heard) -> float:
    """By the least certain slot."""
    return heard.evidence.certainty if heard.evidence else float("-inf")


def confidence_of(heard: Heard) -> float:
    """The mean over the utterance, which was all there was before."""
    return heard.recognition.confidence if heard.recognition else float("-inf")


def other_speech(results: Results, network: Network, model: PhonePosteriors, folder: Path) -> None:
    """Speech that holds no command, as one stream."""
    listener = CommandRecognizer(network, model.phones)
    n_frames = n_commands = n_sentences = 0
    for path in sorted(folder.rglob("*.flac")):
        samples, sample_rate = soundfile.read(path, dtype="float32")
        if sample_rate != 16_000 or samples.ndim != 1:
            raise SystemExit(f"{path}: expected 16 kHz mono")
        posteriors = model(samples)
        sentences = listener.process(posteriors)
        n_frames += len(posteriors)
        n_sentences += len(sentences)
        n_commands += sum(heard.refusal is None for heard in sentences)
    hours = n_frames / 360_000
    results.add(f"other speech, {hours:.2f} h: sentences ended", n_sentences / hours, "/ h")
    results.add(f"other speech, {hours:.2f} h: commands, no wake phrase", n_commands / hours, "/ h")


def house(results: Results, intents: Path, recordings: Recordings, phones: tuple[str, ...]) -> None:
    """What Home Assistant's English sentences cost with 200 entities and 20 areas."""
    rooms = [f"{size} {room}" for size in ("big", "small") for room in ROOMS]
    names = {
        "name": [f"{room} {thing}" for room in rooms for thing in THINGS],
        "area": rooms,
        "floor": ["ground floor"],
    }
    text = intents.read_text()
    started = time.process_time()
    grammar = parse_home_assistant(text, names, skip_wildcards=True)
    read = time.process_time()
    automaton = compile_grammar(grammar)
    lexicon = lexicon_of({arc.label.word for arc in automaton.arcs}, [{word: ["AH"] for word in UNKNOWN_WORDS}])
    network = build_network(automaton, lexicon, phones)
    compiled = time.process_time()
    what = "Home Assistant's English sentences, 200 entities, 20 areas"
    results.add(f"{what}: read", read - started, "s")
    results.add(f"{what}: compiled", compiled - read, "s", "<= 1")
    results.add(f"{what}: states", network.n_states)
    search = CommandSearch(network, log_priors(phones), LISTENING)
    results.add(f"{what}: memory of the search", search.n_bytes / 1e6, "MB", "<= 20")
    posteriors = [recordings.posteriors(None)[name] for name in recordings.names[:20]]
    started = time.process_time()
    for heard in posteriors:
        search.decode(heard)
    seconds = sum(map(len, posteriors)) / 100
    results.add(f"{what}: search, processing / audio", (time.process_time() - started) / seconds, "", "<= 0.03")


def main() -> None:
    """Writes the rows and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="clone of Picovoice/speech-to-intent-benchmark")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the posteriors")
    parser.add_argument("--intents", type=Path, help="en.json of the package home-assistant-intents")
    parser.add_argument("--speech", type=Path, help="folder of other speech, 16 kHz mono FLAC")
    parser.add_argument("--bundle", default="default", help="model whose phones are heard")
    parser.add_argument(
        "--conditions", nargs="+", default=["clean", *map(str, SNRS)], help="clean or SNRs in dB (default: all)"
    )
    parser.add_argument("--no-near-misses", action="store_true", help="leave out what takes longest")
    parser.add_argument("--no-searches", action="store_true", help="do not compare the two searches")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = PhonePosteriors(ModelBundle.find(args.bundle))
    recordings = Recordings(args.data, args.cache, model)
    grammars = Grammars((args.data / "data/rhino/coffee_maker.yaml").read_text(), model.phones)
    network = grammars.network()
    if network is None:
        raise SystemExit("the benchmark's grammar has no network")
    results = Results(args.out)
    results.add("least certainty of a command", LEAST_CERTAINTY)
    conditions = [None if name == "clean" else int(name) for name in args.conditions]
    good = {snr: judge(results, network, recordings, model.phones, snr) for snr in conditions}
    for snr in () if args.no_near_misses else {None, 12} & set(conditions):
        near_misses(results, grammars, recordings, snr, good[snr])
    if len(set(SNRS) & set(conditions)) == len(SNRS):
        means(results)
    if args.intents is not None:
        house(results, args.intents, recordings, model.phones)
    if args.speech is not None:
        other_speech(results, network, model, args.speech)
    if not args.no_searches:
        compare_searches(results, network, recordings, log_priors(model.phones))


if __name__ == "__main__":
    main()
