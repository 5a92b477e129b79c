"""A day of a live session in simulated time, with a fault every minute or two that the counters must show.

    python benchmarks/live_faults.py --hours 24 --out docs/results/live_faults.json
    python benchmarks/live_faults.py --hours 0.2 --seed 5

Only the device and its clock are simulated (edgevc.testing.simulated_port): session, scheduler, resamplers, converter,
post chain, recordings and control socket are those of `edgevc live`. Faults: devices that vanish, fall silent, are of
no use or come back with other rates and clocks; NaN and absurd samples; calls that are late, a machine that sleeps or
is too slow; a model that gives NaN or roars; a full disk; signals that end the session; floods of the control socket.
Between them modes, voices, pitch and gain change. The output has rows of {name, value, unit, command, bar}; bar is the
largest allowed value.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from faulty_world import CHUNK_HOPS, RATE, NotCountedError, World

from edgevc.cli.live import stop_on_signals
from edgevc.converter.stream import BAD_CHUNKS

ROOT = Path(__file__).resolve().parents[1]
WARM_UP_SECONDS = 3600.0
"""Until then memory may grow: allocators and caches find their size."""
MAX_GROWTH_MB = 2.0
DISK_BYTES = 400_000
"""What a file may grow to while the disk is full: 12.5 s of a recording."""
REAL_TIME_LIMIT_S = 60.0
"""For what other threads have to do meanwhile."""


class Faults(World):
    """What happens to it; each fault must show where it should, and leave no trace."""

    def device_vanishes(self) -> None:
        """It comes back with other rates and another clock."""
        before = self.stats()
        rates = [RATE, 48_000, 44_100]
        self.device = {"input_rate": int(self.rng.choice(rates)), "output_rate": int(self.rng.choice(rates))}
        self.plugged_in = False
        self.ports[0].vanish()
        self.run(float(self.rng.uniform(0.5, 20.0)))
        self.require(self.stats().state == "reconnecting", "it looks for the device")
        self.plugged_in = True
        self.run_until(lambda: self.stats().state == "running", 12.0, "the device is found again")
        self.require(self.more(before, "device_restarts") == 1, "a restart is counted")

    def device_falls_silent(self) -> None:
        """It neither brings nor takes anything, and says nothing."""
        before = self.stats()
        self.ports[0].freeze(1e9)
        self.run_until(lambda: self.more(before, "device_restarts") == 1, 6.0, "a restart is counted")

    def device_is_of_no_use(self) -> None:
        """It goes on, and its driver says that it is of no use."""
        before = self.stats()
        self.ports[0].complain("its driver spins")
        self.run_until(lambda: self.more(before, "device_restarts") == 1, 6.0, "a restart is counted")

    def bad_samples(self) -> None:
        """Samples that are no sound."""
        before = self.stats()
        n = self.bad_left = int(self.rng.integers(1, 5000))
        self.run(2.0)
        # what is skipped is not looked at
        skipped = self.more(before, "hops_dropped")
        self.require(self.more(before, "bad_samples") == n or skipped, f"{n} bad samples are counted")

    def late_call(self) -> None:
        """Another program had the processor."""
        before = self.stats()
        self.machine.seconds, self.machine.chunks = float(self.rng.uniform(0.15, 0.8)), 1
        self.run(2.0)
        self.require(self.more(before, "deadlines_missed") == 1, "a missed deadline is counted")
        self.require(self.more(before, "output_underflows") > 0, "the underflow is counted")

    def machine_sleeps(self) -> None:
        """Everything stood still in the middle of a call."""
        before = self.stats()
        self.machine.seconds, self.machine.chunks = float(self.rng.uniform(2.5, 60.0)), 1
        self.run(self.machine.seconds + 2.0)
        self.require(self.more(before, "worker_stalls") == 1, "the stall is counted")
        self.require(self.more(before, "slow_calls") == 1, "the slow call is counted")
        self.require(self.more(before, "input_overflows") > 0, "lost input is counted")

    def machine_is_too_slow(self) -> None:
        """Each call takes half as long again as it may."""
        before = self.stats()
        self.machine.seconds, self.machine.chunks = 0.01 * CHUNK_HOPS * 1.5, int(self.rng.integers(50, 200))
        self.run_until(lambda: self.machine.chunks == 0, 60.0, "the load ends")
        counted = self.more(before, "hops_dropped") + self.more(before, "hops_bypassed")
        self.require(counted > 0, "what was left out is counted")

    def model_gives_nan(self) -> None:
        """Some frames are not finite."""
        before = self.stats()
        calls = int(self.rng.integers(1, 9))
        self.wild.value, self.wild.calls = float("nan"), calls
        n = calls * CHUNK_HOPS
        self.run(2.0)
        self.require(self.more(before, "bad_frames") == n, f"{n} bad frames are counted")
        self.require(self.more(before, "model_resets") == (calls >= BAD_CHUNKS), "the model's memory is cleared")

    def model_roars(self) -> None:
        """Filters of 1e30."""
        before = self.stats()
        self.wild.value, self.wild.calls = 1e30, int(self.rng.integers(100, 300))
        self.run(self.wild.calls * 0.01 * CHUNK_HOPS + 1.0)
        self.require(self.more(before, "loud_hops") > 0, "what was turned down is counted")
        # over some seconds its loudness is forgotten
        self.run_until(lambda: self.quiet_again(), 60.0, "it is let through again")

    def quiet_again(self) -> bool:
        """Whether half a second passes that is not turned down."""
        before = self.stats()
        self.run(0.5)
        return self.more(before, "loud_hops") == 0

    def disk_is_full(self) -> None:
        """Restart with a recording, whose files may not grow beyond what they take in some seconds."""
        self.end()
        while True:
            self.begin()
            if self.recording:
                break
            self.end()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, limits[1]))
        try:
            self.run(DISK_BYTES / RATE / 2 + 3.0)
            until = time.monotonic() + REAL_TIME_LIMIT_S
            while not self.stats().recording_errors and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.require(self.stats().recording_errors == 1, "the full disk is counted")

    def signal_comes(self) -> None:
        """A service manager, a person or a terminal that goes away ends the session."""
        self.stop.clear()
        number = signal.Signals(int(self.rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])))
        os.kill(os.getpid(), number)
        # another thread may have been given it, and has to be given the processor
        until = time.monotonic() + REAL_TIME_LIMIT_S
        while not self.stop.is_set() and time.monotonic() < until:
            time.sleep(0.001)
        self.require(self.stop.is_set(), f"{number.name} is heard")
        self.end()
        self.begin()

    def control_flood(self) -> None:
        """Clients that ask for much and say what is no command."""
        lines = [b'{"command": "status"}', b'{"command": "gain", "value": -3}', b'{"command": "voice", "value": "?"}']
        clients = []
        expected = 0
        for _ in range(8):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(self.folder / "control"))
            client.setblocking(False)
            clients.append((client, [lines[i] for i in self.rng.integers(0, len(lines), 25)]))
            expected += 25
        garbage = socket.socket(socket.AF_UNIX)
        garbage.connect(str(self.folder / "control"))
        garbage.sendall(self.rng.bytes(3000) + b"\n")
        for client, said in clients:
            client.sendall(b"\n".join(said) + b"\n")
        answers, until = 0, time.monotonic() + REAL_TIME_LIMIT_S
        while answers < expected and time.monotonic() < until:
            self.run(0.1)
            for client, _ in clients:
                try:
                    answers += client.recv(1 << 20).count(b"\n")
                except BlockingIOError:
                    time.sleep(0.001)
        for client, _ in clients:
            client.close()
        garbage.close()
        self.require(answers == expected, f"{expected} lines are answered, got {answers}")

    def long_mute(self) -> None:
        """The device is given back, and taken again."""
        before = self.stats()
        self.session.apply("mode", "mute")
        self.run(float(self.rng.uniform(6.0, 60.0)))
        wanted = "running" if self.recording else "resting"
        self.require(self.stats().state == wanted, f"a muted session is {wanted}")
        self.session.apply("mode", "convert")
        self.run(1.0)
        self.require(self.more(before, "device_restarts") == 0, "it is no fault")

    def changes(self) -> None:
        """Modes, voices, gain and pitch change, quickly one after the other."""
        for _ in range(int(self.rng.integers(5, 30))):
            name = str(self.rng.choice(["mode", "voice", "gain", "pitch"]))
            values = {"mode": ("convert", "bypass", "mute"), "voice": self.session.voices}.get(name, (-6.0, 0.0, 3.0))
            value = values[int(self.rng.integers(len(values)))]
            self.session.apply(name, value)
            self.run(float(self.rng.uniform(0.02, 0.5)))
            self.require(name not in ("mode", "voice") or getattr(self.stats(), name) == value, f"{name} is {value}")


FAULTS = (
    *(Faults.device_vanishes, Faults.device_falls_silent, Faults.device_is_of_no_use, Faults.bad_samples),
    *(Faults.late_call, Faults.machine_sleeps, Faults.machine_is_too_slow, Faults.model_gives_nan, Faults.model_roars),
    *(Faults.disk_is_full, Faults.signal_comes, Faults.control_flood, Faults.long_mute, Faults.changes),
)


def memory_mb() -> float:
    """Of this process alone, now: what a busy machine pages out counts, what it drops of files does not."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "VmSwap:"))) / 1000


