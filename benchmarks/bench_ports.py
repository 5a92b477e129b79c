"""Measures both sound device ports through a virtual sound card, without hardware.

    python benchmarks/bench_ports.py [--seconds 12] [--passes 3] [--out docs/results/ports.json]

Speech goes into a virtual microphone, through the port, and out of a virtual loudspeaker; both are recorded, and the
distance of the same speech in the two recordings is the round trip: what the device and two queues cost, without a
model. The second half of the rows repeats it beside a thread that holds the Python interpreter for 60 ms at a time.

Underflows and overflows are the most of all passes, the other figures the median of all passes.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from helpers.pulse import stop, to_pcm, virtual_sound  # noqa: E402

from edgevc.audio.reader import read_audio  # noqa: E402
from edgevc.devices.catalogue import open_port  # noqa: E402
from edgevc.live.config import LiveConfig  # noqa: E402

RATE = 16_000


class Recorder:
    """Records a sink's monitor and knows when each sample arrived, on this machine's clock."""

    def __init__(self, sound, sink):
        command = ["parec", f"--device={sink}.monitor", "--raw", f"--rate={RATE}", "--channels=1", "--format=s16le",
                   "--latency-msec=5", "--process-time-msec=5"]  # fmt: skip
        self._process = subprocess.Popen(command, env=sound.variables, stdout=subprocess.PIPE)
        self._pieces, self._times = [], []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        while data := os.read(self._process.stdout.fileno(), 65_536):
            self._times.append(time.monotonic())
            self._pieces.append(data)

    def finish(self):
        """Return int16 samples and the arrival time of the first: the earliest that any piece implies."""
        stop(self._process)
        self._thread.join()
        self._process.stdout.close()
        ends = np.cumsum([len(piece) // 2 for piece in self._pieces])
        return np.frombuffer(b"".join(self._pieces), "<i2"), float(np.min(np.array(self._times) - ends / RATE))


def place(recorded, played):
    """Index where `played` begins in `recorded`."""
    n = 1 << (len(recorded) + len(played)).bit_length()
    product = np.fft.rfft(recorded.astype(float), n) * np.conj(np.fft.rfft(played.astype(float), n))
    return int(np.argmax(np.fft.irfft(product, n)[: len(recorded)]))


def pass_through(port, seconds, preroll):
    block = np.zeros(port.block_length, np.float32)
    port.write(np.zeros(preroll * port.block_length, np.float32))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if port.wait(port.block_length, 0.2):
            port.read_into(block)
            port.write(block)


def hold_the_interpreter(finished):
    libc = ctypes.PyDLL(None)
    while not finished.is_set():
        libc.usleep(60_000)
        time.sleep(0.05)


def measure(sound, backend, block_ms, speech, hog):
    finished = threading.Event()
    port = open_port(LiveConfig(backend=backend, block_ms=block_ms))
    if hog:
        threading.Thread(target=hold_the_interpreter, args=(finished,)).start()
    microphone, loudspeaker = Recorder(sound, "vmic_feed"), Recorder(sound, "vspk")
    seconds = len(speech) / RATE + 2.0
    port.start()
    cpu = time.process_time()
    # beside the hog the queue must be longer than this worker may be held up
    worker = threading.Thread(target=pass_through, args=(port, seconds, round(200 / block_ms) if hog else 1))
    worker.start()
    time.sleep(0.5)
    sound.play(speech).wait()
    worker.join()
    cpu = time.process_time() - cpu
    counters = port.counters()
    finished.set()
    port.stop()
    pcm = to_pcm(speech)
    (went_in, in_at), (came_out, out_at) = microphone.finish(), loudspeaker.finish()
    sent, heard = place(went_in, pcm), place(came_out, pcm)
    result = came_out[heard : heard + len(pcm)]
    return {
        "round trip": (1000 * (out_at + heard / RATE - in_at - sent / RATE), "ms", ""),
        "output underflows": (counters.output_underflows, "", "0" if backend == "portaudio" else ""),
        "input overflows": (counters.input_overflows, "", "0" if backend == "portaudio" else ""),
        "samples equal": (100 * float(np.mean(result == pcm[: len(result)])), "%", ""),
        "CPU of the process": (100 * cpu / seconds, "% of a core", ""),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0, help="of speech per row (default 12)")
    parser.add_argument("--passes", type=int, default=3, help="over all rows (default 3)")
    parser.add_argument("--out", type=Path, help="write JSON there")
    arguments = parser.parse_args()
    sentence, _, _ = read_audio(ROOT / "examples" / "sentence.wav")
    speech = np.resize(sentence, int(arguments.seconds * RATE))
    command = f"python benchmarks/bench_ports.py --seconds {arguments.seconds:g} --passes {arguments.passes}"
    rows = {}
    with virtual_sound() as sound:
        for _ in range(arguments.passes):
            for hog in (False, True):
                for backend in ("portaudio", "pyaudio"):
                    for block_ms in (10.0, 20.0) if not hog else (20.0,):
                        beside = ", interpreter held 60 ms at a time" if hog else ""
                        for what, (value, unit, bar) in measure(sound, backend, block_ms, speech, hog).items():
                            name = f"{backend}, {block_ms:g} ms blocks{beside}: {what}"
                            row = {"name": name, "passes": [], "unit": unit, "command": command, "bar": bar}
                            rows.setdefault(name, row)["passes"].append(value)
                            print(f"{name}: {value:.4g} {unit}", flush=True)
    for name, row in rows.items():
        row["value"] = max(row["passes"]) if name.endswith("flows") else statistics.median(row["passes"])
    if arguments.out:
        arguments.out.write_text(json.dumps(list(rows.values()), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
