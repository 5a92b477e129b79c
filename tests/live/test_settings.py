"""Settings: flags over variables over the file over defaults, from one table; every mistake is named with its place."""

import argparse
import dataclasses
import sys
from pathlib import Path

import pytest

from edgevc.errors import ConfigError
from edgevc.live import settings
from edgevc.live.config import LiveConfig

ROOT = Path(__file__).resolve().parents[2]

# Field of LiveConfig to: text for flag and variable, TOML source, value.
EXAMPLES = {
    "model": ("/m/x.zip", '"/m/x.zip"', Path("/m/x.zip")),
    "voice": ("slt", '"slt"', "slt"),
    "engine": ("onnx", '"onnx"', "onnx"),
    "chunk_hops": ("4", "4", 4),
    "backend": ("pyaudio", '"pyaudio"', "pyaudio"),
    "input": ("USB*", '"USB*"', "USB*"),
    "output": ("pulse", '"pulse"', "pulse"),
    "block_ms": ("20", "20", 20.0),
    "preroll_ms": ("5.5", "5.5", 5.5),
    "max_latency_ms": ("300", "300", 300.0),
    "overload": ("batch", '"batch"', "batch"),
    "mode": ("mute", '"mute"', "mute"),
    "semitones": ("-3", "-3", -3.0),
    "formant_semitones": ("1.5", "1.5", 1.5),
    "gain_db": ("-6", "-6.0", -6.0),
    "eq": ("200:-3,3000:4:0.7", "[[200, -3], [3000, 4, 0.7]]", ((200.0, -3.0, 1.0), (3000.0, 4.0, 0.7))),
    "backing": ("/b.wav", '"/b.wav"', Path("/b.wav")),
    "backing_gain_db": ("-12", "-12", -12.0),
    "record": ("/i.wav:/o.wav", '["/i.wav", "/o.wav"]', (Path("/i.wav"), Path("/o.wav"))),
    "listening": ("on", "true", True),
    "gate": ("off", "false", False),
    "feedback_guard": ("false", "false", False),
    "realtime": ("off", "false", False),
    "control": ("unix:/run/x.sock", '"unix:/run/x.sock"', "unix:/run/x.sock"),
    "metrics": ("127.0.0.1:9464", '"127.0.0.1:9464"', "127.0.0.1:9464"),
    "virtual_mic": ("1", "true", True),
    "metrics_any_interface": ("yes", "true", True),
}


def resolve(*flags, environment=None, toml=None, folder=None):
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    if toml is not None:
        (folder / "c.toml").write_text(toml)
        flags = (*flags, "--config", str(folder / "c.toml"))
    return settings.resolve_with_origins(parser.parse_args(flags), environment or {"XDG_CONFIG_HOME": "/nowhere"})


def flags_of(setting, text):
    if isinstance(EXAMPLES[setting.field][2], bool):
        return [setting.flag if EXAMPLES[setting.field][2] else f"--no-{setting.flag[2:]}"]
    return [setting.flag, *(text.split(":") if setting.field == "record" else [text])]


def test_every_field_of_the_configuration_is_a_setting_and_has_an_example_here():
    names = [field.name for field in dataclasses.fields(LiveConfig)]
    assert sorted(setting.field for setting in settings.SETTINGS) == sorted(names) == sorted(EXAMPLES)
    assert len({setting.key for setting in settings.SETTINGS}) == len(names)


def test_nothing_given_means_the_defaults():
    assert resolve().config == LiveConfig()
    assert resolve().origins == {}


@pytest.mark.parametrize("setting", settings.SETTINGS, ids=lambda setting: setting.key)
def test_flag_variable_and_key_give_the_same_value(setting, tmp_path):
    text, toml, value = EXAMPLES[setting.field]
    expected = dataclasses.replace(LiveConfig(), **{setting.field: value})
    assert value != getattr(LiveConfig(), setting.field)
    assert resolve(*flags_of(setting, text)).config == expected
    assert resolve(environment={setting.variable: text}).config == expected
    found = resolve(toml=f"[live]\n{setting.key} = {toml}\n", folder=tmp_path)
    assert found.config == expected
    assert found.origins == {setting.field: f"{tmp_path / 'c.toml'}, line 2"}


