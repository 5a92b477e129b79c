"""What all commands have in common: streams that take every name, logging that a journal shows, lazy modules."""

import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from edgevc import cli
from edgevc.cli import common
from edgevc.cli.progress import Progress
from edgevc.errors import ModelError


@pytest.fixture
def logger():
    """edgevc's logger, as it is before the command line sets it up."""
    logger = logging.getLogger("edgevc")
    kept, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = kept
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("verbosity", "session", "shown"),
    [
        (0, False, ["warning", "error"]),
        (0, True, ["info", "warning", "error"]),
        (1, False, ["info", "warning", "error"]),
        (2, False, ["debug", "info", "warning", "error"]),
        (-1, True, ["warning", "error"]),
        (-3, False, ["error"]),
    ],
)
def test_verbosity_chooses_what_is_said(logger, capsys, verbosity, session, shown):
    common.configure_logging(verbosity, session=session)
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("edgevc.live.session"), level)(level)
    assert capsys.readouterr().err.split() == [word for level in shown for word in ("edgevc:", level)]


def test_asked_twice_it_is_said_once(logger, capsys):
    common.configure_logging(0, session=True)
    common.configure_logging(0, session=True)
    logger.warning("once")
    assert capsys.readouterr().err == "edgevc: once\n"


def test_the_journal_gets_priorities_and_no_name(logger, capsys, monkeypatch):
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    common.configure_logging(0, session=True)
    logger.info("muted")
    logger.warning("two\nlines")
    assert capsys.readouterr().err == "<6>muted\n<4>two\n<4>lines\n"


def test_another_programs_journal_is_not_ours(logger, capsys, monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    common.configure_logging(0, session=True)
    logger.info("muted")
    assert capsys.readouterr().err == "edgevc: muted\n"


def test_the_help_of_one_command_imports_that_command_only():
    code = (
        "import sys\nfrom edgevc.cli import main\ntry: main(['devices', '--help'])\n"
        "except SystemExit: print(*[name for name in sys.modules if name.startswith('edgevc.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert set(done.stdout.splitlines()[-1].split()) == {"edgevc.cli.common", "edgevc.cli.devices"}


def test_the_help_of_convert_does_not_wait_for_numpy():
    code = (
        "import sys\nfrom edgevc.cli import main\ntry: main(['convert', '--help'])\n"
        "except SystemExit: sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_examples_and_its_exit_codes(name, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"examples:\n  edgevc {name}" in text
    assert "exit codes:\n    0 " in text
    assert "130 interrupted" in text


def test_general_help_lists_every_command_with_its_summary(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert f"  {name:10s} {command.summary}\n" in text


CLOSED = "{python} -m edgevc {words} >&-"


def test_a_closed_stdout_changes_nothing_of_the_work(tmp_path):
    done = subprocess.run(
        ["sh", "-c", CLOSED.format(python=sys.executable, words="voices")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_the_terminal_cannot_show_is_escaped():
    code = (
        "import sys, os\nfrom edgevc.cli.common import prepare_streams\nprepare_streams()\n"
        "print(os.fsdecode(b'caf\\xe9.wav'), '\\u201e')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "caf\\udce9.wav \\u201e\n", done.stderr


def test_a_fault_of_edgevc_itself_is_one_line_and_a_traceback_only_when_asked(monkeypatch, capsys, logger):
    def broken(_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("edgevc.cli.voices.run", broken)
    assert cli.main(["voices"]) == 1
    err = capsys.readouterr().err
    assert err == (
        "edgevc: internal error, ZeroDivisionError: division by zero; run it again with -vv and report what it prints\n"
    )
    with pytest.raises(ZeroDivisionError):
        cli.main(["-vv", "voices"])


def test_the_exit_code_is_the_errors(monkeypatch, capsys, logger):
    def broken(_):
        raise ModelError("the model is no good; take another")

    monkeypatch.setattr("edgevc.cli.voices.run", broken)
    assert cli.main(["voices"]) == 3
    assert capsys.readouterr().err == "edgevc: the model is no good; take another\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_signals_that_end_a_program_unwind_it(name):
    code = (
        "import time\nfrom edgevc.cli.common import termination_as_interrupt\n"
        "try:\n with termination_as_interrupt():\n  print('ready', flush=True); time.sleep(30)\n"
        "except KeyboardInterrupt: print('tidy')"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(getattr(signal, name))
    assert (child.communicate(timeout=20)[0], child.returncode) == ("tidy\n", 0)


def test_nohup_is_respected():
    code = (
        "import signal, time\nfrom edgevc.cli.common import termination_as_interrupt\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with termination_as_interrupt():\n print('ready', flush=True); time.sleep(0.5)\n"
        "print('went on')"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    assert child.communicate(timeout=20)[0] == "went on\n"


def test_what_others_named_cannot_drive_the_terminal(logger, capfd, monkeypatch):
    name = "a\x1b[2J\udce9\u202e.wav"
    shown = "a\\x1b[2J\\udce9\\u202e.wav"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    common.say(name)
    common.complain(f"{name}\nnext line")
    common.configure_logging(0, session=False)
    logging.getLogger("edgevc.audio").warning("%s: cut short", name)
    Progress().show(name)
    out, err = capfd.readouterr()
    assert out == f"{shown}\n"
    assert err == f"edgevc: {shown}\nnext line\nedgevc: {shown}: cut short\n\r\033[K{shown}"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_text_is_written_whole_into_a_pipe_that_does_not_block(stream, unbuffered, monkeypatch):
    """As `live --json` writes a line a second into a pipe that node or ssh made."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    code = (
        "import sys\nfrom edgevc.cli import common\ncommon.prepare_streams()\n"
        f"for n in range(50_000): print(n, file=sys.{stream})"
    )
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([sys.executable, "-c", code], **{stream: writing})
    os.close(writing)
    # until the pipe is full
    time.sleep(1)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "".join(f"{n}\n" for n in range(50_000))
    assert process.wait() == 0


def test_progress_on_a_terminal_that_is_gone_does_not_end_the_work():
    code = (
        "import os, sys, time\nfrom edgevc.cli.progress import Progress\nprogress = Progress()\nprogress.show('1')\n"
        "print('begun', flush=True)\nsys.stdin.read()\ntime.sleep(.2)\nprogress.show('2')\nprogress.close()"
    )
    ours, terminal = os.openpty()
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    assert process.stdout.readline() == b"begun\n"
    os.close(ours)
    process.communicate()
    assert process.returncode == 0
