"""Reads the public speech sets from local git clones.

No audio is committed to this project. tools/data/sources.toml has every set, its licence and its repository;
tools/data/speakers.toml says who is a voice and who is for evaluation only.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from vctrain.data import sources
from vctrain.data.speakers import LIBRISPEECH, SPEECHOCEAN, TEST_PROMPTS, TRANSCRIBED, UNSEEN_SPEAKERS

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Recording:
    """One utterance as it stands in its corpus."""

    speaker: str
    utterance: str
    text: str | None
    audio: bytes
    age: int | None = None
    """Of the speaker, in years, where the corpus says it."""
    test_only: bool = False
    """No training may hear it, whatever its names say."""

    @property
    def prompt(self) -> str:
        """The ARCTIC prompt's name, or the utterance's own."""
        found = re.search(r"arctic_[ab]\d+", self.utterance)
        return found[0] if found else self.utterance

    @property
    def split(self) -> str:
        """`test` for everything that no training may hear, else `train`."""
        held_out = self.test_only or self.speaker in UNSEEN_SPEAKERS or self.prompt in TEST_PROMPTS
        return "test" if held_out else "train"


class Clone:
    """Fast reading of single files from a bare or ordinary git clone."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the clone, its `repo` subfolder, or its git directory."""
        candidates = (folder / "repo" / ".git", folder / "repo", folder / ".git", folder)
        found = next((c for c in candidates if (c / "HEAD").exists()), None)
        if found is None:
            raise FileNotFoundError(f"expected a git clone at {folder}; tools/download_data.py makes it")
        self._git = ["git", "--git-dir", str(found)]
        self._cat = subprocess.Popen([*self._git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Clone:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends git, which otherwise waits as long as this process lives."""
        self._cat.communicate()

    @property
    def revision(self) -> str:
        """The commit that is read."""
        return subprocess.check_output([*self._git, "rev-parse", "HEAD"], text=True).strip()

    def names(self) -> list[str]:
        """Every path of the newest commit."""
        listing = subprocess.check_output([*self._git, "ls-tree", "-r", "--name-only", "-z", "HEAD"])
        return listing.decode().split("\0")[:-1]

    def read(self, name: str) -> bytes:
        """The bytes of one file; KeyError when this copy of the clone lacks it."""
        stdin, stdout = self._cat.stdin, self._cat.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("git cat-file has no pipes")
        stdin.write(f"HEAD:{name}\n".encode())
        stdin.flush()
        header = stdout.readline().split()
        if len(header) != 3:
            raise KeyError(name)
        data = stdout.read(int(header[2]))
        stdout.read(1)
        return data


def _clone(clones: Path, repository: str) -> Clone:
    return Clone(clones / sources.of_repository(repository).clone)


def kathleen(clones: Path) -> Iterator[Recording]:
    """Kathleen, CC0, CMU ARCTIC prompts (rhasspy/dataset-voice-kathleen)."""
    clone = _clone(clones, "rhasspy/dataset-voice-kathleen")
    for name in clone.names():
        if re.fullmatch(r"data/.*\.wav", name):
            text = clone.read(name[:-4] + ".txt").decode().strip()
            yield Recording("kathleen", Path(name).stem, text, clone.read(name))


def arctic_prompts(clones: Path) -> dict[str, str]:
    """Prompt name to text, for all 1132 CMU ARCTIC prompts."""
    listing = _clone(clones, "rhasspy/dataset-voice-kathleen").read("cmuarctic.data").decode()
    return dict(re.findall(r'\(\s*(arctic_[ab]\d+)\s+"(.*?)"\s*\)', listing))


def arctic(clones: Path) -> Iterator[Recording]:
    """CMU ARCTIC bdl and slt (ASzot/voice-conversion)."""
    prompts = arctic_prompts(clones)
    clone = _clone(clones, "ASzot/voice-conversion")
    for name in clone.names():
        found = re.search(r"datasets/arctic/(bdl|slt)/.*(arctic_[ab]\d+)[^/]*\.wav$", name)
        if found and found[2] in prompts:
            yield Recording(found[1], found[2], prompts[found[2]], clone.read(name))


def librispeech_transcribed(clones: Path) -> Iterator[Recording]:
    """LibriSpeech speakers 19, 26, 27, CC BY 4.0 (Walleclipse/Deep_Speaker-speaker_recognition_system)."""
    clone = _clone(clones, "Walleclipse/Deep_Speaker-speaker_recognition_system")
    names = clone.names()
    texts = {}
    for name in names:
        if name.endswith("trans.txt"):
            for line in clone.read(name).decode("latin1").splitlines():
                utterance, _, text = line.partition(" ")
                texts[utterance] = text
    for name in names:
        utterance = Path(name).stem
        if name.endswith(".flac") and utterance in texts:
            yield Recording(LIBRISPEECH + utterance.split("-")[0], utterance, texts[utterance], clone.read(name))


def librispeech_single(clones: Path) -> Iterator[Recording]:
    """One utterance each of 251 LibriSpeech speakers, CC BY 4.0, no transcripts (resemble-ai/Resemblyzer)."""
    clone = _clone(clones, "resemble-ai/Resemblyzer")
    for name in clone.names():
        if name.startswith("audio_data/librispeech_train-clean-100/") and name.endswith(".flac"):
            utterance = Path(name).stem
            speaker = LIBRISPEECH + utterance.split("-")[0]
            if speaker not in TRANSCRIBED:
                yield Recording(speaker, utterance, None, clone.read(name))


def vcc2016(clones: Path) -> Iterator[Recording]:
    """npVCC2016, CC BY 4.0, four speakers kept for evaluation only (tarepan/npVCC2016Corpus)."""
    clone = _clone(clones, "tarepan/npVCC2016Corpus")
    for name in clone.names():
        found = re.fullmatch(r"npVCC2016/evals/(\w+)/wavs/(\d+)\.wav", name)
        if found:
            yield Recording(found[1], found[2], None, clone.read(name))


def speechocean(clones: Path) -> Iterator[Recording]:
    """speechocean762: English by native speakers of Mandarin, children among them (jimbozhang/speechocean762).

    Speakers are called oc0001 and so on. The corpus' `test` half, 125 other speakers, is for evaluation only.
    """
    clone = _clone(clones, "jimbozhang/speechocean762")

    def columns(name: str) -> dict[str, str]:
        lines = clone.read(name).decode().splitlines()
        # some of the lists have a tab between key and value, others a space
        return dict(line.strip().split(maxsplit=1) for line in lines)

    for half in ("train", "test"):
        texts, ages, speakers = (columns(f"{half}/{name}") for name in ("text", "spk2age", "utt2spk"))
        for utterance, path in columns(f"{half}/wav.scp").items():
            speaker = speakers[utterance]
            yield Recording(
                f"{SPEECHOCEAN}{speaker}",
                utterance,
                texts[utterance],
                clone.read(path),
                age=int(ages[speaker]),
                test_only=half == "test",
            )


def sentences_to_speak(clones: Path) -> list[str]:
    """The transcripts of the LJ Speech dataset, public domain, as NVIDIA/tacotron2 lists them; none with a number."""
    listing = _clone(clones, "NVIDIA/tacotron2").read("filelists/ljs_audio_text_train_filelist.txt").decode()
    texts = [line.partition("|")[2] for line in listing.splitlines()]
    return [text for text in texts if re.fullmatch(r"[A-Za-z ,.;:'\"!?()-]+", text)]


WRITTEN_BY = {"utterances": "tools/prepare_data.py", "phones": "tools/align.py"}
"""Lists of DATA and what makes them."""


def listed(data: Path, name: str = "utterances") -> list[dict[str, Any]]:
    """The rows of DATA/<name>.jsonl; FileNotFoundError where it was not made."""
    path = data / f"{name}.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"expected {path}, which {WRITTEN_BY[name]} writes; run that first, or correct --data")
    return [json.loads(line) for line in path.read_text().splitlines()]


CORPORA = (kathleen, arctic, librispeech_transcribed, librispeech_single, vcc2016, speechocean)


def decode_audio(data: bytes) -> NDArray[np.float32]:
    """Encoded audio to mono float32 (T,) at 16 kHz."""
    samples, rate = sf.read(io.BytesIO(data), dtype="float32")
    if samples.ndim > 1:
        samples = samples.mean(axis=1)
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE, "VHQ")
    return samples.astype(np.float32)
