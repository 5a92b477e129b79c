"""Whoever goes into a folder that a stranger filled, and runs edgevc there, runs nothing of what lies in it."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from helpers import streaming_nets as nets

import edgevc

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = ROOT / "examples" / "sentence.wav"
MODULES = (
    "json", "re", "ctypes", "struct", "hashlib", "subprocess", "logging", "numpy", "onnxruntime", "onnx",
    "ai_edge_litert", "ai_edge_quantizer", "flatbuffers", "matplotlib", "soundfile", "pyaudio", "tomlkit",
    "sitecustomize", "usercustomize",
)  # fmt: skip
TIME_LIMIT_S = 120


@pytest.fixture
def hostile(tmp_path):
    """A folder with modules that write down that they were run; a model lies beside them, as after unpacking one."""
    folder = tmp_path / "unpacked"
    shutil.copytree(ROOT / "models" / "tiny", folder)
    trap = f"open({str(tmp_path / 'executed')!r}, 'a').write(__name__ + '\\n')\nraise SystemExit(77)\n"
    for name in MODULES:
        (folder / f"{name}.py").write_text(trap)
    (folder / "edgevc").mkdir()
    (folder / "edgevc" / "__init__.py").write_text(trap)
    onnx.save_model(nets.mixer(n_blocks=1), str(folder / "net.onnx"))
    return folder


@pytest.fixture
def console_script(tmp_path):
    """What pip writes into bin/: Python puts this script's folder on the search path, not the working folder."""
    script = tmp_path / "bin" / "edgevc"
    script.parent.mkdir()
    script.write_text("import sys\nfrom edgevc.cli import main\nsys.exit(main())\n")
    return script


@pytest.mark.parametrize(
    "words",
    [
        ["voices"],
        ["info", "."],
        ["convert", SENTENCE, "../out.wav", "--voice", "slt", "--bundle", ".", "--engine", "litert"],
        [
            "convert",
            SENTENCE,
            "../out.wav",
            "--voice",
            "slt",
            "--bundle",
            ".",
            "--engine",
            "onnx",
            "--plot",
            "../p.png",
        ],
        ["bench", "--bundle", ".", "--seconds", "1"],
        ["quantize", "net.onnx", "-o", "../int8.onnx", "--scheme", "dynamic", "--drift-minutes", "1"],
        ["doctor"],
        ["devices"],
        ["live", "--raw", "--no-realtime", "--quiet", "--bundle", "."],
        ["service", "install", "--print", "--user"],
    ],
    ids=lambda words: " ".join(map(str, words[:1])),
)
def test_no_command_runs_what_lies_in_the_working_folder(words, hostile, console_script, tmp_path, monkeypatch):
    # every bundle is new to this machine, so that the checking child is started
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, console_script, *map(str, words)],
        cwd=hostile,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        errors="replace",
        text=True,
        timeout=TIME_LIMIT_S,
    )
    executed = tmp_path / "executed"
    assert not executed.exists(), executed.read_text()
    # doctor's and devices' codes speak of this machine
    assert done.returncode == 0 or words[0] in ("doctor", "devices"), done.stderr
    assert "Traceback" not in done.stderr


def test_the_unit_runs_nothing_from_the_home_that_it_starts_in(hostile, tmp_path):
    from edgevc.board.service import Scope, unit_text

    (command,) = [line[10:] for line in unit_text(Scope(user=True)).splitlines() if line.startswith("ExecStart=")]
    # systemd.service(5): here only $ and % are written otherwise than in a shell, and neither occurs
    command = command.removesuffix(" live")
    done = subprocess.run(
        f"{command} voices", shell=True, cwd=hostile, capture_output=True, text=True, timeout=TIME_LIMIT_S
    )
    assert (done.returncode, (tmp_path / "executed").exists()) == (0, False), done.stderr


def children_of_python(path):
    """The lists in a source file that begin with sys.executable, as the words behind it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "sys.executable":
            yield [element.value if isinstance(element, ast.Constant) else "" for element in node.elts[1:]]


def test_no_module_starts_a_python_that_looks_into_the_working_folder():
    started = 0
    for path in Path(edgevc.__file__).parent.rglob("*.py"):
        for words in children_of_python(path):
            started += 1
            assert "-I" in words, path
    assert started == 1, "edgevc.children starts Python, nobody else does"
