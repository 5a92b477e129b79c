"""Gives the work out: one process for each core, the largest files first, and a line of the manifest for each file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from edgevc import children
from edgevc.batch.manifest import Manifest, error_of, hidden_name, refuse_strange_output
from edgevc.batch.plan import Choice, Chooser, Plan
from edgevc.batch.worker import Task, WorkerSettings, settings_of
from edgevc.errors import ConfigError, EdgevcError, EngineError, ModelError, OutputError
from edgevc.files import TEMPORARY_PREFIX

_TRIES = 2
"""A file whose process dies is tried once more: the death may have been another's fault."""
_MAX_LINE = 1 << 20


@dataclass
class Tally:
    """Where a batch stands."""

    files: int = 0
    """In the plan."""
    converted: int = 0
    skipped: int = 0
    """Done by an earlier run, with the same settings and of the same recording."""
    failed: int = 0
    seconds: float = 0.0
    """Of audio, converted in this run."""
    bytes_left: int = 0
    """Of recordings that wait or are being converted."""
    bytes_done: int = 0
    started: float = field(default_factory=time.monotonic)
    first_exit_code: int = 0
    """Of the first file that failed."""

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the bytes that were converted so far; None before the first."""
        return None if not self.bytes_done else self.elapsed * self.bytes_left / self.bytes_done


class Worker:
    """A process and what it works on."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Start it."""
        command = children.python_command("edgevc.batch.worker", "main", **asdict(settings))
        self.process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # what a library complains of belongs to nobody's file
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.number: int | None = None
        """Of the file that it works on."""
        self._received = b""

    @property
    def output(self) -> IO[bytes]:
        """Where its answers come from."""
        assert self.process.stdout is not None  # noqa: S101 (for the type checker)
        return self.process.stdout

    def send(self, number: int, task: Task) -> None:
        """Give it a task; where it is dead its answers end, which is noticed there."""
        self.number = number
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None  # noqa: S101
            self.process.stdin.write(json.dumps(asdict(task)).encode("ascii") + b"\n")
            self.process.stdin.flush()

    def answers(self) -> list[dict[str, Any]] | None:
        """Return what it has said; None when it has ended."""
        data = os.read(self.output.fileno(), 1 << 16)
        if not data or len(self._received) > _MAX_LINE:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """Kill it; what it was writing has no name yet."""
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


