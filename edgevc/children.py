"""Runs a function of edgevc in a Python of its own, which may crash, and takes no module from the working folder.

`python -c` and `python -m` put the working folder in front of the standard library, so a file `json.py` that lies there
would be executed. Whoever unpacks somebody's model and goes into its folder must not run what else lies in it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

# The child has the parent's search path, but behind its own and without the working folder; edgevc itself comes from
# where the parent's came from, which may be a source tree.
_START = """\
import importlib, importlib.util, json, sys
request = json.loads(sys.argv[1])
sys.path += [entry for entry in request["path"] if entry not in sys.path]
spec = importlib.util.spec_from_file_location("edgevc", request["edgevc"])
sys.modules["edgevc"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
getattr(importlib.import_module(request["module"]), request["function"])(**request["arguments"])
"""


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
    return [sys.executable, "-I", "-B", "-c", _START, json.dumps(request)]


@functools.lru_cache(maxsize=1)
def memory_limit_bytes() -> int:
    """Return how much address space a child may have: half of this machine's memory, 512 MiB at least, 3 GiB at most.

    An engine maps far more than it touches: 300 MiB for a bundle of 4 MB.
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

        for what, limit in (
            (resource.RLIMIT_AS, memory_limit_bytes()),
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, file_bytes),
        ):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))
