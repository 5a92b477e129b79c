"""The ear of studio block by block, as a graph, is the ear as it was trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import tune_ear
from vctrain.errors import UserError
from vctrain.export import to_onnx
from vctrain.export.graphs import names
from vctrain.export.studio import StudioGraph, macs_per_hop
from vctrain.models.content_encoder import scaled
from vctrain.models.ear import EarConfig, WhisperEar
from vctrain.models.whisper import block_mask

from edgevc.engines.onnx_file import check_onnx

pytestmark = pytest.mark.tools

SMALL = {"size": 64, "n_layers": 2, "heard": (0, 1), "hidden": 24, "back": 22}
N_BLOCKS = 7


@pytest.fixture
def ear():
    torch.manual_seed(3)
    return WhisperEar(replace(tune_ear.STUDIO, **SMALL)).eval()


@pytest.fixture
def mels():
    return torch.from_numpy(np.random.default_rng(1).normal(-5, 2, (22 * N_BLOCKS, 80)).astype(np.float32))


def stream(graph, mels, state=None):
    state = graph.new_state() if state is None else state
    outputs = []
    with torch.no_grad():
        for block in mels.split(graph.n_frames):
            content, phones, *state = graph(block, *state)
            outputs.append((content, phones))
    return [torch.cat(parts) for parts in zip(*outputs, strict=True)]


def whole(ear, mels, first=0):
    """As in training; the graph's rows lie one frame before the call's frames, so that silence comes first."""
    adapted = torch.cat([torch.zeros(1, 80), ear.adapt(scaled(mels))])
    n_rows = (len(adapted) + 1) // 2
    mask = block_mask(n_rows, ear.config.block, ear.config.back)
    with torch.no_grad():
        rows = ear.encoder.rows(adapted.T[None], mask, ear.config.heard, first)[1]
        return ear.head(torch.cat(rows, -1))[0, : len(mels)]


def test_blocks_are_heard_as_in_training(ear, mels):
    content, phones = stream(StudioGraph(ear), mels)
    # a hop later than the ear itself
    wanted = whole(ear, mels)[:-1]
    assert content[1:].numpy() == pytest.approx(wanted.numpy(), abs=2e-4)
    assert phones.exp().sum(-1).numpy() == pytest.approx(1, abs=1e-5)
    assert (phones[1:].argmax(-1) == ear.phones(wanted).argmax(-1)).float().mean() > 0.99


def test_a_stream_goes_on_behind_the_last_position(ear, mels):
    graph = StudioGraph(ear)
    state = list(graph.new_state())
    # 1496 rows later the positions begin again within a block
    state[graph.state_names.index("place")] = torch.full((1, 1), 1496.0)
    content, _ = stream(graph, mels, state)
    assert content[1:].numpy() == pytest.approx(whole(ear, mels, 1496)[:-1].numpy(), abs=2e-3)


def test_onnx_runtime_hears_the_same(ear, mels, tmp_path):
    import onnxruntime

    graph = StudioGraph(ear)
    to_onnx.export(graph, tmp_path / "ear.onnx")
    # no operator that a bundle may not have, no size that is free
    assert check_onnx((tmp_path / "ear.onnx").read_bytes(), "ear.onnx") == []
    session = onnxruntime.InferenceSession(str(tmp_path / "ear.onnx"), providers=["CPUExecutionProvider"])
    inputs, outputs = names(graph)
    assert [i.name for i in session.get_inputs()] == inputs
    assert [o.name for o in session.get_outputs()] == outputs
    state = [s.numpy() for s in graph.new_state()]
    found = []
    for block in mels.split(graph.n_frames):
        content, _, *state = session.run(None, dict(zip(inputs, [block.numpy(), *state], strict=True)))
        found.append(content)
    assert np.concatenate(found) == pytest.approx(stream(graph, mels)[0].numpy(), abs=1e-4)


def test_an_ear_that_follows_no_stream_is_refused():
    with pytest.raises(UserError, match="follows a stream"):
        StudioGraph(WhisperEar(EarConfig(**SMALL)))


def test_studio_keeps_within_its_work():
    assert 0.9e9 < 100 * macs_per_hop(StudioGraph(WhisperEar(tune_ear.STUDIO))) < 1.3e9
