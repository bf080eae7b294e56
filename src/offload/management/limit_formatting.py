"""The output of `offload_limits`: a table of limits, the details of one limit, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from offload.limits.numbers import describe
from offload.management.formatting import format_line, format_rows, format_time
from offload.timestamps import to_iso

if TYPE_CHECKING:
    from offload.limits.usage import KeyStatus, LimitStatus

LIMITS_HEADER = ("NAME", "CONCURRENCY", "TOTAL", "RATE", "TOTAL RATE", "RUNNING", "WAITING")
KEYS_HEADER = ("KEY", "CONCURRENCY", "RUNNING", "WAITING", "NEXT START")
ABSENT = "-"


def format_limits(limits: Sequence[LimitStatus]) -> str:
    """Return one line per limit, below a header."""
    rows = format_rows(
        [
            LIMITS_HEADER,
            *(
                (
                    limit.name,
                    *(_number(limit, name) for name in ("concurrency", "total")),
                    *(_number(limit, name) for name in ("rate", "total_rate")),
                    f"{limit.running:,}",
                    f"{limit.waiting:,}",
                )
                for limit in limits
            ),
        ]
    )
    gone = [f"{limit.name} is not in the code" for limit in limits if not limit.is_in_code]
    return "\n".join([rows, *gone])


def format_limit(limit: LimitStatus, keys: Sequence[KeyStatus]) -> str:
    """Return the details of a limit, one per line, and a table of its keys."""
    numbers = describe(limit.numbers)
    details: dict[str, Any] = {"name": limit.name}
    details |= {name.replace("_", " "): _number(limit, name) for name in numbers}
    if limit.changed_at is not None:
        by = f" by {limit.changed_by}" if limit.changed_by else ""
        details |= {"changed": f"{format_time(limit.changed_at)}{by}", "reason": limit.reason}
    details |= {"running": f"{limit.running:,}", "waiting": f"{limit.waiting:,}"}
    if not limit.is_in_code:
        details["in code"] = f"no, last at {format_time(limit.seen_at)}"
    has_keys = any(key.key for key in keys)
    if keys and not has_keys and keys[0].next_start is not None:
        details["next start"] = format_time(keys[0].next_start)
    lines = [format_line(label, value) for label, value in details.items()]
    if has_keys:
        lines += ["", format_rows([KEYS_HEADER, *map(_key_row, keys)])]
    return "\n".join(lines)


def limit_document(limit: LimitStatus) -> dict[str, Any]:
    """Return a limit as JSON values."""
    return {
        "name": limit.name,
        "numbers": describe(limit.numbers),
        "code": describe(limit.code),
        "reason": limit.reason,
        "changed_by": limit.changed_by,
        "changed_at": to_iso(limit.changed_at),
        "running": limit.running,
        "waiting": limit.waiting,
        "in_code": limit.is_in_code,
        "seen_at": to_iso(limit.seen_at),
    }


def key_document(key: KeyStatus) -> dict[str, Any]:
    """Return a key of a limit as JSON values."""
    return {
        "key": key.key,
        "concurrency": key.concurrency,
        "running": key.running,
        "waiting": key.waiting,
        "next_start": to_iso(key.next_start),
    }


def _number(limit: LimitStatus, name: str) -> str:
    """Return a number in force, and the one in the code if it is another."""
    number, code = (describe(numbers).get(name) for numbers in (limit.numbers, limit.code))
    if number is None:
        return ABSENT
    return f"{number}" if number == code else f"{number} (code: {code or 'none'})"


def _key_row(key: KeyStatus) -> tuple[str, ...]:
    return (
        key.key,
        ABSENT if key.concurrency is None else f"{key.concurrency}",
        f"{key.running:,}",
        f"{key.waiting:,}",
        format_time(key.next_start) or "",
    )
