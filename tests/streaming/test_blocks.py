"""A model that hears in blocks: each call takes as many hops as its graphs do, whatever is asked for."""

import argparse
import dataclasses
import json
import shutil

import numpy as np
import pytest
from helpers.live_doubles import QUIET, RATE, Stage, playing
from helpers.tiny_bundle import N_VOICE, LevelNet, TinyNet, write_tiny_bundle

from edgevc import cli
from edgevc.audio.reader import read_audio
from edgevc.board import tune
from edgevc.bundle import ENGINES, ModelBundle, write_manifest
from edgevc.converter import VoiceConverter, VoiceSettings
from edgevc.converter.bench import speech_like
from edgevc.dsp.features import LogMel
from edgevc.engines import open_graph
from edgevc.errors import ConfigError, ModelError
from edgevc.live.converters import load_converters
from edgevc.live.settings import LIVE, with_hops_of

BLOCK = 22
LATENCY = 480
SETTINGS = {
    "filterbank_sha256": LogMel().filterbank_sha256,
    "latency_samples": LATENCY,
    "pitch_latency_samples": LATENCY,
}


class SoftNet(TinyNet):
    """As soft as speech, so that no limiter changes a sample."""

    def __init__(self):
        super().__init__()
        self.filters *= 0.1
        self.voice *= 0.1
        self.voice[0] -= 5.0
        self.voices = np.random.default_rng(2).standard_normal((2, N_VOICE)).astype(np.float32)
        self.voices[:, 0] = 1.0


def write(folder, *chunk_hops):
    write_tiny_bundle(folder, folder.name, SoftNet(), chunk_hops=chunk_hops, **SETTINGS)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("blocks") / "bundle", BLOCK)


@pytest.fixture(scope="module")
def bundle(folder):
    return ModelBundle.open(folder)


@pytest.fixture(scope="module")
def speech():
    return speech_like(2.5, seed=3)[:30_011]


@pytest.fixture(params=ENGINES)
def converter(request, bundle):
    return VoiceConverter(bundle, request.param)


def feed(stream, samples, piece):
    output = [stream.process(samples[at : at + piece]) for at in range(0, len(samples), piece)]
    return np.concatenate([*output, stream.flush()])


def test_a_block_is_what_every_call_takes(bundle):
    assert bundle.block_hops == BLOCK
    assert [VoiceConverter(bundle, "onnx", asked).chunk_hops for asked in (1, 2, 4)] == [BLOCK] * 3
    converter = VoiceConverter(bundle)
    assert converter.latency == LATENCY
    assert converter.latency_ms == 1000 * (LATENCY + BLOCK * 160) / RATE == 250
    with pytest.raises(ConfigError, match=r"chunk_hops must be one of \(22,\), got 1"):
        open_graph(bundle, "encoder", "onnx", 1)
    assert ModelBundle.default().block_hops is None


@pytest.mark.parametrize("piece", [1, 160, 1000, BLOCK * 160, 16_000])
def test_output_does_not_depend_on_how_the_input_is_cut(converter, speech, piece):
    whole = converter.stream()
    expected = np.concatenate([whole.process(speech), whole.flush()])
    assert len(expected) == len(speech) + LATENCY
    assert np.abs(expected).max() > 0.01
    assert np.array_equal(feed(converter.stream(), speech, piece), expected)


def test_blocks_give_what_single_hops_give(converter, speech, tmp_path):
    # the same weights behind graphs that take hop by hop
    single = VoiceConverter(write(tmp_path / "hops", 1, 2, 4), converter.engine).convert(speech)
    assert converter.convert(speech) == pytest.approx(single, abs=1e-5)


def test_a_fork_within_a_block_has_the_same_future(converter, speech):
    stream = converter.stream()
    first = stream.process(speech[:5000])
    twin = stream.fork()
    assert np.array_equal(stream.process(speech[5000:]), twin.process(speech[5000:]))
    assert len(first) == BLOCK * 160


def test_a_click_comes_out_exactly_one_latency_later(tmp_path):
    write_tiny_bundle(tmp_path / "level", "level", LevelNet(), chunk_hops=(BLOCK,), **SETTINGS)
    converter = VoiceConverter(tmp_path / "level")
    # neither the high-pass nor the watermark, which ring
    stream = converter.stream("first", VoiceSettings(mark=False), high_pass=False)
    samples = np.zeros(12_000, np.float32)
    samples[4000] = 1.0
    output = np.concatenate([stream.process(samples), stream.flush()])
    sounding = np.flatnonzero(np.abs(output) > 1e-4 * np.abs(output).max())
    assert abs((sounding[0] + sounding[-1]) / 2 - (4000 + LATENCY)) <= 2


