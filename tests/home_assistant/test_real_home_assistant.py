"""The relay with a real, current Home Assistant and a real Mosquitto: what is announced, triggered and removed there.

`make home-assistant` builds it where it is not there yet, and names this folder, which `pytest` alone leaves out.
"""

import contextlib
import json
import random
import subprocess
import unicodedata

import pytest
from helpers.broker import Broker, wait_for
from helpers.command_line import start
from helpers.home_assistant import HomeAssistant, WebSocket, program, tree
from helpers.relay_doubles import LAMPS
from helpers.relay_process import RelayProcess

from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.command_set import read_grammar
from edgevc.recognition.spoken_text import understand

EVENT, SWITCH, NUMBER, LAST = "event.pi_command", "switch.pi_listen", "number.pi_sensitivity", "sensor.pi_last_command"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """Mosquitto 2.1; tests/relay has the system's, which is 2.0 on Debian 12."""
    with Broker(tmp_path_factory.mktemp("broker"), program=program(tree(), "usr/sbin/mosquitto")) as broker:
        assert "mosquitto version 2.1" in (broker.folder / "log").read_text()
        yield broker


@pytest.fixture(scope="module")
def home(broker, tmp_path_factory):
    with contextlib.closing(HomeAssistant(tmp_path_factory.mktemp("home"), broker)) as home:
        yield home.start()


def triggers(home):
    """The commands of the device's triggers."""
    with WebSocket(home) as socket:
        devices = socket.ask("config/device_registry/list")
        found = [device for device in devices if ["mqtt", "edgevc_pi"] in device["identifiers"]]
        if not found:
            return None, set()
        (device,) = found
        listed = socket.ask("device_automation/trigger/list", device_id=device["id"])
        return device, {trigger["subtype"] for trigger in listed if trigger["domain"] == "mqtt"}


def toggled(home, *names):
    return [home.is_on(name) for name in names]


def test_a_command_triggers_automations_and_home_assistant_mutes_the_relay(home, broker, tmp_path):
    grammar = tmp_path / "lamps.toml"
    grammar.write_text(LAMPS)
    with RelayProcess(tmp_path, broker, "--commands", grammar) as relay:
        wait_for("the triggers", lambda: triggers(home)[1] == {"light", "stop"})
        device, _ = triggers(home)
        assert (device["name"], device["manufacturer"], device["model"]) == ("pi", "edgevc", "relay")
        wait_for("the entities", lambda: home.state(EVENT)["state"] == "unknown")
        assert home.state(EVENT)["attributes"]["event_types"] == ["light", "stop"]
        wait_for("the switch", lambda: home.state(SWITCH)["state"] == "on")
        wait_for("the number", lambda: home.state(NUMBER)["state"] == "50")
        by_device = {"trigger": "device", "domain": "mqtt", "device_id": device["id"], "type": "command"}
        home.automate("triggered", {**by_device, "subtype": "light"})
        home.automate(
            "heard",
            {"trigger": "state", "entity_id": EVENT, "not_from": ["unavailable"], "not_to": ["unavailable"]},
            [
                {
                    "condition": "template",
                    "value_template": "{{ trigger.to_state.attributes.event_type == 'light' and "
                    "trigger.to_state.attributes.slots.n == '7' }}",
                }
            ],
        )
        relay.tell(7)
        wait_for("both automations", lambda: all(toggled(home, "triggered", "heard")))
        assert home.state(LAST)["state"] == "light"
        assert home.state(EVENT)["attributes"]["id"] == "000007"
        # another command fires neither
        relay.say({"command": "stop"})
        wait_for("the other command", lambda: home.state(LAST)["state"] == "stop")
        assert toggled(home, "triggered", "heard") == [True, True]
        home.call("switch.turn_off", entity_id=SWITCH)
        home.call("number.set_value", entity_id=NUMBER, value=80)
        relay.wait_for("listening: off, as Home Assistant asks")
        relay.wait_for("sensitivity: 80 %")
        wait_for("its answer", lambda: (home.state(SWITCH)["state"], home.state(NUMBER)["state"]) == ("off", "80"))
        relay.end()
    wait_for("the end", lambda: home.state(EVENT)["state"] == "unavailable")

    # a command that goes takes its trigger along, the others stay
    grammar.write_text(LAMPS.partition('[[command]]\nname = "stop"')[0])
    with RelayProcess(tmp_path, broker, "--commands", grammar) as relay:
        wait_for("the removal", lambda: triggers(home)[1] == {"light"})
        wait_for("the entity", lambda: home.state(EVENT)["attributes"].get("event_types") == ["light"])
        relay.tell(8)
        wait_for("the first automation again", lambda: not home.is_on("triggered"))
        # and one that comes back is there again
        relay.end()
    grammar.write_text(LAMPS)
    with RelayProcess(tmp_path, broker, "--commands", grammar) as relay:
        wait_for("the trigger again", lambda: triggers(home)[1] == {"light", "stop"})
        relay.end()
    assert home.complaints() == []


def names(count):
    """Names as people give them, and worse."""
    rng = random.Random(4)
    special = [
        "AC",
        "TV 2",
        "a_b",
        "a-b",
        "Küche",
        "naïve",
        "5",
        "light/on",
        "light+on",
        "#1",
        "{{ x }}",
        "None",
        "日本",
    ]
    letters = "abcXYZ 0123456789_-.,:;!?'\"äöüßéñçøÅ€漢字🙂/\\+#{}[]()<>&%$@=|~^`"
    found = dict.fromkeys(special)
    while len(found) < count:
        name = "".join(rng.choice(letters) for _ in range(rng.randint(1, 40))).strip()
        if name:
            found[unicodedata.normalize("NFC", name)] = None
    return list(found)


