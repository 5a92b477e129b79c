"""The privacy proxy: speech is passed on to a Wyoming service in a voice that is not its owner's.

Client -> service: `audio-start`, `audio-chunk` and `audio-stop` are written anew, with converted sound; everything else
goes on byte for byte. Service -> client: everything goes on byte for byte but `info`, in which programs get a name of
their own. Where anything at all goes wrong with the sound, the session ends: the original is never passed on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import TypeVar

from edgevc.errors import SessionError
from edgevc.limits import SAMPLE_RATE
from edgevc.wyoming.address import Address
from edgevc.wyoming.frames import Frame, FrameError, make_frame
from edgevc.wyoming.info import named_anew, original_name
from edgevc.wyoming.link import Link
from edgevc.wyoming.recording import ChangedRecording, VoiceChange
from edgevc.wyoming.sound import SPEECH, AudioFormat, timestamp_of
from edgevc.wyoming.workers import WorkError, Workers

_LOG = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
R = TypeVar("R")
_SPEECH = {"rate": SPEECH.rate, "width": SPEECH.width, "channels": SPEECH.channels}


class Proxy:
    """What all sessions share."""

    def __init__(self, upstream: Address, change: VoiceChange, name: str = "edgevc") -> None:
        """Describe the proxy.

        Args:
            upstream: gets the converted speech.
            change: what is made of voices.
            name: goes before the names of the service's programs.
        """
        self.upstream = upstream
        self.change = change
        self.name = name
        self.workers = Workers(os.cpu_count() or 1)
        self.failures = 0
        """Sessions that ended because their sound could not be converted."""

    def converse(self, client: Link) -> ProxySession:
        """Return the session of a new client."""
        return ProxySession(client, self)

    def close(self) -> None:
        """Let the threads end."""
        self.workers.close()


class ProxySession:
    """One client and its own connection to the service."""

    def __init__(self, client: Link, proxy: Proxy) -> None:
        """Use `Proxy.converse`."""
        self._client = client
        self._proxy = proxy
        self._upstream: Link | None = None

    async def run(self) -> None:
        """Pass on until one of the two ends; see `Session.run`."""
        try:
            upstream = await Link.connect(*self._proxy.upstream, CONNECT_SECONDS)
        except OSError as error:
            _LOG.warning("%s does not answer: %s", self._proxy.upstream, error.strerror or error)
            raise SessionError("the service behind the proxy does not answer; is it running?") from error
        self._upstream = upstream
        # each way in a task of its own: a slow one does not hold up the other
        there = asyncio.create_task(ClientToService(self._client, upstream, self._proxy).run())
        back = asyncio.create_task(_service_to_client(upstream, self._client, self._proxy.name))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if not back.done() and there.exception() is None:
                # the client has said all; the answer may still come
                await asyncio.wait((back,))
            for task in (there, back):
                if task.done():
                    task.result()
        finally:
            upstream.abort()
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    def quiet_since(self) -> float:
        """Return when something last came from either side."""
        return max(link.heard_at for link in self._links())

    def overdue(self, now: float) -> str | None:
        """Return which side has had its time, and why."""
        return next(filter(None, (link.overdue(now) for link in self._links())), None)

    def abort(self) -> None:
        """Break both connections."""
        for link in self._links():
            link.abort()

    def _links(self) -> list[Link]:
        return [self._client] + ([self._upstream] if self._upstream else [])


class ClientToService:
    """One way: what the client says, its voice changed."""

    def __init__(self, client: Link, upstream: Link, proxy: Proxy) -> None:
        """Both are connected."""
        self._client = client
        self._upstream = upstream
        self._proxy = proxy
        self._recording: ChangedRecording | None = None
        self._began: int | None = None
        """Timestamp of the recording's first sample, milliseconds."""
        self._n_out = 0
        """Samples of it that went out."""

    async def run(self) -> None:
        """Pass on until the client has sent its last.

        Raises:
            WorkError: sound could not be converted; nothing of it went on.
            FrameError: the client broke a rule.
            OSError: a connection broke.
        """
        while (frame := await self._client.receive()) is not None:
            # whatever is sound is never passed on as it is
            if frame.type == "audio-chunk":
                await self._chunk(frame)
            elif frame.type == "audio-start":
                await self._start(frame)
            elif frame.type == "audio-stop":
                await self._stop(frame)
            elif frame.type == "select-program":
                await self._upstream.send(original_name(frame, self._proxy.name))
            else:
                await self._upstream.send(frame)
        self._upstream.end_sending()

    async def _start(self, frame: Frame) -> None:
        await self._end_recording()
        form = AudioFormat.of(frame.data())
        self._began = timestamp_of(frame)
        await self._upstream.send(make_frame("audio-start", {**_SPEECH, "timestamp": self._began}))
        await self._begin_recording(form)

    async def _chunk(self, frame: Frame) -> None:
        form = AudioFormat.of(frame.data())
        recording = self._recording
        if recording is None or recording.format != form:
            await self._end_recording()
            self._began = timestamp_of(frame)
            recording = await self._begin_recording(form)
        for piece in form.pieces(frame.payload):
            await self._send(await self._work(recording.convert, piece))

    async def _stop(self, frame: Frame) -> None:
        timestamp = timestamp_of(frame)
        await self._end_recording()
        await self._upstream.send(make_frame("audio-stop", {"timestamp": timestamp}))

    async def _begin_recording(self, form: AudioFormat) -> ChangedRecording:
        self._n_out = 0
        self._recording = await self._work(ChangedRecording, self._proxy.change, form)
        return self._recording

    async def _end_recording(self) -> None:
        """Send what the converter still holds."""
        recording, self._recording = self._recording, None
        if recording is not None:
            await self._send(await self._work(recording.end))

    async def _send(self, speech: bytes) -> None:
        if not speech:
            return
        timestamp = None if self._began is None else self._began + 1000 * self._n_out // SAMPLE_RATE
        self._n_out += len(speech) // SPEECH.frame_bytes
        await self._upstream.send(make_frame("audio-chunk", {**_SPEECH, "timestamp": timestamp}, speech))

    async def _work(self, work: Callable[..., R], *arguments: object) -> R:
        """Do work on the client's sound in a thread."""
        try:
            return await self._proxy.workers.run(work, *arguments)
        except WorkError as error:
            self._proxy.failures += 1
            _LOG.warning("a session ends because its sound could not be converted: %s", error)
            raise WorkError("the sound could not be converted; it was not passed on") from error


async def _service_to_client(upstream: Link, client: Link, name: str) -> None:
    """The other way: pass on until the service has sent its last.

    Raises:
        SessionError: the service broke a rule of the protocol.
        OSError: a connection broke.
    """
    try:
        while (frame := await upstream.receive()) is not None:
            await client.send(named_anew(frame, name) if frame.type == "info" else frame)
    except FrameError as error:
        _LOG.warning("a session ends because of the service: %s", error)
        raise SessionError(f"the service behind the proxy broke a rule: {error}") from error
    client.end_sending()
