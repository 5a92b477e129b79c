"""Sinks: what arrives, what is tried again, and what is counted."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from pathlib import Path

import pytest
from helpers.relay_doubles import Server, delivered, lamp

from edgevc.errors import ConfigError
from edgevc.relay.config import HomeAssistantConfig, ProgramConfig, WebhookConfig
from edgevc.relay.event import Counts, Event
from edgevc.relay.sinks import queued
from edgevc.relay.sinks.home_assistant import HomeAssistantSink
from edgevc.relay.sinks.lines import DryRun, LinesSink
from edgevc.relay.sinks.program import ProgramSink
from edgevc.relay.sinks.queued import QueuedSink, TryAgainError
from edgevc.relay.sinks.webhook import WebhookSink, signature
from edgevc.settings.secret import SecretText

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = SecretText("whsec_" + base64.b64encode(KEY).decode())


def webhook(server, **values):
    return WebhookSink(WebhookConfig(url=SecretText(server.url + "/hook/hidden"), secret=SECRET, **values))


def home(server, **values):
    return HomeAssistantSink(HomeAssistantConfig(url=server.url, token=SecretText("to-ken"), **values))


def test_a_webhook_is_signed_as_the_standard_says():
    # the example of the specification's reference libraries
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    found = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_gets_the_event_and_headers_that_it_can_check():
    event = lamp()
    with Server((200, {})) as server:
        sink = webhook(server)
        asyncio.run(delivered(sink, event))
        ((path, headers, body),) = server.requests
    assert path == "/hook/hidden"
    assert json.loads(body) == event.as_dict()
    assert headers["webhook-id"] == event.id
    signed = f"{event.id}.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-signature"] == "v1," + base64.b64encode(
        hmac.new(KEY, signed, hashlib.sha256).digest()
    ).decode("ascii")
    assert sink.counts == Counts(given=1, sent=1)


def test_a_server_with_a_fault_is_asked_again_with_the_same_id():
    with Server((503, {}), (500, {}), (204, {})) as server:
        sink = webhook(server)
        asyncio.run(delivered(sink, lamp()))
        assert len({headers["webhook-id"] for _, headers, _ in server.requests}) == 1
        assert len(server.requests) == 3
    assert sink.counts == Counts(given=1, sent=1)


def test_what_a_server_does_not_want_is_not_tried_again(caplog):
    with Server((403, {})) as server:
        sink = webhook(server)
        asyncio.run(delivered(sink, lamp()))
        assert len(server.requests) == 1
    assert sink.counts == Counts(given=1, refused=1)
    assert "light was refused: " in caplog.text
    assert "answers 403" in caplog.text
    assert "hidden" not in caplog.text


def test_a_command_that_nobody_takes_expires_and_is_not_sent_later(caplog):
    sink = WebhookSink(WebhookConfig(url=SecretText("http://127.0.0.1:9/x")))
    began = time.monotonic()
    asyncio.run(delivered(sink, lamp(time_to_live=1.0)))
    assert time.monotonic() - began > 0.9
    assert sink.counts == Counts(given=1, expired=1)
    assert "too old by now" in caplog.text


def test_a_webhook_secret_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="must be whsec_ and base64") as caught:
        WebhookSink(WebhookConfig(url=SecretText("http://h/"), secret=SecretText("whsec_my-own")))
    assert "my-own" not in str(caught.value)


def test_an_intent_has_the_command_as_its_name_and_the_slots_as_data():
    with Server((200, {"response_type": "action_done"})) as server:
        sink = home(server)
        asyncio.run(delivered(sink, Event("HassTurnOn", {"name": "kitchen lamp"})))
        ((path, headers, body),) = server.requests
    assert path == "/api/intent/handle"
    assert headers["authorization"] == "Bearer to-ken"
    assert json.loads(body) == {"name": "HassTurnOn", "data": {"name": "kitchen lamp"}}
    assert sink.counts == Counts(given=1, sent=1)


def test_a_conversation_gets_the_words():
    with Server((200, {"response": {"response_type": "action_done"}})) as server:
        sink = home(server, ask="conversation")
        asyncio.run(delivered(sink, lamp()))
        ((path, _, body),) = server.requests
    assert path == "/api/conversation/process"
    assert json.loads(body) == {"text": "turn on the kitchen light", "language": "en"}
    assert sink.counts == Counts(given=1, sent=1)


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (
            200,
            {"response_type": "error", "speech": {"plain": {"speech": "no device called desk"}}},
            "no device called desk",
        ),
        (200, {"response_type": "error", "data": {"code": "no_valid_targets"}}, "no_valid_targets"),
        (200, ["x"], "none of Home Assistant's"),
        (401, {}, "does not take the token"),
        (500, {}, "does not know this intent"),
    ],
)
def test_that_home_assistant_did_nothing_is_no_success(caplog, status, answer, words):
    with Server((status, answer)) as server:
        sink = home(server)
        asyncio.run(delivered(sink, lamp()))
    assert sink.counts == Counts(given=1, refused=1)
    assert words in caplog.text
    assert "to-ken" not in caplog.text


def program(code, tmp_path, *words, **values):
    return ProgramSink(ProgramConfig(run=(sys.executable, "-c", code, str(tmp_path / "out"), *words), **values))


WRITE = "import sys, os; open(sys.argv[1], 'a').write(repr((sys.argv[2:], sys.stdin.read())) + '\\n')"


def test_a_program_gets_words_that_no_shell_has_seen_and_the_event(tmp_path):
    event = lamp("$(touch x); `id` 'a b'")
    sink = program(WRITE, tmp_path, "{command}", "--room={room}", "{state}")
    asyncio.run(delivered(sink, event))
    words, given = eval((tmp_path / "out").read_text())
    assert words == ["light", "--room=$(touch x); `id` 'a b'", "on"]
    assert json.loads(given) == event.as_dict()
    assert sink.counts == Counts(given=1, sent=1)


def test_what_was_said_never_becomes_an_option(tmp_path, caplog):
    sink = program(WRITE, tmp_path, "{room}")
    asyncio.run(delivered(sink, lamp("--delete")))
    assert not (tmp_path / "out").exists()
    assert sink.counts == Counts(given=1, refused=1)
    assert "would be an option" in caplog.text


def test_a_program_without_a_slot_that_it_needs_is_not_started(tmp_path, caplog):
    sink = program(WRITE, tmp_path, "{colour}")
    asyncio.run(delivered(sink, lamp()))
    assert sink.counts == Counts(given=1, refused=1)
    assert "it has no colour" in caplog.text


def test_a_program_that_does_not_end_is_killed_with_all_that_it_started(tmp_path, caplog):
    code = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '300']); "
        "open(sys.argv[1], 'w').write(str(child.pid)); child.wait()"
    )
    sink = program(code, tmp_path, seconds=3.0)
    asyncio.run(delivered(sink, lamp()))
    child = int((tmp_path / "out").read_text())
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"
    assert sink.counts == Counts(given=1, refused=1)
    assert "took longer than 3 s and was killed" in caplog.text


def test_no_more_programs_run_at_once_than_were_allowed(tmp_path):
    code = """
