"""Voices as files: the same decoder wherever it is made, in both engines, live and in files. Some 15 s."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.live_doubles import QUIET, RATE, playing
from helpers.own_voice import FACTS, drawn_adapters, write_drawn_voice

import edgevc
from edgevc.bundle import AdapterLayer, Adapters, ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.errors import ConfigError, ModelError
from edgevc.live.session import LiveSession
from edgevc.testing.simulated_port import FakePort, SimulatedClock
from edgevc.voices.layers import read_layers
from edgevc.voices.library import MAX_VOICE_BYTES, load_voice, open_voice
from edgevc.voices.linear import quantized
from edgevc.voices.merge import added, merged
from edgevc.voices.writer import rounded, write_voice

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"
ENGINES = ("litert", "onnx")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "edgevc" / "voices"


@pytest.mark.parametrize("model", ["default", "low-latency", "tiny"])
def test_adapters_that_add_nothing_leave_every_byte_of_every_model(model):
    bundle = ModelBundle.find(model)
    drawn = drawn_adapters(bundle)
    nothing = Adapters(
        tuple(AdapterLayer(np.zeros_like(layer.up), layer.down) for layer in drawn.layers),
        np.zeros_like(drawn.offsets),
        "",
    )
    for engine in ENGINES:
        path = bundle.graphs["decoder"].files[engine]
        assert merged(bundle, nothing, engine).read(path) == bundle.read(path)


def test_both_engines_are_given_the_same_layers(tiny):
    adapters = rounded(drawn_adapters(tiny))
    found = []
    for engine in ENGINES:
        path = tiny.graphs["decoder"].files[engine]
        found.append(read_layers(engine, merged(tiny, adapters, engine).read(path), path))
    for one, other in zip(*found, strict=True):
        for name in ("weight", "scale", "bias"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_is_merged_is_the_sum_within_half_a_step(tiny):
    adapters = drawn_adapters(tiny)
    path = tiny.graphs["decoder"].files["onnx"]
    before = read_layers("onnx", tiny.read(path), path)
    after = read_layers("onnx", merged(tiny, adapters, "onnx").read(path), path)
    for old, new, adapter in zip(before, after, adapters.layers, strict=True):
        exact = old.values().astype(np.float64) + adapter.up.astype(np.float64) @ adapter.down
        # 0.501: the sum itself is rounded to float32
        assert np.all(np.abs(new.values() - exact) <= 0.501 * new.scale[:, None])
    np.testing.assert_array_equal(after[-1].bias, before[-1].bias + adapters.offsets)


def test_the_same_bits_are_made_everywhere():
    """Made on x86-64 with NumPy 2.4; a processor or a NumPy that rounds otherwise fails here."""
    rng = np.random.default_rng(7)

    def draw(*shape):
        return rng.integers(-1000, 1000, shape).astype(np.float32) / np.float32(977)

    layer = quantized(added(draw(64, 48), AdapterLayer(draw(64, 8), draw(8, 48))), draw(64))
    digest = hashlib.sha256(layer.weight.tobytes() + layer.scale.tobytes()).hexdigest()
    assert digest[:16] == "c0d307621477fee0"


def test_a_file_is_small_and_gives_back_what_was_written(tiny, voice_file):
    assert voice_file.stat().st_size <= MAX_VOICE_BYTES
    written, voice = rounded(drawn_adapters(tiny)), load_voice(voice_file, tiny)
    assert voice.spec.consent_record.basis == "nobody"
    for one, other in zip(written.layers, voice.adapters.layers, strict=True):
        np.testing.assert_array_equal(one.up, other.up)
        np.testing.assert_array_equal(one.down, other.down)
    np.testing.assert_array_equal(written.offsets, voice.adapters.offsets)


def test_the_same_voice_is_the_same_file(tiny, voice_file, tmp_path):
    write_drawn_voice(tmp_path / "again.voice", tiny)
    assert (tmp_path / "again.voice").read_bytes() == voice_file.read_bytes()


def test_rank_8_of_the_default_model_fits_into_the_limit(tmp_path):
    model = ModelBundle.default()
    facts = {**FACTS, "name": "me"}
    row = model.voice("slt").conditioning
    write_voice(tmp_path / "me.voice", model, facts, row, drawn_adapters(model, rank=8))
    assert (tmp_path / "me.voice").stat().st_size < MAX_VOICE_BYTES
    with pytest.raises(ModelError, match=r"at most 250000 bytes, got .*; lower the rank"):
        write_voice(tmp_path / "large.voice", model, facts, row, drawn_adapters(model, rank=12))
    assert not (tmp_path / "large.voice").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stream_speaks_with_the_merged_decoder(tiny, voice_file, engine):
    converter = VoiceConverter(tiny, engine)
    speech = speech_like(1.0, seed=3)
    own = converter.convert(speech, str(voice_file))
    shipped = converter.convert(speech, tiny.voices[0].name)
    assert np.abs(own - shipped).max() > 0.01
    # a converter whose only decoder is the merged one says the same
    voice = load_voice(voice_file, tiny)
    changed = VoiceConverter.of_graphs(tiny, converter.encoder, converter.decoder_of(voice))
    plain = type(voice)(voice.spec, voice.conditioning)
    np.testing.assert_array_equal(own, changed.convert(speech, plain))
    np.testing.assert_array_equal(shipped, converter.convert(speech, tiny.voices[0].name))


def test_a_voice_of_another_model_is_refused_by_name(voice_file):
    converter = VoiceConverter("default")
    with pytest.raises(ModelError, match=r"the voice me was made for the model tiny .*, not for default .*--bundle"):
        converter.stream(str(voice_file))


def test_a_voice_without_a_hash_of_its_model_needs_layers_that_fit(tiny, voice_file):
    voice = load_voice(voice_file, tiny)
    with pytest.raises(ModelError, match="other layers than"):
        VoiceConverter("default").decoder_of(voice)


def test_names_go_before_the_folder_and_the_folder_is_searched(tiny, voice_file, home, run):
    run("voice", "add", voice_file, "--bundle", "tiny")
    assert (home / "me.voice").read_bytes() == voice_file.read_bytes()
    converter = VoiceConverter(tiny)
    assert converter.voice("me").adapters is not None
    with pytest.raises(ModelError, match=r"no voice 'you'; known: .*; your own: me"):
        converter.voice("you")
    listed = json.loads(run("voices", "--bundle", "tiny", "--json").out)["own"]
    assert [(entry["voice"]["name"], entry["fits"]) for entry in listed] == [("me", True)]
    assert "for another model, tiny" in run("voices").out
    taken = tiny.voices[0].name
    assert (
        f"has a voice '{taken}' itself"
        in run("voice", "add", voice_file, "--name", taken, "--bundle", "tiny", code=2).err
    )
    assert "exists" in run("voice", "add", voice_file, "--bundle", "tiny", code=8).err


def test_files_and_folders_are_converted_with_it(voice_file, home, run, tmp_path):
    run("voice", "add", voice_file, "--bundle", "tiny")
    tiny = ("--bundle", "tiny")
    run("convert", SENTENCE, tmp_path / "a.wav", "--voice", voice_file, *tiny)
    run("convert", SENTENCE, tmp_path / "b.wav", "--voice", "me", *tiny)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    shutil.copy(SENTENCE, tmp_path / "c.wav")
    (tmp_path / "in").mkdir()
    shutil.move(tmp_path / "c.wav", tmp_path / "in" / "c.wav")
    run("convert", tmp_path / "in", tmp_path / "out", "--voice", "me", "--jobs", "1", *tiny, warns=True)
    np.testing.assert_array_equal(edgevc.read(tmp_path / "out" / "c.wav")[0], edgevc.read(tmp_path / "a.wav")[0])


def test_info_export_and_remove(voice_file, home, run, tmp_path):
    run("voice", "add", voice_file, "--name", "other", "--bundle", "tiny")
    said = run("voice", "info", "other").out
    assert "made for the model tiny" in said
    assert "nobody's voice" in said
    assert "similarity: 0.8" in said
    assert json.loads(run("voice", "info", voice_file, "--json").out)["voice"]["name"] == "me"
    run("voice", "export", "other", tmp_path / "copy.voice")
    assert (tmp_path / "copy.voice").read_bytes() == voice_file.read_bytes()
    run("voice", "remove", "other")
    assert list(home.iterdir()) == []
    assert "known: none" in run("voice", "remove", "other", code=3).err


def test_a_damaged_file_in_the_folder_is_named_and_hinders_nothing(voice_file, home, run):
    home.mkdir(parents=True)
    (home / "bad.voice").write_bytes(voice_file.read_bytes()[:-100])
    assert "bad        cannot be used" in run("voices", "--bundle", "tiny").out


def test_a_signed_voice_says_who_made_it(tiny, voice_file, tmp_path, run):
    path = tmp_path / "me.voice"
    shutil.copy(voice_file, path)
    run("keygen", tmp_path / "key", "--no-passphrase")
    run("sign", "--key", tmp_path / "key.key", path)
    assert "signed by key" in run("voice", "info", path).out
    assert load_voice(path, tiny).adapters is not None


class Heard:
    """Collects what is played."""

    def __init__(self, samples, clock):
        self.samples, self.clock, self.played = samples, clock, []

    def port(self):
        return FakePort(self.clock, playing(self.samples), lambda position, played: self.played.append(played.copy()))

    def sound(self):
        return np.concatenate(self.played)


def test_a_live_session_switches_between_own_and_shipped_without_a_click(tiny, voice_file, home, run):
    run("voice", "add", voice_file, "--name", "mine", "--bundle", "tiny")
    clock = SimulatedClock()
    # a hum: its steps are small, so a click stands out
    hum = (0.2 * np.sin(2 * np.pi * 150 * np.arange(4 * RATE) / RATE)).astype(np.float32)
    heard = Heard(hum, clock)
    session = LiveSession(QUIET, model="tiny", voice=str(voice_file), open_port=heard.port, clock=clock)
    assert session.voice == "me"
    assert session.voices == (*VoiceConverter(tiny).voices, "mine", "me")
    session.open()
    # the shipped voice hums, both of one's own hiss as well: what is louder than either is a click
    switches = {50: tiny.voices[0].name, 120: "mine", 200: tiny.voices[1].name, 260: "me"}
    for hop in range(330):
        if hop in switches:
            session.set_voice(switches[hop])
        session.step()
    session.stop()
    jumps = np.abs(np.diff(heard.sound(), 2))
    near = np.zeros(len(jumps), bool)
    for hop in switches:
        near[160 * hop : 160 * hop + RATE // 5] = True
    # measured 0.98 times
    assert jumps[near].max() < 1.2 * jumps[~near].max()
    # and where the shipped voice has come, it hums alone
    assert jumps[160 * 80 : 160 * 115].max() < 0.2 * jumps[160 * 150 : 160 * 195].max()
    with pytest.raises(ConfigError, match="voice must be one of"):
        session.set_voice("nobody")
    with pytest.raises(ModelError, match="was made for the model tiny"):
        LiveSession(QUIET, voice=str(voice_file), open_port=heard.port, clock=clock)


def test_a_voice_file_is_one_voice_and_no_other_model(tiny, tmp_path):
    for path, rule in ((tmp_path / "none.voice", "there is no voice"), (SENTENCE, "is not a zip archive")):
        with pytest.raises(ModelError, match=rule):
            open_voice(path)
    large = tmp_path / "large.voice"
    large.write_bytes(b"PK" + bytes(600_000))
    with pytest.raises(ModelError, match="at most 250000 bytes"):
        open_voice(large)
