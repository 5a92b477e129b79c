"""Log-mel and MFCC: values against the definition and golden vectors, and the promises of a stream."""

import copy
import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import reference

from edgevc.dsp.feature_config import FeatureConfig, MfccConfig
from edgevc.dsp.features import LogMel, Mfcc
from edgevc.errors import ConfigError

GOLDEN = Path(__file__).parent.parent / "golden"

# The errors below were measured on x86-64 with the signal of tests/golden/make_golden.py, whose spectrum falls by more
# than 100 dB; each bound is about five times the measured error.
# In linear mel, over the frame's largest band. Measured 4.8e-7 (edgevc, librosa) and 9.7e-6 (kaldi-native-fbank, which
# computes its filterbank in float32).
LINEAR_TOLERANCE = {"edgevc": 2.5e-6, "librosa": 2.5e-6, "kaldi": 5e-5}
# In log-mel, bands within 60 dB of the frame's largest. Measured 7.2e-6, 2.9e-5, 8.0e-5.
LOG_TOLERANCE_60_DB = {"edgevc": 4e-5, "librosa": 1.5e-4, "kaldi": 4e-4}
# In log-mel, all bands. Measured 1.7e-4, 5.5e-3, 9.0e-4: below -60 dB the window's rounding to float32 shows.
LOG_TOLERANCE = {"edgevc": 9e-4, "librosa": 2.7e-2, "kaldi": 4.5e-3}
# All coefficients. Measured 2.3e-3 (librosa), 2.4e-2 (librosa, liftered: gain 12), 1.1e-3 (kaldi).
MFCC_TOLERANCE = {"librosa": 1.2e-2, "librosa liftered": 1.2e-1, "kaldi": 5.5e-3}
# Filterbank and window: float32 rounding of the float64 definition, 3.0e-8.
WEIGHT_TOLERANCE = 1e-7

STREAMS = {
    "log_mel": lambda primed=False: LogMel(primed=primed),
    "log_mel_kaldi": lambda primed=False: LogMel(FeatureConfig.preset("kaldi"), primed=primed),
    "log_mel_librosa": lambda primed=False: LogMel(FeatureConfig.preset("librosa"), primed=primed),
    "log_mel_no_overlap": lambda primed=False: LogMel(FeatureConfig(hop_length=400), primed=primed),
    "mfcc": lambda primed=False: Mfcc(primed=primed),
    "mfcc_kaldi": lambda primed=False: Mfcc(MfccConfig.preset("kaldi"), primed=primed),
}


@pytest.fixture(params=STREAMS)
def make_stream(request):
    return STREAMS[request.param]


@pytest.fixture
def rng():
    return np.random.default_rng(20_240_601)


def noise(rng, n_samples):
    return (0.1 * rng.standard_normal(n_samples)).astype(np.float32)


def golden(name):
    """The arrays of a golden file, and the signal in [-1, 1]."""
    with np.load(GOLDEN / f"features_{name}.npz") as file:
        arrays = dict(file)
    return arrays, arrays["signal"] / np.float32(32768)


def assert_log_mel_close(found, expected, preset):
    assert found.shape == expected.shape
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    largest = np.exp(expected).max(axis=1, keepdims=True)
    assert (np.abs(np.exp(found) - np.exp(expected)) / largest).max() < LINEAR_TOLERANCE[preset]
    error = np.abs(found - expected)
    assert error[np.exp(expected) > 1e-6 * largest].max() < LOG_TOLERANCE_60_DB[preset]
    assert error.max() < LOG_TOLERANCE[preset]


# values


def test_edgevc_is_the_definition_the_models_were_trained_with():
    _, samples = golden("librosa")
    assert_log_mel_close(LogMel().process(samples), reference.edgevc_log_mel(samples), "edgevc")


def test_edgevc_equals_librosa_with_the_same_settings():
    arrays, samples = golden("librosa")
    assert_log_mel_close(LogMel().process(samples), arrays["edgevc"], "edgevc")


def test_librosa_preset_equals_librosa():
    arrays, samples = golden("librosa")
    assert_log_mel_close(LogMel(FeatureConfig.preset("librosa")).process(samples), arrays["log_mel"], "librosa")