import os, sys, time
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
name = os.path.join(folder, str(os.getpid()))
open(name, "w")
time.sleep(0.2)
print(len(os.listdir(folder)), file=open(folder + ".seen", "a"))
os.unlink(name)
"""
    sink = program(code, tmp_path, at_once=2)
    asyncio.run(delivered(sink, *[lamp() for _ in range(6)], seconds=60))
    seen = list(map(int, (tmp_path / "out.seen").read_text().split()))
    assert len(seen) == 6
    assert all(n <= 2 for n in seen)
    assert sink.counts == Counts(given=6, sent=6)


def test_a_program_inherits_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEVC_MQTT_PASSWORD", "hidden")
    monkeypatch.setenv("EDGEVC_DEVICE", "pi")
    sink = program("import os, sys; open(sys.argv[1], 'w').write(' '.join(os.environ))", tmp_path)
    asyncio.run(delivered(sink, lamp()))
    names = (tmp_path / "out").read_text().split()
    assert "EDGEVC_DEVICE" in names
    assert "EDGEVC_MQTT_PASSWORD" not in names


def test_a_program_that_is_not_there_or_fails_is_said(tmp_path, caplog):
    sink = ProgramSink(ProgramConfig(run=(str(tmp_path / "nothing"),)))
    asyncio.run(delivered(sink, lamp()))
    assert "cannot be started: No such file" in caplog.text
    sink = program("raise SystemExit(3)", tmp_path)
    asyncio.run(delivered(sink, lamp()))
    assert "ended with 3" in caplog.text


class Slow(QueuedSink):
    name = "slow"

    def __init__(self, capacity):
        super().__init__(capacity=capacity)
        self.sent = []

    async def deliver(self, event):
        if not self.sent:
            raise TryAgainError("not yet")
        self.sent.append(event)

    def describe(self, event):
        return []


def test_a_full_queue_drops_the_oldest_and_every_command_is_counted(monkeypatch, caplog):
    monkeypatch.setattr(queued, "CAPACITY", 3)

    async def main():
        sink = Slow(3)
        for number in range(5):
            sink.take(lamp(str(number)))
        assert sink.counts == Counts(given=5, dropped=2)
        assert sink.waiting == 3
        sink.sent.append("from now on it takes them")
        working = asyncio.create_task(sink.run())
        while sink.waiting:
            await asyncio.sleep(0)
        working.cancel()
        assert [event.slots["room"] for event in sink.sent[1:]] == ["2", "3", "4"]

    asyncio.run(main())
    assert "is dropped" in caplog.text


def test_lines_tell_commands_and_why_sentences_were_refused():
    lines = []
    refused = Event("light", refusal="sounds like something else")
    asyncio.run(delivered(LinesSink(lines.append), lamp(), refused))
    first, second = map(json.loads, lines)
    assert first["slots"] == {"room": "kitchen", "state": "on"}
    assert second["refusal"] == "sounds like something else"
    assert Event.from_dict(second).as_dict() == second


def test_a_dry_run_says_what_each_sink_would_send_and_sends_nothing(tmp_path):
    lines = []
    with Server((200, {})) as server:
        sinks = [webhook(server), home(server), program(WRITE, tmp_path, "{colour}")]
        asyncio.run(delivered(DryRun(sinks, lines.append), lamp(), Event("", refusal="too quiet")))
        assert server.requests == []
    assert [line.partition(":")[0] for line in lines] == ["webhook", "home assistant", "program", "refused"]
    assert "/api/intent/handle" in lines[1]
    assert lines[2] == "program: nothing, it has no colour, which run needs"
    assert lines[3] == "refused: too quiet"
    assert "to-ken" not in "".join(lines)
    assert "hidden" not in "".join(lines)
    assert not (tmp_path / "out").exists()


def test_files_that_are_open_here_are_not_open_in_the_program(tmp_path):
    held = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(held, True)
    sink = program("import os, sys; open(sys.argv[1], 'w').write(' '.join(os.listdir('/proc/self/fd')))", tmp_path)
    asyncio.run(delivered(sink, lamp()))
    os.close(held)
    assert str(held) not in (tmp_path / "out").read_text().split()
