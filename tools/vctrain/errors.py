"""Errors that a user of the tools can correct, reported in one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

from edgevc.errors import EdgevcError


class UserError(ValueError):
    """The text says what was expected, what was found, and what to do."""


def one_line_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a command: an expected error ends it with one line on stderr and exit status 2, without a traceback."""

    @functools.wraps(main)
    def command() -> None:
        try:
            main()
        except (EdgevcError, FileNotFoundError, UserError) as error:
            print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
            raise SystemExit(2) from error

    return command
