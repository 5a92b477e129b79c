"""Several relays hear the same command: the first acts, the others do not, and one that is alone waits for nobody."""

import asyncio
import json
import random
import statistics
import time

import pytest
from helpers.broker import ACCESS, PASSWORD, USER, Broker
from helpers.relay_doubles import KeptSink, lamp

from edgevc.relay.config import MqttConfig
from edgevc.relay.controls import Controls
from edgevc.relay.hub import Relay
from edgevc.relay.mqtt import claim as claims
from edgevc.relay.mqtt.claim import Claim
from edgevc.relay.mqtt.sink import MqttSink
from edgevc.settings.secret import SecretText

ROUNDS = 100


class Device:
    """A relay with a sink that keeps what it is told to do."""

    def __init__(self, broker, folder, name):
        config = MqttConfig(
            host="127.0.0.1",
            port=broker.port,
            username=USER,
            password=SecretText(PASSWORD),
            queue=folder / f"{name}.queue",
            claim="house",
            discovery=False,
        )
        self.mqtt = MqttSink(config, name, name, (), Controls())
        self.sink = KeptSink()
        self.relay = Relay([self.sink], 30.0, self.mqtt.claim.decide)


async def connected(*devices):
    tasks = [asyncio.create_task(device.mqtt.run()) for device in devices]
    while not all(device.mqtt.claim.hears for device in devices):
        await asyncio.sleep(0.01)
    # what was subscribed to is there before what is published next
    await asyncio.sleep(0.5)
    return tasks


async def ended(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_three_devices_that_hear_the_same_command_act_once_in_a_hundred_of_a_hundred(tmp_path, monkeypatch):
    # how long a busy machine takes is not what this is about
    monkeypatch.setattr(claims, "DECISION_SECONDS", 20.0)
    rng = random.Random(5)

    async def main(broker):
        devices = [Device(broker, tmp_path, name) for name in ("kitchen", "hall", "attic")]
        now = 0.0
        seen = []

        def clock():
            seen.append(now)
            return now

        for device in devices:
            device.mqtt.claim.clock = clock
        tasks = await connected(*devices)
        for _ in range(ROUNDS):
            now += 10.0

            async def hear(device, after):
                await asyncio.sleep(after)
                device.relay.hear(lamp())

            await asyncio.gather(*(hear(device, rng.choice((0.0, 0.001, 0.02))) for device in devices))
            # each has seen the claims of all, before the clock goes on
            while any(device.relay.deciding for device in devices) or seen.count(now) < len(devices) ** 2:
                await asyncio.sleep(0.001)
        await ended(tasks)
        return devices

    with Broker(tmp_path / "broker", access=ACCESS.replace("edgevc/pi/#", "edgevc/#")) as broker:
        devices = asyncio.run(main(broker))
    events = [device.sink.events for device in devices]
    for same in zip(*events, strict=True):
        assert sum(not event.refusal for event in same) == 1
        winner = next(device for device, event in zip(devices, same, strict=True) if not event.refusal)
        reasons = {event.refusal for event in same if event.refusal}
        assert reasons == {f"'{winner.mqtt.topics.base.rpartition('/')[2]}' heard it first"}
    assert len(events[0]) == ROUNDS
    # nobody is favoured by its place
    assert all(sum(not event.refusal for event in some) > 0 for some in events)


def test_one_that_is_alone_acts_after_a_round_trip_and_always_wins(tmp_path):
    async def main(broker):
        device = Device(broker, tmp_path, "pi")
        tasks = await connected(device)
        times = []
        for _ in range(20):
            began = time.monotonic()
            assert await device.mqtt.claim.decide(lamp()) == ""
            times.append(time.monotonic() - began)
        await ended(tasks)
        return times

    with Broker(tmp_path / "broker") as broker:
        times = asyncio.run(main(broker))
    assert statistics.median(times) < claims.DECISION_SECONDS / 2


def test_without_a_broker_or_its_leave_everybody_acts(tmp_path, caplog):
    async def main(broker):
        device = Device(broker, tmp_path, "pi")
        # never connected
        assert await device.mqtt.claim.decide(lamp()) == ""
        tasks = await connected(device)
        began = time.monotonic()
        assert await device.mqtt.claim.decide(lamp()) == ""
        assert time.monotonic() - began >= claims.DECISION_SECONDS * 0.9
        await ended(tasks)

    with Broker(tmp_path / "broker", access=ACCESS.replace("topic readwrite edgevc/claims/#\n", "")) as broker:
        asyncio.run(main(broker))
    assert "did not come back within 250 ms" in caplog.text


class OpenLink:
    """A broker that takes everything and brings nothing back by itself."""

    def subscribe(self, topic):
        pass

    def publish(self, topic, payload, qos):
        return 1


def claim_of(device, identity="x"):
    return json.dumps({"id": identity, "device": device}).encode()


async def decided(claim):
    """What becomes of a command of this relay whose claim comes back at once."""
    deciding = asyncio.create_task(claim.decide(lamp(id="x")))
    await asyncio.sleep(0)
    claim.received(claim_of("pi"))
    return await deciding


def test_a_command_after_a_while_is_a_new_one():
    now = 0.0
    claim = Claim(OpenLink(), "house", "pi", lambda: now)
    claim.connected()
    claim.received(claim_of("hall"))
    now = 1.9
    assert asyncio.run(decided(claim)) == "'hall' heard it first"
    now = 2.1
    assert asyncio.run(decided(claim)) == ""
    # its own next sentence
    assert asyncio.run(decided(claim)) == ""


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"id": 1, "device": "a"}', b'{"id": "a", "device": []}', b"[" * 9999]
)
def test_what_is_no_claim_is_passed_over(payload):
    claim = Claim(OpenLink(), "house", "pi")
    claim.connected()
    claim.received(payload)
    assert asyncio.run(decided(claim)) == ""
