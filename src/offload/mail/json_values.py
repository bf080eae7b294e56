"""Conversion of plain values to JSON and back, also of types that JSON does not have."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise


def pack(value: Any) -> Any:
    """Return `value` as JSON for `unpack`; tuples become lists, lazy text becomes text.

    Raises:
        TypeError: for a value that is not plain data; its message is the type with an article.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Promise):
        text = str(value)
        return {"$text": _encode(text.encode())} if "\0" in text else text
    if isinstance(value, Mapping):
        return _pack_mapping(value)
    if isinstance(value, list | tuple):
        return [pack(item) for item in value]
    for tag, kinds, encode, _ in _TAGS:
        if isinstance(value, kinds):
            return {tag: encode(value)}
    raise TypeError(f"a {type(value).__qualname__}")


def unpack(value: Any) -> Any:
    """Return the value that `pack` converted."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = _single_key(value)
    if tag in _DECODERS:
        return _DECODERS[tag](value[tag])
    fields = value["$dict"] if tag == "$dict" else value
    return {key: unpack(item) for key, item in fields.items()}


def _pack_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"a dict with a {type(key).__qualname__} as a key")
    packed = {str(key): pack(item) for key, item in value.items()}
    looks_tagged = _single_key(packed).startswith("$")
    return {"$dict": packed} if looks_tagged else packed


def _single_key(value: dict[str, Any]) -> str:
    """Return the key of a dict with one item, else an empty string."""
    return next(iter(value)) if len(value) == 1 else ""


def _encode(data: bytes) -> str:
    return b64encode(data).decode()


type _Tag = tuple[str, type | tuple[type, ...], Callable[[Any], str], Callable[[str], Any]]

_TAGS: list[_Tag] = [
    ("$bytes", (bytes, bytearray, memoryview), _encode, b64decode),
    ("$datetime", datetime, datetime.isoformat, datetime.fromisoformat),
    ("$date", date, date.isoformat, date.fromisoformat),
    ("$decimal", Decimal, str, Decimal),
]
_DECODERS: dict[str, Callable[[str], Any]] = {tag: decode for tag, _, _, decode in _TAGS}
_DECODERS["$text"] = lambda text: b64decode(text).decode()
