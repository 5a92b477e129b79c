"""Writes the grammar of a house: what is exposed there, said in the ways that people say it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from edgevc.house.house import House
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.grammar import GrammarError
from edgevc.recognition.home_assistant import SENTENCE_COMMAND, parse_home_assistant
from edgevc.recognition.sentences import spoken_words
from edgevc.text import first_line, shortened

_PERCENT = {"from": 0, "to": 100}
_RANGES = {
    "brightness": _PERCENT,
    "position": _PERCENT,
    "volume_level": _PERCENT,
    "temperature": {"from": 5, "to": 95},
}
_SWITCHED = frozenset(("light", "switch", "fan", "media_player", "input_boolean", "climate", "humidifier", "siren"))


@dataclass(frozen=True)
class _Kind:
    """What is said about the entities of some domains; {it} stands for one of them."""

    name: str
    domains: Collection[str]
    say: tuple[tuple[str, tuple[str, ...]], ...]
    """Intent, and its sentences."""


# A lock is locked by voice, but not unlocked, and what opens for whoever calls through the door is no default.
_KINDS = (
    _Kind(
        "switched",
        _SWITCHED,
        (
            ("HassTurnOn", ("(turn|switch) on {it}", "(turn|switch) {it} on")),
            ("HassTurnOff", ("(turn|switch) off {it}", "(turn|switch) {it} off")),
        ),
    ),
    _Kind(
        "lights",
        ("light",),
        (
            (
                "HassLightSet",
                (
                    "(set|dim|change) {it} to {brightness} percent",
                    "set {it} brightness to {brightness} percent",
                    "set the brightness of {it} to {brightness} percent",
                ),
            ),
        ),
    ),
    _Kind(
        "covers",
        ("cover", "valve"),
        (
            ("HassTurnOn", ("(open|raise) {it}",)),
            ("HassTurnOff", ("(close|shut|lower) {it}",)),
            ("HassSetPosition", ("(set|open|close) {it} to {position} percent",)),
        ),
    ),
    _Kind("locks", ("lock",), (("HassTurnOn", ("lock {it}",)),)),
    _Kind("scenes", ("scene",), (("HassTurnOn", ("(activate|start) {it}", "(activate|start) scene {it}")),)),
    _Kind("scripts", ("script",), (("HassTurnOn", ("(run|start) {it}", "run script {it}")),)),
    _Kind("buttons", ("button", "input_button"), (("HassTurnOn", ("press {it}",)),)),
    _Kind(
        "heaters",
        ("climate",),
        (("HassClimateSetTemperature", ("set [the temperature of] {it} to {temperature} degrees",)),),
    ),
    _Kind(
        "players",
        ("media_player",),
        (
            ("HassMediaPause", ("pause {it}",)),
            ("HassMediaUnpause", ("(resume|continue) {it}",)),
            ("HassMediaNext", ("(skip|next track) on {it}",)),
            ("HassSetVolume", ("set the volume of {it} to {volume_level} percent",)),
        ),
    ),
    _Kind(
        "vacuums",
        ("vacuum",),
        (("HassVacuumStart", ("start {it}",)), ("HassVacuumReturnToBase", ("(stop|dock) {it}", "send {it} home"))),
    ),
)
_IN_PLACE = (
    ("HassTurnOn", ("(turn|switch) on the lights (in|on) [the] {it}", "(turn|switch) on [the] {it} light[s]")),
    ("HassTurnOff", ("(turn|switch) off the lights (in|on) [the] {it}", "(turn|switch) off [the] {it} light[s]")),
)
"""Of an area or a floor that has lights."""
_SHARED = (
    ("HassTurnOn", ("(turn|switch) on [the] {shared:name} in [the] {area}",)),
    ("HassTurnOff", ("(turn|switch) off [the] {shared:name} in [the] {area}",)),
)
"""Where things in different areas have one name."""


@dataclass(frozen=True)
class HouseGrammar:
    """What was written."""

    text: str
    """YAML in Home Assistant's syntax, which `parse_home_assistant` reads."""
    left_out: tuple[str, ...]
    """Why something cannot be said, a line each."""


