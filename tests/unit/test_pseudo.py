"""Voices that are nobody's: the same for the same name, others for others, and within what the decoder can speak."""

from pathlib import Path

import numpy as np
import pytest

import edgevc
from edgevc.bundle import ModelBundle
from edgevc.bundle.pseudo import is_pseudo, pseudo_name
from edgevc.errors import ModelError


def test_a_name_draws_the_same_voice_on_every_machine():
    assert pseudo_name("seed", "anna") == "pseudo-0e652424716223fc"
    voice = ModelBundle.find(None).voice("pseudo-7")
    assert voice.spec.log2_f0_mean == pytest.approx(7.1361118, abs=1e-6)
    assert float(np.abs(voice.conditioning).mean()) == pytest.approx(1.5, rel=0.5)


def test_seed_and_speaker_are_told_apart():
    names = {pseudo_name(seed, speaker) for seed in ("", "a", "ab", "a" * 200) for speaker in ("", "b", "bb", "\udcff")}
    assert len(names) == 16
    assert all(is_pseudo(name) for name in names)


@pytest.mark.parametrize("name", ["pseudo-", "pseudo-A", "pseudo-../a", "pseudo-" + "a" * 65, "slt"])
def test_other_names_are_none(name):
    assert not is_pseudo(name)
    if name != "slt":
        with pytest.raises(ModelError, match="has no voice"):
            ModelBundle.find(None).voice(name)


def test_voices_differ_and_stay_within_the_bundles_own():
    bundle = ModelBundle.find(None)
    own = [bundle.voice(spec.name) for spec in bundle.voices]
    found = [bundle.voice(f"pseudo-{i}") for i in range(50)]
    f0 = np.array([voice.spec.log2_f0_mean for voice in found])
    low, high = min(v.spec.log2_f0_mean for v in own), max(v.spec.log2_f0_mean for v in own)
    assert np.all((low - 0.4 < f0) & (f0 < high + 0.4))
    assert np.std(f0) > 0.08
    rows = np.concatenate([voice.conditioning for voice in found])
    norms = np.linalg.norm(np.concatenate([voice.conditioning for voice in own]), axis=1)
    assert np.linalg.norm(rows, axis=1).max() < 1.3 * norms.max()
    gaps = np.linalg.norm(rows[:, None] - rows[None], axis=2)[np.triu_indices(50, 1)]
    assert np.median(gaps) > 0.1 * norms.mean()


def test_a_pseudo_voice_speaks(rng):
    samples, rate = edgevc.read(Path(__file__).resolve().parents[2] / "examples" / "sentence.wav")
    converter = edgevc.VoiceConverter()
    one, other = (converter.convert(samples, name, sample_rate=rate) for name in ("pseudo-1", "pseudo-2"))
    assert np.sqrt(np.mean(one**2)) > 0.01
    assert np.sqrt(np.mean((one - other) ** 2)) > 0.1 * np.sqrt(np.mean(one**2))
