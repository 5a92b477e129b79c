"""`edgevc tune`: what it recommends for slow and fast boards, and how it changes the settings file."""

import argparse
import os
import sys

import pytest

from edgevc import cli
from edgevc.board import tune
from edgevc.board.tune import Lateness, Speed, Trial, recommend
from edgevc.errors import ConfigError, OutputError
from edgevc.live.config import LiveConfig
from edgevc.live.settings import LIVE, check_together
from edgevc.settings.toml_file import parse_toml
from edgevc.settings.toml_writer import change, with_settings

CALM = Lateness(0.1, 0.4)
FAST = [
    Speed("litert", 1, 0.24, 0.014),
    Speed("litert", 2, 0.35, 0.010),
    Speed("onnx", 1, 0.50, 0.036),
]
CLEAN_AT_10 = [Trial(5.0, 3, 0), Trial(10.0, 0, 0)]


def test_a_fast_board_gets_the_least_latency_and_the_cheaper_engine():
    found = recommend(LiveConfig(), FAST, CALM, CLEAN_AT_10)
    assert (found.config.engine, found.config.chunk_hops) == ("litert", 1)
    assert (found.config.block_ms, found.config.preroll_ms) == (10.0, 5.0)
    assert found.names == ("engine", "chunk_hops", "block_ms", "preroll_ms")
    assert any("runs clean at blocks of 10 ms" in reason for reason in found.reasons)


def test_a_slower_board_takes_more_hops_per_call():
    speeds = [Speed("litert", 1, 6.0, 0.4), Speed("litert", 2, 8.0, 0.3), Speed("onnx", 2, 9.0, 0.28)]
    found = recommend(LiveConfig(), speeds, CALM)
    assert (found.config.engine, found.config.chunk_hops) == ("onnx", 2)
    assert found.config.preroll_ms == 10.0


def test_a_board_that_is_too_slow_is_told_so():
    found = recommend(LiveConfig(), [Speed("litert", 1, 20.0, 1.9), Speed("litert", 4, 45.0, 1.1)], CALM)
    assert found.config.chunk_hops == 4
    assert any("too slow" in reason for reason in found.reasons)


def test_late_wake_ups_are_covered_by_the_pre_roll_and_a_larger_block():
    found = recommend(LiveConfig(), FAST, Lateness(0.5, 12.0))
    assert found.config.block_ms == 20.0
    assert found.config.preroll_ms == 12.5


def test_the_largest_block_is_taken_where_none_was_clean_and_the_cap_follows():
    trials = [Trial(5.0, 9, 0), Trial(10.0, 5, 0), Trial(20.0, 0, 2), Trial(40.0, 1, 0)]
    found = recommend(LiveConfig(max_latency_ms=100.0), FAST, Lateness(1.0, 60.0), trials)
    assert found.config.block_ms == 40.0
    assert found.config.max_latency_ms == 2 * (80.0 + found.config.preroll_ms + 10.0)
    assert "max_latency_ms" in found.names
    assert any("no block size ran clean (1 xruns" in reason for reason in found.reasons)


def test_every_recommendation_is_a_valid_configuration():
    for p99 in (0.1, 4.0, 19.0, 70.0):
        for late in (0.1, 9.0, 500.0):
            for trials in ((), CLEAN_AT_10, [Trial(40.0, 1, 1)]):
                speeds = [Speed("onnx", hops, p99, 0.02 * p99 / hops) for hops in (1, 2, 4)]
                found = recommend(LiveConfig(), speeds, Lateness(0.0, late), trials)
                check_together(found.config, {})


FILE = """# my board
[live]
voice = "bdl"   # the quiet one
block_ms = 20

[relay]
block_ms = 7
"""


def test_settings_are_changed_in_place_and_everything_else_stays():
    text = with_settings(FILE, {"voice": "slt", "block_ms": 10.0, "engine": "onnx"}, "live")
    assert text == FILE.replace('"bdl"', '"slt"').replace("= 20\n", '= 10.0\nengine = "onnx"\n')


