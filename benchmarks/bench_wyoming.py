"""What the Wyoming proxy costs: words that a real recogniser no longer understands, and the delay.

    python benchmarks/bench_wyoming.py [--out docs/results/wyoming.json]

Own sentences, spoken by flite's voices slt, rms and awb and by espeak-ng, go to wyoming-faster-whisper with Whisper's
base model (scripts/whisper_server.sh), straight and through the proxy. Synthetic speech is clean: the figures say what
the proxy loses of it, not what a microphone in a room would give. The delay is that of `audio-stop`, behind a recording
that comes as fast as somebody speaks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from helpers.whisper_service import transcript_of, whisper, words_of  # noqa: E402
from helpers.wyoming_peers import (  # noqa: E402
    AsyncTcpClient,
    AudioChunk,
    AudioStart,
    AudioStop,
    Keeper,
    answer,
    serving,
    transcript,
)

from edgevc.audio.reader import read_audio  # noqa: E402
from edgevc.audio.wav_writer import encode_pcm16  # noqa: E402
from edgevc.converter import VoiceConverter  # noqa: E402
from edgevc.dsp.resample import resample  # noqa: E402
from edgevc.recognition.evidence import edit_distance  # noqa: E402
from edgevc.wyoming.address import Address  # noqa: E402
from edgevc.wyoming.proxy import Proxy  # noqa: E402
from edgevc.wyoming.recording import VoiceChange  # noqa: E402
from edgevc.wyoming.sound import SPEECH  # noqa: E402

COMMAND = "python benchmarks/bench_wyoming.py"
VOICES = ("anon", "kathleen")
PAUSE = np.zeros(8000, np.float32)
TOGETHER = 5
"""Sentences of one clip: the recogniser takes half a minute at once."""
SENTENCES = """
please turn on the kitchen light and play some music
set the heating in the bedroom to nineteen degrees
close the curtains in the living room before it gets dark
remind me to water the plants on the balcony tomorrow
what will the weather be like in the mountains this weekend
lock the front door and switch off every lamp downstairs
start the washing machine as soon as the sun comes out
put bread butter and two bottles of milk on the shopping list
how long does it take to drive to the station from here
wake me at half past six and open the window a little
the old dog slept beside the fire for most of the evening
she wrote a long letter to her brother in the village
they carried the heavy boxes up the stairs without a word
a cold wind blew across the empty fields near the river
my neighbour grows tomatoes and beans behind the garage
the train was late again because of snow on the track
he found a small green key under the kitchen table
children were playing with a red ball in the quiet street
nobody remembered where the spare batteries had been put
the doctor told him to walk for an hour every morning
turn the volume down and read me the news of today
is the garden gate still open or did somebody shut it
make the hallway brighter and the office a bit warmer
tell the vacuum cleaner to start after lunch on friday
stop the music and call my mother on the telephone
pour the soup into deep plates and serve it very hot
the bridge was built of stone more than a century ago
we watched the boats return to the harbour at sunset
fresh coffee and warm bread are waiting on the table
the teacher asked her class to draw a house with a tree
dim the lights in the dining room to thirty percent
show me who is standing at the front door right now
the clock on the wall has been wrong since last winter
every summer they spend two weeks in a cabin by the lake
take the second street on the left after the church
heavy rain filled the barrels and washed the dust away
the baker opens his shop at five and closes at noon
add a meeting with the plumber to my calendar on monday
her blue coat was hanging on a hook behind the door
please say that once again but a little more slowly
""".strip().splitlines()


def spoken(folder: Path) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Clips of a few sentences each: words and sound at 16 kHz."""
    speakers = [["flite", "-voice", name, "-t"] for name in ("slt", "rms", "awb")]
    for tool in ("flite", "espeak-ng"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing; apt-get install flite espeak-ng")
    for start in range(0, len(SENTENCES), TOGETHER):
        lines = SENTENCES[start : start + TOGETHER]
        speaker = start // TOGETHER % 4
        parts = []
        for line in lines:
            path = folder / "said.wav"
            if speaker < 3:
                subprocess.run([*speakers[speaker], line, "-o", path], check=True)
            else:
                subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", path, line], check=True)
            samples, rate, _ = read_audio(path)
            parts += [samples if rate == 16_000 else resample(samples, rate, 16_000), PAUSE]
        yield [word for line in lines for word in words_of(line)], np.concatenate(parts)


async def words_wrong(clips: list[tuple[list[str], NDArray[np.float32]]], address: Address) -> dict[str, int]:
    """Words that the recogniser gets wrong, straight and through the proxy in each voice."""
    wrong = dict.fromkeys(("straight", *VOICES), 0)
    converter = VoiceConverter()
    async with contextlib.AsyncExitStack() as stack:
        ports = {"straight": address.port}
        for voice in VOICES:
            proxy = Proxy(address, VoiceChange(converter, voice))
            stack.callback(proxy.close)
            ports[voice] = await stack.enter_async_context(serving(proxy.converse))
        for number, (words, samples) in enumerate(clips):
            for way, port in ports.items():
                heard, _ = await transcript_of(port, encode_pcm16(samples), SPEECH)
                errors = edit_distance(words, heard)
                wrong[way] += errors
                print(f"clip {number} {way}: {errors} of {len(words)} words wrong", flush=True)
    return wrong


async def delays(samples: NDArray[np.float32], times: int) -> dict[str, float]:
    """Milliseconds (median) from the client's `audio-stop` to the service's answer, straight and through the proxy."""
    found: dict[str, list[float]] = {"straight": [], "proxy": []}
    keeper = Keeper([transcript("x")])
    async with keeper.running() as address:
        proxy = Proxy(address, VoiceChange(VoiceConverter(), "anon"))
        async with serving(proxy.converse) as port:
            for _ in range(times):
                for way, at in (("straight", address.port), ("proxy", port)):
                    found[way].append(1000 * await delay(at, encode_pcm16(samples)))
        proxy.close()
    return {way: statistics.median(values) for way, values in found.items()}


async def delay(port: int, sound: bytes) -> float:
    """Seconds from `audio-stop` to the answer behind a recording that comes in time."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(AudioStart(16_000, 2, 1).event())
        begun = time.monotonic()
        for number, start in enumerate(range(0, len(sound), 640)):
            await asyncio.sleep(max(0.0, begun + 0.02 * (number + 1) - time.monotonic()))
            await client.write_event(AudioChunk(16_000, 2, 1, sound[start : start + 640]).event())
        stopped = time.monotonic()
        await client.write_event(AudioStop().event())
        await answer(client)
        return time.monotonic() - stopped


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Real-time scheduling, where the system allows it, so that other programs do not show in the delay."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "wyoming.json")
    parser.add_argument("--times", type=int, default=5, help="recordings for the delay")
    arguments = parser.parse_args()
    rows = []

    def row(name: str, value: float, unit: str) -> None:
        rows.append({"name": name, "value": value, "unit": unit, "command": COMMAND, "bar": ""})
        print(f"{name}: {value:g} {unit}", flush=True)

    with undisturbed():
        found = asyncio.run(delays(read_audio(ROOT / "examples" / "sentence.wav")[0], arguments.times))
    row("from audio-stop to the service's answer, straight, median", round(found["straight"], 2), "ms")
    row("the same through the proxy (anon), median", round(found["proxy"], 2), "ms")
    with tempfile.TemporaryDirectory() as folder:
        clips = list(spoken(Path(folder)))
    clips.append((words_of(SENTENCES[0]), read_audio(ROOT / "examples" / "sentence.wav")[0]))
    n_words = sum(len(words) for words, _ in clips)
    row("words spoken, by flite (slt, rms, awb) and espeak-ng", n_words, "")
    with whisper() as address:
        wrong = asyncio.run(words_wrong(clips, address))
    for way, count in wrong.items():
        name = "straight" if way == "straight" else f"through the proxy as {way}"
        row(f"words that Whisper base gets wrong {name}", round(100 * count / n_words, 1), "%")
    for voice in VOICES:
        row(f"words lost by the proxy as {voice}", round(100 * (wrong[voice] - wrong["straight"]) / n_words, 1), "%")
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
