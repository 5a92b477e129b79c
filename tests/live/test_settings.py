"""Settings: flags over variables over the file over defaults, from one table; every mistake is named with its place."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import pytest

from edgevc.errors import ConfigError
from edgevc.limits import BACKING_GAIN_DB
from edgevc.live import settings
from edgevc.live.config import LiveConfig
from edgevc.live.settings import LIVE
from edgevc.settings import table, toml_file
from edgevc.settings.kinds import HostPort, Number, Switch
from edgevc.settings.table import Setting, SettingsTable
from edgevc.settings.toml_writer import with_settings

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
    "mark": ("off", "false", False),
    "feedback_guard": ("false", "false", False),
    "realtime": ("off", "false", False),
    "control": ("unix:/run/x.sock", '"unix:/run/x.sock"', "unix:/run/x.sock"),
    "metrics": ("127.0.0.1:9464", '"127.0.0.1:9464"', "127.0.0.1:9464"),
    "virtual_mic": ("1", "true", True),
    "metrics_any_interface": ("yes", "true", True),
}


def resolve(*flags, environment=None, toml=None, folder=None):
    parser = argparse.ArgumentParser()
    LIVE.add_arguments(parser)
    if toml is not None:
        (folder / "c.toml").write_text(toml)
        flags = (*flags, "--config", str(folder / "c.toml"))
    return LIVE.resolve_with_origins(parser.parse_args(flags), environment or {"XDG_CONFIG_HOME": "/nowhere"})


def flags_of(setting, text):
    if isinstance(EXAMPLES[setting.field][2], bool):
        return [setting.flag if EXAMPLES[setting.field][2] else f"--no-{setting.flag[2:]}"]
    return [setting.flag, *(text.split(":") if setting.field == "record" else [text])]


def test_every_field_of_the_configuration_is_a_setting_and_has_an_example_here():
    names = [field.name for field in dataclasses.fields(LiveConfig)]
    assert sorted(setting.field for setting in settings.SETTINGS) == sorted(names) == sorted(EXAMPLES)
    assert len({LIVE.key_of(setting) for setting in settings.SETTINGS}) == len(names)


def test_nothing_given_means_the_defaults():
    assert resolve().config == LiveConfig()
    assert resolve().origins == {}


@pytest.mark.parametrize("setting", settings.SETTINGS, ids=LIVE.key_of)
def test_flag_variable_and_key_give_the_same_value(setting, tmp_path):
    text, toml, value = EXAMPLES[setting.field]
    expected = dataclasses.replace(LiveConfig(), **{setting.field: value})
    assert value != getattr(LiveConfig(), setting.field)
    assert resolve(*flags_of(setting, text)).config == expected
    assert resolve(environment={setting.variable: text}).config == expected
    found = resolve(toml=f"[live]\n{LIVE.key_of(setting)} = {toml}\n", folder=tmp_path)
    assert found.config == expected
    assert found.origins == {setting.field: f"{tmp_path / 'c.toml'}, line 2"}


@pytest.mark.parametrize("setting", settings.SETTINGS, ids=LIVE.key_of)
def test_what_is_written_as_toml_is_read_back(setting, tmp_path):
    config = dataclasses.replace(LiveConfig(), **{setting.field: EXAMPLES[setting.field][2]})
    values = LIVE.values_for_toml(config, (setting.field,))
    toml = with_settings("", values, "live")
    assert resolve(toml=toml, folder=tmp_path).config == config
    assert json.loads(json.dumps(values)) == values


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
    (tmp_path / "edgevc" / "config.toml").write_text('[live]\nbacking = "song.wav"\nrecord = ["a.wav", "/b.wav"]\n')
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
        ("[LIVE]\nvoice = 'x'", "unknown table [LIVE]; did you mean [live]?"),
        ("[live]\n[lvie]\nvoice = 'x'", "unknown table [lvie]; did you mean [live]?"),
        ("[weather]\nvoice = 'x'", "unknown table [weather]; known: [live]"),
        ("[[live]]\nvoice = 'x'", "[[live]] must be one table; write [live]"),
        ("live = 3", "live stands outside any table"),
        ("[live]\ngain = " + "9" * 400, "a number within -40..40 dB, got a number of about 401 digits"),
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
    with pytest.raises(ConfigError, match=r"not TOML: .*; save it as UTF-8"):
        resolve("--config", str(tmp_path / "c.toml"))


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf[live]\r\nvoice = 'slt'\r\n")
    found = resolve("--config", str(tmp_path / "c.toml"))
    assert found.config.voice == "slt"
    assert found.origins["voice"].endswith("c.toml, line 2")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_named(tmp_path, encoding):
    (tmp_path / "c.toml").write_bytes("[live]\nvoice = 'slt'".encode(encoding))
    with pytest.raises(ConfigError, match=r"must be UTF-8, it is UTF-16 or no text; save it as UTF-8$"):
        resolve("--config", str(tmp_path / "c.toml"))


def test_a_file_that_is_too_large_or_cannot_be_read_is_an_error_with_a_next_step(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="at most 1048576 bytes"):
        resolve("--config", str(tmp_path / "c.toml"))
    with pytest.raises(ConfigError, match="cannot read"):
        toml_file.read_toml(tmp_path / "missing.toml")


def test_an_old_python_without_tomli_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(toml_file.sys, "version_info", (3, 10, 0))
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
    LIVE.add_arguments(parser)
    text = " ".join(parser.format_help().split())
    for setting in settings.SETTINGS:
        assert setting.flag in text
        if isinstance(setting.kind, Switch):
            assert f"{setting.flag}, --no-{setting.flag[2:]}" in text
    assert "(default 10)" in text


def test_the_last_of_two_switches_counts():
    assert resolve("--no-gate", "--gate").config.gate is True
    assert resolve("--gate", "--no-gate").config.gate is False


def test_the_backing_has_one_range_everywhere():
    assert resolve("--backing-gain", "-50").config.backing_gain_db == -50.0
    with pytest.raises(ConfigError, match=f"within {BACKING_GAIN_DB[0]:g}..{BACKING_GAIN_DB[1]:g} dB, got '30'"):
        resolve("--backing-gain", "30")


def test_a_built_in_model_keeps_its_name_in_the_file_and_a_path_is_relative_to_it(tmp_path):
    assert resolve(toml='[live]\nbundle = "tiny"', folder=tmp_path).config.model == "tiny"
    assert resolve(toml='[live]\nbundle = "./tiny"', folder=tmp_path).config.model == tmp_path / "tiny"
    assert resolve("--bundle", "tiny").config.model == "tiny"
    assert resolve("--bundle", "./tiny").config.model == Path.cwd() / "tiny"
    assert resolve(toml='[live]\nbundle = "x.zip"', folder=tmp_path).config.model == tmp_path / "x.zip"
    assert resolve(toml='[live]\nbundle = "m/x"', folder=tmp_path).config.model == tmp_path / "m/x"


def test_flags_that_are_given_on_name_their_files_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    LIVE.add_arguments(parser)
    given = ["--bundle", "tiny", "--backing=song.wav", "--record", "a.wav", "/b.wav", "--gain=-3", "--no-gate", "--eq="]
    assert LIVE.given_flags(parser.parse_args(given)) == [
        *("--bundle=tiny", "--gain=-3", "--no-gate", "--eq=", f"--backing={tmp_path}/song.wav"),
        # what a service writes belongs into its own folder
        *("--record", "a.wav", "/b.wav"),
    ]
    assert LIVE.given_flags(parser.parse_args(["--bundle", "m/x", "--backing="])) == [
        *(f"--bundle={tmp_path}/m/x", "--backing="),
    ]


# --- a second table


@dataclasses.dataclass(frozen=True)
class Broker:
    host: str | None = None
    keep_alive: float = 60.0
    retain: bool = False


BROKER = SettingsTable(
    "broker",
    (
        Setting("host", "--broker-host", HostPort(), "all", "where it is"),
        Setting("keep_alive", "--broker-keep-alive", Number(1, 600, "s"), "all", "seconds"),
        Setting("retain", "--broker-retain", Switch(), "all", "keep the last state"),
    ),
    Broker,
    {"all": "broker"},
    prefix="broker-",
)


def test_another_part_of_edgevc_has_a_table_of_its_own_in_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "TABLES", ("live", "broker"))
    path = tmp_path / "c.toml"
    path.write_text('[live]\nvoice = "slt"\n[broker]\nhost = "127.0.0.1:1883"\nkeep_alive = 5\n')
    parser = argparse.ArgumentParser()
    BROKER.add_arguments(parser)
    arguments = parser.parse_args(["--config", str(path), "--broker-retain"])
    found = BROKER.resolve_with_origins(arguments, {"EDGEVC_BROKER_KEEP_ALIVE": "7"})
    assert found.config == Broker("127.0.0.1:1883", 7.0, True)
    assert found.origins["host"] == f"{path}, line 4"
    assert LIVE.resolve(argparse.Namespace(config=path)).voice == "slt"
    assert "| `--broker-host` | `host` | `EDGEVC_BROKER_HOST` |" in "\n".join(BROKER.markdown())
    path.write_text("[broker]\nhots = 'x'")
    with pytest.raises(ConfigError, match=r"unknown setting 'hots' .*; did you mean host\?"):
        BROKER.resolve(argparse.Namespace(config=path))
    assert LIVE.resolve(argparse.Namespace(config=path)) == LiveConfig()


def test_a_namespace_without_the_flags_means_that_none_was_given():
    assert LIVE.resolve_with_origins(argparse.Namespace(), {"XDG_CONFIG_HOME": "/nowhere"}).config == LiveConfig()
