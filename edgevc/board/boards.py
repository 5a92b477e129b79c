"""What a CPU can do with int8, and an estimate of the time on a board that is not here."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevc.errors import ConfigError

_INT8_FEATURES = {
    "avx2": "AVX2",
    "avx512bw": "AVX-512BW",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX512-VNNI",
    "amx_int8": "AMX-INT8",
    "neon": "NEON",
    "asimd": "ASIMD",
    "asimddp": "dotprod (asimddp)",
    "i8mm": "i8mm",
    "sve": "SVE",
    "sve2": "SVE2",
    "svei8mm": "SVE i8mm",
}
"""Linux's name of a feature (arch/x86/include/asm/cpufeatures.h, arch/arm64/kernel/cpuinfo.c) to ours."""

_DOT_PRODUCTS = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm", "svei8mm"})

# Implementer and part of the MIDR_EL1 register: arch/arm64/include/asm/cputype.h of Linux.
_CORES = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd0d"): "Cortex-A77",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x4e", "0x004"): "NVIDIA Carmel",
}


@dataclass(frozen=True)
class Cpu:
    """A CPU as far as int8 is concerned."""

    name: str
    """Model or core, such as "Cortex-A72"; several kinds of core are joined with " + "."""
    board: str
    """What the device tree calls the machine; empty on a PC."""
    n_cores: int
    int8: tuple[str, ...]
    """Features for int8 that every core has."""
    dot_product: bool
    """Whether one instruction multiplies and adds several int8 pairs into int32."""

    @property
    def meaning(self) -> str:
        """What that means for an int8 model, in a sentence."""
        if self.dot_product:
            return "int8 has dot products here: it saves time as well as memory"
        if "AVX2" in self.int8:
            return (
                "no int8 dot products here: AVX2 adds pairs in 16 bits, which saturate; the exact products that ONNX "
                "Runtime is asked for save less time"
            )
        return "no int8 dot products here: int8 saves memory traffic, but hardly any instructions"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for a report."""
        facts: dict[str, Any] = {"name": self.name}
        if self.board:
            facts["board"] = self.board
        return {**facts, "cores": self.n_cores, "int8": list(self.int8), "meaning": self.meaning}


def this_cpu() -> Cpu:
    """Return the CPU that this runs on; where /proc/cpuinfo cannot be read, only its architecture's name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return parse_cpuinfo(text)


def parse_cpuinfo(text: str) -> Cpu:
    """Read what Linux says in /proc/cpuinfo, on x86, 32-bit and 64-bit ARM."""
    pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in text.splitlines())]
    # a thread may run on any core, so what one core lacks cannot be used
    each = [set(value.split()) for key, value in pairs if key in ("flags", "Features")]
    features = set.intersection(*each) if each else set()
    return Cpu(
        name=" + ".join(dict.fromkeys(_core_names(pairs))) or platform.machine() or "unknown",
        board=next((value for key, value in reversed(pairs) if key == "Model"), ""),
        n_cores=sum(key == "processor" for key, _ in pairs) or 1,
        int8=tuple(ours for theirs, ours in _INT8_FEATURES.items() if theirs in features),
        dot_product=bool(features & _DOT_PRODUCTS),
    )