@pytest.mark.parametrize(("input_scale", "array"), [(1.0, "log_mel"), (32768.0, "log_mel_16_bit")])
def test_kaldi_preset_equals_kaldi_native_fbank(input_scale, array):
    arrays, samples = golden("kaldi")
    config = dataclasses.replace(FeatureConfig.preset("kaldi"), input_scale=input_scale)
    assert_log_mel_close(LogMel(config).process(samples), arrays[array], "kaldi")


def test_mfcc_equals_librosa():
    arrays, samples = golden("librosa")
    config = MfccConfig.preset("librosa")
    found = Mfcc(config).process(samples)
    assert np.abs(found - arrays["mfcc"]).max() < MFCC_TOLERANCE["librosa"]
    decibels = 10 / np.log(10)
    assert np.abs(decibels * found - arrays["mfcc_db"]).max() < decibels * MFCC_TOLERANCE["librosa"]
    liftered = Mfcc(dataclasses.replace(config, n_mfcc=13, lifter_type="librosa")).process(samples)
    assert np.abs(liftered - arrays["mfcc_lifter"]).max() < MFCC_TOLERANCE["librosa liftered"]


def test_mfcc_equals_kaldi_native_fbank():
    arrays, samples = golden("kaldi")
    found = Mfcc(MfccConfig.preset("kaldi")).process(samples)
    assert found.shape == arrays["mfcc"].shape
    assert np.abs(found - arrays["mfcc"]).max() < MFCC_TOLERANCE["kaldi"]


def test_mfcc_is_the_dct_of_the_log_mel(rng):
    samples = noise(rng, 4000)
    expected = reference.dct_ii(LogMel().process(samples).astype(np.float64), 13)
    # float32 sums of 80 terms, measured 2.5e-6, factor 5
    assert np.abs(Mfcc().process(samples) - expected).max() < 1.3e-5


def test_golden_files_say_who_made_them():
    for name, program in (("librosa", "librosa"), ("kaldi", "kaldi-native-fbank")):
        made_by = json.loads(str(golden(name)[0]["made_by"]))
        assert made_by["program"] == program
        assert {"version", "recipe", "seed", "machine"} <= made_by.keys()


@pytest.mark.parametrize("preset", ["edgevc", "kaldi", "librosa"])
def test_filterbank_and_window_are_those_of_the_definition(preset):
    config = FeatureConfig.preset(preset)
    stream = LogMel(config)
    expected = reference.mel_filterbank(
        config.n_mels,
        config.n_fft,
        config.fmin,
        config.fmax,
        config.mel_scale,
        config.mel_interpolation,
        config.mel_norm,
    )
    assert np.abs(stream.filterbank - expected).max() < WEIGHT_TOLERANCE
    expected = {"hann": reference.hann, "povey": reference.povey}[config.window](config.win_length)
    assert np.abs(stream.window - expected).max() < WEIGHT_TOLERANCE


@pytest.mark.parametrize("n_mels", [1, 3, 20, 40])
def test_any_number_of_filters_is_applied_in_full(rng, n_mels):
    samples = noise(rng, 400)
    config = FeatureConfig(n_mels=n_mels, fmin=0.0)
    power = reference.power_frames(samples, reference.hann(400), 160, 512)
    expected = np.log(power @ reference.mel_filterbank(n_mels, 512, 0.0, 8000.0).T + 1e-5)
    assert np.abs(LogMel(config).process(samples) - expected).max() < LOG_TOLERANCE["edgevc"]


def test_small_fft_and_odd_window_work(rng):
    samples = noise(rng, 200)
    config = FeatureConfig(win_length=13, hop_length=5, n_fft=16, n_mels=2, fmin=0.0)
    power = reference.power_frames(samples, reference.hann(13), 5, 16)
    expected = np.log(power @ reference.mel_filterbank(2, 16, 0.0, 8000.0).T + 1e-5)
    assert np.abs(LogMel(config).process(samples) - expected).max() < LOG_TOLERANCE["edgevc"]


