"""What an input is fed follows from its shape, or from what was asked for; where neither says it, it is refused."""

import numpy as np
import pytest
from helpers import streaming_nets as nets

from edgevc.errors import ConfigError, ModelError
from edgevc.quantize.dataset import Dataset
from edgevc.quantize.feeds import choose_feeds, spectrum_layout
from edgevc.quantize.float_graph import MIN_RECORDED_CALLS, FloatGraph
from edgevc.quantize.prepare import Prepared, load_graph_file


def prepared_for(*shapes, numbers=None, outputs=()):
    """What is known of a graph whose inputs have these shapes and whose outputs have those."""
    inputs = {f"in{i}": shape for i, shape in enumerate(shapes)}
    names = [f"out{i}" for i in range(len(outputs))]
    values = [nets.value(name, shape) for name, shape in zip(names, outputs, strict=True)]
    model = nets.model_of([], [], values, {}, check=False)
    return Prepared("net", model, inputs, tuple(names), (), {}, numbers or {})


def guess(shape, **more):
    return str(choose_feeds(prepared_for(shape, **more), {})["in0"])


@pytest.mark.parametrize("shape", [(1, 257, 1, 2), (1, 2, 257), (1, 2, 1, 257), (257, 2), (1, 1, 257, 2), (1, 514)])
def test_a_complex_spectrum_is_seen_by_its_shape(shape):
    assert guess(shape) == "spectrum:256:sqrt-hann"


@pytest.mark.parametrize(("shape", "hop"), [((1, 161, 2), 160), ((1, 2, 481), 480)])
def test_other_sizes_of_a_spectrum_too(shape, hop):
    assert guess(shape) == f"spectrum:{hop}:sqrt-hann"


@pytest.mark.parametrize(
    ("shape", "feed"),
    [((1, 1, 257), "magnitude:128"), ((1, 80), "logmel"), ((1, 4, 80), "logmel"), ((1, 512), "samples:512")],
)
def test_what_was_guessed_before_still_is(shape, feed):
    assert guess(shape) == feed


def test_a_graph_that_gives_fewer_samples_than_it_takes_moves_on_by_these():
    assert guess((1, 512), outputs=[(1, 256)]) == "samples:256"
    # a probability is no hop
    assert guess((1, 512), outputs=[(1, 1)]) == "samples:512"


@pytest.mark.parametrize("shape", [(1, 10, 40), (1, 5, 2), (1, 40), (1, 41), (2, 3, 4)])
def test_a_shape_that_says_nothing_is_refused_with_what_to_type(shape):
    with pytest.raises(ConfigError, match=r"--feed in0: its shape [0-9x]+ does not say .*--feed in0=calls.npy"):
        guess(shape)


def test_a_single_number_is_not_fed_with_sound():
    with pytest.raises(ConfigError, match="give --feed in1=NUMBER"):
        choose_feeds(prepared_for((1, 512), (1,)), {})
    with pytest.raises(ConfigError, match="it takes int64, which speech is not; give --feed in1=NUMBER"):
        choose_feeds(prepared_for((1, 512), (1, 512), numbers={"in1": "int64"}), {})


def frames_of(samples, window, hop=256):
    """The definition: each frame ends with the newest hop, before the first there is silence."""
    padded = np.concatenate([np.zeros(len(window) - hop), samples])
    starts = range(0, len(padded) - len(window) + 1, hop)
    return np.array([np.fft.rfft(padded[k : k + len(window)] * window) for k in starts])


@pytest.mark.parametrize(
    ("shape", "back"),
    [
        ((1, 257, 1, 2), lambda a: a[:, 0, :, 0, 0] + 1j * a[:, 0, :, 0, 1]),
        ((1, 2, 257), lambda a: a[:, 0, 0] + 1j * a[:, 0, 1]),
        ((1, 514), lambda a: a[:, 0, :257] + 1j * a[:, 0, 257:]),
    ],
)
def test_a_spectrum_is_that_of_the_definition_in_every_layout(rng, shape, back):
    samples = rng.normal(0, 0.1, 4000).astype(np.float32)
    feed = choose_feeds(prepared_for(shape), {"in0": "spectrum:256:sqrt-hann"})["in0"]
    made = np.array(list(feed.calls(samples)))
    assert made.dtype == np.float32
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512))
    np.testing.assert_allclose(back(made), frames_of(samples, window), atol=2e-5)


def test_a_window_can_be_named_or_be_shorter_than_the_spectrum(rng):
    samples = rng.normal(0, 0.1, 2000).astype(np.float32)

    def made(text):
        feed = choose_feeds(prepared_for((257, 2)), {"in0": text})["in0"]
        return np.array(list(feed.calls(samples))) @ np.array([1, 1j])

    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    np.testing.assert_allclose(made("spectrum:256:hann"), frames_of(samples, hann), atol=2e-5)
    np.testing.assert_allclose(made("spectrum:256:none"), frames_of(samples, np.ones(512)), atol=2e-5)
    short = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400))
    np.testing.assert_allclose(made("spectrum:256:400"), frames_of(samples, np.pad(short, 56)), atol=2e-5)
    assert made("spectrum:100").shape[0] == 20


