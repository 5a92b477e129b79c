"""`edgevc doctor`: is this machine fit for a live session, and if not, what to type."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgevc.cli.common import help_text
from edgevc.errors import ConfigError

if TYPE_CHECKING:
    from edgevc.board.doctor import Finding

_EXAMPLES = """\
  edgevc doctor
  edgevc doctor --json
"""
HELP = help_text(_EXAMPLES, (ConfigError,), {0: "no problem (there may be notes)", 1: "at least one problem"})
_MARKS = {"ok": "ok  ", "note": "note", "problem": "BAD "}
_COLOURS = {"ok": "32", "note": "33", "problem": "31"}
_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="print JSON: check, status, text and fix of each finding")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; return 1 where there is a problem."""
    from edgevc.board.doctor import PROBLEM, examine
    from edgevc.terminal.view import use_colour

    findings = examine()
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        print("\n".join(report(findings, colour=use_colour(sys.stdout))))
    return int(any(finding.status == PROBLEM for finding in findings))


def report(findings: Sequence[Finding], *, colour: bool = False) -> list[str]:
    """Return one line per finding, its fix below it, and a summary."""
    width = max((len(finding.check) for finding in findings), default=0)
    lines = []
    for finding in findings:
        mark = _MARKS[finding.status]
        if colour:
            mark = f"\033[{_COLOURS[finding.status]}m{mark}\033[0m"
        head = f"{finding.check:{width}s}  "
        room = max(_WIDTH - width - 8, 40)
        words = textwrap.wrap(finding.text, room, break_on_hyphens=False, break_long_words=False) or [""]
        lines.append(f"{mark}  {head}{words[0]}".rstrip())
        lines += [" " * (width + 8) + line for line in words[1:]]
        if finding.fix:
            # in one piece: it is there to be copied
            lines.append(" " * (width + 8) + f"-> {finding.fix}")
    count = Counter(finding.status for finding in findings)
    summary = f"{count['problem']} problems, {count['note']} notes, {count['ok']} in order"
    return [*lines, "", summary]
