"""What is fuzzed: each target reads bytes as edgevc would; only `EdgevcError` may come out of it."""

from __future__ import annotations

import argparse
import asyncio
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

from edgevc.recognition.grammar import Grammar

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


class _Pipe(io.RawIOBase):
    """Cannot seek, and gives a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        part = self._content.read(min(len(buffer), 501))
        buffer[: len(part)] = part
        return len(part)


def _audio(data: bytes) -> None:
    """WAV, and what libsndfile reads: from a file and from a pipe."""
    from edgevc.audio.reader import AudioReader

    for source in (io.BytesIO(data), _Pipe(data)):
        with AudioReader(source) as reader:
            total = 0
            for block in reader.blocks(4096):
                assert np.isfinite(block).all(), "a sample is no number"
                total += len(block)
                # a small compressed file can hold hours
                if total > 1 << 18:
                    break


def _grammar(parse: Callable[..., Grammar]) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        from edgevc.recognition.automaton import compile_grammar

        compile_grammar(parse(data.decode("utf-8", "replace")))

    return read


def _toml_grammar(text: str) -> Grammar:
    from edgevc.recognition.toml_grammar import parse_toml

    return parse_toml(text)


def _rhino(text: str) -> Grammar:
    from edgevc.recognition.rhino import parse_rhino

    return parse_rhino(text)


def _hassil(text: str) -> Grammar:
    from edgevc.recognition.home_assistant import parse_home_assistant

    return parse_home_assistant(text, {"name": ["desk lamp"], "area": ["kitchen"]}, skip_wildcards=True)


def _settings(data: bytes) -> None:
    from edgevc.live.settings import LIVE

    parser = argparse.ArgumentParser()
    LIVE.add_arguments(parser)
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        LIVE.resolve_with_origins(parser.parse_args(["--config", file.name]), {})


def _control(data: bytes) -> None:
    conversation = _server().conversation()
    for start in range(0, len(data), 700):
        conversation.receive(data[start : start + 700])


@functools.cache
def _server():
    from helpers.live_doubles import QUIET, Stage, noise, playing

    from edgevc.control.server import ControlServer

    # a live session on a simulated sound device, which is never started
    folder = tempfile.mkdtemp()
    return ControlServer(f"unix:{folder}/control", Stage(playing(noise(1)), QUIET).session, lambda: None)


def _wyoming(data: bytes) -> None:
    from edgevc.wyoming.frames import MAX_HEADER, read_frame
    from edgevc.wyoming.info import named_anew, original_name
    from edgevc.wyoming.sound import AudioFormat, timestamp_of

    async def read() -> None:
        reader = asyncio.StreamReader(limit=MAX_HEADER)
        reader.feed_data(data)
        reader.feed_eof()
        while first := await reader.read(1):
            frame = await read_frame(reader, first)
            assert b"".join(frame.raw) in data
            for use in (named_anew, original_name):
                use(frame, "edgevc")
            if frame.type == "audio-chunk":
                AudioFormat.of(frame.data()).decode(b"")
                timestamp_of(frame)

    asyncio.run(read())


TARGETS: dict[str, Callable[[bytes], None]] = {
    "manifest": _manifest, "zip": _zip, "onnx": _onnx, "tflite": _tflite, "audio": _audio, "settings": _settings,
    "control": _control, "grammar_toml": _grammar(_toml_grammar), "grammar_rhino": _grammar(_rhino),
    "grammar_hassil": _grammar(_hassil), "wyoming": _wyoming,
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
    elif target == "audio":
        yield from _sounds()
    elif target == "settings":
        yield b'[live]\nvoice = "slt"\nblock_ms = 10.0\neq = [[200, -3, 1.0]]\ngate = true\nchunk_hops = 2\n'
        yield b'[live]\nrecord = ["a", "b"]\ncontrol = "127.0.0.1:4010"\nmetrics = "[::1]:9464"\n'
    elif target == "control":
        yield b'{"command": "status"}\n{"command": "mode", "value": "mute"}\n{"command": "semitones", "value": -3.5}\n'
        yield b'{"command": "subscribe", "value": ["state"]}\nGET / HTTP/1.1\r\n\r\n'
    elif target == "wyoming":
        yield b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}, "payload_length": 2}\nab'
        yield b'{"type": "info", "data_length": 26}\n{"asr": [{"name": "abc"}]}{"type": "select-program"}\n'
    elif target.startswith("grammar"):
        yield GRAMMARS[target].encode()


GRAMMARS = {
    "grammar_toml": """
[[command]]
name = "light"
say = ["turn <onoff> [the] {room} light[s]", "{room:where} (light;now) to {percent}%"]
room = ["kitchen", { in = "living room|lounge", out = "living_room" }]
percent = { from = 0, to = 100, step = 5 }
slots = { domain = "light" }

[lists]
room = ["kitchen", "bed room"]

[rules]
onoff = "(on|off)"
""",
    "grammar_rhino": """
context:
  expressions:
    orderDrink:
      - "[get, give] me (a, an) $size:size @drink"
      - "it's for $pv.TwoDigitInteger:number"
  slots:
    size: ["small", "very large"]
  macros:
    drink: ["coffee", "(green) tea"]
""",
    "grammar_hassil": """
language: en
intents:
  HassTurnOn:
    data:
      - sentences: ["turn on [the] {name}", "<what_is> {brightness:level} [in {area}]"]
        slots: { domain: light }
        excludes_context: { domain: [cover] }
lists:
  brightness: { range: { from: -5, to: 100, step: 5 } }
  colour: { values: ["red", { in: "tele(vision|phone)", out: tv }] }
  anything: { wildcard: true }
expansion_rules:
  what_is: "(what is|what's)"
""",
}


def _sounds() -> Iterator[bytes]:
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    samples = np.arange(100, dtype="<i2").tobytes()
    yield b"RIFF" + struct.pack("<I", 36 + 200) + b"WAVEfmt " + form + b"data" + struct.pack("<I", 200) + samples
    sizes = struct.pack("<IQQQI", 28, 100, 8, 4, 0)
    yield b"RF64" + b"\xff" * 4 + b"WAVEds64" + sizes + b"fmt " + form + b"data" + b"\xff" * 4 + bytes(8)
    yield b"fLaC\0\0\0\x22" + bytes(34)
    yield b"OggS" + bytes(60)