def test_silence_gives_the_floor():
    # ln(1e-5) to float32 rounding
    np.testing.assert_allclose(LogMel().process(np.zeros(400, np.float32)), np.log(1e-5), rtol=1e-6)
    kaldi = LogMel(FeatureConfig.preset("kaldi")).process(np.zeros(400, np.float32))
    np.testing.assert_allclose(kaldi, np.log(2.0**-23), rtol=1e-6)


@pytest.mark.parametrize("value", [1.0, -1.0, 1e6, 1e-39])
def test_dc_full_scale_huge_and_denormal_samples_give_finite_frames(make_stream, value):
    assert np.isfinite(make_stream().process(np.full(1000, value, np.float32))).all()


# the stream's promises


def test_frames_do_not_depend_on_how_the_input_is_cut(make_stream, rng):
    samples = noise(rng, 5000)
    expected = make_stream().process(samples)
    for _ in range(20):
        cuts = np.sort(rng.integers(0, len(samples) + 1, rng.integers(1, 60)))
        stream = make_stream()
        found = np.concatenate([stream.process(piece) for piece in np.split(samples, cuts)])
        np.testing.assert_array_equal(found, expected)
    for size in (1, 7, 159, 160, 161, 399, 400, 401, 1000):
        stream = make_stream()
        pieces = [stream.process(samples[i : i + size]) for i in range(0, len(samples), size)]
        np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_a_frame_comes_with_the_sample_that_completes_it(make_stream, rng):
    stream = make_stream()
    emitted = 0
    for fed, sample in enumerate(noise(rng, 1500), start=1):
        expected = max(0, (fed - stream.win_length) // stream.hop_length + 1)
        assert emitted + stream.frames_for(1) == expected
        emitted += len(stream.process(np.array([sample])))
        assert emitted == expected


def test_primed_gives_one_frame_per_hop_from_the_first_on(make_stream, rng):
    samples = noise(rng, 4000)
    stream = make_stream(primed=True)
    hop = stream.hop_length
    frames = [stream.process(samples[i : i + hop]) for i in range(0, 10 * hop, hop)]
    assert [len(frame) for frame in frames] == [1] * 10
    zeros = np.zeros(stream.win_length - hop, np.float32)
    expected = make_stream().process(np.concatenate([zeros, samples[: 10 * hop]]))
    np.testing.assert_array_equal(np.concatenate(frames), expected)


def test_latency_is_the_distance_from_a_click_to_its_loudest_frame():
    stream = LogMel(FeatureConfig(hop_length=1))
    click_position = 700
    samples = np.zeros(2000, np.float32)
    samples[click_position] = 1.0
    loudness = [stream.process(samples[i : i + 1]).sum(axis=1) for i in range(len(samples))]
    comes_with = int(np.argmax([frame[0] if len(frame) else -np.inf for frame in loudness]))
    # hann(400) is 1 at index 200, so 199 samples follow the click in its frame; the call brings one sample more
    assert comes_with + 1 - click_position == stream.latency


@pytest.mark.parametrize("primed", [False, True])
def test_reset_and_flush_leave_a_fresh_stream(make_stream, rng, primed):
    samples = noise(rng, 2345)
    stream = make_stream(primed=primed)
    expected = stream.process(samples)
    stream.process_into(np.full(77, np.nan, np.float32), np.zeros((2, expected.shape[1]), np.float32))
    stream.reset()
    assert (stream.samples_in, stream.n_bad_samples) == (0, 0)
    np.testing.assert_array_equal(stream.process(samples), expected)
    for _ in range(2):
        assert stream.flush().shape == (0, expected.shape[1])
    np.testing.assert_array_equal(stream.process(samples), expected)


def test_a_forked_stream_has_the_same_future_and_shares_nothing(make_stream, rng):
    stream = make_stream()
    stream.process(noise(rng, 555))
    fork = copy.copy(stream)
    future = noise(rng, 2000)
    expected = stream.process(future)
    stream.process(noise(rng, 100))
    np.testing.assert_array_equal(fork.process(future), expected)


def test_two_streams_side_by_side_share_nothing(make_stream, rng):
    samples, other = noise(rng, 3200), noise(rng, 3200)
    expected = make_stream().process(samples)
    stream, disturber = make_stream(), make_stream()
    pieces = []
    for i in range(0, 3200, 160):
        pieces.append(stream.process(samples[i : i + 160]))
        disturber.process(other[i : i + 160])
    np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_process_into_writes_what_process_returns(make_stream, rng):
    samples = noise(rng, 3210)
    expected = make_stream().process(samples)
    stream, out = make_stream(), np.full((3, expected.shape[1]), 7.0, np.float32)
    rows = []
    for i in range(0, 3210, 321):
        n_frames = stream.process_into(samples[i : i + 321], out)
        rows.append(out[:n_frames].copy())
        out[:] = 7.0
    np.testing.assert_array_equal(np.concatenate(rows), expected)
    n_frames = stream.process_into(np.zeros(0, np.float32), out)
    assert n_frames == 0
    assert (out == 7.0).all()


# bad input


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e6, -3e38])
def test_process_refuses_bad_samples_and_takes_nothing(make_stream, rng, bad):
    samples = noise(rng, 1000)
    stream = make_stream()
    expected = make_stream().process(samples)
    broken = samples.copy()
    broken[500] = bad
    with pytest.raises(ConfigError, match=r"finite and within \+-1e6, got 1 that"):
        stream.process(broken)
    assert stream.samples_in == 0
    np.testing.assert_array_equal(stream.process(samples), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e6, -3e38])
