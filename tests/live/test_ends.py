"""How `edgevc live` ends: by any signal, with a terminal that goes away, and by a kill that nobody can catch."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
import wave

import pytest
from helpers.live_process import TIME_LIMIT_S, Live
from helpers.pulse import virtual_sound

from edgevc.devices.virtual_mic import PROPERTY

RATE = 16_000
BLOCKS = ("--block-ms=20", "--preroll-ms=40", "--no-feedback-guard", "--no-realtime")


def frames(path):
    """As a program sees it that believes the header, where that says no more than the file holds."""
    with contextlib.suppress(OSError, wave.Error, EOFError), wave.open(str(path)) as file:
        # a header of the first moment says that the length is unknown
        return min(file.getnframes(), (path.stat().st_size - 44) // 2)
    return 0


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def raw_session(folder, *options, before=None):
    """A session on pipes that records, fed for ever."""
    command = [
        sys.executable,
        "-m",
        "edgevc",
        "live",
        "--raw",
        "--no-realtime",
        f"--control=unix:{folder}/control",
    ]
    command += ["--record", str(folder / "in.wav"), str(folder / "out.wav"), *options]
    source = "import sys, time\nwhile True: sys.stdout.buffer.write(bytes(3200)); sys.stdout.flush(); time.sleep(.02)"
    feeder = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with (folder / "log").open("wb") as log:
        session = subprocess.Popen(
            command, stdin=feeder.stdout, stdout=subprocess.DEVNULL, stderr=log, preexec_fn=before
        )
    feeder.stdout.close()
    try:
        yield session
    finally:
        for process in (session, feeder):
            process.kill()
            process.wait()


def wait_for_recording(folder, seconds, process):
    end = time.monotonic() + TIME_LIMIT_S
    while frames(folder / "in.wav") < seconds * RATE or frames(folder / "out.wav") < seconds * RATE:
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < end, "no recording"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_a_session_in_good_order(number, tmp_path):
    with raw_session(tmp_path) as session:
        wait_for_recording(tmp_path, 2, session)
        assert (tmp_path / "control").is_socket()
        session.send_signal(number)
        assert session.wait(TIME_LIMIT_S) == 0
    assert names(tmp_path) == ["in.wav", "log", "out.wav"]
    assert frames(tmp_path / "in.wav") == frames(tmp_path / "out.wav") >= 2 * RATE


def test_a_kill_leaves_recordings_that_everybody_can_read(tmp_path):
    with raw_session(tmp_path) as session:
        wait_for_recording(tmp_path, 2, session)
        session.kill()
        session.wait()
    assert frames(tmp_path / "in.wav") >= 2 * RATE
    assert frames(tmp_path / "out.wav") >= 2 * RATE
    assert not [name for name in names(tmp_path) if name.startswith(".")]
    # the socket of the dead session is in nobody's way
    with raw_session(tmp_path) as session:
        end = time.monotonic() + TIME_LIMIT_S
        while frames(tmp_path / "in-2.wav") < RATE:
            assert session.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end, "no second recording"
            time.sleep(0.05)
        session.terminate()
        assert session.wait(TIME_LIMIT_S) == 0
    assert not (tmp_path / "control").exists()
    assert frames(tmp_path / "in.wav") >= 2 * RATE


def test_a_hang_up_that_was_to_be_ignored_is_ignored(tmp_path):
    def as_nohup_does():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with raw_session(tmp_path, before=as_nohup_does) as session:
        wait_for_recording(tmp_path, 1, session)
        session.send_signal(signal.SIGHUP)
        wait_for_recording(tmp_path, 3, session)
        assert session.poll() is None


# --- with devices and a terminal


@pytest.fixture(scope="module")
def sound():
    with virtual_sound() as server:
        yield server


@pytest.mark.parametrize("view", [(), ("--tui",), ("--json",)], ids=["line", "tui", "json"])
def test_a_terminal_that_goes_away_ends_the_session_in_good_order(view, sound, tmp_path):
    master, slave = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    command = [sys.executable, "-m", "edgevc", "live", *BLOCKS, f"--control=unix:{tmp_path}/control", *view]
    command += ["--record", str(tmp_path / "in.wav"), str(tmp_path / "out.wav")]
    session = subprocess.Popen(
        command,
        env=sound.variables | {"TERM": "xterm", "LINES": "30", "COLUMNS": "100"},
        stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        end = time.monotonic() + TIME_LIMIT_S
        while frames(tmp_path / "out.wav") < RATE:
            assert time.monotonic() < end, shown
            assert session.poll() is None, shown
            if select.select([master], [], [], 0.1)[0]:
                shown += os.read(master, 65536)
        os.close(master)
        assert session.wait(TIME_LIMIT_S) == 0
    finally:
        session.kill()
        session.wait()
    assert names(tmp_path) == ["in.wav", "out.wav"]
    assert frames(tmp_path / "in.wav") == frames(tmp_path / "out.wav") >= RATE


def modules(sound):
    return [line for line in sound.pactl("list", "short", "modules").splitlines() if PROPERTY in line]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_virtual_microphone_goes_with_the_terminal(number, sound, tmp_path):
    with Live(sound, tmp_path, *BLOCKS, "--virtual-mic") as live:
        live.wait_until_running()
        assert len(modules(sound)) == 2
        live.process.send_signal(number)
        assert live.process.wait(TIME_LIMIT_S) == 0
    assert modules(sound) == []
