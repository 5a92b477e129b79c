"""Makes the document of the control socket from the table of controls.

python -m edgevc.control.document > docs/live-control.md
"""

from __future__ import annotations

import sys

from edgevc.control.bounded import MAX_CLIENTS, REQUEST_SECONDS
from edgevc.control.controls import CONTROLS
from edgevc.control.events import CHANGE_SECONDS, ENCODING, EVENTS
from edgevc.control.phones import CAPACITY_HOPS
from edgevc.control.server import IDLE_SECONDS, MAX_LINE, REQUESTS


def markdown() -> str:
    """Return docs/live-control.md."""
    events = " and ".join(f"`{event}`" for event in EVENTS)
    lines = [
        "# Controlling a live session",
        "",
        "Made by `python -m edgevc.control.document > docs/live-control.md` from the table that the program reads.",
        "",
        "A running `edgevc live` is controlled by keys, by `edgevc control`, and by any program over its control",
        "socket, `$XDG_RUNTIME_DIR/edgevc.sock` or what `--control` names. In Python: `session.apply(name, value)` in",
        "the same process, `edgevc.control.client.Connection` in another one.",
        "",
        "## Controls",
        "",
        "| name | value | keys | what it does |",
        "|---|---|---|---|",
    ]
    for control in CONTROLS:
        rule = "one of the model's voices" if control.choices else control.kind.rule
        keys = ", ".join(f"`{key.shown or key.characters}` {key.label}" for key in control.keys)
        lines.append(f"| `{control.name}` | {rule} | {keys} | {control.help} |")
    lines += [
        "",
        "```sh",
        "edgevc control mode mute",
        "edgevc control gain -3",
        "edgevc control status                # with --json for programs",
        "edgevc control subscribe             # a line of JSON for each change",
        "```",
        "",
        "## The socket",
        "",
        "One line of JSON asks, one line answers:",
        "",
        "```",
        '{"command": "mode", "value": "mute"}      ->  {"ok": true, "mode": "mute"}',
        '{"command": "voice", "value": "nobody"}   ->  {"ok": false, "error": "voice must be one of ..."}',
        "```",
        "",
        "Beside the controls:",
        "",
        "| command | what it does |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in REQUESTS.items()),
        "",
        f"`subscribe` takes a list of events, {events}; without one, `state`. Its answer holds",
        "everything, and each line after it only what has changed:",
        "",
        "```",
        '{"command": "subscribe", "value": ["state", "phones"]}',
        '{"event": "state", "mode": "mute"}',
        '{"event": "state", "faults": {"device_restarts": 1}}',
        '{"event": "phones", "position": 1600, "hops": 2, "phones": "AAAA..."}',
        "```",
        "",
        f"The session is looked at every {1000 * CHANGE_SECONDS:g} ms. `phones` is what the model hears in each hop of",
        "10 ms: one value for each phone that the answer names, as",
        f"{ENCODING}. `position` counts samples at 16 kHz. Hops that a",
        f"client does not fetch in time are left out, {CAPACITY_HOPS} wait at most; the next line has their number,",
        "`dropped`.",
        "",
        "While the session is muted or in bypass there are phones only if it is `listening`.",
        "",
        "## Rules",
        "",
        "Nothing that a client does can hold the sound up.",
        "",
        f"- A command has at most {MAX_LINE} bytes and arrives within {REQUEST_SECONDS:g} s of its first one. A line",
        "  that is no command ends the connection: a browser that was led here gets nothing done.",
        f"- {MAX_CLIENTS} clients at a time. One more takes the place of the one that has asked nothing for longest,",
        "  and that one is told so; subscribers go last.",
        f"- Who asks nothing for {IDLE_SECONDS / 60:g} minutes, and has not subscribed, is disconnected.",
        "- A unix socket is for its user alone (mode 0600). A port, `127.0.0.1:PORT`, is open to every user of this",
        "  machine.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
