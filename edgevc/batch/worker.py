"""The process that converts: one engine, one thread, a task for each line of JSON that it is given."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgevc.batch.manifest import file_sha256
from edgevc.errors import EdgevcError
from edgevc.text import first_line


@dataclass(frozen=True)
class WorkerSettings:
    """What all tasks of a batch share; JSON can hold it."""

    bundle: str
    """Path of the bundle."""
    bundle_sha256: str
    engine: str
    chunk_hops: int
    formant: float = 0.0
    gain_db: float = 0.0
    gate: bool = True
    mark: bool = True
    require_signature: bool = False
    identity: str | None = None
    passphrase_file: str | None = None


@dataclass(frozen=True)
class Task:
    """One file."""

    source: str
    target: str
    """The hidden name under which the output is written; its folder is there."""
    voice: str
    pitch: float = 0.0


def main(**settings: Any) -> None:
    """Convert until stdin ends; runs in a process of its own."""
    # what a library prints must not be taken for an answer
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    # the terminal's Ctrl-C goes to all processes; the parent ends this one by closing its stdin
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def say(**values: Any) -> None:
        try:
            answers.write(json.dumps(values) + "\n")
            answers.flush()
        except BrokenPipeError:
            os._exit(0)

    try:
        converting = Converting(WorkerSettings(**settings))
    except EdgevcError as error:
        say(refused=str(error), exit_code=error.exit_code)
        return
    say(loaded=converting.engine)
    for line in sys.stdin.buffer:
        task = Task(**json.loads(line))
        try:
            say(**converting.convert(task, durable=False))
        except EdgevcError as error:
            say(error=str(error), exit_code=error.exit_code)
        except (OSError, MemoryError) as error:
            say(error=first_line(error), exit_code=EdgevcError.exit_code)
        except Exception as error:  # one bad file shall not end the batch
            say(error=f"{type(error).__name__}: {first_line(error)}", exit_code=EdgevcError.exit_code)


class Converting:
    """A loaded model and a stream for each voice that was asked for."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Load the model.

        Raises:
            ModelError, EngineError: as `VoiceConverter`, or the model has changed since the batch began.
        """
        from edgevc.bundle import ModelBundle
        from edgevc.bundle.encryption import unlock_with
        from edgevc.converter import VoiceConverter
        from edgevc.errors import ModelError
        from edgevc.signing.policy import require_signatures

        require_signatures(settings.require_signature)
        unlock_with(*(Path(one) if one else None for one in (settings.identity, settings.passphrase_file)))
        bundle = ModelBundle.open(settings.bundle)
        if bundle.sha256 != settings.bundle_sha256:
            raise ModelError(f"the model {settings.bundle} changed while the batch ran; begin again")
        self._settings = settings
        self._converter = VoiceConverter(bundle, settings.engine, settings.chunk_hops)
        self._streams: dict[tuple[str, float], Any] = {}
        self.engine = self._converter.engine

    def convert(self, task: Task, *, durable: bool) -> dict[str, Any]:
        """Convert a file; return what the manifest says of it.

        Args:
            task: the file.
            durable: wait until the disk has the output; a batch does that for many at once, before it renames them.

        Raises:
            EdgevcError: as `convert_file`.
        """
        from edgevc.convert import convert_file

        before = os.stat(task.source)  # noqa: PTH116
        stream = self._stream(task)
        if not self._settings.mark:
            from edgevc.mark.detect_files import detect_file

            # what came in as made shall not go out otherwise
            stream.settings = replace(stream.settings, mark=detect_file(Path(task.source)).marked)
        report = convert_file(Path(task.source), Path(task.target), stream, overwrite=True, durable=durable)
        return {
            "source_bytes": before.st_size,
            "source_mtime_ns": before.st_mtime_ns,
            "source_sha256": file_sha256(task.source),
            "output_bytes": os.stat(task.target).st_size,  # noqa: PTH116
            "output_sha256": file_sha256(task.target),
            "seconds": round(report.seconds, 4),
            "processing_seconds": round(report.processing_seconds, 4),
            "level_in_db": _finite(report.level_in_db),
            "level_out_db": _finite(report.level_out_db),
        }

    def _stream(self, task: Task) -> Any:
        from edgevc.converter import VoiceSettings

        key = task.voice, task.pitch
        if key not in self._streams:
            if len(self._streams) >= 16:
                self._streams.clear()
            settings = self._settings
            values = VoiceSettings(task.pitch, settings.formant, settings.gain_db, settings.gate, settings.mark)
            self._streams[key] = self._converter.stream(task.voice, values)
        return self._streams[key]


def settings_of(settings: WorkerSettings) -> dict[str, Any]:
    """Return what the sound depends on, for the manifest."""
    kept = asdict(settings)
    return {name: kept[name] for name in ("bundle_sha256", "engine", "formant", "gain_db", "gate", "mark")}


def _finite(level: float) -> float | None:
    return round(level, 2) if math.isfinite(level) else None
