"""What docs/live.md promises to say is said where a service's owner looks: in the journal, with its priority."""

import contextlib
import dataclasses
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.live_doubles import QUIET, RATE, PlainConverter, PlainStream, Stage, noise, playing
from helpers.poisoned import stage_of

from edgevc.cli import common
from edgevc.converter.bench import speech_like
from edgevc.errors import EdgevcError
from edgevc.live.stats import LiveStats
from edgevc.terminal import view

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "live.md").read_text(encoding="utf-8")
WARNING, INFO = "<4>", "<6>"


@pytest.fixture
def journal(monkeypatch, capsys):
    """Calls give what a session of a service has written to its journal since the last call."""
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    logger = logging.getLogger("edgevc")
    level, handlers = logger.level, logger.handlers[:]
    common.configure_logging(0, session=True)
    yield lambda: capsys.readouterr().err
    logger.handlers[:] = handlers
    logger.setLevel(level)


def vanished():
    stage = Stage(playing(noise(20)))
    stage.run(1)
    stage.port.vanish("gone")
    stage.plugged_in = False
    stage.run(1)
    stage.plugged_in = True
    stage.run(5)
    return stage, (
        r"<4>the sound device stopped working \(gone\); it is tried again",
        "<4>the sound device works again",
    )


def stalled():
    stage = Stage(playing(noise(12)), cost=lambda now, hops: 5.0 if 2.0 <= now < 2.01 else 0.001)
    stage.run(10)
    return stage, (r"<4>the worker stood still for \d\.\d s; what came meanwhile is skipped",)


def spoiled():
    stage = Stage(playing(noise(4)))
    stage.run(1)
    stage.port.spoil(200)
    stage.run(2)
    return stage, (r"<4>the device brings samples that are no sound .*; taken as silence",)


def overloaded(**config):
    cost = lambda now, hops: 0.015 if 2.0 <= now < 5.0 else 0.002  # noqa: E731
    stage = Stage(playing(noise(9)), dataclasses.replace(QUIET, **config), cost=cost)
    stage.run(8)
    return stage


def late():
    return overloaded(), (r"<4>the output ran dry for \d+ ms; the machine is too busy",)


def slow():
    def cost(now, hops):
        return 2.5 if now > 2 else 0.001

    stage = Stage(playing(noise(60)), cost=cost)
    with contextlib.suppress(EdgevcError):
        stage.run(30)
    return stage, (r"<4>a call of the model took 2\.5 s",)


def lost():
    stage = Stage(playing(noise(6)), queue_seconds=0.1, cost=lambda now, hops: 0.5 if 2.0 <= now < 2.01 else 0.001)
    stage.run(5)
    return stage, (r"<4>\d+ ms of input found no room and are lost; the machine is too busy",)


def howling():
    class Room(Stage):
        def hear(self, position, n):
            played = self.tape.samples[-400:][:n] if len(self.tape.blocks) > 3 else np.zeros(0, np.float32)
            block = noise(n / RATE, seed=position, level=0.001)
            block[: len(played)] += 5.0 * played[:n]
            return np.clip(block, -1, 1)

    stage = Room(None, dataclasses.replace(QUIET, feedback_guard=True, mode="bypass"))
    stage.source = stage.hear
    stage.run(8)
    return stage, ("<4>acoustic feedback, the output is turned down; use headphones",)


def not_finite():
    stage = stage_of(speech_like(8.0), at_hops=(200,))
    stage.run(6)
    return stage, ("<4>the model gives what is no sound",)


class RoaringStream(PlainStream):
    def process(self, samples):
        return np.full_like(super().process(samples), 0.9)


class RoaringConverter(PlainConverter):
    def stream(self, voice, settings=None):
        return RoaringStream(self, voice, settings)


def too_loud():
    stage = Stage(playing(noise(6, level=0.001)), QUIET, {1: RoaringConverter()})
    stage.run(5)
    return stage, ("<4>the model is far louder than what it hears",)


def full_disk(folder):
    paths = (folder / "in.wav", folder / "out.wav")
    stage = Stage(playing(noise(12)), dataclasses.replace(QUIET, record=paths))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        stage.run(4)
        deadline = time.monotonic() + 10
        while not stage.stats.recording_errors and time.monotonic() < deadline:
            time.sleep(0.01)
        stage.session.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    return stage, (r"<4>the recording ends here: .*; the sound goes on",)


