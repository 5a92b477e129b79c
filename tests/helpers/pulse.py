"""A sound card made of software: a private PulseAudio with a virtual microphone and a virtual loudspeaker.

What is played into the sink `vmic_feed` is what the default input hears; what is played on the default output can be
recorded from `vspk.monitor`. It needs no hardware, no D-Bus and no rights; as root it works too.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from helpers.stood_still import EXCUSED, watch

FORMAT = "format=s16le rate={rate} channels=1 channel_map=mono"
# norewinds: without it a null sink renders up to 2 s ahead, and a client gets nothing until that time is over.
CONFIG = """.fail
load-module module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 socket={folder}/native
load-module module-null-sink sink_name=vmic_feed {format} norewinds=1
load-module module-remap-source source_name=vmic master=vmic_feed.monitor {format} master_channel_map=mono
load-module module-null-sink sink_name=vspk {format} norewinds=1
set-default-source vmic
set-default-sink vspk
"""
# The hints make PortAudio list the devices. "default" is both directions on one clock, the other two are devices apart.
ALSA = """pcm.!default { type pulse hint { show on description "virtual" } }
ctl.!default { type pulse }
pcm.microphone { type pulse device vmic hint { show on description "virtual microphone" } }
pcm.speaker { type pulse device vspk hint { show on description "virtual loudspeaker" } }
"""
START_SECONDS = 10.0
ATTEMPTS = 4


def patiently(attempt, sound, own_load=False):
    """Call attempt(sound); again only where it was measured that the machine had no time for its programs meanwhile.

    An attempt that fails on a machine that had time is a defect, also if it would hold the next time. Each further
    attempt has a server of its own, because a null sink that fell behind once keeps its delay.

    Args:
        attempt: raises AssertionError where it does not hold.
        sound: the server of the first attempt.
        own_load: it keeps all cores busy itself.
    """
    for left in reversed(range(ATTEMPTS)):
        with (
            virtual_sound() if left < ATTEMPTS - 1 else contextlib.nullcontext(sound) as fresh,
            watch(fresh.folder / f"late{left}", ahead=own_load) as late,
        ):
            try:
                attempt(fresh)
                return
            except AssertionError:
                if not left or not late():
                    raise
                EXCUSED.append(f"{attempt.__qualname__.partition('.')[0]}: a program woke up {max(late()):.0f} ms late")
        time.sleep(1.0)


def in_real_time():
    """Words before a command that must be on time, where this user may say them: the server stands for hardware."""
    words = ["chrt", "-f", "20"]
    allowed = shutil.which("chrt") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    return words if allowed else []


class VirtualSound:
    """The running server; `environment` is what a program needs to find it."""

    def __init__(self, folder, rate):
        self.folder, self.rate = folder, rate
        self.environment = {
            "PULSE_SERVER": f"unix:{folder}/native",
            "PULSE_COOKIE": f"{folder}/cookie",
            "ALSA_CONFIG_PATH": f"{folder}/asound.conf",
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_CONFIG_PATH": str(folder),
        }

    @property
    def variables(self):
        return {**os.environ, **self.environment}

    def pactl(self, *arguments):
        done = subprocess.run(["pactl", *arguments], env=self.variables, capture_output=True, text=True, timeout=10)
        if done.returncode:
            raise RuntimeError(f"pactl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def module(self, argument):
        """The number of the module that was loaded with `argument`."""
        for line in self.pactl("list", "short", "modules").splitlines():
            number, _, rest = line.partition("\t")
            if argument in rest:
                return number
        raise RuntimeError(f"no module with {argument}")

    def load_sink(self, name):
        return self.pactl(
            "load-module",
            "module-null-sink",
            f"sink_name={name}",
            *FORMAT.format(rate=self.rate).split(),
            "norewinds=1",
        )

    def unload_sink(self, name):
        self.pactl("unload-module", self.module(f"sink_name={name}"))

    def load_microphone(self):
        """Load again what goes with the sink `vmic_feed`."""
        self.load_sink("vmic_feed")
        form = FORMAT.format(rate=self.rate).split()
        self.pactl(
            "load-module",
            "module-remap-source",
            "source_name=vmic",
            "master=vmic_feed.monitor",
            *form,
            "master_channel_map=mono",
        )

    def pcm(self):
        return ["--raw", f"--rate={self.rate}", "--channels=1", "--format=s16le"]

    def play(self, samples, device="vmic_feed"):
        """Play float samples (T,) into a sink; returns the process, which ends with the last sample."""
        path = self.folder / "played.raw"
        path.write_bytes(to_pcm(samples).tobytes())
        command = [*in_real_time(), "paplay", f"--device={device}", "--latency-msec=200", *self.pcm(), str(path)]
        return subprocess.Popen(command, env=self.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def recording(self, device="vspk.monitor"):
        """Records while the block runs; yields a function that stops it and returns int16 samples (T,)."""
        path = self.folder / "recorded.raw"
        command = [*in_real_time(), "parec", f"--device={device}", "--latency-msec=20", *self.pcm()]
        with path.open("wb") as file:
            process = subprocess.Popen(command, env=self.variables, stdout=file, stderr=subprocess.DEVNULL)

        def finish():
            stop(process)
            return np.fromfile(path, "<i2")

        try:
            yield finish
        finally:
            stop(process)


def to_pcm(samples):
    return np.rint(np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2")


def stop(process):
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
        return
    process.kill()
    process.wait()


@contextlib.contextmanager
def virtual_sound(rate=16_000):
    """Start the server, yield a VirtualSound, stop everything.

    The environment of this process is changed meanwhile: PortAudio looks for devices in it.
    """
    for program in ("pulseaudio", "pactl", "paplay", "parec"):
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is missing; run `sh scripts/need.sh sound`")
    folder = Path(tempfile.mkdtemp(prefix="edgevc-sound-"))
    sound = VirtualSound(folder, rate)
    (folder / "pa.conf").write_text(CONFIG.format(folder=folder, format=FORMAT.format(rate=rate)))
    (folder / "asound.conf").write_text(ALSA)
    # must not find another server, nor a desktop that starts one
    hidden = ("PULSE_SERVER", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS")
    variables = {name: value for name, value in sound.variables.items() if name not in hidden}
    processes, before = [], {name: os.environ.get(name) for name in sound.environment}
    try:
        command = [
            *in_real_time(), "pulseaudio", "-n", "-F", str(folder / "pa.conf"), "--daemonize=no", "--use-pid-file=no",
            "--exit-idle-time=-1", "--high-priority=no", "--realtime=no", "--disable-shm=yes",
            f"--log-target=newfile:{folder / 'pa.log'}",
        ]  # fmt: skip
        with (folder / "pa.err").open("wb") as errors:
            processes.append(subprocess.Popen(command, env=variables, stderr=errors))
        _wait_for(sound, processes[0])
        for sink in ("vmic_feed", "vspk"):
            processes.append(_keep_blocks_short(sound, sink))
        os.environ.update(sound.environment)
        yield sound
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for process in reversed(processes):
            stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _keep_blocks_short(sound, sink):
    """A reader that asks for 5 ms. Without it a null sink renders 50 ms at a time, and capture comes in bursts."""
    command = [
        *in_real_time(), "parec", f"--device={sink}.monitor", "--latency-msec=5", "--process-time-msec=5", *sound.pcm()
    ]  # fmt: skip
    return subprocess.Popen(command, env=sound.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for(sound, server):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            if "vmic" in sound.pactl("list", "short", "sources") and "vspk" in sound.pactl("list", "short", "sinks"):
                return
        time.sleep(0.1)
    logs = [path.read_text(errors="replace") for path in sorted(sound.folder.glob("pa.[el]*"))]
    raise RuntimeError("the virtual sound server did not start: " + "".join(logs))
