"""Asks Home Assistant's REST interface to do what was said, without a broker."""

from __future__ import annotations

import json
from typing import Any

from edgevc.recognition.home_assistant import SENTENCE_COMMAND
from edgevc.relay.config import HomeAssistantConfig
from edgevc.relay.event import Event
from edgevc.relay.sinks.http import Answer, Poster, judge
from edgevc.relay.sinks.queued import QueuedSink, RefusedError
from edgevc.settings.secret import secret_of
from edgevc.text import shortened

INTENT, CONVERSATION = "/api/intent/handle", "/api/conversation/process"


class HomeAssistantSink(QueuedSink):
    """Each command is an intent, or a sentence that Home Assistant understands itself.

    It answers 200 also where nothing was done: what counts is `response_type`.
    """

    name = "home assistant"

    def __init__(self, config: HomeAssistantConfig) -> None:
        """`config.url` is there.

        Raises:
            ConfigError: the token or a file is not as it must be.
        """
        super().__init__()
        token = secret_of(config.token, config.token_file, "token of [home_assistant]")
        if config.url is None or token is None:
            raise ValueError("no url or token")
        self._poster = Poster(config.url, config.ca_file)
        self._headers = {"authorization": f"Bearer {token.reveal()}", "content-type": "application/json"}
        self._conversation = config.ask == "conversation"
        self._language = config.language

    async def deliver(self, event: Event) -> None:
        """Ask."""
        path, request = self._request(event)
        answer = await self._poster.post(json.dumps(request).encode(), self._headers, path)
        self._judge(answer, conversation=path == CONVERSATION)

    def _request(self, event: Event) -> tuple[str, dict[str, Any]]:
        if self._conversation or event.command == SENTENCE_COMMAND:
            return CONVERSATION, {"text": event.text or event.command, "language": self._language}
        return INTENT, {"name": event.command, "data": dict(event.slots)}

    def _judge(self, answer: Answer, *, conversation: bool) -> None:
        where = self._poster.where
        if answer.status == 401:
            raise RefusedError(f"{where} does not take the token; make a new one in your profile there")
        if answer.status == 404:
            raise RefusedError(f"{where} has no such interface; add `intent:` and `conversation:` to its configuration")
        if answer.status == 500:
            # what it answers to an intent that it does not know, or a value out of its range
            raise RefusedError(f"{where} does not know this intent, or not this value of a slot")
        judge(answer, where)
        said = answer.json()
        response = said.get("response", said) if conversation else said
        kind = response.get("response_type") if isinstance(response, dict) else None
        if kind not in ("action_done", "query_answer"):
            raise RefusedError(_why(response, where))

    def describe(self, event: Event) -> list[str]:
        """Return the request, without the token."""
        path, request = self._request(event)
        return [f"POST {self._poster.where}{path} {json.dumps(request, ensure_ascii=False)}"]


def _why(response: Any, where: str) -> str:
    """Return what Home Assistant says for people, as far as it says anything."""
    try:
        return f"{where} says: {shortened(response['speech']['plain']['speech'], 200)}"
    except (KeyError, TypeError):
        pass
    try:
        return f"{where} did nothing: {shortened(response['data']['code'])}"
    except (KeyError, TypeError):
        return f"{where} gave an answer that is none of Home Assistant's"
