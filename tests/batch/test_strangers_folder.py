"""An output folder that somebody else made: nothing in it decides about what lies outside, or holds anything up."""

import json
import os
import shutil
from pathlib import Path

import pytest

from edgevc.batch.manifest import Manifest, hidden_name, verify
from edgevc.batch.plan import MANIFEST
from edgevc.cli import main
from edgevc.errors import ConfigError, OutputError

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"


def line(output, **changes):
    record = {
        "output": output, "source": "x", "source_bytes": 1, "source_mtime_ns": 1, "output_bytes": 1,
        "output_sha256": "0" * 64, "settings_sha256": "0" * 64,
    }  # fmt: skip
    return json.dumps(record | changes).encode() + b"\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    "lines",
    [
        line("\ud800.wav"),
        line("../a.wav"),
        line("/etc/passwd"),
        line("a.wav", output_bytes=10**4000),
        b"[" * 100_000 + b"\n",
        b'{"output":"' + b"x" * 2_000_000 + b'"}\n',
        os.urandom(10_000) + b"\n",
    ],
)
def test_lines_that_mean_nothing_are_passed_over(folder, lines):
    (folder / MANIFEST).write_bytes(lines + line("fine.wav"))
    with Manifest(folder) as manifest:
        assert manifest.done == {}
    found = verify(folder)
    assert "fine.wav" in found.missing
    assert not found.fine


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_has_no_end_is_not_read(folder, make):
    make(folder / "a.wav")
    (folder / MANIFEST).write_bytes(line("a.wav"))
    assert verify(folder).missing == ["a.wav"]
    (folder / MANIFEST).unlink()
    make(folder / MANIFEST)
    with pytest.raises(ConfigError, match="no regular file"):
        verify(folder)
    with pytest.raises(OutputError, match="cannot be written"):
        Manifest(folder)


def test_no_link_leads_the_manifest_elsewhere(folder, tmp_path):
    for target in ("not-there", "there"):
        (tmp_path / "there").write_text("precious")
        (folder / MANIFEST).unlink(missing_ok=True)
        (folder / MANIFEST).symlink_to(tmp_path / target)
        with pytest.raises(OutputError, match="cannot be written"):
            Manifest(folder)
    assert (tmp_path / "there").read_text() == "precious"
    assert not (tmp_path / "not-there").exists()


def test_no_link_leads_an_output_elsewhere(folder, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(SENTENCE, tmp_path / "in" / "a.wav")
    (tmp_path / "precious").write_text("precious")
    (folder / hidden_name("a.wav")).symlink_to(tmp_path / "precious")
    words = ["convert", str(tmp_path / "in"), str(folder), "--voice", "slt", "--jobs", "1", "--bundle", "tiny"]
    assert main(words) == 0
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (folder / "a.wav").is_symlink()
    assert (folder / "a.wav").stat().st_size > 100_000
