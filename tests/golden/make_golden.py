"""Makes the golden vectors beside this file with the programs that the presets are named after.

    python tests/golden/make_golden.py

Needs librosa and kaldi-native-fbank. Every file records program, version, settings, seed and machine (`made_by`, JSON).
The signal is synthetic and stored in the file, as 16-bit values. Making the files anew is a change to be reviewed.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
SAMPLE_RATE = 16_000
SEED = 20_240_601
N_SAMPLES = 8_000


def make_signal() -> NDArray[np.int16]:
    """Half a second at 16 kHz: a gliding voice-like tone, a click, a loud noise, a faint one, and digital silence."""
    rng = np.random.default_rng(SEED)
    time = np.arange(N_SAMPLES) / SAMPLE_RATE
    phase = 2 * np.pi * (110 * time + 80 * time**2)
    signal = sum(0.3 / k * np.sin(k * phase) for k in range(1, 30)) * (time < 0.25)
    signal += 0.002
    signal[600] += 0.7
    signal[4000:5200] += 0.4 * rng.standard_normal(1200)
    signal[5200:6600] += 1e-4 * rng.standard_normal(1400)
    signal[7000:] = 0.0
    return np.round(np.clip(signal, -0.999, 0.999) * 32768).astype(np.int16)


def make_librosa(signal: NDArray[np.int16]) -> None:
    """Presets `librosa` and `edgevc`; in float64, so that the reference's own rounding does not count."""
    import librosa

    samples = signal / 32768.0
    settings = {
        "sr": SAMPLE_RATE,
        "n_fft": 512,
        "hop_length": 160,
        "n_mels": 80,
        "center": False,
    }
    mel = librosa.feature.melspectrogram(y=samples, dtype=np.float64, **settings)
    log_mel = np.log(np.maximum(mel, 1e-10))
    decibels = librosa.power_to_db(mel, amin=1e-10, top_db=None)
    edgevc_settings = {
        "sr": SAMPLE_RATE,
        "n_fft": 512,
        "n_mels": 80,
        "fmin": 20,
        "fmax": 8000,
        "htk": True,
        "norm": None,
    }
    bank = librosa.filters.mel(**edgevc_settings, dtype=np.float64)
    # librosa puts a window of 400 in the middle of its frame of 512: a signal delayed by 56 gives the wanted frames
    delayed = np.concatenate([np.zeros(56), samples, np.zeros(56)])
    power = np.abs(librosa.stft(delayed, n_fft=512, win_length=400, hop_length=160, center=False)) ** 2
    save(
        "features_librosa.npz",
        "librosa",
        librosa.__version__,
        {
            "log_mel": "ln(max(librosa.feature.melspectrogram(**settings), 1e-10))",
            "mfcc": "librosa.feature.mfcc(S=log_mel, n_mfcc=20)",
            "mfcc_db": "librosa.feature.mfcc(S=librosa.power_to_db(mel, amin=1e-10, top_db=None), n_mfcc=20)",
            "mfcc_lifter": "librosa.feature.mfcc(S=log_mel, n_mfcc=13, lifter=22)",
            "edgevc": "ln(librosa.filters.mel(**edgevc_settings) @ abs(librosa.stft(window 400 in 512)) ** 2 + 1e-5)",
            "settings": settings,
            "edgevc_settings": edgevc_settings,
        },
        signal=signal,
        log_mel=log_mel.T,
        mfcc=librosa.feature.mfcc(S=log_mel, n_mfcc=20).T,
        mfcc_db=librosa.feature.mfcc(S=decibels, n_mfcc=20).T,
        mfcc_lifter=librosa.feature.mfcc(S=log_mel, n_mfcc=13, lifter=22).T,
        edgevc=np.log(bank @ power + 1e-5).T,
    )


def make_kaldi(signal: NDArray[np.int16]) -> None:
    """Preset `kaldi`: kaldi-native-fbank's defaults, 80 bins, dither 0; samples in [-1, 1] and in 16-bit values."""
    import kaldi_native_fbank as knf

    def log_mel(samples: NDArray[np.float64]) -> NDArray[np.float32]:
        options = knf.FbankOptions()
        options.frame_opts.dither = 0.0
        options.mel_opts.num_bins = 80
        return frames_of(knf.OnlineFbank(options), samples)

    def mfcc(samples: NDArray[np.float64]) -> NDArray[np.float32]:
        options = knf.MfccOptions()
        options.frame_opts.dither = 0.0
        options.use_energy = False
        return frames_of(knf.OnlineMfcc(options), samples)

    samples = signal / 32768.0
    save(
        "features_kaldi.npz",
        "kaldi-native-fbank",
        knf.__version__ if hasattr(knf, "__version__") else installed_version("kaldi-native-fbank"),
        {
            "log_mel": "OnlineFbank, defaults but dither=0, num_bins=80; samples in [-1, 1]",
            "log_mel_16_bit": "the same with samples * 32768",
            "mfcc": "OnlineMfcc, defaults but dither=0, use_energy=False; samples in [-1, 1]",
            "defaults": str(knf.MfccOptions()),
        },
        signal=signal,
        log_mel=log_mel(samples),
        log_mel_16_bit=log_mel(samples * 32768),
        mfcc=mfcc(samples),
    )


def frames_of(stream: object, samples: NDArray[np.float64]) -> NDArray[np.float32]:
    """All frames that an Online... object of kaldi-native-fbank gives."""
    stream.accept_waveform(SAMPLE_RATE, samples.astype(np.float32).tolist())
    return np.array([stream.get_frame(i) for i in range(stream.num_frames_ready)], np.float32)


def installed_version(name: str) -> str:
    """The version of an installed distribution."""
    from importlib.metadata import version

    return version(name)


def save(name: str, program: str, program_version: str, recipe: dict[str, object], **arrays: NDArray) -> None:
    """Write one file; float arrays become float32."""
    made_by = {
        "program": program,
        "version": program_version,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "seed": SEED,
        "sample_rate": SAMPLE_RATE,
        "recipe": recipe,
    }
    arrays = {key: a.astype(np.float32) if a.dtype.kind == "f" else a for key, a in arrays.items()}
    np.savez_compressed(FOLDER / name, made_by=json.dumps(made_by, indent=1), **arrays)
    print(f"{name}: {program} {program_version}, " + ", ".join(f"{key} {a.shape}" for key, a in arrays.items()))


def main() -> None:
    """Make all files."""
    signal = make_signal()
    make_librosa(signal)
    make_kaldi(signal)


if __name__ == "__main__":
    main()