def test_line_ends_stay_as_they_were():
    windows = FILE.replace("\n", "\r\n")
    assert with_settings(windows, {"block_ms": 10.0}, "live") == windows.replace("= 20", "= 10.0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a word",
        "[relay]\nx = 1\n",
        "[live]",
        "[relay]\n[live]\n\n\n[more]\n",
        "live = {eq = []}\n",
        "live.eq = []\n",
        "[live]\neq = [\n [200, 3], # low\n]\n",
        '[live]\nvoice = """\nslt"""\n',
    ],
)
def test_the_table_is_found_or_made(text, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(text)
    before = parse_toml(text, path)
    change(path, {"engine": "onnx", "block_ms": 10.0, "eq": [[100.0, 1.0, 1.0]]}, "live")
    values = parse_toml(path.read_text(), path)
    assert values["live"] == {**before.get("live", {}), "engine": "onnx", "block_ms": 10.0, "eq": [[100.0, 1.0, 1.0]]}
    assert {name: table for name, table in values.items() if name != "live"} == {
        name: table for name, table in before.items() if name != "live"
    }


def test_the_file_before_is_kept_and_the_mode_as_well(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    shown, backup = change(path, {"block_ms": 40.0}, "live")
    assert "-block_ms = 20" in shown
    assert "+block_ms = 40.0" in shown
    assert backup.read_text() == FILE
    assert path.read_text() == FILE.replace("= 20", "= 40.0")
    assert path.stat().st_mode & 0o777 == 0o600
    assert backup.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["c.toml", "c.toml.bak"]


def test_a_dry_run_and_a_change_of_nothing_write_nothing(tmp_path):
    path = tmp_path / "deep" / "c.toml"
    shown, _ = change(path, {"block_ms": 40.0}, "live", dry_run=True)
    assert "+block_ms = 40.0" in shown
    assert not path.parent.exists()
    change(path, {"block_ms": 40.0}, "live")
    assert change(path, {"block_ms": 40.0}, "live") == ("", None)
    assert [entry.name for entry in path.parent.iterdir()] == ["c.toml"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.toml").write_text("[live]\n")
    (tmp_path / "c.toml").symlink_to("real.toml")
    change(tmp_path / "c.toml", {"block_ms": 40.0}, "live")
    assert (tmp_path / "c.toml").is_symlink()
    assert "40.0" in (tmp_path / "real.toml").read_text()


@pytest.mark.parametrize("text", ["live = 3\n", "[[live]]\neq = []\n"])
def test_a_file_that_cannot_be_changed_safely_stays_as_it_is(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="put this below"):
        change(path, {"eq": [[100, 1, 1]]}, "live")
    assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.toml"]


def test_a_folder_that_cannot_be_written_is_an_error_with_a_next_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another output"):
        change(tmp_path / "file" / "c.toml", {"block_ms": 40.0}, "live")


def test_without_the_package_that_writes_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    assert cli.main(["tune"]) == 11
    assert (
        capsys.readouterr().err == 'edgevc: writing settings needs the package tomlkit; pip install "edgevc[audio]"\n'
    )


def test_the_command_measures_this_machine_and_live_reads_what_it_wrote(tmp_path, capsys):
    path = tmp_path / "c.toml"
    path.write_text('[live]\nvoice = "slt"\nrealtime = false\n')
    assert cli.main(["tune", "--no-device", "--seconds", "1", "--config", str(path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "nothing was written" in out
    assert "+engine = " in out
    assert cli.main(["tune", "--no-device", "--seconds", "1", "--config", str(path)]) == 0
    assert f"the one before is {path}.bak" in capsys.readouterr().out
    found = LIVE.resolve_with_origins(argparse.Namespace(config=path), {})
    assert {"voice", "engine", "chunk_hops", "block_ms", "preroll_ms"} <= set(found.origins)
    assert found.config.engine in ("litert", "onnx")
    assert found.config.voice == "slt"


def test_a_wrong_argument_is_refused(capsys):
    assert cli.main(["tune", "--seconds", "0"]) == 2
    assert "1..60" in capsys.readouterr().err


def test_lateness_is_of_a_thread_that_really_sleeps():
    policy = os.sched_getscheduler(0)
    found = tune.measure_lateness(0.3)
    assert 0 <= found.p50 <= found.p999
    assert os.sched_getscheduler(0) == policy
