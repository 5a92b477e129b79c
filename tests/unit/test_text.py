"""What hostile names and numbers look like in a message."""

import time

import pytest

from edgevc.errors import ModelError
from edgevc.text import printable, shortened


def test_every_invisible_character_becomes_visible():
    assert printable("a\x1b[2Jb\n\u202e\ud800é名") == "a\\x1b[2Jb\\n\\u202e\\ud800é名"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "'plain'"),
        ("x" * 1000, "'" + "x" * 76 + "..."),
        ([1] * 1000, "list"),
        ({"a": 1}, "dict"),
        ("\x1b]0;owned\x07", "'\\x1b]0;owned\\x07'"),
        (True, "True"),
        (10**17, "1" + "0" * 17),
    ],
)
def test_a_value_is_shown_short_and_printable(value, shown):
    assert shortened(value) == shown
    assert len(shown) <= 80


def test_a_number_of_a_million_digits_costs_nothing_and_raises_nothing():
    start = time.process_time()
    assert shortened(1 << 3_321_928) == "a number of about 1000001 digits"
    assert time.process_time() - start < 0.1


def test_no_error_carries_a_terminal_escape():
    error = ModelError("\x1b[2J\u202eevil\nsecond line")
    assert str(error) == "\\x1b[2J\\u202eevil\nsecond line"
