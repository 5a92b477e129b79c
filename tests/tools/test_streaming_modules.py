"""What is trained offline is what streams: every module, torch against itself, the exported form and ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
import torch
from vctrain.data import front_end
from vctrain.export import graphs, to_onnx
from vctrain.models.content_encoder import ContentEncoder, EncoderConfig
from vctrain.models.decoder import Decoder, DecoderConfig, pitch_features
from vctrain.modules import slow
from vctrain.modules.causal import CausalBlock, CausalDepthwise

from edgevc import _core
from edgevc.dsp.features import LogMel

pytestmark = pytest.mark.tools

# float32 sums in another order; measured up to 1.5e-6 on outputs near 1
TOLERANCE = 1e-5
# measured 6e-6: the core takes a polynomial logarithm
LOG_MEL_TOLERANCE = 5e-5

PIECES = (1, 4, 2, 9, 1, 7)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(2)
    torch.set_num_threads(1)


def shaken(module):
    """Random weights everywhere: the initial zeros and ones would hide a forgotten term."""
    for parameter in module.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return module.eval()


def pieces(x):
    start = 0
    for length in PIECES:
        yield x[:, start : start + length]
        start += length


@pytest.mark.parametrize("dilation", [1, 2])
def test_streamed_depthwise_equals_offline(dilation):
    layer = shaken(CausalDepthwise(8, 5, dilation))
    x = torch.randn(2, sum(PIECES), 8)
    state = torch.zeros(2, layer.context_frames, 8)
    offline, _ = layer(x, state)
    streamed = []
    for piece in pieces(x):
        y, state = layer(piece, state)
        streamed.append(y)
    assert torch.allclose(torch.cat(streamed, 1), offline, atol=TOLERANCE)


def test_depthwise_is_a_causal_convolution():
    layer = shaken(CausalDepthwise(3, 4, 2))
    x = torch.randn(1, 20, 3)
    y, _ = layer(x, torch.zeros(1, layer.context_frames, 3))
    expected = torch.nn.functional.conv1d(
        torch.nn.functional.pad(x.transpose(1, 2), (6, 0)), layer.weight.t()[:, None], layer.bias, dilation=2, groups=3
    )
    assert torch.allclose(y, expected.transpose(1, 2), atol=TOLERANCE)


@pytest.mark.parametrize("repeated", [False, True])
def test_streamed_block_equals_offline_with_conditioning(repeated):
    block = shaken(CausalBlock(8, 5, 2, 3, repeated))
    x, scale_shift = torch.randn(1, sum(PIECES), 8), (torch.randn(1, 1, 8), torch.randn(1, 1, 8))
    states = [torch.zeros(1, convolution.context_frames, 8) for convolution in block.convolutions]
    assert len(states) == 1 + repeated
    offline, _ = block(x, states, scale_shift)
    streamed = []
    for piece in pieces(x):
        y, states = block(piece, states, scale_shift)
        streamed.append(y)
    assert torch.allclose(torch.cat(streamed, 1), offline, atol=TOLERANCE)


@pytest.mark.parametrize(("slow_decay", "slow_bands", "n_repeated"), [(0.0, 80, 0), (0.9, 80, 7), (0.9, 20, 2)])
def test_streamed_encoder_equals_offline(slow_decay, slow_bands, n_repeated):
    encoder = shaken(ContentEncoder(EncoderConfig(slow_decay=slow_decay, slow_bands=slow_bands, n_repeated=n_repeated)))
    x = torch.randn(1, sum(PIECES), 80)
    content, phones, _ = encoder(x, encoder.new_state())
    state, streamed = encoder.new_state(), []
    for piece in pieces(x):
        c, p, state = encoder(piece, state)
        streamed.append((c, p))
    assert torch.allclose(torch.cat([s[0] for s in streamed], 1), content, atol=TOLERANCE)
    assert torch.allclose(torch.cat([s[1] for s in streamed], 1), phones, atol=TOLERANCE)


def test_averages_are_the_mean_and_a_floor_below_it():
    loud, quiet = torch.full((1, 400, 3), 1.0), torch.full((1, 400, 3), -1.0)
    both = torch.stack([loud, quiet], 2).reshape(1, 800, 3)
    averages, _ = slow.running(slow.to_average(both, 3), torch.zeros(1, 1, 6), 0.99)
    mean, floor = slow.features(averages)[0, -1].chunk(2)
    assert mean.numpy() == pytest.approx(0, abs=0.01)
    # half of the frames have e^3 and half e^-3
    assert floor.numpy() == pytest.approx(-np.log(np.cosh(3)) / 3, abs=0.01)
    first = slow.features(averages)[0, 0]
    assert first.numpy() == pytest.approx(0, abs=0.02)


def test_a_settled_state_is_what_much_of_the_same_sound_leaves():
    encoder = ContentEncoder(EncoderConfig(slow_decay=0.99))
    x = torch.randn(2, 10, 80)
    state = encoder.new_state(2)
    for _ in range(200):
        state = encoder(x, state)[2]
    assert torch.allclose(encoder.settled_state(x)[-1], state[-1], rtol=0.1, atol=0.3)
    assert all(not part.any() for part in encoder.settled_state(x)[:-1])


def test_an_encoder_that_begins_as_one_without_averages_and_repeats_says_the_same():
    old = shaken(ContentEncoder(EncoderConfig()))
    new = ContentEncoder(EncoderConfig(slow_decay=0.9, n_repeated=4))
    new.init_from(old)
    x = torch.randn(1, 20, 80)
    assert torch.allclose(new(x, new.new_state())[0], old(x, old.new_state())[0], atol=TOLERANCE)


def test_encoder_hears_nothing_of_later_frames():
    encoder = shaken(ContentEncoder(EncoderConfig(slow_decay=0.9)))
    x = torch.randn(1, 30, 80)
    changed = x.clone()
    changed[:, 20:] += 1
    before, after = (encoder(v, encoder.new_state())[0] for v in (x, changed))
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.allclose(before[:, 20:], after[:, 20:])


@pytest.fixture(params=["encoder", "encoder, narrow bands, repeats", "encoder without averages", "decoder"])
def case(request):
    """The trained form offline, the exported graph for any number of frames per call, and its plain inputs."""
    n = 24
    if request.param != "decoder":
        net = shaken(
            ContentEncoder(
                EncoderConfig(
                    slow_decay=0.0 if "without" in request.param else 0.9,
                    slow_bands=40 if "narrow" in request.param else 80,
                    n_repeated=4 if "repeats" in request.param else 0,
                )
            )
        )
        x = torch.randn(1, n, 80)
        content, phones, _ = net(x, net.new_state())
        folded = graphs.FoldedEncoder(net)
        return (content[0], torch.log_softmax(phones[0], -1)), lambda k: graphs.EncoderGraph(folded, k).eval(), (x[0],)
    net = shaken(Decoder(DecoderConfig()))
    content, pitch = torch.randn(1, n, 48), torch.randn(1, n, 4)
    filters, _ = net(content, pitch, net.voice(torch.tensor([[0.0, 1.0, 0.0]])), net.new_state())
    folded = graphs.FoldedDecoder(net)
    voice = graphs.conditioning_table(net)[1:2]
    return (filters[0],), lambda k: graphs.DecoderGraph(folded, k).eval(), (content[0], pitch[0], voice)


def play(call, graph, inputs, n_frames):
    """Streams a graph; returns its plain outputs."""
    states = graph.example_inputs(n_frames)[len(graph.input_names) :]
    n_plain, outputs = len(graph.output_names), []
    for start in range(0, len(inputs[0]), n_frames):
        plain = [x if len(x) == 1 else x[start : start + n_frames] for x in inputs]
        result = call(*plain, *states)
        outputs.append(result[:n_plain])
        states = result[n_plain:]
    return [torch.cat(column) for column in zip(*outputs, strict=True)]


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [1, 2, 4])
@pytest.mark.parametrize("free", [False, True])
def test_exported_graph_streams_what_the_network_computes_offline(case, n_frames, free):
    expected, make, inputs = case
    graph = make(None if free else n_frames)
    for found, wanted in zip(play(graph, graph, inputs, n_frames), expected, strict=True):
        assert torch.allclose(found, wanted, atol=TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [1, 4])
def test_onnx_equals_torch(case, n_frames, tmp_path):
    expected, make, inputs = case
    graph = make(None)
    to_onnx.export(graph, tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "graph.onnx"), providers=["CPUExecutionProvider"])
    names = graphs.names(graph)[0]

    def call(*arrays):
        return [
            torch.from_numpy(y) for y in session.run(None, dict(zip(names, (a.numpy() for a in arrays), strict=True)))
        ]

    for found, wanted in zip(play(call, graph, inputs, n_frames), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-4)


def test_training_hears_the_same_log_mels_as_the_converter():
    samples = (0.1 * np.random.default_rng(1).standard_normal(16_000)).astype(np.float32)
    ours = LogMel(primed=True).process(samples)
    theirs = front_end.log_mel(torch.from_numpy(samples)[None])[0].numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < LOG_MEL_TOLERANCE


def test_training_sees_the_same_pitch_features_as_the_converter():
    rows = np.array([[0, 0.1, -90], [120, 0.9, -20], [310, 0.7, 15]], np.float32)
    ours, spoken = np.empty((3, 4), np.float32), np.empty(3, np.float32)
    _core.PitchMapper(7.5).process_into(rows, ours, spoken)
    rows[:, 0] = spoken
    theirs = pitch_features(*(torch.from_numpy(rows[:, i].copy())[None] for i in range(3)))[0].numpy()
    assert spoken[0] == 0
    assert spoken[1] > 60
    assert np.allclose(ours, theirs, atol=1e-6)


def test_a_block_gone_through_twice_is_work_counted_twice_and_weights_once():
    once, twice = (
        graphs.EncoderGraph(graphs.FoldedEncoder(ContentEncoder(EncoderConfig(n_repeated=n))), None) for n in (0, 1)
    )
    config = EncoderConfig()
    linear = 2 * config.expansion * config.channels**2
    taps = config.kernel_size * config.channels
    assert graphs.macs_per_hop(twice) - graphs.macs_per_hop(once) == linear + taps
    # a convolution with its bias, and a factor per hidden channel
    assert graphs.n_parameters(twice) - graphs.n_parameters(once) == taps + (1 + config.expansion) * config.channels
