"""Measures the time from mouth to ear: a sound goes out, comes back in, and its copy on the way out again is found.

Everything is counted in samples of the playback, so that no clock and no driver's word is needed: the test sound is
put at a known place of what is played, comes back over a cable, a virtual device or the air, goes through the device's
input and whatever is measured, and is found again in what is about to be played. The distance of the two places is the
time from a sound at the microphone to its copy at the speaker. What is about to be played is never played, so nothing
can howl.
"""

from __future__ import annotations

import itertools
import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.devices.port import AudioPort, PortCounters
from edgevc.errors import AudioDeviceError

FloatArray = NDArray[np.float32]

MIN_CONFIDENCE_DB = 5.0
"""Noise alone gives 0 to 2 dB; a chirp over a cable more than 30; a converted voice, found by its loudness, 8 to 10."""
LISTEN_S = 1.5
"""After the test sound has ended; the longest latency that can be found."""
_SETTLE_S = 0.5
_LOBE_S = 0.03
"""What lies so near to the peak is its own doing: the chirp's side lobes, the first echoes of a room."""
_FIRST_ARRIVAL = 0.5
"""The direct sound may be weaker than an echo of it, but hardly by more than this factor."""
_FRAME_S = 0.001
_CHANGE_FRAMES = 8


@dataclass(frozen=True)
class Found:
    """Where a test sound begins in a recording."""

    position: float
    """Samples."""
    confidence_db: float
    """Height of the peak above the highest value elsewhere."""


@dataclass(frozen=True)
class Latency:
    """What several repetitions gave."""

    milliseconds: float
    """Median."""
    least: float
    most: float
    queue_ms: float
    """Of it in edgevc's two queues."""
    confidence_db: float
    """Of the worst repetition that counts."""
    repetitions: int
    """That count."""
    discarded: int
    """During which the device lost samples."""


