"""The command `edgevc quantize`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgevc.errors import ConfigError, GateError

_SCHEMES = ("auto", "dynamic", "static", "weight-only")
_ENGINES = ("both", "onnx", "litert")
_METHODS = ("min-max", "percentile", "entropy")

_EXAMPLES = """examples:
  edgevc quantize my_float_model/ -o my_int8_model/
  edgevc quantize my_float_model/ -o my_int8_model/ --calib recordings/ --report report.html --board pi-4
  edgevc quantize my_float_model/ -o my_int8_model/ --scheme dynamic --keep-float "encoder/content" --gate "mel<=0.05"
  edgevc quantize model_1.onnx -o model_1.int8.onnx --state-pattern input_3=tf_op_layer_stack_2
  edgevc quantize vad.onnx -o vad.int8.onnx --state-pattern state=stateN --feed sr=16000 --feed input=samples:512 \\
      --shape input=1x576

exit codes:
  0 written   2 wrong arguments, or no speech   3 a model that cannot be quantized   4 a package is missing
  5 a recording that cannot be used, or an output that cannot be written
  7 below the gate, nothing written   130 interrupted, nothing written
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    text = "turn a float model into an int8 one that is proven smaller, faster and as good, or refuse"
    command = commands.add_parser(
        "quantize",
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    command.add_argument("model", type=Path, metavar="MODEL", help="a float bundle, or a bare .onnx graph with states")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="a folder, or an .onnx file")
    command.add_argument("--engine", choices=_ENGINES, default="both", help="which graphs of a bundle (default both)")
    command.add_argument(
        "--scheme", choices=_SCHEMES, default="auto", help="default auto: try all, choose by gate and clock"
    )
    command.add_argument("--calib", type=Path, metavar="DIR", help="recordings of speech (default: the package's own)")
    command.add_argument(
        "--method", choices=_METHODS, default="min-max", help="how static ranges are found (default min-max)"
    )
    command.add_argument(
        "--gate",
        metavar="LIMITS",
        help='what must hold, e.g. "mel<=0.1,tensor>=35,snr>=15,drift<=1.05"; with --judge also similarity, wer, ovrl',
    )
    command.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="PATTERN",
        help="layers that stay float, e.g. encoder/input",
    )
    command.add_argument(
        "--quantize", action="append", default=[], metavar="PATTERN", help="layers not to leave float by default"
    )
    command.add_argument(
        "--state-pattern", action="append", default=[], metavar="IN=OUT", help="names of a bare graph's states"
    )
    command.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1x80",
        help="an input's shape where the graph leaves it open",
    )
    command.add_argument(
        "--feed",
        action="append",
        default=[],
        metavar="NAME=KIND",
        help="what an input of a bare graph takes: samples[:HOP], magnitude[:HOP], logmel, zeros, ones, or a number",
    )
    command.add_argument(
        "--report",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="write the report, .html, .json or .txt",
    )
    command.add_argument("--json", action="store_true", help="print JSON in place of the table")
    command.add_argument("--board", action="append", default=[], metavar="NAME", help="estimate the time on a board")
    command.add_argument(
        "--drift-minutes", type=int, default=10, metavar="N", help="of the long stream; below 2: none (default 10)"
    )
    command.add_argument(
        "--judge",
        metavar="COMMAND",
        help='scores both bundles, e.g. "tools-python tools/evaluate.py --data DATA"',
    )
    command.add_argument(
        "--to",
        choices=("onnx", "tflite"),
        help="convert first: MODEL is a training run's folder, or for tflite a float .onnx graph",
    )
    command.add_argument(
        "--tools-python", metavar="PYTHON", help="the Python of the environment that holds the converter, for --to"
    )
    command.add_argument("--force", action="store_true", help="replace what exists")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code.

    Raises:
        GateError: no candidate passed.
    """
    from edgevc.quantize.report.writer import check_report, terminal, write_report
    from edgevc.quantize.run import Settings, quantize

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
    progress = Progress()
    try:
        with _termination_as_interrupt():
            result = quantize(settings, progress)
    finally:
        progress.close()
    for path in arguments.report:
        write_report(result, path, overwrite=arguments.force)
    print(result.to_json() if arguments.json else terminal(result))
    if not result.passed:
        raise GateError(result.notes[-1])
    return 0


class Progress:
    """Says on stderr what is being done: one line that changes on a terminal, a line for each step elsewhere."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._last = ""
        self._shown = 0.0

    def __call__(self, text: str) -> None:
        """Show a step."""
        now = time.monotonic()
        if sys.stderr is None or (now - self._shown < 0.1 and self._terminal):
            return
        # "..., 40%" and "3 of 31" change too often for a log
        step = text.rpartition(", ")[0] if text.endswith("%") or " of " in text.rpartition(", ")[2] else text
        if self._terminal:
            print(f"\r\033[K{now - self._started:4.0f} s  {text[:110]}", end="", file=sys.stderr, flush=True)
            self._shown = now
        elif step != self._last:
            print(f"{now - self._started:4.0f} s  {step}", file=sys.stderr, flush=True)
        self._last = step

    def close(self) -> None:
        """Clear the line."""
        if self._terminal and self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


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


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that it leaves no half-written model either."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Callable[..., object] | int | None = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