def test_process_into_takes_bad_samples_as_zeros_and_counts_them(make_stream, rng, bad):
    samples = noise(rng, 1600)
    stream, width = make_stream(), make_stream().process(samples).shape[1]
    broken, silenced = samples.copy(), samples.copy()
    broken[[0, 399, 400, 777]] = bad
    silenced[[0, 399, 400, 777]] = 0.0
    out = np.zeros((10, width), np.float32)
    n_frames = stream.process_into(broken, out)
    np.testing.assert_array_equal(out[:n_frames], make_stream().process(silenced))
    assert stream.n_bad_samples == 4


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (np.zeros(400), TypeError, "samples: expected a float32 array, got float64"),
        (np.zeros(400, np.int16), TypeError, "samples: expected a float32 array, got int16"),
        (np.zeros(400, ">f4"), TypeError, "samples: expected a float32 array, got >f4"),
        ([0.0] * 400, TypeError, "samples: expected a float32 array, got list"),
        (np.zeros(800, np.float32)[::2], TypeError, "C-contiguous"),
        (np.zeros((1, 400), np.float32), ConfigError, r"samples must have shape \(any,\), got \(1, 400\)"),
        (np.array(0, np.float32), ConfigError, r"samples must have shape \(any,\), got \(\)"),
    ],
)
def test_arrays_of_the_wrong_kind_are_refused(make_stream, samples, error, message):
    stream = make_stream()
    with pytest.raises(error, match=message):
        stream.process(samples)
    with pytest.raises(error, match=message):
        stream.process_into(samples, np.zeros((9, stream.process(np.zeros(0, np.float32)).shape[1]), np.float32))


def test_an_out_that_does_not_fit_is_refused():
    samples, stream = np.zeros(720, np.float32), LogMel()
    with pytest.raises(ConfigError, match=r"out must have at least 3 rows for 720 samples, got \(2, 80\)"):
        stream.process_into(samples, np.zeros((2, 80), np.float32))
    with pytest.raises(ConfigError, match=r"out must have shape \(any, 80\), got \(3, 79\)"):
        stream.process_into(samples, np.zeros((3, 79), np.float32))
    with pytest.raises(TypeError, match="out: expected a float32 array, got float64"):
        stream.process_into(samples, np.zeros((3, 80)))
    read_only = np.zeros((3, 80), np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ConfigError, match="not writeable"):
        stream.process_into(samples, read_only)
    both = np.zeros((9, 80), np.float32)
    with pytest.raises(ConfigError, match="out must not overlap samples"):
        stream.process_into(both.reshape(-1), both)
    assert stream.samples_in == 0


@pytest.mark.parametrize("n_samples", [-1, 2**41])
def test_frames_for_refuses_counts_outside_its_range(n_samples):
    with pytest.raises(ConfigError, match=r"n_samples must be in \[0, 2\*\*40\]"):
        LogMel().frames_for(n_samples)


