"""Whether a sound carries the watermark, and from where to where; a file is judged as a stream is.

The answer is "marked" or "no mark found", never "natural": a mark may be lost on the way, and anybody can take it away
or put it on any sound. It is a label, not evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.arrays import as_mono_float32, require_finite
from edgevc.dsp.resample import Resampler, resample
from edgevc.errors import ConfigError
from edgevc.limits import LARGEST_SAMPLE, SAMPLE_RATE
from edgevc.mark.correlator import FloatArray, Match, along, match, rows

WINDOW_SECONDS, STEP_SECONDS = 10.0, 5.0
"""What is judged at once, and how far apart."""
LEAST_SECONDS = 2.5
"""Less than this says too little."""
STEADY_SECONDS = 5.0
"""In less than this a clock that is 0.6 % wrong does no harm."""

THRESHOLD_SHORT, THRESHOLD, THRESHOLD_MANY, THRESHOLD_SEARCH = 4.75, 5.1, 5.65, 6.2
"""Least score of a mark: in one window of up to STEADY_SECONDS; in one that is longer, in which clocks are searched; in
one of many windows; and where changes of speed and pitch are searched, too. docs/results/mark.md says how often sounds
that are not marked have more."""

CLOCKS = tuple(step / 1000 for step in range(-6, 7))
"""Speeds of recorders and players whose clocks are wrong."""
SPEEDS = tuple(step / 1000 for step in range(-70, 71))
"""Speeds that `search` tries."""
PITCHES = (0.0, -0.06, -0.04, -0.02, 0.02, 0.04, 0.06)
"""Changes of all frequencies that `search` tries with each of the speeds: one semitone is 0.059."""


@dataclass(frozen=True)
class Window:
    """A stretch that was judged as a whole."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    score: float
    """In standard deviations of what patterns of other keys give."""
    marked: bool
    speed: float
    """By which time was stretched when it was found, such as 0.02; 0 where it was not, or nothing was found."""
    span: tuple[float, float] | None
    """Seconds from where to where the mark is heard, within a second or so; None where it is not."""


@dataclass(frozen=True)
class Detection:
    """What was found in a sound."""

    marked: bool
    score: float
    """The largest of its windows."""
    threshold: float
    """What the score has to be above."""
    seconds: float
    """Of sound."""
    spans: tuple[tuple[float, float], ...]
    """Seconds from where to where the mark is heard, within a second or so."""


