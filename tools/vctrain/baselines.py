"""What one would use without a trained model, scored beside the models: plain signal processing.

McAdams: Patino, Tomashenko, Todisco, Nautsch, Evans, "Speaker anonymisation using the McAdams coefficient", Interspeech
2021, the second baseline of the VoicePrivacy challenges. The others stand on WORLD (Morise, Yokomori, Ozawa 2016).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from vctrain.metrics import SAMPLE_RATE

MCADAMS_COEFFICIENT = 0.8
MCADAMS_ORDER = 20
MCADAMS_WINDOW = 320
"""20 ms, with half of it as hop, as in the challenge's baseline."""

FORMANT_EXPONENT = 0.25
"""Formants move by the pitch's ratio to this power: of women and men, F0 differs 1.8 times and formants 1.16 times."""


def mcadams(
    samples: NDArray[np.float32], coefficient: float = MCADAMS_COEFFICIENT, order: int = MCADAMS_ORDER
) -> NDArray[np.float32]:
    """Bend the resonances of (T,) samples: every complex pole's angle a becomes a ** coefficient, in radians.

    Each window is split into a linear prediction filter and its residual; the residual goes through the filter with the
    moved poles, and the windows are overlapped and added. Same length, pitch untouched.
    """
    hop = MCADAMS_WINDOW // 2
    # a square-root Hann window before and after: their product adds up to one
    window = np.sqrt(np.hanning(MCADAMS_WINDOW + 1)[:-1])
    padded = np.pad(samples.astype(np.float64), (hop, MCADAMS_WINDOW + (-len(samples)) % hop))
    output = np.zeros_like(padded)
    for start in range(0, len(padded) - MCADAMS_WINDOW + 1, hop):
        frame = padded[start : start + MCADAMS_WINDOW] * window
        output[start : start + MCADAMS_WINDOW] += window * _bend(frame, coefficient, order)
    return output[hop : hop + len(samples)].astype(np.float32)


def _bend(frame: NDArray[np.float64], coefficient: float, order: int) -> NDArray[np.float64]:
    autocorrelation = np.correlate(frame, frame, "full")[len(frame) - 1 :][: order + 1]
    if autocorrelation[0] < 1e-9:
        return frame
    # a little white noise keeps the equations solvable
    autocorrelation[0] *= 1 + 1e-9
    predictor = np.concatenate([[1.0], -solve_toeplitz(autocorrelation[:-1], autocorrelation[1:])])
    poles = np.roots(predictor)
    angles = np.angle(poles)
    resonant = np.abs(poles.imag) > 1e-9
    moved = np.where(resonant, np.sign(angles) * np.abs(angles) ** coefficient, angles)
    # an angle above one turns towards zero, a smaller one away from it: none leaves the half circle
    bent = np.real(np.poly(np.abs(poles) * np.exp(1j * moved)))
    return lfilter([1.0], bent, lfilter(predictor, [1.0], frame))


def _world() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld

        return pyworld


def world(samples: NDArray[np.float32], pitch_ratio: float = 1.0, formant_ratio: float = 1.0) -> NDArray[np.float32]:
    """Analyse and synthesise (T,) samples with WORLD, pitch and resonances multiplied; both 1: copy synthesis."""
    pyworld = _world()
    signal = samples.astype(np.float64)
    f0, times = pyworld.harvest(signal, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(signal, f0, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(signal, f0, times, SAMPLE_RATE)
    if formant_ratio != 1.0:
        bins = np.arange(envelope.shape[1])
        heard_at = np.minimum(bins / formant_ratio, bins[-1])
        envelope = np.stack([np.exp(np.interp(heard_at, bins, np.log(row))) for row in envelope])
    output = pyworld.synthesize(f0 * pitch_ratio, envelope, aperiodicity, SAMPLE_RATE)
    output = np.pad(output, (0, max(0, len(samples) - len(output))))[: len(samples)]
    return output.astype(np.float32)


def pitch_and_formants(samples: NDArray[np.float32], semitones: float) -> NDArray[np.float32]:
    """Move (T,) samples' pitch by `semitones`, and their resonances by as much as two speakers so far apart differ."""
    ratio = 2 ** (semitones / 12)
    return world(samples, ratio, ratio**FORMANT_EXPONENT)
