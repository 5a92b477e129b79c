"""Are recordings good enough to make a voice from? Measures them, and says in plain words what is wrong.

Every limit was set on recordings that were spoiled on purpose, see docs/own-voice.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.dsp.pitch import PitchTracker
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE

FloatArray = NDArray[np.float32]
LEAST_SECONDS, GOOD_SECONDS = 20.0, 50.0
"""Of speech: with less no voice is made; with less than the second it is said that more would help."""
SILENT = -60.0
"""dBFS of loud frames."""
LEAST_SNR, GOOD_SNR = 12.0, 22.0
"""dB between the loud tenth and the quiet tenth of frames."""
MOST_CLIPPED, SOME_CLIPPED = 5e-3, 2e-4
"""Share of samples that stand at the recording's largest value, side by side."""
LEAST_FALL, GOOD_FALL = 11.0, 17.0
"""dB by which the loud frames fall within 100 ms, one in twenty of them: in a room that echoes they do not."""
LEAST_VOICED = 0.35
"""Share of loud frames that have a pitch; a whisper has none."""
LEAST_TREBLE = -42.0
"""dB of what lies above 4.2 kHz beside what lies below; a telephone has none of it."""
LEAST_LIKE_SPEECH = 0.38
"""Mean of the highest phone's probability in loud frames: music and noise are like no phone."""
LEAST_ALIKE = 0.55
"""Cosine of two halves or files, by the speaker's vector."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with the recordings."""

    name: str
    fatal: bool
    """Whether no voice is made from them, unless somebody insists."""
    text: str
    """What was found and what to do."""


@dataclass(frozen=True)
class Facts:
    """What was measured of all recordings together."""

    seconds: float
    speech_seconds: float
    level_db: float
    """dBFS of the loud frames."""
    snr_db: float
    fall_db: float
    """See `GOOD_FALL`."""
    clipped: float
    voiced: float
    treble_db: float
    like_speech: float | None
    """None where no model heard them."""


def measure(recordings: Sequence[FloatArray], like_speech: float | None = None, clipped: float | None = None) -> Facts:
    """Measure recordings.

    Args:
        recordings: at 16 kHz.
        like_speech: see `LEAST_LIKE_SPEECH`.
        clipped: of the recordings at their own rates, see `clipped_share`; None: at 16 kHz, where a resampler has
            hidden what another rate clipped.
    """
    # each at its own level: somebody may have turned a knob in between
    parts = [_frames(samples) for samples in recordings if len(samples) >= HOP_LENGTH]
    powers = [10 * np.log10(np.square(part, dtype=np.float64).mean(1) + 1e-10) for part in parts]
    levels = [float(np.percentile(power, 90)) for power in powers]
    frames = np.concatenate(parts) if parts else np.zeros((0, HOP_LENGTH), np.float32)
    power = (
        np.concatenate([power - level for power, level in zip(powers, levels, strict=True)]) if parts else np.zeros(0)
    )
    level = float(np.median(levels)) if levels else -100.0
    snr = -float(np.percentile(power, 10)) if parts else 0.0
    speech = power > max(-25.0, -snr / 2 - 5)
    share = 0.0
    if speech.any() and level > SILENT:
        pitch = np.concatenate([PitchTracker().process(part.reshape(-1)) for part in parts])[:, 0]
        # the tracker's frames lie 3 hops behind
        voiced = np.concatenate([pitch[2:] > 0, np.zeros(2, bool)])[: len(speech)]
        share = float(voiced[speech].mean())
    return Facts(
        seconds=sum(map(len, recordings)) / SAMPLE_RATE,
        speech_seconds=float(speech.sum()) * HOP_LENGTH / SAMPLE_RATE if level > SILENT else 0.0,
        level_db=level,
        snr_db=snr,
        fall_db=_fall(power),
        clipped=max(map(clipped_share, recordings), default=0.0) if clipped is None else clipped,
        voiced=share,
        treble_db=_treble(frames[speech]),
        like_speech=like_speech,
    )


