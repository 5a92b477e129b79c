"""Which voice each file of a batch gets."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgevc.batch.plan import Choice, Chooser, VoiceRule
from edgevc.batch.worker import WorkerSettings
from edgevc.bundle import ModelBundle
from edgevc.bundle.encryption import unlocked_by
from edgevc.errors import ConfigError
from edgevc.limits import SEMITONES
from edgevc.signing.policy import signatures_required
from edgevc.text import shortened
from edgevc.voices.library import load_voice, path_of

MAX_CSV_BYTES = 512 << 20


class KnownVoices:
    """The voices that a model can speak: its own, and yours."""

    def __init__(self, model: ModelBundle) -> None:
        """`model`: will speak."""
        self._model = model
        self._names = tuple(voice.name for voice in model.voices)

    def require(self, voice: str) -> None:
        """Return if it can speak as `voice`.

        Raises:
            ConfigError: there is no such voice.
            ModelError: its file is damaged or another model's.
        """
        if voice in self._names:
            return
        path = path_of(voice)
        if path is None:
            raise ConfigError(f"the model has no voice {shortened(voice)}; known: {', '.join(self._names)}")
        load_voice(path, self._model)


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


def read_choices(path: Path, default: Choice) -> dict[str, Choice]:
    """Return the choices of a CSV file: a header `file,voice` or `file,voice,pitch`, then a line for each file.

    Args:
        path: of the file.
        default: pitch where it is left out.

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
            return dict(_row(path, reader.line_num, row, len(header), default) for row in reader if row)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is no CSV in UTF-8: {error}; save it as such") from error


def _row(path: Path, line: int, row: list[str], width: int, default: Choice) -> tuple[str, Choice]:
    if len(row) != width:
        raise ConfigError(f"{path}, line {line}: expected {width} columns, got {len(row)}; complete the line")
    try:
        pitch = float(row[2]) if width == 3 and row[2].strip() else default.pitch
    except ValueError:
        raise ConfigError(f"{path}, line {line}: pitch must be a number, got {shortened(row[2])}") from None
    low, high = SEMITONES
    if not low <= pitch <= high:
        raise ConfigError(f"{path}, line {line}: pitch must be within {low:g}..{high:g} semitones, got {pitch:g}")
    return os.path.normpath(row[0]), Choice(row[1].strip(), pitch)


def chooser(default: Choice, rules: Sequence[VoiceRule], listed: Mapping[str, Choice], voices: KnownVoices) -> Chooser:
    """Return what names the voice of a source: the table, else the first rule that finds its path, else the default.

    Raises:
        ConfigError: there is no such voice.
        ModelError: a voice's file is damaged or another model's.
    """
    asked = [default.voice, *(rule.voice for rule in rules), *(choice.voice for choice in listed.values())]
    for voice in dict.fromkeys(asked):
        voices.require(voice)

    def choose(source: str) -> Choice:
        found = listed.get(os.path.normpath(source))
        if found is not None:
            return found
        for rule in rules:
            if rule.pattern.search(source):
                return Choice(rule.voice, default.pitch)
        return default

    return choose
