"""What tests of the live session put in place of a converter, a microphone and a loudspeaker."""

import copy

import numpy as np

from edgevc.converter import VoiceSettings
from edgevc.live.config import LiveConfig
from edgevc.live.session import LiveSession
from edgevc.testing.simulated_port import FakePort, SimulatedClock

RATE = 16_000
HOP = 160
QUIET = LiveConfig(realtime=False, feedback_guard=False)
"""No real-time priority for tests, and no guard that listens to noise."""


class PlainStream:
    """Gives each voice's own factor times the input, delayed by the converter's latency."""

    def __init__(self, converter, voice, settings):
        self.converter, self.voice, self.settings = converter, voice, settings
        self.line = np.zeros(converter.latency, np.float32)
        self.phones = None
        self.n_bad_frames = self.n_model_resets = 0

    def process(self, samples):
        self.converter.calls += 1
        self.converter.work(len(samples) // HOP)
        # one phone: how loud the hop is
        self.phones = np.abs(samples).reshape(-1, HOP).max(1, keepdims=True)
        line = np.concatenate([self.line, samples])
        self.line = line[len(samples) :]
        return line[: len(samples)] * np.float32(self.converter.voices[self.voice])

    def hear(self, samples):
        self.converter.heard += 1
        self.phones = np.abs(samples).reshape(-1, HOP).max(1, keepdims=True)

    def fork(self, voice=None, converter=None):
        twin = copy.copy(self)
        twin.converter = converter or self.converter
        twin.voice = voice or self.voice
        return twin


class PlainConverter:
    """A converter that costs nothing, or what `cost` says: seconds of simulated time for so many hops."""

    voices = {"half": 0.5, "quarter": 0.25}  # noqa: RUF012
    made_with = "model plain"

    def __init__(self, chunk_hops=1, latency=480, clock=None, cost=None):
        self.chunk_hops, self.latency = chunk_hops, latency
        self.clock, self.cost = clock, cost
        self.calls = self.heard = 0
        self.streams = []

    def work(self, hops):
        if self.cost is not None:
            self.clock.advance(self.cost(self.clock.now(), hops))

    def stream(self, voice, settings=None):
        self.streams.append(PlainStream(self, voice, settings or VoiceSettings()))
        return self.streams[-1]


class Tape:
    """What the loudspeaker played, by position."""

    def __init__(self):
        self.blocks = []

    def __call__(self, position, block):
        self.blocks.append(block)

    @property
    def samples(self):
        return np.concatenate(self.blocks) if self.blocks else np.zeros(0, np.float32)


def noise(seconds, rate=RATE, seed=3, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def playing(samples):
    """A source that plays an array once, then silence."""

    def source(position, n):
        block = np.zeros(n, np.float32)
        piece = samples[position : position + n]
        block[: len(piece)] = piece
        return block

    return source


class Stage:
    """A session on simulated devices, moved by the test."""

    def __init__(self, source, config=QUIET, converters=None, cost=None, **port):
        self.clock = SimulatedClock()
        self.tape = Tape()
        self.source = source
        self.port_arguments = port
        self.plugged_in = True
        self.ports = []
        self.attempts = []
        if converters is None:
            sizes = [hops for hops in (1, 2, 4) if hops >= config.chunk_hops and config.overload == "batch"]
            sizes = sizes or [config.chunk_hops]
            converters = {hops: PlainConverter(hops, clock=self.clock, cost=cost) for hops in sizes}
        self.converters = converters
        self.session = LiveSession(config, open_port=self.open_port, converters=converters, clock=self.clock)

    def open_port(self):
        from edgevc.errors import AudioDeviceError

        self.attempts.append(self.clock.now())
        if not self.plugged_in:
            raise AudioDeviceError("no such device")
        port = FakePort(self.clock, self.source, self.tape, **self.port_arguments)
        self.ports.append(port)
        return port

    @property
    def port(self):
        return self.ports[-1]

    def run(self, seconds, do=None):
        """Let the session run until so much simulated time has passed; `do()` before each step."""
        if not self.ports:
            self.session.open()
        end = self.clock.now() + seconds
        while self.clock.now() < end - 1e-9:
            if do is not None:
                do()
            self.session.step()

    @property
    def stats(self):
        return self.session.stats()


def delay_of(output, samples, start=0):
    """The delay at which `output` repeats `samples`, by correlation; start: of the output, in samples."""
    n = 1 << int(np.ceil(np.log2(len(output) - start + len(samples))))
    spectrum = np.fft.rfft(output[start:], n) * np.conj(np.fft.rfft(samples[start:], n))
    return int(np.argmax(np.fft.irfft(spectrum, n)))