def live_through(world: Faults, hours: float, report: Callable[[list[float], list[str]], None]) -> None:
    """Let it all happen; tell of the memory after each fault that came after the warm-up, and of what went wrong."""
    memory: list[float] = []
    wrong: list[str] = []
    began, told = time.monotonic(), 0.0
    order: list[Callable[[Faults], None]] = []
    while world.clock.now() < 3600 * hours:
        if not order:
            order = [FAULTS[i] for i in world.rng.permutation(len(FAULTS))]
        fault = order.pop()
        world.injected[fault.__name__] += 1
        try:
            world.calm()
            fault(world)
            world.calm()
            world.session.apply("mode", str(world.rng.choice(["convert", "bypass", "mute"], p=[0.15, 0.25, 0.6])))
            world.session.apply("voice", str(world.rng.choice(world.session.voices)))
            world.run(float(world.rng.uniform(10.0, 240.0)))
        except NotCountedError as error:
            wrong.append(f"{fault.__name__}: {error}")
            print(wrong[-1], flush=True)
        gc.collect()
        if not memory or world.clock.now() > min(WARM_UP_SECONDS, 900 * hours):
            memory.append(memory_mb())
        if world.clock.now() - told > 1800.0:
            told = world.clock.now()
            print(
                f"{told / 3600:5.1f} h after {time.monotonic() - began:.0f} s: {sum(world.injected.values())} faults, "
                f"{len(wrong)} not counted, {memory_mb():.2f} MB",
                flush=True,
            )
            report(memory[1:] or memory, wrong)
    world.end()
    report(memory[1:] or memory, wrong)


