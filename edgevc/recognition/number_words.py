"""Numbers as they are said in English."""

from __future__ import annotations

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MAX_NUMBER = 999_999


def number_words(number: int) -> str:
    """Return a whole number's words, such as "two hundred five".

    Raises:
        ValueError: it is not between -999,999 and 999,999.
    """
    if abs(number) > MAX_NUMBER:
        raise ValueError(f"expected a number between -{MAX_NUMBER} and {MAX_NUMBER}, got {number}")
    if number < 0:
        return f"minus {number_words(-number)}"
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f" {_SMALL[ones]}" if ones else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    many, rest = divmod(number, unit)
    return f"{number_words(many)} {name}" + (f" {number_words(rest)}" if rest else "")


def ways_to_say(number: int) -> list[str]:
    """Return the words of a number and how else they are said: "a hundred", "one hundred and five"."""
    words = number_words(number)
    ways = [words]
    if 100 < abs(number) < 1000 and number % 100:
        ways.append(words.replace("hundred ", "hundred and ", 1))
    if 100 <= abs(number) < 200:
        ways += [way.replace("one hundred", "a hundred", 1) for way in ways]
    return ways
