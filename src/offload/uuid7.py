"""Ids of jobs and workers: UUID version 7, which sort by the time of creation.

Source: RFC 9562, section 5.7, with the counter of section 6.2 (method 1).
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

FIRST_KEY_TIME = 1_735_689_600_000
"""1 January 2025 in milliseconds: no page with an idempotency key is older."""
FIRST_ID = UUID(int=0)
"""Smaller than every id."""

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
    """Return the id derived from a key: the same key always gives the same id.

    It is a UUIDv7 with the time of a key that starts with a UUIDv7. For any other key it is a
    UUIDv8, which has no time.

    Args:
        key: as the client sent it.
        digest: at least 15 bytes of a keyed hash, which make the id unpredictable.
    """
    milliseconds = _time_of(key)
    if milliseconds is None:
        # The first byte sorts it before every UUIDv7, which commands list as the newest jobs.
        first, version = int.from_bytes(digest[10:15]), 0x8000
    else:
        first, version = milliseconds, 0x7000
    high = (first << 16) | version | (int.from_bytes(digest[:2]) >> 4)
    low = (0b10 << 62) | (int.from_bytes(digest[2:10]) >> 2)
    if milliseconds is None:
        low |= 1 << 56  # MariaDB refuses a UUIDv8 whose ninth byte is 0x80
    return UUID(int=(high << 64) | low)


def id_of_tick(schedule: str, tick: int) -> UUID:
    """Return the id of the job of a schedule's tick, in microseconds: it is always the same.

    It is a UUIDv7 with the time of the tick.
    """
    digest = hashlib.blake2b(f"{schedule}\n{tick}".encode(), digest_size=10).digest()
    high = (tick // 1000 << 16) | 0x7000 | (int.from_bytes(digest[:2]) >> 4)
    low = (0b10 << 62) | (int.from_bytes(digest[2:]) >> 2)
    return UUID(int=(high << 64) | low)


def _renew_lock() -> None:
    """Replace the lock in a forked process, where no thread is left that would release it."""
    global _lock  # noqa: PLW0603  # of the process
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def _time_of(key: str) -> int | None:
    """Return the milliseconds in a key's UUIDv7; None without one, or if its time is impossible."""
    try:
        prefix = UUID(key[:36])
    except ValueError:
        return None
    milliseconds = prefix.int >> 80
    return milliseconds if prefix.version == 7 and milliseconds >= FIRST_KEY_TIME else None


def created_at(identifier: UUID) -> datetime:
    """Return the time of creation of a UUIDv7, in UTC.

    Raises:
        ValueError: if it is not a UUIDv7.
    """
    if identifier.version != 7:
        raise ValueError(f"{identifier} is not a UUIDv7.")
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
