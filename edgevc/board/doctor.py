"""Looks at everything that a live session needs on this machine, and says for each problem what to type.

A check is a function of a `Machine`, which holds where files are looked for and how programs are asked: so that a test
can show it a Raspberry Pi, a desktop or a broken machine.
"""

from __future__ import annotations

import contextlib
import grp
import os
import platform
import resource
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgevc.errors import EdgevcError
from edgevc.live.realtime import LIMITS_COMMAND, PRIORITY, may_lock_memory

OK, NOTE, PROBLEM = "ok", "note", "problem"
"""A note costs quality or comfort; a problem stops `edgevc live` or makes it stutter."""

_HOT_C = 75.0
_LITTLE_MEMORY_MB = 150
_SLOW_FRONT_END_US = 200.0
"""For a log-mel frame of 10 ms; 3 us on a desktop, some 20 us expected of a Pi 3."""


@dataclass(frozen=True)
class Finding:
    """What one look gave."""

    check: str
    status: str
    """ok, note or problem."""
    text: str
    fix: str | None = None
    """What to type, or to do."""


def _run(command: Sequence[str]) -> str | None:
    """Return a program's output; None where it is missing, fails or takes too long."""
    path = shutil.which(command[0])
    if path is None:
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(  # noqa: S603
            [path, *command[1:]], capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL
        )
        return done.stdout if done.returncode == 0 else None
    return None


def _groups() -> set[str]:
    names = set()
    for number in {*os.getgroups(), os.getegid()}:
        with contextlib.suppress(KeyError):
            names.add(grp.getgrgid(number).gr_name)
    return names


@dataclass(frozen=True)
class Machine:
    """Where a check looks; the defaults are this machine."""

    root: Path = Path("/")
    """Holds proc, sys, dev, usr, run and etc."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    run: Callable[[Sequence[str]], str | None] = _run
    limit: Callable[[int], tuple[int, int]] = resource.getrlimit
    groups: Callable[[], set[str]] = _groups
    uid: int = field(default_factory=os.geteuid)
    architecture: str = field(default_factory=platform.machine)
    pointer_bits: int = 8 * struct.calcsize("P")

    def read(self, path: str) -> str | None:
        """Return a file's text, stripped; None where there is none."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").rstrip("\0").strip()
        except OSError:
            return None

    def find(self, pattern: str) -> list[Path]:
        """Return what matches a glob below the root."""
        return sorted(self.root.glob(pattern))

    @property
    def board(self) -> str:
        """Name of a Raspberry Pi, Jetson or the like; empty on a PC."""
        return self.read("proc/device-tree/model") or ""


def check_core(machine: Machine) -> Iterable[Finding]:
    """The C++ core is there, optimised, vectorised and as fast as it should be."""
    import numpy as np

    from edgevc import _core
    from edgevc.dsp.features import LogMel

    info = _core.build_info()
    if info["optimized"] != "yes":
        yield Finding("core", PROBLEM, "the C++ core was built without optimisation", "pip install --force-reinstall .")
        return
    front_end = LogMel(primed=True)
    samples = np.zeros(16_000, np.float32)
    samples[::100] = 0.5
    front_end.process(samples)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        frames = len(front_end.process(samples))
        times.append((time.perf_counter() - started) / frames)
    spent = 1e6 * min(times)
    text = f"C++ core with {info['simd']} ({info['compiler']}), {spent:.1f} us per log-mel frame"
    if info["simd"] == "none":
        yield Finding("core", PROBLEM, f"{text}: no SIMD", "install a 64-bit system, then pip install edgevc again")
    elif spent > _SLOW_FRONT_END_US:
        yield Finding("core", NOTE, f"{text}, which is slow", "close other programs, then `edgevc bench`")
    else:
        yield Finding("core", OK, text)


def check_system(machine: Machine) -> Iterable[Finding]:
    """64 bits, which the inference engines need on ARM."""
    what = " ".join(part for part in (machine.board, f"{machine.architecture}, {machine.pointer_bits} bit") if part)
    if machine.pointer_bits != 64:
        yield Finding(
            "system",
            PROBLEM,
            f"{what}: no inference engine has packages for 32 bit",
            "install the 64-bit edition of Raspberry Pi OS",
        )
    else:
        version = ".".join(map(str, sys.version_info[:3]))
        yield Finding("system", OK, f"{what}, Python {version}")


