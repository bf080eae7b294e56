"""Plain values as JSON and back, where JSON alone would lose or refuse them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise


def pack(value: Any) -> Any:
    """Return `value` as JSON that `unpack` turns back; tuples become lists, lazy text is read.

    Raises:
        TypeError: for a value that is not plain data.
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
    """Return what `pack` was given."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = _only_key(value)
    if tag in _DECODERS:
        return _DECODERS[tag](value[tag])
    fields = value["$dict"] if tag == "$dict" else value
    return {key: unpack(item) for key, item in fields.items()}


def _pack_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"a dict with a {type(key).__qualname__} as a key")
    packed = {str(key): pack(item) for key, item in value.items()}
    return {"$dict": packed} if _only_key(packed).startswith("$") else packed


def _only_key(value: dict[str, Any]) -> str:
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
