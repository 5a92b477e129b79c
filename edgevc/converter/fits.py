"""Whether a bundle fits this runtime: what its manifest says against what the core has built in, in one place."""

from __future__ import annotations

from edgevc import _core
from edgevc.bundle import ModelBundle, Voice
from edgevc.dsp.feature_config import FeatureConfig
from edgevc.dsp.features import LogMel
from edgevc.errors import ModelError

SYNTHESIS_N_FFT = 2 * (_core.SourceFilter.n_filters // 3 - 1)
"""Points: magnitudes of harmonics and of noise, and the phases between them, are one filter set."""
SYNTHESIS_SEGMENT = 2 * _core.SourceFilter.hop_length
"""Samples: source_filter.h, kSegmentLength."""


def require_fit(bundle: ModelBundle) -> None:
    """Return if this version of edgevc computes what the bundle's graphs were trained on.

    Raises:
        ModelError: the bundle is no converter, or one of its values differs from what is built in.
    """
    bundle.require_kind("converter")
    config = FeatureConfig()
    names = ("sample_rate", "n_fft", "win_length", "hop_length", "window", "n_mels", "fmin", "fmax", "log_floor")
    bundle.require_values(
        {f"features.{name}": getattr(config, name) for name in names}
        | {"synthesis.n_fft": SYNTHESIS_N_FFT, "synthesis.segment_length": SYNTHESIS_SEGMENT}
    )
    found = LogMel().filterbank_sha256
    if bundle.features.filterbank_sha256 != found:
        raise ModelError(
            "this model needs a different mel filter bank than this version of edgevc computes: filterbank_sha256 must "
            f"be {found}, got {bundle.features.filterbank_sha256}; update edgevc or export the model again"
        )
    pitch, features = bundle.pitch, bundle.features
    try:
        # what a stream makes of the manifest's numbers; whatever the core refuses is the bundle's fault
        _core.PitchTracker(features.sample_rate, features.hop_length, pitch.f0_min, pitch.f0_max, pitch.latency_samples)
        for voice in bundle.voices:
            _core.PitchMapper(voice.log2_f0_mean, 0.0)
    except (ValueError, OverflowError) as error:
        raise ModelError(f"model {bundle.name} does not fit this version of edgevc: {error}; update edgevc") from error
    width = bundle.graphs["decoder"].inputs[1].shape[1]
    if width != _core.PitchMapper.n_features:
        raise ModelError(
            f"the decoder of {bundle.name} must take {_core.PitchMapper.n_features} values of pitch for each hop, got "
            f"{width}; update edgevc or export the model again"
        )


def require_speakable(voice: Voice) -> None:
    """Return if this version of edgevc can speak at a voice's pitch.

    Raises:
        ModelError: its mean is outside what the core takes.
    """
    try:
        _core.PitchMapper(voice.spec.log2_f0_mean, 0.0)
    except (ValueError, OverflowError) as error:
        raise ModelError(
            f"voice {voice.spec.name} does not fit this version of edgevc: {error}; make it again"
        ) from error
