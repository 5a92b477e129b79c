"""Commands out of sound: an encoder and a command set, and a stream of them for each microphone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.arrays import as_mono_float32, require_finite
from edgevc.bundle import ModelBundle
from edgevc.converter.fits import require_fit
from edgevc.converter.listener import Listener
from edgevc.engines import choose_engine, load_graph
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.recognition.command_set import CommandSet
from edgevc.recognition.recognizer import LEAST_CERTAINTY, CommandRecognizer, Heard


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
    ) -> None:
        """Load the encoder.

        Args:
            commands: compiled for the bundle's phones.
            bundle: whose encoder hears.
            engine: "auto", "litert" or "onnx".
            chunk_hops: hops of 10 ms per call; more cost less CPU and notice an end later.
            least_certainty: see `CommandRecognizer`.

        Raises:
            EngineError, ModelError: as `edgevc.engines.load_graph`.
        """
        require_fit(bundle)
        self.commands = commands
        self.bundle = bundle
        self._least_certainty = least_certainty
        self._encoder = load_graph(bundle, "encoder", choose_engine(bundle, engine), chunk_hops)

    def stream(self) -> CommandStream:
        """Return what hears one microphone; one thread uses it at a time."""
        listener = Listener(self.bundle, self._encoder)
        recognizer = self.commands.recognizer(least_certainty=self._least_certainty)
        return CommandStream(listener, recognizer, self.bundle.latency.latency_samples)


class CommandStream:
    """Hears one microphone."""

    def __init__(self, listener: Listener, recognizer: CommandRecognizer, latency: int) -> None:
        """Use `SpokenCommands.stream` instead; `latency` is that of the listener's phones, in samples."""
        self._listener = listener
        self._recognizer = recognizer
        self._latency = latency
        self._waiting = np.zeros(0, np.float32)
        self._frames_before = 0
        self._frames = 0

    def process(self, samples: NDArray[np.float32]) -> list[Sentence]:
        """Hear mono samples, float32 (T,) at 16 kHz, any T; return the sentences that ended in them.

        Raises:
            TypeError: not float32.
            ConfigError: not one channel, or a value is not finite.
        """
        samples = as_mono_float32(samples)
        require_finite(samples)
        samples = np.concatenate([self._waiting, samples])
        size = self._listener.chunk_samples
        n_whole = len(samples) // size * size
        self._waiting = samples[n_whole:].copy()
        sentences = []
        for start in range(0, n_whole, size):
            phones = self._listener.hear(samples[start : start + size]).phones
            self._frames += len(phones)
            for heard in self._recognizer.process(phones):
                sentences.append(self._sentence(heard))
        return sentences

    def reset(self) -> None:
        """Forget everything heard, like a new stream."""
        self._listener.reset()
        self._recognizer.reset()
        self._waiting = np.zeros(0, np.float32)
        self._frames_before = self._frames = 0

    def _sentence(self, heard: Heard) -> Sentence:
        last = heard.end
        if heard.recognition is not None:
            # ends count from the end of the sentence before
            last = self._frames_before + heard.recognition.ends[-1]
        self._frames_before = heard.end + 1
        ended_at = max(0, HOP_LENGTH * (last + 1) - self._latency) / SAMPLE_RATE
        return Sentence(heard, ended_at, HOP_LENGTH * self._frames / SAMPLE_RATE)
