"""_core.pyi says what the extension module really has."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from edgevc import _core

STUB = ast.parse((Path(__file__).resolve().parent.parent / "edgevc" / "_core.pyi").read_text(encoding="utf-8"))
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def members(node):
    """Name to "property", "attribute" or the function's node."""
    found = {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in item.decorator_list)
            found[item.name] = "property" if is_property else item
        elif isinstance(item, ast.AnnAssign):
            found[item.target.id] = "attribute"
    return found


def test_the_stub_has_every_class_of_the_module_and_no_other():
    public = {name for name in vars(_core) if not name.startswith("__")}
    functions = {node.name for node in STUB.body if isinstance(node, ast.FunctionDef)}
    assert set(CLASSES) | functions == public


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_the_members_that_the_stub_gives(name):
    real = getattr(_core, name)
    expected = {n for n in vars(real) if re.match("__init__|__copy__|[^_]", n)}
    assert set(members(CLASSES[name])) == expected


@pytest.mark.parametrize("name", CLASSES)
def test_members_are_of_the_kind_that_the_stub_gives(name):
    for member, kind in members(CLASSES[name]).items():
        real = inspect.getattr_static(getattr(_core, name), member)
        if kind == "property":
            assert isinstance(real, property), f"{name}.{member}"
        elif kind == "attribute":
            assert not callable(real), f"{name}.{member}"
        else:
            assert callable(real), f"{name}.{member}"


def arguments_of(signature):
    """Names of a pybind11 signature such as `f(self: X, a: int, *, b: float = 1.0) -> int`, without self."""
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    depth, parts, current = 0, [], ""
    for character in inside:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    parts = [part.strip() for part in [*parts, current] if part.strip()]
    names = [(re.split(r"[:=]", part)[0].strip(), "=" in part) for part in parts]
    return [entry for entry in names if entry[0] not in ("self", "arg0", "/")]


def stub_arguments(function):
    spec = function.args
    positional = [argument.arg for argument in spec.args][1:]
    with_default = len(spec.defaults)
    entries = [(name, i >= len(positional) - with_default) for i, name in enumerate(positional)]
    if spec.kwonlyargs:
        entries.append(("*", False))
        entries += [(a.arg, default is not None) for a, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]
    return entries


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_have_the_names_and_defaults_that_the_stub_gives(name):
    for member, function in members(CLASSES[name]).items():
        if not isinstance(function, ast.FunctionDef) or member == "__copy__":
            continue
        signature = getattr(getattr(_core, name), member).__doc__.splitlines()[0]
        assert arguments_of(signature) == stub_arguments(function), f"{name}.{member}: {signature}"
