"""Mistakes that a user of the tools can put right, told in one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

from edgevc.errors import EdgevcError


class UserError(ValueError):
    """Its text says what was expected, what was found, and what to do."""


def told_in_a_line(main: Callable[[], None]) -> Callable[[], None]:
    """A command that ends with exit status 2 and the mistake's text, where others show a traceback."""

    @functools.wraps(main)
    def command() -> None:
        try:
            main()
        except (EdgevcError, FileNotFoundError, UserError) as error:
            print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
            raise SystemExit(2) from error

    return command
