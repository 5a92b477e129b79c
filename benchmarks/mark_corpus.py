"""Speech, sounds and conversions on which the watermark is judged; benchmarks/bench_mark.py uses them.

`--data` is a folder of clones, or of the parts that are named here:

    Resemblyzer                 github.com/resemble-ai/Resemblyzer: what is below its audio_data, 251 speakers of
                                LibriSpeech, CC BY 4.0
    speechocean762              github.com/jimbozhang/speechocean762: the test half, 125 speakers
    npVCC2016Corpus             github.com/tarepan/npVCC2016Corpus: evals, 4 speakers, CC BY 4.0
    ESC-10                      github.com/karolpiczak/ESC-10 at 553c8f1: 400 sounds, CC BY 3.0
    frozen-bubble               github.com/kthakore/frozen-bubble, share/snd: music
    speech-to-intent-benchmark  github.com/Picovoice/speech-to-intent-benchmark, data/noise: a kitchen, Apache-2.0
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from edgevc import VoiceConverter, VoiceSettings, _core, resample
from edgevc.bundle import ModelBundle, shipped_models
from edgevc.limits import SAMPLE_RATE

FloatArray = NDArray[np.float32]

SECONDS = 15.0
"""Of speech of a speaker that are converted."""
ADULT = 18
FORMANTS = (4.0, -4.0, 2.0, -2.0)
"""Semitones; the first WITH_FORMANTS speakers' conversions exist with each."""
WITH_FORMANTS = 8
TEXTS = (
    "The lamp in the kitchen is on. Please turn the heating down before you leave the house tonight.",
    "A quick brown fox jumps over the lazy dog, while seven wizards box in the early morning light.",
    "Nobody knew how long the storm would last, and the old harbour was full of small fishing boats.",
    "She sold the last of her apples at the market, walked home along the river and slept till noon.",
    "Twelve hundred and thirty four people wrote their names on a list that was never read by anyone.",
    "If you mix yellow and blue you get green, but if you mix everything you get a kind of muddy brown.",
    "The train to the mountains leaves at nine, so we should have breakfast before the sun comes up.",
    "Every winter the birds fly south, and every spring they come back to the same tree by the church.",
)


def by_hash(text: str) -> int:
    """An order that nobody chose."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)


def load(path: Path) -> FloatArray:
    """Return a recording at 16 kHz, mono."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = np.ascontiguousarray(samples.mean(1, dtype=np.float32))
    return mono if rate == SAMPLE_RATE else resample(mono, rate, SAMPLE_RATE)


def speechocean(data: Path, *, adults: bool) -> dict[str, list[Path]]:
    """Speakers of the test half, which no training heard, and their recordings."""
    test = data / "speechocean762" / "test"
    ages = dict(line.split() for line in (test / "spk2age").read_text().splitlines())
    files = dict(line.split() for line in (test / "wav.scp").read_text().splitlines())
    found: dict[str, list[Path]] = {}
    for line in (test / "utt2spk").read_text().splitlines():
        utterance, speaker = line.split()
        if not adults or int(ages[speaker]) >= ADULT:
            found.setdefault(f"so{speaker}", []).append(data / "speechocean762" / files[utterance])
    return found


def npvcc(data: Path) -> dict[str, list[Path]]:
    """The four speakers of npVCC2016, which no training heard."""
    folders = sorted((data / "npVCC2016Corpus" / "npVCC2016" / "evals").iterdir())
    return {folder.name: sorted(folder.rglob("*.wav")) for folder in folders if folder.is_dir()}


def librispeech(data: Path) -> dict[str, list[Path]]:
    """251 speakers, one recording each."""
    folder = data / "Resemblyzer" / "librispeech_train-clean-100"
    return {path.name.split("-")[0]: [path] for path in sorted(folder.rglob("*.flac"))}


def unseen(data: Path, n: int) -> list[tuple[str, FloatArray]]:
    """Speakers that no training of a shipped model heard, and SECONDS of speech of each, pauses included."""
    speakers = {**npvcc(data), **dict(sorted(speechocean(data, adults=True).items(), key=lambda s: by_hash(s[0])))}
    return [(name, joined(paths, SECONDS)) for name, paths in list(speakers.items())[:n]]


def joined(paths: list[Path], seconds: float) -> FloatArray:
    """Return recordings one after the other, each at the same level, up to `seconds`."""
    parts: list[FloatArray] = []
    for path in paths:
        samples = load(path)
        parts.append(samples * np.float32(0.05 / np.sqrt(np.mean(samples**2) + 1e-9)))
        if sum(map(len, parts)) >= seconds * SAMPLE_RATE:
            break
    return np.concatenate(parts)[: round(seconds * SAMPLE_RATE)]


# --- conversions


@dataclass(frozen=True)
class Conversion:
    """One speaker as one voice: what the marked and the unmarked product say."""

    speaker: str
    model: str
    voice: str
    path: Path

    def marked(self) -> FloatArray:
        """Return it with the watermark."""
        return self._read("marked")

    def plain(self) -> FloatArray:
        """Return it without."""
        return self._read("plain")

    def formant(self, semitones: float) -> FloatArray:
        """Return it with the watermark and moved formants."""
        return self._read(f"formant{semitones:g}")

    def other_seed(self) -> FloatArray:
        """Return it without the watermark, and with other noise: a change that nobody would call one."""
        return self._read("seed")

    def _read(self, name: str) -> FloatArray:
        with np.load(self.path) as file:
            return file[name].astype(np.float32) / np.float32(32_768)