FAULTS = {
    "device_restarts": vanished,
    "worker_stalls": stalled,
    "bad_samples": spoiled,
    "deadlines_missed": late,
    "output_underflows": late,
    "hops_dropped": late,
    "slow_calls": slow,
    "input_overflows": lost,
    "feedback_events": howling,
    "bad_frames": not_finite,
    "model_resets": not_finite,
    "loud_hops": too_loud,
    "recording_errors": full_disk,
}
"""A counter of the table "What may happen" to what brings it about and the lines that must be said."""


def counters_of_the_document():
    table = DOCUMENT.split("## What may happen")[1].split("Each is logged by the logger `edgevc.live`")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`([a-z_]+)`", row.rpartition(" | ")[2])}


def test_every_fault_of_the_document_is_tried_here():
    assert counters_of_the_document() == set(FAULTS)


@pytest.mark.parametrize("counter", FAULTS)
def test_a_fault_that_is_counted_is_in_the_journal_and_not_in_hundreds(counter, journal, tmp_path):
    bring_about = FAULTS[counter]
    stage, lines = bring_about(tmp_path) if bring_about is full_disk else bring_about()
    said = journal()
    assert getattr(stage.stats, counter) > 0
    for line in lines:
        assert re.search(f"^{line}", said, re.MULTILINE), said
    assert len(said.splitlines()) <= 8, said


def test_a_muted_session_says_that_the_microphone_is_off(journal):
    stage = Stage(playing(noise(9)), dataclasses.replace(QUIET, mode="mute"))
    stage.run(6)
    assert stage.stats.state == "resting"
    assert journal() == f"{INFO}muted: the sound device is given back until the session is heard again\n"


def test_the_batch_policy_says_how_many_hops_it_takes(journal):
    overloaded(overload="batch")
    said = journal()
    assert f"{INFO}2 hops per call\n" in said


def test_recordings_that_get_a_number_are_told(journal, tmp_path):
    (tmp_path / "in.wav").write_bytes(b"mine")
    stage = Stage(playing(noise(2)), dataclasses.replace(QUIET, record=(tmp_path / "in.wav", tmp_path / "out.wav")))
    stage.run(1)
    stage.session.stop()
    assert f"{WARNING}earlier recordings are kept: this one goes to {tmp_path}/in-2.wav and" in journal()


def test_a_service_says_how_it_is_every_now_and_then(journal, monkeypatch):
    monkeypatch.setattr(view, "REPORT_S", 0.5)

    class Session:
        voices = ("slt",)

        def stats(self):
            return LiveStats(state="running", voice="slt", input_level=-23.0)

    stop = threading.Event()
    threading.Timer(2.5, stop.set).start()
    view.run_view(Session(), QUIET, "line", stop, keys=False)
    lines = journal().splitlines()
    assert 1 <= len(lines) <= 3
    assert all(line.startswith(f"{INFO}slt  mic ") for line in lines)


def test_a_second_session_says_that_it_has_no_control_socket(tmp_path):
    """Two real processes of one user, whose standard error is a journal."""
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    processes = []
    try:
        for log in logs:
            with log.open("wb") as file:
                found = os.fstat(file.fileno())
                environment = {
                    **{**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
                    "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}",
                }
                command = [sys.executable, "-m", "edgevc", "live", "--raw", "--no-realtime"]
                processes.append(
                    subprocess.Popen(
                        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=file, env=environment
                    )
                )
            deadline = time.monotonic() + 60
            while not (tmp_path / "edgevc.sock").exists():
                assert time.monotonic() < deadline
                assert processes[-1].poll() is None, log.read_text()
                time.sleep(0.05)
        deadline = time.monotonic() + 60
        while not logs[1].read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for process in processes:
            process.stdin.close()
            process.wait(30)
    assert re.search(
        rf"^<4>cannot listen on unix:{tmp_path}/edgevc.sock: .*; this session runs without a control socket$",
        logs[1].read_text(),
        re.MULTILINE,
    )
    assert "control socket" not in logs[0].read_text()
