"""The driver of tools/: what a recipe says is run in order, once, and again only where something changed."""

import sys
from pathlib import Path

import pytest
import train
from vctrain import recipes

PROGRAM = """
import os, sys
out = sys.argv[sys.argv.index("--out") + 1]
open(out, "a").write(" ".join(sys.argv[1:]) + os.environ.get("HOW", "") + "\\n")
sys.exit("--fail" in sys.argv)
"""

BASE = """
description = "base"
[speech]
tool = "step.py"
makes = ["{data}"]
options = { out = "{data}" }
"""

RECIPE = """
description = "a model"
before = ["base"]
[environment]
HOW = " quietly"
[encoder]
tool = "step.py"
arguments = ["learn"]
makes = ["{run}"]
options = { out = "{run}", steps = 3, names = ["a", "b"], compile = true, force = false }
[pitch]
tool = "step.py"
alone = true
makes = ["{export}"]
options = { out = "{export}" }
[decoder]
tool = "step.py"
makes = ["{float}"]
options = { out = "{float}", start-from = "{runs}/other" }
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "step.py").write_text(PROGRAM)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "base.toml").write_text(BASE)
    (tmp_path / "recipes" / "model.toml").write_text(RECIPE)
    monkeypatch.setattr(recipes, "TOOLS", tmp_path)
    monkeypatch.setattr(recipes, "FOLDER", tmp_path / "recipes")
    return tmp_path / "work"


@pytest.fixture
def drive(work, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments, "--work", str(work)])
        train.main()

    return call


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def counts(work):
    places = ("data", "runs/model", "export/model", "float/model")
    return [len(lines(work / place)) for place in places]


def test_all_runs_every_step_once_with_its_options(drive, work, capsys):
    drive("model", "all")
    assert lines(work / "data") == [f"--out {work}/data"]
    assert lines(work / "runs/model") == [f"learn --out {work}/runs/model --steps 3 --names a b --compile quietly"]
    assert lines(work / "float/model") == [f"--out {work}/float/model --start-from {work}/runs/other quietly"]
    assert counts(work) == [1, 1, 0, 1]
    capsys.readouterr()
    drive("model", "all")
    assert counts(work) == [1, 1, 0, 1]
    assert capsys.readouterr().out.splitlines()[0] == f"base: speech is done: {work}/data"


def test_another_option_runs_its_step_and_those_behind_it_again(drive, work):
    drive("model", "all")
    drive("model", "all", "--set", "encoder.steps=5")
    assert counts(work) == [1, 2, 0, 2]
    assert "--steps 5" in lines(work / "runs/model")[-1]


def test_a_missing_output_is_made_again(drive, work):
    drive("model", "all")
    (work / "float/model").unlink()
    drive("model", "all")
    assert counts(work) == [1, 1, 0, 1]
    drive("model", "all", "--again")
    assert counts(work) == [2, 2, 0, 2]


def test_a_step_that_stands_alone_runs_by_its_name_only(drive, work):
    drive("model", "pitch")
    assert counts(work) == [0, 0, 1, 0]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_showing_and_a_dry_run_run_nothing(drive, work, capsys, options):
    drive("model", *(("all", *options) if options else ()))
    assert "step.py learn --out" in capsys.readouterr().out
    assert not work.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mode",), "no recipe mode: expected one of base, model"),
        (("model", "encode"), "no step encode: expected all or one of speech, encoder, pitch, decoder"),
        (("model", "all", "--set", "encode.steps=2"), "--set: no step encode"),
        (("model", "all", "--jobs", "0"), "--jobs: expected 1 or more, got 0"),
        (("model", "all", "--set", "encoder.fail=true"), "step encoder ended with exit status 1"),
    ],
)
def test_a_mistake_is_one_line(drive, work, capsys, arguments, said):
    with pytest.raises(SystemExit) as ended:
        drive(*arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    # what failed is not taken for done
    assert not (work / "float/model").exists()


def test_a_recipe_with_an_unknown_key_is_refused(drive, work, capsys):
    path = work.parent / "recipes" / "model.toml"
    path.write_text(path.read_text().replace("alone = true", "lone = true"))
    with pytest.raises(SystemExit):
        drive("model")
    assert "unknown key pitch: lone" in capsys.readouterr().err


def test_a_step_must_make_what_it_says(drive, work, capsys):
    path = work.parent / "recipes" / "model.toml"
    path.write_text(path.read_text().replace('makes = ["{run}"]', 'makes = ["{run}", "{scores}"]'))
    with pytest.raises(SystemExit):
        drive("model", "encoder")
    assert f"step encoder ended without {Path(work) / 'scores' / 'model.json'}" in capsys.readouterr().err
