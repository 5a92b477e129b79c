"""A live session: a sound device and a voice chain, kept together by a scheduler, whatever happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgevc.control import controls
from edgevc.converter import VoiceConverter
from edgevc.devices.port import AudioPort, PortCounters
from edgevc.errors import AudioDeviceError
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.live.chain import Converter, VoiceChain
from edgevc.live.clock import Clock, SystemClock
from edgevc.live.config import LiveConfig
from edgevc.live.meters import SILENCE_DB, Meters
from edgevc.live.realtime import settle, try_realtime
from edgevc.live.recorder import Recorder
from edgevc.live.scheduler import FrameScheduler
from edgevc.live.stats import LatencyParts, LiveStats
from edgevc.live.taps import Tap

_LOG = logging.getLogger(__name__)

STEP_SECONDS = 0.25
"""The worker looks up at least so often, to see whether it shall stop."""
ASK_SECONDS = 0.5
"""A device that goes on is asked so often whether it still works."""
DEVICE_TIMEOUT_SECONDS = 2.0
"""A device that brings nothing for so long is opened again."""
REST_SECONDS = 4.0
"""Muted for so long, the device is given back: its driver's threads cost more than a muted session may."""
WAKE_SECONDS = 0.1
"""A resting session looks up so often, to see whether it is still muted."""
FIRST_RETRY_SECONDS = 0.25
MAX_RETRY_SECONDS = 5.0

_WARM_UP_CALLS = 20


