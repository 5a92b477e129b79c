"""What the pitch tracker is taught: whose F0 counts, and which frame of the labels belongs to which output."""

import numpy as np
import pytest
import torch
import train_pitch
from vctrain.data import pitch

pytestmark = pytest.mark.tools


def test_f0_is_what_two_of_three_trackers_say_and_voicing_what_harvest_says():
    harvest = np.array([0.0, 100, 100, 200, 200, 100, 100])
    dio = np.array([100.0, 102, 0, 100, 100, 0, 51])
    praat = np.array([100.0, 0, 99, 101, 0, 0, 210])
    wanted = [0, 100, 100, 100, pitch.VOICED, pitch.VOICED, pitch.VOICED]
    np.testing.assert_array_equal(pitch.consensus(harvest, dio, praat), np.float32(wanted))


def test_a_tone_is_labelled_with_its_frequency(tmp_path):
    import soundfile as sf

    folder = tmp_path / "audio" / "somebody"
    folder.mkdir(parents=True)
    seconds = np.arange(16000 * 2) / 16000
    tone = sum(np.cos(2 * np.pi * 150 * k * seconds) / k for k in range(1, 12)) * 0.1
    sf.write(folder / "tone.flac", tone, 16000)
    for _ in range(2):
        # the second time harvest's answer is read
        f0 = pitch.label(folder / "tone.flac").f0[20:-20]
        assert np.all(np.abs(f0 / 150 - 1) < 0.01)
    assert (tmp_path / "f0" / "somebody" / "tone.npy").exists()


@pytest.mark.parametrize(("latency", "sides"), [(480, (0, 0)), (240, (0, 1))])
def test_an_output_is_taught_the_frames_on_either_side_of_what_it_judges(latency, sides):
    labels = 100 + np.arange(50, dtype=np.float32)
    speech = pitch.Labelled(np.zeros(160 * 50, np.float32), labels)
    heard, wanted = pitch.features(speech, latency)
    assert len(heard) == len(wanted) >= 50
    for row, pair in enumerate(wanted):
        centre = 160 * (row + 1) - latency
        for side, after in enumerate(sides):
            k = centre // 160 + after
            assert pair[side] == (labels[k] if 0 <= k < 50 else pitch.UNKNOWN)


def test_a_frame_that_is_only_known_to_be_voiced_leaves_f0_to_the_network():
    torch.manual_seed(0)
    logits = torch.randn(1, 6, 51, requires_grad=True)
    train_pitch.loss_of(logits, torch.full((1, 6, 2), pitch.VOICED)).backward()
    (expected,) = torch.autograd.grad(-torch.log(1 - logits.softmax(-1)[..., 0]).mean(), logits)
    torch.testing.assert_close(logits.grad, expected)


def test_between_a_voiced_and_an_unvoiced_frame_half_of_each_is_taught():
    logits = torch.zeros(1, 1, 51)
    f0 = torch.tensor([[[0.0, 120.0]]])
    wanted = (
        train_pitch.targets(f0[..., 0].flatten(), logits[0]) + train_pitch.targets(f0[..., 1].flatten(), logits[0])
    ) / 2
    assert wanted.sum() == pytest.approx(1)
    assert wanted[0, 0] == pytest.approx(0.5)
    assert int(wanted[0, 1:].argmax()) == 16
    # and a frame at the recording's end, whose other side is not known, does not count
    unknown = torch.tensor([[[0.0, pitch.UNKNOWN], [0.0, 0.0]]])
    assert train_pitch.loss_of(torch.zeros(1, 2, 51), unknown) == pytest.approx(np.log(51))
