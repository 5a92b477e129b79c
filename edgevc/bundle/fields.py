"""Kinds of values that a manifest holds: each checks one, says its rule, and describes itself as JSON schema."""

from __future__ import annotations

import difflib
import math
import re
from abc import ABC, abstractmethod
from pathlib import PurePosixPath
from typing import Any

from edgevc.errors import ModelError
from edgevc.limits import CHUNK_HOPS, ENGINES, LONGEST_BLOCK_HOPS
from edgevc.text import shortened

MAX_DIMENSION = 1 << 16
MAX_ELEMENTS = 1 << 22
"""Of one tensor: 16 MiB of float32."""
MAX_FIGURE_DEPTH = 8
PATH_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"
"""Printable, portable parts of a path; a leading dot would allow "." and ".."."""
HOPS = -1
"""First dimension of a tensor that has a row for each hop of a call; "hops" in the manifest."""

_MAX_PATH = 200


class Kind(ABC):
    """What a value may be."""

    @property
    @abstractmethod
    def rule(self) -> str:
        """What is allowed, as it stands after "must be"."""

    @abstractmethod
    def read(self, value: Any, where: str) -> Any:
        """Return the value as the rest of edgevc uses it.

        Args:
            value: from JSON.
            where: names it in messages, such as "manifest.features.n_mels".

        Raises:
            ModelError: the value breaks the rule.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""

    def refuse(self, value: object, where: str) -> ModelError:
        """Return the error for a value that breaks the rule."""
        return broken(where, self.rule, value)


def broken(where: str, rule: str, value: object) -> ModelError:
    """Return the error for the value at `where`, which must be as `rule` says."""
    return ModelError(f"{where} must be {rule}, got {shortened(value)}; export the model again")


class Text(Kind):
    """Printable text for people."""

    def __init__(self, limit: int = 2000) -> None:
        """`limit`: characters."""
        self.limit = limit

    @property
    def rule(self) -> str:
        """What is allowed."""
        return f"printable text of 1 to {self.limit} characters"

    def read(self, value: Any, where: str) -> str:
        """Return the text."""
        if not isinstance(value, str) or not 0 < len(value) <= self.limit or not value.isprintable():
            raise self.refuse(value, where)
        return value

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        return {"type": "string", "minLength": 1, "maxLength": self.limit}


class Pattern(Kind):
    """Text of a fixed form."""

    def __init__(self, pattern: str, rule: str) -> None:
        """`pattern`: a regular expression for the whole text."""
        self._pattern, self._rule = re.compile(pattern), rule

    @property
    def rule(self) -> str:
        """What is allowed."""
        return self._rule

    def read(self, value: Any, where: str) -> str:
        """Return the text."""
        if not isinstance(value, str) or not self._pattern.fullmatch(value):
            raise self.refuse(value, where)
        return value

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        return {"type": "string", "pattern": f"^{self._pattern.pattern}$"}


NAME = Pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a name of 1 to 64 letters, digits, dots, dashes or underscores")
TENSOR_NAME = Pattern(r"[a-z][a-z0-9_]{0,47}", "a tensor name: a lower-case letter, then at most 47 of a-z, 0-9 and _")
DATE = Pattern(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])", "a date as YYYY-MM-DD")
SHA256 = Pattern(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")


class FilePath(Pattern):
    """A path inside the bundle."""

    def __init__(self) -> None:
        """Take every portable path."""
        super().__init__(
            rf"{PATH_PART}(/{PATH_PART})*",
            "a relative path of letters, digits, dots, dashes and underscores, without '..'",
        )

    def read(self, value: Any, where: str) -> str:
        """Return the path."""
        if isinstance(value, str) and len(value) > _MAX_PATH:
            raise self.refuse(value, where)
        return str(PurePosixPath(super().read(value, where)))

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        return {**super().schema(), "maxLength": _MAX_PATH}


class Integer(Kind):
    """A whole number in a range; true and 1.0 are none."""

    def __init__(self, low: int, high: int) -> None:
        """Both ends are allowed."""
        self.low, self.high = low, high

    @property
    def rule(self) -> str:
        """What is allowed."""
        return f"an integer from {self.low} to {self.high}"

    def read(self, value: Any, where: str) -> int:
        """Return the number."""
        if type(value) is not int or not self.low <= value <= self.high:
            raise self.refuse(value, where)
        return value

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


class Number(Kind):
    """A finite number in a range."""

    def __init__(self, low: float, high: float) -> None:
        """Both ends are allowed."""
        self.low, self.high = low, high

    @property
    def rule(self) -> str:
        """What is allowed."""
        return f"a number from {self.low} to {self.high}"

    def read(self, value: Any, where: str) -> float:
        """Return the number."""
        if type(value) not in (int, float) or not self.low <= value <= self.high:
            raise self.refuse(value, where)
        return float(value)

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}


class OneOf(Kind):
    """One of a few words or whole numbers."""

    def __init__(self, *known: str | int) -> None:
        """`known`: all that is allowed."""
        self.known = known

    @property
    def rule(self) -> str:
        """What is allowed."""
        return f"one of {', '.join(map(str, self.known))}"

    def read(self, value: Any, where: str) -> str | int:
        """Return the word or number."""
        if type(value) not in (str, int) or value not in self.known:
            raise self.refuse(value, where)
        return value  # type: ignore[no-any-return]

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        return {"enum": list(self.known)}


class Items(Kind):
    """A list of values of one kind."""

    def __init__(self, kind: Kind, low: int, high: int) -> None:
        """Take `low` to `high` values of `kind`."""
        self.kind, self.low, self.high = kind, low, high

    @property
    def rule(self) -> str:
        """What is allowed."""
        return f"a list of {self.low} to {self.high} items"

    def read(self, value: Any, where: str) -> tuple[Any, ...]:
        """Return the checked values."""
        if not isinstance(value, list) or not self.low <= len(value) <= self.high:
            raise broken(where, self.rule, f"{len(value)} items" if isinstance(value, list) else value)
        return tuple(self.kind.read(item, f"{where}[{i}]") for i, item in enumerate(value))

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        return {"type": "array", "items": self.kind.schema(), "minItems": self.low, "maxItems": self.high}


class ChunkHops(Kind):
    """Numbers of hops that a call may take, rising; a graph that hears in blocks has one number of its own."""

    @property
    def rule(self) -> str:
        """What is allowed."""
        return f"a rising list out of {list(CHUNK_HOPS)}, or a list of one integer from 1 to {LONGEST_BLOCK_HOPS}"

    def read(self, value: Any, where: str) -> tuple[int, ...]:
        """Return the numbers."""
        fine = isinstance(value, list) and 0 < len(value) <= len(CHUNK_HOPS)
        if not fine or any(type(hops) is not int for hops in value) or value != sorted(set(value)):
            raise self.refuse(value, where)
        block = len(value) == 1 and 1 <= value[0] <= LONGEST_BLOCK_HOPS
        if not block and any(hops not in CHUNK_HOPS for hops in value):
            raise self.refuse(value, where)
        return tuple(value)

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        some = {"items": {"enum": list(CHUNK_HOPS)}, "minItems": 1, "maxItems": len(CHUNK_HOPS), "uniqueItems": True}
        block = {"type": "integer", "minimum": 1, "maximum": LONGEST_BLOCK_HOPS}
        one = {"items": block, "minItems": 1, "maxItems": 1}
        return {"type": "array", "anyOf": [some, one]}


class Shape(Kind):
    """Two dimensions."""

    def __init__(self, per_hop: bool) -> None:
        """`per_hop`: the first one may be "hops"."""
        self.per_hop = per_hop

    @property
    def rule(self) -> str:
        """What is allowed."""
        hops = ', or "hops" and one of them' if self.per_hop else ""
        return f"two integers from 1 to {MAX_DIMENSION} with a product of at most {MAX_ELEMENTS}{hops}"

    def read(self, value: Any, where: str) -> tuple[int, int]:
        """Return both sizes, HOPS for "hops"."""
        if not isinstance(value, list) or len(value) != 2:
            raise self.refuse(value, where)
        hops = self.per_hop and value[0] == "hops"
        sizes = [1, value[1]] if hops else value
        if any(type(size) is not int or not 1 <= size <= MAX_DIMENSION for size in sizes):
            raise self.refuse(value, where)
        if math.prod(sizes) > MAX_ELEMENTS:
            raise self.refuse(value, where)
        return (HOPS if hops else sizes[0], sizes[1])

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        size: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": MAX_DIMENSION}
        first = {"anyOf": [{"const": "hops"}, size]} if self.per_hop else size
        return {"type": "array", "prefixItems": [first, size], "minItems": 2, "maxItems": 2}


class PerEngine(Kind):
    """An object with a value for some engines."""

    def __init__(self, kind: Kind, low: int) -> None:
        """`low`: engines at least."""
        self.kind, self.low = kind, low

    @property
    def rule(self) -> str:
        """What is allowed."""
        return f"an object with a value for {'at least one' if self.low else 'some'} of {', '.join(ENGINES)}"

    def read(self, value: Any, where: str) -> dict[str, Any]:
        """Return engine to checked value."""
        fields = [Field(engine, self.kind, "", optional=True) for engine in ENGINES]
        found = Record(*fields).read(value, where)
        given = {engine: found[engine] for engine in ENGINES if found[engine] is not None}
        if len(given) < self.low:
            raise self.refuse("none", where)
        return given

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        properties = {engine: self.kind.schema() for engine in ENGINES}
        return {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": self.low}


class Figures(Kind):
    """Measured figures of any name: text, numbers and objects of them; they are shown, never acted upon."""

    @property
    def rule(self) -> str:
        """What is allowed."""
        return "text, a number or an object of them"

    def read(self, value: Any, where: str) -> dict[str, Any]:
        """Return the figures."""
        if not isinstance(value, dict):
            raise broken(where, "an object", value)
        return {name: self._figure(inner, f"{where}.{name[:40]}", 1) for name, inner in value.items()}

    def _figure(self, value: Any, where: str, depth: int) -> Any:
        if isinstance(value, dict):
            if depth == MAX_FIGURE_DEPTH:
                raise ModelError(f"{where} may nest {MAX_FIGURE_DEPTH} levels; export the model again")
            return {name: self._figure(inner, f"{where}.{name[:40]}", depth + 1) for name, inner in value.items()}
        if isinstance(value, str) and len(value) <= 2000 and value.isprintable():
            return value
        if type(value) in (int, float, bool):
            return value
        raise self.refuse(value, where)

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        return {"type": "object", "additionalProperties": {"$ref": "#/$defs/figure"}}


FIGURE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": ["number", "boolean"]},
        {"type": "string", "maxLength": 2000},
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/figure"}},
    ]
}


class Field:
    """One key of an object."""

    def __init__(self, name: str, kind: Kind, help: str, optional: bool = False) -> None:
        """`help`: for the documentation, with the unit; an optional key that is left out reads as None."""
        self.name, self.kind, self.help, self.optional = name, kind, help, optional


class Record(Kind):
    """An object with known keys."""

    def __init__(self, *fields: Field) -> None:
        """`fields`: in the order of the documentation."""
        self.fields = fields

    @property
    def rule(self) -> str:
        """What is allowed."""
        return f"an object with {', '.join(field.name for field in self.fields)}"

    def read(self, value: Any, where: str) -> dict[str, Any]:
        """Return every key's checked value; None for an optional key that is left out."""
        if not isinstance(value, dict):
            raise broken(where, "an object", value)
        self._refuse_unknown(value, where)
        found: dict[str, Any] = {}
        for field in self.fields:
            if field.name in value:
                found[field.name] = field.kind.read(value[field.name], f"{where}.{field.name}")
            elif field.optional:
                found[field.name] = None
            else:
                raise ModelError(f"{where} must have the key {field.name!r}, which is missing; export the model again")
        return found

    def _refuse_unknown(self, value: dict[str, Any], where: str) -> None:
        known = [field.name for field in self.fields]
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(key[:80], known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ModelError(f"{where} has the unknown key {shortened(key)}; {hint}")

    def schema(self) -> dict[str, Any]:
        """Return the rule as JSON schema."""
        properties = {
            field.name: field.kind.schema() | ({"description": field.help} if field.help else {})
            for field in self.fields
        }
        required = [field.name for field in self.fields if not field.optional]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
