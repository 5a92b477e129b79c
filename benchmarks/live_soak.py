"""Hours of a live session, faster than real time: memory, latency and counters of the same code that a device drives.

    python benchmarks/live_soak.py --hours 2 --out docs/results/live_soak.json
    python benchmarks/live_soak.py --hours 2 --clock-skew 100

Only the device is simulated (edgevc.testing.simulated_port): session, scheduler, resamplers, converter, post chain and
queues are those of `edgevc live`. The output has rows of {name, value, unit, command, bar}; bar is the largest allowed
value.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from pathlib import Path

import numpy as np

from edgevc.converter.bench import speech_like
from edgevc.live.config import LiveConfig
from edgevc.live.converters import load_converters
from edgevc.live.session import LiveSession
from edgevc.testing.simulated_port import FakePort, SimulatedClock

RATE = 16_000
# The feedback guard would take the loop of speech for a howl; real-time priority is nothing for a benchmark.
CONFIG = LiveConfig(realtime=False)


def resident_mb() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """Measure, print, and write the rows; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="A live session for hours, in simulated time.")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--clock-skew", type=float, default=0.0, metavar="PPM", help="output clock faster by so much")
    parser.add_argument("--rate", type=int, default=RATE, help="of the device, Hz")
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    arguments = parser.parse_args()

    # at another rate it is another voice, and sound all the same
    loop = np.resize(speech_like(10.0), 11 * arguments.rate)
    period = 10 * arguments.rate

    def source(position: int, n: int) -> np.ndarray:
        start = position % period
        return loop[start : start + n]

    heard: deque[float] = deque(maxlen=100)
    converters = load_converters(CONFIG)
    clock = SimulatedClock()
    block = arguments.rate // 100

    def open_port() -> FakePort:
        return FakePort(
            clock,
            source,
            lambda position, samples: heard.append(float(np.abs(samples).max())),
            input_rate=arguments.rate,
            output_rate=arguments.rate,
            block_length=block,
            output_skew=arguments.clock_skew * 1e-6,
        )

    session = LiveSession(CONFIG, open_port=open_port, converters=converters, clock=clock)
    began = time.monotonic()
    session.open()
    resident, latencies = [], []
    minutes = round(60 * arguments.hours)
    for minute in range(1, minutes + 1):
        while clock.now() < 60 * minute:
            session.step()
        stats = session.stats()
        resident.append(resident_mb())
        latencies.append(stats.latency.total)
        if minute % 10 == 0:
            print(
                f"{minute:4d} min after {time.monotonic() - began:.0f} s: {resident[-1]:.2f} MB, "
                f"{latencies[-1]:.2f} ms, underflows {stats.output_underflows}",
                flush=True,
            )
    stats = session.stats()
    session.stop()
    spent = time.monotonic() - began
    assert np.max(heard) > 0.01, "silence at the end"

    command = f"python benchmarks/live_soak.py --hours {arguments.hours:g}"
    command += f" --clock-skew {arguments.clock_skew:g}" if arguments.clock_skew else ""
    command += f" --rate {arguments.rate}" if arguments.rate != RATE else ""
    what = f"{arguments.hours:g} h" + (f", clocks {arguments.clock_skew:g} ppm apart" if arguments.clock_skew else "")
    rows = [
        ("memory above that after the first minute", max(resident) - resident[0], "MB", 1.0),
        # a block's phase is seen in the queues where two clocks slide past each other
        ("latency, largest change", max(latencies) - min(latencies), "ms", 15.0 if arguments.clock_skew else 0.01),
        ("xruns", stats.input_overflows + stats.output_underflows, "", 3 if arguments.clock_skew else 0),
        ("hops dropped", stats.hops_dropped, "", 0),
        ("samples passed", stats.hops * 160, "", None),
        ("speed against real time", 3600 * arguments.hours / spent, "", None),
    ]
    missed = False
    table = []
    for name, value, unit, bar in rows:
        missed |= bar is not None and value > bar
        table.append({"name": f"{what}: {name}", "value": value, "unit": unit, "command": command, "bar": bar})
        print(f"{table[-1]['name']:60s} {value:12.4f} {unit} {'' if bar is None else f'(at most {bar:g})'}")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
