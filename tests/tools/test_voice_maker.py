"""Voices that are made from recordings: the networks are the model's, tuning goes on where it stopped. Some 60 s."""

import dataclasses

import numpy as np
import pytest
import soundfile as sf
import torch
from vctrain import losses, synthesis

from edgevc.bundle import ModelBundle
from edgevc.cli import main
from edgevc.converter import VoiceConverter
from edgevc.dsp.resample import resample
from edgevc.errors import GateError
from edgevc.quantize.calibration_speech import default_clips, held_out_clips
from edgevc.voice_maker.check import measure
from edgevc.voice_maker.judge import Verdict, shortcomings
from edgevc.voice_maker.make import examine, read_recordings
from edgevc.voice_maker.material import CONTEXT_FRAMES, Ear, Material, normalised
from edgevc.voice_maker.mixture import Likeness
from edgevc.voice_maker.networks import Decoder, Encoder
from edgevc.voice_maker.sound import LogMels, pulses, spectral_distance, synthesize
from edgevc.voice_maker.tune import Recipe, Tuner, distance_of
from edgevc.voices.library import load_voice, open_voice
from edgevc.voices.writer import rounded, write_voice

RATE = 16_000
RECIPE = Recipe(steps=6, rank=2, speaker=0.0)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny():
    return ModelBundle.find("tiny")


@pytest.fixture(scope="module")
def ear(tiny):
    return Ear(VoiceConverter(tiny, "onnx", 4))


@pytest.fixture(scope="module")
def clips():
    return [samples for _, samples in default_clips()]


@pytest.fixture(scope="module")
def material(ear, clips):
    return Material(ear, clips[:2], seed=1, plain=True)


def golden(bundle, name):
    return torch.from_numpy(bundle.golden_array(name).copy())[None]


def snr_db(found, wanted):
    return float(10 * torch.log10(wanted.square().sum() / (found - wanted).square().sum()))


@pytest.mark.parametrize("model", ["default", "low-latency", "tiny"])
def test_the_decoder_is_the_models(model):
    bundle = ModelBundle.find(model)
    inputs = [golden(bundle, f"decoder/input/{name}") for name in ("content", "pitch", "voice")]
    found = Decoder(bundle)(inputs[0], inputs[1], inputs[2][0])
    # the engine rounds activations to 8 bits: measured 47.7 to 52.3 dB
    assert snr_db(found, golden(bundle, "decoder/onnx/filters")) > 45


def test_the_encoder_hears_the_phones_that_the_model_hears(tiny, ear, sentence):
    samples = ear.padded(normalised(sentence))
    heard = ear.hear(samples)[1].argmax(1)
    found = Encoder(tiny)(LogMels()(torch.from_numpy(samples)[None]))[1][0].argmax(1).numpy()
    # its running means are those of the whole sound, the stream's begin at nothing
    assert (heard == found)[len(heard) // 3 :].mean() > 0.85


def test_sounds_and_distances_are_those_of_training():
    torch.manual_seed(1)
    filters, noise = torch.randn(2, 30, synthesis.N_FILTERS) - 2, torch.randn(2, 31 * 160)
    f0 = 100 + 50 * torch.rand(2, 30)
    f0[:, 10:15] = 0
    ours, theirs = synthesize(filters, pulses(f0), noise), synthesis.synthesize(filters, f0, noise)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        spectral_distance(ours, noise[:, :4800]), losses.multi_resolution_stft(ours, noise[:, :4800])
    )


def test_a_crop_of_the_material_lines_up_with_its_sound(material):
    """Where the sound is loud, the level that the decoder is told is high."""
    batch = material.batch(np.random.default_rng(3), 4, 80)
    sound = batch["target"].reshape(4, -1, 160).square().mean(2).log()
    level = batch["pitch"][..., 3]
    for one, other in zip(sound[:, CONTEXT_FRAMES:], level[:, CONTEXT_FRAMES:], strict=True):
        matches = [float(torch.corrcoef(torch.stack([one.roll(shift), other]))[0, 1]) for shift in range(-4, 5)]
        # a frame's sound comes out with the hop that ends at its centre
        assert abs(int(np.argmax(matches)) - 4) <= 1


def tuner(tiny, material, recipe=RECIPE):
    return Tuner(tiny, tiny.voice(tiny.voices[0].name).conditioning, material, material, recipe, None)


def test_tuning_goes_on_where_it_was_stopped_and_gives_the_same(tiny, material, tmp_path, monkeypatch):
    monkeypatch.setattr("edgevc.voice_maker.tune.SAVE_EVERY", 3)
    whole = tuner(tiny, material)
    whole.run(lambda step, loss: None)

    class StopError(Exception):
        pass

    def stop(step, loss):
        if step == 5:
            raise StopError

    with pytest.raises(StopError):
        tuner(tiny, material).run(stop, tmp_path / "state.pt")
    rest = tuner(tiny, material)
    rest.load(tmp_path / "state.pt")
    assert rest.step == 3
    rest.run(lambda step, loss: None)
    for one, other in zip(whole.tuned.learning(), rest.tuned.learning(), strict=True):
        assert torch.equal(one, other)


