"""What is fuzzed: each target reads bytes as edgevc would; only `EdgevcError` may come out of it."""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).with_name("corpus")


def _manifest(data: bytes) -> None:
    from edgevc.bundle.reader import ModelBundle

    class Nothing:
        """A bundle without files."""

        def size(self, path: str) -> int:
            raise OSError("no such file")

        def pieces(self, path: str, limit: int) -> bytes:
            raise OSError("no such file")

    ModelBundle(Path("fuzzed"), Nothing(), sealed(data))


def sealed(data: bytes) -> bytes:
    """Return a manifest whose own hash is right where it has one, so that the rules behind it are reached."""
    try:
        old = json.loads(data)["manifest_sha256"].encode("ascii")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return data
    if len(old) != 64:
        return data
    open_ = data.replace(old, b"-" * 64)
    return open_.replace(b"-" * 64, hashlib.sha256(open_).hexdigest().encode())


def _zip(data: bytes) -> None:
    from edgevc.bundle import ModelBundle

    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(data)
        file.flush()
        ModelBundle.open(file.name)


def _onnx(data: bytes) -> None:
    from edgevc.engines.onnx_file import check_onnx

    check_onnx(data, "fuzzed.onnx")


def _tflite(data: bytes) -> None:
    from edgevc.engines.tflite_file import read_tflite

    read_tflite(data, "fuzzed.tflite", "hops1")


def _wav(data: bytes) -> None:
    from edgevc.audio.reader import AudioReader

    with AudioReader(io.BytesIO(data)) as reader:
        total = 0
        for block in reader.blocks(4096):
            total += len(block)
            if total > 1 << 20:
                break


def _settings(data: bytes) -> None:
    from edgevc.live.settings import LIVE

    parser = argparse.ArgumentParser()
    LIVE.add_arguments(parser)
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        LIVE.resolve_with_origins(parser.parse_args(["--config", file.name]), {})


def _control(data: bytes) -> None:
    from edgevc.control.server import _Conversation

    server = _server()
    conversation = _Conversation(server._answer)
    for start in range(0, len(data), 700):
        conversation.receive(data[start : start + 700])


@functools.cache
def _server():
    from helpers.live_doubles import QUIET, Stage, noise, playing

    from edgevc.control.server import ControlServer

    # a live session on a simulated sound device, which is never started
    folder = tempfile.mkdtemp()
    return ControlServer(f"unix:{folder}/control", Stage(playing(noise(1)), QUIET).session, lambda: None)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "manifest": _manifest, "zip": _zip, "onnx": _onnx, "tflite": _tflite, "wav": _wav, "settings": _settings,
    "control": _control,
}  # fmt: skip


def seeds(target: str) -> Iterator[bytes]:
    """Give inputs to begin with: good ones, and what was found before."""
    yield from _good(target)
    for path in sorted((CORPUS / target).glob("*")):
        yield path.read_bytes()


def _good(target: str) -> Iterator[bytes]:
    from helpers.tiny_bundle import TinyNet, onnx_encoder, tflite_encoder

    if target == "manifest":
        yield (ROOT / "models" / "tiny" / "manifest.json").read_bytes()
    elif target == "zip":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("manifest.json", "{}")
            file.writestr("a.f32", "xxxx")
        yield archive.getvalue()
    elif target == "onnx":
        data = onnx_encoder(TinyNet())
        yield from (data, data[:3000])
    elif target == "tflite":
        yield tflite_encoder(TinyNet())
    elif target == "wav":
        yield from _sounds()
    elif target == "settings":
        yield b'[live]\nvoice = "slt"\nblock_ms = 10.0\neq = [[200, -3, 1.0]]\ngate = true\nchunk_hops = 2\n'
        yield b'[live]\nrecord = ["a", "b"]\ncontrol = "127.0.0.1:4010"\nmetrics = "[::1]:9464"\n'
    elif target == "control":
        yield b'{"command": "status"}\n{"command": "mode", "value": "mute"}\n{"command": "semitones", "value": -3.5}\n'
        yield b'{"command": "subscribe", "value": ["state"]}\nGET / HTTP/1.1\r\n\r\n'


def _sounds() -> Iterator[bytes]:
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    samples = np.arange(100, dtype="<i2").tobytes()
    yield b"RIFF" + struct.pack("<I", 36 + 200) + b"WAVEfmt " + form + b"data" + struct.pack("<I", 200) + samples
    sizes = struct.pack("<IQQQI", 28, 100, 8, 4, 0)
    yield b"RF64" + b"\xff" * 4 + b"WAVEds64" + sizes + b"fmt " + form + b"data" + b"\xff" * 4 + bytes(8)
    yield b"fLaC\0\0\0\x22" + bytes(34)
    yield b"OggS" + bytes(60)
