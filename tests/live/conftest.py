"""A session on simulated devices that is not started, and its control socket."""

import threading

import pytest
from helpers.live_doubles import QUIET, Stage, noise, playing
from helpers.stood_still import EXCUSED

from edgevc.control.server import ControlServer


@pytest.fixture
def stopped():
    return threading.Event()


@pytest.fixture
def session():
    return Stage(playing(noise(1)), QUIET).session


@pytest.fixture
def server(tmp_path, session, stopped):
    server = ControlServer(f"unix:{tmp_path}/c.sock", session, stopped.set)
    yield server
    server.close()


def pytest_terminal_summary(terminalreporter):
    """Say what was repeated because the machine had no time; nothing is repeated for another reason."""
    for line in EXCUSED:
        terminalreporter.write_line(f"repeated, {line}")