class MarkDetector:
    """Looks for the watermark in a stream, window by window. One thread uses it at a time.

    However the stream is cut, the windows are the same.

    Example:
        >>> import numpy
        >>> from edgevc.mark.detector import MarkDetector
        >>> detector = MarkDetector(8_000)
        >>> detector.process(numpy.zeros(24_000, numpy.float32))
        []
        >>> detector.finish().marked
        False
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, *, search: bool = False) -> None:
        """Start.

        Args:
            sample_rate: hertz, 4000 to 192000.
            search: look for changed speed and pitch, too; takes a second of computing for each window.

        Raises:
            ConfigError: the rate is out of range.
        """
        self._sample_rate = sample_rate
        self._search = search
        self._resampler = None if sample_rate == SAMPLE_RATE else Resampler(sample_rate, SAMPLE_RATE)
        # what the resampler delays is no sound
        self._skip = 0 if self._resampler is None else self._resampler.latency
        self._line = np.zeros(0, np.float32)
        # joined to the line when a window is complete: blocks may be small
        self._parts: list[NDArray[np.float32]] = []
        self._n_waiting = 0
        self._start = self._n_windows = 0
        self._best: Window | None = None
        self._spans: list[tuple[float, float]] = []

    @property
    def seconds(self) -> float:
        """Of sound so far."""
        return (self._start + len(self._line) + self._n_waiting) / SAMPLE_RATE

    def process(self, samples: NDArray[np.float32]) -> list[Window]:
        """Take any number of samples, float32 (T,), T >= 0; return the windows that they complete.

        A window that is the only one of a short sound is judged anew by `finish`, with a lower threshold.

        Raises:
            TypeError: the samples are not float32.
            ConfigError: the samples are not one-dimensional, not finite or beyond 1e6.
        """
        samples = as_mono_float32(samples)
        require_finite(samples, largest=LARGEST_SAMPLE)
        self._append(samples if self._resampler is None else self._resampler.process(samples))
        windows = []
        length, step = round(WINDOW_SECONDS * SAMPLE_RATE), round(STEP_SECONDS * SAMPLE_RATE)
        while len(self._line) + self._n_waiting >= length + (step if self._n_windows else 0):
            self._join()
            if self._n_windows:
                # the window before is kept: the sound may end soon, and its last seconds be judged with it
                self._line = self._line[step:]
                self._start += step
            windows.append(self._judge(self._line[:length], self._start, THRESHOLD_MANY))
        return windows

    def finish(self) -> Detection:
        """Return what was found in all of it; the detector takes no more.

        Raises:
            ConfigError: there were less than LEAST_SECONDS of sound.
        """
        if self._resampler is not None:
            self._append(self._resampler.flush())
        self._join()
        if self.seconds < LEAST_SECONDS:
            raise ConfigError(
                f"a watermark needs at least {LEAST_SECONDS:g} s of sound to be found, got {self.seconds:.2f} s; "
                "take a longer piece"
            )
        length = round(WINDOW_SECONDS * SAMPLE_RATE)
        n_left = len(self._line) - (length if self._n_windows else 0)
        threshold = THRESHOLD_MANY
        if self._n_windows + (n_left > 0) == 1:
            threshold = THRESHOLD_SHORT if self.seconds <= STEADY_SECONDS else THRESHOLD
            self._best, self._spans, n_left = None, [], len(self._line)
        if n_left:
            last = self._line[-length:]
            self._judge(last, self._start + len(self._line) - len(last), threshold)
        score = 0.0 if self._best is None else self._best.score
        least = THRESHOLD_SEARCH if self._search else threshold
        return Detection(bool(self._spans), score, least, self.seconds, tuple(self._spans))

    def _append(self, samples: NDArray[np.float32]) -> None:
        dropped = min(self._skip, len(samples))
        self._skip -= dropped
        # a copy: the caller may write into its array again
        self._parts.append(samples[dropped:].copy())
        self._n_waiting += len(samples) - dropped

    def _join(self) -> None:
        self._line = np.concatenate([self._line, *self._parts])
        self._parts, self._n_waiting = [], 0

    def _judge(self, samples: NDArray[np.float32], start: int, threshold: float) -> Window:
        self._n_windows += 1
        if self._search:
            threshold = THRESHOLD_SEARCH
            found, best, scale = _searched(samples)
        else:
            found, scale = rows(samples), 1.0
            best = match(found, CLOCKS if len(samples) > STEADY_SECONDS * SAMPLE_RATE else (0.0,))
        first, marked = start / SAMPLE_RATE, best.score > threshold
        span = None
        if marked:
            begin, end = _stretch(along(found, best))
            seconds = len(samples) / SAMPLE_RATE / found.shape[1]
            span = (first + begin * seconds, first + end * seconds)
            self._add(span)
        speed = (1 + best.speed) * scale - 1 if marked else 0.0
        window = Window(first, first + len(samples) / SAMPLE_RATE, best.score, marked, speed, span)
        if self._best is None or window.score > self._best.score:
            self._best = window
        return window

    def _add(self, span: tuple[float, float]) -> None:
        """Join what touches."""
        if self._spans and span[0] <= self._spans[-1][1] + 1.0:
            start, end = self._spans.pop()
            span = (min(start, span[0]), max(end, span[1]))
        self._spans.append(span)


def detect(samples: NDArray[np.float32], sample_rate: int = SAMPLE_RATE, *, search: bool = False) -> Detection:
    """Look for the watermark in a sound.

    Args:
        samples: float32 (T,), mono, at least 2.5 s.
        sample_rate: hertz, 4000 to 192000.
        search: look for changed speed (up to 7 %) and pitch (up to a semitone), too; slow.

    Raises:
        TypeError: the samples are not float32.
        ConfigError: the samples are too short, not one-dimensional, not finite or beyond 1e6, or the rate is out of
            range.

    Example:
        >>> import edgevc
        >>> audio, rate = edgevc.read("examples/sentence.wav")
        >>> edgevc.detect(audio, rate).marked
        False
        >>> edgevc.detect(edgevc.VoiceConverter().convert(audio, sample_rate=rate), rate).marked
        True
    """
    detector = MarkDetector(sample_rate, search=search)
    detector.process(samples)
    return detector.finish()


def _searched(samples: NDArray[np.float32]) -> tuple[FloatArray, Match, float]:
    """Return the rows in which the mark stands out most, the match, and the length of a row against one of 5 ms."""
    best: tuple[FloatArray, Match, float] | None = None
    for pitch in PITCHES:
        rate = round(SAMPLE_RATE * (1 + pitch))
        # one view: what came on the way is likely to have brought noise
        found = rows(samples if pitch == 0 else resample(samples, SAMPLE_RATE, rate))[:1]
        now = match(found, SPEEDS)
        if best is None or now.score > best[1].score:
            best = found, now, rate / SAMPLE_RATE
    if best is None:
        raise AssertionError("PITCHES is empty")
    return best


def _stretch(values: FloatArray) -> tuple[int, int]:
    """Return from which row to which the mark is: where the sum of what is above half the mark's own mean is largest.

    For a step in the mean of noise that is the most likely place (Page 1954, CUSUM).
    """
    mean, start, end = float(values.mean()), 0, len(values)
    for _ in range(4):
        sums = np.concatenate([[0.0], np.cumsum(values - 0.5 * mean)])
        lowest = np.minimum.accumulate(sums)
        end = int(np.argmax(sums - lowest))
        start = int(np.argmin(sums[: end + 1]))
        if end <= start:
            return 0, len(values)
        mean = float(values[start:end].mean())
    return start, end
