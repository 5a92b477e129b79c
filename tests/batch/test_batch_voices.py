"""Which voice each file of a batch gets, and of which kind the outputs are."""

import re

import numpy as np
import pytest
from helpers.batch_runs import command, finish, records, stray
from helpers.own_voice import write_drawn_voice

import edgevc
from edgevc.batch import convert_many
from edgevc.batch.choose import KnownVoices, chooser, read_choices
from edgevc.batch.manifest import verify
from edgevc.batch.plan import MANIFEST, Choice, speakers_by, voice_rule
from edgevc.bundle import ModelBundle
from edgevc.errors import ConfigError, ModelError


def test_voices_by_expression_and_by_table(tmp_path, corpus):
    table = tmp_path / "voices.csv"
    table.write_text(f"file,voice,pitch\n{corpus}/speaker0/0.wav,bdl,2.5\n{corpus}/./speaker0/3.wav,kathleen,\n")
    choices = read_choices(table, 1.0)
    choose = chooser(Choice("slt", 1.0), [voice_rule(r"speaker2/=anon")], choices, KnownVoices(ModelBundle.default()))
    assert choose(f"{corpus}/speaker0/0.wav") == Choice("bdl", 2.5)
    assert choose(f"{corpus}/speaker0/3.wav") == Choice("kathleen", 1.0)
    assert choose(f"{corpus}/speaker2/2.wav") == Choice("anon", 1.0)
    assert choose(f"{corpus}/speaker1/1.wav") == Choice("slt", 1.0)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("voice,file\n", "line 1: must be file,voice"),
        ("file,voice\na.wav\n", "line 2: expected 2 columns, got 1"),
        ("file,voice,pitch\na.wav,slt,high\n", "line 2: pitch must be a number, got 'high'"),
        ("file,voice,pitch\na.wav,slt,nan\n", "line 2: pitch must be within -24..24"),
        ("file,voice\na.wav,nobody\n", "has no voice 'nobody'; known: kathleen"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path, text, rule):
    table = tmp_path / "voices.csv"
    table.write_text(text)
    with pytest.raises((ConfigError, ModelError), match=re.escape(rule)):
        chooser(Choice("slt"), [], read_choices(table, 0.0), KnownVoices(ModelBundle.default()))


@pytest.mark.parametrize("expression", ["speaker[0-9]", "(a)(b)", "(?:a)"])
def test_a_speaker_is_one_group(expression):
    with pytest.raises(ConfigError, match="must be the one group of the expression"):
        speakers_by("seed", expression)


def test_each_speaker_has_a_voice_of_their_own_and_keeps_it(tmp_path, corpus):
    seed = tmp_path / "seed"
    seed.write_text("a secret\n")
    text = finish(command(corpus, "out", "--jobs", 2, "--seed-file", seed, cwd=tmp_path), code=2)
    assert f"chmod 600 {seed}" in text
    seed.chmod(0o600)
    seed.write_text(" \nbelow\n")
    text = finish(command(corpus, "out", "--jobs", 2, "--seed-file", seed, cwd=tmp_path), code=2)
    assert "a seed must not be empty" in text
    seed.write_text("a secret\n")
    finish(command(corpus, "out", "--jobs", 2, "--seed-file", seed, cwd=tmp_path))
    found = {record["output"]: record["voice"] for record in records(tmp_path / "out")}
    voices = {
        speaker: {found[name] for name in found if name.startswith(speaker)} for speaker in ("speaker0", "speaker1")
    }
    assert all(len(names) == 1 for names in voices.values())
    assert len(set(found.values())) == 3
    assert all(name.startswith("pseudo-") for name in found.values())
    assert b"a secret" not in (tmp_path / "out" / MANIFEST).read_bytes()
    again = convert_many([corpus], tmp_path / "out", seed="a secret", jobs=1)
    assert again.skipped == 12
    # the name of a pseudo-voice is enough to speak with it again
    name = found["speaker1/1.wav"]
    finish(command(corpus / "speaker1" / "1.wav", "one.wav", "--voice", name, cwd=tmp_path))
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "out" / "speaker1" / "1.wav").read_bytes()
    other = tmp_path / "other"
    convert_many([corpus], other, seed="another", speaker_by=r"/(speaker[01])/", jobs=1)
    changed = {record["output"]: record["voice"] for record in records(other)}
    assert not set(changed.values()) & set(found.values())
    # files without a speaker share a voice
    assert len(set(changed.values())) == 3


@pytest.mark.parametrize("kind", ["flac", "opus"])
def test_outputs_of_other_kinds_hold_the_same_sound(tmp_path, corpus, kind):
    import soundfile

    convert_many([corpus], tmp_path / "wav", "slt", jobs=1)
    finish(command(corpus, tmp_path / "out", "--voice", "slt", "--jobs", 2, "--format", kind, cwd=tmp_path))
    assert verify(tmp_path / "out").none
    assert not stray(tmp_path / "out")
    for path in sorted((tmp_path / "wav").rglob("*.wav")):
        wanted, rate = edgevc.read(path)
        other = (tmp_path / "out" / path.relative_to(tmp_path / "wav")).with_suffix(f".{kind}")
        samples, other_rate = edgevc.read(other)
        assert (rate, len(samples)) == (other_rate, len(wanted))
        if kind == "flac":
            np.testing.assert_array_equal(samples, wanted)
        else:
            # Opus changes phases a little and keeps the envelope: frame by frame the levels agree
            frames = len(wanted) // 1600 * 1600
            levels = [np.sqrt((x[:frames].reshape(-1, 1600) ** 2).mean(1)) for x in (wanted, samples)]
            assert np.corrcoef(*levels)[0, 1] > 0.98
        with soundfile.SoundFile(other) as sound:
            assert "voice converted" in sound.comment
            assert sound.software.startswith("edgevc ")
    tally = convert_many([corpus], tmp_path / "out", "slt", jobs=1, suffix=f".{kind}")
    assert tally.skipped == 12


def test_another_voice_under_the_same_name_is_another_setting(tmp_path, corpus, monkeypatch):
    model = ModelBundle.default()
    path = tmp_path / "me.voice"
    write_drawn_voice(path, model)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    assert convert_many([corpus], out, "me.voice", jobs=1).converted == 12
    assert {record["voice"] for record in records(out)} == {str(path)}
    assert convert_many([corpus], out, str(path), jobs=1).skipped == 12
    write_drawn_voice(path, model, seed=1)
    assert convert_many([corpus], out, "me.voice", jobs=1).converted == 12
