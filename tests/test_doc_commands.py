"""The commands that the documents show run as they stand there, one after the other, with the files that they name.

docs/quantize.md, docs/signing.md and docs/relay.md have tests of their own, which say so below.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgevc
from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import write_wav
from edgevc.errors import NO_MARK
from edgevc.limits import SAMPLE_RATE

ROOT = Path(__file__).resolve().parent.parent
RUN_HERE = (
    "README.md", "examples/README.md", "docs/commands.md", "docs/convert.md", "docs/many-files.md", "docs/mark.md"
)  # fmt: skip
ELSEWHERE = {
    # without end, or of a sound card
    "live": "tests/live/test_virtual_device.py",
    "latency": "tests/live/test_latency.py",
    "control": "tests/live/test_control.py",
    "devices": "tests/live/test_devices.py",
    "wyoming": "tests/wyoming/test_wyoming_service.py",
    # of the machine
    "doctor": "tests/live/test_doctor.py",
    "tune": "tests/live/test_tune.py",
    "service": "tests/live/test_service.py",
    # whose documents are typed in by these tests
    "quantize": "tests/quantize/test_document.py",
    "info": "tests/quantize/test_document.py",
    "bench": "tests/quantize/test_document.py",
    "relay": "tests/relay/test_relay_docs.py",
    **dict.fromkeys(("keygen", "sign", "verify", "trust"), "tests/signing/test_signed_models.py"),
    # with a certificate, and a Home Assistant
    "convert me.wav voice.wav --voice slt --c2pa-cert": "tests/mark/test_content_credentials.py",
    "commands from-ha": "tests/house/test_from_ha.py",
    # with the engine that it is for
    "convert me.wav other.wav --bundle studio": "tests/unit/test_more_models.py",
    # with PyTorch
    "voice make": "tests/tools/test_voice_maker.py",
    # with a microphone
    "voice record": "tests/voices/test_record.py",
    "voice mix": "tests/voices/test_mixtures.py",
    **dict.fromkeys(
        ("voice", "voices", "convert me.wav other.wav --voice me.voice", "convert me.wav other.wav --voice me"),
        "tests/voices/test_own_voices.py",
    ),
    "encrypt": "tests/runtime/test_encrypted_models.py",
    # raw sound of a sound card
    "convert - -": "tests/test_convert.py",
    "detect --raw": "tests/mark/test_command.py",
    # of a cluster, and of disks and storages that it sees
    **dict.fromkeys(("convert s3://bucket/corpus", "convert /shared/corpus"), "tests/cluster/test_cluster.py"),
    # a model that is made by a training, or encrypted
    "convert me.wav other.wav --voice kathleen --bundle WORK/models/default": "tests/tools/test_whole_recipe.py",
    "convert me.wav other.wav --voice slt --bundle model.zip.age": "tests/runtime/test_encrypted_models.py",
}
"""Beginning of a command to the tests of it."""
EXIT_CODES = {"detect recordings/ --json": NO_MARK}
"""Where it is not 0: recordings of a microphone are not marked."""


def shown(page):
    """Commands of edgevc and programs of examples/ that a page shows, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        if language not in ("", "sh"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"\s\|\s|&&", line):
                if not re.match(r"\s*(\.venv/bin/)?(edgevc|python) [a-z]", command):
                    continue
                words = shlex.split(command, comments=True)
                if words[0].endswith("edgevc") or words[1].startswith("examples/"):
                    yield [words[0].rpartition("/")[2], *words[1:]]


def elsewhere(words):
    return next(
        (path for start, path in ELSEWHERE.items() if f"{shlex.join(words[1:])} ".startswith(f"{start} ")), None
    )


PAGES = [path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *ROOT.glob("*/README.md")]]
PAGES += sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_run_by_a_test(page):
    for words in shown(page):
        path = elsewhere(words)
        assert page in RUN_HERE if path is None else (ROOT / path).is_file(), f"{page}: who runs {shlex.join(words)}?"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A working directory with what the commands name, and `edgevc` and `python` on the path."""
    sentence = np.asarray(read_audio(ROOT / "examples" / "sentence.wav")[0], np.float32)[: 3 * SAMPLE_RATE]
    for folder in ("recordings", "corpus/speaker1", "corpus/speaker2", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("me", "one", "recordings/a", "corpus/speaker1/a", "corpus/speaker2/b"):
        write_wav(tmp_path / f"{name}.wav", sentence, SAMPLE_RATE)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    import soundfile

    soundfile.write(tmp_path / "two.flac", sentence, SAMPLE_RATE)
    soundfile.write(tmp_path / "band.flac", 0.1 * sentence, SAMPLE_RATE)
    converted = edgevc.VoiceConverter("default").convert(sentence, voice="slt")
    write_wav(tmp_path / "voice.wav", converted, SAMPLE_RATE)
    soundfile.write(tmp_path / "slowed-down.ogg", np.tile(converted, 3), SAMPLE_RATE)
    (tmp_path / "seed.txt").write_text("a secret\n")
    (tmp_path / "seed.txt").chmod(0o600)
    (tmp_path / "voices.csv").write_text("file,voice\ncorpus/speaker1/a.wav,slt\n")
    grammar = re.search(
        r"^```toml\n(.*?)^```", (ROOT / "docs/commands.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "home.toml").write_text(grammar[1])
    (tmp_path / "labels.csv").write_text("file,command,room,kind\na.wav,light,kitchen,lamp\n")
    for name, words in (("edgevc", '-P -m edgevc "$@"'), ("python", '"$@"')):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nexec {sys.executable} {words}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", RUN_HERE)
def test_commands_run_in_the_order_of_the_page(page, desk):
    ran = 0
    for words in shown(page):
        if elsewhere(words):
            continue
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.returncode == EXIT_CODES.get(shlex.join(words[1:]), 0), f"{shlex.join(words)}: {done.stderr}"
        ran += 1
    assert ran
