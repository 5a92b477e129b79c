"""Commands over a real Mosquitto: nothing is lost, late or counted wrongly, whatever is killed in between."""

import contextlib
import json
import os
import resource
import signal
import sqlite3
import threading
import time

import pytest
from helpers.broker import ACCESS, PASSWORD, Broker, Watcher, wait_for
from helpers.relay_doubles import LAMPS
from helpers.relay_process import RelayProcess

from edgevc.errors import ConfigError, SessionError
from edgevc.relay.mqtt.disk_queue import DiskQueue
from edgevc.relay.mqtt.message import Message

N = 1000
"""Commands of a round."""
ROUNDS = int(os.environ.get("EDGEVC_RELAY_ROUNDS", "1"))
"""`make everything` has twenty."""
EVENT = "edgevc/pi/event"


def stored_ids(queue):
    with contextlib.closing(sqlite3.connect(queue)) as database:
        return {json.loads(payload)["id"] for (payload,) in database.execute("SELECT payload FROM message")}


def ids(watcher):
    return [event["id"] for event in watcher.events()]


@pytest.mark.parametrize("count", range(ROUNDS))
def test_nothing_is_lost_when_broker_and_relay_are_killed_in_the_middle(tmp_path, count):
    broker = Broker(tmp_path / "broker").start()
    watcher = Watcher(broker, EVENT)
    seen = []

    def change_brokers(number, watcher):
        broker.kill(number)
        watcher.close()
        seen.extend(ids(watcher))
        time.sleep(0.3)
        # nobody else before the watcher, or what comes first would have no reader
        broker.start(relays=False)
        watcher = Watcher(broker, EVENT)
        broker.let_in()
        return watcher

    def feed(relay, first, last):
        for n in range(first, last, 10):
            relay.tell(*range(n, min(n + 10, last)))
            time.sleep(0.005)

    with contextlib.closing(broker):
        with RelayProcess(tmp_path, broker) as relay:
            feed(relay, 0, N // 4)
            feeder = threading.Thread(target=feed, args=(relay, N // 4, N // 2))
            feeder.start()
            watcher = change_brokers(signal.SIGKILL, watcher)
            feeder.join()
            wait_for("some that were sent again", lambda: len({*seen, *ids(watcher)}) > N // 3)
            relay.kill()
        # what it had accepted is at the watcher's or on the disk, without a hole
        time.sleep(0.5)
        accepted = {*seen, *ids(watcher), *stored_ids(tmp_path / "queue.sqlite")}
        first = len(accepted)
        assert accepted == {f"{n:06d}" for n in range(first)}
        assert first > N // 3
        left = len(stored_ids(tmp_path / "queue.sqlite"))
        with RelayProcess(tmp_path, broker) as relay:
            feed(relay, first, 3 * N // 4)
            feeder = threading.Thread(target=feed, args=(relay, 3 * N // 4, N))
            feeder.start()
            watcher = change_brokers(signal.SIGTERM, watcher)
            feeder.join()
            text = relay.end()
        seen += ids(watcher)
        watcher.close()
    assert set(seen) == {f"{n:06d}" for n in range(N)}
    given = N - first + left
    assert f"mqtt: {given} given, {given} sent" in text
    assert stored_ids(tmp_path / "queue.sqlite") == set()
    # at most what was in flight at each of the three ends is sent twice
    assert len(seen) - N <= 3 * 20


def test_a_full_disk_costs_no_command_and_is_said(tmp_path):
    broker = Broker(tmp_path / "broker").start()
    n = 400

    with contextlib.closing(broker), Watcher(broker, EVENT):
        broker.kill()
        with RelayProcess(tmp_path, broker) as relay:
            resource.prlimit(relay.process.pid, resource.RLIMIT_FSIZE, (48 << 10, 48 << 10))
            for first in range(0, n, 20):
                relay.tell(*range(first, first + 20))
                time.sleep(0.01)
            relay.wait_for("takes no more")
            broker.start(relays=False)
            with Watcher(broker, EVENT) as watcher:
                broker.let_in()
                text = relay.end()
                assert sorted(set(ids(watcher))) == [f"{number:06d}" for number in range(n)]
    assert f"mqtt: {n} given, {n} sent" in text
    assert "commands wait in memory alone until there is room" in text


def test_a_command_that_is_too_old_is_counted_and_never_sent(tmp_path):
    broker = Broker(tmp_path / "broker").start()
    with contextlib.closing(broker):
        broker.kill()
        with RelayProcess(tmp_path, broker, time_to_live=2) as relay:
            relay.tell(*range(5))
            text = relay.end()
        assert "mqtt: 5 given, 5 expired" in text
        # neither after a restart of both
        with broker, Watcher(broker, EVENT) as watcher, RelayProcess(tmp_path, broker) as relay:
            relay.tell(7)
            relay.end()
            assert ids(watcher) == ["000007"]


def test_what_was_on_the_disk_of_a_dead_relay_is_not_sent_when_it_is_too_old(tmp_path):
    broker = Broker(tmp_path / "broker").start()
    with contextlib.closing(broker), Watcher(broker, EVENT) as watcher:
        queue = DiskQueue(tmp_path / "queue.sqlite")
        now = time.time()
        payload = json.dumps({"event_type": "light", "id": "old"}).encode()
        queue.store([Message(EVENT, payload, "light", now - 1), Message(EVENT, b'{"id": "new"}', "light", now + 600)])
        queue.close()
        with RelayProcess(tmp_path, broker) as relay:
            text = relay.end()
        assert ids(watcher) == ["new"]
    assert "mqtt: 2 given, 1 sent, 1 expired" in text


def test_messages_in_flight_when_the_broker_dies_are_not_sent_late(tmp_path):
    """paho would send them again at the next connection, however old they are by then."""
    broker = Broker(tmp_path / "broker").start()
    with (
        contextlib.closing(broker),
        Watcher(broker, EVENT) as watcher,
        RelayProcess(tmp_path, broker, time_to_live=3) as relay,
    ):
        relay.tell(0)
        watcher.wait_for(EVENT)
        # it takes what is sent, and answers nothing
        broker.process.send_signal(signal.SIGSTOP)
        relay.tell(1)
        time.sleep(0.5)
        broker.kill()
        relay.wait_for("light is too old by now")
        broker.start()
        with Watcher(broker, EVENT) as later:
            relay.tell(2)
            text = relay.end()
            assert ids(later) == ["000002"]
    assert "mqtt: 3 given, 2 sent, 1 expired" in text


def test_tls_and_who_is_not_to_be_trusted(tmp_path):
    broker = Broker(tmp_path / "broker", tls=True).start()
    ca = tmp_path / "broker" / "ca.pem"
    with contextlib.closing(broker), Watcher(broker, EVENT, tls=ca) as watcher:
        with RelayProcess(tmp_path, broker, "--mqtt-tls", f"--mqtt-ca-file={ca}") as relay:
            relay.tell(1)
            assert "1 sent" in relay.end()
        assert ids(watcher) == ["000001"]
        with RelayProcess(tmp_path, broker, "--mqtt-tls", time_to_live=2) as relay:
            relay.tell(2)
            text = relay.end()
        assert "the broker's certificate is not to be trusted" in text
        assert "1 expired" in text
        assert ids(watcher) == ["000001"]


def test_a_wrong_password_is_said_without_it(tmp_path):
    broker = Broker(tmp_path / "broker").start(relays=False)
    with contextlib.closing(broker), RelayProcess(tmp_path, broker, time_to_live=2) as relay:
        relay.tell(1)
        text = relay.end()
    assert "the broker refuses the connection: Not authorized; check username" in text
    assert PASSWORD not in text


def test_a_topic_that_the_broker_refuses_is_counted_and_the_rule_to_add_is_said(tmp_path):
    access = ACCESS.replace("topic readwrite edgevc/pi/#", "topic readwrite edgevc/pi/status")
    with Broker(tmp_path / "broker", access=access) as broker, RelayProcess(tmp_path, broker, time_to_live=3) as relay:
        relay.tell(1)
        text = relay.end()
    assert f"the broker refuses {EVENT}: Not authorized; let its access rules allow: write {EVENT}" in text
    assert "mqtt: 1 given, 1 refused" in text


def test_own_topics_are_made_from_slots(tmp_path):
    flags = ("--mqtt-command-topic=home/{n}/{command}", "--mqtt-command-payload=set {n}")
    with (
        Broker(tmp_path / "broker") as broker,
        Watcher(broker, "home/#", EVENT) as watcher,
        RelayProcess(tmp_path, broker, *flags) as relay,
    ):
        relay.tell(4)
        assert "mqtt: 2 given, 2 sent" in relay.end()
        assert watcher.of("home/4/light") == [b"set 4"]
        assert ids(watcher) == ["000004"]


def test_the_device_is_announced_kept_and_taken_back(tmp_path):
    grammar = tmp_path / "lamps.toml"
    grammar.write_text(LAMPS)
    config = "homeassistant/device/edgevc_pi/config"
    with (
        Broker(tmp_path / "broker") as broker,
        Watcher(broker, "edgevc/pi/#", "homeassistant/#") as watcher,
    ):
        with RelayProcess(tmp_path, broker, "--commands", grammar) as relay:
            (first,) = watcher.wait_for(config)
            assert {"trigger_light", "trigger_stop", "command", "last"} <= json.loads(first)["cmps"].keys()
            watcher.wait_for("edgevc/pi/sensitivity")
            assert watcher.of("edgevc/pi/status")[-1] == b"online"
            # Home Assistant has started
            watcher.publish("homeassistant/status", "online")
            watcher.wait_for(config, 2)
            # and mutes it, which outlives a restart
            watcher.publish("edgevc/pi/listen/set", "OFF")
            watcher.publish("edgevc/pi/sensitivity/set", "nonsense")
            watcher.publish("edgevc/pi/sensitivity/set", "70")
            wait_for("the mute", lambda: watcher.of("edgevc/pi/listen")[-1] == b"OFF")
            wait_for("the sensitivity", lambda: watcher.of("edgevc/pi/sensitivity")[-1] == b"70")
            relay.end()
        wait_for("the end", lambda: watcher.of("edgevc/pi/status")[-1] == b"offline")
        grammar.write_text(LAMPS.partition('[[command]]\nname = "stop"')[0])
        known = len(watcher.of(config))
        with RelayProcess(tmp_path, broker, "--commands", grammar) as relay:
            watcher.wait_for(config, known + 2)
            relay.tell(1)
            watcher.wait_for(EVENT)
            assert watcher.of("edgevc/pi/listen")[-1] == b"OFF"
            relay.kill()
        wait_for("the last will", lambda: watcher.of("edgevc/pi/status")[-1] == b"offline")
        removal, after = map(json.loads, watcher.of(config)[known:])
        assert removal["cmps"]["trigger_stop"] == {"p": "device_automation"}
        assert "trigger_stop" not in after["cmps"]
        assert removal["cmps"].keys() - {"trigger_stop"} == after["cmps"].keys()
        # who comes later finds what is retained, and no command
        with Watcher(broker, "edgevc/pi/#", "homeassistant/device/#") as later:
            later.wait_for(config)
            later.wait_for("edgevc/pi/listen")
            assert all(retained for _, _, _, retained in later.messages)
            assert later.of(EVENT) == []
            assert json.loads(later.of(config)[0]) == after


def test_what_nobody_remembers_is_taken_back_all_the_same(tmp_path):
    """The disk was changed: what the broker retains says what was announced."""
    config = "homeassistant/device/edgevc_pi/config"
    grammar = tmp_path / "lamps.toml"
    grammar.write_text(LAMPS)
    old = {
        "dev": {},
        "cmps": {"trigger_gone": {"p": "device_automation", "t": "x"}, "bad id": {"p": "event", "t": "x"}},
    }
    with Broker(tmp_path / "broker") as broker, Watcher(broker, "homeassistant/#") as watcher:
        watcher.publish(config, json.dumps(old), retain=True)
        with RelayProcess(tmp_path, broker, "--commands", grammar) as relay:
            announced = [json.loads(payload)["cmps"] for payload in watcher.wait_for(config, 4)]
            relay.end()
    assert announced[2]["trigger_gone"] == {"p": "device_automation"}
    assert "bad id" not in announced[2]
    assert "trigger_gone" not in announced[3]


def test_a_queue_is_for_one_relay_at_a_time(tmp_path):
    first = DiskQueue(tmp_path / "q")
    with pytest.raises(SessionError, match="another relay uses the queue"):
        DiskQueue(tmp_path / "q")
    first.close()
    DiskQueue(tmp_path / "q").close()
    assert (tmp_path / "q").stat().st_mode & 0o777 == 0o600


def test_a_damaged_queue_is_kept_aside_and_begun_anew(tmp_path, caplog):
    (tmp_path / "q").write_bytes(b"no database" * 1000)
    queue = DiskQueue(tmp_path / "q")
    assert queue.load() == []
    queue.close()
    assert (tmp_path / "q.damaged").read_bytes().startswith(b"no database")
    assert "is damaged" in caplog.text


def test_a_queue_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        DiskQueue(tmp_path / "file" / "q")


def test_rows_go_when_they_are_removed_and_not_before(tmp_path):
    queue = DiskQueue(tmp_path / "q")
    messages = [Message("t", b"%d" % n, "light", 1e12) for n in range(3)]
    queue.store(messages)
    queue.remove([messages[1].row])
    queue.announce({"a": "event"})
    queue.keep({"listening": "OFF"})
    queue.close()
    queue = DiskQueue(tmp_path / "q")
    assert [message.payload for message in queue.load()] == [b"0", b"2"]
    assert (queue.announced(), queue.kept()) == ({"a": "event"}, {"listening": "OFF"})
    queue.close()
