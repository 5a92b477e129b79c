"""A service for spoken commands: speech-to-text, wake phrases and intents, of the sentences of one grammar.

The transcript is sent as soon as the recogniser knows that the sentence is over, before `audio-stop`: a client that
waits for its own silence detector loses a second, or all of it. What is no command is an empty transcript.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgevc.errors import SessionError
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.spoken_commands import Sentence, SpokenCommands
from edgevc.recognition.spoken_text import understand
from edgevc.wyoming.frames import Frame, FrameError, make_frame
from edgevc.wyoming.hearing import Hearing
from edgevc.wyoming.info import service_info
from edgevc.wyoming.link import Link
from edgevc.wyoming.sound import AudioFormat, timestamp_of
from edgevc.wyoming.workers import Workers

_LOG = logging.getLogger(__name__)

TIMEOUT_SECONDS = 15.0
"""Without a sentence, an empty transcript; Home Assistant gives up after as many."""


class CommandService:
    """What all sessions share."""

    def __init__(
        self,
        commands: SpokenCommands,
        name: str = "edgevc",
        timeout: float = TIMEOUT_SECONDS,
        version: str | None = None,
        heard: Callable[[Sentence, str], None] = lambda sentence, client: None,
    ) -> None:
        """Describe the service.

        Args:
            commands: what may be said.
            name: what Home Assistant shows.
            timeout: seconds after which a client that asked for a transcript gets an empty one.
            version: of the program.
            heard: is given each sentence, refused ones too, and the client's address; called in the event loop, so it
                must return at once. The relay hears through it.
        """
        self.commands = commands
        self.timeout = timeout
        self.heard = heard
        self._name, self._version = name, version
        self.workers = Workers(os.cpu_count() or 1)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Wake phrases of the commands as they are now."""
        wake = self.commands.commands.wake
        return () if wake is None else wake.commands

    @property
    def info(self) -> Frame:
        """What the service says of itself."""
        return make_frame("info", service_info(self._name, self.phrases, self._version))

    def converse(self, client: Link) -> CommandSession:
        """Return the session of a new client."""
        return CommandSession(client, self)

    def close(self) -> None:
        """Let the threads end."""
        self.workers.close()


