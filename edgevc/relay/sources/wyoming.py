"""Sound from Wyoming clients, such as Home Assistant's satellites: each gets its transcript, the relay all of them."""

from __future__ import annotations

import contextlib
import logging

import edgevc
from edgevc.recognition.spoken_commands import Sentence, SpokenCommands
from edgevc.relay.controls import Controls
from edgevc.relay.sources.hearing import Hear, event_of
from edgevc.wyoming.address import Address
from edgevc.wyoming.server import Server
from edgevc.wyoming.service import CommandService

_LOG = logging.getLogger(__name__)


class WyomingSource:
    """A speech-to-text service whose sentences are events as well."""

    def __init__(
        self, address: Address, commands: SpokenCommands, controls: Controls, hear: Hear, time_to_live: float
    ) -> None:
        """Make it; `run` begins to listen.

        Args:
            address: where clients connect.
            commands: what may be said, and the encoder.
            controls: of the relay.
            hear: takes the events.
            time_to_live: of the events, seconds.
        """
        self.name = "wyoming"
        self._address, self._commands = address, commands
        self._controls, self._hear, self._time_to_live = controls, hear, time_to_live

    async def run(self) -> None:
        """Serve until cancelled. Raises SessionError where the address is taken."""
        service = CommandService(self._commands, version=edgevc.__version__, heard=self._heard)
        try:
            server = Server(service.converse)
            listening = await server.listen(*self._address)
            with contextlib.closing(listening):
                host, port = listening.sockets[0].getsockname()[:2]
                _LOG.info("Wyoming clients connect to %s", Address(host, port))
                await server.run(listening)
        finally:
            service.close()

    def _heard(self, sentence: Sentence, client: str) -> None:
        if self._controls.listening:
            self._hear(event_of(sentence.heard, f"wyoming {client}", self._time_to_live))