def _core_names(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    implementer = ""
    for key, value in pairs:
        if key == "CPU implementer":
            implementer = value
        elif key == "CPU part":
            yield _CORES.get((implementer, value), f"ARM core {implementer}/{value}")
        elif key == "model name" and not value.startswith("ARM"):
            yield re.sub(r"\((R|TM)\)", "", value)


@dataclass(frozen=True)
class Board:
    """What an estimate assumes of a board; none of it was measured there."""

    title: str
    core: str
    instructions_per_cycle: float
    """Assumed for this kind of loop."""
    gigahertz: float
    gigabytes_per_second: float
    """Of one core from memory."""
    cache_megabytes: float
    """Of the last cache that this work can count on."""
    counts: str
    """Core whose instruction counts stand for it."""


BOARDS: Mapping[str, Board] = {
    "pi-zero-2w": Board("Raspberry Pi Zero 2 W", "Cortex-A53", 0.5, 1.0, 1.8, 0.4, "A53"),
    "pi-3b+": Board("Raspberry Pi 3B+", "Cortex-A53", 0.5, 1.4, 2.0, 0.4, "A53"),
    "pi-4": Board("Raspberry Pi 4", "Cortex-A72", 1.0, 1.5, 4.5, 0.8, "A72"),
    "pi-5": Board("Raspberry Pi 5", "Cortex-A76", 1.6, 2.4, 10.0, 2.0, "A76"),
    "orin-nano": Board("Jetson Orin Nano (CPU)", "Cortex-A78AE", 1.7, 1.5, 15.0, 3.0, "A76"),
}
"""Name on the command line to what is assumed."""

# Instructions of one call = fixed + per multiply-accumulate, in thousands and 1. Counted with an emulator, one hop per
# call, of two streaming networks with 0.671 and 3.31 million multiply-accumulates per hop; two points give the line.
_INSTRUCTIONS: Mapping[tuple[str, str, str], tuple[float, float]] = {
    ("litert", "int8", "A53"): (33, 0.560),
    ("litert", "int8", "A72"): (93, 0.368),
    ("litert", "int8", "A76"): (86, 0.230),
    ("litert", "float", "A53"): (152, 0.699),
    ("litert", "float", "A72"): (137, 0.535),
    ("litert", "float", "A76"): (194, 0.500),
    ("onnx", "int8", "A53"): (470, 0.515),
    ("onnx", "int8", "A72"): (454, 0.527),
    ("onnx", "int8", "A76"): (478, 0.372),
    ("onnx", "float", "A53"): (302, 0.546),
    ("onnx", "float", "A72"): (308, 0.564),
    ("onnx", "float", "A76"): (329, 0.549),
}

UNCERTAINTY = (0.6, 1.7)
"""The time on the board is expected between these times the estimate."""


@dataclass(frozen=True)
class Estimate:
    """An estimate, not a measurement, of the time of one call with one hop on one core of a board."""

    board: str
    engine: str
    precision: str
    macs_per_hop: int
    n_bytes: int
    instructions: float
    compute_us: float
    """Microseconds for the instructions."""
    memory_us: float
    """Microseconds for reading the weights that do not stay in the cache."""

    @property
    def us(self) -> float:
        """Microseconds for one call."""
        return self.compute_us + self.memory_us

    @property
    def low_us(self) -> float:
        """The shorter end of the estimate."""
        return self.us * UNCERTAINTY[0]

    @property
    def high_us(self) -> float:
        """The longer end of the estimate."""
        return self.us * UNCERTAINTY[1]

    def __str__(self) -> str:
        """Return the estimate in one line."""
        board = BOARDS[self.board]
        return (
            f"estimate for {board.title}, {self.engine} {self.precision}, 1 hop per call, one core: {_ms(self.us)} ms "
            f"({_ms(self.low_us)} to {_ms(self.high_us)} ms), not measured there"
        )

    def lines(self) -> list[str]:
        """Return the estimate and its arithmetic, the word estimate in each line."""
        board = BOARDS[self.board]
        fixed, per_mac = _INSTRUCTIONS[self.engine, self.precision, board.counts]
        millions, size = f"{self.instructions / 1e6:.3f}e6", f"{self.n_bytes / 1e6:.2f} MB"
        cache = f"half of {board.cache_megabytes:g} MB cache"
        low, high = UNCERTAINTY
        return [
            str(self),
            f"estimate of instructions: {fixed:g}e3 + {per_mac:g} x {self.macs_per_hop / 1e6:.3f}e6 "
            f"multiply-accumulates = {millions} (counted on an emulated Cortex-{board.counts})",
            f"estimate of computing: {millions} / ({board.instructions_per_cycle:g} per cycle x "
            f"{board.gigahertz:g} GHz) = {_ms(self.compute_us)} ms, {board.core}",
            f"estimate of memory: {size} fit into {cache}: 0 ms"
            if self.n_bytes <= _cached(board)
            else f"estimate of memory: ({size} - {cache}) / {board.gigabytes_per_second:g} GB/s "
            f"= {_ms(self.memory_us)} ms",
            f"estimate's uncertainty: x{low:g} to x{high:g}, since cycles, clock and bandwidth are assumed",
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, under a key that says what they are."""
        figures = {
            "board": BOARDS[self.board].title,
            "engine": self.engine,
            "precision": self.precision,
            "microseconds": self.us,
            "low_microseconds": self.low_us,
            "high_microseconds": self.high_us,
            "arithmetic": self.lines(),
        }
        return {"estimate": figures}


def estimate(board: str, macs_per_hop: int, n_bytes: int, engine: str = "litert", precision: str = "int8") -> Estimate:
    """Return an estimate of the time of one call with one hop on one core of a board.

    time = instructions / (instructions per cycle x clock) + weights beyond half of the cache / bandwidth

    Args:
        board: a key of `BOARDS`; case, blanks and underscores do not matter.
        macs_per_hop: multiply-accumulates of all graphs in one hop.
        n_bytes: of all weights as stored.
        engine: "litert" or "onnx".
        precision: "int8" or "float".

    Raises:
        ConfigError: an argument is outside its range.
    """
    name = re.sub(r"[\s_]+", "-", board.strip().lower())
    if name not in BOARDS:
        raise ConfigError(f"board must be one of {', '.join(BOARDS)}, got {board!r}")
    key = (engine, precision, BOARDS[name].counts)
    if key not in _INSTRUCTIONS:
        raise ConfigError(f"engine must be litert or onnx, precision int8 or float, got {engine!r} and {precision!r}")
    if macs_per_hop < 0 or n_bytes < 0:
        raise ConfigError(f"macs_per_hop and n_bytes must not be negative, got {macs_per_hop} and {n_bytes}")
    chosen = BOARDS[name]
    fixed, per_mac = _INSTRUCTIONS[key]
    instructions = fixed * 1e3 + per_mac * macs_per_hop
    return Estimate(
        board=name,
        engine=engine,
        precision=precision,
        macs_per_hop=macs_per_hop,
        n_bytes=n_bytes,
        instructions=instructions,
        compute_us=instructions / (chosen.instructions_per_cycle * chosen.gigahertz * 1e3),
        memory_us=max(0.0, n_bytes - _cached(chosen)) / (chosen.gigabytes_per_second * 1e3),
    )


def _cached(board: Board) -> float:
    """Return the bytes of weights that are taken to stay in the cache between two calls."""
    return board.cache_megabytes * 1e6 / 2


def _ms(microseconds: float) -> str:
    return f"{microseconds / 1000:.2f}" if microseconds >= 100 else f"{microseconds / 1000:.3f}"