@pytest.mark.parametrize("block", [160, 333])
def test_live_gives_what_a_file_gives_sample_for_sample(bundle, block):
    samples = speech_like(4.0)
    stage = Stage(playing(samples), QUIET, {BLOCK: VoiceConverter(bundle, "onnx")}, block_length=block)
    stage.run(3.5)
    delay = round(stage.stats.latency.total * RATE / 1000) - block
    output = stage.tape.samples[delay:]
    offline = VoiceConverter(bundle, "onnx").convert(samples)
    assert len(output) > 2.5 * RATE
    assert np.array_equal(output, offline[: len(output)])
    assert np.abs(output).max() > 0.01
    assert stage.stats.chunk_hops == BLOCK
    assert stage.stats.hops_dropped == stage.stats.deadlines_missed == 0


def test_modes_and_voices_change_at_the_next_block(bundle):
    stage = Stage(playing(speech_like(6.0)), QUIET, {BLOCK: VoiceConverter(bundle, "onnx")})
    stage.run(1.0)
    stage.session.apply("voice", "second")
    stage.run(1.0)
    assert stage.stats.voice == "second"
    stage.session.apply("mode", "mute")
    stage.run(1.5)
    assert not stage.tape.samples[-RATE // 4 :].any()
    stage.session.apply("mode", "convert")
    stage.run(1.5)
    assert np.abs(stage.tape.samples[-RATE // 2 :]).max() > 0.01


@pytest.mark.parametrize("overload", ["drop", "batch"])
def test_a_session_takes_the_block_and_makes_room_for_it(folder, overload):
    config = dataclasses.replace(QUIET, model=folder, engine="onnx", overload=overload)
    converters = load_converters(config)
    assert list(converters) == [BLOCK]
    fitted = with_hops_of(config, converters)
    assert fitted.chunk_hops == BLOCK
    assert fitted.max_latency_ms == 2 * (2 * config.block_ms + config.preroll_ms + 220)
    assert with_hops_of(QUIET, {1: None, 2: None}) is QUIET


def test_the_cost_is_measured_at_the_block_and_nothing_is_written_that_live_refuses(folder, tmp_path):
    config = dataclasses.replace(QUIET, model=folder)
    speeds = tune.measure_speeds(config, 1.0)
    assert {(speed.engine, speed.chunk_hops) for speed in speeds} == {(engine, BLOCK) for engine in ENGINES}
    found = tune.recommend(config, speeds, tune.Lateness(0.1, 0.2))
    assert found.config.chunk_hops == config.chunk_hops
    path = tmp_path / "c.toml"
    path.write_text("[live]\n" + "".join(f"{key} = {json.dumps(getattr(found.config, key))}\n" for key in found.names))
    read = LIVE.resolve_with_origins(argparse.Namespace(config=path), {}).config
    assert read.max_latency_ms == found.config.max_latency_ms >= 2 * (2 * read.block_ms + 220)


def test_files_are_converted_by_name_of_the_folder(folder, tmp_path, wav):
    out = tmp_path / "out.wav"
    assert (
        cli.main(["convert", str(wav), str(out), "--voice", "second", "--bundle", str(folder), "--chunk-hops", "4"])
        == 0
    )
    assert len(read_audio(out)[0]) == len(read_audio(wav)[0])


def test_a_block_is_quantized_and_timed_as_one_call(folder, tmp_path, speech, capsys):
    out = tmp_path / "int8"
    options = ["--engine", "onnx", "--gate", "tensor>=20", "--drift-minutes", "0"]
    assert cli.main(["quantize", str(folder), "-o", str(out), *options]) == 0
    assert "at 22 hops per call" in capsys.readouterr().out
    bundle = ModelBundle.open(out)
    assert (bundle.block_hops, bundle.golden.n_hops) == (BLOCK, BLOCK)
    assert list(bundle.graphs["encoder"].quantization["onnx"]["times_faster"]) == ["hops22"]
    exact, found = (VoiceConverter(which, "onnx").convert(speech) for which in (folder, bundle))
    assert 0 < np.linalg.norm(found - exact) < 0.5 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    ("chunk_hops", "rule"),
    [
        ([26], "one integer from 1 to 25"),
        ([0], "one integer from 1 to 25"),
        ([11, 22], r"a rising list out of \[1, 2, 4\]"),
        ([1, 22], r"a rising list out of \[1, 2, 4\]"),
        ([True], "one integer from 1 to 25"),
        ([20], "manifest.golden.n_hops must be a multiple of 20, got 22"),
    ],
)
def test_other_blocks_are_refused(folder, tmp_path, chunk_hops, rule):
    copy = shutil.copytree(folder, tmp_path / "bundle")
    manifest = json.loads((copy / "manifest.json").read_text())
    for graph in manifest["graphs"].values():
        graph["chunk_hops"] = chunk_hops
    with pytest.raises(ModelError, match=rule):
        write_manifest(copy, manifest)
