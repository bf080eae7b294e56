"""Converts plain values to JSON and back, also of types that JSON does not have."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise


def pack(value: Any) -> Any:
    """Return `value` as JSON that `unpack` reads; tuples become lists, lazy text becomes text.

    Raises:
        TypeError: for a value that is not plain data. The message is a noun, such as "a set".
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Promise):
        return _pack_text(str(value))
    if isinstance(value, Mapping):
        return _pack_mapping(value)
    if isinstance(value, list | tuple):
        return [pack(item) for item in value]
    for tag, types, encode, _ in _TAGS:
        if isinstance(value, types):
            return {tag: encode(value)}
    raise TypeError(f"a {type(value).__qualname__}")


def unpack(value: Any) -> Any:
    """Return the value that `pack` converted."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = _only_key(value)
    if tag in _DECODERS:
        decode = _DECODERS[tag]
        return decode(value[tag])
    fields = value["$dict"] if tag == "$dict" else value
    return {key: unpack(item) for key, item in fields.items()}


def _pack_text(text: str) -> Any:
    if "\0" in text:  # which PostgreSQL cannot store
        return {"$text": _encode(text.encode())}
    return text


def _pack_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"a dict with a {type(key).__qualname__} as a key")
    packed = {str(key): pack(item) for key, item in value.items()}
    if _only_key(packed).startswith("$"):  # unpack would take the key for a tag
        return {"$dict": packed}
    return packed


def _only_key(value: dict[str, Any]) -> str:
    """Return the key of a dict with one item; "" for any other dict."""
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
