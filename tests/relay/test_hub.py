"""The relay: every event to every sink, and no part that fails holds another up."""

import asyncio
import time

import pytest
from helpers.relay_doubles import KeptSink, ReadySource, lamp

from edgevc.errors import AudioFileError, ConfigError
from edgevc.relay.event import Event
from edgevc.relay.hub import Relay
from edgevc.relay.template import MissingFieldError, Template, fields_of


def run(relay, *sources, stop_after=None):
    async def main():
        stop = asyncio.Event()
        for source in sources:
            relay.add(source)
        if stop_after is not None:
            asyncio.get_running_loop().call_later(stop_after, stop.set)
        await asyncio.wait_for(relay.run(stop), 60)

    asyncio.run(main())


def test_a_sink_that_fails_is_started_again_and_one_that_raises_holds_nobody_up():
    failing, stuck, fine = KeptSink(failures=2), KeptSink(stuck=True), KeptSink()
    relay = Relay([failing, stuck, fine], 1.0)
    events = [lamp(str(number)) for number in range(3)]
    run(relay, ReadySource(relay.hear, events, seconds=3.0))
    assert fine.events == events
    assert failing.events == events
    assert failing.runs == 3
    assert stuck.events == []


def test_it_ends_when_its_sources_have_ended_and_its_sinks_have_delivered():
    sink = KeptSink()
    relay = Relay([sink], 30.0)

    async def deliver_later():
        sink.waiting = 1
        await asyncio.sleep(0.3)
        sink.waiting = 0
        await asyncio.Event().wait()

    sink.run = deliver_later
    began = time.monotonic()
    run(relay, ReadySource(relay.hear, [lamp(), Event("", refusal="noise")]))
    assert 0.3 <= time.monotonic() - began < 20
    assert relay.summary() == "1 commands heard, 1 sentences refused; kept: 2 given, 2 sent"


def test_it_ends_when_it_is_told_to_though_a_sink_never_delivers():
    sink = KeptSink()
    sink.waiting = 1
    relay = Relay([sink], 1000.0)
    run(relay, ReadySource(relay.hear, [], seconds=1000.0), stop_after=0.1)


def test_an_error_of_a_source_ends_it():
    class Broken:
        name = "broken"

        async def run(self):
            raise AudioFileError("x.wav: is no sound")

    with pytest.raises(AudioFileError, match="no sound"):
        run(Relay([KeptSink()], 1.0), Broken(), ReadySource(None, [], seconds=1000.0))


@pytest.mark.parametrize("text", ["{", "a}", "{a b}", "{}", "{{a}}"])
def test_a_template_with_a_brace_too_much_is_refused(text):
    with pytest.raises(ConfigError, match="must have a name in each pair of braces"):
        Template(text, "topic")


@pytest.mark.parametrize("text", ["", "a/+/b", "#", "$SYS/x", "/a", "a/"])
def test_a_topic_that_cannot_be_published_to_is_refused(text):
    with pytest.raises(ConfigError, match="must be a topic"):
        Template(text, "topic").require_topic()


def test_a_slot_stays_within_its_level_of_a_topic():
    event = lamp("a/b+c#d\0e")
    assert Template("home/{room}/{command}", "t").topic(fields_of(event)) == "home/a_b_c_d_e/light"
    with pytest.raises(MissingFieldError, match="it has no colour"):
        Template("{colour}", "t").topic(fields_of(event))


def test_a_slot_cannot_hide_the_command():
    event = Event("light", {"command": "door", "id": "x"})
    assert fields_of(event)["command"] == "light"
    assert fields_of(event)["id"] == event.id


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"command": 1},
        {"command": "a", "slots": []},
        {"command": "a", "slots": {"b": 1}},
        {"command": "a", "at": "x"},
        {"command": "a", "id": 7},
        {"command": "a", "at": 1e300},
        {"command": "a", "certainty": None},
    ],
)
def test_what_is_no_event_is_refused(values):
    with pytest.raises(ConfigError, match="an event must be such as"):
        Event.from_dict(values)
