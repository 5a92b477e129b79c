"""Makes a microphone out of edgevc's output, so that any program can record the converted voice.

It needs PulseAudio, or PipeWire with pipewire-pulse. Two modules are loaded: a null sink, into which edgevc plays, and
a source named "edgevc" that carries what is played there. Both go when the session ends; what a session that was
killed left behind is found again and used.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping

from edgevc.errors import AudioDeviceError, ConfigError

_LOG = logging.getLogger(__name__)

NAME = "edgevc"
"""Of the source, as other programs list it."""
SINK = "edgevc_output"
"""Of the sink that feeds it."""
PROPERTY = "edgevc.virtual_mic"
_SOUND_SERVERS = ("pulse", "pipewire", "default")
_LATENCY_MS = 10
_TIMEOUT_S = 10.0
# sys/prctl.h
_PR_SET_PDEATHSIG = 1


class VirtualMicrophone:
    """The two modules; made by `open`, taken away by `close`."""

    def __init__(self, rate: int = 48_000, environment: Mapping[str, str] | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            rate: Hz of the source; 48 kHz is what browsers and conference programs ask for.
            environment: of pactl, the process's own where None.
        """
        self._environment = dict(os.environ if environment is None else environment)
        self._rate = rate
        self._modules: list[str] = []
        self._reader: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Load the modules, or take over those that are there.

        Raises:
            AudioDeviceError: there is no pactl or no sound server, or it refuses.
        """
        if shutil.which("pactl", path=self._environment.get("PATH")) is None:
            raise AudioDeviceError(
                "a virtual microphone needs pactl and a PulseAudio or PipeWire that runs; "
                "sudo apt-get install pulseaudio-utils, or leave --virtual-mic out"
            )
        there = self._names("sinks") | self._names("sources")
        if NAME in there and SINK in there:
            self._modules = self._find()
            if not self._modules:
                raise AudioDeviceError(
                    f"a source named {NAME!r} is there already and is not edgevc's; remove it (`pactl list modules`)"
                )
            _LOG.info("the virtual microphone %r of an earlier session is used again", NAME)
        else:
            for number in self._find():
                self._unload(number)
            form = [f"rate={self._rate}", "channels=1", "channel_map=mono"]
            try:
                self._load(
                    "module-null-sink",
                    f"sink_name={SINK}",
                    f"sink_properties='device.description=edgevc-output {PROPERTY}=1'",
                    *form,
                    # without it PulseAudio's null sink renders up to 2 s ahead; PipeWire's does not know the word
                    *([] if self._pipewire() else ["norewinds=1"]),
                )
                self._load(
                    "module-remap-source",
                    f"source_name={NAME}",
                    f"master={SINK}.monitor",
                    f"source_properties='device.description=edgevc {PROPERTY}=1'",
                    "master_channel_map=mono",
                    *form,
                )
            except AudioDeviceError:
                self.close()
                raise
        self._keep_blocks_short()

    def _pipewire(self) -> bool:
        return "PipeWire" in self._pactl("info")

    def _load(self, *words: str) -> None:
        self._modules.append(self._pactl("load-module", *words).strip())

    def _keep_blocks_short(self) -> None:
        """A null sink renders as slowly as its most patient listener allows; a reader asks for 10 ms."""
        if shutil.which("parec", path=self._environment.get("PATH")) is None:
            return
        command = ["parec", f"--device={SINK}.monitor", "--raw", "--channels=1", f"--rate={self._rate}"]
        command += [f"--latency-msec={_LATENCY_MS}", f"--process-time-msec={_LATENCY_MS}"]
        libc = ctypes.CDLL(None)
        with contextlib.suppress(OSError):
            self._reader = subprocess.Popen(  # noqa: S603
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Ctrl-C in the terminal is for the session, which ends the reader, even when it is killed itself
                start_new_session=True,
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
            )

    def close(self) -> None:
        """Unload the modules; may be called twice, never raises."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(OSError):
                reader.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                reader.wait(2)
            if reader.poll() is None:
                reader.kill()
                reader.wait()
        modules, self._modules = self._modules, []
        for number in reversed(modules):
            self._unload(number)

    def _unload(self, number: str) -> None:
        try:
            self._pactl("unload-module", number)
        except AudioDeviceError as error:
            # the server is gone, and the module with it
            _LOG.debug("module %s: %s", number, error)

    def _find(self) -> list[str]:
        """Return the numbers of edgevc's modules, in the order in which they were loaded."""
        lines = [line.split("\t") for line in self._pactl("list", "short", "modules").splitlines()]
        return [parts[0] for parts in lines if len(parts) > 2 and PROPERTY in parts[2]]

    def _names(self, what: str) -> set[str]:
        lines = [line.split("\t") for line in self._pactl("list", "short", what).splitlines()]
        return {parts[1] for parts in lines if len(parts) > 1}

    def _pactl(self, *words: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603
                ["pactl", *words],  # noqa: S607
                # the numbers are wanted in the C locale's words
                env={**self._environment, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AudioDeviceError(f"pactl {words[0]} does not answer: {error}; restart the sound server") from error
        if done.returncode != 0:
            said = done.stderr.strip() or f"exit status {done.returncode}"
            raise AudioDeviceError(
                f"pactl {words[0]} must succeed, it said: {said}; see that PulseAudio or PipeWire runs (`pactl info`)"
            )
        return done.stdout


@contextlib.contextmanager
def virtual_microphone(output: str | None) -> Iterator[None]:
    """Keep the microphone while the block runs: what this process plays to the sound server leads into it.

    PortAudio opens the sound server as one device; PULSE_SINK says which sink that is, so the variable is set for
    this process meanwhile.

    Args:
        output: the device that the user names, if any.

    Raises:
        ConfigError: an output device is named, too.
        AudioDeviceError: see `VirtualMicrophone.open`.
    """
    if output is not None and output.casefold() not in _SOUND_SERVERS:
        raise ConfigError(
            f"--virtual-mic is the output, got --output {output} as well; leave one of them out "
            "(to hear it: pactl load-module module-loopback source=edgevc)"
        )
    microphone = VirtualMicrophone()
    microphone.open()
    before = os.environ.get("PULSE_SINK")
    os.environ["PULSE_SINK"] = SINK
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PULSE_SINK", None)
        else:
            os.environ["PULSE_SINK"] = before
        microphone.close()