def main() -> int:
    """Live through it, print, and write the rows; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="A live session under faults, in simulated time.")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "tiny")
    parser.add_argument("--out", type=Path, help="JSON file for the rows, written anew every half an hour")
    arguments = parser.parse_args()

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        # a shell that starts this in the background lets them be ignored, which a session then does as well
        signal.signal(number, signal.SIG_DFL)
    began = time.monotonic()
    command = f"python benchmarks/live_faults.py --hours {arguments.hours:g} --seed {arguments.seed}"
    table: list[dict[str, object]] = []

    def report(memory: list[float], wrong: list[str]) -> None:
        lived = world.clock.now() / 3600
        rows = [
            ("faults that were not counted, or left a trace", len(wrong), "", 0),
            ("memory, largest less that after the first hour", max(memory) - memory[0], "MB", MAX_GROWTH_MB),
            ("memory, last less that after the first hour", memory[-1] - memory[0], "MB", MAX_GROWTH_MB),
            ("speed against real time", 3600 * lived / (time.monotonic() - began), "", None),
            *((f"faults: {name.replace('_', ' ')}", n, "", None) for name, n in sorted(world.injected.items())),
            *((f"counted: {name}", n, "", None) for name, n in sorted(world.totals.items()) if name != "chunk_hops"),
        ]
        table[:] = [
            {"name": f"{lived:.1f} h under faults: {name}", "value": n, "unit": unit, "command": command, "bar": bar}
            for name, n, unit, bar in rows
        ]
        if arguments.out is not None:
            arguments.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        world = Faults(arguments.model, arguments.seed, Path(folder))
        with stop_on_signals(world.stop):
            live_through(world, arguments.hours, report)
    for row in table:
        print(f"{row['name']:72s} {row['value']:14.4f} {row['unit']} {'' if row['bar'] is None else row['bar']}")
    return int(any(row["bar"] is not None and row["value"] > row["bar"] for row in table))


if __name__ == "__main__":
    sys.exit(main())
