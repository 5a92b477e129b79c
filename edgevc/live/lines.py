"""The two ends of the frame scheduler: samples from the device to 16 kHz, and back to the device."""

from __future__ import annotations

import logging
import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edgevc.converter.stream import without_bad
from edgevc.devices.port import AudioPort
from edgevc.dsp.resample import AdaptiveResampler, Resampler
from edgevc.limits import SAMPLE_RATE
from edgevc.live.meters import Meters

_LOG = logging.getLogger(__name__)

_FADE_IN = 64
_SHORTEST_FADE = 80
# Pieces of output that are kept: more than the longest tail needs, since some may be short.
_KEPT_PIECES = 16


class CaptureLine:
    """What the device brings: its capture queue, a resampler to 16 kHz, and the chunk that is being filled."""

    def __init__(self, port: AudioPort, meters: Meters) -> None:
        """`port`'s input side is read here alone; bad and skipped samples are counted in `meters`."""
        self._port = port
        self._meters = meters
        # None at equal rates, where there is nothing to do
        self._resampler = Resampler(port.input_rate, SAMPLE_RATE) if port.input_rate != SAMPLE_RATE else None
        self._pending = np.zeros(0, np.float32)
        self._replaced = 0
        self.to_hops = SAMPLE_RATE / port.input_rate
        """Samples at 16 kHz for each of the device's."""
        self.n_read = 0
        """Of the device's samples, those that came through here, dropped ones included."""

    @property
    def latency(self) -> float:
        """Of the resampler, samples at 16 kHz."""
        return float(self._resampler.latency) if self._resampler is not None else 0.0

    @property
    def pending(self) -> int:
        """Samples at 16 kHz of the chunk that is being filled."""
        return len(self._pending)

    def missing(self, chunk: int) -> int:
        """Return the device's samples that fill a chunk of so many samples at 16 kHz."""
        return max(0, math.ceil((chunk - len(self._pending)) / self.to_hops))

    def take(self, n: int, chunk: int) -> NDArray[np.float32] | None:
        """Read n of the device's samples; return a chunk at 16 kHz, or None where some of it was skipped."""
        captured = np.empty(n, np.float32)
        taken = self._port.read_into(captured)
        self.n_read += taken
        samples = self._at_16k(captured if taken == n else captured[:taken])
        self._pending = np.concatenate([self._pending, samples]) if len(self._pending) else samples
        if len(self._pending) < chunk:
            return None
        dry, self._pending = self._pending[:chunk], self._pending[chunk:]
        return self.clean(dry)

    def rest(self, n: int) -> NDArray[np.float32]:
        """The input is over: return all that waits at 16 kHz, and n samples of silence."""
        waiting = np.zeros(self._port.available(), np.float32)
        self._port.read_into(waiting)
        end = np.zeros(n + round(self.latency), np.float32)
        line = np.concatenate([self._pending, self._at_16k(waiting), end])
        self._pending = np.zeros(0, np.float32)
        return line

    def skip(self, n: float) -> float:
        """Drop the oldest input, n samples at 16 kHz at most, and count it; return how many they were."""
        pending = min(len(self._pending), int(n))
        self._pending = self._pending[pending:]
        dropped = pending + self.discard(n - pending)
        self._meters.dropped_samples += dropped
        return dropped

    def discard(self, n: float) -> float:
        """Drop n samples at 16 kHz of the device's queue at most, uncounted; return how many they were."""
        dropped = self._port.discard(max(0, round(n / self.to_hops)))
        self.n_read += dropped
        return dropped * self.to_hops

    def clean(self, dry: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take what is no sound as silence, and count it: one NaN would stay in a filter for ever."""
        dry, n_bad = without_bad(dry)
        if self._resampler is not None:
            replaced = self._resampler.replaced_samples
            n_bad += replaced - self._replaced
            self._replaced = replaced
        if n_bad and not self._meters.bad_samples:
            _LOG.warning(
                "the device brings samples that are no sound (not finite, or absurdly large); taken as silence"
            )
        self._meters.bad_samples += n_bad
        return dry

    def _at_16k(self, captured: NDArray[np.float32]) -> NDArray[np.float32]:
        return captured if self._resampler is None else self._resampler.process(captured)


class PlaybackLine:
    """What the device plays: a resampler to its rate, its playback queue, and output that is stretched without a click.

    The attributes `fade_in`, `correction` and `ahead` say what is to be done to the next output.
    """

    def __init__(self, port: AudioPort, meters: Meters, longest_chunk: int) -> None:
        """`port`'s output side is written here alone; `longest_chunk` in samples at 16 kHz."""
        self._port = port
        self._meters = meters
        follow = port.paced and not port.shared_clock
        self.adaptive = AdaptiveResampler(SAMPLE_RATE, port.output_rate) if follow else None
        """Follows the device's clock; None where there is only one."""
        # what follows no clock costs no latency at equal rates
        self._resampler: Resampler | AdaptiveResampler | None = self.adaptive
        if self._resampler is None and port.output_rate != SAMPLE_RATE:
            self._resampler = Resampler(SAMPLE_RATE, port.output_rate)
        self.from_hops = SAMPLE_RATE / port.output_rate
        """Samples at 16 kHz for each of the device's."""
        # the last output, long enough to lengthen it for the largest chunk
        self._tail_length = longest_chunk
        self._played = deque([np.zeros(longest_chunk, np.float32)], maxlen=_KEPT_PIECES)
        self.n_written = 0
        """Of the device's samples."""
        self.fade_in = False
        """The output ran dry: what comes next begins softly."""
        self.correction = 0
        """Samples by which the next output is made longer, or shorter where negative."""
        self.ahead = 0
        """Samples at 16 kHz that were written ahead as silence, and must not be written again."""

    @property
    def latency(self) -> float:
        """Of the resampler, samples at 16 kHz."""
        return self._resampler.latency * self.from_hops if self._resampler is not None else 0.0

    def write(self, wet: NDArray[np.float32]) -> None:
        """Play the output of a chunk, with what is to be done to it."""
        if self.correction:
            longer = self.fit(wet, self.correction)
            self._meters.dropped_samples += max(0, len(wet) - len(longer))
            wet, self.correction = longer, 0
        if self.ahead:
            n = min(self.ahead, len(wet))
            self.ahead -= n
            wet = wet[n:]
        if self.fade_in and len(wet):
            wet = wet.copy()
            n = min(_FADE_IN, len(wet))
            wet[:n] *= np.linspace(0, 1, n, dtype=np.float32)
            self.fade_in = False
        self._played.append(wet)
        self._meters.playback_fill_ms.add(1000 * self._port.playback_fill() / self._port.output_rate)
        self.play(wet)

    def play(self, samples: NDArray[np.float32]) -> None:
        """Append samples at 16 kHz to the playback queue as they are."""
        resampled = samples if self._resampler is None else self._resampler.process(samples)
        self.n_written += self._port.write(resampled)

    def flush(self) -> None:
        """The output is over: let out what the resampler holds."""
        if self._resampler is not None:
            self._port.write(self._resampler.flush())

    def fit(self, wet: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """Return the output n samples longer, or -n shorter, as far as its own length allows, without a click.

        The end of what was played before, or this output's own end, fades into its beginning.
        """
        if n > 0:
            tail = np.concatenate(self._played)[-self._tail_length :]
            n = min(n, len(wet), len(tail))
            ramp = np.linspace(0, 1, n, dtype=np.float32)
            return np.concatenate([wet[:n] * (1 - ramp) + tail[-n:] * ramp, wet])
        if n < 0:
            kept = max(min(_SHORTEST_FADE, len(wet)), len(wet) + n)
            ramp = np.linspace(0, 1, kept, dtype=np.float32)
            return wet[:kept] * (1 - ramp) + wet[-kept:] * ramp
        return wet