@dataclass
class _Draft:
    unknown: Callable[[Iterable[str]], set[str]]
    intents: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    lists: dict[str, dict[str, object]] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)

    def add(self, intent: str, sentences: Sequence[str], slots: dict[str, str] | None = None) -> None:
        block: dict[str, object] = {"sentences": list(sentences)}
        self.intents.setdefault(intent, []).append(block | ({"slots": slots} if slots else {}))
        for name, numbers in _RANGES.items():
            if any(f"{{{name}}}" in sentence for sentence in sentences):
                self.lists[name] = {"range": numbers}

    def name(self, name: str, written: Iterable[str]) -> bool:
        """Add a list of names; whether any of them can be said."""
        said: dict[str, str] = {}
        for one in written:
            words = spoken_words(one)
            unknown = sorted(self.unknown(words))
            if not words or unknown:
                missing = ", ".join(map(shortened, unknown))
                why = f"no pronunciation of {missing}" if unknown else "nothing in it can be said"
                self.left_out[f"{shortened(one)}: {why}; give it an alias in Home Assistant"] = None
            else:
                said.setdefault(" ".join(words), one)
        if said:
            self.lists[name] = {"values": [{"in": spoken, "out": out} for spoken, out in said.items()]}
        return bool(said)

    def document(self, home: str) -> str:
        lines = [
            f"# Made by `edgevc commands from-ha {home}`: what is changed here is lost.",
            "language: en",
            "intents:",
        ]
        for intent, blocks in self.intents.items():
            lines += [f"  {intent}:", "    data:"]
            lines += [f"      - {_flow(block)}" for block in blocks]
        lines.append("lists:" if self.lists else "lists: {}")
        for name, content in self.lists.items():
            values = content.get("values")
            if isinstance(values, list):
                lines += [f"  {name}:", "    values:", *(f"      - {_flow(value)}" for value in values)]
            else:
                lines.append(f"  {name}: {_flow(content)}")
        return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    # JSON is YAML
    return json.dumps(value, ensure_ascii=False)


def house_grammar(house: House, home: str, unknown: Callable[[Iterable[str]], set[str]]) -> HouseGrammar:
    """Return the grammar of a house.

    Args:
        house: from `read_house`.
        home: address of it, for the first line.
        unknown: returns those of some words that have no pronunciation.

    Raises:
        GrammarError: nothing that is exposed can be said, or it is too much.
    """
    # all at once, since looking words up reads the whole dictionary
    unknown([word for name in _all_names(house) for word in spoken_words(name)])
    draft = _Draft(unknown)
    for kind in _KINDS:
        _add_kind(draft, house, kind)
    _add_places(draft, house)
    _add_shared(draft, house)
    for sentence in house.sentences:
        _add_trigger(draft, sentence)
    if not draft.intents:
        raise GrammarError(f"nothing that {home} exposes to its assistant can be said; expose something there")
    text = draft.document(home)
    compile_grammar(parse_home_assistant(text))
    return HouseGrammar(text, tuple(draft.left_out))


def _all_names(house: House) -> list[str]:
    places = (*house.areas, *house.floors)
    return [name for entity in house.entities for name in entity.names] + [name for one in places for name in one.names]


def _add_kind(draft: _Draft, house: House, kind: _Kind) -> None:
    members = [entity for entity in house.entities if entity.domain in kind.domains]
    if draft.name(kind.name, (name for entity in members for name in entity.names)):
        for intent, sentences in kind.say:
            draft.add(intent, [one.replace("{it}", f"[the] {{{kind.name}:name}}") for one in sentences])


def _add_places(draft: _Draft, house: House) -> None:
    with_lights = {entity.area for entity in house.entities if entity.domain == "light"}
    areas = [area for area in house.areas if area.id in with_lights]
    floors = [floor for floor in house.floors if floor.id in {area.floor for area in areas}]
    for slot, places in (("area", areas), ("floor", floors)):
        if draft.name(f"lit_{slot}s", (name for place in places for name in place.names)):
            for intent, sentences in _IN_PLACE:
                it = f"{{lit_{slot}s:{slot}}}"
                draft.add(intent, [one.replace("{it}", it) for one in sentences], {"domain": "light"})


def _add_shared(draft: _Draft, house: House) -> None:
    places = {area.id: area for area in house.areas}
    shared = [found for found in _areas_of_names(house, places).values() if len(found) > 1]
    written = [name for found in shared for name in found.values()]
    in_areas = [name for found in shared for area in found for name in places[area].names]
    if shared and draft.name("shared", written) and draft.name("area", in_areas):
        for intent, sentences in _SHARED:
            draft.add(intent, sentences)


def _areas_of_names(house: House, places: Collection[str]) -> dict[str, dict[str, str]]:
    """Each name of what is switched, to the areas in which something is called so, and how it is written there."""
    found: dict[str, dict[str, str]] = {}
    for entity in house.entities:
        if entity.domain in _SWITCHED and entity.area in places:
            for name in entity.names:
                found.setdefault(name.casefold(), {})[entity.area] = name
    return found


def _add_trigger(draft: _Draft, sentence: str) -> None:
    alone = _Draft(draft.unknown)
    alone.add(SENTENCE_COMMAND, [sentence])
    try:
        automaton = compile_grammar(parse_home_assistant(alone.document("")))
    except GrammarError as error:
        draft.left_out[f"the sentence {shortened(sentence)}: {first_line(error)}"] = None
        return
    unknown = sorted(draft.unknown({arc.label.word for arc in automaton.arcs}))
    if unknown:
        words = ", ".join(map(shortened, unknown))
        why = f"no pronunciation of {words}; add it to a dictionary"
        draft.left_out[f"the sentence {shortened(sentence)}: {why}"] = None
        return
    draft.add(SENTENCE_COMMAND, [sentence])
