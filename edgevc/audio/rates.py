"""Brings recordings of every rate that a file may have to 16 kHz."""

from __future__ import annotations

from edgevc.audio.source import RESAMPLE_IT
from edgevc.dsp.resample import MAX_RATE, MIN_RATE, Resampler
from edgevc.errors import AudioFileError
from edgevc.limits import SAMPLE_RATE


def resampler_to_16k(rate: int, name: str) -> Resampler:
    """Return a fresh resampler from `rate` to 16 kHz; its latency is in samples at 16 kHz.

    Args:
        rate: as for `scaled_rates`.
        name: what the error calls the recording.

    Raises:
        AudioFileError: the rate cannot be resampled.
    """
    return Resampler(*scaled_rates(rate, name))


def scaled_rates(rate: int, name: str) -> tuple[int, int]:
    """Return two rates within the resampler's range whose ratio is that of `rate` to 16 kHz; only it matters there.

    Args:
        rate: hertz, in [1000, 768000]; what is above 192000 must be even, above 384000 a multiple of 4.
        name: what the error calls the recording.

    Raises:
        AudioFileError: the rate is none of these.
    """
    if MIN_RATE <= rate <= MAX_RATE:
        return rate, SAMPLE_RATE
    if rate < MIN_RATE and 4 * rate >= MIN_RATE:
        return 4 * rate, 4 * SAMPLE_RATE
    for divisor in (2, 4):
        if rate % divisor == 0 and MIN_RATE <= rate // divisor <= MAX_RATE:
            return rate // divisor, SAMPLE_RATE // divisor
    raise AudioFileError(
        f"{name}: the sample rate must be within {MIN_RATE // 4}..{4 * MAX_RATE} Hz, even above {MAX_RATE} and a "
        f"multiple of 4 above {2 * MAX_RATE}, got {rate}; {RESAMPLE_IT}"
    )
