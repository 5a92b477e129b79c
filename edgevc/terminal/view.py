"""Shows a running session to a person, and takes the person's keys: status line, full screen, or lines of JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from edgevc.control.controls import Controlled
from edgevc.errors import ConfigError
from edgevc.limits import HOP_MS
from edgevc.live.config import LiveConfig
from edgevc.live.stats import LiveStats
from edgevc.terminal.advice import advice
from edgevc.terminal.keys import Keys
from edgevc.terminal.status_line import status_line
from edgevc.terminal.tui import Scene, render

if TYPE_CHECKING:
    import curses

VIEWS = ("line", "tui", "json", "none")
_TICK_S = 0.1
"""Between looks at the keyboard and drawings of the screen; ten a second cost a Raspberry Pi 4 about 1 % of a core."""
_ADVICE_WINDOW_S = 10.0
_ADVICE_FOR_S = 15.0
REPORT_S = 600.0
"""Between plain lines where there is no terminal: a journal shall stay short."""


def run_view(
    session: Controlled[LiveStats],
    config: LiveConfig,
    view: str = "line",
    stop: threading.Event | None = None,
    *,
    keys: bool = True,
    json_every_s: float = 1.0,
) -> None:
    """Show `session`, which runs already, until it stops, `stop` is set or a key ends it; the caller then stops it.

    Args:
        session: the one to look at.
        config: what it runs with; advice names its values.
        view: line (on stderr; lines of plain text, rarely, where that is no terminal), tui, json (on stdout), none.
        stop: set by a signal handler or another thread.
        keys: read keys from stdin where it is a terminal; False where stdin carries sound.
        json_every_s: seconds between lines of JSON.

    Raises:
        ConfigError: unknown view, or tui without a terminal.
    """
    stop = stop or threading.Event()
    if view not in VIEWS:
        raise ConfigError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
    watch = _Watch(config)
    board = Keys(session)
    if view == "tui":
        _run_screen(session, board, stop, watch)
        return
    with _raw_keys(enabled=keys) as keyboard:
        if view == "line" and sys.stderr is not None and sys.stderr.isatty():
            _run_line(session, board, stop, watch, keyboard)
        else:
            _run_text(session, board, stop, watch, keyboard, view, json_every_s)


class _Watch:
    """Remembers snapshots of the last seconds for advice and for the load's history."""

    def __init__(self, config: LiveConfig) -> None:
        self._config = config
        self._snapshots: deque[LiveStats] = deque()
        self._advice: str | None = None
        self._advised_at = 0.0
        self.loads: deque[float] = deque(maxlen=60)

    def add(self, stats: LiveStats) -> str | None:
        """Take a snapshot; return the sentence to show now."""
        if self._snapshots and stats.seconds - self._snapshots[-1].seconds < 1.0:
            return self._advice
        self._snapshots.append(stats)
        self.loads.append(stats.load)
        while stats.seconds - self._snapshots[0].seconds > _ADVICE_WINDOW_S:
            self._snapshots.popleft()
        found = advice(stats, self._snapshots[0], self._config)
        if found is not None:
            self._advised_at = stats.seconds
        # a sentence stays long enough to be read
        if found is not None or stats.seconds - self._advised_at > _ADVICE_FOR_S:
            self._advice = found
        return self._advice


def _ended(stats: LiveStats, stop: threading.Event) -> bool:
    return stop.is_set() or stats.state == "stopped"


def use_colour(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Whether colours are wanted: on a terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb."""
    environment = os.environ if environment is None else environment
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def use_unicode(stream: TextIO) -> bool:
    """Whether the stream can take bars made of block characters."""
    try:
        "█▏·─".encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


class _LineOutput(logging.Handler):
    """The status line, and messages above it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.INFO)
        self._stream = stream
        self._colour = use_colour(stream)
        self._unicode = use_unicode(stream)
        self._drawn = ""

    def draw(self, stats: LiveStats) -> None:
        # one column stays free: a terminal wraps a full line
        width = shutil.get_terminal_size((80, 24)).columns - 1
        text = status_line(stats, width, colour=self._colour, unicode=self._unicode)
        with self.lock or contextlib.nullcontext():
            if text != self._drawn:
                self._write(f"\r\033[K{text}")
                self._drawn = text

    def say(self, message: str) -> None:
        with self.lock or contextlib.nullcontext():
            self._write(f"\r\033[K{message}\n")
            self._drawn = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.say(self.format(record))

    def clear(self) -> None:
        with self.lock or contextlib.nullcontext():
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        # a terminal that went away is noticed by SIGHUP, not here
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


