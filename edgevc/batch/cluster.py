"""A batch on a cluster: Ray gives the work to the machines, fsspec reads and writes wherever the recordings lie.

A task is some files, enough for a second or two of work. Ray starts it where a core is free and, where a machine dies,
starts it again elsewhere; what it had written before has the same bytes the second time. No more tasks wait than the
cluster has room for, so that a long list is no heap of tasks.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgevc.batch.cluster_worker import Item, convert_items
from edgevc.batch.manifest import error_of
from edgevc.batch.plan import Chooser, Plan, make_plan
from edgevc.batch.run import Tally, settings_hash
from edgevc.batch.shards import Shards
from edgevc.batch.storage import Found, Storage
from edgevc.batch.worker import WorkerSettings, settings_of
from edgevc.bundle import ModelBundle
from edgevc.errors import (
    AudioFileError,
    ConfigError,
    EdgevcError,
    EngineError,
    MissingPackageError,
    ModelError,
    OutputError,
)
from edgevc.text import first_line

TASK_BYTES = 2_000_000
"""Of recordings in a task: at 16 kHz and 16 bits a minute, which a core converts in a second or two."""
TASK_FILES = 32
_AHEAD = 2
"""Tasks for each core that are given out: one runs, the other waits where it will run."""
_CONNECT_SECONDS = 10.0
_RETRIES = 3
"""Of Ray, for a task whose machine or process has died."""


def plan_on(sources: Sequence[str], target: Storage, suffix: str) -> tuple[Plan, list[int]]:
    """List the recordings of folders on any storage.

    Args:
        sources: URLs and paths of folders.
        target: the output folder.
        suffix: of the outputs.

    Returns:
        The plan, and of each file when it was changed last, in nanoseconds.

    Raises:
        AudioFileError: a folder cannot be listed, or there is no recording at all.
        ConfigError: two recordings would give the same output, or the output folder is an input.
    """
    plan = Plan(suffix=suffix)
    times: list[int] = []
    for url in sources:
        storage = Storage(url)
        if storage.local is not None:
            local = make_plan([storage.local], target.local or Path(os.devnull), suffix)
            plan.problems.extend(local.problems)
            found = {local.names[i]: _looked_at(local.source(i)) for i in range(len(local))}
            # of a single file, the folder that it lies in
            root = local.roots[0]
        else:
            if storage.path("") == target.path(""):
                raise ConfigError(f"the output folder must not be the input folder, got {url} for both; choose another")
            found = storage.recordings()
            root = storage.url
        plan.add_root(root, ((name, one.n_bytes) for name, one in found.items()))
        times.extend(one.mtime_ns for one in found.values())
    if not plan.names:
        raise AudioFileError(f"{sources[0]} holds no recording; check the URL")
    plan.require_distinct()
    return plan, times


def _looked_at(path: str) -> Found:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return Found(0, 0)
    return Found(status.st_size, status.st_mtime_ns)


class ClusterBatch:
    """One run over a plan, on a cluster."""

    def __init__(
        self,
        plan: Plan,
        times: Sequence[int],
        target: Storage,
        choose: Chooser,
        settings: WorkerSettings,
        *,
        address: str = "auto",
        force: bool = False,
        told: Callable[[Tally, str | None], None] = lambda tally, problem: None,
    ) -> None:
        """Describe the run.

        Args:
            plan: what is to be done.
            times: of each source, when it was changed last, in nanoseconds; see `plan_on`.
            target: the output folder, which every machine reaches under the same URL.
            choose: voice and pitch of a source.
            settings: of all files.
            address: of the cluster, as Ray takes it; "auto": the one of this machine; "local": this machine alone.
            force: convert everything again, and replace files that are in no manifest.
            told: called after every file, with a sentence where one failed.
        """
        self._plan, self._times, self._target, self._choose, self._settings = plan, times, target, choose, settings
        self._address, self._force, self._told = address, force, told
        self._shared = settings_of(settings)
        self.tally = Tally(files=len(plan))

    def run(self) -> Tally:
        """Convert everything that is not done; return what was done.

        Raises:
            MissingPackageError: Ray is not installed.
            EngineError: there is no such cluster, or no machine of it has a usable engine.
            ModelError: the model cannot be loaded.
            OutputError: the manifest cannot be written; what is done stays done.
        """
        there = self._target.find()
        shards = Shards(self._target, there)
        waiting = self._waiting(shards, there)
        try:
            if waiting:
                with joined(self._address) as ray:
                    self._work(ray, waiting, shards)
        finally:
            shards.merge()
        return self.tally

    def _waiting(self, shards: Shards, there: dict[str, Found]) -> list[int]:
        waiting = []
        for i in self._plan.largest_first():
            output = self._plan.output(i)
            record = shards.last.get(output)
            if not self._force and record is not None and self._is_done(i, record, there.get(output)):
                self.tally.skipped += 1
            elif not self._force and record is None and output in there:
                message = f"{self._target.path(output)} exists and is in no manifest; give --force to replace it"
                self._fail(i, message, OutputError.exit_code, shards)
            else:
                waiting.append(i)
                self.tally.bytes_left += self._plan.sizes[i]
        return waiting

    def _is_done(self, i: int, record: dict[str, Any], output: Found | None) -> bool:
        if "error" in record or output is None or output.n_bytes != record["output_bytes"]:
            return False
        same_source = (record["source_bytes"], record["source_mtime_ns"]) == (self._plan.sizes[i], self._times[i])
        return same_source and record["settings_sha256"] == self._hash_of(i)

    def _work(self, ray: Any, waiting: list[int], shards: Shards) -> None:
        task = ray.remote(num_cpus=1, max_retries=_RETRIES)(convert_items)
        model = ray.put(_packed(ModelBundle.open(self._settings.bundle)))
        pieces = list(self._pieces(waiting))
        pieces.reverse()
        running: dict[Any, list[int]] = {}
        while pieces or running:
            room = max(1, int(ray.cluster_resources().get("CPU", 1))) * _AHEAD
            while pieces and len(running) < room:
                numbers = pieces.pop()
                items = [self._item(i) for i in numbers]
                running[task.remote(model, self._settings, self._target.url, items)] = numbers
            done, _ = ray.wait(list(running), timeout=1.0)
            for reference in done:
                numbers = running.pop(reference)
                try:
                    records = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise _own_error(error) from error
                except ray.exceptions.RayError as error:
                    if len(numbers) > 1:
                        # one file among them may kill the process; alone it harms nobody
                        pieces.extend([number] for number in numbers)
                        continue
                    died = f"the process that converted it died: {first_line(error)}"
                    self._fail(numbers[0], died, EdgevcError.exit_code, shards)
                    continue
                for record in records:
                    self._finish(record.pop("number"), record, shards)

    def _pieces(self, waiting: list[int]) -> Iterator[list[int]]:
        """Yield the files of each task."""
        piece: list[int] = []
        size = 0
        for i in waiting:
            if piece and (size + self._plan.sizes[i] > TASK_BYTES or len(piece) >= TASK_FILES):
                yield piece
                piece, size = [], 0
            piece.append(i)
            size += self._plan.sizes[i]
        if piece:
            yield piece

    def _item(self, i: int) -> Item:
        choice = self._choose(self._plan.source(i))
        root = self._plan.roots[self._plan.root_of[i]]
        output = self._plan.output(i)
        return Item(i, root, self._plan.names[i], output, choice.voice, choice.pitch, self._times[i])

    def _finish(self, i: int, record: dict[str, Any], shards: Shards) -> None:
        if "error" in record:
            self._fail(i, record["error"], record["exit_code"], shards)
            return
        choice = self._choose(self._plan.source(i))
        shards.add(
            {
                "output": self._plan.output(i),
                "source": self._plan.source(i),
                **record,
                "voice": choice.voice,
                "pitch": choice.pitch,
                **self._shared,
                "settings_sha256": self._hash_of(i),
            }
        )
        self.tally.converted += 1
        self.tally.seconds += record["seconds"]
        self._count(i)
        self._told(self.tally, None)

    def _fail(self, i: int, message: str, exit_code: int, shards: Shards) -> None:
        source = self._plan.source(i)
        shards.add(error_of(self._plan.output(i), source, message, self._hash_of(i)))
        self.tally.failed += 1
        self.tally.first_exit_code = self.tally.first_exit_code or exit_code
        self._count(i)
        self._told(self.tally, message if source in message else f"{source}: {message}")

    def _count(self, i: int) -> None:
        self.tally.bytes_left -= min(self._plan.sizes[i], self.tally.bytes_left)
        self.tally.bytes_done += self._plan.sizes[i]

    def _hash_of(self, i: int) -> str:
        return settings_hash(self._shared, self._choose(self._plan.source(i)))


def _packed(bundle: ModelBundle) -> dict[str, bytes]:
    """Return the files that a machine needs to open the model as this one did."""
    if bundle.path.is_file():
        # encrypted ones travel as they are
        return {bundle.path.name: bundle.path.read_bytes()}
    files = {name: bundle.read(name) for name in bundle.files()}
    files["manifest.json"] = bundle.manifest_bytes
    if bundle.signature is not None:
        files["manifest.json.minisig"] = bundle.signature
    return files


@contextlib.contextmanager
def joined(address: str) -> Iterator[Any]:
    """Join a cluster, and leave it again; yields the module ray.

    Raises:
        MissingPackageError: Ray is not installed.
        EngineError: there is no such cluster.
    """
    # nothing is told to anybody, and workers log to their files
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError("a batch on a cluster", "ray", "ray") from error
    _require_answer(address)
    here = Path.cwd()
    # Ray lets its workers import from the folder in which it was started; a stranger's json.py may lie there
    with tempfile.TemporaryDirectory(prefix="edgevc-ray-") as empty:
        os.chdir(empty)
        try:
            ray.init(
                address=address,
                include_dashboard=False if address == "local" else None,
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=False,
            )
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise EngineError(
                f"no Ray cluster at {address!r}: {first_line(error)}; start one with `ray start --head`, or give "
                "--ray local"
            ) from error
        finally:
            os.chdir(here)
        try:
            yield ray
        finally:
            ray.shutdown()


def _require_answer(address: str) -> None:
    """Return if something answers at HOST:PORT; Ray itself would try for minutes.

    Raises:
        EngineError: nothing does.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"no Ray cluster at {address!r}: {first_line(error)}; start one with `ray start --head`, or give "
            "--ray local"
        ) from error


def _own_error(error: Any) -> EdgevcError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, EdgevcError):
        return cause
    reason = first_line(cause or error)
    return ModelError(f"the cluster's machines cannot convert: {reason}; install the same edgevc on all of them")
