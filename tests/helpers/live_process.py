"""`edgevc live` as a process of its own, between the virtual devices of pulse.py, and what it costs."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

import numpy as np

from edgevc.children import edgevc_command
from edgevc.control.client import send_command
from edgevc.errors import EdgevcError

TIME_LIMIT_S = 30.0


class Live:
    """Runs while the block runs."""

    def __init__(self, sound, folder, *options):
        self.address = f"unix:{folder}/control"
        self._log = (Path(folder) / "live.log").open("wb")
        command = edgevc_command("live", f"--control={self.address}", "--quiet", *options)
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            command, env=sound.variables, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def ask(self, command="status", value=None):
        return send_command(self.address, command, value)

    def stats(self):
        return self.ask()["stats"]

    def wait_for(self, condition):
        """Poll until `condition(stats)`; return the stats."""
        end = time.monotonic() + TIME_LIMIT_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"edgevc live ended: {self.log()}")
            with contextlib.suppress(EdgevcError, OSError):
                stats = self.stats()
                if condition(stats):
                    return stats
            time.sleep(0.02)
        raise RuntimeError(f"edgevc live did not get there: {self.log()}")

    def wait_until_running(self):
        return self.wait_for(lambda stats: stats["state"] == "running" and stats["hops"] > 5)

    def log(self):
        return Path(self._log.name).read_text(errors="replace")[-2000:]

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_share(self, seconds):
        """Of one core, over so many seconds from now."""
        before, started = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - started)

    def resident_mb(self, name="VmRSS"):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    def stop(self):
        """End it as a service manager does; return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()
        return self.process.returncode


def same_place(long, short):
    """Where `short` begins in `long`, both (T,): the highest correlation."""
    n = 1 << (len(long) + len(short)).bit_length()
    score = np.fft.irfft(np.fft.rfft(long, n) * np.conj(np.fft.rfft(short, n)), n)
    return int(np.argmax(score[: len(long)]))


def equal_share(heard, expected):
    """How much of `expected`, int16 (T,), is heard sample by sample, after the best alignment of its middle."""
    middle = len(expected) // 2
    piece = slice(middle - 8_000, middle + 8_000)
    offset = same_place(heard.astype(float), expected[piece].astype(float)) - piece.start
    start, end = max(0, -offset), min(len(expected), len(heard) - offset)
    same = heard[start + offset : end + offset] == expected[start:end]
    return float(np.sum(same)) / len(expected), offset