def check_engines(machine: Machine) -> Iterable[Finding]:
    """The default bundle opens, and at least one engine reproduces its stored results here."""
    from edgevc.bundle import ModelBundle
    from edgevc.engines import ENGINES, choose_engine, engine_version

    try:
        bundle = ModelBundle.default()
    except EdgevcError as error:
        yield Finding("model", PROBLEM, str(error), "pip install --force-reinstall edgevc")
        return
    yield Finding("model", OK, f"{bundle.name} {bundle.version}, voices {', '.join(v.name for v in bundle.voices)}")
    fine, missing, refused = {}, {}, {}
    for engine in ENGINES:
        version = engine_version(engine)
        if version is None:
            missing[engine] = f"{engine} is not installed"
            continue
        try:
            choose_engine(bundle, engine)
        except EdgevcError as error:
            refused[engine] = str(error)
        else:
            fine[engine] = f"{engine} {version} reproduces the model's stored results"
    for text in fine.values():
        yield Finding("engine", OK, text)
    for engine, text in refused.items():
        yield Finding("engine", NOTE if fine else PROBLEM, text, f'pip install --upgrade "edgevc[{engine}]"')
    for engine, text in missing.items():
        if fine:
            yield Finding("engine", OK, f"{text}; one engine is enough")
        else:
            yield Finding("engine", PROBLEM, text, f'pip install "edgevc[{engine}]"')


def check_settings(machine: Machine) -> Iterable[Finding]:
    """The configuration file and the environment can be read."""
    import argparse

    from edgevc.live.settings import LIVE

    try:
        found = LIVE.resolve_with_origins(argparse.Namespace(), machine.environment)
    except EdgevcError as error:
        yield Finding("settings", PROBLEM, str(error))
        return
    where = f"{found.path}, {len(found.origins)} settings" if found.path else "no configuration file, defaults hold"
    yield Finding("settings", OK, where, None if found.path else "edgevc tune")


def check_sound_server(machine: Machine) -> Iterable[Finding]:
    """PulseAudio or PipeWire runs, and ALSA programs reach it."""
    runtime = machine.environment.get("XDG_RUNTIME_DIR", f"/run/user/{machine.uid}").lstrip("/")
    pipewire = (machine.root / runtime / "pipewire-0").exists()
    pulse = (machine.root / runtime / "pulse/native").exists() or bool(machine.environment.get("PULSE_SERVER"))
    plugin = machine.find("usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so")
    plugin += machine.find("usr/lib/*/alsa-lib/libasound_module_pcm_pipewire.so")
    if pipewire or pulse:
        name = "PipeWire" if pipewire else "PulseAudio"
        if plugin:
            yield Finding("sound server", OK, f"{name} runs, and ALSA programs reach it")
        else:
            package = "pipewire-alsa" if pipewire else "libasound2-plugins"
            yield Finding(
                "sound server",
                PROBLEM,
                f"{name} runs, but ALSA programs (PortAudio is one) have no plugin to reach it",
                f"sudo apt-get install {package}",
            )
    else:
        yield Finding(
            "sound server",
            OK,
            "none runs: edgevc opens the sound card itself",
            "--virtual-mic needs one: sudo apt-get install pulseaudio libasound2-plugins",
        )


def check_permissions(machine: Machine) -> Iterable[Finding]:
    """The user may open sound cards."""
    cards = machine.find("dev/snd/pcm*")
    if not cards:
        yield Finding(
            "sound card",
            NOTE,
            "the kernel shows no sound card (/dev/snd is empty)",
            "plug in a USB sound card, or enable the HAT's overlay in /boot/firmware/config.txt; `arecord -l` lists",
        )
    elif machine.uid == 0 or "audio" in machine.groups() or all(os.access(card, os.R_OK | os.W_OK) for card in cards):
        kinds = {"p": "playback", "c": "capture"}
        have = [word for end, word in kinds.items() if any(card.name.endswith(end) for card in cards)]
        if len(have) == 2:
            yield Finding("sound card", OK, "capture and playback, and this user may open them")
        else:
            yield Finding(
                "sound card",
                NOTE,
                f"{' and '.join(have)} only, no {'capture' if 'capture' not in have else 'playback'}",
                "plug in a microphone (a Raspberry Pi has none of its own); `arecord -l` lists",
            )
    else:
        yield Finding(
            "sound card",
            PROBLEM,
            "this user may not open /dev/snd",
            'sudo usermod -aG audio "$USER", then log in again',
        )


