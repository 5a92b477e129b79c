"""What the commands have in common: options, exit codes in help, messages, logging, and how they are interrupted."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TextIO, cast

from edgevc.errors import INTERRUPTED, EdgevcError
from edgevc.limits import CHUNK_HOPS, ENGINES
from edgevc.pipes import WaitingWriter
from edgevc.text import printable, printable_lines

MODEL_HELP = 'a built-in model (edgevc voices lists them), or path to a model folder or .zip (default: "default")'
ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))
"""A service manager, a terminal that goes away, and Ctrl-backslash: each ends the work as tidily as Ctrl-C."""

_LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Level to a systemd journal's priority, see sd-daemon(3)."""


def exit_codes_text(kinds: Iterable[type[EdgevcError]], others: Mapping[int, str] | None = None) -> str:
    """Return the table of exit codes for a help text.

    Args:
        kinds: of errors that the command may end with.
        others: codes that are no errors, or mean something of their own here.
    """
    codes = {0: "done"} | {kind.exit_code: kind.meaning for kind in kinds} | dict(others or {})
    codes[INTERRUPTED] = "interrupted"
    return "exit codes:\n" + "\n".join(f"  {code:3d} {codes[code]}" for code in sorted(codes))


def help_text(
    examples: str, kinds: Iterable[type[EdgevcError]], others: Mapping[int, str] | None = None, notes: str = ""
) -> str:
    """Return what stands below a command's options: examples, notes, exit codes."""
    parts = [f"examples:\n{examples.rstrip()}", notes.strip(), exit_codes_text(kinds, others)]
    return "\n\n".join(part for part in parts if part)


def add_verbosity(parser: argparse.ArgumentParser, *, defaults: bool) -> None:
    """Add -v and -q; the command's own parser keeps what stood before the command's name."""
    default = 0 if defaults else argparse.SUPPRESS
    parser.add_argument(
        "-v", "--verbose", action="count", default=default, help="say more; twice: everything, for a bug report"
    )
    parser.add_argument("-q", "--quiet", action="count", default=default, help="say less: warnings, twice: errors only")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a model, its engine and how it is called."""
    parser.add_argument("--bundle", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="inference engine (default auto: LiteRT where it is installed, else ONNX Runtime)",
    )
    parser.add_argument(
        "--chunk-hops",
        type=int,
        choices=CHUNK_HOPS,
        default=1,
        help="hops of 10 ms per call: more cost less CPU and add as much latency (default 1); a model that hears in "
        "blocks takes its own number",
    )
    from edgevc.cli.model_trust import add_trust_option

    add_trust_option(parser)


def add_voice_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a voice and how it speaks."""
    parser.add_argument(
        "--voice", metavar="NAME", help="target voice; `edgevc voices` lists them; or a file, NAME.voice"
    )
    parser.add_argument(
        "--pitch", type=float, default=0.0, metavar="SEMITONES", help="raise or lower the pitch, -24 to 24 (default 0)"
    )
    parser.add_argument(
        "--formant",
        type=float,
        default=0.0,
        metavar="SEMITONES",
        help="shift the formants, pitch unchanged, -12 to 12 (default 0)",
    )
    parser.add_argument(
        "--gain", type=float, default=0.0, metavar="DB", help="make the output louder or softer, -40 to 40 (default 0)"
    )
    parser.add_argument(
        "--gate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="turn down what is not speech: room noise, breath, hum (default: on)",
    )


def complain(message: str) -> None:
    """Say on stderr what went wrong, or what a user should know."""
    # the terminal may have gone, which may be why there is something to say
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"edgevc: {printable_lines(message)}", file=sys.stderr, flush=True)


def say(line: str) -> None:
    """Print a line for people on stdout; that nobody can read it any more is no reason to end the work."""
    try:
        print(printable(line), flush=True)
    except (OSError, ValueError):
        abandon_stdout()