@contextlib.contextmanager
def _messages_to(handler: logging.Handler) -> Iterator[None]:
    """Send what edgevc says to `handler` alone: anything else would write across the screen."""
    logger = logging.getLogger("edgevc")
    before, propagated = logger.handlers[:], logger.propagate
    logger.handlers[:], logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = before, propagated


def _run_line(
    session: Controlled[LiveStats], board: Keys, stop: threading.Event, watch: _Watch, keyboard: Keyboard
) -> None:
    output = _LineOutput(sys.stderr)
    said: str | None = None
    with _messages_to(output):
        try:
            while not _ended(stats := session.stats(), stop):
                sentence = watch.add(stats)
                if sentence != said and sentence is not None:
                    output.say(sentence)
                said = sentence
                output.draw(stats)
                if board_ends(board, keyboard.read(_TICK_S, stop)):
                    return
        finally:
            output.clear()


def board_ends(board: Keys, pressed: str) -> bool:
    """Do what each of the keys stands for; return whether one of them ends the session."""
    return any(board.press(key) for key in pressed)


def _run_text(
    session: Controlled[LiveStats],
    board: Keys,
    stop: threading.Event,
    watch: _Watch,
    keyboard: Keyboard,
    view: str,
    json_every_s: float,
) -> None:
    logger = logging.getLogger(__name__)
    period = json_every_s if view == "json" else 1.0
    following = time.monotonic()
    reported, said = time.monotonic(), None
    said_json = True
    while not _ended(stats := session.stats(), stop):
        now = time.monotonic()
        if now >= following:
            following = max(following + period, now)
            sentence = watch.add(stats)
            if view == "json":
                said_json = _print_line(json_line(stats), logger, quiet=not said_json)
            elif view == "line":
                if sentence is not None and sentence != said:
                    logger.warning("%s", sentence)
                if now - reported >= REPORT_S:
                    logger.info("%s", status_line(stats, 200, unicode=False))
                    reported = now
            said = sentence
        if board_ends(board, keyboard.read(min(max(following - now, 0.01), 0.5), stop)):
            return


def _print_line(line: str, logger: logging.Logger, *, quiet: bool) -> bool:
    """Write a line to stdout; return False where it finds no room there, and warn unless `quiet`: the sound goes on."""
    if sys.stdout is None:
        return False
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # a full disk, or a terminal that went away, which SIGHUP tells
        if not quiet:
            logger.warning("lines of JSON are lost: %s", error)
        return False
    return True


def json_line(stats: LiveStats) -> str:
    """Return the snapshot as one line of JSON; the total latency stands beside its parts."""
    return json.dumps(stats.as_dict(), separators=(",", ":"))


class Keyboard:
    """Reads keys from a descriptor, or only waits where there is none."""

    def __init__(self, descriptor: int | None) -> None:
        """`descriptor` of a terminal in cbreak mode."""
        self._descriptor = descriptor

    def read(self, timeout: float, stop: threading.Event) -> str:
        """Wait for keys, `timeout` seconds at most; return them, or nothing when `stop` is set meanwhile."""
        if self._descriptor is None:
            stop.wait(timeout)
            return ""
        try:
            if not select.select([self._descriptor], [], [], timeout)[0]:
                return ""
            data = os.read(self._descriptor, 64)
        except (OSError, ValueError):
            self._descriptor = None
            return ""
        if not data:
            # the terminal closed; without this the loop would spin
            self._descriptor = None
        # an arrow key is an escape sequence, none of whose letters is a command
        return "" if data.startswith(b"\033") else data.decode("ascii", "ignore")


