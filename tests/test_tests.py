"""Rules that the tests keep: what they assert can fail, nothing is skipped, and nothing private is touched."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
FILES = sorted([*FOLDER.rglob("*.py"), *(FOLDER.parent / "benchmarks").rglob("*.py")])
ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
KNOWN_PRIVATE = {"edgevc._core", "edgevc._portaudio", "os._exit"}
"""The extension modules, and a function of Python's own."""


@cache
def tree_of(path):
    return ast.parse(path.read_text("utf-8"))


def is_order(node):
    return isinstance(node, ast.Compare) and any(isinstance(operator, ORDERS) for operator in node.ops)


def lets_nan_through(node):
    """Whether a part of an assertion holds for NaN.

    That is `not x > 1`, `~(x > 1)`, `max(list) < 1`, and `[x for x in list if x > 1] == []`. Python's max() and min()
    pass over NaN wherever it does not come first; NumPy's return it.
    """
    inverted = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert)
    if inverted and any(map(is_order, ast.walk(node.operand))):
        return True
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq) and ast.unparse(node.comparators[0]) == "[]":
        return isinstance(node.left, ast.ListComp) and any(
            is_order(found)
            for part in node.left.generators
            for test in part.ifs
            for found in ast.walk(test)
            # a length and a number of lines are never NaN
            if not (isinstance(found, ast.Compare) and ast.unparse(found.left).startswith("len("))
        )
    return is_order(node) and any(
        isinstance(side, ast.Call) and ast.unparse(side.func) in ("max", "min") and len(side.args) == 1
        for side in (node.left, *node.comparators)
    )


def weak_bounds(tree):
    return [
        f"{assertion.lineno}: {ast.unparse(assertion.test)}"
        for assertion in ast.walk(tree)
        if isinstance(assertion, ast.Assert) and any(map(lets_nan_through, ast.walk(assertion.test)))
    ]


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_names(tree):
    """What begins with an underscore and is not the file's own: attributes, imports, names that are patched."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if ast.unparse(node.value) not in ("self", "cls") and ast.unparse(node) not in KNOWN_PRIVATE:
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if is_private(alias.name) and f"{node.module}.{alias.name}" not in KNOWN_PRIVATE:
                    yield f"{node.lineno}: from {node.module} import {alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "setattr",
            "getattr",
            "delattr",
        ):
            for word in node.args[:2]:
                if isinstance(word, ast.Constant) and re.search(r"(^|\.)_[a-z]", str(word.value), re.IGNORECASE):
                    yield f"{node.lineno}: {ast.unparse(node)}"


def retries(tree):
    """Where a failed assertion is caught, which hides what fails by chance."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or "AssertionError" in ast.unparse(node.type)):
            yield node.lineno


def skips(tree):
    """Where a test may be left out or may fail."""
    for node in ast.walk(tree):
        named = isinstance(node, ast.Attribute) and node.attr in ("skip", "skipif", "xfail", "importorskip")
        if named and ast.unparse(node.value) in ("pytest", "pytest.mark", "unittest"):
            yield f"{node.lineno}: {ast.unparse(node)}"


def findings(rule):
    found = {path.relative_to(FOLDER.parent): list(rule(tree_of(path))) for path in FILES}
    assert len(found) > 150, "the folders have other names now"
    return {str(path): lines for path, lines in found.items() if lines}


def test_no_bound_holds_for_a_value_that_is_no_number():
    assert findings(weak_bounds) == {}


def test_tests_touch_nothing_private():
    found = findings(private_names)
    assert {path: lines for path, lines in found.items() if path.startswith("tests/")} == {}


def test_a_failed_assertion_is_caught_in_one_place_only():
    """There it is tried again only where it was measured that the machine was late, and counted in the summary."""
    assert findings(retries).keys() == {"tests/helpers/pulse.py"}


def test_nothing_is_skipped():
    assert findings(skips) == {}


def test_helpers_lie_in_one_package():
    """No test takes from another test's file; packages beside `helpers` make damage, and are started as programs."""
    taken = [
        f"{path.name}: {ast.unparse(node)}"
        for path in FOLDER.rglob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and re.match(r"(.*\.)?(test_|conftest)", node.module or "")
    ]
    assert taken == []
    assert {path.parent.name for path in FOLDER.rglob("__init__.py")} == {"helpers", "fuzz", "hostile"}


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (weak_bounds, "assert not np.abs(x).max() > 1e-4"),
        (weak_bounds, "assert not any(v > 1 for v in values)"),
        (weak_bounds, "assert np.all(~(x > 1))"),
        (weak_bounds, "assert max(errors) < 1"),
        (weak_bounds, "assert [row for row in rows if row > 1] == []"),
        (private_names, "session._queue.clear()"),
        (private_names, "from edgevc.live.session import _helper"),
        (private_names, "monkeypatch.setattr(session, '_LIMIT', 3)"),
        (private_names, "monkeypatch.setattr('edgevc.live.session._LIMIT', 3)"),
        (retries, "try:\n    attempt()\nexcept (OSError, AssertionError):\n    pass"),
        (retries, "try:\n    attempt()\nexcept:\n    pass"),
        (skips, "@pytest.mark.skipif(True, reason='')\ndef test(): pass"),
    ],
)
def test_each_rule_finds_what_it_is_for(rule, source):
    assert len(list(rule(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (
            weak_bounds,
            "assert np.abs(x).max() < 1\nassert not port.wait(1 << 20)\nassert max(a, b) < 3\nassert x == []",
        ),
        (private_names, "self._mine = edgevc._core.FrameRing(3)\nprint(session.__dict__)"),
        (retries, "try:\n    attempt()\nexcept OSError:\n    pass"),
        (skips, "sound.skip(3)"),
    ],
)
def test_each_rule_passes_what_is_right(rule, source):
    assert list(rule(ast.parse(source))) == []