@pytest.mark.parametrize(
    ("shape", "text", "message"),
    [
        ((1, 256), "spectrum:128", "needs an odd number of bins beside a 2"),
        ((257, 2), "spectrum:256:sinus", "the window must be sqrt-hann"),
        ((257, 2), "spectrum:256:513", "the window must be"),
        ((257, 2), "spectrum:513", "hop must be within 1..512"),
        ((257, 2), "magnitude", "needs one spectrum per call"),
        ((1, 512), "samples:256:hann", "must be one of"),
    ],
)
def test_a_spectrum_that_cannot_be_is_refused(shape, text, message):
    with pytest.raises(ConfigError, match=message):
        choose_feeds(prepared_for(shape), {"in0": text})


def test_two_numbers_are_no_spectrum():
    assert spectrum_layout((1, 2, 2)) is None
    assert spectrum_layout((1, 256, 2)) is None
    assert spectrum_layout((3, 257, 2)) is None


def test_recorded_calls_are_played_as_they_are(tmp_path, rng):
    prepared = load_graph_file(nets.save(nets.plain(), tmp_path / "net.onnx"), ["*_in=*_out"])
    recorded = rng.normal(0, 0.1, (400, 1, 160)).astype(np.float32)
    np.save(tmp_path / "calls.npy", recorded)
    feeds = choose_feeds(prepared, {"x": str(tmp_path / "calls.npy")})
    model = FloatGraph(prepared, "0" * 64, feeds, Dataset((), (), ""))
    (calibration,), (held_out,) = (list(model.calls(model.name, part)) for part in ("calibration", "held_out"))
    np.testing.assert_array_equal(np.stack([call[0] for call in (*calibration, *held_out)]), recorded)
    assert len(calibration) == 300
    assert model.material.seconds == pytest.approx(3.0)
    assert len(model.drift("onnx", model.float_files["onnx"], 2, lambda share: None)) == 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((100, 160), np.float32), "must have the shape Nx1x160 for N calls, got 100x160"),
        (np.zeros((100, 1, 161), np.float32), "must hold float calls"),
        (np.full((100, 1, 160), np.nan, np.float32), "must be finite"),
        (np.array(["x"] * 160).reshape(1, 1, 160), "must hold float calls"),
        (np.zeros((MIN_RECORDED_CALLS - 1, 1, 160), np.float32), "at least 40 calls, got 39"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, array, message):
    prepared = load_graph_file(nets.save(nets.plain(), tmp_path / "net.onnx"), ["*_in=*_out"])
    np.save(tmp_path / "calls.npy", array)
    with pytest.raises(ConfigError, match=message):
        FloatGraph(prepared, "", choose_feeds(prepared, {"x": str(tmp_path / "calls.npy")}), Dataset((), (), ""))


def test_a_file_that_cannot_be_read_or_would_run_code_is_refused(tmp_path):
    prepared = load_graph_file(nets.save(nets.plain(), tmp_path / "net.onnx"), ["*_in=*_out"])
    with pytest.raises(ConfigError, match="cannot read"):
        choose_feeds(prepared, {"x": str(tmp_path / "none.npy")})
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 160, object), allow_pickle=True)
    with pytest.raises(ConfigError, match="cannot read"):
        choose_feeds(prepared, {"x": str(tmp_path / "objects.npy")})
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ConfigError, match="cannot read"):
        choose_feeds(prepared, {"x": str(tmp_path / "cut.npy")})


def test_a_file_and_speech_do_not_go_together(tmp_path):
    np.save(tmp_path / "calls.npy", np.zeros((100, 1, 160), np.float32))
    with pytest.raises(ConfigError, match="where one input comes from a file all must"):
        choose_feeds(prepared_for((1, 160), (1, 512)), {"in0": str(tmp_path / "calls.npy")})


def test_a_float_model_that_gives_no_numbers_is_named_before_any_work(tmp_path, rng):
    model = nets.plain()
    model.graph.node[-1].output[0] = "y0"
    model.graph.node.add(op_type="Log", input=["y0"], output=["y"])
    prepared = load_graph_file(nets.save(model, tmp_path / "net.onnx"), ["*_in=*_out"])
    clip = ("a", rng.normal(0, 0.1, 16_000).astype(np.float32))
    graph = FloatGraph(prepared, "", choose_feeds(prepared, {}), Dataset((clip,), (clip,), ""))
    with pytest.raises(ModelError, match=r"float model itself .* output y is NaN or infinite from call 1 on"):
        graph.require_finite()
