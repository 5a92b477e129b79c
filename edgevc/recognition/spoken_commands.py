"""Commands out of sound: an encoder and a command set, and a stream of them for each microphone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgevc.arrays import as_mono_float32, require_finite
from edgevc.bundle import ModelBundle
from edgevc.converter.fits import require_fit
from edgevc.converter.listener import Listener
from edgevc.engines import choose_engine, load_graph
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.recognition.armed import ArmedRecognizer, WakeSettings
from edgevc.recognition.command_set import CommandSet
from edgevc.recognition.recognizer import LEAST_CERTAINTY, Heard, Refusal

_QUIET_DB = -55.0
"""A refused sentence whose loudest 10 ms are below that, RMS in dB of full scale, was too quiet."""
_LEVELS = 1000
"""Hops whose level is kept: the longest sentence."""


@dataclass(frozen=True)
class Sentence:
    """A sentence that has ended in a stream of sound."""

    heard: Heard
    ended_at: float
    """Seconds of the stream's sound at which its last word ended; its end where no word was found."""
    noticed_at: float
    """Seconds of the stream's sound that had been taken when the end was noticed."""


class SpokenCommands:
    """One loaded encoder and one command set; every stream made from it shares both."""

    def __init__(
        self,
        commands: CommandSet,
        bundle: ModelBundle,
        engine: str = "auto",
        chunk_hops: int = 1,
        least_certainty: float = LEAST_CERTAINTY,
        wake: WakeSettings | None = None,
    ) -> None:
        """Load the encoder.

        Args:
            commands: compiled for the bundle's phones.
            bundle: whose encoder hears.
            engine: "auto", "litert" or "onnx".
            chunk_hops: hops of 10 ms per call; more cost less CPU and notice an end later.
            least_certainty: see `CommandRecognizer`.
            wake: how the commands' wake phrases are taken, where they have some.

        Raises:
            EngineError, ModelError: as `edgevc.engines.load_graph`.
        """
        require_fit(bundle)
        self.commands = commands
        """May be replaced at any time, by another set for the same phones: streams take it between two sentences."""
        self.bundle = bundle
        self._least_certainty = least_certainty
        self._wake = wake
        self._encoder = load_graph(bundle, "encoder", choose_engine(bundle, engine), chunk_hops)

    def stream(self, *, wake: bool = True) -> CommandStream:
        """Return what hears one microphone; one thread uses it at a time. Without `wake` it is always armed."""
        listener = Listener(self.bundle, self._encoder)

        def recognizer(commands: CommandSet) -> ArmedRecognizer:
            chosen = commands if wake else replace(commands, wake=None)
            return chosen.armed_recognizer(self._least_certainty, self._wake)

        return CommandStream(listener, lambda: self.commands, recognizer, self.bundle.latency.latency_samples)


class CommandStream:
    """Hears one microphone."""

    def __init__(
        self,
        listener: Listener,
        commands: Callable[[], CommandSet],
        recognizer: Callable[[CommandSet], ArmedRecognizer],
        latency: int,
    ) -> None:
        """Use `SpokenCommands.stream` instead; `latency` is that of the listener's phones, in samples."""
        self._listener = listener
        self._commands, self._new_recognizer = commands, recognizer
        self._heard = commands()
        self._recognizer = recognizer(self._heard)
        self._latency = latency
        self._waiting = np.zeros(0, np.float32)
        self._frames = 0
        self._levels: deque[float] = deque(maxlen=_LEVELS)
        self.woken: list[Sentence] = []
        """Wake phrases that ended in the last call of `process`; their meaning's intent is the phrase's text."""

    @property
    def armed(self) -> bool:
        """Whether commands are heard; always where there is no wake phrase."""
        return self._recognizer.armed

    def process(self, samples: NDArray[np.float32]) -> list[Sentence]:
        """Hear mono samples, float32 (T,) at 16 kHz, any T; return the sentences that ended in them.

        Raises:
            TypeError: not float32.
            ConfigError: not one channel, or a value is not finite.
        """
        samples = as_mono_float32(samples)
        require_finite(samples)
        self._take_new_commands()
        samples = np.concatenate([self._waiting, samples])
        size = self._listener.chunk_samples
        n_whole = len(samples) // size * size
        self._waiting = samples[n_whole:].copy()
        sentences = []
        self.woken = []
        for start in range(0, n_whole, size):
            chunk = samples[start : start + size]
            self._levels.extend(np.mean(np.square(chunk.reshape(-1, HOP_LENGTH)), axis=1).tolist())
            phones = self._listener.hear(chunk).phones
            self._frames += len(phones)
            for heard in self._recognizer.process(phones):
                sentences.append(self._sentence(heard))
            self.woken += [self._sentence(heard) for heard in self._recognizer.woken]
        return sentences

    def _take_new_commands(self) -> None:
        """Listen for what may be said by now; a sentence that has begun is heard to its end before."""
        commands = self._commands()
        if commands is self._heard or self._recognizer.speaking:
            return
        least_certainty = self._recognizer.least_certainty
        self._heard = commands
        self._recognizer = self._new_recognizer(commands)
        self._recognizer.least_certainty = least_certainty
        self._recognizer.reset(at=self._frames)

    @property
    def least_certainty(self) -> float:
        """Sentences below it are refused; may be changed at any time."""
        return self._recognizer.least_certainty

    @least_certainty.setter
    def least_certainty(self, certainty: float) -> None:
        self._recognizer.least_certainty = certainty

    def reset(self) -> None:
        """Forget everything heard, like a new stream."""
        self._listener.reset()
        self._recognizer.reset()
        self._waiting = np.zeros(0, np.float32)
        self._frames = 0
        self._levels.clear()
        self.woken = []

    def _sentence(self, heard: Heard) -> Sentence:
        if heard.refusal in (Refusal.NOISE, Refusal.UNCERTAIN) and self._quiet(heard.end - heard.begin + 1):
            heard = replace(heard, refusal=Refusal.TOO_QUIET)
        last = heard.end
        if heard.recognition is not None:
            last = heard.begin + heard.recognition.ends[-1]
        ended_at = max(0, HOP_LENGTH * (last + 1) - self._latency) / SAMPLE_RATE
        return Sentence(heard, ended_at, HOP_LENGTH * self._frames / SAMPLE_RATE)

    def _quiet(self, n_hops: int) -> bool:
        """Whether nothing in the last hops was loud enough to be speech beside a microphone."""
        return max(list(self._levels)[-n_hops:], default=0.0) < 10 ** (_QUIET_DB / 10)