def chirp(rate: int, seconds: float = 0.1, low_hz: float = 300.0, high_hz: float = 6000.0) -> FloatArray:
    """Return a sweep whose frequency rises linearly, full scale, faded in and out over a tenth of its length each."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (low_hz * t + 0.5 * (high_hz - low_hz) / seconds * t**2)
    fade = np.minimum(1.0, np.minimum(t, seconds - t) / (0.1 * seconds))
    sweep: FloatArray = (np.sin(phase) * np.sin(0.5 * np.pi * np.clip(fade, 0, 1)) ** 2).astype(np.float32)
    return sweep


def find_sound(recording: FloatArray, sound: FloatArray, rate: int) -> Found:
    """Return where `sound` is, by matched filter; its sign does not matter.

    Args:
        recording: float32 (T,).
        sound: float32 (N,), N <= T, as it was sent.
        rate: Hz of both.
    """
    n = 1 << (len(recording) + len(sound)).bit_length()
    product = np.fft.rfft(recording, n) * np.conj(np.fft.rfft(sound, n))
    # the analytic signal: its magnitude has one peak where the correlation swings
    spectrum = np.zeros(n, np.complex128)
    spectrum[: len(product)] = product
    spectrum[1 : n // 2] *= 2
    return _peak(np.abs(np.fft.ifft(spectrum))[: len(recording)], rate)


def syllables(rate: int, seconds: float = 1.6, seed: int = 1) -> FloatArray:
    """Return voiced sounds of irregular lengths and pitches, full scale: their copy in a voice has the same onsets."""
    rng = np.random.default_rng(seed)
    f0: list[NDArray[np.float64]] = []
    loudness: list[NDArray[np.float64]] = []
    while sum(len(part) for part in f0) < seconds * rate:
        on, off = round(rng.uniform(0.06, 0.2) * rate), round(rng.uniform(0.03, 0.12) * rate)
        f0.append(rng.uniform(110, 220) * np.geomspace(1, rng.uniform(0.8, 1.25), on))
        f0.append(np.full(off, f0[-1][-1]))
        edge = np.minimum(np.arange(on), np.arange(on)[::-1]) / (0.008 * rate)
        loudness += [rng.uniform(0.5, 1) * np.minimum(1, edge), np.zeros(off)]
    n = round(seconds * rate)
    hertz = np.concatenate(f0)[:n]
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    sound = np.zeros(n)
    for k in range(1, 40):
        sound += np.sin(k * phase) / k**0.8 * (k * hertz < 7000)
    sound *= np.concatenate(loudness)[:n]
    voiced: FloatArray = (sound / np.abs(sound).max()).astype(np.float32)
    return voiced


def find_by_envelope(recording: FloatArray, copies: Sequence[FloatArray], rate: int) -> Found:
    """Return where something with the loudness of a sound in time and frequency is; its waveform may differ.

    The voice that a converter makes has another phase each time, and its onsets move by some milliseconds with the
    place of the sound in the converter's 10 ms frames. With copies from several places the error is 0.5 ms RMS.

    Args:
        recording: float32 (T,).
        copies: of what is to be expected, float32 (N,), N <= T, all of the same length and aligned.
        rate: Hz of all.
    """
    heard = _bands(recording, rate)
    expected = np.mean([_bands(copy, rate) for copy in copies], axis=0)
    n = 1 << (len(heard) + len(expected)).bit_length()
    product = np.fft.rfft(heard, n, axis=0) * np.conj(np.fft.rfft(expected, n, axis=0))
    score = np.fft.irfft(product.sum(axis=1), n)[: len(heard)]
    found = _peak(np.maximum(score, 0.0), round(1 / _FRAME_S))
    return Found(found.position * _FRAME_S * rate, found.confidence_db)


def _bands(samples: FloatArray, rate: int) -> NDArray[np.float64]:
    """Return log energies (L, 12) of frames of 16 ms, one each millisecond, without their mean."""
    hop, length = round(_FRAME_S * rate), round(0.016 * rate)
    padded = np.concatenate([np.zeros(length // 2), samples, np.zeros(length)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[: len(samples) : hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(length), axis=1)) ** 2
    edges = np.geomspace(200, 7000, 13) / rate * length
    columns = [power[:, int(a) : max(int(b), int(a) + 1)].sum(axis=1) for a, b in itertools.pairwise(edges)]
    energy = np.stack(columns, axis=1)
    # quiet frames say little: a floor 40 dB below the loudest
    log = np.log(energy + 1e-4 * energy.max() + 1e-12)
    # what begins and ends says where it is; what lasts, silence above all, is alike everywhere
    return np.asarray(log[_CHANGE_FRAMES:] - log[:-_CHANGE_FRAMES])


def _peak(score: NDArray[np.float64], rate: int) -> Found:
    lobe = round(_LOBE_S * rate)
    highest = int(np.argmax(score))
    top = float(score[highest])
    if top <= 0:
        return Found(0.0, 0.0)
    start = max(highest - lobe, 0)
    before = score[start : highest + 1]
    # the first local maximum that is high enough is the direct sound
    rises = np.flatnonzero((before[1:-1] >= before[:-2]) & (before[1:-1] > before[2:])) + 1
    early = [int(i) + start for i in rises if before[i] >= _FIRST_ARRIVAL * top and highest - start - i > 0.001 * rate]
    index = early[0] if early else highest
    elsewhere = np.concatenate([score[: max(index - lobe, 0)], score[index + lobe + 1 :]])
    side = float(elsewhere.max()) if len(elsewhere) else 0.0
    confidence = 20 * np.log10(float(score[index]) / side) if side > 0 else 120.0
    return Found(index + _parabola(score, index), float(min(confidence, 120.0)))


def _parabola(score: NDArray[np.float64], index: int) -> float:
    """Return how far from `index` the peak lies that goes through it and its neighbours, -0.5 to 0.5."""
    if not 0 < index < len(score) - 1:
        return 0.0
    a, b, c = (float(value) for value in score[index - 1 : index + 2])
    bend = a - 2 * b + c
    return float(np.clip(0.5 * (a - c) / bend, -0.5, 0.5)) if bend < 0 else 0.0


class ProbePort(AudioPort):
    """A port that plays a test sound at a known place, and keeps what it is given to play instead of playing it."""

    def __init__(self, port: AudioPort) -> None:
        """`port` is the real one, not started."""
        self._port = port
        self.input_rate, self.output_rate = port.input_rate, port.output_rate
        self.block_length = port.block_length
        self.input_latency, self.output_latency = port.input_latency, port.output_latency
        self.paced, self.shared_clock = port.paced, port.shared_clock
        self._lock = threading.Lock()
        self._pending: FloatArray | None = None
        self._sound_at = 0
        self._position = 0
        self._kept: list[FloatArray] = []
        self._queued: list[float] = []
        self._started = False

    def send(self, sound: FloatArray) -> None:
        """Play `sound` from the next written sample on; forget what was kept."""
        with self._lock:
            self._pending = sound
            self._sound_at = self._position
            self._kept = []
            self._queued = []

    def kept(self) -> FloatArray:
        """Return what was to be played since the test sound's first sample."""
        with self._lock:
            return np.concatenate(self._kept) if self._kept else np.zeros(0, np.float32)

    def queue_ms(self) -> float:
        """Return how much waited in both queues since `send`, the median.

        A device brings a block for each that it takes, so this does not depend on when it is looked at, and a sample
        spends exactly this time between the device's input and its output.
        """
        with self._lock:
            return 1000 * statistics.median(self._queued) if self._queued else 0.0

    def write(self, samples: FloatArray) -> int:
        """Play the test sound, or silence, in place of `samples`."""
        with self._lock:
            played = np.zeros(len(samples), np.float32)
            if self._pending is not None:
                done = self._position - self._sound_at
                part = self._pending[done : done + len(samples)]
                played[: len(part)] = part
            n = self._port.write(played)
            self._kept.append(samples[:n].copy())
            self._position += n
            return n

    def start(self) -> None:
        """Start the port unless it runs: its own share differs from start to start."""
        if not self._started:
            self._port.start()
            self._started = True

    def stop(self) -> None:
        """Empty the capture queue; `close` stops the port."""
        self._port.discard(self._port.available())

    def close(self) -> None:
        """Stop the port."""
        self._port.stop()

    def wait(self, n: int, timeout: float) -> bool:
        """See the port."""
        return self._port.wait(n, timeout)

    def available(self) -> int:
        """See the port."""
        return self._port.available()

    def read_into(self, out: FloatArray) -> int:
        """See the port."""
        with self._lock:
            waiting = self._port.available() / self.input_rate + self._port.playback_fill() / self.output_rate
            self._queued.append(waiting)
        return self._port.read_into(out)

    def discard(self, n: int) -> int:
        """See the port."""
        return self._port.discard(n)

    def playback_fill(self) -> int:
        """See the port."""
        return self._port.playback_fill()

    def counters(self) -> PortCounters:
        """See the port."""
        return self._port.counters()

    @property
    def failure(self) -> str | None:
        """See the port."""
        return self._port.failure