def test_a_thousand_names_of_every_kind_are_triggers_and_can_be_taken_back(home, broker, tmp_path):
    wanted = names(1000)
    grammar = tmp_path / "many.toml"
    grammar.write_text(
        "".join(f'[[command]]\nname = {json.dumps(name, ensure_ascii=False)}\nsay = ["x"]\n' for name in wanted)
    )
    with RelayProcess(tmp_path, broker, "--commands", grammar) as relay:
        wait_for("a thousand triggers", lambda: triggers(home)[1] == set(wanted), 200)
        for name in wanted[:20]:
            relay.say({"command": name})
            wait_for(name, lambda name=name: home.state(EVENT)["attributes"].get("event_type") == name)
            # which is what Home Assistant's sensors take for no value
            assert home.state(LAST)["state"] == ("unknown" if name == "None" else name)
        relay.end()
    grammar.write_text(LAMPS)
    with RelayProcess(tmp_path, broker, "--commands", grammar) as relay:
        wait_for("two triggers", lambda: triggers(home)[1] == {"light", "stop"}, 200)
        relay.end()
    assert home.complaints() == []


def test_intents_and_sentences_switch_a_lamp_without_a_broker(home, broker, tmp_path):
    token = tmp_path / "token"
    token.write_text(home.token)
    token.chmod(0o600)
    flags = (f"--home-assistant-url={home.url}", f"--home-assistant-token-file={token}")
    with RelayProcess(tmp_path, None, *flags) as relay:
        relay.say({"command": "HassTurnOn", "slots": {"name": "kitchen lamp"}})
        wait_for("the lamp", lambda: home.is_on("lamp"))
        relay.say({"command": "HassTurnOn", "slots": {"name": "cellar lamp"}})
        relay.say({"command": "NoSuchIntent"})
        text = relay.end()
    assert "home assistant: 3 given, 1 sent, 2 refused" in text
    assert "HassTurnOn was refused: " in text
    assert "NoSuchIntent was refused: " in text
    assert home.token not in text
    with WebSocket(home) as socket:
        exposed = {"assistants": ["conversation"], "entity_ids": ["input_boolean.lamp"], "should_expose": True}
        socket.ask("homeassistant/expose_entity", **exposed)
    with RelayProcess(tmp_path, None, *flags, "--home-assistant-ask=conversation") as relay:
        relay.say({"command": "light", "text": "turn off the kitchen lamp"})
        wait_for("the lamp", lambda: not home.is_on("lamp"))
        relay.say({"command": "light", "text": "turn off the cellar lamp"})
        assert "home assistant: 2 given, 1 sent, 1 refused" in relay.end()


def test_what_is_exposed_becomes_a_grammar_that_switches_it_and_follows_the_house(home, tmp_path):
    token, output = tmp_path / "token", tmp_path / "house.yaml"
    token.write_text(home.token)
    token.chmod(0o600)
    trigger = {"trigger": "conversation", "command": ["it is movie night"]}
    home.automate("triggered", trigger)

    def means(text):
        found = understand(compile_grammar(read_grammar(output)), text)
        return None if found is None else (found.intent, dict(found.slots))

    with WebSocket(home) as socket:
        exposed = {"assistants": ["conversation"], "should_expose": True}
        socket.ask("homeassistant/expose_entity", entity_ids=["input_boolean.lamp"], **exposed)
        socket.ask("config/area_registry/create", name="Cook house", aliases=["galley"])
        words = ("commands", "from-ha", home.url, "--token-file", token, "--output", output, "--follow")
        process = start(*words, stdin=subprocess.DEVNULL)
        with process.stderr, contextlib.ExitStack() as stack:
            stack.callback(process.kill)
            wait_for("the grammar", output.exists)
            assert means("turn off the kitchen lamp") == ("HassTurnOff", {"name": "Kitchen lamp"})
            assert means("it is movie night") == ("conversation", {})
            # input_boolean from the configuration stands in no registry; what does is followed
            socket.ask("config/entity_registry/update", entity_id="automation.triggered", aliases=["film"])
            socket.ask("homeassistant/expose_entity", entity_ids=["automation.triggered"], **exposed)
            shelf = {"state": "on", "attributes": {"friendly_name": "Shelf"}}
            assert home.answer("POST", "/api/states/light.shelf", shelf)[0] == 201
            socket.ask("homeassistant/expose_entity", entity_ids=["light.shelf"], **exposed)
            socket.ask("config/area_registry/create", name="Pantry")
            wait_for("the new light", lambda: means("turn on the shelf") == ("HassTurnOn", {"name": "Shelf"}))
            process.terminate()
            assert process.wait(60) == 0
    flags = (f"--home-assistant-url={home.url}", f"--home-assistant-token-file={token}")
    before = home.is_on("triggered")
    with RelayProcess(tmp_path, None, "--commands", output, *flags) as relay:
        relay.say({"command": "HassTurnOn", "slots": {"name": "Kitchen lamp"}})
        wait_for("the lamp", lambda: home.is_on("lamp"))
        relay.say({"command": "conversation", "text": "it is movie night"})
        wait_for("the automation", lambda: home.is_on("triggered") != before)
        assert "home assistant: 2 given, 2 sent" in relay.end()