@pytest.mark.parametrize("setting", settings.SETTINGS, ids=lambda setting: setting.key)
def test_what_is_written_as_toml_is_read_back(setting, tmp_path):
    config = dataclasses.replace(LiveConfig(), **{setting.field: EXAMPLES[setting.field][2]})
    lines = settings.toml_values(config, (setting.field,))
    toml = "[live]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())
    assert resolve(toml=toml, folder=tmp_path).config == config


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path):
    toml = "[live]\nblock_ms = 20\npreroll_ms = 30\nvoice = 'bdl'\n"
    environment = {"EDGEVC_BLOCK_MS": "40", "EDGEVC_PREROLL_MS": "50", "EDGEVC_GAIN": ""}
    found = resolve("--block-ms", "5", environment=environment, toml=toml, folder=tmp_path)
    assert (found.config.block_ms, found.config.preroll_ms, found.config.voice) == (5.0, 50.0, "bdl")
    assert found.origins["block_ms"] == "--block-ms"
    assert found.origins["preroll_ms"] == "EDGEVC_PREROLL_MS"


def test_a_flag_can_clear_what_the_file_says(tmp_path):
    assert resolve("--metrics", "", toml="[live]\nmetrics = '127.0.0.1:1'", folder=tmp_path).config.metrics is None


def test_the_file_is_found_where_xdg_says_and_its_paths_are_relative_to_it(tmp_path):
    (tmp_path / "edgevc").mkdir()
    (tmp_path / "edgevc" / "config.toml").write_text(
        '[live]\nbacking = "song.wav"\nrecord = ["a.wav", "/b.wav"]\n[other]\nx = 1'
    )
    found = resolve(environment={"XDG_CONFIG_HOME": str(tmp_path)})
    assert found.path == tmp_path / "edgevc" / "config.toml"
    assert found.config.backing == tmp_path / "edgevc" / "song.wav"
    assert found.config.record == (tmp_path / "edgevc" / "a.wav", Path("/b.wav"))
    assert resolve(environment={"XDG_CONFIG_HOME": "relative"}).path is None


def test_a_variable_names_the_file(tmp_path):
    (tmp_path / "x.toml").write_text("[live]\nvoice = 'bdl'")
    assert resolve(environment={"EDGEVC_CONFIG": str(tmp_path / "x.toml")}).config.voice == "bdl"
    with pytest.raises(ConfigError, match="EDGEVC_CONFIG must name a file"):
        resolve(environment={"EDGEVC_CONFIG": str(tmp_path / "y.toml")})
    with pytest.raises(ConfigError, match="--config must name a file"):
        resolve("--config", str(tmp_path))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--block-ms", "1"], "--block-ms must be a number within 2.5..100 ms, got '1'"),
        (["--block-ms", "nan"], "got 'nan'"),
        (["--block-ms", "ten"], "got 'ten'"),
        (["--chunk-hops", "3"], "one of 1, 2, 4, got '3'"),
        (["--overload", "panic"], "one of drop, bypass, silence, batch, got 'panic'"),
        (["--eq", "200"], "HZ:DB:Q"),
        (["--eq", "9000:3"], "20..7900 Hz"),
        (["--eq", ",".join(["200:1"] * 9)], "at most 8"),
        (["--record", "a.wav", "a.wav"], "two different paths"),
        (["--control", "0.0.0.0:1"], "unix:PATH"),
        (["--control", "unix:" + "x" * 108], "107 bytes"),
        (["--metrics", "9464"], "HOST:PORT"),
        (["--metrics", "127.0.0.1:99999"], "0..65535"),
        (["--metrics", "0.0.0.0:9464"], "--metrics-any-interface"),
        (["--metrics", "example.org:9464"], "--metrics-any-interface"),
        (["--max-latency-ms", "39"], "at least 2 * 10 + 10 + 10 = 40 ms, got 39 (--max-latency-ms)"),
    ],
)
def test_a_wrong_flag_is_refused_with_its_rule_and_value(flags, words):
    with pytest.raises(ConfigError) as error:
        resolve(*flags)
    assert words in str(error.value)
    assert "; " in str(error.value)


