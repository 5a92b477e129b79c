"""Many files: whole or not there, done once, whatever dies in between; and a folder that is hostile."""

import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.batch_runs import SENTENCE, command, finish, records, stray

import edgevc
from edgevc.audio.reader import read_audio
from edgevc.batch import Mapper, convert_many
from edgevc.batch.choose import chooser, settings_for
from edgevc.batch.manifest import Manifest, hidden_name, verify
from edgevc.batch.plan import MANIFEST, Choice, make_plan
from edgevc.batch.run import Batch
from edgevc.errors import AudioFileError, ConfigError, OutputError, SessionError


def test_outputs_are_those_of_one_conversion_after_the_other(tmp_path, corpus):
    tally = convert_many([corpus], tmp_path / "many", "slt", jobs=2)
    assert (tally.files, tally.converted, tally.failed) == (12, 12, 0)
    finish(command(corpus, tmp_path / "one", "--voice", "slt", cwd=tmp_path))
    for path in sorted((tmp_path / "one").rglob("*.wav")):
        other = tmp_path / "many" / path.relative_to(tmp_path / "one")
        assert other.read_bytes() == path.read_bytes(), path
    assert verify(tmp_path / "many").none
    assert not stray(tmp_path / "many")


def test_the_manifest_says_what_was_made_of_what(tmp_path, corpus):
    convert_many([corpus], tmp_path / "out", "anon", jobs=1, rules=[("speaker1/", "bdl")])
    found = {record["output"]: record for record in records(tmp_path / "out")}
    assert len(found) == 12
    for output, record in found.items():
        assert record["voice"] == ("bdl" if output.startswith("speaker1/") else "anon")
        assert record["bundle_sha256"] == edgevc.VoiceConverter().bundle.sha256
        assert record["seconds"] == pytest.approx(len(read_audio(corpus / output)[0]) / 16000, abs=1e-3)
        assert record["level_out_db"] > -60


def test_the_largest_files_are_first(tmp_path, corpus):
    convert_many([corpus], tmp_path / "out", "slt", jobs=1)
    sizes = [record["source_bytes"] for record in records(tmp_path / "out")]
    assert sizes == sorted(sizes, reverse=True)


def test_a_second_run_does_what_has_changed_and_nothing_else(tmp_path, corpus):
    out = tmp_path / "out"
    convert_many([corpus], out, "slt", jobs=2)
    assert convert_many([corpus], out, "slt", jobs=2).skipped == 12
    samples, rate = edgevc.read(SENTENCE)
    edgevc.write(corpus / "speaker0" / "0.wav", samples[:5000], rate)
    (out / "speaker1" / "1.wav").unlink()
    tally = convert_many([corpus], out, "slt", jobs=2)
    assert (tally.converted, tally.skipped) == (2, 10)
    tally = convert_many([corpus], out, "bdl", jobs=2)
    assert (tally.converted, tally.skipped) == (12, 0)
    assert verify(out).none


def test_a_file_that_fails_ends_nothing_and_is_tried_again(tmp_path, corpus):
    (corpus / "bad.wav").write_bytes(b"RIFFnonsense")
    (corpus / "empty.flac").write_bytes(b"")
    told = []
    tally = convert_many([corpus], tmp_path / "out", "slt", jobs=2, told=lambda tally, problem: told.append(problem))
    assert (tally.converted, tally.failed) == (12, 2)
    assert tally.first_exit_code == AudioFileError.exit_code
    assert sum(problem is not None and "bad.wav" in problem for problem in told) == 1
    difference = verify(tmp_path / "out")
    assert sorted(difference.failed) == ["bad.wav", "empty.wav"]
    (corpus / "empty.flac").unlink()
    (corpus / "bad.wav").write_bytes(SENTENCE.read_bytes())
    tally = convert_many([corpus], tmp_path / "out", "slt", jobs=2)
    assert (tally.converted, tally.skipped, tally.failed) == (1, 12, 0)


