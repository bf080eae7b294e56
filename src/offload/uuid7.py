"""Ids of jobs and workers: UUID version 7, which sort by the time of creation.

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
    """Return a UUIDv7 greater than every one that this process made before."""
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
    """Return the UUIDv7 derived from a key: the same key always gives the same id.

    Args:
        key: gives the time if it starts with a UUIDv7; else the time is that of the epoch.
        digest: at least 10 bytes of a keyed hash, which make the id unpredictable.
    """
    try:
        prefix = UUID(key[:36])
        milliseconds = prefix.int >> 80 if prefix.version == 7 else 0
    except ValueError:
        milliseconds = 0
    high = (milliseconds << 16) | 0x7000 | (int.from_bytes(digest[:2]) >> 4)
    low = (0b10 << 62) | (int.from_bytes(digest[2:10]) >> 2)
    return UUID(int=(high << 64) | low)


def created_at(identifier: UUID) -> datetime:
    """Return the time of creation of a UUIDv7, in UTC.

    Raises:
        ValueError: if it is not a UUIDv7.
    """
    if identifier.version != 7:
        raise ValueError(f"{identifier} is not a UUIDv7.")
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
