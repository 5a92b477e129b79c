"""Measures what each part of the live chain, the model aside, costs per hop of 10 ms from Python.

python benchmarks/bench_post_chain.py [--out docs/results/post_chain.json]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from edgevc import _core
from edgevc.dsp.resample import AdaptiveResampler

N_CALLS = 3_000
HOP = 160


def cost(call):
    """Median and 99th percentile of a call, microseconds."""
    times = []
    for _ in range(N_CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return [1e6 * float(value) for value in np.percentile(times, (50, 99))]


def calls():
    rng = np.random.default_rng(0)
    hop = (0.1 * rng.standard_normal(HOP)).astype(np.float32)
    out = np.empty(HOP, np.float32)
    for rates in ((16_000, 16_000), (48_000, 16_000), (16_000, 48_000), (44_100, 16_000), (16_000, 44_100)):
        resampler = AdaptiveResampler(*rates)
        resampler.set_ratio(1.0001)
        block = np.zeros(rates[0] // 100, np.float32)
        room = np.empty(resampler.max_output(len(block)), np.float32)
        yield (
            f"adaptive resampler {rates[0]} to {rates[1]} Hz",
            lambda r=resampler, b=block, o=room: r.process_into(b, o),
        )
    limiter = _core.Limiter(16_000)
    loud = 20 * hop
    yield "limiter, below the ceiling", lambda: limiter.process_into(hop, out)
    yield "limiter, limiting", lambda: limiter.process_into(loud, out)
    eq = _core.PeakingEq(16_000)
    for index in range(3):
        eq.set(index, 200.0 * 3**index, 6.0, 1.0)
    yield "equaliser, 3 filters", lambda: eq.process_into(hop, out)
    fade = _core.FadeGain(HOP)
    yield "fade, at 1", lambda: fade.process_into(hop, out)
    guard = _core.FeedbackGuard()
    # every tenth call compares
    yield "feedback guard", lambda: guard.process(hop, hop)
    synthesis = _core.SourceFilter()
    filters, f0 = np.zeros((1, synthesis.n_filters), np.float32), np.full(1, 120, np.float32)
    yield "synthesis", lambda: synthesis.process_into(filters, f0, out)
    moved = _core.SourceFilter()
    moved.set_formant_ratio(1.2)
    yield "synthesis, formants moved", lambda: moved.process_into(filters, f0, out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write JSON there")
    arguments = parser.parse_args()
    rows = []
    for name, call in calls():
        for which, value in zip(("median", "99th percentile"), cost(call), strict=True):
            row = {"name": f"{name}, {which}", "value": value, "unit": "us per 10 ms", "bar": ""}
            rows.append({**row, "command": "python benchmarks/bench_post_chain.py"})
            print(f"{row['name']}: {value:.3g} us")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
