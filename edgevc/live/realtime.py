"""Asks the system to let the worker run first and to keep its memory in place; both may be refused."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import resource
from dataclasses import dataclass
from pathlib import Path

_LOG = logging.getLogger(__name__)

PRIORITY = 40
"""Of SCHED_FIFO: below the kernel's own threads (50) and below what a sound server takes, so that it comes first."""
LIMITS_FILE = "/etc/security/limits.d/95-edgevc.conf"
LIMITS = "@audio - rtprio 60\n@audio - memlock unlimited\n"
"""What a member of the group audio needs; see limits.conf(5)."""
LIMITS_COMMAND = (
    f"printf '{LIMITS.encode('unicode_escape').decode()}' | sudo tee {LIMITS_FILE}; "
    'sudo usermod -aG audio "$USER"; then log in again'
)

# sys/mman.h of Linux
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
LARGE_PAGE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")

reported = False
"""Whether this process has said once what the system refuses."""


@dataclass(frozen=True)
class RealtimeReport:
    """What the system granted."""

    priority: int | None
    """Of SCHED_FIFO, of the calling thread; None where it runs as any other."""
    memory_locked: bool
    problems: tuple[str, ...]
    """One sentence with its next step for each thing refused."""


def try_realtime(priority: int = PRIORITY) -> RealtimeReport:
    """Give the calling thread real-time priority and lock the process's memory, as far as it is allowed.

    What is refused is logged once in the life of the process, as a warning; a session works without it. Threads and
    processes that the calling thread starts later have normal priority again.
    """
    global reported
    thread, memory = prefer_this_thread(priority), lock_memory()
    problems = tuple(problem for problem in (thread, memory) if problem is not None)
    if problems and not reported:
        reported = True
        for problem in problems:
            _LOG.warning("%s", problem)
    granted = None if thread is not None else os.sched_getparam(0).sched_priority
    return RealtimeReport(granted, memory is None, problems)


def prefer_this_thread(priority: int = PRIORITY) -> str | None:
    """Give the calling thread real-time priority, as high as it is allowed; return why that was refused, or None."""
    try:
        take_priority(priority)
    except (OSError, ValueError, AttributeError) as error:
        return f"no real-time priority ({_reason(error)}), other programs may interrupt; {LIMITS_COMMAND}"
    return None


def lock_memory() -> str | None:
    """Keep this process's memory from being paged out; return why that was refused, or None."""
    try:
        _lock_memory()
    except (OSError, ValueError, AttributeError) as error:
        return f"memory is not locked ({_reason(error)}), the first page fault may be heard; {LIMITS_COMMAND}"
    return None


def settle() -> None:
    """Make what was loaded cheap to keep: no garbage collector walks through it again, and it lies on large pages."""
    gc.collect()
    gc.freeze()
    use_large_pages()


def unsettle() -> None:
    """Let the garbage collector see again what `settle` hid from it: a session that ended is garbage."""
    gc.unfreeze()


def use_large_pages() -> int:
    """Move the heap to pages of 2 MB as far as the system allows; return how many bytes it was asked for.

    The model's weights lie there, and every hop reads all of them. Between two hops other programs run, so on pages of
    4 kB a hop begins with a thousand look-ups in page tables, a sixth of its time.
    """
    try:
        page = int(LARGE_PAGE.read_text(encoding="ascii"))
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        libc = ctypes.CDLL(None)
    except (OSError, ValueError):
        return 0
    asked = 0
    for line in maps.splitlines():
        if not line.endswith("[heap]"):
            continue
        first, last = (int(address, 16) for address in line.split()[0].split("-"))
        # only what is filled to the last byte: memory in use stays what it is
        first, last = -(-first // page) * page, last // page * page
        if first < last:
            area = ctypes.c_void_p(first), ctypes.c_size_t(last - first)
            # the second one does it at once, since Linux 6.1; the kernel's own thread takes minutes
            if libc.madvise(*area, _MADV_HUGEPAGE) == 0:
                libc.madvise(*area, _MADV_COLLAPSE)
                asked += last - first
    return asked


def take_priority(priority: int) -> int:
    """Run the calling thread with real-time priority, no more than this user may have; return it.

    Raises:
        OSError: the system refuses.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if os.geteuid() != 0 and hard != resource.RLIM_INFINITY:
        priority = min(priority, hard)
        if priority < 1:
            raise PermissionError(1, "RLIMIT_RTPRIO is 0")
        if soft < priority:
            resource.setrlimit(resource.RLIMIT_RTPRIO, (priority, hard))
    priority = max(priority, os.sched_get_priority_min(os.SCHED_FIFO))
    # 0 is the calling thread; children start with normal priority
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    return priority


def may_lock_memory(root: Path = Path("/")) -> bool:
    """Whether this process may lock all memory that it will ever have; a mere part would make allocations fail."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    try:
        status = (root / "proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_IPC_LOCK & 1)


def _lock_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY and soft != hard:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    if not may_lock_memory():
        raise PermissionError(1, f"the limit is {soft // 1024} kB")
    libc = ctypes.CDLL(None, use_errno=True)
    # On fault: what is never touched stays out of memory. Without it every thread's 8 MB of stack would come in.
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