@pytest.mark.parametrize("whom", ["a worker", "the parent", "all"])
def test_a_kill_at_any_moment_loses_nothing_and_leaves_no_half_file(tmp_path, corpus, whom, rng):
    """Killed again and again; in the end every file is there once, as one undisturbed run makes it."""
    out = tmp_path / "out"
    n_killed = n_seen = 0
    for _ in range(4):
        process = command(corpus, out, "--voice", "slt", "--jobs", 2, cwd=tmp_path, start_new_session=True)
        deadline = time.monotonic() + 120
        before = len(records(out)) if (out / MANIFEST).exists() else 0
        while time.monotonic() < deadline and process.poll() is None:
            if (out / MANIFEST).exists() and (out / MANIFEST).read_text().count("\n") > before:
                break
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.1)))
        n_killed += process.poll() is None
        n_seen += len(workers_in(tmp_path))
        if whom == "a worker":
            victims = children_of(process.pid)[:1]
        else:
            victims = [process.pid] if whom == "the parent" else [-process.pid]
        for pid in victims:
            # it may have ended by itself
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=300)
        # whatever has its name is whole
        for path in out.rglob("*.wav"):
            if not path.name.startswith("."):
                read_audio(path)
    assert n_killed
    # else nothing would be waited for
    assert n_seen
    wait_for_nobody(tmp_path)
    finish(command(corpus, out, "--voice", "slt", "--jobs", 2, cwd=tmp_path))
    assert verify(out).none
    assert not stray(out)
    convert_many([corpus], tmp_path / "undisturbed", "slt", jobs=2)
    for path in (tmp_path / "undisturbed").rglob("*.wav"):
        assert (out / path.relative_to(tmp_path / "undisturbed")).read_bytes() == path.read_bytes()
    # nothing that had its line was done twice
    outputs = [record["output"] for record in records(out) if "error" not in record]
    assert sorted(outputs) == sorted(set(outputs))


