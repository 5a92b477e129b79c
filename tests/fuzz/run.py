"""Fuzzes everything that reads what others wrote, led by coverage (atheris): only edgevc's own errors may come out.

    python tests/fuzz/run.py --seconds 20              every target, each in a process of its own
    python tests/fuzz/run.py wav zip --seconds 600     some of them

What is found is written to tests/fuzz/found/TARGET-*; mended, it belongs into tests/fuzz/corpus/TARGET, which is run
first, and by tests/unit/test_fuzz_targets.py without atheris. Ends with 1 where something was found.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]
FOUND = HERE / "found"
LONGEST_S = 5.0
"""One input may take; every reader is linear in its bytes."""
MAX_BYTES = 40_000


class Fuzzer:
    """Runs inputs through one target until the time is over."""

    def __init__(self, target: str, seconds: float) -> None:
        """Start the clock."""
        from fuzz.targets import TARGETS

        self.target, self.run, self.end = target, TARGETS[target], time.monotonic() + seconds
        self.count, self.longest, self.kinds = 0, 0.0, set[str]()

    def one(self, data: bytes) -> None:
        """Run one input; keep it where it is a find."""
        from edgevc.errors import EdgevcError

        start = time.monotonic()
        try:
            self.run(bytes(data))
        except EdgevcError:
            pass
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.keep(f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}", data)
        now = time.monotonic()
        self.count += 1
        self.longest = max(self.longest, now - start)
        if now - start > LONGEST_S:
            self.keep(f"an input takes more than {LONGEST_S:g} s", data)
        if now > self.end:
            self.report()

    def keep(self, kind: str, data: bytes) -> None:
        """Write one input of each kind of find."""
        if kind in self.kinds:
            return
        self.kinds.add(kind)
        FOUND.mkdir(exist_ok=True)
        path = FOUND / f"{self.target}-{hashlib.sha256(data).hexdigest()[:8]}"
        path.write_bytes(data)
        print(f"{self.target}: {kind}: {path}", flush=True)

    def report(self) -> None:
        """Say what was tried, and end."""
        memory = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
        print(
            f"{self.target}: {self.count} inputs, {len(self.kinds)} finds, at most {self.longest:.3f} s for one, "
            f"{int(memory) // 1024} MB",
            flush=True,
        )
        os._exit(1 if self.kinds else 0)


def fuzz(target: str, seconds: float) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["edgevc"]):
        from fuzz.targets import TARGETS, seeds

        for data in seeds(target):
            # imports what the target needs, so that it is instrumented
            with contextlib.suppress(Exception):
                TARGETS[target](data)
    fuzzer = Fuzzer(target, seconds)
    with tempfile.TemporaryDirectory() as folder:
        for i, data in enumerate(seeds(target)):
            fuzzer.one(data)
            (Path(folder) / str(i)).write_bytes(data)
        options = [f"-max_len={MAX_BYTES}", "-rss_limit_mb=1000", "-timeout=60", "-verbosity=0", "-close_fd_mask=2"]
        atheris.Setup([sys.argv[0], folder, *options], fuzzer.one)
        atheris.Fuzz()


def main() -> int:
    """Fuzz each target that is named in a process of its own."""
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each target (default 20)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        fuzz(args.targets[0], args.seconds)
    failed = 0
    for target in args.targets or TARGETS:
        command = [sys.executable, __file__, target, "--here", "--seconds", str(args.seconds)]
        # libFuzzer tells of its work there
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
        if done.returncode:
            failed += 1
            print(f"{target}: ended with {done.returncode}\n{done.stderr[-2000:]}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
