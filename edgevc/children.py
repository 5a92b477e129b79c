"""Runs a function of edgevc in a Python of its own, which may crash, and takes no module from the working folder.

`python -c` and `python -m` put the working folder in front of the standard library, so a file `json.py` that lies there
would be executed. Whoever unpacks somebody's model and goes into its folder must not run what else lies in it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

# The child has the parent's search path, but behind its own and without the working folder; edgevc itself comes from
# where the parent's came from, which may be a source tree.
START = """\
import importlib, importlib.util, json, sys
request = json.loads(sys.argv[1])
sys.path += [entry for entry in request["path"] if entry not in sys.path]
spec = importlib.util.spec_from_file_location("edgevc", request["edgevc"])
sys.modules["edgevc"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
getattr(importlib.import_module(request["module"]), request["function"])(**request["arguments"])
"""
TIMED_OUT, OUT_OF_TIME = "timeout", "SIGPROF"
"""Values of `Ended.how`: the whole time limit is over; `limit_processor_time` was not kept."""
# of what a child prints; an engine may print as well
_MAX_ANSWER_BYTES = 1 << 20


def python_command(module: str, function: str, **arguments: Any) -> list[str]:
    """Return the command that calls `module.function(**arguments)` in a new Python.

    Args:
        module: of edgevc, such as "edgevc.engines.trust".
        function: of that module; it prints its answer.
        arguments: what JSON can hold.
    """
    request = {
        # an empty or relative entry is the working folder
        "path": [entry for entry in sys.path if entry and Path(entry).is_absolute()],
        "edgevc": str(Path(__file__).resolve().with_name("__init__.py")),
        "module": module,
        "function": function,
        "arguments": arguments,
    }
    # -I: neither the working folder nor PYTHON* variables; -B: nothing is written beside the modules
    return [sys.executable, "-I", "-B", "-c", START, json.dumps(request)]


def edgevc_command(*words: str) -> list[str]:
    """Return the command that runs `edgevc WORDS` in a new Python: this edgevc, wherever the caller stands.

    `python -m edgevc` would take the one in the working folder, in a checkout the sources, built or not.
    """
    # plain words, so that a caller may add others behind them
    return [*python_command("edgevc.cli", "program"), *words]


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    answer: dict[str, Any]
    """What it said last with `answer`, or `at`; empty where it said nothing."""
    how: str
    """Empty after `answer`; else a signal's name, "exit status N" or TIMED_OUT."""


def ask(module: str, function: str, time_limit_s: float, data: bytes = b"", **arguments: Any) -> Ended:
    """Run `module.function(**arguments)` in a child and wait for what it says with `answer`.

    Args:
        module: of edgevc.
        function: of that module.
        time_limit_s: then the child is killed.
        data: what the child finds in its stdin.
        arguments: what JSON can hold.

    Raises:
        OSError: the child cannot be started.
    """
    # subprocess wants either `input` or `stdin`; an empty input is a closed stdin
    try:
        done = subprocess.run(  # noqa: S603
            python_command(module, function, **arguments),
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # one thread: a child must not compete with a live session for all cores
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=time_limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Ended(_last_said(error.stdout or b""), TIMED_OUT)
    said = _last_said(done.stdout)
    if said.pop("answered", None):
        return Ended(said, "")
    code = done.returncode
    return Ended(said, signal.Signals(-code).name if code < 0 else f"exit status {code}")


def _last_said(output: bytes) -> dict[str, Any]:
    for line in reversed(output[-_MAX_ANSWER_BYTES:].splitlines()):
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict):
                return said
    return {}


def at(**where: Any) -> None:
    """In a child: say what it is about to do, so that the parent can say where it ended."""
    sys.stdout.write("\n" + json.dumps(where) + "\n")
    sys.stdout.flush()


def answer(**values: Any) -> NoReturn:
    """In a child: give the answer and end. Engines were seen to crash while the interpreter shuts down."""
    at(**values, answered=True)
    os._exit(0)


@functools.lru_cache(maxsize=1)
def memory_limit_bytes() -> int:
    """Return how much address space a child may have: half of this machine's memory, 512 MiB at least, 3 GiB at most.

    An engine maps far more than it touches: 200 MiB for a bundle of 4 MB.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 3 << 30
    return min(max(total // 2, 512 << 20), 3 << 30)


def limit_resources(cpu_s: int, file_bytes: int = 0) -> None:
    """Bound the process that calls this; where the system has no such limits, nothing happens.

    Its address space is bounded by `memory_limit_bytes`, and it leaves no core file.

    Args:
        cpu_s: seconds of processor time.
        file_bytes: the largest file that may be written.
    """
    with contextlib.suppress(ImportError):
        import resource

        _limit(resource.RLIMIT_AS, memory_limit_bytes())
        _limit(resource.RLIMIT_CPU, cpu_s)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, file_bytes)


def limit_growth(n_bytes: int) -> None:
    """Bound the address space of the process that calls this to what it has now and `n_bytes` more."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _limit(resource.RLIMIT_AS, min(pages * resource.getpagesize() + n_bytes, memory_limit_bytes()))


def limit_processor_time(seconds: float) -> None:
    """End the process that calls this when it has used so much more processor time; a later call starts anew.

    A busy machine costs no processor time, so the same graph ends the same way there. 0 takes the limit away.
    """
    # SIGPROF ends a process at once, in the middle of a call into an engine as well
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(what: int, limit: int) -> None:
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))
