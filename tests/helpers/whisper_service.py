"""A real recogniser: wyoming-faster-whisper on Whisper's base model, made by scripts/whisper_server.sh."""

import contextlib
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from edgevc.wyoming.address import Address
from helpers.wyoming_peers import AsyncTcpClient, Transcribe, Transcript, answer, speak

ROOT = Path(__file__).resolve().parents[2]
# tests have a cache of their own; this one outlives them
ENVIRONMENT = dict(os.environ)
START_SECONDS = 300
ANSWER_SECONDS = 300


@contextlib.contextmanager
def whisper():
    """Run the service; gives its address."""
    made = subprocess.run(
        ["sh", ROOT / "scripts" / "whisper_server.sh"], env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True
    )
    folder = Path(made.stdout.strip())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [folder / "venv" / "bin" / "python", "-m", "wyoming_faster_whisper"]
    command += ["--uri", f"tcp://127.0.0.1:{port}", "--model", folder / "model", "--data-dir", folder / "data"]
    command += ["--language", "en", "--compute-type", "int8", "--cpu-threads", "1", "--beam-size", "1"]
    command += ["--stt-library", "faster-whisper", "--local-files-only"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**ENVIRONMENT, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}, stdout=log, stderr=log
        )
        try:
            _wait_for(port, process, folder / "log")
            yield Address("127.0.0.1", port)
        finally:
            process.terminate()
            process.wait()


def _wait_for(port, process, log):
    end = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


async def transcript_of(port, sound, form):
    """Return the words that a service hears, in small letters, and the seconds that it took behind the last one."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Transcribe(language="en").event())
        await speak(client, sound, form)
        said = time.monotonic()
        event = await answer(client)
        assert event is not None
        return words_of(Transcript.from_event(event).text), time.monotonic() - said


def words_of(text):
    return re.findall(r"[a-z']+", text.lower())