def abandon_stdout() -> None:
    """Send what is still printed to nowhere: Python would fail once more when it empties its buffer at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class AnyOrderParser(argparse.ArgumentParser):
    """Takes options between names too, where a command has any number of these, as `cp` does."""

    _within = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Do as argparse does, but gather the names first where there may be any number of them."""
        many = [action.dest for action in self._actions if not action.option_strings and action.nargs == "*"]
        if self._within or not many:
            return super().parse_known_args(args, namespace)
        words = list(sys.argv[1:] if args is None else args)
        # what stands behind -- are names, whatever they look like; argparse forgets it between its two rounds
        end = words.index("--") if "--" in words else len(words)
        self._within = True
        try:
            found, unknown = self.parse_known_intermixed_args(words[:end], namespace)
        finally:
            self._within = False
        setattr(found, many[0], [*(getattr(found, many[0], None) or []), *words[end + 1 :]])
        return found, unknown


def prepare_streams() -> None:
    """Let no text fail: stdout takes every character, and one that is closed takes everything and keeps nothing.

    Names of files, devices and models come from others and need not be of the terminal's encoding; what was worked for
    must not be lost because it cannot be printed. A pipe that another program made non-blocking is waited for.
    """
    for number in range(3):
        # else the next pipe gets the number, and every child process inherits it and keeps it open
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stdout, sys.stderr = _never_failing(sys.stdout), _never_failing(sys.stderr)


def piped_bytes() -> BinaryIO:
    """Return what comes through stdin; nothing where the command was started without one."""
    return open(os.devnull, "rb") if sys.stdin is None else sys.stdin.buffer  # noqa: PTH123


def _never_failing(stream: TextIO) -> TextIO:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        getattr(stream, "reconfigure")(errors="backslashreplace")  # noqa: B009
    binary = getattr(stream, "buffer", None)
    raw = getattr(binary, "raw", binary)
    if not (isinstance(stream, io.TextIOWrapper) and isinstance(raw, io.FileIO)):
        return stream
    stream.flush()
    writer = WaitingWriter(stream)
    return io.TextIOWrapper(
        # PYTHONUNBUFFERED leaves the buffer out; typing knows of no such thing
        cast("BinaryIO", writer) if raw is binary else io.BufferedWriter(writer),
        stream.encoding,
        "backslashreplace",
        newline="\n",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at that moment; a view of a session may have replaced it."""

    def __init__(self, *, journal: bool) -> None:
        logging.Handler.__init__(self)
        self._journal = journal

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is not None:
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text = printable_lines(super().format(record))
        if not self._journal:
            return f"edgevc: {text}"
        # a journal's entry is a line
        priority = f"<{_LEVELS.get(record.levelno, 6)}>"
        return "\n".join(priority + line for line in text.splitlines())


def configure_logging(verbosity: int, *, session: bool) -> None:
    """Send what edgevc's modules say to stderr; under systemd with the priorities that its journal understands.

    Args:
        verbosity: 0 says warnings, each step more says more.
        session: a live session says what happens to it even so.
    """
    logger = logging.getLogger("edgevc")
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Stderr)]:
        logger.removeHandler(handler)
    logger.addHandler(_Stderr(journal=_stderr_is_the_journal()))
    usual = logging.INFO if session else logging.WARNING
    logger.setLevel(min(max(usual - 10 * verbosity, logging.DEBUG), logging.ERROR))


def traceback_wanted() -> bool:
    """Whether a fault in edgevc itself is to be shown in full: with -vv."""
    return logging.getLogger("edgevc").level <= logging.DEBUG


def _stderr_is_the_journal() -> bool:
    """Whether systemd reads stderr: JOURNAL_STREAM names its device and inode, see systemd.exec(5)."""
    try:
        found = os.fstat(2)
        return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    except OSError:
        return False


@contextlib.contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Let the signals that end a program unwind like Ctrl-C, so that nothing half-written is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number, handler in before.items():
        # nohup and a shell's background jobs ignore the hang-up, and mean it
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
