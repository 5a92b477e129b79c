"""From the end of the last word to the MQTT message: a relay, a real Mosquitto, speech fed in real time.

    python benchmarks/bench_relay.py --out docs/results/relay.json

On a machine that does other work, `chrt -f 10 taskset -c 1` in front. Speech is espeak-ng's, whose end is known to the
sample; the relay reads it from a pipe in pieces of 10 ms, as from a microphone without a device's latency.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from helpers.broker import PASSWORD, USER, Broker, Watcher, wait_for  # noqa: E402

from edgevc.audio.reader import read_audio  # noqa: E402
from edgevc.children import edgevc_command  # noqa: E402
from edgevc.dsp.resample import resample  # noqa: E402
from edgevc.percentiles import Percentiles  # noqa: E402

RATE, PIECE = 16_000, 160
EVENT = "edgevc/pi/event"
GRAMMAR = """\
[[command]]
name = "light"
say = ["turn {state} the {room} light"]
room = ["kitchen", "bedroom", "bathroom"]
state = ["on", "off"]

[[command]]
name = "blinds"
say = ["(open|close) the blinds"]

[[command]]
name = "music"
say = ["play music [in the {room}]"]
room = ["kitchen", "bedroom"]
"""
CLOSED = ("turn on the kitchen light", "turn off the bedroom light", "close the blinds")
"""Nothing may follow."""
OPEN = ("play music",)
"""More words may follow, which is waited for."""
VOICES = ("en-us", "en-gb", "en-us+f3", "en-us+m3")


def spoken(sentence: str, voice: str, folder: Path) -> np.ndarray:
    """A sentence at 16 kHz without silence around it."""
    path = folder / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", path, sentence], check=True)
    samples, rate, _ = read_audio(path)
    samples = resample(samples, rate, RATE)
    sounding = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[sounding[0] : sounding[-1] + 1]


def measure(seconds_between: float) -> dict[str, list[float]]:
    """Milliseconds behind the last sample of each sentence; closed and open ones apart. What never came is infinite."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "grammar.toml").write_text(GRAMMAR)
        config = folder / "config.toml"
        config.write_text(f'[mqtt]\nusername = "{USER}"\npassword = "{PASSWORD}"\n')
        config.chmod(0o600)
        clips = [
            (kind, spoken(s, v, folder))
            for kind, some in (("closed", CLOSED), ("open", OPEN))
            for s in some
            for v in VOICES
        ]
        noise = np.random.default_rng(3)
        with Broker(folder / "broker") as broker, Watcher(broker, "edgevc/pi/#") as watcher:
            flags = ["--device=pi", f"--commands={folder}/grammar.toml", f"--mqtt-queue={folder}/queue"]
            flags += ["--mqtt-host=127.0.0.1", f"--mqtt-port={broker.port}"]
            command = edgevc_command("relay", "--raw", "--config", str(config), *flags)
            with subprocess.Popen(command, stdin=subprocess.PIPE) as relay:
                wait_for("the relay", lambda: b"online" in watcher.of("edgevc/pi/status"))
                found: dict[str, list[float]] = {"closed": [], "open": []}
                moment = time.time()
                for kind, clip in clips:
                    pause = np.zeros(round(seconds_between * RATE), np.float32)
                    samples = np.concatenate([pause[: RATE // 2], clip, pause])
                    samples += 0.0003 * noise.standard_normal(len(samples)).astype(np.float32)
                    before = len(watcher.of(EVENT))
                    ended = moment + (RATE // 2 + len(clip)) / RATE
                    for start in range(0, len(samples), PIECE):
                        piece = samples[start : start + PIECE]
                        moment += len(piece) / RATE
                        # a piece is there when its last sample is
                        time.sleep(max(0.0, moment - time.time()))
                        relay.stdin.write((piece * 32767).astype("<i2").tobytes())
                        relay.stdin.flush()
                    came = [at for at, topic, _, _ in watcher.messages if topic == EVENT][before:]
                    found[kind].append(1000 * (came[0] - ended) if came else float("inf"))
                    print(f"{kind:7s} {found[kind][-1]:6.0f} ms", flush=True)
                relay.stdin.close()
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="JSON for benchmarks/make_results.py")
    parser.add_argument("--pause", type=float, default=1.2, metavar="SECONDS", help="of silence behind each sentence")
    arguments = parser.parse_args()
    found = measure(arguments.pause)
    rows = []
    for name, values, bars in (
        ("all sentences", found["closed"] + found["open"], ("<= 200", "<= 600")),
        ("nothing may follow", found["closed"], (None, None)),
        ("optional words may follow", found["open"], (None, None)),
    ):
        heard = [value for value in values if np.isfinite(value)]
        figures = Percentiles.of(heard)
        rows.append({"name": f"{name}: sentences", "value": len(values), "unit": "", "bar": None})
        rows.append({"name": f"{name}: never heard", "value": len(values) - len(heard), "unit": "", "bar": None})
        rows.append({"name": f"{name}: last word to message, p50", "value": figures.p50, "unit": "ms", "bar": bars[0]})
        rows.append({"name": f"{name}: last word to message, p95", "value": figures.p95, "unit": "ms", "bar": bars[1]})
    for row in rows:
        row["command"] = "python benchmarks/bench_relay.py"
        print(f"{row['name']:55s} {row['value']:8.1f} {row['unit']}")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
