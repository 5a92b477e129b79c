"""Runs edgevc's command line, in this process or as one of its own, for tests."""

import os
import signal
import subprocess
import sys
import wave
from ctypes import CDLL
from pathlib import Path

import numpy as np

import edgevc
from edgevc.limits import SAMPLE_RATE

SECONDS = 1.5
N_SAMPLES = int(SECONDS * SAMPLE_RATE)
TIME_LIMIT_S = 120


class Outcome:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(edgevc.__file__).parent.parent)}


def start(*arguments, **options):
    """Start `edgevc` as a process of its own, with Ctrl-C working even where the tests run in the background."""
    command = [sys.executable, "-m", "edgevc", *map(str, arguments)]
    restore = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    return subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, **restore, **options)


def finish(process):
    err = process.communicate(timeout=TIME_LIMIT_S)[1].decode()
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    return process.returncode, err


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def raw(samples):
    return np.rint(samples * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def write_stereo(path, samples, rate):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.stack([samples, samples], axis=1) * 32767).astype("<i2").tobytes())


def obey_permissions():
    """Let root obey permissions as others do: without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (prctl(2), 24)."""
    for capability in (1, 2):
        CDLL(None).prctl(24, capability, 0, 0, 0)
