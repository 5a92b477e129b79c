"""Mixtures of voices in files and of the model's own. Some 3 s."""

import numpy as np
import pytest
from helpers.own_voice import drawn_adapters

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.errors import ConfigError, ModelError
from edgevc.voices.library import MAX_VOICE_BYTES, load_voice, open_voice
from edgevc.voices.mix import mix_voices, shares_of
from edgevc.voices.writer import rounded, write_voice


def products(adapters):
    return [layer.up @ layer.down for layer in adapters.layers]


def test_shares_weigh_rows_products_and_pitch(tiny, voice_file, tmp_path):
    path = tmp_path / "mixed.voice"
    made, kept = mix_voices(path, tiny, {str(voice_file): 3.0, "slt": 1.0}, "mixed")
    assert kept == pytest.approx(1.0)
    mixed, me, slt = load_voice(path, tiny), load_voice(voice_file, tiny), tiny.voice("slt")
    np.testing.assert_allclose(mixed.conditioning, 0.75 * me.conditioning + 0.25 * slt.conditioning, atol=1e-6)
    for one, other in zip(products(mixed.adapters), products(me.adapters), strict=True):
        # half precision
        np.testing.assert_allclose(one, 0.75 * other, atol=2e-3 * np.abs(other).max())
    mean = 0.75 * me.spec.log2_f0_mean + 0.25 * slt.spec.log2_f0_mean
    assert mixed.spec.log2_f0_mean == pytest.approx(mean, abs=1e-4)
    assert made.quality["mixture_of"] == {"me": 0.75, "slt": 0.25}
    assert "0.75 me" in mixed.spec.consent_record.statement


def test_two_files_of_a_model_add_up_and_what_is_lost_is_said(tmp_path, run):
    model = ModelBundle.default()
    facts = {"description": "test", "licence": "none", "consent": "nobody", "log2_f0_mean": 7.0, "log2_f0_std": 0.2}
    row = model.voice("slt").conditioning
    for seed, name in enumerate(("one", "two")):
        adapters = drawn_adapters(model, rank=8, seed=seed)
        write_voice(tmp_path / f"{name}.voice", model, {**facts, "name": name}, row, adapters)
    mixed = tmp_path / "mixed.voice"
    said = run("voice", "mix", tmp_path / "one.voice=0.5", tmp_path / "two.voice=0.5", "-o", mixed)
    assert "it keeps" in said.out
    assert mixed.stat().st_size <= MAX_VOICE_BYTES
    voice = load_voice(mixed, model)
    parts = [rounded(drawn_adapters(model, rank=8, seed=seed)) for seed in (0, 1)]
    sums = [(a + b) / 2 for a, b in zip(*map(products, parts), strict=True)]
    lost = sum(float(np.square(a - b).sum()) for a, b in zip(products(voice.adapters), sums, strict=True))
    energy = sum(float(np.square(b).sum()) for b in sums)
    kept = open_voice(mixed).quality["kept"]
    # drawn at random, so that no rank says more than another: the worst case
    assert kept > 0.6
    assert 1 - lost / energy == pytest.approx(kept, abs=2e-3)
    sound = VoiceConverter(model, "onnx").convert(speech_like(0.5, seed=1), str(mixed))
    assert np.isfinite(sound).all()


def test_what_is_no_mixture_is_refused(tiny, voice_file, tmp_path, run):
    path = tmp_path / "mixed.voice"
    for shares, rule in (
        ({str(voice_file): 1.0}, "two voices or more"),
        ({str(voice_file): 0.0, "slt": 1.0}, "share above 0"),
        ({"bdl": 0.5, "slt": 0.5}, "none of these voices is a file"),
    ):
        with pytest.raises(ConfigError, match=rule):
            mix_voices(path, tiny, shares, "mixed")
    with pytest.raises(ModelError, match="was made for the model tiny"):
        mix_voices(path, ModelBundle.default(), {str(voice_file): 0.5, "slt": 0.5}, "mixed")
    for words in (["me.voice"], ["a=x"], ["a=nan"], ["a=1", "a=2"], ["=1"]):
        with pytest.raises(ConfigError, match="a part of a mixture is"):
            shares_of(words)
    run("voice", "mix", "a=1", "b=1", "-o", tmp_path / "mixed.wav", code=2)
    assert not path.exists()
