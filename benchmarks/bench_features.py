"""Time of a log-mel frame from Python, 10 ms at a time, beside kaldi-native-fbank in the same run.

    python benchmarks/bench_features.py [--seconds 10] [--rounds 21] [--json FILE]

Processor time of the one thread that works, not wall time: on a busy machine a round of some milliseconds would mostly
measure who was interrupted. The contenders take turns, round by round, so that caches and clock rates hit all of them
alike; the figures are the median and the least of the rounds.

Every contender gets one call per 160 samples and hands out every frame. kaldi-native-fbank takes a sequence of floats:
it gets the NumPy array that a stream has at hand, and a list made beforehand, which it reads faster. The ratios are to
the faster of the two.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.dsp.feature_config import FeatureConfig, MfccConfig
from edgevc.dsp.features import LogMel, Mfcc

HOP_LENGTH = 160
GOAL_RATIO = 4.0
GOAL_US = 4.0

Hops = list[NDArray[np.float32]]


def run_process(stream: LogMel) -> Callable[[Hops], None]:
    """A new array per call, as for files."""

    def run(hops: Hops) -> None:
        for hop in hops:
            stream.process(hop)

    return run


def run_into(stream: LogMel | Mfcc, width: int) -> Callable[[Hops], None]:
    """Always the same array, as in the live path."""
    out = np.zeros((1, width), np.float32)

    def run(hops: Hops) -> None:
        for hop in hops:
            stream.process_into(hop, out)

    return run


def run_fft() -> Callable[[Hops], None]:
    """The FFT alone with its border, for orientation."""
    fft, frame = _core.Rfft(512), np.ones(512, np.float32)

    def run(hops: Hops) -> None:
        for _ in hops:
            fft.forward(frame)

    return run


def run_kaldi_native_fbank() -> Callable[[Sequence[Sequence[float]] | Hops], None]:
    """Its defaults with 80 bins and no dither; frames are handed out one by one."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 80

    def run(hops: Sequence[Sequence[float]] | Hops) -> None:
        stream = knf.OnlineFbank(options)
        n_frames = 0
        for hop in hops:
            stream.accept_waveform(16_000, hop)
            ready = stream.num_frames_ready
            while n_frames < ready:
                stream.get_frame(n_frames)
                n_frames += 1

    return run


def measure(n_hops: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of processor time per hop of each contender in each round."""
    rng = np.random.default_rng(1)
    hops = [(0.1 * rng.standard_normal(HOP_LENGTH)).astype(np.float32) for _ in range(n_hops)]
    lists = [hop.tolist() for hop in hops]
    kaldi = FeatureConfig.preset("kaldi")
    contenders = {
        "edgevc process": (run_process(LogMel(primed=True)), hops),
        "edgevc process_into": (run_into(LogMel(primed=True), 80), hops),
        "edgevc process_into, preset kaldi": (run_into(LogMel(kaldi, primed=True), 80), hops),
        "edgevc process_into, MFCC kaldi": (run_into(Mfcc(MfccConfig.preset("kaldi"), primed=True), 13), hops),
        "edgevc FFT of 512, new array": (run_fft(), hops),
        "kaldi-native-fbank, array": (run_kaldi_native_fbank(), hops),
        "kaldi-native-fbank, ready list": (run_kaldi_native_fbank(), lists),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_index in range(rounds + 1):
        for name, (run, data) in contenders.items():
            start = time.thread_time()
            run(data)
            elapsed = time.thread_time() - start
            # the first round warms caches and is not counted
            if round_index:
                times[name].append(1e6 * elapsed / n_hops)
    return times


def main() -> None:
    """Print microseconds of processor time per frame and the ratios to kaldi-native-fbank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="audio per round")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    args = parser.parse_args()

    times = measure(int(args.seconds * 100), args.rounds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    baseline = min(value for name, value in medians.items() if name.startswith("kaldi-native-fbank"))
    print(f"{'us per 10 ms frame':36s} {'median':>8s} {'least':>8s} {'ratio':>7s}")
    for name, median in medians.items():
        print(f"{name:36s} {median:8.2f} {min(times[name]):8.2f} {baseline / median:7.1f}")
    ratio = baseline / medians["edgevc process"]
    print(f"goals for `process`: at least {GOAL_RATIO:g} times as fast: {ratio:.1f}; ", end="")
    print(f"at most {GOAL_US:g} us: {medians['edgevc process']:.2f}")
    if args.json:
        command = f"python benchmarks/bench_features.py --seconds {args.seconds:g} --rounds {args.rounds}"
        rows = [
            {"name": f"{name}, median", "value": median, "unit": "us per frame", "command": command, "bar": None}
            for name, median in medians.items()
        ]
        rows[0]["bar"] = GOAL_US
        name = f"edgevc process: times as fast as kaldi-native-fbank {version('kaldi-native-fbank')}"
        rows.append({"name": name, "value": ratio, "unit": "", "command": command, "bar": f">= {GOAL_RATIO:g}"})
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
