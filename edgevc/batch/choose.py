"""Which voice each file of a batch gets."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgevc.batch.manifest import file_sha256
from edgevc.batch.plan import Choice, Chooser, Speakers, VoiceRule
from edgevc.batch.worker import WorkerSettings
from edgevc.bundle import ModelBundle
from edgevc.bundle.encryption import unlocked_by
from edgevc.bundle.pseudo import pseudo_name
from edgevc.errors import ConfigError
from edgevc.limits import SEMITONES
from edgevc.signing.policy import signatures_required
from edgevc.text import shortened
from edgevc.voices.library import find_voice, is_voice_file, path_of

MAX_CSV_BYTES = 512 << 20


class KnownVoices:
    """The voices that a model can speak: its own, and yours."""

    def __init__(self, model: ModelBundle) -> None:
        """`model`: will speak."""
        self._model = model

    @property
    def first(self) -> str:
        """The model's first, which speaks where nothing else is said."""
        return self._model.voices[0].name

    def require(self, voice: str) -> None:
        """Return if it can speak as `voice`.

        Raises:
            ModelError: there is no such voice, or its file is damaged or another model's.
        """
        find_voice(voice, self._model)

    def identified(self, choice: Choice) -> Choice:
        """Return the choice with the whole path of its voice's file, where it names one, and the file's hash.

        Raises:
            ModelError: as `require`.
        """
        self.require(choice.voice)
        if choice.voice in {spec.name for spec in self._model.voices}:
            return choice
        path = path_of(choice.voice)
        if path is None:
            return choice
        # a worker may stand in another folder
        name = str(path.resolve()) if is_voice_file(choice.voice) else choice.voice
        return Choice(name, choice.pitch, file_sha256(path))


def settings_for(
    bundle: str | os.PathLike[str] | None, engine: str, chunk_hops: int = 1, **sound: Any
) -> tuple[WorkerSettings, KnownVoices]:
    """Return the workers' settings for a model, and which voices it can speak.

    Args:
        bundle: name or path of the model; None: the default one.
        engine: "auto", "litert" or "onnx".
        chunk_hops: see `VoiceConverter`.
        sound: other fields of `WorkerSettings`.

    Raises:
        ModelError, EngineError: it cannot be used.
    """
    from edgevc.engines import choose_engine

    found = ModelBundle.find(bundle)
    keys = unlocked_by()
    settings = WorkerSettings(
        str(found.path.resolve()),
        found.sha256,
        choose_engine(found, engine),
        chunk_hops,
        require_signature=signatures_required(),
        identity=keys[0],
        passphrase_file=keys[1],
        **sound,
    )
    return settings, KnownVoices(found)


def read_choices(path: Path, pitch: float) -> dict[str, Choice]:
    """Return the choices of a CSV file: a header `file,voice` or `file,voice,pitch`, then a line for each file.

    Args:
        path: of the file.
        pitch: semitones, where a line leaves it out.

    Raises:
        ConfigError: it cannot be read; names the line and the rule.
    """
    try:
        if path.stat().st_size > MAX_CSV_BYTES:
            raise ConfigError(f"{path}: a table of voices has at most {MAX_CSV_BYTES} bytes; split it")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if header not in (["file", "voice"], ["file", "voice", "pitch"]):
                raise ConfigError(
                    f"{path}, line 1: must be file,voice or file,voice,pitch, got {','.join(header)[:80]!r}"
                )
            return dict(_row(path, reader.line_num, row, len(header), pitch) for row in reader if row)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is no CSV in UTF-8: {error}; save it as such") from error


def _row(path: Path, line: int, row: list[str], width: int, default: float) -> tuple[str, Choice]:
    if len(row) != width:
        raise ConfigError(f"{path}, line {line}: expected {width} columns, got {len(row)}; complete the line")
    try:
        pitch = float(row[2]) if width == 3 and row[2].strip() else default
    except ValueError:
        raise ConfigError(f"{path}, line {line}: pitch must be a number, got {shortened(row[2])}") from None
    low, high = SEMITONES
    if not low <= pitch <= high:
        raise ConfigError(f"{path}, line {line}: pitch must be within {low:g}..{high:g} semitones, got {pitch:g}")
    return os.path.normpath(row[0]), Choice(row[1].strip(), pitch)


def chooser(
    default: Choice,
    rules: Sequence[VoiceRule],
    listed: Mapping[str, Choice],
    voices: KnownVoices,
    speakers: Speakers | None = None,
) -> Chooser:
    """Return what names the voice of a source.

    The table goes first, then the first rule that finds its path, then the speaker's pseudo-voice where `speakers` is
    given, else the default.

    Raises:
        ModelError: there is no such voice, or its file is damaged or another model's.
    """
    default = voices.identified(default)
    by_rule = [(rule.pattern, voices.identified(Choice(rule.voice, default.pitch))) for rule in rules]
    known = {voice: voices.identified(Choice(voice)) for voice in {choice.voice for choice in listed.values()}}

    def choose(source: str) -> Choice:
        found = listed.get(os.path.normpath(source))
        if found is not None:
            return replace(known[found.voice], pitch=found.pitch)
        for pattern, choice in by_rule:
            if pattern.search(source):
                return choice
        if speakers is not None:
            return Choice(pseudo_name(speakers.seed, speakers.of(source)), default.pitch)
        return default

    return choose
