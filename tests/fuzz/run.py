"""Fuzzes what reads what others wrote, led by coverage (atheris): only edgevc's own errors may come out.

    python tests/fuzz/run.py zip --seconds 600     one target of targets.py, in this process
    python tests/fuzz/run.py zip FILE              one input, to see it again
    python tests/fuzz/run.py --list                the targets

`make fuzz` runs all. What is found is written to build/fuzz/broken/TARGET-*; mended, it belongs into
tests/fuzz/corpus/TARGET, which is run first, and by tests/unit/test_fuzz_targets.py without atheris. Ends with 1 where
something was found.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]
FOUND = HERE.parents[1] / "build" / "fuzz" / "broken"
LONGEST_S = 5.0
"""One input may take of the processor; every reader is linear in its bytes."""
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

        start = time.process_time()
        try:
            self.run(bytes(data))
        except EdgevcError:
            pass
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.keep(f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}", data)
        took = time.process_time() - start
        self.count += 1
        self.longest = max(self.longest, took)
        if took > LONGEST_S:
            self.keep(f"an input takes more than {LONGEST_S:g} s", data)
        if time.monotonic() > self.end:
            self.report()

    def keep(self, kind: str, data: bytes) -> None:
        """Write one input of each kind of find."""
        if kind in self.kinds:
            return
        self.kinds.add(kind)
        FOUND.mkdir(parents=True, exist_ok=True)
        path = FOUND / f"{self.target}-{hashlib.sha256(data).hexdigest()[:8]}"
        path.write_bytes(data)
        print(f"{self.target}: {kind}: {path}", flush=True)

    def report(self) -> None:
        """Say what was tried, and end."""
        memory = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
        print(
            f"tried: {self.count} inputs, {len(self.kinds)} finds, at most {self.longest:.3f} s for one, "
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
    """Fuzz a target, run one input of it, or list all."""
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", choices=TARGETS)
    parser.add_argument("input", nargs="?", type=Path, help="run this and nothing else")
    parser.add_argument("--seconds", type=float, default=20.0, help="default 20")
    parser.add_argument("--list", action="store_true", help="print the targets")
    args = parser.parse_args()
    if args.list:
        print(*TARGETS, sep="\n")
    elif args.target is None:
        parser.error("name a target")
    elif args.input is not None:
        TARGETS[args.target](args.input.read_bytes())
    else:
        fuzz(args.target, args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
