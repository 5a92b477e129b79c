"""Counts what the C++ core executes for a hop on emulated ARM cores, part by part and function by function.

    python benchmarks/count_instructions.py --out docs/results/instructions.json

Needs g++-aarch64-linux-gnu, qemu-user (the static one has no plugins), gcc and the sources in csrc/; no Python of ARM
and no engine. Each figure is the difference of two runs, divided by the hops that one has more, so that what happens
once does not count. Instructions are no time: how many a core finishes at once, and how long it waits for memory, is
not in them. Where they are compared, the compiler must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = {
    "tracker": "pitch tracker and mapper",
    "synthesis": "synthesis",
    "front": "front end",
    "high_pass": "high-pass",
    "gain": "gain and limits",
}
CORES = ("cortex-a53", "cortex-a72", "cortex-a76")
FEW, MANY = 200, 400
BARS = {"tracker": 80.0}
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-static")
"""As CMakeLists.txt builds the core for 64-bit ARM."""

Counts = dict[str, tuple[int, int, int]]


def run(*command: str | Path, **environment: str) -> None:
    """Run a program, or end with what it said."""
    done = subprocess.run([*map(str, command)], env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")


def build(sources: Path, folder: Path) -> None:
    """Build the program and the counter."""
    here = ROOT / "benchmarks" / "instructions"
    run("gcc", "-O2", "-shared", "-fPIC", "-o", folder / "libcount.so", here / "count.c")
    core = sorted((sources / "src").glob("*.cc"))
    include = ("-I", sources / "include", "-I", sources / "src")
    run("aarch64-linux-gnu-g++", *FLAGS, *include, "-o", folder / "parts", here / "parts.cc", *core)


def count(folder: Path, core: str, part: str, hops: int, sound: Path) -> Counts:
    """Function to its instructions, its vector and floating-point arithmetic, and its dot products."""
    plugin, counts = folder / "libcount.so", folder / "counts.txt"
    command = ("qemu-aarch64", "-cpu", core, "-plugin", f"file={plugin}", folder / "parts", part, str(hops), sound)
    run(*command, EDGEVC_COUNTS=str(counts))
    rows = (line.split(None, 3) for line in counts.read_text().splitlines())
    return {symbol: (int(a), int(vector), int(dot)) for a, vector, dot, symbol in rows}


def per_hop(folder: Path, core: str, part: str, sound: Path) -> dict[str, tuple[float, float]]:
    """Function to its instructions per hop, and of them vector and floating-point arithmetic."""
    few, many = (count(folder, core, part, hops, sound) for hops in (FEW, MANY))
    nothing = (0, 0, 0)
    grown = {name: [b - a for a, b in zip(few.get(name, nothing), row, strict=True)] for name, row in many.items()}
    return {name: (row[0] / (MANY - FEW), row[1] / (MANY - FEW)) for name, row in grown.items()}


def plain(symbols: list[str]) -> dict[str, str]:
    """Names as a reader knows them, without arguments."""
    done = subprocess.run(["c++filt", "-p"], input="\n".join(symbols), capture_output=True, text=True, check=True)
    names = (name.replace("edgevc::", "").replace("(anonymous namespace)::", "") for name in done.stdout.splitlines())
    return {symbol: name.split(" [")[0] for symbol, name in zip(symbols, names, strict=True)}


def main() -> None:
    """Count, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=CORES, metavar="CORE", help="as qemu names them")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--sound", type=Path, default=ROOT / "examples" / "sentence.wav", help="16 kHz mono, 16 bits")
    parser.add_argument("--core-sources", type=Path, default=ROOT / "csrc", help="of another version, to compare")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    for tool in ("aarch64-linux-gnu-g++", "qemu-aarch64", "gcc", "c++filt"):
        if shutil.which(tool) is None:
            packages = "g++-aarch64-linux-gnu qemu-user gcc binutils"
            raise SystemExit(f"{tool} is missing; apt-get install {packages}")
    command = "python " + " ".join(("benchmarks/count_instructions.py", *sys.argv[1:]))
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        build(options.core_sources, folder)
        for core in options.cores:
            for part in options.parts:
                functions = per_hop(folder, core, part, options.sound)
                total = sum(instructions for instructions, _ in functions.values()) / 1000
                row = {"name": f"{core}: {PARTS[part]}", "value": round(total, 1), "unit": "k instructions per hop"}
                rows.append(row | {"command": command, "bar": BARS.get(part)})
                print(f"{core} {PARTS[part]}: {total:.1f} thousand instructions per hop", flush=True)
                if core != options.cores[0]:
                    continue
                names = plain(list(functions))
                for symbol, (instructions, vector) in sorted(functions.items(), key=lambda item: -item[1][0])[:8]:
                    if instructions >= 500:
                        print(f"    {instructions / 1000:6.1f}, of it arithmetic {vector / 1000:6.1f}  {names[symbol]}")
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
