"""Runs a program and says how much memory it took, and nothing of its parent's.

A child begins with its parent's pages, and Linux keeps the most it ever had through exec (`ru_maxrss`, getrusage(2)).
So a small program starts it, from which it inherits 10 MB at most.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

_SMALL = (
    "import os, sys; child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); "
    "_, status, usage = os.wait4(child, 0); print(usage.ru_maxrss); sys.exit(bool(status))"
)


def peak_memory_mb(command: Sequence[str]) -> float:
    """Run the command, its output apart, and return its peak resident memory in MB (10^6 bytes).

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    small = [sys.executable, "-I", "-S", "-c", _SMALL, *command]
    done = subprocess.run(small, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.splitlines()[-1]) * 1024 / 1e6
