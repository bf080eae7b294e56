"""Celery's JSON: other types than those of JSON are in an envelope of type and value.

{"__type__": "date", "__value__": "2026-11-20"}
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.functional import Promise

from offload.celery.exceptions import EncodeError
from offload.serialization import MAX_DEPTH

TYPE, VALUE = "__type__", "__value__"


def encode(value: Any, place: str) -> Any:
    """Return a value as plain JSON types, with envelopes.

    Args:
        value: what JSON has, tuples, and datetime, date, time, UUID, Decimal, bytes, lazy text,
            and objects with `__json__()`; as in Celery no sets and no timedelta.
        place: its name in error messages, such as "args".

    Raises:
        EncodeError: for another type, and for a key that is no text, with its place.
    """
    return _encode(value, place, 1)


def encode_for_others(value: Any, place: str) -> Any:
    """Return a value as plain JSON types; one that JSON does not carry fails where it is decoded.

    Args:
        value, place: those of `encode`.
    """
    try:
        return encode(value, place)
    except EncodeError as error:
        return _envelope(_REFUSED, f"A task before this one has no result for it: {error}")


def decode(value: Any) -> Any:
    """Return the value of plain JSON types with envelopes.

    Raises:
        ValueError, TypeError: for an envelope whose value is not one of its type.
        EncodeError: for a value that `encode_for_others` could not encode.
    """
    if isinstance(value, dict):
        if value.keys() == {TYPE, VALUE}:
            decoder = _DECODERS.get(value[TYPE])
            return value if decoder is None else decoder(value[VALUE])
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def _encode(value: Any, place: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in _PLAIN:
        return value
    if depth > MAX_DEPTH:
        raise EncodeError(f"{place} is nested deeper than {MAX_DEPTH} levels.")
    if kind is dict or isinstance(value, Mapping):
        return _encode_mapping(value, place, depth)
    is_list = kind is list or kind is tuple or isinstance(value, Sequence)
    if is_list and not isinstance(value, str | bytes):
        return [_encode(item, f"{place}[{n}]", depth + 1) for n, item in enumerate(value)]
    return _encode_scalar(value, place, depth)


def _encode_mapping(value: Mapping[Any, Any], place: str, depth: int) -> dict[str, Any]:
    encoded = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise EncodeError(
                f"{place} has the key {key!r} of type {type(key).__qualname__}; JSON has text keys "
                "only, so the task would get another key. Use str(key)."
            )
        encoded[str.__str__(key)] = _encode(item, f"{place}[{key!r}]", depth + 1)
    return encoded


def _encode_scalar(value: Any, place: str, depth: int) -> Any:
    reducer = getattr(value, "__json__", None)
    if reducer is not None:
        return _encode(reducer(), place, depth + 1)
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float):  # members of enums
        return int(value) if isinstance(value, int) else float(value)
    for kind, name, encoder in _ENCODERS:
        if isinstance(value, kind):
            return _envelope(name, encoder(value))
    if isinstance(value, bytes):
        return _encode_bytes(value)
    raise EncodeError(
        f"{place} is of type {type(value).__qualname__}, which Celery's JSON does not have. "
        f"{_advice(value)}"
    )


def _advice(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return "Pass a list: sorted(value)."
    if isinstance(value, timedelta):
        return "Pass seconds: value.total_seconds()."
    return "Pass text, numbers, dates, lists and dicts, for example the primary key of a model."


def _encode_bytes(value: bytes) -> dict[str, Any]:
    try:
        return _envelope("bytes", value.decode())
    except UnicodeDecodeError:
        return _envelope("base64", base64.b64encode(value).decode())


def _envelope(kind: str, value: Any) -> dict[str, Any]:
    return {TYPE: kind, VALUE: value}


def _refuse(message: str) -> Any:
    raise EncodeError(message)


_PLAIN = frozenset({str, int, float, bool})
_ENCODERS: list[tuple[type, str, Callable[[Any], Any]]] = [
    (datetime, "datetime", datetime.isoformat),  # before date, of which it is a subclass
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (Decimal, "decimal", str),
    (UUID, "uuid", lambda value: {"hex": value.hex}),
]
_REFUSED = "offload.EncodeError"
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda text: datetime.fromisoformat(text).date(),
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda parts: UUID(**parts),
    "bytes": str.encode,
    "base64": base64.b64decode,
    _REFUSED: _refuse,
}
