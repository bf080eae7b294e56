"""JSON that every database stores exactly; other values are refused before any SQL.

Django's rules (`django.utils.json.normalize_json`) accept values that some databases refuse or
change: NaN and infinities, NUL, lone surrogates, deep nesting, keys that are not strings. The
rules here are the same for all databases.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.utils.functional import Promise

from offload.exceptions import InvalidArguments
from offload.text import UNSTORABLE

MAX_DEPTH = 30
"""Levels of nesting; MariaDB's JSON functions stop at 32."""

MAX_DIGITS = 4300
"""Digits of an integer that Python converts from text (sys.get_int_max_str_digits)."""

type _Place = str | tuple[_Place, Any] | tuple[_Place]
"""A name; a place and the key or index within it; a place of which it is any key."""

_RESULT = "return value"

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode_arguments(
    args: Iterable[Any], kwargs: Mapping[str, Any], *, max_bytes: int
) -> tuple[str, list[Any], dict[str, Any]]:
    """Return `[args, kwargs]` as JSON text, and both as the task will receive them.

    Raises:
        InvalidArguments: for a value that is not exact JSON, with its place, such as
            `args[0]['price']`; or if `max_bytes` bytes are exceeded.
        TypeError: for a type that JSON does not have, as in Django's own backends.
    """
    positional = [_normalize(value, ("args", index), 2) for index, value in enumerate(args)]
    named = _normalize_mapping(kwargs, "kwargs", 1)
    text = _encode([positional, named])
    size = len(text) if text.isascii() else len(text.encode())
    if size > max_bytes:
        raise InvalidArguments(
            f"The arguments are {size:,} bytes of JSON; at most {max_bytes:,} are allowed. Store "
            "the data and pass its id or path, or raise OPTIONS['max_arguments_size']."
        )
    return text, positional, named


def encode_result(value: Any, *, max_bytes: int) -> str:
    """Return a task's return value as JSON text.

    Raises:
        ValueError, TypeError: those of `encode_arguments`.
    """
    if value is None:  # the most frequent value
        return "null"
    text = _encode(_normalize(value, _RESULT, 1))
    if len(text) <= max_bytes // 4:  # UTF-8 has at most 4 bytes a character
        return text
    size = len(text.encode())
    if size > max_bytes:
        raise ValueError(
            f"The return value is {size:,} bytes of JSON; at most {max_bytes:,} are allowed. Store "
            "the data and return its id or path, or raise OPTIONS['max_result_size']."
        )
    return text


def decode(text: str) -> Any:
    """Return the value of JSON text: the inverse of the encoders."""
    return json.loads(text)


def decode_strictly(text: str) -> Any:
    """Return the value of JSON text that no encoder of this module may have written.

    Raises:
        ValueError: for text that is not JSON, or that a browser could not read.
    """
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None
    return value


def normalize(value: Any, place: str) -> Any:
    """Return a value as it is after a round trip: lists for tuples, text for bytes.

    Args:
        value: the value.
        place: its name in error messages.
    """
    return _normalize(value, place, 1)


