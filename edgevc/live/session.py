"""A live session: a sound device and a voice chain, kept together by a scheduler, whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from edgevc.audio.provenance import Provenance
from edgevc.bundle import Voice
from edgevc.control import controls
from edgevc.devices.port import AudioPort
from edgevc.errors import AudioDeviceError, ConfigError, ModelError
from edgevc.limits import SAMPLE_RATE
from edgevc.live.chain import Converter, VoiceChain
from edgevc.live.clock import Clock, SystemClock
from edgevc.live.config import LiveConfig
from edgevc.live.converters import load_converters, own_voices, warm_up
from edgevc.live.device_link import STEP_SECONDS, DeviceLink
from edgevc.live.hang_watch import HangWatch
from edgevc.live.meters import Meters
from edgevc.live.realtime import settle, try_realtime, unsettle
from edgevc.live.recorder import Recorder
from edgevc.live.scheduler import FrameScheduler
from edgevc.live.settings import LIVE, with_hops_of
from edgevc.live.snapshot import snapshot
from edgevc.live.stats import LiveStats
from edgevc.live.taps import Tap

_LOG = logging.getLogger(__name__)

REST_SECONDS = 4.0
"""Muted for so long, the device is given back: its driver's threads cost more than a muted session may."""
WAKE_SECONDS = 0.1
"""A resting session looks up so often, to see whether it is still muted."""
SWITCH_SECONDS = 0.0005
"""A thread that computes shall not keep the worker waiting for the interpreter for Python's 5 ms."""

# `edgevc live` opens what these name, around a session
_OF_THE_COMMAND = ("control", "metrics", "metrics_any_interface")


