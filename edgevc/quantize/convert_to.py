"""`--to`: from a training run or a float ONNX graph to the files that can be quantized, by other people's converters.

Converters bring PyTorch or TensorFlow in versions of their own, so they run in an environment of their own, named by
`--tools-python`, and never in this process.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgevc.errors import ConfigError, EngineError, ModelError
from edgevc.quantize.graph_file import MAX_ONNX_BYTES, read_onnx
from edgevc.quantize.write import staged

TIME_LIMIT_S = 1800

ONNX_TO_TFLITE = (
    "python3 -m venv onnx2tf-env && onnx2tf-env/bin/pip install onnx2tf==1.29.24 tensorflow==2.19.0 tf-keras==2.19.0 "
    "onnx==1.19.1 onnxsim ai-edge-litert==2.1.0 psutil"
)
RUN_TO_ONNX = "python3 -m venv tools-env && tools-env/bin/pip install -r tools/requirements.txt"
RUN_TO_TFLITE = "python3 -m venv litert-env && litert-env/bin/pip install -r tools/requirements-litert.txt"
"""How to make the environments; the versions are those that were tried."""


def convert(source: Path, target: Path, to: str, python: str | None, overwrite: bool) -> int:
    """Convert and write; return the exit code 0.

    Args:
        source: a run's folder with encoder.pt and decoder.pt, or for "tflite" a float .onnx graph with states.
        target: a folder, or for a graph a .tflite file.
        to: "onnx" or "tflite".
        python: the interpreter of the converter's environment.
        overwrite: replace an existing target.

    Raises:
        ConfigError: the source is neither, or no environment is named; the message says how to make it.
        EngineError: the converter fails.
    """
    if source.is_dir() and (source / "encoder.pt").is_file():
        return _from_run(source, target, to, python, overwrite)
    if source.suffix.lower() == ".onnx" and to == "tflite":
        return _from_onnx(source, target, python, overwrite)
    raise ConfigError(
        f"--to {to} converts a training run (a folder with encoder.pt and decoder.pt)"
        + (" or a float .onnx graph" if to == "tflite" else "")
        + f", got {source}"
    )


def _from_run(run: Path, target: Path, to: str, python: str | None, overwrite: bool) -> int:
    recipe = RUN_TO_ONNX if to == "onnx" else RUN_TO_TFLITE
    tools = Path(__file__).resolve().parents[2] / "tools"
    script = tools / f"export_{'onnx' if to == 'onnx' else 'litert'}.py"
    if not script.is_file():
        raise ConfigError(f"converting a training run needs edgevc's source tree, {script} is missing; clone it")
    interpreter = _interpreter(python, recipe)
    with staged(target, MAX_ONNX_BYTES, overwrite=overwrite) as folder:
        folder.mkdir()
        words = ["--run", str(run.resolve()), "--out", str(folder.resolve())]
        _call([interpreter, str(script), *words], recipe, tools.parent)
    return 0


def _from_onnx(source: Path, target: Path, python: str | None, overwrite: bool) -> int:
    if target.suffix.lower() != ".tflite":
        raise ConfigError(f"--to tflite writes a .tflite file, got {target}")
    if not source.is_file() or source.stat().st_size > MAX_ONNX_BYTES:
        raise ModelError(f"{source} must be a file of at most {MAX_ONNX_BYTES >> 20} MiB; check the path")
    model = read_onnx(source.read_bytes(), str(source))
    inputs = [value.name for value in model.graph.input]
    for name in inputs:
        # they become arguments of the converter, which would take it for an option
        if name.startswith("-"):
            raise ModelError(f"{source}: the name of an input must not begin with '-', got {name[:80]!r}; rename it")
    interpreter = _interpreter(python, ONNX_TO_TFLITE)
    with staged(target, MAX_ONNX_BYTES, overwrite=overwrite) as made:
        folder = made.parent / "converted"
        _call(
            [
                # erf as polynomials, else the file needs TensorFlow's own kernels; names and order as in the source
                # -I: the working folder's files are not its modules
                *(interpreter, "-I", "-m", "onnx2tf", "-i", str(source.resolve()), "-o", str(folder)),
                *("-rtpo", "Erf", "-coion", "-osd", "-n", "-kat", *inputs),
            ],
            ONNX_TO_TFLITE,
        )
        found = sorted(folder.glob("*_float32.tflite"))
        if not found:
            raise EngineError(f"onnx2tf must write a float32 .tflite file for {source}, it did not; run it by itself")
        found[0].rename(made)
    return 0


def _interpreter(python: str | None, recipe: str) -> str:
    if python is None:
        raise ConfigError(
            f"this conversion needs an environment of its own; make it:\n  {recipe}\n"
            "then name its Python with --tools-python"
        )
    return python


def _call(command: Sequence[str], recipe: str, source_tree: Path | None = None) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if source_tree is not None:
        # the tools import edgevc, which their environment need not have installed
        environment["PYTHONPATH"] = os.pathsep.join([str(source_tree), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(  # noqa: S603
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"cannot run {command[0]}: {error}; the environment is made with:\n  {recipe}") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or ["it said nothing"])[-1][:400]
        raise EngineError(
            f"{' '.join(command[1:4])} ended with status {done.returncode}: {said}; "
            f"the environment is made with:\n  {recipe}"
        )