# settings


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("sample_rate", 44_100, "sample_rate must be 16000, .* got 44100"),
        ("sample_rate", 16_000.0, "sample_rate must be of type int, got 16000.0"),
        ("hop_length", 0, "0 < hop_length"),
        ("hop_length", 401, "hop_length=401, win_length=400"),
        ("win_length", 513, "win_length=513, n_fft=512"),
        ("n_fft", 500, "power of two in"),
        ("n_fft", 2**17, "power of two in"),
        ("window", "hamming", "window must be one of hann, povey, got 'hamming'"),
        ("window", ["hann"], "window must be one of hann, povey"),
        ("remove_dc", 1, "remove_dc must be true or false, got 1"),
        ("preemphasis", 1.0, r"preemphasis must be in \[0, 1\)"),
        ("preemphasis", float("nan"), "preemphasis must be finite"),
        ("input_scale", 0.0, r"input_scale must be in \(0, 65536\]"),
        ("n_mels", 0, "n_mels must be in"),
        ("n_mels", True, "n_mels must be of type int"),
        ("fmin", -1.0, "0 <= fmin < fmax"),
        ("fmax", 8000.1, "fmax=8000.1"),
        ("fmax", "8000", "fmax must be of type float"),
        ("mel_scale", "bark", "mel_scale must be one of htk, slaney"),
        ("mel_interpolation", "hz", "mel_interpolation must be one of hertz, mel"),
        ("mel_norm", None, "mel_norm must be one of none, slaney"),
        ("log_floor", 0.0, "log_floor must be in"),
        ("log_floor_mode", "clip", "log_floor_mode must be one of add, max"),
    ],
)
def test_settings_outside_their_range_are_refused_with_rule_and_value(setting, value, message):
    with pytest.raises(ConfigError, match=message):
        FeatureConfig(**{setting: value})


def test_mfcc_settings_outside_their_range_are_refused():
    with pytest.raises(ConfigError, match="n_mfcc=81, n_mels=80"):
        MfccConfig(n_mfcc=81)
    with pytest.raises(ConfigError, match=r"lifter must be in \(0, 1e6\], got 0.0"):
        MfccConfig(lifter=0.0)
    with pytest.raises(ConfigError, match="lifter_type must be one of"):
        MfccConfig(lifter_type="htk")
    with pytest.raises(ConfigError, match="features must be a FeatureConfig, got dict"):
        MfccConfig(features={})


def test_a_filter_without_a_bin_is_refused():
    with pytest.raises(ConfigError, match="mel filter 2 covers no FFT bin with n_mels=300, n_fft=512"):
        LogMel(FeatureConfig(n_mels=300))
    with pytest.raises(ConfigError, match="covers no FFT bin"):
        Mfcc(MfccConfig(FeatureConfig(n_mels=300)))


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="preset must be one of edgevc, kaldi, librosa, got 'htk'"):
        FeatureConfig.preset("htk")
    with pytest.raises(ConfigError, match="preset must be one of"):
        MfccConfig.preset("htk")


@pytest.mark.parametrize("preset", ["edgevc", "kaldi", "librosa"])
def test_settings_survive_a_manifest(preset):
    config = FeatureConfig.preset(preset)
    assert FeatureConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"unknown feature setting .hop_lenght.; did you mean hop_length\?"):
        FeatureConfig.from_dict({"hop_lenght": 160})


def test_sha256_is_over_filterbank_then_window_and_tells_presets_apart():
    stream = LogMel()
    content = stream.filterbank.tobytes() + stream.window.tobytes()
    assert stream.filterbank_sha256 == hashlib.sha256(content).hexdigest()
    # The shipped models carry this value: a change here makes every bundle unreadable.
    assert stream.filterbank_sha256 == "751e8611860dd8fba4da39381595046f34fd0bcdf8e3a10443dac89666ad5c5a"
    assert len({LogMel(FeatureConfig.preset(name)).filterbank_sha256 for name in ("edgevc", "kaldi", "librosa")}) == 3


def test_filterbank_and_window_are_copies(rng):
    stream, samples = LogMel(), noise(rng, 400)
    expected = LogMel().process(samples)
    stream.filterbank[:] = 0.0
    stream.window[:] = 0.0
    np.testing.assert_array_equal(stream.process(samples), expected)
