"""Who may import whom: the package stays light, the core knows no Python, and no arrow turns round."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgevc

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "edgevc"

# None in sys.modules makes every import of a name fail.
HEAVY = (
    "torch", "onnxruntime", "ai_edge_litert", "tflite_runtime", "tensorflow", "onnx", "soundfile", "matplotlib",
    "pyaudio", "prometheus_client", "scipy", "librosa", "paho", "wyoming", "vctrain",
)  # fmt: skip

# Module to the modules of ours that it may import, whether at its top or inside a function.
FRONT_END = {"_core", "config", "errors", "features", "f0", "resample"}
ALLOWED = {
    # the public names, imported when somebody asks for one
    "": {"_core", "bundle", "converter", "errors", "wavfile"},
    "errors": set(),
    "gate": set(),
    "config": {"errors"},
    "features": {"_core", "config", "errors"},
    "f0": {"_core", "config", "errors"},
    "resample": {"_core", "config", "errors"},
    "backing": {"_core", "config", "errors", "resample", "wavfile"},
    "wavfile": {"config", "errors"},
    "bundle": {"errors"},
    "backends": {"backends", "bundle", "config", "errors", "trust"},
    "children": {""},
    "trust": {"backends", "bundle", "children", "errors"},
    "converter": FRONT_END | {"backends", "bundle", "gate"},
    "convert": FRONT_END | {"backing", "bundle", "converter", "wavfile"},
    "plot": FRONT_END,
    "bench": FRONT_END | {"backends", "bundle", "converter"},
    "live": FRONT_END | {"backends", "backing", "bench", "bundle", "converter", "live", "wavfile"},
    "quantize": FRONT_END | {"", "backends", "bundle", "children", "converter", "quantize", "trust", "wavfile"},
    "cli": FRONT_END
    | {"backends", "backing", "bench", "bundle", "convert", "converter"}
    | {"live", "plot", "quantize", "trust", "wavfile"},
    "__main__": {"cli"},
}
OTHERS = {
    "backends": {"ai_edge_litert", "onnxruntime"},
    # tomllib is in the standard library from Python 3.11 on
    "live": {"prometheus_client", "pyaudio", "tomli", "tomllib"},
    "plot": {"matplotlib"},
    "quantize": {"ai_edge_litert", "ai_edge_quantizer", "flatbuffers", "onnx", "onnxruntime"},
    "wavfile": {"soundfile"},
}


MODULES = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} | {
    "_core"
}


def layer_of(path):
    """The name before the first dot: a folder is one layer."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports_of(path):
    """Full names of all that a file imports, wherever the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources():
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_lies_below_it(path):
    layer = layer_of(path)
    assert layer in ALLOWED, f"say in this test what edgevc.{layer} may import"
    for name in imports_of(path):
        first, _, rest = name.partition(".")
        if first == "edgevc":
            ours = rest.partition(".")[0]
            if ours in MODULES:
                assert ours in ALLOWED[layer], f"edgevc.{layer} must not import edgevc.{ours}"
        elif first not in sys.stdlib_module_names:
            assert first in {"numpy", *OTHERS.get(layer, ())}, f"edgevc.{layer} must not import {first}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_imports_torch_or_the_tools(path):
    # import_module() and __import__ with a literal name count as well
    text = path.read_text(encoding="utf-8")
    imported = {name.partition(".")[0] for name in imports_of(path)}
    assert not imported & {"torch", "tools", "vctrain", "tests"}
    assert not re.search(r"(import_module|__import__)\(\s*[\"'](torch|tools|vctrain)", text)


def run(code):
    return subprocess.run([sys.executable, "-c", code], cwd="/", env=environment(), capture_output=True, text=True)


def environment():
    # The child finds the same edgevc, installed or in place, from a folder that holds neither.
    return {**os.environ, "PYTHONPATH": str(Path(edgevc.__file__).parent.parent)}


def test_import_needs_numpy_and_the_core_only():
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources() if path.stem != "__main__"]
    imports = "; ".join(f"import {name.removesuffix('.__init__')}" for name in modules if "backends." not in name)
    done = run(f"{block}; import edgevc; {imports}")
    assert done.returncode == 0, done.stderr


def test_import_brings_no_more_than_it_needs():
    done = run("import sys, edgevc; print(*sorted(sys.modules))")
    loaded = set(done.stdout.split())
    assert "edgevc._core" in loaded
    assert not loaded & {"edgevc.cli", "edgevc.backends", "importlib.metadata", "asyncio", "email", *HEAVY}


def test_help_does_not_wait_for_the_converter():
    done = run("import sys\nfrom edgevc.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"edgevc.converter", "edgevc.bench", "edgevc.plot", *HEAVY}


def includes_of(path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(encoding="utf-8"), re.MULTILINE)


CORE = sorted([*(ROOT / "csrc" / "src").rglob("*"), *(ROOT / "csrc" / "include").rglob("*")])


@pytest.mark.parametrize("path", [p for p in CORE if p.is_file()], ids=lambda path: path.name)
def test_the_core_knows_no_python_prints_nothing_and_reads_no_file(path):
    forbidden = {"iostream", "fstream", "cstdio", "stdio.h", "filesystem", "Python.h", "print"}
    for header in includes_of(path):
        assert header not in forbidden
        assert not header.startswith(("pybind11", "numpy/"))
    assert not re.search(r"\b(printf|getenv|std::cout|std::cerr|fopen|exit|abort)\s*\(", path.read_text())


def test_only_the_bindings_include_pybind11():
    bindings = sorted((ROOT / "csrc" / "bindings").iterdir())
    assert any("pybind11/pybind11.h" in includes_of(path) for path in bindings)


def test_the_tools_are_not_in_the_wheel():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^wheel\.packages = \["edgevc"\]$', text, re.MULTILINE)


def test_every_public_name_can_be_imported_from_the_package():
    import edgevc

    for name in edgevc.__all__:
        assert getattr(edgevc, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgevc.nothing  # noqa: B018