def _normalize(value: Any, place: _Place, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return _normalize_text(value, place)
    if kind is int:
        return _normalize_integer(value, place)
    if kind is float:
        return _normalize_number(value, place)
    if depth > MAX_DEPTH:
        raise InvalidArguments(
            f"{_format(place)} is nested deeper than {MAX_DEPTH} levels. "
            f"{_verb(place)} it as JSON text."
        )
    return _normalize_other(value, place, depth)


def _normalize_other(value: Any, place: _Place, depth: int) -> Any:
    """Return containers, bytes and subclasses, such as enum members, as plain values."""
    if isinstance(value, Mapping):
        return _normalize_mapping(value, place, depth)
    if isinstance(value, bytes):
        try:
            return _normalize_text(value.decode(), place)
        except UnicodeDecodeError as error:
            raise InvalidArguments(
                f"{_format(place)} is bytes that are not UTF-8 text. "
                f"{_verb(place)} them base64-encoded."
            ) from error
    if isinstance(value, str):
        return _normalize_text(str.__str__(value), place)
    if isinstance(value, int):
        return _normalize_integer(int(value), place)
    if isinstance(value, float):
        return _normalize_number(float(value), place)
    if isinstance(value, Sequence):
        return [_normalize(item, (place, index), depth + 1) for index, item in enumerate(value)]
    raise TypeError(
        f"Unsupported type: {_format(place)} is of type {type(value).__qualname__}, which JSON "
        f"does not have. {_advice(value, _verb(place))}"
    )


def _advice(value: Any, verb: str) -> str:
    """Return what to pass or return in place of a value, in a sentence."""
    if isinstance(value, Awaitable):
        return "Write await before the call that returned it, in a function of async def."
    if isinstance(value, UUID | Decimal | Promise | PurePath):
        return f"{verb} it as text: str(value)."
    if isinstance(value, date | time):
        return f"{verb} it as text: value.isoformat()."
    if isinstance(value, timedelta):
        return f"{verb} it in seconds: value.total_seconds()."
    if isinstance(value, set | frozenset):
        return f"{verb} it as a list."
    return f"{verb} text, numbers, lists and dicts, for example a model's primary key."


def _normalize_mapping(value: Mapping[Any, Any], place: _Place, depth: int) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for key, item in value.items():
        name = _normalize_key(key, place)
        if name in items:
            raise InvalidArguments(
                f"{_format(place)} has two keys that are both {name!r} in JSON. Use text keys."
            )
        items[name] = _normalize(item, (place, key), depth + 1)
    return items


def _normalize_key(key: Any, place: _Place) -> str:
    """Return a key as JSON has it: "1" for `1`, "true" for `True`, "null" for `None`."""
    if isinstance(key, str):
        return _normalize_text(str.__str__(key), (place,))
    if key is None or isinstance(key, bool | int | float):
        return _encode(_normalize(key, (place,), 0))
    if isinstance(key, bytes):
        return str(_normalize(key, (place,), 0))
    raise TypeError(
        f"Unsupported type: {_format((place,))} is of type {type(key).__qualname__}; JSON has "
        "text keys."
    )


def _normalize_text(value: str, place: _Place) -> str:
    if value.isascii():
        is_storable = "\0" not in value
    else:
        is_storable = UNSTORABLE.search(value) is None
    if is_storable:
        return value
    culprit = "a NUL character" if "\0" in value else "a lone surrogate"
    raise InvalidArguments(
        f"{_format(place)} contains {culprit}, which some databases cannot store. Remove it, or "
        f"{_verb(place).lower()} the data base64-encoded."
    )


def _normalize_integer(value: int, place: _Place) -> int:
    if value.bit_length() > MAX_DIGITS * 3 and abs(value) >= 10**MAX_DIGITS:
        raise InvalidArguments(
            f"{_format(place)} has more than {MAX_DIGITS} digits. {_verb(place)} it as hex text."
        )
    return value


def _normalize_number(value: float, place: _Place) -> float:
    if value - value == 0:  # false for NaN and the infinities
        return value
    raise InvalidArguments(
        f"{_format(place)} is {value!r}, which JSON does not have. {_verb(place)} None or text."
    )


def _verb(place: _Place) -> str:
    """Return what the author of a value does with it."""
    while not isinstance(place, str):
        place = place[0]
    return "Return" if place == _RESULT else "Pass"


def _format(place: _Place) -> str:
    """Return a place in Python's notation, such as `args[0]['price']`."""
    if isinstance(place, str):
        return place
    container, *key = place
    return f"{_format(container)}[{key[0]!r}]" if key else f"a key of {_format(container)}"


__all__ = [
    "MAX_DEPTH",
    "decode",
    "decode_strictly",
    "encode_arguments",
    "encode_result",
    "normalize",
]
