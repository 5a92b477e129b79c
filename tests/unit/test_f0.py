"""The F0 tracker on signals whose F0 is known by construction."""

import copy

import numpy as np
import pytest

from edgevc import _core
from edgevc.dsp.pitch import PitchTracker
from edgevc.errors import ConfigError

RATE = 16000
HOP = 160
LATENCY, LOW_LATENCY = 480, 240
# Frames within 0.3 s of the start are still settling: the usual F0 and the noise floor are not known yet.
SETTLED = 30

MAX_CENTS_SINE = 1.0
MAX_CENTS_PULSES = 5.0
MAX_CENTS_VOWEL = 10.0
MAX_CENTS_GLIDE = 30.0
MAX_VOICED_NOISE = 0.05
MAX_GAIN_CENTS = 0.1


def sine(f0, seconds=1.0, amplitude=0.1):
    return (amplitude * np.sin(2 * np.pi * f0 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def harmonics(phase, f0, weight):
    """Sum of all harmonics below 7 kHz, `weight(hertz)` each; phase in cycles of the fundamental."""
    f0 = np.broadcast_to(f0, phase.shape)
    total = np.zeros(len(phase))
    for k in range(1, int(7000 / f0.min()) + 1):
        total += np.where(k * f0 < 7000, weight(k * f0), 0.0) * np.cos(2 * np.pi * k * phase)
    return (0.1 * total / np.abs(total).max()).astype(np.float32)


def formants(*centres):
    """Two-pole resonances of 100 Hz width over the glottis' 12 dB per octave and the lips' rise."""

    def weight(hertz):
        gain = 1.0 / (1.0 + (hertz / 100.0) ** 2) * hertz / 100.0
        for centre in centres:
            gain = gain / np.sqrt((1 - (hertz / centre) ** 2) ** 2 + (100.0 * hertz / centre**2) ** 2)
        return gain

    return weight


VOWELS = {"a": formants(730, 1090, 2440), "i": formants(270, 2290, 3010), "u": formants(300, 870, 2240)}


def vowel(name, f0, seconds=1.0):
    return harmonics(f0 * np.arange(int(seconds * RATE)) / RATE, f0, VOWELS[name])


def pulses(f0, seconds=1.0):
    return harmonics(f0 * np.arange(int(seconds * RATE)) / RATE, f0, np.ones_like)


def track(x, **settings):
    tracker = PitchTracker(**settings)
    return np.concatenate((tracker.process(x), tracker.flush()))


def cents(f0, expected):
    return 1200 * np.abs(np.log2(f0 / expected))


def steady_f0(x):
    """F0 of the frames whose analysis window lies in the signal, all of which must be voiced."""
    f0 = track(x)[SETTLED : len(x) // HOP - 3, 0]
    assert np.all(f0 > 0), f"{np.count_nonzero(f0 == 0)} of {len(f0)} frames are unvoiced"
    return f0


@pytest.mark.parametrize("f0", [70, 100, 147.3, 220, 330, 450, 495])
def test_a_sine_is_measured_to_a_cent(f0):
    assert cents(steady_f0(sine(f0)), f0).max() < MAX_CENTS_SINE


@pytest.mark.parametrize("f0", [70, 85.5, 120, 200, 311, 450])
def test_a_pulse_train_is_measured_without_octave_errors(f0):
    assert cents(steady_f0(pulses(f0)), f0).max() < MAX_CENTS_PULSES


@pytest.mark.parametrize("name", VOWELS)
@pytest.mark.parametrize("f0", [70, 95, 130, 180, 250, 350, 450])
def test_a_vowel_is_measured_without_octave_errors(name, f0):
    assert cents(steady_f0(vowel(name, f0)), f0).max() < MAX_CENTS_VOWEL


def test_a_weak_fundamental_is_not_mistaken_for_its_second_harmonic():
    t = np.arange(RATE) / RATE
    x = sum(a * np.cos(2 * np.pi * 110 * k * t) for k, a in [(1, 0.3), (2, 1.0), (3, 0.5), (4, 0.5), (5, 0.3)])
    assert cents(steady_f0((0.05 * x).astype(np.float32)), 110).max() < MAX_CENTS_PULSES


@pytest.mark.parametrize("latency", [LATENCY, LOW_LATENCY])
def test_a_glide_is_followed_at_the_stated_frame_centres(latency):
    seconds = 2.0
    t = np.arange(int(seconds * RATE)) / RATE
    f0 = 120 * 2 ** (t / seconds)
    frames = track(harmonics(np.cumsum(f0) / RATE, f0, VOWELS["a"]), latency=latency)
    centres = HOP * (np.arange(len(frames)) + 1) - latency
    inside = slice(SETTLED, len(t) // HOP - 3)
    found, expected = frames[inside, 0], f0[centres[inside]]
    assert cents(found, expected).max() < MAX_CENTS_GLIDE
    # A frame later or earlier is 6 cents off all the way, so the mean tells where the centres are: within half a frame.
    assert abs(np.mean(1200 * np.log2(found / expected))) < 3.0


def test_a_vowel_in_noise_10_db_below_keeps_its_octave(rng):
    x = vowel("a", 130, 2.0)
    noise = rng.normal(size=len(x)) * np.sqrt(np.mean(x**2)) * 10 ** (-10 / 20)
    f0 = track((x + noise).astype(np.float32))[SETTLED : len(x) // HOP - 3, 0]
    voiced = f0[f0 > 0]
    assert len(voiced) > 0.9 * len(f0)
    assert np.mean(cents(voiced, 130) > 100) < 0.02


def test_a_vowel_held_for_20_seconds_stays_voiced():
    assert cents(steady_f0(vowel("a", 150, 20.0)), 150).max() < MAX_CENTS_VOWEL


@pytest.mark.parametrize("level", [1.0, 0.1, 0.001])
@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_noise_is_unvoiced(rng, level, slope):
    spectrum = np.fft.rfft(rng.normal(size=8 * RATE))
    noise = np.fft.irfft(spectrum / (np.arange(len(spectrum)) + 100.0) ** slope)
    frames = track((0.3 * level * noise / np.abs(noise).max()).astype(np.float32))
    assert np.mean(frames[SETTLED:, 0] > 0) < MAX_VOICED_NOISE


def test_noise_between_words_is_unvoiced(rng):
    word, pause = vowel("a", 140, 0.5), np.zeros(RATE, np.float32)
    x = np.concatenate([part for _ in range(4) for part in (word, pause)])
    x += (3e-4 * rng.normal(size=len(x))).astype(np.float32)
    frames = track(x)
    second = (HOP * (np.arange(len(frames)) + 1) - LATENCY) / RATE
    in_pause = (second % 1.5 > 0.6) & (second % 1.5 < 1.4)
    in_word = (second % 1.5 > 0.1) & (second % 1.5 < 0.4)
    assert np.mean(frames[in_pause, 0] > 0) < MAX_VOICED_NOISE
    assert np.all(frames[in_word, 0] > 0)


@pytest.mark.parametrize("x", [np.zeros(RATE, np.float32), np.full(RATE, 0.3, np.float32)])
def test_silence_and_direct_current_are_unvoiced(x):
    assert np.all(track(x)[:, 0] == 0)


def test_silence_has_level_minus_100_and_no_period():
    np.testing.assert_array_equal(track(np.zeros(RATE, np.float32)), np.tile(np.float32([0, 0, -100]), (103, 1)))


@pytest.mark.parametrize("latency", [LATENCY, LOW_LATENCY])
def test_level_is_the_hann_weighted_mean_square_around_the_centre(rng, latency):
    x = (0.1 * rng.normal(size=3000)).astype(np.float32)
    frames = track(x, latency=latency)
    padded = np.concatenate((np.zeros(1000), x.astype(np.float64), np.zeros(1000)))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for m, level in enumerate(frames[:, 2]):
        start = 1000 + HOP * (m + 1) - latency - 200
        expected = 10 * np.log10(np.mean(hann * padded[start : start + 400] ** 2) + 1e-10)
        # measured 4e-6 dB: the last bit of a float near 30
        assert abs(level - expected) < 2e-5, f"frame {m}"


def test_a_click_is_loudest_in_the_frame_that_the_latency_names():
    x = np.zeros(8000, np.float32)
    x[HOP * 20] = 1.0
    m = int(np.argmax(track(x)[:, 2]))
    assert HOP * (m + 1) - LATENCY == HOP * 20
    assert PitchTracker().latency == LATENCY


# hearing less ahead, it believes in a voice later
@pytest.mark.parametrize(("latency", "n_frames"), [(LATENCY, 2), (LOW_LATENCY, 3)])
@pytest.mark.parametrize("f0", [100, 200])
def test_voicing_starts_and_ends_within_a_few_frames_of_the_sound(f0, latency, n_frames):
    x = np.zeros(2 * RATE, np.float32)
    x[8000:24000] = vowel("a", f0)
    frames = track(x, latency=latency)
    centres = HOP * (np.arange(len(frames)) + 1) - latency
    voiced = centres[frames[:, 0] > 0]
    assert abs(voiced[0] - 8000) <= n_frames * HOP
    assert abs(voiced[-1] - 24000) <= n_frames * HOP


def test_periodicity_is_high_in_a_vowel_and_low_in_noise(rng):
    assert track(vowel("a", 120))[SETTLED:95, 1].min() > 0.95
    noise = track((0.1 * rng.normal(size=2 * RATE)).astype(np.float32))
    assert noise[SETTLED:, 1].mean() < 0.6
    assert noise[:, 1].min() >= 0.0
    assert noise[:, 1].max() <= 1.0


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_f0_and_voicing_do_not_depend_on_gain(rng, gain):
    x = np.concatenate((vowel("a", 110), 0.2 * sine(300), vowel("i", 210), np.zeros(RATE // 2, np.float32)))
    x += (1e-3 * rng.normal(size=len(x))).astype(np.float32)
    quiet, usual = track((gain * x).astype(np.float32))[:, 0], track(x.astype(np.float32))[:, 0]
    np.testing.assert_array_equal(quiet > 0, usual > 0)
    voiced = usual > 0
    assert cents(quiet[voiced], usual[voiced]).max() < MAX_GAIN_CENTS


def speech_like(rng):
    parts = [vowel("a", 110, 0.4), 0.01 * rng.normal(size=3000), vowel("i", 220, 0.3), np.zeros(2001), sine(400, 0.2)]
    return np.concatenate(parts).astype(np.float32)


def test_frames_do_not_depend_on_how_the_input_is_cut(rng):
    x = speech_like(rng)
    expected = track(x)
    for sizes in ([1], [159, 160, 161], [0, 7, 0, 1000], [len(x)], rng.integers(0, 500, 50).tolist()):
        tracker, pieces, start, i = PitchTracker(), [], 0, 0
        while start < len(x):
            pieces.append(tracker.process(x[start : start + sizes[i % len(sizes)]]))
            start += sizes[i % len(sizes)]
            i += 1
        np.testing.assert_array_equal(np.concatenate([*pieces, tracker.flush()]), expected, err_msg=f"cuts {sizes}")


def test_a_frame_comes_with_the_sample_that_completes_its_hop(rng):
    tracker, x, emitted = PitchTracker(), (0.1 * rng.normal(size=700)).astype(np.float32), 0
    for fed in range(1, len(x) + 1):
        emitted += len(tracker.process(x[fed - 1 : fed]))
        assert emitted == fed // HOP


@pytest.mark.parametrize("length", [1, 159, 160, 161, 480, 1000])
def test_flush_completes_the_stated_number_of_frames_and_then_has_nothing(length):
    tracker = PitchTracker()
    n = len(tracker.process(np.zeros(length, np.float32))) + len(tracker.flush())
    assert n == -(-(length + LATENCY) // HOP)
    assert tracker.flush().shape == (0, 3)


def test_a_new_tracker_has_nothing_to_flush():
    assert PitchTracker().flush().shape == (0, 3)


@pytest.mark.parametrize("end", ["reset", "flush"])
def test_a_reset_tracker_equals_a_new_one(rng, end):
    x = speech_like(rng)
    tracker = PitchTracker()
    tracker.process((0.5 * rng.normal(size=4321)).astype(np.float32))
    tracker.process(vowel("u", 333))
    getattr(tracker, end)()
    np.testing.assert_array_equal(np.concatenate((tracker.process(x), tracker.flush())), track(x))


def test_a_copy_has_the_same_future_and_its_own_state(rng):
    x = speech_like(rng)[: HOP * 60]
    core = _core.PitchTracker(RATE)
    core.process(x)
    fork = copy.copy(core)
    future = fork.process(x)
    np.testing.assert_array_equal(core.process(x), future)


def test_nan_and_infinity_in_a_live_stream_count_as_zero(rng):
    x = speech_like(rng)[: HOP * 60]
    bad = x.copy()
    bad[1000:1003] = [np.nan, np.inf, -np.inf]
    clean = x.copy()
    clean[1000:1003] = 0.0
    np.testing.assert_array_equal(_core.PitchTracker(RATE).process(bad), _core.PitchTracker(RATE).process(clean))


def test_huge_samples_leave_no_trace_after_a_while():
    tracker = _core.PitchTracker(RATE)
    assert np.all(np.isfinite(tracker.process(np.full(HOP * 10, 3e38, np.float32))))
    frames = tracker.process(np.zeros(HOP * 100, np.float32))
    assert np.all(np.isfinite(frames))
    assert frames[-1, 2] == -100.0


def test_the_offline_tracker_refuses_nan_and_keeps_its_stream(rng):
    x = speech_like(rng)
    tracker = PitchTracker()
    first = tracker.process(x[:1000])
    with pytest.raises(ConfigError, match=r"samples must be finite, got nan at index 3"):
        tracker.process(np.float32([0, 0, 0, np.nan]))
    np.testing.assert_array_equal(np.concatenate((first, tracker.process(x[1000:]), tracker.flush())), track(x))


def test_wrong_arrays_are_refused_with_the_rule_and_the_value():
    tracker = PitchTracker()
    with pytest.raises(TypeError, match="expected a float32 array, got float64"):
        tracker.process(np.zeros(160))
    with pytest.raises(TypeError, match="got list"):
        tracker.process([0.0])
    with pytest.raises(ConfigError, match=r"shape \(T,\), mono, got \(2, 160\)"):
        tracker.process(np.zeros((2, 160), np.float32))
    with pytest.raises(ValueError, match="multiple of 160 long, got 161"):
        _core.PitchTracker(RATE).process(np.zeros(161, np.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 44100}, "sample_rate must be 16000 Hz, got 44100"),
        ({"hop_length": 80}, "hop_length must be 160 samples, got 80"),
        ({"f0_min": 59.0}, "expected 60 <= f0_min < f0_max <= 500 Hz, got f0_min=59"),
        ({"f0_max": 501.0}, "f0_max=501"),
        ({"f0_min": 300.0, "f0_max": 200.0}, "f0_max=200"),
        ({"f0_max": float("nan")}, "f0_max=nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        PitchTracker(**settings)


def test_other_f0_limits_are_kept():
    x = pulses(150)
    within = track(x, f0_min=60.0, f0_max=180.0)[SETTLED:90, 0]
    assert cents(within, 150).max() < MAX_CENTS_PULSES
    # the period of 150 Hz is out of reach, its octave is not
    above = track(x, f0_min=180.0, f0_max=500.0)[SETTLED:90, 0]
    assert np.all((above == 0) | (above >= 180))
    assert cents(above[above > 0], 300).max() < 100
