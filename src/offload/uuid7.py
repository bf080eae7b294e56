"""Ids of jobs and engines: UUID version 7, so they sort by the time they were made.

Source: RFC 9562, section 5.7, with the counter of section 6.2 (method 1).
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """Return a UUIDv7 greater than every one this process made before."""
    global _last  # noqa: PLW0603  # the counter of the process
    milliseconds = time.time_ns() // 1_000_000
    with _lock:
        # 48 bits of time and 12 of counter in one number: when the counter overflows
        # or the clock steps back, the number still grows.
        _last = max(_last + 1, milliseconds << 12)
        moment = _last
    high = (moment >> 12 << 16) | 0x7000 | (moment & 0xFFF)
    low = (0b10 << 62) | (int.from_bytes(os.urandom(8)) >> 2)
    return UUID(int=(high << 64) | low)


def derive_id(key: str, digest: bytes) -> UUID:
    """Return the UUIDv7 that a key always leads to.

    Args:
        key: gives the time, if it begins with a UUIDv7; else the id is as old as can be.
        digest: at least 10 bytes by which nobody guesses the id.
    """
    try:
        beginning = UUID(key[:36])
        milliseconds = beginning.int >> 80 if beginning.version == 7 else 0
    except ValueError:
        milliseconds = 0
    high = (milliseconds << 16) | 0x7000 | (int.from_bytes(digest[:2]) >> 4)
    low = (0b10 << 62) | (int.from_bytes(digest[2:10]) >> 2)
    return UUID(int=(high << 64) | low)


def created_at(identifier: UUID) -> datetime:
    """Return the time at which a UUIDv7 was made, in UTC.

    Raises:
        ValueError: if it is not a UUIDv7.
    """
    if identifier.version != 7:
        raise ValueError(f"{identifier} is not a UUIDv7.")
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