@contextlib.contextmanager
def _raw_keys(*, enabled: bool) -> Iterator[Keyboard]:
    """Let keys arrive without Enter and without being shown; put the terminal back afterwards."""
    descriptor = _foreground_terminal() if enabled else None
    if descriptor is None:
        yield Keyboard(None)
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)

    def again(*_: object) -> None:
        # the shell changed the modes while the program was stopped
        with contextlib.suppress(termios.error):
            tty.setcbreak(descriptor)

    in_main = threading.current_thread() is threading.main_thread()
    continued = signal.signal(signal.SIGCONT, again) if in_main else None
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        if in_main:
            signal.signal(signal.SIGCONT, continued if continued is not None else signal.SIG_DFL)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _foreground_terminal() -> int | None:
    """Return stdin's descriptor where it is a terminal that this process may read without being stopped."""
    try:
        descriptor = sys.stdin.fileno()
        return descriptor if os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp() else None
    except (OSError, ValueError, AttributeError):
        return None


class _Notes(logging.Handler):
    """Keeps the last messages for the screen."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=3)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def _run_screen(session: Controlled[LiveStats], board: Keys, stop: threading.Event, watch: _Watch) -> None:
    if not (sys.stdin is not None and sys.stdout is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("the full screen needs a terminal for input and output; leave --tui out")
    try:
        import curses
    except ImportError as error:
        raise ConfigError("this Python has no curses; leave --tui out") from error
    import locale

    # curses counts columns by the locale; a program that never asks for it has "C"
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    notes = _Notes()
    try:
        with _messages_to(notes):
            curses.wrapper(_screen_loop, session, board, stop, watch, notes)
    except curses.error as error:
        # a terminal that went away cannot be put back in order
        if stop.is_set():
            return
        raise ConfigError(
            f"the terminal {os.environ.get('TERM', '(TERM is not set)')} cannot be used for the full screen: {error}; "
            "set TERM, or leave --tui out"
        ) from error
    # what was said while the screen was up would be lost with it
    for line in notes.lines:
        logging.getLogger(__name__).info("%s", line)


def _screen_loop(
    window: curses.window,
    session: Controlled[LiveStats],
    board: Keys,
    stop: threading.Event,
    watch: _Watch,
    notes: _Notes,
) -> None:
    import curses

    with contextlib.suppress(curses.error):
        curses.curs_set(0)
    attributes = _attributes()
    unicode = use_unicode(sys.stdout)
    window.timeout(round(1000 * _TICK_S))
    while not _ended(stats := session.stats(), stop):
        sentence = watch.add(stats)
        height, width = window.getmaxyx()
        scene = Scene(session.voices, tuple(watch.loads), tuple(notes.lines), sentence, HOP_MS)
        window.erase()
        for row, line in enumerate(render(stats, width, height, scene, unicode=unicode)):
            column = 0
            for words, style in line:
                # writing the last cell of the screen moves the cursor off it, which is an error after the fact
                with contextlib.suppress(curses.error):
                    window.addstr(row, column, words, attributes.get(style, 0))
                column += len(words)
        window.refresh()
        try:
            key = window.get_wch()
        except curses.error:
            continue
        except KeyboardInterrupt:
            return
        if isinstance(key, str) and board.press(key):
            return


def _attributes() -> dict[str, int]:
    import curses

    attributes: dict[str, Any] = {"dim": curses.A_DIM, "bold": curses.A_BOLD}
    if use_colour(sys.stdout) and curses.has_colors():
        curses.use_default_colors()
        colours = {"good": curses.COLOR_GREEN, "warn": curses.COLOR_YELLOW, "bad": curses.COLOR_RED}
        for number, (style, colour) in enumerate(colours.items(), 1):
            curses.init_pair(number, colour, -1)
            attributes[style] = curses.color_pair(number)
    else:
        attributes |= {"warn": curses.A_BOLD, "bad": curses.A_REVERSE}
    return attributes