class LiveSession:
    """Opens a device, converts what it brings, and goes on until it is told to stop.

    With the system's microphone and speaker, or those that are named:

        with edgevc.LiveSession(input="USB*", voice="anon") as session:
            session.apply("mode", "mute")

    While no device is open, audio is lost; settings are kept. A device that fails is opened again. Each fault is
    counted in `stats()` and logged once. All public methods may be called from any thread.

    Example:
        >>> import numpy, edgevc
        >>> from edgevc.testing.simulated_port import FakePort, SimulatedClock
        >>> clock = SimulatedClock()
        >>> def device():
        ...     return FakePort(clock, lambda position, n: numpy.zeros(n, numpy.float32), lambda position, played: None)
        >>> with edgevc.LiveSession(voice="anon", realtime=False, open_port=device, clock=clock) as session:
        ...     session.apply("mode", "mute")
        ...     session.voice, session.mode
        ('anon', 'mute')
    """

    def __init__(
        self,
        config: LiveConfig | None = None,
        *,
        open_port: Callable[[], AudioPort] | None = None,
        converters: Mapping[int, Converter] | None = None,
        clock: Clock | None = None,
        taps: Sequence[Tap] = (),
        **settings: object,
    ) -> None:
        """Load the model; no device is opened yet.

        Args:
            config: valid settings; None: the defaults.
            open_port: opens the device anew at each call and raises AudioDeviceError where it is not there; None: the
                one that the settings name.
            converters: hops per call to converter; more than `chunk_hops` for the policy `batch`. None: the model that
                the settings name is loaded.
            clock: of the port; None: the machine's.
            taps: are given every chunk, in the audio thread; see `Tap`.
            settings: fields of `LiveConfig`, such as voice="anon", on top of `config`.

        Raises:
            ConfigError: there is no such setting, or a value breaks its rule.
            ModelError: the model is damaged or has no such voice.
            EngineError: no engine is installed, or none computes the model correctly here.
            OutputError: a recording cannot be created.
        """
        for name in _OF_THE_COMMAND:
            if name in settings:
                raise ConfigError(f"{name} is served by `edgevc live`, not by a LiveSession; leave it out")
        config = LIVE.with_values(config or LiveConfig(), settings)
        if config.virtual_mic:
            # feedback needs a way from the output to the microphone, which other programs do not give
            config = dataclasses.replace(config, feedback_guard=False)
        self._clock = clock or SystemClock()
        self._converters = load_converters(config) if converters is None else converters
        self._config = config = with_hops_of(config, self._converters)
        first = self._converters[config.chunk_hops]
        wanted, own = own_voices(first, config.voice)
        self.voices = (*first.voices, *(name for name in own if name not in first.voices))
        """Names that may be switched to; the first is the default."""
        self._meters = Meters()
        self._recorder = None
        if config.record is not None:
            made_with = self._converters[config.chunk_hops].made_with
            wet = Provenance.of_conversion(made_with, marked=config.mark)
            self._recorder = Recorder(config.record, SAMPLE_RATE, provenances=(Provenance.of_recording(), wet))
        taps = taps if self._recorder is None else (self._recorder, *taps)
        voice = wanted or self.voices[0]
        self._chain = VoiceChain(self._converters, config.chunk_hops, voice, config, taps, own)
        self._stop = threading.Event()
        self.link = DeviceLink(open_port or _device_of(config), self._schedule, self._clock, self._stop)
        """The device and its scheduler, while they are there; for who wants to look."""
        self._parts = contextlib.ExitStack()
        self._thread: threading.Thread | None = None
        self._moving = threading.Lock()
        self._error: BaseException | None = None
        self._state = "starting"
        self._started_at = self._clock.now()
        self._silent_since: float | None = None
        self._hang_watch = HangWatch(self._clock)

    # --- life

    def start(self) -> None:
        """Open the device and start the worker.

        Raises:
            AudioDeviceError: the device is not there or refuses; a session that runs would wait for it instead.
        """
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        self.open()
        self._thread = threading.Thread(target=self._run, name="edgevc-live", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Do what `start` does, without the worker; whoever calls this calls `step` again and again."""
        if self._config.virtual_mic:
            from edgevc.devices.virtual_mic import virtual_microphone

            self._parts.enter_context(virtual_microphone(self._config.output))
        voice = self._chain.voice
        warm_up(self._converters, self._config.chunk_hops, self._chain.introduced.get(voice, voice))
        settle()
        self.link.connect()
        self._state = "live"

    def __enter__(self) -> LiveSession:
        """Start."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what ended the worker is raised, unless another error is."""
        try:
            self.stop()
        except BaseException:
            if kind is None:
                raise

    def step(self) -> None:
        """Take one chunk through, or try to find the device again; for who has opened the session without a worker.

        Raises:
            RuntimeError: another thread moves the session; nothing has changed.
        """
        if self._thread is not None or not self._moving.acquire(blocking=False):
            raise RuntimeError(
                "this LiveSession is in use by another thread; let one thread alone call step(), none after start()"
            )
        try:
            self._step()
        finally:
            self._moving.release()

    def _step(self) -> None:
        if self._state == "resting":
            self._rest()
        elif self._may_rest():
            _LOG.info("muted: the sound device is given back until the session is heard again")
            self.link.disconnect()
            self._state = "resting"
        else:
            self.link.step()
            if self.link.ended:
                self._finish()

    def stop(self) -> None:
        """Stop the worker, release the device and complete the recordings; may be called twice.

        Raises:
            EdgevcError: what ended the worker, if it did not end by itself.
        """
        self._stop.set()
        hangs = False
        if self._thread is not None and self._thread is not threading.current_thread():
            while self._thread.is_alive() and not hangs:
                self._thread.join(STEP_SECONDS)
                hangs = self._worker_hangs()
            self._thread = None
        if not hangs:
            # else the worker may yet come back, and use it
            self.link.disconnect()
        self._parts.close()
        self._chain.close()
        if self._recorder is not None:
            self._recorder.close()
        unsettle()
        self._state = "stopped"
        self._raise()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the session has ended by itself (its input is over) or failed; return whether it has.

        Raises:
            EdgevcError: what ended the worker.
        """
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                return False
        self._raise()
        return True

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        try:
            if self._config.realtime:
                try_realtime()
            while not self._stop.is_set():
                self._step()
        except BaseException as error:
            self._error = error
            _LOG.error("the live session ends: %s", error)
        finally:
            self._state = "stopped"

    def _worker_hangs(self) -> bool:
        """Return whether a call of the model will not come back, and end the session then."""
        seconds = self._hang_watch.look(self._meters.busy_since)
        if not seconds:
            return False
        if not self._stop.is_set() or self._state != "stopped":
            self._error = ModelError(
                "a call of the model must take less time than its sound, one has not come back for "
                f"{seconds:.0f} s; choose another model or engine"
            )
            _LOG.error("the live session ends: %s", self._error)
            self._stop.set()
            self._state = "stopped"
        return True

    def _schedule(self, port: AudioPort) -> FrameScheduler:
        return FrameScheduler(
            port,
            self._chain,
            self._meters,
            self._clock,
            preroll_ms=self._config.preroll_ms,
            max_latency_ms=self._config.max_latency_ms,
            overload=self._config.overload,
            batch_sizes=tuple(sorted(self._converters)),
        )

    def _may_rest(self) -> bool:
        """Return whether nobody would miss the device: long muted, and nothing listens, records or is mixed in."""
        port = self.link.port
        if not self._chain.silent or self._recorder is not None or port is None or not port.paced:
            self._silent_since = None
            return False
        now = self._clock.now()
        if self._silent_since is None:
            self._silent_since = now
        return now - self._silent_since >= REST_SECONDS

    def _rest(self) -> None:
        if self._chain.silent:
            self._clock.sleep(WAKE_SECONDS, self._stop)
            return
        self._silent_since = None
        self._state = "live"
        try:
            self.link.connect()
        except AudioDeviceError as error:
            self.link.lose(str(error))

    def _finish(self) -> None:
        """The input is over: let out what is still inside, and end."""
        if self.link.scheduler is not None:
            self.link.scheduler.flush(self._chain.latency)
        self._stop.set()

    # --- settings

    @property
    def wishes(self) -> controls.Wishes:
        """What the session is asked to be; values must be valid, so `apply` is the way to set one."""
        return self._chain

    def apply(self, name: str, value: object) -> None:
        """Set one of the controls of `edgevc.control.controls`, such as mode; the next chunk follows.

        Raises:
            ConfigError: there is no such control, or the value breaks its rule.
        """
        controls.apply(self, name, value)

    @property
    def config(self) -> LiveConfig:
        """With which the session was made."""
        return self._config

    @property
    def mode(self) -> str:
        """convert, bypass or mute."""
        return self._chain.mode

    def set_mode(self, mode: str) -> None:
        """Convert, let the dry voice through (bypass), or be silent (mute).

        Raises:
            ConfigError: there is no such mode.
        """
        self.apply("mode", mode)

    @property
    def listening(self) -> bool:
        """Whether taps are given phones while nothing is converted."""
        return self._chain.listening

    @property
    def recording_backlog(self) -> int:
        """Chunks that wait for the disk; 0 where nothing is recorded."""
        return self._recorder.backlog if self._recorder is not None else 0

    @property
    def chain_latency(self) -> int:
        """Samples at 16 kHz by which `Chunk.wet` is later than `Chunk.dry`."""
        return self._chain.latency

    def set_listening(self, listening: bool) -> None:
        """Go on hearing while muted or in bypass, so that spoken commands are understood; or rest, as is usual."""
        self.apply("listening", listening)

    @property
    def taps(self) -> tuple[Tap, ...]:
        """Who is given every chunk."""
        return self._chain.taps

    def add_tap(self, tap: Tap) -> None:
        """Give `tap` every chunk from now on; see `Tap`."""
        self._chain.add_tap(tap)

    def remove_tap(self, tap: Tap) -> None:
        """Give `tap` nothing more."""
        self._chain.remove_tap(tap)

    @property
    def voice(self) -> str:
        """The target voice."""
        return self._chain.voice

    def set_voice(self, voice: str | Voice) -> None:
        """Speak as another voice; the two fade into each other.

        Args:
            voice: a name of the bundle's, or a voice that is not in it, which from now on has its name here, too.

        Raises:
            ConfigError: the bundle has no such voice.
        """
        if isinstance(voice, Voice):
            self._chain.introduce(voice)
            if voice.spec.name not in self.voices:
                self.voices = (*self.voices, voice.spec.name)
            voice = voice.spec.name
        self.apply("voice", voice)

    def next_voice(self) -> str:
        """Speak as the bundle's next voice; return its name."""
        self.set_voice(self.voices[(self.voices.index(self.voice) + 1) % len(self.voices)])
        return self.voice

    @property
    def gain_db(self) -> float:
        """Of the output."""
        return self._chain.gain_db

    def set_gain_db(self, gain_db: float) -> None:
        """Make the output louder or softer, -40 to 40 dB.

        Raises:
            ConfigError: outside the range.
        """
        self.apply("gain", gain_db)

    @property
    def semitones(self) -> float:
        """By which the pitch is raised."""
        return self._chain.semitones

    def set_semitones(self, semitones: float) -> None:
        """Raise or lower the pitch, -24 to 24 semitones.

        Raises:
            ConfigError: outside the range.
        """
        self.apply("pitch", semitones)

    # --- what it tells

    @property
    def state(self) -> str:
        """starting, running, resting (muted, the device is given back), reconnecting or stopped."""
        if self._state != "live":
            return self._state
        return "reconnecting" if self.link.port is None else "running"

    def stats(self) -> LiveStats:
        """Return a snapshot."""
        self._worker_hangs()
        seconds = self._clock.now() - self._started_at
        return snapshot(self._chain, self.link, self._meters, self._recorder, state=self.state, seconds=seconds)


def _device_of(config: LiveConfig) -> Callable[[], AudioPort]:
    from edgevc.devices.catalogue import open_port

    return lambda: open_port(config)
