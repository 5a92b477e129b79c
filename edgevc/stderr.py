"""Keeps off the user's terminal what C and C++ libraries print to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_depth = 0
_kept: int | None = None


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send what is written to file descriptor 2 to nowhere while the block runs.

    LiteRT announces its delegate, onnxruntime misses a GPU on many boards, ALSA and JACK report every device that is
    missing: all before a log level can be set, so the descriptor itself points elsewhere for these milliseconds. Blocks
    may overlap in any order and thread; the last one to end puts the descriptor back. What other threads print
    meanwhile is lost. A process without stderr has nothing to keep quiet.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _depth, _kept
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
        with contextlib.suppress(OSError):
            _kept = os.dup(2)
            sink = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(sink, 2)
            os.close(sink)


def _leave() -> None:
    global _depth, _kept
    with _lock:
        _depth -= 1
        if _depth or _kept is None:
            return
        os.dup2(_kept, 2)
        os.close(_kept)
        _kept = None