class _Variants:
    """Stands where a speaker's synthesis stands, and lets others say the same filters."""

    def __init__(self, inner: _core.SourceFilter, formants: tuple[float, ...]) -> None:
        self.inner = inner
        self.synths = {"marked": inner, "plain": _core.SourceFilter(), "seed": _core.SourceFilter(12_345)}
        self.synths["plain"].set_marked(False)
        self.synths["seed"].set_marked(False)
        for semitones in formants:
            self.synths[f"formant{semitones:g}"] = moved = _core.SourceFilter()
            moved.set_formant_ratio(2 ** (semitones / 12))
        self.said: dict[str, list[NDArray[np.int16]]] = {name: [] for name in self.synths}

    def process_into(self, filters: FloatArray, f0: FloatArray, out: FloatArray) -> None:
        for name, synthesis in self.synths.items():
            synthesis.process_into(filters, f0, out)
            self.said[name].append(np.rint(np.clip(out, -1, 1) * 32_767).astype(np.int16))

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


@cache
def converter(model: str) -> VoiceConverter:
    """Return a shipped model; four hops a call, which gives the same sound."""
    return VoiceConverter(model, chunk_hops=4)


def conversions(data: Path, cache_dir: Path, n: int) -> Iterator[Conversion]:
    """Yield every voice of every shipped model, saying what n unseen speakers say; computed once."""
    folder = cache_dir / "conversions"
    folder.mkdir(parents=True, exist_ok=True)
    for index, (speaker, samples) in enumerate(unseen(data, n)):
        for model in shipped_models():
            for voice in ModelBundle.find(model).voices:
                path = folder / f"{speaker}.{model}.{voice.name}.npz"
                if not path.exists():
                    _convert(path, model, voice.name, samples, FORMANTS if index < WITH_FORMANTS else ())
                yield Conversion(speaker, model, voice.name, path)


def _convert(path: Path, model: str, voice: str, samples: FloatArray, formants: tuple[float, ...]) -> None:
    stream = converter(model).stream(voice, VoiceSettings())
    variants = _Variants(stream.speaker._synthesis, formants)
    stream.speaker._synthesis = variants  # type: ignore[assignment]
    stream.process(samples)
    whole = {name: np.concatenate(parts) for name, parts in variants.said.items()}
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, **whole)
    unfinished.rename(path)


# --- what is not ours


@dataclass(frozen=True)
class Stretch:
    """Some minutes of sound at most that carry no watermark; read when they are asked for."""

    kind: str
    name: str
    read: Callable[[], FloatArray]


def not_ours(data: Path, cache_dir: Path, n: int) -> list[Stretch]:
    """Return what carries no watermark, in an order that nobody chose."""
    found = [
        Stretch("natural", name, partial(joined, paths, 70.0))
        for name, paths in {**speechocean(data, adults=False), **npvcc(data)}.items()
    ]
    names = list(librispeech(data).values())
    for start in range(0, len(names), 5):
        paths = [path for group in names[start : start + 5] for path in group]
        found.append(Stretch("natural", f"librispeech {start}", partial(joined, paths, 70.0)))
    found += [Stretch(kind, name, partial(load, path)) for kind, name, path in spoken(cache_dir)]
    sounds = sorted((data / "ESC-10").rglob("*.ogg"))
    for start in range(0, len(sounds), 20):
        found.append(Stretch("sounds", f"ESC-10 {start}", partial(_together, sounds[start : start + 20])))
    found += [Stretch("music", path.stem, partial(load, path)) for path in music(data)]
    found += [Stretch("converted", c.path.stem, c.plain) for c in conversions(data, cache_dir, n)]
    return sorted(found, key=lambda stretch: by_hash(f"{stretch.kind} {stretch.name}"))


def _together(paths: list[Path]) -> FloatArray:
    return np.concatenate([load(path) for path in paths])


def music(data: Path) -> list[Path]:
    """The three long pieces of frozen-bubble."""
    return [data / "frozen-bubble" / "share" / "snd" / f"{name}.ogg" for name in MUSIC]


MUSIC = ("frozen-mainzik-1p", "frozen-mainzik-2p", "introzik")
ESPEAK = ("en-us", "en-gb", "en-us+f3", "en-us+m3", "en-gb+f5", "de+m7")
FLITE = ("slt", "rms", "kal16", "awb")


def spoken(cache_dir: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield what espeak-ng and flite say, made once, and what benchmarks/mark_other_voices.py has made."""
    folder = cache_dir / "spoken"
    folder.mkdir(parents=True, exist_ok=True)
    # each its own order of sentences, so that no two say the same at the same time
    for index, voice in enumerate((*ESPEAK, *FLITE)):
        text = " ".join(TEXTS[index % len(TEXTS) :] + TEXTS[: index % len(TEXTS)])
        path = folder / f"{voice}.wav"
        if not path.exists():
            if voice in ESPEAK:
                command = ["espeak-ng", "-v", voice, "-s", str(140 + 10 * index), "-w", str(path), text]
            else:
                command = ["flite", "-voice", voice, "-t", text, "-o", str(path)]
            subprocess.run(command, check=True)
        yield "espeak-ng" if voice in ESPEAK else "flite", voice, path
    for path in sorted([*folder.glob("Kokoro *.wav"), *folder.glob("WORLD *.wav")]):
        yield path.stem.split()[0], path.stem, path
