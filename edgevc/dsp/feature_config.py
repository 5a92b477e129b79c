"""Settings of the signal front end: frozen, checked once, with named presets."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from edgevc.errors import ConfigError
from edgevc.limits import SAMPLE_RATE

Preset = Literal["edgevc", "kaldi", "librosa"]
Window = Literal["hann", "povey"]
MelScale = Literal["htk", "slaney"]
MelInterpolation = Literal["hertz", "mel"]
MelNorm = Literal["none", "slaney"]
LogFloorMode = Literal["add", "max"]
LifterType = Literal["none", "kaldi", "librosa"]


_CHOICES: dict[str, tuple[str, ...]] = {
    "window": get_args(Window),
    "mel_scale": get_args(MelScale),
    "mel_interpolation": get_args(MelInterpolation),
    "mel_norm": get_args(MelNorm),
    "log_floor_mode": get_args(LogFloorMode),
    "lifter_type": get_args(LifterType),
}


def _require_types(config: FeatureConfig | MfccConfig) -> None:
    """Raise ConfigError where a field holds another type than it declares: manifests bring values of any type."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in _CHOICES:
            if value not in _CHOICES[field.name]:
                raise ConfigError(f"{field.name} must be one of {', '.join(_CHOICES[field.name])}, got {value!r}")
        elif field.type == "FeatureConfig":
            if not isinstance(value, FeatureConfig):
                raise ConfigError(f"{field.name} must be a FeatureConfig, got {type(value).__name__}")
        elif field.type == "bool":
            if not isinstance(value, bool):
                raise ConfigError(f"{field.name} must be true or false, got {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int if field.type == "int" else (int, float)):
            raise ConfigError(f"{field.name} must be of type {field.type}, got {value!r}")
        elif not math.isfinite(value):
            raise ConfigError(f"{field.name} must be finite, got {value!r}")


@dataclass(frozen=True)
class FeatureConfig:
    """Log-mel front end; must equal what the model was trained with.

    The defaults are the preset `edgevc`, which the shipped models use. See `preset` for the others.
    """

    sample_rate: int = SAMPLE_RATE
    """Hertz."""

    win_length: int = 400
    """Window length in samples (25 ms); the frame is padded with zeros at its end to n_fft."""

    hop_length: int = 160
    """Samples between frame starts (10 ms)."""

    n_fft: int = 512
    """Length of the FFT in samples, a power of two in [8, 65536]."""

    window: Window = "hann"
    """hann: periodic Hann (SciPy's and librosa's). povey: Kaldi's, symmetric Hann to the power 0.85."""

    remove_dc: bool = False
    """Subtract each frame's mean."""

    preemphasis: float = 0.0
    """x[n] - preemphasis * x[n - 1] inside the frame, with x[-1] = x[0] as in Kaldi; [0, 1)."""

    input_scale: float = 1.0
    """Samples are multiplied by this before everything else; (0, 65536]."""

    n_mels: int = 80
    """Number of triangles, [1, 1024]."""

    fmin: float = 20.0
    """Hertz, lower edge of the first triangle."""

    fmax: float = 8000.0
    """Hertz, upper edge of the last triangle; at most sample_rate / 2."""

    mel_scale: MelScale = "htk"
    """htk: 2595 log10(1 + f / 700). slaney: linear below 1 kHz, logarithmic above."""

    mel_interpolation: MelInterpolation = "hertz"
    """Over what the sides of a triangle are straight lines: hertz (librosa) or mel (Kaldi)."""

    mel_norm: MelNorm = "none"
    """none: peak 1. slaney: area 1 over hertz."""

    log_floor: float = 1e-5
    """In units of mel power, [1e-30, 1e30]."""

    log_floor_mode: LogFloorMode = "add"
    """add: ln(power + log_floor). max: ln(max(power, log_floor))."""

    def __post_init__(self) -> None:
        _require_types(self)
        if self.sample_rate != SAMPLE_RATE:
            raise ConfigError(
                f"sample_rate must be {SAMPLE_RATE}, the rate inside edgevc, got {self.sample_rate}; "
                "resample the audio first"
            )
        if not 0 < self.hop_length <= self.win_length <= self.n_fft:
            raise ConfigError(
                "expected 0 < hop_length <= win_length <= n_fft, got "
                f"hop_length={self.hop_length}, win_length={self.win_length}, n_fft={self.n_fft}"
            )
        if not 8 <= self.n_fft <= 65536 or self.n_fft & (self.n_fft - 1):
            raise ConfigError(f"n_fft must be a power of two in [8, 65536], got {self.n_fft}")
        if self.win_length < 2:
            raise ConfigError(f"win_length must be at least 2, got {self.win_length}")
        if not 0.0 <= self.preemphasis < 1.0:
            raise ConfigError(f"preemphasis must be in [0, 1), got {self.preemphasis}")
        if not 0.0 < self.input_scale <= 65536.0:
            raise ConfigError(f"input_scale must be in (0, 65536], got {self.input_scale}")
        if not 1 <= self.n_mels <= 1024:
            raise ConfigError(f"n_mels must be in [1, 1024], got {self.n_mels}")
        if not 0.0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ConfigError(
                "expected 0 <= fmin < fmax <= sample_rate / 2, got "
                f"fmin={self.fmin}, fmax={self.fmax}, sample_rate={self.sample_rate}"
            )
        if not 1e-30 <= self.log_floor <= 1e30:
            raise ConfigError(f"log_floor must be in [1e-30, 1e30], got {self.log_floor}")

    @classmethod
    def preset(cls, name: Preset) -> FeatureConfig:
        """Return a named preset; each is held against golden vectors of the program it is named after.

        edgevc: what the shipped models were trained with. Samples in [-1, 1], periodic Hann of 400 in an FFT of 512,
            power spectrum, 80 HTK-mel triangles of peak 1 from 20 to 8000 Hz
            (librosa.filters.mel(htk=True, norm=None)), ln(power + 1e-5).
        kaldi: kaldi-native-fbank's defaults with 80 bins and dither 0: mean removed, preemphasis 0.97, Povey window,
            triangles over mel from 20 Hz to 8 kHz, ln(max(power, 2^-23)). Samples in [-1, 1], as that library takes
            them since it scaled its default dither to that range; for Kaldi itself and torchaudio's compliance
            functions on 16-bit values use dataclasses.replace(config, input_scale=32768.0).
        librosa: librosa.feature.melspectrogram(sr=16000, n_fft=512, hop_length=160, n_mels=80, center=False) followed
            by ln(max(power, 1e-10)): Slaney's mel scale and norm from 0 to 8 kHz, periodic Hann of 512. librosa puts a
            window shorter than n_fft in the middle of the frame; here it stands at the frame's start, so with
            win_length < n_fft frame k equals librosa's frame of the signal delayed by (n_fft - win_length) / 2.

        Raises:
            ConfigError: the name is unknown.
        """
        if name not in _PRESETS:
            raise ConfigError(f"preset must be one of {', '.join(_PRESETS)}, got {name!r}")
        return _PRESETS[name]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> FeatureConfig:
        """Return the configuration with these values, as `to_dict` wrote them; missing keys keep their defaults.

        Raises:
            ConfigError: a key is unknown, or a value is of the wrong type or outside its range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known settings: {', '.join(known)}"
                raise ConfigError(f"unknown feature setting {key!r}; {hint}")
        return cls(**values)  # type: ignore[arg-type]  # __post_init__ checks the types

    def to_dict(self) -> dict[str, int | float | str | bool]:
        """Return all settings as plain values, for a manifest."""
        return dataclasses.asdict(self)

    @property
    def n_bins(self) -> int:
        """Bins of the power spectrum, n_fft // 2 + 1."""
        return self.n_fft // 2 + 1


_PRESETS = {
    "edgevc": FeatureConfig(),
    "kaldi": FeatureConfig(
        window="povey",
        remove_dc=True,
        preemphasis=0.97,
        mel_interpolation="mel",
        log_floor=2.0**-23,
        log_floor_mode="max",
    ),
    "librosa": FeatureConfig(
        win_length=512,
        fmin=0.0,
        mel_scale="slaney",
        mel_norm="slaney",
        log_floor=1e-10,
        log_floor_mode="max",
    ),
}


@dataclass(frozen=True)
class MfccConfig:
    """Mel-frequency cepstral coefficients: orthonormal DCT-II of the natural log-mel, liftered."""

    features: FeatureConfig = dataclasses.field(default_factory=FeatureConfig)
    """The log-mel below."""

    n_mfcc: int = 13
    """Coefficients kept, [1, n_mels]; coefficient 0 is the DCT's own, never the frame's energy."""

    lifter_type: LifterType = "none"
    """kaldi: 1 + lifter / 2 sin(pi n / lifter). librosa: the same with n + 1. none: as the DCT gives them."""

    lifter: float = 22.0
    """Period of the lifter in coefficients, (0, 1e6]; without effect for `none`."""

    def __post_init__(self) -> None:
        _require_types(self)
        if not 1 <= self.n_mfcc <= self.features.n_mels:
            raise ConfigError(f"n_mfcc must be in [1, n_mels], got n_mfcc={self.n_mfcc}, n_mels={self.features.n_mels}")
        if not 0.0 < self.lifter <= 1e6:
            raise ConfigError(f"lifter must be in (0, 1e6], got {self.lifter}")

    @classmethod
    def preset(cls, name: Preset) -> MfccConfig:
        """Return a named preset.

        edgevc: 13 coefficients of the shipped models' log-mel, not liftered.
        kaldi: kaldi-native-fbank's MFCC defaults with use_energy=False and dither 0: 23 bins, 13 coefficients,
            lifter 22.
        librosa: librosa.feature.mfcc(S=log_mel, n_mfcc=20) of the preset's natural log-mel. librosa's own default
            takes decibels: these are 10 / ln(10) times as large, and it cuts them 80 dB below the loudest frame of
            the file (top_db), which no stream can do.

        Raises:
            ConfigError: the name is unknown.
        """
        features = FeatureConfig.preset(name)
        if name == "kaldi":
            return cls(dataclasses.replace(features, n_mels=23), lifter_type="kaldi")
        return cls(features, n_mfcc=20 if name == "librosa" else 13)
