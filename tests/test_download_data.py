"""tools/download_data.py: one commit of a repository, whole or not at all."""

import subprocess
from dataclasses import replace

import download_data
import pytest
from vctrain.data.sources import SOURCES
from vctrain.errors import UserError


def git(folder, *words):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source whose repository lies on this disk, with a later commit that is not wanted."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q")
    for text in ("wanted", "later"):
        (origin / "sound.txt").write_text(text)
        git(origin, "add", ".")
        git(origin, "commit", "-q", "-m", text)
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    found = replace(
        next(source for source in SOURCES if source.repository),
        revision=git(origin, "rev-parse", "HEAD~1"),
        checkout=True,
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    git(origin, "config", "--global", f"url.file://{origin}.insteadOf", found.url)
    return found


def test_the_named_commit_is_there_alone(source, tmp_path):
    folder = tmp_path / "clones" / source.clone
    download_data.clone(source, folder)
    assert (folder / "sound.txt").read_text() == "wanted"
    assert git(folder, "rev-list", "HEAD") == source.revision
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_without_a_work_tree_its_files_are_in_git(source, tmp_path):
    download_data.clone(replace(source, checkout=False), tmp_path / "clone")
    assert not (tmp_path / "clone" / "sound.txt").exists()
    assert git(tmp_path / "clone", "show", "HEAD:sound.txt") == "wanted"


def test_a_commit_that_is_gone_is_said_and_leaves_no_clone(source, tmp_path):
    with pytest.raises(UserError, match=f"could not clone {source.url} at 000000000000"):
        download_data.clone(replace(source, revision="0" * 40), tmp_path / "clone")
    assert not (tmp_path / "clone").exists()
