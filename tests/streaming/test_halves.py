"""The two halves of a converter, each used alone, and what a converter offers beside them."""

import asyncio
import copy
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

import edgevc
from edgevc.bundle import ModelBundle, Voice
from edgevc.converter import VoiceConverter, VoiceSettings
from edgevc.converter.bench import speech_like
from edgevc.converter.stream import BAD_CHUNKS
from edgevc.errors import ConfigError, ModelError

SECONDS = 1.0
HOP = 160


@pytest.fixture(scope="module")
def speech():
    return speech_like(SECONDS, seed=4)


@pytest.fixture(scope="module")
def converter():
    return VoiceConverter("tiny")


def test_a_listener_and_a_speaker_are_a_converter(converter, speech):
    listener, speaker = converter.listener(), converter.speaker("bdl")
    output = np.zeros(len(speech) // HOP * HOP, np.float32)
    for start in range(0, len(output), HOP):
        speaker.speak(listener.hear(speech[start : start + HOP]), output[start : start + HOP])
    np.testing.assert_array_equal(output, converter.stream("bdl").process(speech))


def test_one_listener_feeds_two_speakers(converter, speech):
    listener = converter.listener()
    speakers = [converter.speaker("bdl"), converter.speaker("slt", VoiceSettings(semitones=3))]
    outputs = [[], []]
    for start in range(0, 8000, HOP):
        heard = listener.hear(speech[start : start + HOP])
        for speaker, said in zip(speakers, outputs, strict=True):
            said.append(np.zeros(HOP, np.float32))
            speaker.speak(heard, said[-1])
    for speaker, said in zip(speakers, outputs, strict=True):
        alone = converter.stream(speaker.voice, speaker.settings)
        np.testing.assert_array_equal(np.concatenate(said), alone.process(speech[:8000]))


def test_phones_of_a_listener_are_log_probabilities(converter, speech):
    phones = [converter_heard.phones.copy() for converter_heard in heard_by(converter.listener(), speech)]
    np.testing.assert_allclose(np.exp(np.concatenate(phones)).sum(axis=1), 1.0, atol=1e-3)


def heard_by(listener, samples):
    n = listener.chunk_samples
    return (listener.hear(samples[start : start + n]) for start in range(0, len(samples) - n + 1, n))


def test_halves_can_be_forked_and_reset(converter, speech):
    listener = converter.listener()
    assert len(list(heard_by(listener, speech[:4000]))) == 25
    twin = copy.copy(listener)
    first, second = ([heard.content.copy() for heard in heard_by(one, speech[4000:8000])] for one in (listener, twin))
    np.testing.assert_array_equal(first, second)
    listener.reset()
    fresh = converter.listener()
    first, second = ([heard.content.copy() for heard in heard_by(one, speech[:2000])] for one in (listener, fresh))
    np.testing.assert_array_equal(first, second)


def test_settings_change_while_a_stream_runs(converter, speech):
    stream, plain = converter.stream("slt"), converter.stream("slt")
    np.testing.assert_array_equal(stream.process(speech[:4800]), plain.process(speech[:4800]))
    stream.settings = VoiceSettings(gain_db=-20)
    soft, loud = stream.process(speech[4800:9600]), plain.process(speech[4800:9600])
    np.testing.assert_array_equal(soft, loud * np.float32(0.1))
    stream.settings = VoiceSettings(semitones=5, formant_semitones=2, gate=False)
    assert not np.array_equal(stream.process(speech[9600:]), plain.process(speech[9600:]))
    assert stream.settings.semitones == 5


@pytest.mark.parametrize(
    "settings", [{"semitones": 25}, {"formant_semitones": -13}, {"gain_db": 41}, {"semitones": float("nan")}]
)
def test_a_setting_outside_its_range_is_refused(settings):
    with pytest.raises(ConfigError, match="must be within"):
        VoiceSettings(**settings)


def test_a_voice_that_is_in_no_bundle_speaks(converter, speech):
    slt, bdl = converter.voice("slt"), converter.voice("bdl")
    mixed = Voice(slt.spec, (0.5 * (slt.conditioning + bdl.conditioning)).astype(np.float32))
    output = converter.convert(speech, mixed)
    assert np.abs(output).max() > 0.01
    assert not np.array_equal(output, converter.convert(speech, "slt"))


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_a_recording_of_any_rate_keeps_rate_length_and_place(converter, speech, rate):
    heard = edgevc.resample(speech, 16_000, rate)
    output = converter.convert(heard, "slt", sample_rate=rate)
    assert (len(output), output.dtype) == (len(heard), np.float32)
    there = edgevc.resample(output, rate, 16_000)
    expected = converter.convert(edgevc.resample(heard, rate, 16_000), "slt")
    n = min(len(there), len(expected))
    error = np.sqrt(np.mean((there[:n] - expected[:n]) ** 2) / np.mean(expected[:n] ** 2))
    # the resampler's band ends below 4 kHz there
    assert error < (0.2 if rate == 8000 else 0.02)


def test_a_converter_can_be_pickled_and_a_stream_says_why_not(converter, speech):
    again = pickle.loads(pickle.dumps(converter))
    np.testing.assert_array_equal(again.convert(speech, "slt"), converter.convert(speech, "slt"))
    with pytest.raises(TypeError, match="a stream cannot be pickled, its converter can"):
        pickle.dumps(converter.stream())
    stream = converter.stream()
    stream.process(speech[:4000])
    twin = copy.deepcopy(stream)
    np.testing.assert_array_equal(twin.process(speech[4000:]), stream.process(speech[4000:]))


def test_a_pickled_converter_does_not_open_another_model(tmp_path):
    models = Path(ModelBundle.default().path).parent
    folder = shutil.copytree(models / "tiny", tmp_path / "model")
    data = pickle.dumps(VoiceConverter(folder))
    shutil.rmtree(folder)
    shutil.copytree(models / "low-latency", folder)
    with pytest.raises(ModelError, match="has changed since the converter was pickled"):
        pickle.loads(data)


def test_a_converter_says_what_it_has():
    with edgevc.VoiceConverter("low-latency") as converter:
        assert converter.voices == ("kathleen", "slt", "bdl", "anon")
        assert converter.latency_ms == 25.0
        assert converter.voice().spec.name == "kathleen"


def test_asyncio_gets_the_same_samples(converter, speech):
    async def blocks():
        for start in range(0, len(speech), 333):
            yield speech[start : start + 333]

    async def all_of(stream):
        return [block async for block in edgevc.converted(stream, blocks())]

    output = np.concatenate(asyncio.run(all_of(converter.stream("slt"))))
    stream = converter.stream("slt")
    np.testing.assert_array_equal(output, np.concatenate([stream.process(speech), stream.flush()]))


class _Poisoned:
    """A stand-in for a decoder that breaks at a given call and stays broken until its state is new."""

    def __init__(self, inner, breaks_at):
        self._inner, self._breaks_at = inner, breaks_at
        self.spec, self.engine, self.chunk_hops = inner.spec, inner.engine, inner.chunk_hops
        self.engine_version = inner.engine_version
        self.calls, self.resets = 0, 0

    def new_state(self):
        outer, state = self, self._inner.new_state()
        reset = state.reset

        def counted_reset():
            outer.resets += 1
            reset()

        state.reset = counted_reset
        return state

    def run(self, state, *inputs):
        self.calls += 1
        outputs = self._inner.run(state, *inputs)
        if self.calls >= self._breaks_at and not self.resets:
            return (np.full_like(outputs[0], np.nan), *outputs[1:])
        return outputs


def test_a_model_that_goes_wrong_is_silent_counted_and_made_to_forget(converter, speech):
    decoder = _Poisoned(converter.decoder, 30)
    stream = VoiceConverter.of_graphs(converter.bundle, converter.encoder, decoder).stream("slt")
    output = stream.process(speech)
    assert np.isfinite(output).all()
    assert stream.n_bad_frames == BAD_CHUNKS
    assert stream.n_model_resets == 1
    assert np.abs(output[60 * HOP :]).max() > 0.01


def test_a_good_model_is_never_reset(converter, speech):
    stream = converter.stream("slt")
    stream.process(speech)
    assert (stream.n_bad_frames, stream.n_model_resets) == (0, 0)


LEVEL_DB = 1.0
"""Measured 0.15 at most."""


@pytest.mark.parametrize("name", ["default", "low-latency", "tiny"])
@pytest.mark.parametrize("offset", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("kind", ["offset", "rumble"])
def test_an_offset_or_a_rumble_of_the_microphone_leaves_the_level_as_it_is(name, offset, kind):
    audio, rate = edgevc.read(Path(__file__).resolve().parents[2] / "examples" / "sentence.wav")
    audio *= np.float32(0.25 / np.abs(audio).max())
    converter = VoiceConverter(name)
    below = 1.0 if kind == "offset" else np.sin(2 * np.pi * 5 * np.arange(len(audio)) / rate)
    level, found = (
        np.mean(np.square(converter.convert(samples.astype(np.float32), "kathleen")))
        for samples in (audio, audio + offset * below)
    )
    assert abs(10 * np.log10(found / level)) < LEVEL_DB


def test_a_stream_whose_input_was_filtered_already_gives_the_same(converter, speech):
    filtered = edgevc._core.HighPass(16_000).process(speech)
    np.testing.assert_array_equal(
        converter.stream("slt", high_pass=False).process(filtered), converter.stream("slt").process(speech)
    )
