"""Makes resample_soxr.npz: what soxr's best quality makes of a signal, to compare edgevc's resampler with.

Run `python tests/golden/make_resample.py` with the packages numpy and soxr.
"""

import platform
from pathlib import Path

import numpy as np
import soxr

RATES = ((44_100, 16_000), (48_000, 16_000), (16_000, 44_100), (16_000, 48_000))
SECONDS = 0.06


def signal(sample_rate):
    """Ten tones up to 6.9 kHz under a bell that starts and ends at silence, (T,), float32."""
    rng = np.random.default_rng(7)
    time = np.arange(int(SECONDS * sample_rate)) / sample_rate
    tones = sum(np.cos(2 * np.pi * (f * time + rng.random())) for f in np.linspace(150, 6_900, 10))
    bell = np.exp(-0.5 * ((time - SECONDS / 2) / (SECONDS / 12)) ** 2)
    return (0.1 * tones * bell).astype(np.float32)


if __name__ == "__main__":
    arrays = {f"{a}_{b}": soxr.resample(signal(a), a, b, quality="VHQ").astype(np.float32) for a, b in RATES}
    arrays["made_with"] = np.array(
        f"soxr {soxr.__version__}, VHQ, numpy {np.__version__}, {platform.machine()}, seed 7"
    )
    np.savez_compressed(Path(__file__).with_name("resample_soxr.npz"), **arrays)