class PassThrough:
    """Lower bound of the latency: a pass-through with one block of buffering."""

    def __init__(self, port: AudioPort) -> None:
        """Start the port, whose two rates must be equal."""
        if port.input_rate != port.output_rate:
            raise AudioDeviceError(
                f"the devices' own share is measured at one rate, got {port.input_rate} and {port.output_rate} Hz; "
                "use one device for both"
            )
        self._port = port
        self._block = np.zeros(port.block_length, np.float32)
        port.start()

    def step(self) -> None:
        """Take one block through.

        Raises:
            AudioDeviceError: the device stopped working.
        """
        if not self._port.wait(len(self._block), 0.25):
            if self._port.failure is not None:
                raise AudioDeviceError(f"the device stopped working: {self._port.failure}; see `edgevc doctor`")
            return
        n = self._port.read_into(self._block)
        if self._port.playback_fill() < len(self._block) // 2:
            # the device is about to run dry: the reserve, once
            self._port.write(np.zeros(len(self._block), np.float32))
        self._port.write(self._block[:n])


def measure(
    port: ProbePort,
    sound: FloatArray,
    find: Callable[[FloatArray], Found],
    run_for: Callable[[float], None],
    repetitions: int = 5,
    progress: Callable[[int], None] = lambda _: None,
) -> Latency:
    """Send `sound` again and again through what runs at the port, and find it.

    Args:
        port: is being written to.
        sound: float32 (N,), at the port's output rate.
        find: finds it in float32 (T,), positions in samples at the output rate.
        run_for: lets so many seconds pass.
        repetitions: that are wanted.
        progress: told each repetition's number.

    Raises:
        AudioDeviceError: nothing was heard, or the device loses samples all the time.
    """
    run_for(_SETTLE_S)
    heard: list[tuple[Found, float]] = []
    discarded = 0
    for number in range(repetitions):
        progress(number + 1)
        before = _lost(port.counters())
        port.send(sound)
        run_for(len(sound) / port.output_rate + LISTEN_S)
        recording = port.kept()
        if _lost(port.counters()) != before or len(recording) < len(sound):
            discarded += 1
        else:
            heard.append((find(recording), port.queue_ms()))
    if not heard:
        raise AudioDeviceError(
            f"the device lost samples in each of {repetitions} repetitions; use larger blocks (--block-ms), "
            "see `edgevc doctor`"
        )
    return summarize(heard, port.output_rate, discarded)


def _lost(counters: PortCounters) -> tuple[int, int, int]:
    return counters.input_overflows, counters.output_underflows, counters.captured_samples_lost


def summarize(heard: Sequence[tuple[Found, float]], rate: int, discarded: int = 0) -> Latency:
    """Return the median of those that are sure.

    Args:
        heard: what was found, and the milliseconds in both queues meanwhile.
        rate: Hz.
        discarded: repetitions that do not count.

    Raises:
        AudioDeviceError: less than half of them are sure.
    """
    sure = [(found, queue) for found, queue in heard if found.confidence_db >= MIN_CONFIDENCE_DB]
    if 2 * len(sure) < len(heard) or not sure:
        best = max((found.confidence_db for found, _ in heard), default=0.0)
        raise AudioDeviceError(
            f"nothing was heard of the test sound (peak to side {best:.1f} dB, {MIN_CONFIDENCE_DB:g} are needed); "
            "connect output and input by a cable or hold the microphone to the speaker, unmute both, raise --level"
        )
    times = [1000 * found.position / rate for found, _ in sure]
    return Latency(
        statistics.median(times),
        min(times),
        max(times),
        statistics.median(queue for _, queue in sure),
        min(found.confidence_db for found, _ in sure),
        len(sure),
        discarded + len(heard) - len(sure),
    )
