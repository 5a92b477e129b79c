"""What one person can hold in mind: no file above 450 lines, no function of edgevc with more than 15 ways through."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES, MAX_COMPLEXITY = 450, 15
WRITTEN_BY_HAND = {".py", ".pyi", ".cc", ".h", ".sh", ".md", ".toml", ".yml", ".yaml", ".js", ".css", ".html", ".cmake"}
GENERATED = (
    # weights
    "csrc/src/pitch_network_weights_",
    # by benchmarks/make_results.py
    "docs/results/",
    # they grow with each version and each training
    "CHANGELOG.md",
    "docs/training-log.md",
)
OURS = ("benchmarks", "csrc", "docs", "edgevc", "examples", "models", "more_models", "scripts", "tests", "tools", ".ci")
"""Folders; what is installed and built lies beside them."""
BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert, ast.comprehension),
    ast.match_case,
)


def files_by_hand():
    paths = [*ROOT.iterdir(), *(path for folder in OURS for path in (ROOT / folder).rglob("*"))]
    assert len(paths) > 400, "the folders have other names now"
    names = {path: path.relative_to(ROOT).as_posix() for path in paths if path.suffix in WRITTEN_BY_HAND}
    return [path for path, name in names.items() if path.is_file() and not name.startswith(GENERATED)]


def complexity(function):
    """Cyclomatic, as radon counts it: 1, and 1 for each branch, loop, condition in a comprehension, and/or, assert.

    A function inside is counted by itself.
    """
    found, todo = 1, list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        todo += ast.iter_child_nodes(node)
        found += isinstance(node, BRANCHES)
        if isinstance(node, ast.BoolOp):
            found += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            found += len(node.ifs)
    return found


def functions_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", complexity(node)


def test_no_file_is_longer_than_450_lines():
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in files_by_hand()}
    assert len(lengths) > 300
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


def test_no_function_of_edgevc_is_too_complex():
    found = dict(pair for path in (ROOT / "edgevc").rglob("*.py") for pair in functions_of(path))
    assert len(found) > 1000
    assert {name: n for name, n in found.items() if n > MAX_COMPLEXITY} == {}


def test_complexity_is_counted():
    source = "def f(a):\n    if a and a > 1 or not a:\n        return [x for x in a if x]\n    while a:\n        pass\n"
    assert complexity(ast.parse(source).body[0]) == 7
