"""The post chain: limiter, equaliser, fades and the feedback guard."""

from pathlib import Path

import numpy as np
import pytest

from edgevc import _core
from edgevc.audio.reader import read_audio

RATE = 16_000
CEILING_DB = -0.3
# Largest sum of what a change adds above 2 kHz to a tone below it, dB re its amplitude; a hard switch gives -36 dB.
# Measured -88 dB (equaliser) and -109 dB (fade).
SPLASH_DB = -75.0
SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"


def noise(rng, n, scale=0.3):
    return (scale * rng.standard_normal(n)).astype(np.float32)


def tone(frequency, seconds=1.0, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def splash(samples, amplitude=0.5):
    """Loudest 20 ms above 2 kHz, dB re a tone of this amplitude."""
    length = 320
    window = np.blackman(length)
    frames = [samples[i : i + length] * window for i in range(0, len(samples) - length, 80)]
    energy = [np.sum(np.abs(np.fft.rfft(frame))[40:] ** 2) for frame in frames]
    return 20 * np.log10(np.sqrt(max(energy)) / (amplitude * length / 4) + 1e-12)


def cut(stream, samples, length):
    return np.concatenate([stream.process(samples[i : i + length]) for i in range(0, len(samples), length)])


MAKERS = {
    "limiter": lambda: _core.Limiter(RATE),
    "equaliser": lambda: equaliser((300.0, 12.0, 1.0), (3_000.0, -9.0, 4.0)),
    "fade": lambda: faded(0.0),
}


def equaliser(*filters):
    eq = _core.PeakingEq(RATE)
    for index, values in enumerate(filters):
        eq.set(index, *values)
    return eq


def faded(target):
    fade = _core.FadeGain(800)
    fade.set_target(target)
    return fade


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_output_does_not_depend_on_how_the_input_is_cut(make, rng):
    samples = noise(rng, 4_000, 1.5)
    expected = make().process(samples)
    for length in (1, 7, 160, 1_000):
        assert np.array_equal(cut(make(), samples, length), expected), length
    in_place = samples.copy()
    make().process_into(in_place, in_place)
    assert np.array_equal(in_place, expected)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_wrong_arrays_are_refused(make):
    with pytest.raises(TypeError):
        make().process(np.zeros(5))
    with pytest.raises(ValueError, match="samples must have shape"):
        make().process(np.zeros((2, 5), np.float32))
    samples = np.zeros(10, np.float32)
    with pytest.raises(ValueError, match="overlap"):
        make().process_into(samples[:8], samples[2:])
    with pytest.raises(ValueError, match=r"out must have shape \(5,\)"):
        make().process_into(samples[:5], samples[5:9])


class TestLimiter:
    def test_below_the_ceiling_it_is_a_pure_delay_of_one_millisecond(self, rng):
        limiter = _core.Limiter(RATE)
        samples = np.clip(noise(rng, 8_000), -limiter.ceiling, limiter.ceiling)
        assert limiter.latency == 16
        assert np.array_equal(limiter.process(samples)[16:], samples[:-16])
        assert limiter.limited_samples == 0

    @pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
    def test_nothing_comes_out_above_the_ceiling(self, rate, rng):
        limiter = _core.Limiter(rate)
        samples = noise(rng, 20_000, 3.0)
        samples[::1_000] = 50.0
        out = limiter.process(samples)
        assert np.abs(out).max() <= 10 ** (CEILING_DB / 20)
        assert limiter.limited_samples > 10_000

    def test_the_gain_has_no_steps(self):
        # A tone that becomes ten times too loud and comes back.
        loudness = np.ones(2 * RATE, np.float32)
        loudness[8_000:16_000] = 20.0
        fade = np.convolve(loudness, np.hanning(800) / np.hanning(800).sum(), "same").astype(np.float32)
        out = _core.Limiter(RATE).process(tone(200, 2.0) * fade)
        # A clipped tone has -20 dB there; the gain's own ripple at twice the tone's frequency is what is left.
        assert splash(out, 1.0) < -50

    def test_it_is_transparent_again_after_a_peak(self, rng):
        limiter = _core.Limiter(RATE)
        samples = noise(rng, 2 * RATE, 0.1)
        samples[1_000] = 3.0
        out = limiter.process(samples)
        touched = np.flatnonzero(out[16:] != samples[:-16])
        assert touched.min() >= 1_000 - 16
        # exp(-t / 50 ms) from the depth of the peak to -100 dB; measured 8,900 samples.
        assert touched.max() < 1_000 + 12_000

    def test_settings_out_of_range_are_refused(self):
        with pytest.raises(ValueError, match=r"sample_rate must be in \[4000, 192000\] Hz, got 100"):
            _core.Limiter(100)
        with pytest.raises(ValueError, match=r"ceiling_db must be in \[-60, 0\]"):
            _core.Limiter(RATE, 1.0)


class TestPeakingEq:
    def test_with_no_filter_or_0_db_the_input_comes_out_bit_for_bit(self, rng):
        samples = noise(rng, 2_000)
        assert np.array_equal(equaliser().process(samples), samples)
        flat = equaliser((1_000.0, 0.0, 1.0))
        flat.process(samples)
        assert np.array_equal(flat.process(samples), samples)

    @pytest.mark.parametrize(("centre", "gain_db", "quality"), [(100.0, 12.0, 0.7), (1_000.0, -18.0, 4.0)])
    def test_the_response_is_the_cookbooks(self, centre, gain_db, quality):
        eq = equaliser((centre, gain_db, quality))
        eq.reset()
        impulse = np.zeros(4 * RATE, np.float32)
        impulse[0] = 1.0
        response = np.abs(np.fft.rfft(eq.process(impulse)))
        z = np.exp(-2j * np.pi * np.arange(len(response)) / len(impulse))
        amplitude, angle = 10 ** (gain_db / 40), 2 * np.pi * centre / RATE
        alpha = np.sin(angle) / (2 * quality)
        above = 1 + alpha * amplitude - 2 * np.cos(angle) * z + (1 - alpha * amplitude) * z**2
        below = 1 + alpha / amplitude - 2 * np.cos(angle) * z + (1 - alpha / amplitude) * z**2
        # Single precision of the output; measured 4.3e-7.
        np.testing.assert_allclose(response, np.abs(above / below), rtol=0, atol=5e-6)

    def test_filters_move_without_a_click(self):
        samples = tone(440, 3.0, 0.05)
        eq = equaliser()
        parts = [eq.process(samples[:12_000])]
        for index, (start, end) in enumerate([(12_000, 20_000), (20_000, 28_000), (28_000, 36_000)]):
            eq.set(0, 440.0 + 60 * index, (-20.0, 20.0, -24.0)[index], 2.0)
            parts.append(eq.process(samples[start:end]))
        eq.clear(0)
        parts.append(eq.process(samples[36_000:]))
        assert splash(np.concatenate(parts)) < SPLASH_DB
        assert np.array_equal(eq.process(samples[:160]), samples[:160])

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ((8, 100.0, 0.0, 1.0), r"index must be in \[0, 8\)"),
            ((0, 0.0, 0.0, 1.0), "centre"),
            ((0, 7_900.0, 0.0, 1.0), "centre"),
            ((0, 100.0, 25.0, 1.0), "gain_db"),
            ((0, 100.0, float("nan"), 1.0), "gain_db"),
            ((0, 100.0, 0.0, 0.01), "quality"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, values, message):
        with pytest.raises(ValueError, match=message):
            _core.PeakingEq(RATE).set(*values)


class TestFadeGain:
    def test_it_is_exact_at_both_ends_and_smooth_between(self):
        samples = tone(500, 3.0)
        fade = _core.FadeGain(160)
        parts = [fade.process(samples[:16_000])]
        fade.set_target(0.0)
        parts.append(fade.process(samples[16_000:32_000]))
        fade.set_target(1.0)
        parts.append(fade.process(samples[32_000:]))
        out = np.concatenate(parts)
        assert np.array_equal(out[:16_000], samples[:16_000])
        assert not out[16_160:32_000].any()
        assert np.array_equal(out[32_160:], samples[32_160:])
        assert splash(out) < SPLASH_DB

    def test_two_of_them_cross_fade(self, rng):
        samples = noise(rng, 1_000)
        down, up = _core.FadeGain(300, 1.0), _core.FadeGain(300, 0.0)
        down.set_target(0.0)
        up.set_target(1.0)
        np.testing.assert_allclose(down.process(samples) + up.process(samples), samples, rtol=0, atol=1e-6)
        assert (down.gain, up.gain, up.remaining) == (0.0, 1.0, 0)

    def test_a_fade_may_turn_round_in_the_middle(self):
        fade = faded(0.0)
        samples = tone(500)
        parts = [fade.process(samples[:300])]
        fade.set_target(1.0)
        parts.append(fade.process(samples[300:]))
        assert splash(np.concatenate(parts)) < SPLASH_DB


@pytest.fixture(scope="module")
def speech():
    return np.concatenate([read_audio(SENTENCE)[0]] * 3)


def guarded_loop(speech, loop_gain, use_guard=True, delay=1_280, hop=160):
    """A microphone that hears speech and its own loudspeaker in a room; returns what it heard, and the guard.

    The room's response is scaled so that the loop's gain is loop_gain at its strongest frequency.
    """
    rng = np.random.default_rng(0)
    taps = 2_400
    room = 0.3 * rng.standard_normal(taps) * np.exp(-np.arange(taps) / 400)
    room[0] = 1.0
    room *= loop_gain / np.abs(np.fft.rfft(room, 8_192)).max()
    guard, limiter, fade = _core.FeedbackGuard(), _core.Limiter(RATE), _core.FadeGain(hop)
    n = len(speech) // hop * hop
    heard, played = np.zeros(n, np.float32), np.zeros(delay + taps + n, np.float32)
    for start in range(0, n, hop):
        # played[delay + taps + k] is output sample k, so this is what left the loudspeaker `delay` ago
        echo = np.convolve(played[start + 1 : start + taps + hop], room, "valid")
        heard[start : start + hop] = np.clip(speech[start : start + hop] + echo, -1, 1)
        if use_guard:
            fade.set_target(guard.gain)
        out = fade.process(limiter.process(heard[start : start + hop]))
        played[delay + taps + start : delay + taps + start + hop] = out
        guard.process(heard[start : start + hop], out)
    return heard, guard


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


class TestFeedbackGuard:
    @pytest.mark.parametrize("delay", [640, 1_300, 4_000])
    def test_speech_that_is_passed_on_is_no_feedback(self, speech, delay):
        # Bypass: the output is the input of some time ago, but nobody hears it.
        played = np.concatenate([np.zeros(delay, np.float32), speech])[: len(speech)]
        guard = _core.FeedbackGuard()
        gains = [guard.process(speech[i : i + 160], played[i : i + 160]) for i in range(0, len(speech) - 160, 160)]
        assert guard.events == 0
        assert min(gains) == 1.0

    def test_a_loop_that_dies_away_is_left_alone(self, speech):
        _, guard = guarded_loop(speech, 0.6)
        assert (guard.events, guard.gain) == (0, 1.0)

    @pytest.mark.parametrize("loop_gain", [1.5, 2.0, 4.0])
    def test_howling_is_noticed_and_turned_down(self, speech, loop_gain):
        unguarded, _ = guarded_loop(speech, loop_gain, use_guard=False)
        heard, guard = guarded_loop(speech, loop_gain)
        assert guard.events >= 1
        # The last two seconds: the loop is at its limit without the guard, and as quiet as the speech with it.
        assert level_db(unguarded[-2 * RATE :]) > -12
        assert level_db(heard[-2 * RATE :]) < level_db(speech[-2 * RATE :]) + 6

    def test_a_steady_tone_from_elsewhere_is_tried_and_let_go(self):
        heard = tone(440, 8.0, 0.2)
        guard = _core.FeedbackGuard()
        gains = [1.0]
        for start in range(0, len(heard), 160):
            hop = heard[start : start + 160]
            gains.append(guard.process(hop, hop * np.float32(gains[-1])))
        assert guard.events == 0
        assert max(gains[-200:]) == 1.0
        # the tries become rarer
        assert np.mean(np.array(gains) < 1.0) < 0.4

    def test_the_gain_comes_back_slowly_when_the_loop_is_gone(self, speech):
        _, guard = guarded_loop(speech[: 6 * RATE], 3.0)
        before = guard.gain
        assert before < 0.6
        silence = np.zeros(160, np.float32)
        gains = [guard.process(silence, silence) for _ in range(4_500)]
        assert gains[-1] == 1.0
        assert np.max(np.diff(gains)) < 0.07

    def test_nothing_and_nonsense_do_no_harm(self):
        guard = _core.FeedbackGuard()
        bad = np.full(1_600, np.nan, np.float32)
        for _ in range(20):
            assert guard.process(bad, bad) == 1.0
            assert guard.process(np.zeros(1_600, np.float32), np.zeros(1_600, np.float32)) == 1.0