def children_of(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def workers_in(folder):
    """Workers whose parent was started in a folder; they stand where it stood."""
    found = subprocess.run(["pgrep", "-f", "edgevc.batch.worker"], capture_output=True, text=True).stdout.split()
    places = [Path(f"/proc/{pid}/cwd") for pid in found]
    return [place for place in places if place.exists() and place.resolve() == folder.resolve()]


def wait_for_nobody(folder):
    """Until the workers of killed parents have noticed that their stdin has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not workers_in(folder):
            return
        time.sleep(0.1)
    raise AssertionError("a worker outlived its parent")


def test_a_recorded_file_that_had_not_got_its_name_is_only_renamed(tmp_path, corpus):
    """The moment between the line and the rename, made by hand."""
    out = tmp_path / "out"
    convert_many([corpus], out, "slt", jobs=1)
    output = "speaker0/0.wav"
    (out / output).rename(out / hidden_name(output))
    lines = len(records(out))
    tally = convert_many([corpus], out, "slt", jobs=1)
    assert (tally.converted, tally.skipped) == (0, 12)
    assert len(records(out)) == lines
    # another content under the hidden name is not taken
    (out / output).rename(out / hidden_name(output))
    data = bytearray((out / hidden_name(output)).read_bytes())
    data[-1] ^= 1
    (out / hidden_name(output)).write_bytes(data)
    tally = convert_many([corpus], out, "slt", jobs=1)
    assert (tally.converted, tally.skipped) == (1, 11)
    assert verify(out).none


def test_a_line_that_was_cut_is_passed_over(tmp_path, corpus):
    """A power cut within the second before lines go to the disk: the file has not got its name either."""
    out = tmp_path / "out"
    convert_many([corpus], out, "slt", jobs=1)
    output = records(out)[-1]["output"]
    (out / output).rename(out / hidden_name(output))
    data = (out / MANIFEST).read_bytes()
    (out / MANIFEST).write_bytes(data[: len(data) - 40])
    tally = convert_many([corpus], out, "slt", jobs=1)
    assert (tally.converted, tally.skipped) == (1, 11)
    assert verify(out).none


def test_a_full_disk_ends_the_run_with_one_line_and_the_next_one_goes_on(tmp_path, corpus):
    """RLIMIT_FSIZE, which every file of the run hits as a full disk would: SIGXFSZ is ignored, write fails."""
    import resource

    out = tmp_path / "out"
    convert_many([corpus], out, "slt", jobs=1)
    size = (out / MANIFEST).stat().st_size

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))

    process = command(corpus, out, "--voice", "bdl", "--jobs", 1, cwd=tmp_path, preexec_fn=limited)
    text = finish(process, code=8)
    assert "cannot be written" in text
    assert "Traceback" not in text
    assert all(line for line in (out / MANIFEST).read_text().splitlines())
    tally = convert_many([corpus], out, "bdl", jobs=2)
    assert tally.converted == 12
    assert verify(out).none


def test_two_runs_do_not_share_a_folder(tmp_path, corpus):
    out = tmp_path / "out"
    out.mkdir()
    with Manifest(out), pytest.raises(SessionError, match="another conversion writes to"):
        convert_many([corpus], out, "slt", jobs=1)


def test_what_no_run_has_written_is_not_replaced(tmp_path, corpus):
    out = tmp_path / "out"
    (out / "speaker0").mkdir(parents=True)
    (out / "speaker0" / "0.wav").write_bytes(b"mine")
    tally = convert_many([corpus], out, "slt", jobs=1)
    assert (tally.converted, tally.failed, tally.first_exit_code) == (11, 1, OutputError.exit_code)
    assert (out / "speaker0" / "0.wav").read_bytes() == b"mine"
    assert convert_many([corpus], out, "slt", jobs=1, force=True).failed == 0


def test_verify_names_what_differs(tmp_path, corpus):
    out = tmp_path / "out"
    convert_many([corpus], out, "slt", jobs=1)
    (out / "speaker0" / "0.wav").unlink()
    data = bytearray((out / "speaker1" / "1.wav").read_bytes())
    data[-1] ^= 1
    (out / "speaker1" / "1.wav").write_bytes(data)
    (out / "new.wav").write_bytes(b"")
    text = finish(command("--verify", out, cwd=tmp_path), code=1)
    assert "speaker0/0.wav is missing" in text
    assert "speaker1/1.wav was changed after it was written" in text
    assert "new.wav is in no manifest" in text
    assert "10 files are as they were written" in text
    with pytest.raises(ConfigError, match="that `edgevc convert --jobs` has written"):
        verify(corpus)


def test_a_manifest_of_a_stranger_names_nothing_outside(tmp_path, corpus):
    out = tmp_path / "out"
    out.mkdir()
    victim = tmp_path / "victim.wav"
    victim.write_bytes(b"mine")
    line = {
        "source_bytes": 1,
        "source_mtime_ns": 1,
        "output_bytes": 4,
        "output_sha256": "0" * 64,
        "settings_sha256": "",
    }
    lines = [json.dumps({**line, "output": name}) for name in ("../victim.wav", str(victim), "a\0b", "", 7)]
    lines += ["[" * 100_000, "null", '{"output": "a.wav"}', '{"output": "b.wav", "output_bytes": 1e999}']
    (out / MANIFEST).write_text("\n".join(lines) + "\n")
    assert convert_many([corpus], out, "slt", jobs=1).converted == 12
    assert victim.read_bytes() == b"mine"


def test_hostile_folders_are_named_and_never_left(tmp_path, corpus):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.wav").write_bytes(SENTENCE.read_bytes())
    (corpus / "loop").symlink_to(corpus, target_is_directory=True)
    (corpus / "out_of_the_tree").symlink_to(outside, target_is_directory=True)
    (corpus / "dangling.wav").symlink_to(tmp_path / "nothing.wav")
    os.mkfifo(corpus / "pipe.wav")
    (corpus / "endless.wav").symlink_to("/dev/zero")
    odd = os.fsencode(corpus) + b"/caf\xe9 \x1b[31m\n.wav"
    Path(os.fsdecode(odd)).write_bytes(SENTENCE.read_bytes())
    (corpus / ".hidden.wav").write_bytes(SENTENCE.read_bytes())
    out = corpus / "converted"  # the output inside the input
    for _ in range(2):
        plan = make_plan([corpus], out)
        assert len(plan) == 13
        assert not any("secret" in name or "endless" in name or "pipe" in name for name in plan.names)
        tally = convert_many([corpus], out, "slt", jobs=1)
        assert tally.failed == 0
    assert tally.skipped == 13
    text = finish(command(corpus, out, "--voice", "slt", "--jobs", 1, cwd=tmp_path))
    assert "\x1b[31m" not in text


def test_a_folder_that_may_not_be_read_is_named(tmp_path, corpus, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("speaker1"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    plan = make_plan([corpus], tmp_path / "out")
    assert len(plan) == 8
    assert re.search(r"speaker1 cannot be read: Permission denied; its files are left out", plan.problems[0])


def test_two_recordings_of_one_output_are_refused(tmp_path, corpus):
    (corpus / "speaker0" / "0.flac").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"would both become speaker0/0\.wav"):
        make_plan([corpus], tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--jobs", "0"], "jobs must be within 1..256, got 0"),
        (["--jobs", "many"], "--jobs must be auto or a number"),
        (["--jobs", "1", "--voice-by", "slt"], "a rule is REGEX=VOICE"),
        (["--jobs", "1", "--voice-by", "(=slt"], "is no regular expression"),
        (["--jobs", "1", "--plot", "a.png"], "--plot is for one conversion"),
        (["--jobs", "1", "--pitch", "25"], "semitones must be within -24..24"),
        (["--voice-by", "a=slt"], "--voice-by needs --jobs"),
        (["--format", "flac"], "--format needs --jobs"),
        (["--jobs", "1", "--seed", "x"], "leave out --voice, or --seed"),
        (["--jobs", "1", "--speaker-by", "(a)"], "--speaker-by needs --seed"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, corpus, arguments, message):
    text = finish(command(corpus, tmp_path / "out", "--voice", "slt", *arguments, cwd=tmp_path), code=2)
    assert message in text
    assert not (tmp_path / "out").exists()


def test_a_hostile_folder_is_not_imported_by_the_workers(tmp_path, corpus):
    for name in ("json", "re", "numpy", "ctypes", "wave"):
        (tmp_path / f"{name}.py").write_text("open('executed', 'w')\n")
    program = [sys.executable, "-I", "-c", "import sys; from edgevc.cli import main; sys.exit(main(sys.argv[1:]))"]
    import importlib.util

    root = Path(importlib.util.find_spec("edgevc").origin).parents[1]
    program[3] = f"import sys; sys.path.insert(0, {str(root)!r}); " + program[3]
    done = subprocess.run(
        [*program, "convert", corpus, "out", "--voice", "slt", "--jobs", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()


def test_a_row_of_a_table_keeps_its_other_columns_and_the_mapper_can_be_sent(rng):
    mapper = Mapper("slt", audio="sound", rate="hz")
    samples, rate = edgevc.read(SENTENCE)
    row = {"id": 7, "sound": samples, "hz": rate}
    sent = pickle.loads(pickle.dumps(mapper))
    assert sent(row)["id"] == 7
    np.testing.assert_array_equal(sent(row)["sound"], edgevc.VoiceConverter().convert(samples, "slt"))
    assert len(pickle.dumps(sent)) < 2000


def test_a_changed_model_is_noticed_by_the_workers(tmp_path, corpus):
    from dataclasses import replace

    from edgevc.errors import ModelError

    settings, voices = settings_for(None, "auto")
    plan = make_plan([corpus], tmp_path / "out")
    choose = chooser(Choice("slt"), [], {}, voices)
    with pytest.raises(ModelError, match="changed while the batch ran"):
        Batch(plan, tmp_path / "out", choose, replace(settings, bundle_sha256="0" * 64), jobs=2).run()
