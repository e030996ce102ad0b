"""JSON files that this package reads: what each must hold is said by a schema, and anything else is named in one line.

    STATE = record(frames=whole(least=0), scale=number(least=0), settings=mapping(text(), anything))
    content = read_json(path, STATE, "the state of an interrupted run")

A schema is a function of a value and of its place in the file; it raises `Mismatch`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intrinsic_flow.errors import InputError
from intrinsic_flow.media.atomic_file import write_complete

# The largest of them, a manifest of a thousand graphs, has a tenth.
MAX_BYTES = 16 << 20
_SHOWN = 80

Schema = Callable[[Any, str], None]


class Mismatch(ValueError):
    """found, expected: as in `InputError`."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}, expected {expected}")
        self.found, self.expected = found, expected

    def of(self, path: str | os.PathLike[str], kind: str) -> InputError:
        """As an error of a file, which is to be of that kind."""
        return InputError(path, self.found, f"{self.expected} in {kind}")


def read_json(path: str | os.PathLike[str], schema: Schema, kind: str) -> Any:
    """The file's content. kind: what the file is, for messages. Raises InputError, FileNotFoundError."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(path, error.strerror or str(error), f"{kind}, readable") from error
    try:
        return parse_json(data, schema)
    except Mismatch as error:
        raise error.of(path, kind) from error


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Writes a file that appears complete or not at all. Raises ValueError for numbers that JSON has not."""
    write_complete(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def check_json(path: str | os.PathLike[str], content: Any, schema: Schema, kind: str) -> None:
    """Content that was read, or is about to be written. Raises InputError."""
    try:
        schema(content, "")
    except Mismatch as error:
        raise error.of(path, kind) from error


def parse_json(data: bytes | str, schema: Schema) -> Any:
    """The content of JSON text. Raises Mismatch."""
    if len(data) > MAX_BYTES:
        raise Mismatch(f"more than {MAX_BYTES >> 20} MB", "a small JSON file")
    try:
        content = json.loads(data.decode("utf-8") if isinstance(data, bytes) else data)
    except RecursionError:
        raise Mismatch("JSON of more levels than can be read", "a few levels") from None
    except ValueError as error:
        # Of a number of thousands of digits Python speaks of its own settings.
        said = error if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) else "a number of too many digits"
        raise Mismatch(f"no JSON ({said})", "JSON") from error
    _check_plain(content)
    schema(content, "")
    return content


def _check_plain(content: Any) -> None:
    """No value of which another library would make something else: lone surrogates, NUL, numbers beyond 64 bits."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
                raise Mismatch(f"text {ascii(value)[:_SHOWN]}", "text without NUL and half characters")
        elif isinstance(value, float) and not math.isfinite(value):
            raise Mismatch(f"{value}", "finite numbers")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise Mismatch(f"a number of {value.bit_length()} bits", "numbers of at most 64 bits")


def anything(value: Any, place: str) -> None:
    """Any JSON."""


def flag(value: Any, place: str) -> None:
    """true or false."""
    _require(isinstance(value, bool), value, place, "true or false")


def text(pattern: str | None = None, expected: str = "text") -> Schema:
    """Text, all of which the pattern matches."""

    def check(value: Any, place: str) -> None:
        fits = isinstance(value, str) and (pattern is None or re.fullmatch(pattern, value) is not None)
        _require(fits, value, place, expected)

    return check


SHA256 = text(r"[0-9a-f]{64}", "a SHA-256 in hexadecimal digits")


def whole(least: int | None = None, most: int | None = None) -> Schema:
    """An integer within the bounds."""

    def check(value: Any, place: str) -> None:
        fits = isinstance(value, int) and not isinstance(value, bool) and _within(value, least, most)
        _require(fits, value, place, f"a whole number{_bounds(least, most)}")

    return check


def number(least: float | None = None, most: float | None = None) -> Schema:
    """A number within the bounds."""

    def check(value: Any, place: str) -> None:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and _within(value, least, most)
        _require(fits, value, place, f"a number{_bounds(least, most)}")

    return check


def one_of(*choices: Any) -> Schema:
    """One of the values, of the same type."""

    def check(value: Any, place: str) -> None:
        fits = any(type(value) is type(choice) and value == choice for choice in choices)
        expected = json.dumps(choices[0]) if len(choices) == 1 else f"one of {', '.join(map(str, choices))}"
        _require(fits, value, place, expected)

    return check


def optional(schema: Schema) -> Schema:
    """null, or what the schema says."""

    def check(value: Any, place: str) -> None:
        if value is not None:
            schema(value, place)

    return check


def list_of(item: Schema, *, length: int | None = None, least: int = 0) -> Schema:
    """A list of `length` or at least `least` items."""

    def check(value: Any, place: str) -> None:
        fits = isinstance(value, list) and (len(value) == length if length is not None else len(value) >= least)
        _require(fits, value, place, f"a list of {length if length is not None else f'{least} or more'} items")
        for index, entry in enumerate(value):
            item(entry, f"{place}[{index}]")

    return check


def mapping(key: Schema, value: Schema) -> Schema:
    """An object whose names and values are as the schemas say."""

    def check(content: Any, place: str) -> None:
        _require(isinstance(content, dict), content, place, "an object")
        for name, entry in content.items():
            key(name, f"a name in {place or 'it'}")
            value(entry, _inside(place, name))

    return check


def record(others: bool = False, **fields: Schema) -> Schema:
    """An object with these fields. others: whether it may have more."""

    def check(content: Any, place: str) -> None:
        _require(isinstance(content, dict), content, place, "an object")
        for name, schema in fields.items():
            if name not in content:
                raise Mismatch(f"no {_inside(place, name)}", f"an object with {', '.join(fields)}")
            schema(content[name], _inside(place, name))
        more = [] if others else [name for name in content if name not in fields]
        if more:
            raise Mismatch(f"{_inside(place, more[0])[:_SHOWN]}", f"an object with {', '.join(fields)} alone")

    return check


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _within(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _bounds(least: float | None, most: float | None) -> str:
    return "".join(f" {word} {bound}" for word, bound in (("from", least), ("to", most)) if bound is not None)


def _require(fits: bool, value: Any, place: str, expected: str) -> None:
    if not fits:
        shown = json.dumps(value)
        raise Mismatch(f"{place} {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}".strip(), expected)
