"""Every command and option, and every mistake that a user can make: an exit code and a sentence, never a traceback."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers.command_line import (
    TIME_LIMIT_S,
    Outcome,
    environment,
    finish,
    names_in,
    start,
)

import edgevc
from edgevc import cli
from edgevc.bundle import ModelBundle, shipped_models
from edgevc.cli.progress import Progress, bar
from edgevc.limits import SAMPLE_RATE


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["convert"],
            2,
            "give an input and an output and --voice NAME, for example `edgevc convert me.wav me-kathleen.wav",
        ),
        (["convert", "IN", "OUT"], 2, "--voice NAME is missing; voices: kathleen, slt, bdl, anon"),
        (["convert", "", "OUT", "--voice", "slt"], 2, "must have a name, got an empty one"),
        (["convert", "IN"], 2, "/in-kathleen.wav --voice kathleen`; voices: kathleen, slt, bdl, anon"),
        (["convert", "--voice", "slt", "IN"], 2, "/in-slt.wav --voice slt`"),
        (["convert", "--voice", "slt"], 2, "give an input and an output, for example"),
        (["convert", ".", "--voice", "slt"], 2, "`edgevc convert . converted-slt --voice slt`"),
        (["convert", "..", "--voice", "slt"], 2, "`edgevc convert .. converted-slt --voice slt`"),
        (["convert", "/", "--voice", "slt"], 2, "`edgevc convert / converted-slt --voice slt`"),
        (["convert", "-x.wav", "OUT", "--voice", "slt"], 2, "unrecognized arguments: -x.wav"),
        (["convert", "-", "--voice", "slt"], 2, "for example `edgevc convert - - --voice slt`"),
        (["convert", "IN", "OUT", "--voice", "nobody"], 3, "has no voice 'nobody'; known: kathleen"),
        (["convert", "no.wav", "OUT", "--voice", "slt"], 5, "no.wav does not exist"),
        (["convert", "IN", "out.mp3", "--voice", "slt"], 2, "must be a .wav, .flac or .opus file, got out.mp3"),
        (["convert", "IN", "IN", "--voice", "slt", "--force"], 2, "the output must not be the input"),
        (["convert", "IN", "-", "--voice", "slt"], 2, "raw audio goes from - to -"),
        (["convert", "-", "OUT", "--voice", "slt"], 2, "raw audio goes from - to -"),
        (["convert", "IN", "-", "-", "--voice", "slt"], 2, "raw audio goes from - to -"),
        (["convert", "-", "-", "--voice", "slt", "--plot", "p.png"], 2, "--plot draws files"),
        (["convert", "IN", "no.wav", "IN", "--voice", "slt"], 2, "several inputs go into a folder, which stands last"),
        (["convert", "IN", "no.wav", "new.wav", "--voice", "slt"], 2, "got the file new.wav; name a folder"),
        (["convert", "IN", "OUT", "--voice", "slt", "--raw-rate", "8000"], 2, "--raw-rate is for raw input"),
        (["convert", "IN", "OUT", "--voice", "slt", "--pitch", "25"], 2, "semitones must be within -24..24, got 25.0"),
        (["convert", "IN", "OUT", "--voice", "slt", "--pitch", "high"], 2, "--pitch: invalid float value: 'high'"),
        (["convert", "IN", "OUT", "--voice", "slt", "--gain", "nan"], 2, "gain_db must be within -40..40, got nan"),
        (["convert", "IN", "OUT", "--voice", "slt", "--formant", "13"], 2, "formant_semitones must be within -12..12"),
        (["convert", "IN", "OUT", "--voice", "slt", "--backing", "no.wav"], 5, "no.wav: cannot be opened"),
        (["convert", "IN", "OUT", "--voice", "slt", "--backing-gain", "3"], 2, "--backing-gain needs --backing FILE"),
        (["convert", "IN", "OUT", "--voice", "slt", "--chunk-hops", "3"], 2, "invalid choice: 3"),
        (["convert", "IN", "OUT", "--voice", "slt", "--engine", "torch"], 2, "invalid choice: 'torch'"),
        (["convert", "IN", "OUT", "--voice", "slt", "--bundle", "none"], 3, "found no 'none'; edgevc voices"),
        (["convert", "IN", "IN/out.wav", "--voice", "slt"], 8, "cannot make the folder"),
        (["convert", "IN", "/proc/edgevc/out.wav", "--voice", "slt"], 8, "cannot make the folder /proc/edgevc"),
        (["convert", "IN", "/proc/out.wav", "--voice", "slt"], 8, "/proc/out.wav: cannot be written"),
        (["info", "IN"], 3, "is not a zip archive"),
        (["voices", "--bundle", "none"], 3, "found no 'none'"),
        (["bench", "--seconds", "0"], 2, "--seconds must be within 1..3600, got 0.0"),
        (["bench", "--seconds", "1", "--voice", "nobody"], 3, "has no voice 'nobody'"),
        (["sing"], 2, "invalid choice: 'sing'"),
        ([], 2, "required: COMMAND"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_an_exit_code_and_a_sentence(run, wav, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    names = {"IN": str(wav), "OUT": str(tmp_path / "out.wav"), "IN/out.wav": str(wav / "out.wav")}
    done = run(*[names.get(argument, argument) for argument in arguments], code=code)
    assert message in done.err
    assert names_in(tmp_path) == ["in.wav"]


def test_a_bundle_of_another_front_end_is_refused(run, wav, tmp_path, tiny_bundle_path):
    done = run("convert", wav, tmp_path / "o.wav", "--voice", "first", "--bundle", tiny_bundle_path, code=3)
    assert "this model needs a different mel filter bank" in done.err


def test_a_damaged_bundle_is_refused(run, tmp_path, tiny_bundle_path):
    import shutil

    folder = shutil.copytree(tiny_bundle_path, tmp_path / "bundle")
    data = bytearray((folder / "encoder.onnx").read_bytes())
    data[100] ^= 1
    (folder / "encoder.onnx").write_bytes(data)
    assert "encoder.onnx is damaged (sha256 differs)" in run("info", folder, code=3).err


def test_voices_lists_names_licences_and_consent(run, tiny_bundle_path):
    default = run("voices").out
    for voice in ModelBundle.default().voices:
        assert f"\n{voice.name} " in f"\n{default}"
        assert voice.consent in default
    assert "first" in run("voices", "--bundle", tiny_bundle_path).out
    listed = json.loads(run("voices", "--json").out)
    assert [voice["name"] for voice in listed["voices"]] == [voice.name for voice in ModelBundle.default().voices]
    assert [model["name"] for model in listed["models"]] == list(shipped_models())


def test_a_model_that_comes_along_is_chosen_by_its_name_and_a_folder_by_its_path(
    run, tiny_bundle_path, tmp_path, monkeypatch
):
    name = list(shipped_models())[-1]
    assert run("info", name).out.startswith(f"{name} ")
    assert f"voices of {name}:" in run("voices", "--bundle", name).out
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle_path, name)
    assert run("info", name).out.startswith(f"{name} ")
    assert run("info", f"./{name}").out.startswith("tiny 1.0: A model for tests")


def test_info_shows_what_a_bundle_is(run, tiny_bundle_path):
    text = run("info").out
    assert "algorithmic latency 40.0 ms at 1 hop per call" in text
    assert "every file matches its sha256" in text
    assert run("info", tiny_bundle_path).out.startswith("tiny 1.0: A model for tests")
    figures = json.loads(run("info", "--json").out)
    assert figures["algorithmic_latency_ms"] == 40.0
    assert set(figures["graphs"]) == {"encoder", "decoder"}
    assert figures["voices"] == ["kathleen", "slt", "bdl", "anon"]


def test_bench_measures_the_whole_and_the_parts(run):
    text = run("bench", "--seconds", "1", "--chunk-hops", "2").out
    assert ", 2 hops per call, latency 50.0 ms" in text
    for part in ("features and pitch", "encoder", "decoder", "gate and synthesis", "whole chain", "RTF "):
        assert part in text
    report = json.loads(run("bench", "--seconds", "1", "--engine", "onnx", "--voice", "bdl", "--json").out)
    assert report["engine"] == "onnx"
    assert 0 < report["chunk"]["p50"] <= report["chunk"]["p99"] <= report["chunk"]["max"]
    assert report["rtf"] > 0
    assert report["peak_rss_mb"] > 10


def test_help_and_version_work_everywhere(run):
    assert run("--version").out == f"edgevc {edgevc.__version__}\n"
    for command in ([], ["convert"], ["voices"], ["info"], ["bench"], ["devices"]):
        text = run(*command, "--help").out
        assert "exit codes:" in text
        assert command == [] or "examples:" in text


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_the_usage_of_a_command_begins_with_its_name(run, command):
    text = run(command, "--help").out
    assert text.startswith(f"usage: edgevc {command} ")
    assert len(text.partition("\n\n")[0].splitlines()) < 12


def test_a_reader_that_was_never_there_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    process = start("info", stdout=writing)
    os.close(writing)
    assert finish(process) == (0, "")


def without(modules, *arguments):
    """Run a command in a Python that lacks some modules."""
    block = f"import sys; sys.modules.update(dict.fromkeys({modules!r})); from edgevc.cli import main"
    command = [sys.executable, "-c", f"{block}; sys.exit(main({[str(argument) for argument in arguments]!r}))"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=TIME_LIMIT_S)
    assert "Traceback" not in done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_a_missing_engine_is_named_with_the_command_that_installs_it(wav, tmp_path):
    target = tmp_path / "o.wav"
    convert = ["convert", wav, target, "--voice", "slt"]
    done = without(["ai_edge_litert"], *convert, "--engine", "litert")
    assert done.code == 4
    assert 'engine litert is not installed; pip install "edgevc[litert]"' in done.err
    done = without(["onnxruntime"], *convert, "--engine", "onnx")
    assert done.code == 4
    assert 'pip install "edgevc[onnx]"' in done.err
    done = without(["onnxruntime", "ai_edge_litert"], *convert)
    assert done.code == 4
    assert "no inference engine can be used" in done.err
    assert not target.exists()


def test_auto_takes_the_engine_that_is_there(wav, tmp_path):
    done = without(["ai_edge_litert"], "convert", wav, tmp_path / "o.wav", "--voice", "slt")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("slt with onnx, ")


def test_missing_extras_are_named(wav, tmp_path, speech):
    import soundfile

    soundfile.write(tmp_path / "in.flac", speech, SAMPLE_RATE)
    done = without(["soundfile"], "convert", tmp_path / "in.flac", tmp_path / "o.wav", "--voice", "slt")
    assert done.code == 11
    assert 'pip install "edgevc[audio]"' in done.err
    picture = tmp_path / "p.png"
    done = without(["matplotlib"], "convert", wav, tmp_path / "o.wav", "--voice", "slt", "--plot", picture)
    assert done.code == 11
    assert 'pip install "edgevc[plot]"' in done.err
    assert not (tmp_path / "o.wav").exists()


def test_progress_is_one_line_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress()
    progress.show(f"me.wav: {bar(5.0, 10.0)}")
    progress.show(f"me.wav: {bar(6.0, 10.0)}")
    progress.close()
    shown = capsys.readouterr().err
    assert shown == f"\r\033[Kme.wav: [{'#' * 15}{'.' * 15}] 5.0 / 10.0 s\r\033[K"
    assert bar(5.0, None) == "5.0 s"


def test_progress_is_silent_in_a_log_unless_steps_are_wanted(capsys):
    progress = Progress()
    progress.show("me.wav: 5.0 s")
    assert capsys.readouterr().err == ""
    progress = Progress(steps=True)
    for text, step in (
        ("trying dynamic, 3%", "trying dynamic"),
        ("trying dynamic, 4%", "trying dynamic"),
        ("done", None),
    ):
        progress.show(text, step)
    progress.close()
    assert [line.split("  ")[-1] for line in capsys.readouterr().err.splitlines()] == ["trying dynamic", "done"]
