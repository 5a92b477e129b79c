"""`edgevc live` through virtual sound devices: faults in minutes, mouth to ear, processor, load, start, memory.

    python benchmarks/live_virtual.py --seconds 600 --out docs/results/live_virtual.json
    python benchmarks/live_virtual.py --only latency,cpu
    python benchmarks/live_virtual.py --only long --preroll-ms 20 --out docs/results/live_virtual.json

Run it on a machine that does nothing else. The devices are of tests/helpers/pulse.py: a private PulseAudio without
hardware at 16 kHz. Each row of the output is {name, value, unit, command, bar}; bar is the largest allowed value.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from helpers.live_process import Live, equal_share  # noqa: E402
from helpers.pulse import VirtualSound, to_pcm, virtual_sound  # noqa: E402
from stalls import STALL_MS, sentinels  # noqa: E402

from edgevc.audio.reader import read_audio  # noqa: E402
from edgevc.bundle import ModelBundle  # noqa: E402
from edgevc.children import edgevc_command  # noqa: E402
from edgevc.converter import VoiceConverter  # noqa: E402
from edgevc.dsp.features import LogMel  # noqa: E402
from edgevc.live.config import LiveConfig  # noqa: E402
from edgevc.live.session import REST_SECONDS  # noqa: E402

BLOCKS = ("--block-ms=10", "--voice=kathleen", "--no-feedback-guard")
LIMITER = 16
BLOCK_MS = 10.0
DB = 10 / np.log(10)
FAULTS = ("input_overflows", "output_underflows", "deadlines_missed", "hops_dropped", "worker_stalls")

Row = dict[str, object]


def speech(seconds: float) -> np.ndarray:
    """The sentence of examples/, again and again."""
    sentence, _, _ = read_audio(ROOT / "examples" / "sentence.wav")
    return np.tile(sentence, int(seconds * 16_000 / len(sentence)) + 1)[: int(seconds * 16_000)]


def row(name: str, value: float, unit: str, bar: float | None = None) -> Row:
    """One line of the results."""
    return {"name": name, "value": value, "unit": unit, "bar": bar}


def measure_long(sound: VirtualSound, folder: Path, seconds: float, preroll_ms: float) -> list[Row]:
    """Faults over so many seconds of speech, and how the output differs from `edgevc convert`'s."""
    samples = speech(seconds)
    record = [str(folder / "in.wav"), str(folder / "out.wav")]
    with (
        sentinels(folder) as stalls,
        Live(sound, folder, *BLOCKS, f"--preroll-ms={preroll_ms:g}", "--record", *record) as live,
        sound.recording() as finish,
    ):
        stats = live.wait_until_running()
        player = sound.play(samples)
        seen = [(time.monotonic(), stats)]
        while player.poll() is None:
            time.sleep(2)
            seen.append((time.monotonic(), live.stats()))
        time.sleep(0.7)
        stats = live.stats()
        seen.append((time.monotonic(), stats))
        live.stop()
        heard = finish()
        stood_still = stalls()
    dry, wet = (read_audio(path)[0] for path in record)
    taken, _ = equal_share(to_pcm(dry), to_pcm(samples))
    sounding = np.flatnonzero(np.abs(to_pcm(wet)) > 300)
    played, _ = equal_share(heard, to_pcm(wet)[sounding[0] : sounding[-1]])
    stream = VoiceConverter(ModelBundle.default()).stream("kathleen")
    expected = np.concatenate([np.zeros(LIMITER, np.float32), stream.process(dry[: len(dry) // 160 * 160])])
    n = min(len(expected), len(wet))
    distance = np.abs(LogMel().process(expected[:n]) - LogMel().process(wet[:n])).mean() * DB
    length = f"{seconds:.0f} s at 10 ms blocks, {preroll_ms:g} ms of pre-roll"
    rows = [row(f"{name.replace('_', ' ')}, {length}", stats[name], "", 0) for name in FAULTS]
    within = [ms for moment, ms in stood_still if seen[0][0] < moment < seen[-1][0]]
    return [
        *rows,
        row(
            f"of all these, where the machine itself had not stood still, {length}",
            own_faults(seen, stood_still),
            "",
            0,
        ),
        row(f"times that the machine itself stood still for more than {STALL_MS:g} ms meanwhile", len(within), ""),
        row("longest of them", max(within, default=0.0), "ms"),
        row("samples of the input that the session heard unchanged", 100 * taken, "%"),
        row("samples of the session's output that the speaker played unchanged", 100 * played, "%"),
        row("log-mel distance of the session's output to `edgevc convert` of its input", float(distance), "dB", 0.1),
        row("largest difference of the two, 16 bit", float(np.max(np.abs(expected[:n] - wet[:n])) * 32768), "", 2),
        row("time of a hop, 99th percentile", stats["processing_ms"]["p99"], "ms", 5),
    ]


def own_faults(seen: list[tuple[float, dict[str, float]]], stood_still: list[tuple[float, float]]) -> float:
    """Faults between two looks at the session, but for those where the machine stood still then, or shortly before."""
    total = 0.0
    for (before, old), (after, new) in itertools.pairwise(seen):
        if not any(before - 0.5 < moment < after for moment, _ in stood_still):
            total += sum(new[name] - old[name] for name in FAULTS)
    return total


def measure_latency(sound: VirtualSound, folder: Path) -> list[Row]:
    """Mouth to ear over a cable between the virtual devices, and whether its parts add up."""
    rows = []
    for mode, model, bar, name in (
        ("bypass", "default", 90, "dry voice, delayed like the converted one"),
        ("convert", "default", 90, "converted voice"),
        ("convert", "low-latency", 70, "converted voice, low-latency model"),
    ):
        options = f"--mode={mode}", f"--bundle={model}"
        command = edgevc_command("latency", "--through-converter", "--json", *options)
        environment = {**sound.variables, "PULSE_SINK": "vmic_feed"}
        done = subprocess.run([*command, *BLOCKS], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        found = json.loads(done.stdout)
        whole = found["mouth_to_ear"]["milliseconds"]
        rows += [
            row(f"mouth to ear, {name}, default settings", whole, "ms", bar),
            row(f"its parts add up to, {name}", found["parts"]["total"], "ms"),
            row(f"difference, {name}", abs(found["parts"]["total"] - whole), "ms", 3),
            row(
                f"devices' own share of it, {name}",
                found["parts"]["input_device"] + found["parts"]["output_device"],
                "ms",
            ),
        ]
    return rows


def measure_cpu(sound: VirtualSound, folder: Path) -> list[Row]:
    """What the process costs while it converts and while it is muted, its start and its memory."""
    player = sound.play(speech(90))
    time.sleep(0.5)
    try:
        with sound.recording() as finish:
            path = sound.folder / "recorded.raw"
            with Live(sound, folder, *BLOCKS) as live:
                first = first_sound(path, live)
                live.wait_until_running()
                time.sleep(2)
                busy = live.cpu_share(15)
                resident = live.resident_mb()
                live.ask("mode", "mute")
                time.sleep(REST_SECONDS + 1)
                muted = live.cpu_share(15)
                live.ask("mode", "convert")
                time.sleep(1)
                late = live.resident_mb()
            finish()
    finally:
        player.terminate()
        player.wait()
    return [
        row("start of the command to the first converted sound", first, "s", 1.0),
        row("share of a core while converting", 100 * busy, "%", 12),
        row("share of a core while muted", 100 * muted, "%", 1),
        row("resident memory", resident, "MB", 80),
        row("resident memory half a minute later", late, "MB", 80),
    ]


def first_sound(path: Path, live: Live) -> float:
    """Return the seconds from the command to the first sample at the speaker that is not silence."""
    position = path.stat().st_size
    while time.monotonic() - live.started_at < 20:
        data = np.fromfile(path, "<i2", offset=position - position % 2)
        if np.any(np.abs(data) > 100):
            return time.monotonic() - live.started_at
        time.sleep(0.005)
    raise RuntimeError(f"nothing was heard: {live.log()}")


def measure_load(sound: VirtualSound, folder: Path) -> list[Row]:
    """Both cores busy for 10 s: what is counted, and how long it takes until all is as before."""
    player = sound.play(speech(40))
    try:
        with Live(sound, folder, *BLOCKS) as live:
            live.wait_until_running()
            time.sleep(2)
            before, at_rest = live.stats(), median_latency(live)
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
            time.sleep(10)
            for process in busy:
                process.kill()
                process.wait()
            ended = last_fault = time.monotonic()
            counted = [live.stats()[name] for name in FAULTS]
            away = ended
            while time.monotonic() - ended < 5:
                time.sleep(0.05)
                stats = live.stats()
                if [stats[name] for name in FAULTS] != counted:
                    last_fault, counted = time.monotonic(), [stats[name] for name in FAULTS]
                # a device that exchanges two blocks at once moves the snapshot by a block
                if stats["state"] != "running" or abs(stats["latency"]["total"] - at_rest) > BLOCK_MS + 1:
                    away = time.monotonic()
            faults = sum(counted) - sum(before[name] for name in FAULTS)
            moved = abs(median_latency(live) - at_rest)
            restarts = stats["device_restarts"]
    finally:
        player.terminate()
        player.wait()
    return [
        row("faults counted while both cores were busy for 10 s, and after", faults, ""),
        row("streams opened again because their driver had lost its way", restarts, ""),
        row("load's end to the last fault, and latency back", max(last_fault, away) - ended, "s", 1.0),
        row("latency after the load, less that before it", moved, "ms", 1.0),
    ]


def median_latency(live: Live) -> float:
    """Mouth to ear as the session says it, over a second."""
    found = []
    for _ in range(40):
        found.append(live.stats()["latency"]["total"])
        time.sleep(0.025)
    return float(np.median(found))


PARTS: dict[str, Callable[[VirtualSound, Path], list[Row]]] = {
    "latency": measure_latency,
    "cpu": measure_cpu,
    "load": measure_load,
}


def main() -> int:
    """Measure, print, and write the rows; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="A live session through virtual devices.")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the long run (default 600)")
    parser.add_argument(
        "--preroll-ms",
        type=float,
        default=LiveConfig.preroll_ms,
        help="of the long run: how long the machine may stand still without a fault (default: that of `edgevc live`)",
    )
    every = [*PARTS, "long"]
    parser.add_argument("--only", default=",".join(every), help=f"some of {','.join(every)}")
    parser.add_argument("--out", type=Path, help="JSON file; rows of other parts that it has already stay")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.only.split(","):
        # a server of its own for each: what one part did to it is not the next one's
        with virtual_sound() as sound, tempfile.TemporaryDirectory() as folder:
            if name == "long":
                found = measure_long(sound, Path(folder), arguments.seconds, arguments.preroll_ms)
                name += f" --seconds {arguments.seconds:g} --preroll-ms {arguments.preroll_ms:g}"
            else:
                found = PARTS[name](sound, Path(folder))
        rows += [{**entry, "command": f"python benchmarks/live_virtual.py --only {name}"} for entry in found]
        for entry in found:
            print(f"{entry['name']:85s} {entry['value']:10.3f} {entry['unit']}", flush=True)
    if arguments.out is not None:
        made = {entry["command"] for entry in rows}
        old = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
        kept = [entry for entry in old if entry["command"] not in made]
        arguments.out.write_text(json.dumps(kept + rows, indent=1) + "\n")
    missed = [entry["name"] for entry in rows if entry["bar"] is not None and entry["value"] > entry["bar"]]  # type: ignore[operator]
    for name in missed:
        print(f"above its bar: {name}", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
