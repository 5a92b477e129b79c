"""The PortAudio port as Python gets it: one thread at a time, aligned arrays, any timeout."""

import threading
import time

import numpy as np
import pytest
from helpers.pulse import virtual_sound

from edgevc.devices.catalogue import open_port
from edgevc.live.config import LiveConfig

# What is waited for and never comes: more than the queue holds.
NEVER = 1 << 20


@pytest.fixture(scope="module")
def core_port():
    """The extension's own object, started."""
    with virtual_sound():
        port = open_port(LiveConfig(backend="portaudio", block_ms=20.0))
        port.start()
        yield port.core
        port.stop()


def test_a_second_thread_is_refused_and_may_ask_for_figures(core_port):
    waiter = threading.Thread(target=core_port.wait, args=(NEVER, 1.0))
    waiter.start()
    # let it go to sleep
    time.sleep(0.2)
    block = np.zeros(10, np.float32)
    calls = {
        "start": core_port.start,
        "stop": core_port.stop,
        "failure": core_port.failure,
        "wait": lambda: core_port.wait(1, 0.0),
        "read_into": lambda: core_port.read_into(block),
        "write": lambda: core_port.write(block),
        "discard": lambda: core_port.discard(1),
    }
    for call in calls.values():
        with pytest.raises(RuntimeError, match="this Port is in use by another thread; give each thread an object"):
            call()
    assert len(core_port.counters()) == 5
    assert core_port.available() >= 0
    assert core_port.playback_fill() >= 0
    assert waiter.is_alive()
    waiter.join()
    assert core_port.failure() == ""


@pytest.mark.parametrize("timeout", [0.0, -1.0, -1e300, float("nan"), -float("inf")])
def test_a_timeout_that_is_none_returns_at_once(core_port, timeout):
    began = time.monotonic()
    assert not core_port.wait(NEVER, timeout)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("timeout", [1e7, 1e300, float("inf")])
def test_an_endless_timeout_waits(core_port, timeout):
    assert core_port.wait(core_port.available() + 1, timeout)


def test_misaligned_arrays_are_refused(core_port):
    moved = np.zeros(41, np.uint8)[1:].view(np.float32)
    for call in (core_port.read_into, core_port.write):
        with pytest.raises(ValueError, match="must begin at a multiple of 4 bytes"):
            call(moved)
