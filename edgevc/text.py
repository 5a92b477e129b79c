"""Names and numbers from files that may be hostile, made fit for one line of text."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return the text with everything that is not a visible character or a blank as \x.., so that it stays one line.

    Names come from model files that may be hostile: control characters would drive a terminal, marks of writing
    direction would disguise a name, lone surrogates cannot be written to a file.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_lines(text: str) -> str:
    """Return the text with each of its lines made printable; it keeps its lines."""
    return "\n".join(map(printable, text.split("\n")))


def first_line(error: BaseException) -> str:
    """Return the first line of what another program's error says, printable and at most 300 characters."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0][:300])


def shortened(value: object, limit: int = 80) -> str:
    """Return what a message shows of a value from a file: its `repr`, printable and at most `limit` characters.

    Of a list or an object it is the type's name. A number of a million digits costs no more than its first digits.
    """
    if isinstance(value, int) and value.bit_length() > 4 * limit:
        return f"a number of about {int(value.bit_length() * 0.30103) + 1} digits"
    text = type(value).__name__ if isinstance(value, dict | list | tuple) else repr(value)
    text = printable(text if len(text) <= 2 * limit else text[: 2 * limit])
    return text if len(text) <= limit else text[: limit - 3] + "..."
