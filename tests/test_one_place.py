"""What edgevc does in one place only: writing files, percentiles, running graphs, progress, silence on stderr."""

import ast
from pathlib import Path

import pytest

import edgevc

PACKAGE = Path(edgevc.__file__).parent
RULES = {
    # temporary files are those of `files`, see below
    "tempfile.mkstemp()": set(),
    "tempfile.NamedTemporaryFile()": set(),
    # a folder takes another one's place
    "path.rename(other)": {"quantize.convert_to", "quantize.pipeline", "quantize.write"},
    # 50, 95, 99 and the largest; the others are one number each, of an axis and of both ends
    "np.percentile(values, 50)": {
        *("percentiles", "mark.correlator", "quantize.calibrate"),
        *("voice_maker.check", "voice_maker.make", "voice_maker.speaker"),
    },
    "np.quantile(values, 0.5)": set(),
    # the runner; folding writes a graph down in a child, and runs nothing else
    "onnxruntime.InferenceSession(data)": {"engines.onnx", "quantize.folding"},
    # the runner; the child that tries a graph first
    "Interpreter(model_content=data)": {"engines.litert", "engines.probe"},
    # stderr is silenced; a closed stdout, and the sound on stdout of a worker, are something else
    "os.dup2(a, b)": {"stderr", "cli.common", "batch.worker"},
    "logging.getLogger().addHandler(x)": {"cli.common"},
    "logging.basicConfig()": set(),
}
"""A call to the modules that have it."""
PROGRESS = {"cli.progress", "terminal.view"}
"""A command's line that is written over, and that of a live session, which messages come in between."""


def module_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


TREES = {module_of(path): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def last_words(call):
    """`os.replace` of os.replace(...); of a method the name alone, since whose it is does not stand there."""
    words = ast.unparse(call.func).rsplit(".", 2)
    owners = ("os", "np", "tempfile", "logging", "onnxruntime")
    return ".".join(words[-2:]) if len(words) > 1 and words[-2] in owners else words[-1]


def modules_with(call):
    wanted = last_words(ast.parse(call).body[0].value)
    return {
        name
        for name, tree in TREES.items()
        if any(isinstance(node, ast.Call) and last_words(node) == wanted for node in ast.walk(tree))
    }


@pytest.mark.parametrize("call", RULES)
def test_one_place_does_it(call):
    assert modules_with(call) == RULES[call]


def test_two_modules_write_over_a_line():
    erased = {
        name
        for name, tree in TREES.items()
        if any(isinstance(node, ast.Constant) and "\033[K" in str(node.value) for node in ast.walk(tree))
    }
    assert erased == PROGRESS


def test_one_function_asks_for_the_users_folders():
    asking = {
        name
        for name, tree in TREES.items()
        if any(
            isinstance(node, ast.Call)
            and ast.unparse(node.func).startswith("os.environ")
            and any(isinstance(word, ast.Constant) and str(word.value).startswith("XDG_") for word in node.args)
            for node in ast.walk(tree)
        )
    }
    assert asking == {"files"}


def test_one_module_writes_files_that_appear_whole_or_not_at_all():
    exclusive = {name for name, tree in TREES.items() if any(map(is_exclusive, ast.walk(tree)))}
    assert exclusive == {"files"}


def is_exclusive(node):
    """Whether a file is created that may not be there, which is how an atomic writer begins."""
    return isinstance(node, ast.Attribute) and node.attr == "O_EXCL"
