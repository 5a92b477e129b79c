"""A live session on a simulated device that may fail, and a model that may go wrong; live_faults.py does harm to it."""

from __future__ import annotations

import dataclasses
import threading
import time
import wave
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgevc.control.server import ControlServer
from edgevc.converter.bench import speech_like
from edgevc.engines.base import Graph, GraphState
from edgevc.errors import AudioDeviceError
from edgevc.live.config import LiveConfig
from edgevc.live.converters import load_converters
from edgevc.live.session import LiveSession
from edgevc.live.stats import LiveStats
from edgevc.live.taps import Chunk
from edgevc.testing.simulated_port import FakePort, SimulatedClock

RATE = 16_000
CHUNK_HOPS = 4
LOOP_SECONDS = 10


class NotCountedError(Exception):
    """A fault did not show where it should, or its trace did not go."""


class Wild(Graph):
    """A decoder that gives NaN, or roars, for as many calls as it is told to."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.spec, graph.engine, graph.engine_version, graph.chunk_hops)
        self.graph = graph
        self.calls = 0
        self.value = 0.0

    def new_state(self) -> GraphState:
        """As the decoder itself."""
        return self.graph.new_state()

    def run(self, state: GraphState, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """As the decoder itself, or all of one value."""
        outputs = self.graph.run(state, *inputs)
        if not self.calls:
            return outputs
        self.calls -= 1
        return tuple(np.full_like(output, self.value) for output in outputs)


class Machine:
    """A tap that takes time from the session, as a machine with other work does."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.seconds = 0.0
        self.chunks = 0

    def on_chunk(self, chunk: Chunk) -> None:
        """Let the clock go on."""
        if self.chunks:
            self.chunks -= 1
            self.clock.advance(self.seconds)


def frames_of(path: Path) -> int:
    """As the header has it."""
    with wave.open(str(path)) as file:
        return file.getnframes()


class World:
    """A session on a simulated device, and all that can happen to it."""

    def __init__(self, model: Path, seed: int, folder: Path) -> None:
        self.rng = np.random.default_rng(seed)
        self.folder = folder
        self.clock = SimulatedClock()
        self.config = LiveConfig(
            model=model, chunk_hops=CHUNK_HOPS, realtime=False, control=f"unix:{folder}/control", feedback_guard=False
        )
        self.converters = load_converters(self.config)
        self.wild = Wild(self.converters[CHUNK_HOPS].decoder)
        self.converters[CHUNK_HOPS].decoder = self.wild
        self.loop = np.resize(speech_like(LOOP_SECONDS), (LOOP_SECONDS + 1) * 48_000)
        self.bad_left = 0
        self.loudest = 0.0
        self.plugged_in = True
        self.device = {"input_rate": RATE, "output_rate": RATE}
        self.ports: list[FakePort] = []
        self.stop = threading.Event()
        self.injected: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.begin()

    # --- the session

    def begin(self) -> None:
        """Open a session."""
        record = None
        if self.rng.random() < 0.4:
            for path in self.folder.glob("*.wav"):
                path.unlink()
            record = (self.folder / "in.wav", self.folder / "out.wav")
        overload = str(self.rng.choice(["drop", "bypass", "silence"]))
        self.config = dataclasses.replace(self.config, record=record, overload=overload)
        self.session = LiveSession(self.config, open_port=self.open_port, converters=self.converters, clock=self.clock)
        self.machine = Machine(self.clock)
        self.session.add_tap(self.machine)
        self.session.open()
        self.server = ControlServer(self.config.control or "", self.session, self.stop.set)
        self.recording = record is not None

    def end(self) -> None:
        """Close the session, and look at its recording."""
        stats = self.stats()
        self.totals.update({name: value for name, value in vars(stats).items() if type(value) is int})
        self.server.close()
        self.session.stop()
        self.require(not (self.folder / "control").exists(), "the socket is removed")
        if self.recording:
            lengths = {frames_of(path) for path in sorted(self.folder.glob("*.wav"))}
            self.require(min(lengths) > 0, "something is recorded")
            if not stats.recording_errors:
                self.require(lengths == {stats.hops * 160}, f"all is recorded, got {lengths} of {stats.hops} hops")

    def open_port(self) -> FakePort:
        """Make a device as it is now."""
        if not self.plugged_in:
            raise AudioDeviceError("no such device")
        shared = bool(self.rng.random() < 0.5)
        port = FakePort(
            self.clock,
            self.source,
            self.sink,
            block_length=self.device["input_rate"] * CHUNK_HOPS // 100,
            output_skew=0.0 if shared else float(self.rng.uniform(-2e-4, 2e-4)),
            shared_clock=shared,
            **self.device,
        )
        self.ports[:] = [port]
        return port

    def source(self, position: int, n: int) -> np.ndarray:
        """Speech, or what is no sound."""
        start = position % (LOOP_SECONDS * RATE)
        block = self.loop[start : start + n]
        if self.bad_left:
            block = block.copy()
            n_bad = min(self.bad_left, n)
            block[:n_bad] = self.rng.choice(np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32), n_bad)
            self.bad_left -= n_bad
        return block

    def sink(self, position: int, samples: np.ndarray) -> None:
        """Hear."""
        self.loudest = max(self.loudest, float(np.abs(samples).max()))
        # between two samples at the limiter's ceiling a resampler may go beyond it
        if not self.loudest <= 4.0:
            raise NotCountedError(f"the output must be finite and near full scale at most, got {self.loudest}")

    def stats(self) -> LiveStats:
        """Of the session."""
        return self.session.stats()

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            self.session.step()
            # the disk is as fast as this machine, the sound is not: the recorder's thread shall keep up
            if self.recording and self.session.recording_backlog > 100:
                time.sleep(0.002)

    def run_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Let time pass until something is so."""
        end = self.clock.now() + seconds
        while not condition():
            self.require(self.clock.now() < end, what)
            self.run(0.1)

    def require(self, condition: bool, what: str) -> None:
        """Raise where it is not so."""
        if not condition:
            raise NotCountedError(f"at {self.clock.now():.1f} s: {what}; {self.stats()}")

    def calm(self) -> None:
        """Bring the session to where it converts, and see that it does."""
        for name, value in (("mode", "convert"), ("gain", 0.0), ("pitch", 0.0)):
            self.session.apply(name, value)
        self.run_until(lambda: self.stats().state == "running", 12.0, "it runs")
        # what a fault left in the queues is gone, and the converter is heard
        self.run(4.0)
        self.loudest = 0.0
        # after an overload the converter rests for a minute at most
        self.run_until(lambda: self.loudest > 0.003, 100.0, "it is heard")
        self.run(2.0)
        self.require(self.stats().latency.total < 250.0, "the latency is what it was")

    def more(self, before: LiveStats, name: str) -> int:
        """How much a counter rose."""
        return int(getattr(self.stats(), name) - getattr(before, name))