def test_tuning_comes_nearer_and_the_file_speaks_as_the_tuned_network_does(tiny, material, tmp_path):
    made = tuner(tiny, material, dataclasses.replace(RECIPE, steps=40))
    before = distance_of(made.tuned, material, 9, 2)
    made.run(lambda step, loss: None)
    # measured 1.47 before and 1.31 after
    assert distance_of(made.tuned, material, 9, 2) < 0.97 * before
    facts = {"name": "me", "description": "test", "licence": "none", "consent": "nobody", "log2_f0_mean": 7.0}
    row = made.tuned.row.detach().numpy()
    path = tmp_path / "me.voice"
    write_voice(path, tiny, {**facts, "log2_f0_std": 0.2}, row, made.tuned.adapters())
    voice = load_voice(path, tiny)
    converter = VoiceConverter(tiny, "onnx")
    content, pitch = (tiny.golden_array(f"decoder/input/{name}").copy() for name in ("content", "pitch"))
    decoder = converter.decoder_of(voice)
    state = decoder.new_state()
    spoken = [decoder.run(state, content[i : i + 1], pitch[i : i + 1], voice.conditioning)[0].copy() for i in range(64)]
    with torch.no_grad():
        as_stored = rounded(made.tuned.adapters())
        layers = []
        for (weight, bias), adapter in zip(made.tuned.decoder.layers, as_stored.layers, strict=True):
            whole = weight + torch.from_numpy(adapter.up @ adapter.down)
            layers.append(lambda x, whole=whole, bias=bias: torch.nn.functional.linear(x, whole, bias))
        filters = made.tuned.decoder(
            torch.from_numpy(content)[None], torch.from_numpy(pitch)[None], made.tuned.row, layers
        )
    wanted = filters[0, :64] + torch.from_numpy(as_stored.offsets)
    # int8 against float: weights and activations are rounded
    found = snr_db(torch.from_numpy(np.concatenate(spoken)), wanted)
    print(f"int8 against float: {found:.1f} dB")
    assert found > 40


def test_a_speaker_is_more_like_himself(clips):
    first = Likeness([normalised(clips[0][: len(clips[0]) // 2])])
    himself = first.of(normalised(clips[0][len(clips[0]) // 2 :]))
    assert all(himself > first.of(normalised(clip)) for clip in clips[1:4])


def test_the_command_makes_a_voice_that_convert_speaks(tmp_path, clips, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    speech = np.concatenate([*clips, *(samples for _, samples in held_out_clips())])
    sf.write(recordings / "a.wav", speech, RATE)
    words = ["voice", "make", "me", str(recordings), "-o", str(tmp_path / "me.voice"), "--bundle", "tiny"]
    assert main(words) == 2
    assert "must have agreed" in capsys.readouterr().err
    # several synthesisers speak, and some of it is noisy
    words += ["--i-have-written-consent", "a drawer", "--steps", "50", "--anyway", "--listen"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "by a measure that nothing was tuned on" in said
    assert sf.info(tmp_path / "me.wav").duration > 1
    assert list((tmp_path / "cache" / "edgevc" / "making").iterdir()) == []
    voice = load_voice(tmp_path / "me.voice", ModelBundle.find("tiny"))
    model = ModelBundle.find("tiny")
    quality = open_voice(tmp_path / "me.voice").quality
    assert quality["began_as"] in {spec.name for spec in model.voices}
    assert {"likeness", "words"} <= set(quality["voice"]) & set(quality["start"]) & set(quality["speaker"])
    record = voice.spec.consent_record
    assert (record.basis, record.where) == ("written", "a drawer")
    assert (
        main(
            [
                "convert",
                str(recordings / "a.wav"),
                str(tmp_path / "b.wav"),
                "--voice",
                str(tmp_path / "me.voice"),
                "--bundle",
                "tiny",
            ]
        )
        == 0
    )


@pytest.mark.parametrize(
    ("likeness", "words", "expected"),
    [
        (1.0, 0.8, set()),
        (0.2, 0.8, {("unlike", False)}),
        (-0.6, 0.8, {("unlike", True)}),
        (1.0, 0.65, {("words", False)}),
        (1.0, 0.3, {("words", True)}),
    ],
)
def test_a_voice_is_judged_beside_the_one_that_it_began_as(likeness, words, expected):
    verdicts = {
        "voice": Verdict(0.8, likeness, words),
        "start": Verdict(0.5, -0.5, 0.8),
        "speaker": Verdict(0.9, 1.5, 1.0),
    }
    assert {(problem.name, problem.fatal) for problem in shortcomings(verdicts)} == expected


def test_a_recording_clipped_at_its_own_rate_is_noticed(tmp_path, clips):
    loud = np.clip(8 * resample(clips[0], RATE, 48_000), -0.5, 0.5)
    sf.write(tmp_path / "a.wav", loud, 48_000)
    pieces, clipped = read_recordings([tmp_path / "a.wav"])
    assert clipped > 0.02
    assert measure(pieces).clipped < clipped


def test_noise_is_refused_and_nothing_is_written(tmp_path, rng):
    sf.write(tmp_path / "noise.wav", 0.1 * rng.standard_normal(40 * RATE), RATE)
    words = ["voice", "make", "me", str(tmp_path / "noise.wav"), "-o", str(tmp_path / "me.voice"), "--bundle", "tiny"]
    assert main([*words, "--i-have-written-consent", "a drawer"]) == GateError.exit_code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noise.wav"]
    _, wrong = examine(
        VoiceConverter(ModelBundle.find("tiny"), "onnx", 4), [sf.read(tmp_path / "noise.wav", dtype="float32")[0]], None
    )
    assert {"noise", "music", "whisper"} & {problem.name for problem in wrong if problem.fatal}
