"""What a service says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgevc.wyoming.frames import Frame, FrameError, make_frame

_OTHER_WAY = ("mic", "satellite")
"""Services whose sound goes to the client."""


def named_anew(frame: Frame, name: str) -> Frame:
    """Return an `info` in which every program has a name of our own: Home Assistant would show two alike.

    Args:
        frame: of type info.
        name: goes before each program's name; models keep theirs.

    Raises:
        FrameError: it is no info, or that of a microphone or a satellite, whose sound no proxy here would change.
    """
    data = frame.data()
    for kind in _OTHER_WAY:
        if data.get(kind):
            raise FrameError(f"the service is a {kind}: what it hears would come back unchanged; use no proxy here")
    for programs in data.values():
        for program in programs if isinstance(programs, list) else ():
            if isinstance(program, dict) and isinstance(program.get("name"), str):
                program["name"] = f"{name}-{program['name']}"
    return make_frame("info", data, frame.payload, frame.header)


def original_name(frame: Frame, name: str) -> Frame:
    """Return a `select-program` with the program's own name: the client knows the one of `named_anew`."""
    data = frame.data()
    chosen = data.get("name")
    if not isinstance(chosen, str) or not chosen.startswith(f"{name}-"):
        return frame
    return make_frame("select-program", {**data, "name": chosen[len(name) + 1 :]}, frame.payload, frame.header)


def service_info(name: str, phrases: Iterable[str], version: str | None = None) -> dict[str, Any]:
    """Return the data of the `info` of a service for spoken commands.

    Args:
        name: of its programs.
        phrases: wake phrases; none: it is no wake service.
        version: of the program.
    """

    def artifact(what: str, description: str, **more: object) -> dict[str, Any]:
        maker = {"name": "edgevc", "url": ""}
        known = {"attribution": maker, "installed": True, "description": description, "version": version}
        return {"name": what, **known, **more}

    english = artifact("commands", "the sentences of a grammar", languages=["en"])
    # the end of a sentence is known here, before anybody else can hear it
    knows_the_end = {"supports_transcript_streaming": False, "requires_external_vad": False}
    # phones are heard best as the microphone gives them
    as_it_is = {"prefers_auto_gain_enabled": False, "prefers_noise_reduction_enabled": False}
    info = {
        "asr": [artifact(name, "spoken commands", models=[english], **knows_the_end, **as_it_is)],
        "intent": [artifact(name, "commands in words", models=[english])],
    }
    models = [artifact(phrase, "a wake phrase", languages=["en"], phrase=phrase) for phrase in phrases]
    if models:
        info["wake"] = [artifact(name, "wake phrases by text", models=models)]
    return info