def test_metrics_may_listen_anywhere_when_asked_to():
    assert resolve("--metrics", "0.0.0.0:1", "--metrics-any-interface").config.metrics == "0.0.0.0:1"
    assert resolve("--metrics", "[::1]:1").config.metrics == "[::1]:1"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[live]\n\nblock_ms = 1", "line 3); change that line"),
        ("[live]\nblock_ms = '20'", "a number within 2.5..100 ms, got '20'"),
        ("[live]\nrealtime = 1", "true or false, got 1"),
        ("[live]\nchunk_hops = true", "one of 1, 2, 4, got True"),
        ("[live]\nvoice = 3", "text, got 3"),
        ("[live]\nvoyce = 'x'", "unknown setting 'voyce' (FILE, line 2); did you mean voice?"),
        ("[live]\nblock-ms = 20", "did you mean block_ms?"),
        ("[live]\nzzz = 20", "known: bundle, voice"),
        ("voice = 'x'", "FILE: voice stands outside any table; it belongs below the line [live]"),
        ("[Live]\nvoice = 'x'", "unknown table [Live]; did you mean [live]?"),
        ("[live]\nvoice = ", "FILE is not TOML"),
        ("[live]\nvoice = 'a'\nvoice = 'b'", "FILE is not TOML"),
        ("[live]\neq = [[1, 2, 3, 4]]", "HZ:DB:Q"),
        ("[live]\nrecord = ['a']", "two different paths"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_line(toml, words, tmp_path):
    with pytest.raises(ConfigError) as error:
        resolve(toml=toml, folder=tmp_path)
    assert words.replace("FILE", str(tmp_path / "c.toml")) in str(error.value)


def test_a_wrong_variable_is_refused_and_a_nearly_right_name_as_well():
    with pytest.raises(ConfigError, match=r"EDGEVC_BLOCK_MS must be a number .* got 'x'.*unset EDGEVC_BLOCK_MS"):
        resolve(environment={"EDGEVC_BLOCK_MS": "x"})
    with pytest.raises(ConfigError, match=r"EDGEVC_BLOK_MS; did you mean EDGEVC_BLOCK_MS\?"):
        resolve(environment={"EDGEVC_BLOK_MS": "20"})
    assert resolve(environment={"EDGEVC_MQTT_PASSWORD": "x"}).config == LiveConfig()


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"[live]\nvoice = '\xff'")
    with pytest.raises(ConfigError, match="not TOML"):
        resolve("--config", str(tmp_path / "c.toml"))


def test_an_old_python_without_tomli_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(settings.sys, "version_info", (3, 10, 0))
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(ConfigError, match="pip install tomli"):
        resolve(toml="", folder=tmp_path)
    assert resolve(environment={"EDGEVC_VOICE": "slt"}).config.voice == "slt"


def test_the_document_is_what_the_table_says():
    assert (ROOT / "docs" / "live-settings.md").read_text(encoding="utf-8") == settings.markdown(), (
        "python -m edgevc.live.settings > docs/live-settings.md"
    )


def test_the_help_shows_every_flag_with_its_default():
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    text = " ".join(parser.format_help().split())
    for setting in settings.SETTINGS:
        assert setting.flag in text
    assert "(default 10)" in text


def test_a_namespace_without_the_flags_means_that_none_was_given():
    assert settings.resolve_with_origins(argparse.Namespace(), {"XDG_CONFIG_HOME": "/nowhere"}).config == LiveConfig()
