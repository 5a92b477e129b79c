"""Files that appear complete or not at all, and keep what they were."""

import os
import stat
import threading

import pytest

from edgevc import files
from edgevc.errors import ConfigError, OutputError
from edgevc.files import AtomicFile, NewFile, check_output, leftovers, refuse_shared_files, write_atomic


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "new", b"x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o640


@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o664, 0o755])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, permissions):
    path = tmp_path / "private"
    path.write_bytes(b"old")
    path.chmod(permissions)
    write_atomic(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", permissions)


def test_a_private_file_is_private_while_it_is_written(tmp_path):
    path = tmp_path / "private"
    path.write_bytes(b"old")
    path.chmod(0o600)
    file = AtomicFile(path)
    assert [mode(entry) for entry in tmp_path.iterdir()] == [0o600, 0o600]
    file.abort()


def test_until_it_is_committed_the_old_file_stands(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    file = AtomicFile(path)
    file.file.write(b"half")
    assert path.read_bytes() == b"old"
    file.abort()
    file.abort()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OutputError, match="must be a regular file"):
            write_atomic(path, b"x")


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    import resource

    path = tmp_path / "a"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written: File too large; make room"):
            write_atomic(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        write_atomic(tmp_path / "none" / "a", b"x")
    with pytest.raises(OutputError, match="its folder does not exist; make it first"):
        check_output(tmp_path / "none" / "a")


def test_an_output_that_exists_is_replaced_only_when_asked(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("a", "dangling"):
        with pytest.raises(OutputError, match="exists; give --force to replace it"):
            check_output(tmp_path / name)
        check_output(tmp_path / name, overwrite=True)


def test_relative_xdg_folders_are_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, folder, function in (
        ("XDG_CONFIG_HOME", ".config", files.config_dir),
        ("XDG_CACHE_HOME", ".cache", files.cache_dir),
    ):
        monkeypatch.setenv(variable, "relative")
        assert function() == tmp_path / folder / "edgevc"
        monkeypatch.setenv(variable, str(tmp_path / "there"))
        assert function() == tmp_path / "there" / "edgevc"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert files.runtime_dir() is None


def test_a_machine_without_homes_has_no_folders(monkeypatch):
    from pathlib import Path

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert files.config_dir() is None


def test_writers_side_by_side_leave_one_whole_file(tmp_path):
    contents = [bytes([i]) * 50_000 for i in range(8)]
    threads = [threading.Thread(target=write_atomic, args=(tmp_path / "a", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in contents
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_file_replaces_nothing_and_stays_unless_it_is_aborted(tmp_path):
    for end in ("commit", "abort"):
        file = NewFile(tmp_path / end)
        file.file.write(b"kept")
        assert (tmp_path / end).exists()
        getattr(file, end)()
        file.abort()
        assert not file.open
    assert [path.name for path in tmp_path.iterdir()] == ["commit"]
    with pytest.raises(OutputError, match="File exists") as refused:
        NewFile(tmp_path / "commit")
    assert isinstance(refused.value.__cause__, FileExistsError)
    assert (tmp_path / "commit").read_bytes() == b"kept"


def test_leftovers_are_what_nobody_writes_any_more(tmp_path):
    left = tmp_path / ".edgevc-0123456789abcdef.tmp"
    left.write_bytes(b"x")
    written = AtomicFile(tmp_path / "a")
    assert leftovers(tmp_path) == [left]
    written.abort()
    assert leftovers(tmp_path / "none") == []


def test_an_output_is_no_input_and_no_other_output(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    os.link(tmp_path / "a", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("a")
    (tmp_path / "folder").symlink_to(tmp_path)
    inputs = [("the input", tmp_path / "a"), ("the accompaniment", tmp_path / "b")]
    refuse_shared_files(inputs, [("the output", tmp_path / "c"), ("the plot", tmp_path / "d")])
    for name in ("a", "hard", "soft", "folder/a"):
        with pytest.raises(ConfigError, match="the output must not be the input"):
            refuse_shared_files(inputs, [("the output", tmp_path / name)])
    with pytest.raises(ConfigError, match=r"c for both; choose another name|which are one file"):
        refuse_shared_files([], [("the output", tmp_path / "c"), ("the plot", tmp_path / "folder" / "c")])
