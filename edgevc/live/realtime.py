"""Asks the system for real-time priority and for memory that stays; both are worth having, neither is needed."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys

_LOG = logging.getLogger(__name__)

PRIORITY = 50
"""SCHED_FIFO, 1 to 99: above what is not in a hurry, below the kernel's interrupt threads of most systems."""

# mlockall(2); what is allocated later is locked when it is first touched, so that no reserve is filled at once.
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def prefer_this_thread() -> str | None:
    """Give the calling thread real-time priority; return why that was refused, or None."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no real-time priority"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except OSError as error:
        return f"no real-time priority ({error.strerror}); `edgevc doctor` says how to allow it"
    return None


def lock_memory() -> str | None:
    """Keep this process's memory from being swapped out; return why that was refused, or None."""
    if not sys.platform.startswith("linux"):
        return "this system has no memory lock"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        return f"no memory lock ({os.strerror(ctypes.get_errno())}); `edgevc doctor` says how to allow it"
    return None


def settle() -> None:
    """Keep the collector from walking again and again through what was loaded at the start."""
    gc.collect()
    gc.freeze()
