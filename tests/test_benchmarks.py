"""The commands of benchmarks/ run where a reader stands: in a clone's root, whose sources may not be built."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgevc
from edgevc.children import edgevc_command

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text("utf-8"))
NEEDS = {
    **{"f0_accuracy.py": "pyworld", "high_pass_words.py": "vctrain", "mark_price.py": "faster_whisper"},
    **dict.fromkeys(("bench_own_voice.py", "bench_bad_material.py", "bench_consent_attacks.py"), "torch"),
}
"""Packages that `make test` does not install: without them these programs say so in one line."""


def words_of(node):
    return [element.value if isinstance(element, ast.Constant) else None for element in node.elts]


@pytest.fixture
def clone(tmp_path):
    """A checkout whose core was never built, with a file that nobody may import."""
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "edgevc").mkdir()
    (tmp_path / "edgevc" / "__init__.py").write_text("raise ImportError('the sources, which are not built')\n")
    return tmp_path


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(edgevc.__file__).parents[1])}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_a_program_starts_in_a_clone_that_is_not_built(program, clone):
    command = [sys.executable, f"benchmarks/{program.name}", "--help"]
    done = subprocess.run(command, cwd=clone, env=environment(), capture_output=True, text=True, timeout=120)
    needed = NEEDS.get(program.name)
    if needed and done.returncode:
        # the line says which package is missing, and is all that there is
        assert re.fullmatch(rf"this benchmark needs {needed}; (pip install|run it as) .+\n", done.stderr)
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


def test_what_benchmarks_and_helpers_start_is_this_edgevc(clone):
    done = subprocess.run(edgevc_command("--version"), cwd=clone, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"edgevc {edgevc.__version__}\n")
    done = subprocess.run(edgevc_command("info", "none"), cwd=clone, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3
    assert done.stderr.startswith("edgevc: ")
    # words behind it are its own as well
    done = subprocess.run([*edgevc_command("info"), "none"], cwd=clone, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3
    # the other way, in the same place
    done = subprocess.run(
        [sys.executable, "-m", "edgevc", "--version"], cwd=clone, capture_output=True, text=True, timeout=120
    )
    assert "the sources, which are not built" in done.stderr


@pytest.mark.parametrize("path", [*PROGRAMS, ROOT / "tests/helpers/live_process.py"], ids=lambda path: path.name)
def test_no_program_starts_what_lies_in_the_working_folder(path):
    lists = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.List)]
    assert [words for words in map(words_of, lists) if words[1:3] == ["-m", "edgevc"]] == []
