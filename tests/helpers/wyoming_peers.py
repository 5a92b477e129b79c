"""Both ends of a Wyoming service under test: the real package as client, and a service that keeps what it was sent."""

import asyncio
import contextlib
import warnings

from edgevc.wyoming.address import Address
from edgevc.wyoming.frames import MAX_HEADER, make_frame, read_frame
from edgevc.wyoming.proxy import Proxy
from edgevc.wyoming.server import Server

with warnings.catch_warnings():
    # it takes audioop from the standard library as long as that has it
    warnings.simplefilter("ignore")
    from wyoming.asr import Transcribe as Transcribe
    from wyoming.asr import Transcript as Transcript
    from wyoming.audio import AudioChunk as AudioChunk
    from wyoming.audio import AudioStart as AudioStart
    from wyoming.audio import AudioStop as AudioStop
    from wyoming.client import AsyncTcpClient as AsyncTcpClient
    from wyoming.event import Event as Event
    from wyoming.event import async_read_event as async_read_event
    from wyoming.info import Describe as Describe
    from wyoming.info import Info as Info

SECONDS = 60
"""In which anything here happens, also on a busy machine."""


def run(test, seconds=SECONDS):
    """Run a test's coroutine."""
    return asyncio.run(asyncio.wait_for(test, seconds))


class Keeper:
    """A service that keeps every byte, and says what it is told to after each `audio-stop`."""

    def __init__(self, answers=(), *, first=()):
        self.answers = answers
        self.first = first
        self.heard = []
        """Of each connection, the frames that came."""
        self.ended = []
        """Of each connection that has ended, whether its last byte was that of a frame."""

    @property
    def everything(self):
        return b"".join(part for frames in self.heard for frame in frames for part in frame.raw)

    def sound(self, connection=0):
        return b"".join(frame.payload for frame in self.heard[connection] if frame.type == "audio-chunk")

    def types(self, connection=0):
        return [frame.type for frame in self.heard[connection]]

    async def _serve(self, reader, writer):
        frames = []
        self.heard.append(frames)
        with contextlib.suppress(OSError):
            for frame in self.first:
                writer.writelines(frame)
            while first := await reader.read(1):
                frames.append(await read_frame(reader, first))
                if frames[-1].type == "audio-stop":
                    for answer in self.answers:
                        writer.writelines(answer)
                    await writer.drain()
        self.ended.append(len(frames))
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEADER)
        try:
            yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
        finally:
            server.close()


def transcript(text):
    return make_frame("transcript", {"text": text}).raw


@contextlib.asynccontextmanager
async def serving(converse, **options):
    """A server of ours; gives its port."""
    server = Server(converse, **options)
    listening = await server.listen("127.0.0.1", 0)
    task = asyncio.ensure_future(server.run(listening))
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def proxied(keeper, change, **options):
    """A proxy before a keeper; gives the proxy's port."""
    async with keeper.running() as address:
        proxy = Proxy(address, change)
        try:
            async with serving(proxy.converse, **options) as port:
                yield port
        finally:
            proxy.close()


def chunks(raw, form, milliseconds=20):
    """The sound as a satellite sends it."""
    size = form.rate * milliseconds // 1000 * form.frame_bytes
    return [raw[start : start + size] for start in range(0, len(raw), size)]


async def speak(client, raw, form, timestamp=None):
    """Send a recording through the real package's client."""
    named = {"rate": form.rate, "width": form.width, "channels": form.channels}
    await client.write_event(AudioStart(**named, timestamp=timestamp).event())
    for chunk in chunks(raw, form):
        await client.write_event(AudioChunk(**named, audio=chunk).event())
    await client.write_event(AudioStop().event())


async def answer(client, kind="transcript"):
    """Return the next event of a type; None where the connection ends first."""
    while (event := await client.read_event()) is not None:
        if event.type == kind:
            return event
    return None


async def connect(port):
    """A bare connection, for what the package would never send."""
    return await asyncio.open_connection("127.0.0.1", port)


async def hang_up(writer):
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def until(condition):
    """Wait for something to happen in another task."""
    while not condition():
        await asyncio.sleep(0.01)
