"""The arguments of a job, which also contain what else a call has: id, headers, limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from offload.celery.encoding.values import decode, encode

KEY = "__celery__"
"""The keyword argument that holds what a call has besides its arguments; most have nothing."""


def encode_call(
    args: Iterable[Any], kwargs: Mapping[str, Any], extra: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a job.

    Args:
        args, kwargs: the arguments of the call.
        extra: what else the task needs to know: id, headers, limits; values that are None or empty
            are left out.

    Raises:
        EncodeError: for a value that Celery's JSON does not carry.
    """
    positional = [encode(value, f"args[{index}]") for index, value in enumerate(args)]
    named: dict[str, Any] = encode(dict(kwargs), "kwargs")
    kept = {name: value for name, value in extra.items() if value not in (None, {}, [], "")}
    if kept:
        named[KEY] = encode(kept, "headers")
    return positional, named


def decode_call(
    args: Iterable[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """Return the arguments of a call, and what else it has: the inverse of `encode_call`."""
    named = {name: decode(value) for name, value in kwargs.items() if name != KEY}
    extra = kwargs.get(KEY)
    return tuple(map(decode, args)), named, decode(extra) if isinstance(extra, dict) else {}