def check_realtime(machine: Machine) -> Iterable[Finding]:
    """The worker may run before other programs."""
    _, hard = machine.limit(resource.RLIMIT_RTPRIO)
    if machine.uid == 0 or hard == resource.RLIM_INFINITY or hard >= 1:
        granted = PRIORITY if machine.uid == 0 or hard == resource.RLIM_INFINITY else min(PRIORITY, hard)
        yield Finding("real-time priority", OK, f"allowed, {granted} will be used")
    else:
        yield Finding(
            "real-time priority", NOTE, "not allowed (RLIMIT_RTPRIO 0): other programs may interrupt", LIMITS_COMMAND
        )


def check_memory_lock(machine: Machine) -> Iterable[Finding]:
    """The memory may be kept from being paged out."""
    _, hard = machine.limit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY or (machine.root == Path("/") and may_lock_memory()):
        yield Finding("memory lock", OK, "allowed")
    else:
        yield Finding("memory lock", NOTE, f"not allowed (RLIMIT_MEMLOCK {hard // 1024} kB)", LIMITS_COMMAND)


def check_governor(machine: Machine) -> Iterable[Finding]:
    """The processor does not sleep while the audio waits."""
    found = {path.read_text(encoding="ascii", errors="replace").strip() for path in _governors(machine)}
    driver = machine.read("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver") or ""
    command = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    if (machine.root / "etc/nv_tegra_release").exists():
        command = "sudo nvpmodel -m 0 && sudo jetson_clocks"
    words = ", ".join(sorted(found))
    if not found:
        yield Finding("governor", OK, "the system does not change the processor's clock")
    elif found == {"performance"}:
        yield Finding("governor", OK, "performance")
    elif "powersave" in found and driver not in ("intel_pstate", "amd-pstate-epp"):
        # with these two drivers powersave only means that the processor itself decides
        yield Finding("governor", PROBLEM, f"{words}: the processor stays at its lowest clock", command)
    else:
        yield Finding("governor", NOTE, f"{words}: a call may meet a slow clock", command)


def _governors(machine: Machine) -> list[Path]:
    return machine.find("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")


_THROTTLED = {
    0: ("the supply's voltage is too low", "use the supply that belongs to the board, and a short cable"),
    1: ("the clock is capped", "cool the board"),
    2: ("the processor is throttled", "cool the board, use a stronger supply"),
    3: ("the temperature's soft limit holds", "cool the board"),
}


def check_throttling(machine: Machine) -> Iterable[Finding]:
    """A Raspberry Pi has power and cooling enough, and no machine is too hot."""
    flags = _throttled(machine)
    for bit, (words, fix) in _THROTTLED.items():
        if flags >> bit & 1:
            yield Finding("power and heat", PROBLEM, f"now {words}", fix)
        elif flags >> (16 + bit) & 1:
            yield Finding("power and heat", NOTE, f"since the start it happened that {words}", fix)
    zones = [_celsius(path) for path in machine.find("sys/class/thermal/thermal_zone*/temp")]
    hottest = max((value for value in zones if value is not None), default=None)
    if hottest is not None and hottest >= _HOT_C:
        yield Finding("power and heat", NOTE, f"{hottest:.0f} degrees C", "cool the board: at 80 it slows down")
    elif not flags:
        yield Finding("power and heat", OK, "nothing to complain of" if hottest is None else f"{hottest:.0f} degrees C")