class Batch:
    """One run over a plan."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        choose: Chooser,
        settings: WorkerSettings,
        *,
        jobs: int,
        force: bool = False,
        told: Callable[[Tally, str | None], None] = lambda tally, problem: None,
    ) -> None:
        """Describe the run.

        Args:
            plan: what is to be done.
            folder: the output folder.
            choose: voice and pitch of a source.
            settings: of all files.
            jobs: processes.
            force: convert everything again, and replace files that are in no manifest.
            told: called after every file, with a sentence where one failed.
        """
        self._plan, self._folder, self._choose, self._settings = plan, folder, choose, settings
        self._jobs, self._force, self._told = jobs, force, told
        self._shared = settings_of(settings)
        self._tries: dict[int, int] = {}
        self._again: list[int] = []
        self._made: set[str] = set()
        self.tally = Tally(files=len(plan))

    def run(self) -> Tally:
        """Convert everything that is not done; return what was done.

        Raises:
            ModelError, EngineError: the model cannot be loaded by any process.
            OutputError: the manifest cannot be written, as on a full disk; the files that are done stay done.
            SessionError: another run writes to the folder.
        """
        self._make_folder(self._folder)
        with Manifest(self._folder) as manifest:
            _sweep(self._folder)
            waiting = self._waiting(manifest)
            self.tally.started = time.monotonic()
            if waiting:
                self._work(waiting, manifest)
        return self.tally

    def _waiting(self, manifest: Manifest) -> list[int]:
        """Numbers of the files that are to be converted, the next one last."""
        waiting = []
        for i in self._plan.largest_first():
            if not self._force and self._is_done(i, manifest):
                self.tally.skipped += 1
            else:
                waiting.append(i)
                self.tally.bytes_left += self._plan.sizes[i]
        waiting.reverse()
        return waiting

    def _is_done(self, i: int, manifest: Manifest) -> bool:
        done = manifest.done.get(self._plan.output(i))
        if done is None or done.source_bytes != self._plan.sizes[i]:
            return False
        source = self._plan.source(i)
        if done.settings != self._hash_of(self._choose(source)):
            return False
        try:
            return os.stat(source).st_mtime_ns == done.source_mtime_ns  # noqa: PTH116
        except OSError:
            return False

    def _work(self, waiting: list[int], manifest: Manifest) -> None:
        workers: set[Worker] = set()
        with selectors.DefaultSelector() as selector:
            try:
                for _ in range(min(self._jobs, len(waiting))):
                    self._start(workers, selector)
                while workers:
                    for key, _ in selector.select():
                        self._hear(key.data, workers, selector, waiting, manifest)
                self._settle(manifest, now=True)
            finally:
                for worker in workers:
                    worker.end()

    def _start(self, workers: set[Worker], selector: selectors.BaseSelector) -> None:
        try:
            worker = Worker(self._settings)
        except OSError as error:
            raise EngineError(f"cannot start a process to convert in: {error.strerror}; take fewer --jobs") from error
        workers.add(worker)
        selector.register(worker.output, selectors.EVENT_READ, worker)

    def _hear(
        self,
        worker: Worker,
        workers: set[Worker],
        selector: selectors.BaseSelector,
        waiting: list[int],
        manifest: Manifest,
    ) -> None:
        answers = worker.answers()
        for said in answers or ():
            if "refused" in said:
                kinds = (ConfigError, EngineError)
                raise next((kind for kind in kinds if kind.exit_code == said["exit_code"]), ModelError)(said["refused"])
            if "loaded" not in said:
                self._finish(worker, said, manifest)
            self._give(worker, waiting, manifest)
        if answers is None:
            selector.unregister(worker.output)
            workers.discard(worker)
            worker.end()
            self._bury(worker, manifest)
            if waiting or self._again:
                self._start(workers, selector)
        elif worker.number is None and not (waiting or self._again):
            selector.unregister(worker.output)
            workers.discard(worker)
            worker.end()

    def _give(self, worker: Worker, waiting: list[int], manifest: Manifest) -> None:
        """Give a worker its next file, if there is one that can be begun."""
        while waiting or self._again:
            number = self._again.pop() if self._again else waiting.pop()
            output = self._plan.output(number)
            place, hidden = self._folder / output, self._folder / hidden_name(output)
            try:
                refuse_strange_output(place, output in manifest.done, self._force)
                self._make_folder(place.parent)
            except OutputError as error:
                self._fail(number, str(error), error.exit_code, manifest)
                continue
            if hidden.is_symlink():
                # the name can be foreseen: somebody's link would lead the output elsewhere
                hidden.unlink()
            source = self._plan.source(number)
            choice = self._choose(source)
            worker.send(number, Task(source, str(hidden), choice.voice, choice.pitch))
            return

    def _finish(self, worker: Worker, said: dict[str, Any], manifest: Manifest) -> None:
        number, worker.number = worker.number, None
        if number is None:
            return
        if "error" in said:
            self._fail(number, said["error"], said["exit_code"], manifest)
            return
        output, source = self._plan.output(number), self._plan.source(number)
        choice = self._choose(source)
        manifest.add(
            {
                "output": output,
                "source": source,
                **said,
                "voice": choice.voice,
                "pitch": choice.pitch,
                **self._shared,
                "settings_sha256": self._hash_of(choice),
            }
        )
        self.tally.converted += 1
        self.tally.seconds += said["seconds"]
        self._count(number)
        self._told(self.tally, None)
        self._settle(manifest)

    def _settle(self, manifest: Manifest, *, now: bool = False) -> None:
        for output, reason in manifest.settle(now=now):
            # its line stays: the next run sees that the file is missing
            self.tally.converted -= 1
            self.tally.failed += 1
            self.tally.first_exit_code = self.tally.first_exit_code or OutputError.exit_code
            self._told(self.tally, f"{output}: cannot be renamed: {reason}; make its place free")

    def _bury(self, worker: Worker, manifest: Manifest) -> None:
        """A process has ended by itself: try its file again, once."""
        number, worker.number = worker.number, None
        if number is None:
            # before it had loaded the model, or after its last file
            self._tries[-1] = self._tries.get(-1, 0) + 1
            if self._tries[-1] > self._jobs * _TRIES:
                raise EngineError("the processes that convert end before they have begun; try it without --jobs")
            return
        self._tries[number] = self._tries.get(number, 0) + 1
        if self._tries[number] < _TRIES:
            self._again.append(number)
        else:
            self._fail(number, "the process that converted it died, twice", EdgevcError.exit_code, manifest)

    def _fail(self, number: int, message: str, exit_code: int, manifest: Manifest) -> None:
        source, output = self._plan.source(number), self._plan.output(number)
        with contextlib.suppress(OSError):
            (self._folder / hidden_name(output)).unlink()
        manifest.add(error_of(output, source, message, self._hash_of(self._choose(source))))
        self.tally.failed += 1
        self.tally.first_exit_code = self.tally.first_exit_code or exit_code
        self._count(number)
        self._told(self.tally, message if source in message else f"{source}: {message}")

    def _count(self, number: int) -> None:
        self.tally.bytes_left -= self._plan.sizes[number]
        self.tally.bytes_done += self._plan.sizes[number]

    def _hash_of(self, choice: Choice) -> str:
        return settings_hash(self._shared, choice)

    def _make_folder(self, folder: Path) -> None:
        name = str(folder)
        if name in self._made:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another output") from error
        self._made.add(name)


def settings_hash(shared: Mapping[str, Any], choice: Choice) -> str:
    """Return what tells settings apart in a manifest: the hash of all that an output depends on beside its source."""
    values = {**shared, "voice": choice.voice, "pitch": choice.pitch}
    if choice.voice_sha256:
        values["voice_sha256"] = choice.voice_sha256
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _sweep(folder: Path) -> None:
    """Delete what killed runs have left; nobody else works here while the manifest is ours."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(TEMPORARY_PREFIX) and (name.endswith(".tmp") or ".part." in name):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(place, name))  # noqa: PTH108, PTH118
