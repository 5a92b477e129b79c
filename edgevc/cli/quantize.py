"""The command `edgevc quantize`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgevc.cli.common import help_text, termination_as_interrupt
from edgevc.cli.model_trust import add_trust_option
from edgevc.cli.progress import Progress
from edgevc.errors import (
    AudioFileError,
    ConfigError,
    EngineError,
    GateError,
    MissingPackageError,
    ModelError,
    OutputError,
)
from edgevc.files import refuse_shared_files

_SCHEMES = ("auto", "dynamic", "static", "weight-only")
_ENGINES = ("both", "onnx", "litert")
_METHODS = ("min-max", "percentile", "entropy")

_EXAMPLES = """\
  edgevc quantize my_float_model/ -o my_int8_model/
  edgevc quantize my_float_model/ -o my_int8_model/ --calib recordings/ --report report.html --board pi-4
  edgevc quantize my_float_model/ -o my_int8_model/ --scheme dynamic --keep-float "encoder/content" --gate "mel<=0.05"
  edgevc quantize model_1.onnx -o model_1.int8.onnx --state-pattern input_3=tf_op_layer_stack_2
  edgevc quantize gtcrn.onnx -o gtcrn.int8.onnx --state-pattern "*_cache=*_cache_out"
  edgevc quantize vad.onnx -o vad.int8.onnx --state-pattern state=stateN --feed sr=16000 --feed input=samples:512 \\
      --shape input=1x576
"""
HELP = help_text(
    _EXAMPLES,
    (ConfigError, ModelError, EngineError, AudioFileError, GateError, OutputError, MissingPackageError),
    {7: "below the gate, nothing written"},
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.usage = "edgevc quantize [options] MODEL -o OUT"
    parser.add_argument("model", type=Path, metavar="MODEL", help="a float bundle, or a bare .onnx graph with states")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="a folder, or an .onnx file")
    parser.add_argument("--engine", choices=_ENGINES, default="both", help="which graphs of a bundle (default both)")
    parser.add_argument(
        "--scheme",
        choices=_SCHEMES,
        default="auto",
        help="default auto: try every scheme, keep the fastest that passes --gate",
    )
    parser.add_argument("--calib", type=Path, metavar="DIR", help="recordings of speech (default: the package's own)")
    parser.add_argument(
        "--method",
        choices=_METHODS,
        default="min-max",
        help="how --scheme static finds the ranges of activations (default min-max)",
    )
    parser.add_argument(
        "--gate",
        metavar="LIMITS",
        help='what must hold, e.g. "mel<=0.1,tensor>=35,snr>=15,drift<=1.05"; with --judge also similarity, wer, ovrl',
    )
    parser.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="PATTERN",
        help="layers that stay float, e.g. encoder/input",
    )
    parser.add_argument(
        "--quantize",
        action="append",
        default=[],
        metavar="PATTERN",
        help="layers that become int8 although they are first layers or heads, which stay float by default",
    )
    parser.add_argument(
        "--state-pattern",
        action="append",
        default=[],
        metavar="IN=OUT",
        help="how a bare graph's state inputs and outputs are called, with * for what differs: "
        "'*_cache=*_cache_out' (default: state_*_in=state_*_out)",
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1x80",
        help="an input's shape where the graph leaves it open",
    )
    parser.add_argument(
        "--feed",
        action="append",
        default=[],
        metavar="NAME=KIND",
        help="what an input of a bare graph takes: samples[:HOP], spectrum[:HOP[:WINDOW]], magnitude[:HOP], logmel, "
        "zeros, ones, a number, or a .npy file of calls (default: guessed from its shape)",
    )
    parser.add_argument(
        "--report",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="write the report, .html, .json or .txt",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--board", action="append", default=[], metavar="NAME", help="estimate the time on a board")
    parser.add_argument(
        "--drift-minutes",
        type=int,
        default=10,
        metavar="N",
        help="how long the stream is in which errors may add up (default 10; below 2: not measured)",
    )
    parser.add_argument(
        "--judge",
        metavar="COMMAND",
        help='scores both bundles, e.g. "tools-python tools/evaluate.py --data DATA"',
    )
    parser.add_argument(
        "--to",
        choices=("onnx", "tflite"),
        help="convert first: MODEL is a training run's folder, or for tflite a float .onnx graph",
    )
    parser.add_argument(
        "--tools-python", metavar="PYTHON", help="the Python of the environment that holds the converter, for --to"
    )
    parser.add_argument("--force", action="store_true", help="replace what exists")
    add_trust_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code.

    Raises:
        GateError: no candidate passed.
    """
    from edgevc.quantize.pipeline import quantize
    from edgevc.quantize.report.writer import check_report, terminal, write_report
    from edgevc.quantize.settings import Settings

    reports = [("the report", path) for path in arguments.report]
    refuse_shared_files([("the model", arguments.model)], [("the output", arguments.output), *reports])
    for path in arguments.report:
        check_report(path, overwrite=arguments.force)
    if arguments.to is not None:
        from edgevc.quantize.convert_to import convert

        return convert(arguments.model, arguments.output, arguments.to, arguments.tools_python, arguments.force)
    settings = Settings(
        model=arguments.model,
        output=arguments.output,
        engine=arguments.engine,
        scheme=arguments.scheme,
        calib=arguments.calib,
        method=arguments.method,
        gate=arguments.gate,
        keep_float=tuple(arguments.keep_float),
        quantize=tuple(arguments.quantize),
        state_patterns=tuple(arguments.state_pattern),
        shapes={name: _sizes(name, text) for name, text in _pairs("--shape", arguments.shape).items()},
        feeds=_pairs("--feed", arguments.feed),
        boards=tuple(arguments.board),
        drift_minutes=arguments.drift_minutes,
        judge=arguments.judge,
        force=arguments.force,
    )
    progress = Progress(steps=True)

    def show(text: str) -> None:
        progress.show(f"{progress.seconds:4.0f} s  {text[:110]}", _step(text))

    try:
        with termination_as_interrupt():
            result = quantize(settings, show)
    finally:
        progress.close()
    for path in arguments.report:
        write_report(result, path, overwrite=arguments.force)
    print(result.to_json() if arguments.json else terminal(result))
    if not result.passed:
        raise GateError(result.notes[-1])
    return 0


def _step(text: str) -> str:
    """Leave out what changes too often for a log: "..., 40%" and "3 of 31"."""
    last = text.rpartition(", ")[2]
    return text.rpartition(", ")[0] if text.endswith("%") or " of " in last else text


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{option} is NAME=VALUE, got {text!r}")
        pairs[name] = value
    return pairs


def _sizes(name: str, text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in text.replace(",", "x").split("x"))
    except ValueError as error:
        raise ConfigError(f"--shape {name} is a list of sizes such as 1x80, got {text!r}") from error
    if any(not 1 <= size <= 1 << 16 for size in sizes):
        raise ConfigError(f"--shape {name}: every size must be in [1, {1 << 16}], got {text!r}")
    return sizes