class CommandSession:
    """One client."""

    def __init__(self, client: Link, service: CommandService) -> None:
        """Use `CommandService.converse`."""
        self._client = client
        self._service = service
        self._asks_for: str | None = None
        """"transcript" or "detection", until it has been answered."""
        self._wanted: tuple[str, ...] = ()
        """Wake phrases that the client asks for."""
        self._hearing: Hearing | None = None
        self._began: int | None = None
        self._until = 0.0
        """By time.monotonic(), when the transcript is empty."""
        self._answers: Mapping[str, Callable[[Frame], Any]] = {
            "describe": self._describe,
            "transcribe": self._transcribe,
            "detect": self._detect,
            "audio-start": self._start,
            "audio-chunk": self._chunk,
            "audio-stop": self._stop,
            "recognize": self._recognize,
            "ping": self._ping,
        }

    async def run(self) -> None:
        """Answer until the client leaves; see `Session.run`."""
        while True:
            try:
                frame = await asyncio.wait_for(self._client.receive(), self._patience())
            except asyncio.TimeoutError:
                await self._nothing_heard()
                raise SessionError(f"no sentence was heard within {self._service.timeout:g} s") from None
            if frame is None:
                return
            answer = self._answers.get(frame.type)
            if answer is not None:
                await answer(frame)

    def quiet_since(self) -> float:
        """Return when something last came."""
        return self._client.heard_at

    def overdue(self, now: float) -> str | None:
        """Return why the client has had its time."""
        return self._client.overdue(now)

    def abort(self) -> None:
        """Break the connection."""
        self._client.abort()

    def _patience(self) -> float | None:
        """Return how long a client that waits for a transcript may send nothing."""
        return max(0.1, self._until - time.monotonic()) if self._asks_for == "transcript" else None

    # --- questions

    async def _describe(self, frame: Frame) -> None:
        await self._client.send(self._service.info)

    async def _ping(self, frame: Frame) -> None:
        await self._client.send(make_frame("pong", frame.data()))

    async def _recognize(self, frame: Frame) -> None:
        text = frame.data().get("text")
        if not isinstance(text, str):
            raise FrameError("the text of recognize must be text")
        found = understand(self._service.commands.commands.automaton, text)
        if found is None:
            await self._client.send(make_frame("not-recognized", {"text": f"no command: {text}"}))
        else:
            await self._client.send(_intent(found, text))

    async def _transcribe(self, frame: Frame) -> None:
        self._ask("transcript")

    async def _detect(self, frame: Frame) -> None:
        self._ask("detection")
        names = frame.data().get("names")
        self._wanted = tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()

    def _ask(self, what: str) -> None:
        self._asks_for = what
        self._hearing = None
        self._until = time.monotonic() + self._service.timeout

    # --- sound

    async def _start(self, frame: Frame) -> None:
        form = AudioFormat.of(frame.data())
        if self._asks_for is None:
            # who sends sound and asks nothing gets what nearly everybody wants
            self._ask("transcript")
        self._began = timestamp_of(frame)
        self._until = time.monotonic() + self._service.timeout
        await self._begin(form)

    async def _begin(self, form: AudioFormat) -> Hearing:
        self._hearing = await self._service.workers.run(self._new_hearing, form)
        return self._hearing

    def _new_hearing(self, form: AudioFormat) -> Hearing:
        # a client that asks for a transcript has been woken by something else
        return Hearing(self._service.commands.stream(wake=self._asks_for == "detection"), form)

    async def _chunk(self, frame: Frame) -> None:
        form = AudioFormat.of(frame.data())
        if self._asks_for is None:
            # answered: a client may go on for a while
            return
        hearing = self._hearing
        if hearing is None or hearing.format != form:
            hearing = await self._begin(form)
        for piece in form.pieces(frame.payload):
            await self._take(await self._service.workers.run(hearing.hear, piece), hearing)
            if self._asks_for is None:
                return
        if self._asks_for == "transcript" and hearing.seconds >= self._service.timeout:
            await self._nothing_heard()

    async def _stop(self, frame: Frame) -> None:
        hearing, self._hearing = self._hearing, None
        if hearing is not None and self._asks_for is not None:
            await self._take(await self._service.workers.run(hearing.end), hearing)
        if self._asks_for == "transcript":
            await self._nothing_heard()
        elif self._asks_for == "detection":
            self._asks_for = None
            await self._client.send(make_frame("not-detected"))

    async def _take(self, sentences: list[Sentence], hearing: Hearing) -> None:
        """Answer with what was heard."""
        if self._asks_for == "detection":
            for phrase in hearing.woken:
                await self._woken(phrase)
        for sentence in sentences:
            self._service.heard(sentence, self._client.peer)
            if self._asks_for == "transcript":
                await self._heard(sentence)

    async def _heard(self, sentence: Sentence) -> None:
        self._asks_for = None
        recognition = sentence.heard.recognition
        if sentence.heard.refusal is not None or recognition is None:
            _LOG.info("%s: no command: %s", self._client.peer, sentence.heard.reason)
            await self._client.send(make_frame("transcript", {"text": ""}))
            return
        text = " ".join(recognition.words)
        # before the transcript, behind which clients leave
        await self._client.send(_intent(recognition.meaning, text))
        await self._client.send(make_frame("transcript", {"text": text, "language": "en"}))

    async def _woken(self, phrase: Sentence) -> None:
        recognition = phrase.heard.recognition
        name = "" if recognition is None else recognition.meaning.intent
        if self._wanted and name not in self._wanted:
            return
        timestamp = (self._began or 0) + round(1000 * phrase.ended_at)
        await self._client.send(make_frame("detection", {"name": name, "timestamp": timestamp}))

    async def _nothing_heard(self) -> None:
        self._asks_for = None
        await self._client.send(make_frame("transcript", {"text": ""}))


def _intent(meaning: Meaning, text: str) -> Frame:
    entities = [{"name": name, "value": value} for name, value in meaning.slots.items()]
    return make_frame("intent", {"name": meaning.intent, "entities": entities, "text": text})