class LiveSession:
    """Opens a device, converts what it brings, and goes on until it is told to stop.

    A device that fails is opened again, by `open_port`, after a delay that grows from 0.25 to 5 s; what has no device
    loses its sound meanwhile, never its settings. Each fault is counted in `stats()` and logged once.

    All public methods may be called from any thread.
    """

    def __init__(
        self,
        config: LiveConfig,
        open_port: Callable[[], AudioPort],
        converters: Mapping[int, Converter],
        voices: tuple[str, ...],
        clock: Clock | None = None,
        taps: Sequence[Tap] = (),
    ) -> None:
        """Prepare; no device is opened yet.

        Args:
            config: valid settings.
            open_port: opens the device anew at each call, by name, and raises AudioDeviceError where it is not there.
            converters: hops per call to converter; more than `config.chunk_hops` for the policy `batch`.
            voices: that may be switched to; the first is the default.
            clock: of the port; None: the machine's.
            taps: are given every chunk, in the audio thread; see `Tap`.

        Raises:
            ModelError: the voice is not in the bundle.
            OutputError: a recording cannot be created.
        """
        self._config = config
        self._open_port = open_port
        self._clock = clock or SystemClock()
        self._converters = converters
        self.voices = voices
        self._meters = Meters()
        self._recorder = Recorder(config.record, SAMPLE_RATE) if config.record is not None else None
        taps = taps if self._recorder is None else (self._recorder, *taps)
        self._chain = VoiceChain(converters, config.chunk_hops, config.voice or voices[0], config, taps)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._state = "starting"
        self._started_at = self._clock.now()
        self._port: AudioPort | None = None
        self._scheduler: FrameScheduler | None = None
        # of the devices before
        self._counters_before = PortCounters()
        self._restarts = 0
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._heard_at = 0.0
        self._asked_at = 0.0
        self._silent_since: float | None = None

    # --- life

    def start(self) -> None:
        """Open the device and start the worker.

        Raises:
            AudioDeviceError: the device is not there or refuses; a session that runs would wait for it instead.
        """
        self.open()
        self._thread = threading.Thread(target=self._run, name="edgevc-live", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Do what `start` does, without the worker; whoever calls this calls `step` again and again."""
        self._warm_up()
        settle()
        self._connect()

    def step(self) -> None:
        """Take one chunk through, or try to find the device again."""
        if self._state == "resting":
            self._rest()
        elif self._scheduler is None:
            self._reconnect()
        elif self._may_rest():
            _LOG.info("muted: the sound device is given back until the session is heard again")
            self._disconnect()
            self._state = "resting"
        elif self._scheduler.step(STEP_SECONDS):
            self._heard_at = self._clock.now()
            if self._heard_at - self._asked_at >= ASK_SECONDS and self._port is not None:
                # a device may go on and be of no use: late and at the cost of a core, see PortAudioPort
                self._asked_at = self._heard_at
                if self._port.failure is not None:
                    self._lose(self._port.failure)
        elif self._port is not None:
            if self._port.ended:
                self._finish()
            elif self._port.failure is not None:
                self._lose(self._port.failure)
            elif self._clock.now() - self._heard_at > DEVICE_TIMEOUT_SECONDS:
                self._lose(f"it brought nothing for {DEVICE_TIMEOUT_SECONDS:g} s")

    def stop(self) -> None:
        """Stop the worker, release the device and complete the recordings; may be called twice.

        Raises:
            EdgevcError: what ended the worker, if it did not end by itself.
        """
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None
        self._disconnect()
        if self._recorder is not None:
            self._recorder.close()
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
                self.step()
        except BaseException as error:
            self._error = error
            _LOG.error("the live session ends: %s", error)
        finally:
            self._state = "stopped"

    def _warm_up(self) -> None:
        """Let the engine make what it makes at its first calls, before a device waits for them."""
        for hops, converter in self._converters.items():
            stream = converter.stream(self._chain.voice)
            for _ in range(_WARM_UP_CALLS if hops == self._config.chunk_hops else 2):
                stream.process(np.zeros(hops * HOP_LENGTH, np.float32))

    # --- device

    def _connect(self) -> None:
        port = self._open_port()
        try:
            port.start()
        except AudioDeviceError:
            port.stop()
            raise
        self._port = port
        self._scheduler = FrameScheduler(
            port,
            self._chain,
            self._meters,
            self._clock,
            preroll_ms=self._config.preroll_ms,
            max_latency_ms=self._config.max_latency_ms,
            overload=self._config.overload,
            batch_sizes=tuple(sorted(self._converters)),
        )
        self._heard_at = self._clock.now()
        self._state = "running"

    def _lose(self, reason: str) -> None:
        _LOG.warning("the sound device stopped working (%s); it is tried again", reason)
        self._disconnect()
        self._state = "reconnecting"
        self._retry_seconds = FIRST_RETRY_SECONDS

    def _disconnect(self) -> None:
        port, self._port, self._scheduler = self._port, None, None
        if port is not None:
            self._counters_before = _sum(self._counters_before, port.counters())
            port.stop()

    def _reconnect(self) -> None:
        if self._clock.sleep(self._retry_seconds, self._stop):
            return
        self._retry_seconds = min(2 * self._retry_seconds, MAX_RETRY_SECONDS)
        try:
            self._connect()
        except AudioDeviceError as error:
            _LOG.debug("not yet: %s", error)
            return
        self._restarts += 1
        _LOG.warning("the sound device works again")

    def _may_rest(self) -> bool:
        """Return whether nobody would miss the device: long muted, and nothing listens, records or is mixed in."""
        if not self._chain.silent or self._recorder is not None or self._port is None or not self._port.paced:
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
        try:
            self._connect()
        except AudioDeviceError as error:
            self._lose(str(error))

    def _finish(self) -> None:
        """The input is over: let out what is still inside, and end."""
        if self._scheduler is not None:
            self._scheduler.flush(self._chain.latency)
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

    def set_voice(self, voice: str) -> None:
        """Speak as another voice of the bundle; the two fade into each other.

        Raises:
            ConfigError: the bundle has no such voice.
        """
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

    def stats(self) -> LiveStats:
        """Return a snapshot."""
        meters, port = self._meters, self._port
        counters = self._counters_before if port is None else _sum(self._counters_before, port.counters())
        return LiveStats(
            seconds=self._clock.now() - self._started_at,
            state=self._state,
            mode=self._chain.mode,
            voice=self._chain.voice,
            hops=meters.hops,
            input_overflows=counters.input_overflows,
            output_underflows=counters.output_underflows,
            deadlines_missed=meters.deadlines_missed,
            hops_dropped=-(-int(meters.dropped_samples) // HOP_LENGTH),
            hops_bypassed=meters.hops_bypassed,
            drift_corrections=meters.drift_corrections,
            device_restarts=self._restarts,
            worker_stalls=meters.worker_stalls,
            slow_calls=meters.slow_calls,
            bad_samples=meters.bad_samples,
            bad_frames=self._chain.model_guard.bad_frames,
            model_resets=self._chain.model_guard.resets,
            loud_hops=self._chain.model_guard.loud_hops,
            feedback_events=self._chain.feedback_events,
            recording_errors=self._recorder.errors if self._recorder is not None else 0,
            input_level=self._chain.input_level.db if self._state != "resting" else SILENCE_DB,
            output_level=self._chain.output_level.db,
            load=meters.load.value,
            chunk_hops=self._chain.chunk_hops,
            clock_ratio=meters.clock_ratio,
            processing_ms=meters.processing_ms.percentiles(),
            playback_fill_ms=meters.playback_fill_ms.percentiles(),
            latency=self._latency_parts(),
        )

    def _latency_parts(self) -> LatencyParts:
        """Every sample waits as long as it takes the queues to hold what they hold, the chunk being filled included."""
        port, scheduler, meters = self._port, self._scheduler, self._meters
        if port is None or scheduler is None:
            return LatencyParts()
        ms = 1000 / SAMPLE_RATE
        chunk = self._chain.chunk_hops * HOP_LENGTH
        capture = max(0.0, meters.capture_wait - chunk)
        return LatencyParts(
            input_device=1000 * port.input_latency,
            capture_queue=ms * capture,
            input_resampler=ms * scheduler.input_resampler_latency,
            model=ms * (self._chain.converter_latency + chunk),
            output_resampler=ms * scheduler.output_resampler_latency,
            post_chain=ms * self._chain.post_latency,
            playback_queue=ms * max(0.0, meters.queued - chunk - capture),
            output_device=1000 * port.output_latency,
        )


def load_converters(config: LiveConfig) -> tuple[dict[int, VoiceConverter], tuple[str, ...]]:
    """Load the model once for each number of hops per call that the overload policy may need.

    Returns:
        Hops per call to converter, and the names of the voices.

    Raises:
        ConfigError, EngineError, ModelError: see `VoiceConverter`; ModelError also where the voice is unknown.
    """
    from edgevc.bundle import ModelBundle
    from edgevc.limits import CHUNK_HOPS

    bundle = ModelBundle.find(config.model)
    if config.voice is not None:
        bundle.voice(config.voice)
    first = VoiceConverter(bundle, config.engine, config.chunk_hops)
    more = [hops for hops in CHUNK_HOPS if hops > config.chunk_hops] if config.overload == "batch" else []
    converters = {config.chunk_hops: first}
    for hops in more:
        converters[hops] = VoiceConverter(bundle, first.engine, hops)
    return converters, tuple(voice.name for voice in bundle.voices)


def _sum(a: PortCounters, b: PortCounters) -> PortCounters:
    return PortCounters._make(before + now for before, now in zip(a, b, strict=True))