def _frames(samples: FloatArray) -> FloatArray:
    return samples[: len(samples) // HOP_LENGTH * HOP_LENGTH].reshape(-1, HOP_LENGTH)


def _fall(power: NDArray[np.float64]) -> float:
    """Return by how many dB a loud frame falls within 10 frames: what one in twenty surpasses."""
    falls = (power[:-10] - power[10:])[power[:-10] > -12]
    return float(np.percentile(falls, 95)) if len(falls) else 0.0


def clipped_share(samples: FloatArray) -> float:
    """Return the share of samples at the largest value whose neighbour is there as well."""
    if len(samples) < 2:
        return 0.0
    top = np.abs(samples) >= 0.995 * np.abs(samples).max()
    return float((top[1:] & top[:-1]).mean())


def _treble(frames: FloatArray) -> float:
    if not len(frames):
        return -100.0
    spectrum = np.square(np.abs(np.fft.rfft(frames * np.hanning(HOP_LENGTH)))).mean(0)
    edge = round(4200 / (SAMPLE_RATE / HOP_LENGTH))
    return float(10 * np.log10((spectrum[edge:].sum() + 1e-12) / (spectrum[:edge].sum() + 1e-12)))


def problems(facts: Facts, alike: float | None = None) -> list[Problem]:
    """Return what is wrong, the worst first; `alike`: see `LEAST_ALIKE`, None where it was not measured."""
    if facts.level_db < SILENT or facts.speech_seconds < 1:
        return [Problem("silence", True, "the recordings are silent; check the microphone and record again")]
    found = [
        *_how_much(facts),
        *_how_clean(facts),
    ]
    if facts.voiced < LEAST_VOICED:
        found.append(
            Problem(
                "whisper",
                True,
                f"only {facts.voiced:.0%} of the loud parts have a pitch, speech has more than half: whispered, or no "
                "speech; speak aloud",
            )
        )
    if facts.like_speech is not None and facts.like_speech < LEAST_LIKE_SPEECH:
        found.append(
            Problem(
                "music",
                True,
                f"the model hears phones with a certainty of {facts.like_speech:.2f}, in speech {LEAST_LIKE_SPEECH} "
                "and more: music or noise; record speech alone",
            )
        )
    if alike is not None and alike < LEAST_ALIKE:
        found.append(
            Problem(
                "speakers",
                True,
                f"the recordings are not of one speaker: two of them are alike by {alike:.2f} only, one speaker's by "
                f"{LEAST_ALIKE} and more; leave the other speaker's out",
            )
        )
    return sorted(found, key=lambda problem: not problem.fatal)


def _how_much(facts: Facts) -> list[Problem]:
    text = f"{facts.speech_seconds:.0f} s of speech"
    if facts.speech_seconds < LEAST_SECONDS:
        return [Problem("short", True, f"{text}; at least {LEAST_SECONDS:g} s are needed, three minutes are good")]
    if facts.speech_seconds < GOOD_SECONDS:
        return [Problem("short", False, f"{text}; a minute is better, three minutes are good")]
    return []


def _how_clean(facts: Facts) -> list[Problem]:
    found = []
    if facts.snr_db < GOOD_SNR:
        found.append(
            Problem(
                "noise",
                facts.snr_db < LEAST_SNR,
                f"the pauses are only {facts.snr_db:.0f} dB softer than the speech, {GOOD_SNR:g} dB are good; record "
                "where it is quiet, closer to the microphone",
            )
        )
    if facts.fall_db < GOOD_FALL and facts.snr_db >= GOOD_SNR:
        found.append(
            Problem(
                "room",
                facts.fall_db < LEAST_FALL,
                f"the sound dies away slowly, {facts.fall_db:.0f} dB in a tenth of a second, {GOOD_FALL:g} are good: "
                "a room that echoes; go closer to the microphone and record in a furnished room",
            )
        )
    if facts.clipped > SOME_CLIPPED:
        found.append(
            Problem(
                "clipping",
                facts.clipped > MOST_CLIPPED,
                f"{facts.clipped:.2%} of the samples are clipped; lower the microphone's gain and record again",
            )
        )
    if facts.treble_db < LEAST_TREBLE:
        found.append(
            Problem(
                "telephone",
                False,
                f"nothing above 4 kHz ({facts.treble_db:.0f} dB): a telephone or a low sample rate; the voice will "
                "sound like it",
            )
        )
    if facts.level_db < -45:
        found.append(
            Problem("soft", False, f"the speech is soft, {facts.level_db:.0f} dBFS; -25 dBFS is good: raise the gain")
        )
    return found