def _throttled(machine: Machine) -> int:
    """Return the firmware's bits, see _THROTTLED; 0 where it has none, or says what is no number."""
    text = machine.run(["vcgencmd", "get_throttled"]) if "Raspberry" in machine.board else None
    raw = (text or "").strip().partition("=")[2] or machine.read("sys/devices/platform/soc/soc:firmware/get_throttled")
    try:
        return int(raw or "0", 16)
    except ValueError:
        return 0


def _celsius(path: Path) -> float | None:
    try:
        return int(path.read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        return None


def check_load(machine: Machine) -> Iterable[Finding]:
    """Other programs leave time and memory."""
    cores = len(machine.find("sys/devices/system/cpu/cpu[0-9]*")) or 1
    text = machine.read("proc/loadavg")
    busy = float(text.split()[0]) if text else 0.0
    if busy >= cores:
        yield Finding("other programs", NOTE, f"{busy:.1f} wait for {cores} cores", "look with `top`, and end them")
    else:
        yield Finding("other programs", OK, f"load {busy:.1f} on {cores} cores")
    lines = (machine.read("proc/meminfo") or "").splitlines()
    free = next((int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:")), None)
    if free is not None and free < _LITTLE_MEMORY_MB:
        yield Finding("memory", PROBLEM, f"{free} MB are free, a session takes up to 80", "end other programs")
    elif free is not None:
        yield Finding("memory", OK, f"{free} MB free")


def check_devices(machine: Machine) -> Iterable[Finding]:
    """PortAudio is reachable, and there is a microphone and a speaker."""
    from edgevc.devices import catalogue as devices

    backends, reasons = [], []
    for backend in ("portaudio", "pyaudio"):
        try:
            devices.sound_library(backend)
            backends.append(backend)
        except EdgevcError as error:
            reasons.append(str(error))
    if any("libportaudio2" in reason for reason in reasons):
        yield Finding(
            "PortAudio",
            NOTE if backends else PROBLEM,
            "its library is not installed, which edgevc's own callback needs",
            "sudo apt-get install libportaudio2",
        )
        if not backends:
            return
    elif not backends:
        yield Finding(
            "PortAudio",
            PROBLEM,
            "neither was the C++ core built with PortAudio nor is PyAudio installed",
            'sudo apt-get install portaudio19-dev gcc python3-dev; pip install "edgevc[audio]"',
        )
        return
    elif "portaudio" in backends:
        yield Finding("PortAudio", OK, f"through {' and '.join(backends)}")
    else:
        yield Finding(
            "PortAudio",
            NOTE,
            "through pyaudio alone, whose callback waits for Python: expect underruns on a busy machine",
            "sudo apt-get install portaudio19-dev, then build edgevc again",
        )
    try:
        found = devices.list_devices()
    except EdgevcError as error:
        yield Finding("devices", PROBLEM, str(error), "arecord -l; aplay -l")
        return
    for direction, word, program in (("input", "microphone", "arecord"), ("output", "speaker", "aplay")):
        usable = [device for device in found if device.channels(direction)]
        if not usable:
            fix = f"plug one in; `{program} -l` shows what ALSA finds"
            yield Finding("devices", PROBLEM, f"PortAudio finds no {word}", fix)
            continue
        chosen = devices.find_device(found, None, direction)
        yield Finding(
            "devices",
            OK,
            f"{word}: {chosen.name}, {chosen.sample_rate} Hz by default, any rate is resampled; "
            f"{len(usable)} to choose from (--{direction})",
        )


CHECKS: Mapping[str, Callable[[Machine], Iterable[Finding]]] = {
    "system": check_system,
    "core": check_core,
    "engines": check_engines,
    "settings": check_settings,
    "sound card": check_permissions,
    "sound server": check_sound_server,
    "devices": check_devices,
    "real-time priority": check_realtime,
    "memory lock": check_memory_lock,
    "governor": check_governor,
    "power and heat": check_throttling,
    "other programs": check_load,
}


def examine(machine: Machine | None = None) -> list[Finding]:
    """Run every check; one that fails itself is a problem, not the end."""
    machine = machine or Machine()
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(machine)
        except Exception as error:  # one check that fails must not end the report
            findings.append(Finding(name, PROBLEM, f"this could not be looked at: {type(error).__name__}: {error}"))
    return findings
