"""The views on a real terminal, a pseudo-terminal with a child at its other end."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest

TIME_LIMIT_S = 20

CHILD = textwrap.dedent(
    """
    import dataclasses, logging, sys, threading
    from edgevc.live.config import LiveConfig
    from edgevc.live.stats import LatencyParts, LiveStats
    from edgevc.cli.common import configure_logging
    from edgevc.terminal.view import run_view

    configure_logging(0, session=True)

    class Session:
        now = LiveStats(seconds=9.0, state="running", voice="kathleen", input_level=-20.0,
                        latency=LatencyParts(model=40.0, playback_queue=12.5))
        def stats(self):
            self.now = dataclasses.replace(self.now, seconds=self.now.seconds + 0.1)
            return self.now
        voices = ("kathleen", "slt")
        wishes = property(lambda self: self)
        mode = property(
            lambda self: self.now.mode,
            lambda self, mode: setattr(self, "now", dataclasses.replace(self.now, mode=mode)),
        )
        voice = property(
            lambda self: self.now.voice,
            lambda self, voice: setattr(self, "now", dataclasses.replace(self.now, voice=voice)),
        )

    threading.Timer(0.3, lambda: logging.getLogger("edgevc.live").warning("microphone found again")).start()
    session = Session()
    run_view(session, LiveConfig(), sys.argv[1])
    print("AFTER", session.now.mode, session.now.voice)
    """
)


class Terminal:
    """A child process in a pseudo-terminal of its own, as if a person sat there."""

    def __init__(self, *arguments, rows=24, columns=80, **environment):
        import fcntl
        import struct
        import termios

        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.modes = termios.tcgetattr(slave)
        self.slave = slave

        def sit_down():
            # a terminal program needs the terminal as its controlling one
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            # a job in the background has Ctrl-C ignored, and so have its children
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment},
            start_new_session=True,
            preexec_fn=sit_down,
        )
        self.seen = ""

    def until(self, words):
        deadline = time.monotonic() + TIME_LIMIT_S
        # curses writes between its escape sequences only what changed
        while words not in re.sub(r"\033(\[[0-9;?]*[A-Za-z]|\([A-Z])", "", self.seen):
            assert time.monotonic() < deadline, f"{words!r} did not appear in {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.seen

    def type(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        self.process.wait(TIME_LIMIT_S)
        with contextlib.suppress(OSError):
            while select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    opened = []

    def open_(*arguments, **options):
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def restored(one):
    import termios

    return termios.tcgetattr(one.slave)[3] == one.modes[3]


@pytest.mark.parametrize("view", ["line", "tui"])
def test_a_person_sees_the_session_presses_keys_and_gets_the_terminal_back(terminal, view):
    one = terminal(view)
    one.until("kathleen")
    one.until("microphone found again")
    one.type("2")
    one.until("slt")
    one.type("m")
    one.until("muted")
    assert not restored(one)
    one.type("q")
    one.until("AFTER mute slt")
    assert one.end() == 0
    assert restored(one)
    assert "Traceback" not in one.seen
    assert "\033[" in one.seen


def test_what_was_said_while_the_full_screen_was_up_is_said_again_below_it(terminal):
    one = terminal("tui")
    one.until("microphone found again")
    one.type("q")
    assert one.end() == 0
    # curses leaves its own screen, and with it all that was on it
    _, left, below = one.seen.rpartition("\033[?1049l")
    assert left
    assert "edgevc: microphone found again\r\n" in below


@pytest.mark.parametrize("view", ["line", "tui"])
def test_ctrl_c_ends_the_view_and_gives_the_terminal_back(terminal, view):
    one = terminal(view)
    one.until("kathleen")
    one.type("\x03")
    one.end()
    assert restored(one)


def test_no_color_leaves_the_line_without_colours(terminal):
    one = terminal("line", NO_COLOR="1")
    one.until("mic ")
    one.type("q")
    assert one.end() == 0
    assert not re.search(r"\033\[\d*m", one.seen)
    assert "\033[K" in one.seen


def test_the_screen_follows_the_size_of_the_terminal(terminal):
    import fcntl
    import struct
    import termios

    one = terminal("tui")
    one.until("playback queue")
    one.seen = ""
    fcntl.ioctl(one.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 50, 0, 0))
    one.process.send_signal(signal.SIGWINCH)
    one.until("xruns 0")
    one.type("q")
    assert one.end() == 0


def test_a_terminal_that_curses_does_not_know_is_an_error_with_a_next_step(terminal):
    one = terminal("tui", TERM="nonsense")
    assert one.end() == 1
    assert "set TERM, or leave --tui out" in one.seen
