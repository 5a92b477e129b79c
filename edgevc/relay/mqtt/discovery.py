"""What Home Assistant is told of a device over MQTT: one retained message (MQTT discovery of devices, since 2024.11).

One unknown key at its root makes Home Assistant refuse the whole device, and an id with a character other than those of
`identifier` can never be removed again.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Payload = dict[str, Any]

LONGEST_ID = 60


def identifier(text: str) -> str:
    """Return an id of [A-Za-z0-9_-] for any text, another one for another text."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", plain)[:LONGEST_ID]
    if plain == text and plain:
        return plain
    # what was left out tells two names apart
    return f"{plain}_{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


class Topics:
    """Where a device's messages go."""

    def __init__(self, base: str, discovery_prefix: str, device: str) -> None:
        """`base` is the topic above all others, `device` an id."""
        self.base = base
        self.status = f"{base}/status"
        """Whether the relay is there: online or offline, retained."""
        self.event = f"{base}/event"
        """Each command, never retained."""
        self.refused = f"{base}/refused"
        """Each sentence that is no command, and why; never retained."""
        self.listen, self.sensitivity = f"{base}/listen", f"{base}/sensitivity"
        """State, retained; what is sent to .../set changes it."""
        self.config = f"{discovery_prefix}/device/edgevc_{device}/config"
        self.birth = f"{discovery_prefix}/status"

    @property
    def settable(self) -> tuple[str, str]:
        """What is subscribed to."""
        return f"{self.listen}/set", f"{self.sensitivity}/set"


def components(topics: Topics, device: str, commands: Sequence[str]) -> dict[str, Payload]:
    """Return the parts of the device: id to what Home Assistant is told.

    One message on the event topic moves all of them: the event entity, the sensor, and the trigger of its command.
    """
    unique = f"edgevc_{device}"
    found: dict[str, Payload] = {
        "command": {
            "p": "event",
            "name": "Command",
            "uniq_id": f"{unique}_command",
            "stat_t": topics.event,
            "evt_typ": list(commands) or ["none"],
            "ic": "mdi:microphone-message",
        },
        "last": {
            "p": "sensor",
            "name": "Last command",
            "uniq_id": f"{unique}_last",
            "stat_t": topics.event,
            # a state of Home Assistant has 255 characters at most
            "val_tpl": "{{ value_json.event_type[:255] }}",
            "json_attr_t": topics.event,
            "ent_cat": "diagnostic",
        },
        "listen": {
            "p": "switch",
            "name": "Listen",
            "uniq_id": f"{unique}_listen",
            "stat_t": topics.listen,
            "cmd_t": topics.settable[0],
            "ent_cat": "config",
            "ic": "mdi:microphone",
        },
        "sensitivity": {
            "p": "number",
            "name": "Sensitivity",
            "uniq_id": f"{unique}_sensitivity",
            "stat_t": topics.sensitivity,
            "cmd_t": topics.settable[1],
            "min": 0,
            "max": 100,
            "step": 1,
            "mode": "slider",
            "unit_of_meas": "%",
            "ent_cat": "config",
        },
    }
    for command in commands:
        found[f"trigger_{identifier(command)}"] = {
            "p": "device_automation",
            "atype": "trigger",
            "type": "command",
            "stype": command,
            "t": topics.event,
            "val_tpl": "{{ value_json.event_type }}",
            "pl": command,
        }
    return found


def config(
    topics: Topics, device: str, name: str, version: str, parts: Mapping[str, Payload], removed: Mapping[str, str]
) -> bytes:
    """Return the payload of the config topic.

    Args:
        topics: of the device.
        device: its id.
        name: for people.
        version: of edgevc.
        parts: of `components`.
        removed: id to platform of parts that Home Assistant shall forget: they are sent once with nothing but their
            platform, and left out afterwards.
    """
    gone = {part: {"p": platform} for part, platform in removed.items() if part not in parts}
    payload = {
        "dev": {"ids": [f"edgevc_{device}"], "name": name, "mf": "edgevc", "mdl": "relay", "sw": version},
        "o": {"name": "edgevc", "sw": version},
        "avty_t": topics.status,
        "qos": 1,
        "cmps": {**parts, **gone},
    }
    return json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")


def platforms(parts: Mapping[str, Payload]) -> dict[str, str]:
    """Return id to platform, which is all that a removal needs to know."""
    return {part: str(payload["p"]) for part, payload in parts.items()}


def usable(commands: Iterable[str]) -> list[str]:
    """Return the names that Home Assistant can have: text, each once."""
    return list(dict.fromkeys(name for name in commands if name.strip() and name.isprintable()))


def announced_in(payload: bytes) -> dict[str, str]:
    """Return id to platform of the parts in a config topic's payload, without those that it removes."""
    try:
        parts = json.loads(payload)["cmps"].items()
        return {
            part: known["p"]
            for part, known in parts
            if len(known) > 1 and isinstance(known["p"], str) and identifier(part) == part
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
