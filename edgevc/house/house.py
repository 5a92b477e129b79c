"""What a Home Assistant lets its assistants control, and how people call it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from edgevc.errors import SessionError
from edgevc.text import first_line, shortened

CHANGES = (
    *("entity_registry_updated", "device_registry_updated", "area_registry_updated", "floor_registry_updated"),
    *("automation_reloaded", "component_loaded", "homeassistant_started"),
)
"""Events behind which a house may be another."""
ASSISTANT = "conversation"
"""Of those to which an entity may be exposed, Home Assistant's own."""


class Asks(Protocol):
    """Answers requests of Home Assistant's websocket."""

    def ask(self, kind: str, **values: object) -> Any:
        """Return the result of one."""
        ...


@dataclass(frozen=True)
class Entity:
    """One thing that may be controlled."""

    domain: str
    """Such as "light"."""
    names: tuple[str, ...]
    """Its own first, then its aliases, as they are written."""
    area: str = ""
    """Id of the area that it lies in."""


@dataclass(frozen=True)
class Place:
    """An area or a floor."""

    id: str
    names: tuple[str, ...]
    floor: str = ""
    """Id of the floor that an area lies on."""


@dataclass(frozen=True)
class House:
    """All of it."""

    entities: tuple[Entity, ...]
    areas: tuple[Place, ...]
    floors: tuple[Place, ...]
    sentences: tuple[str, ...]
    """Of automations that a sentence triggers, in hassil's syntax."""


def read_house(home: Asks) -> House:
    """Ask for everything that is exposed to Home Assistant's own assistant.

    Raises:
        SessionError: a request is refused, or an answer is not as Home Assistant's.
    """
    try:
        exposed = home.ask("homeassistant/expose_entity/list")["exposed_entities"]
        chosen = {entity for entity, assistants in exposed.items() if assistants.get(ASSISTANT) is True}
        states = {state["entity_id"]: state["attributes"] for state in home.ask("get_states")}
        entries = home.ask("config/entity_registry/get_entries", entity_ids=sorted(chosen)) if chosen else {}
        devices = {_id(device["id"]): _id(device.get("area_id")) for device in home.ask("config/device_registry/list")}
        areas = home.ask("config/area_registry/list")
        floors = home.ask("config/floor_registry/list")
        sentences = home.ask("conversation/sentences/list")["trigger_sentences"]
        return House(
            tuple(
                _entity(name, states[name], entries.get(name) or {}, devices) for name in sorted(chosen & set(states))
            ),
            tuple(
                Place(_id(area["area_id"]), _names(area["name"], area.get("aliases")), _id(area.get("floor_id")))
                for area in areas
            ),
            tuple(Place(_id(floor["floor_id"]), _names(floor["name"], floor.get("aliases"))) for floor in floors),
            _names(*sentences),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SessionError(
            f"Home Assistant answers otherwise than expected ({type(error).__name__}: {first_line(error)})"
        ) from error


def _entity(name: str, attributes: dict[str, Any], entry: dict[str, Any], devices: dict[str, str]) -> Entity:
    domain, _, own = name.partition(".")
    written = attributes.get("friendly_name") or own.replace("_", " ")
    area = _id(entry.get("area_id")) or devices.get(_id(entry.get("device_id")), "")
    return Entity(domain, _names(written, entry.get("aliases")), area)


def _id(found: object) -> str:
    """The id of an area, a floor or a device; empty where there is none."""
    if found is not None and not isinstance(found, str):
        raise TypeError(f"an id is no text but {shortened(found)}")
    return found or ""


def _names(*found: str | Iterable[object] | None) -> tuple[str, ...]:
    """Texts in order, each once; what else stands in a list of aliases is passed over."""
    texts: list[object] = []
    for one in found:
        texts += [one] if isinstance(one, str) else list(one or ())
    return tuple(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
