"""Numbers of limits that an operator sets, which replace those of the code."""

from __future__ import annotations

import json
from typing import Any, Unpack

from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils import timezone

from offload.limits.numbers import Numbers, columns_of
from offload.limits.usage import LimitStatus, get, unknown_limit
from offload.models import Limit
from offload.operators import require_note
from offload.store import get_store
from offload.store.limit_records import LimitNumbers


def change(
    name: str,
    *,
    reason: str,
    changed_by: str = "",
    using: str = DEFAULT_DB_ALIAS,
    **numbers: Unpack[Numbers],
) -> LimitStatus:
    """Replace numbers of the code until somebody resets them; workers go by them at once.

        limits.change("crm", concurrency=2, reason="They are slow today", changed_by="ada")

    Jobs that run already finish.

    Args:
        name: of the limit.
        reason: why; shown beside the numbers.
        changed_by: the operator.
        using: alias in DATABASES.
        **numbers: concurrency, total, rate, total_rate; those left out stay as they are.

    Raises:
        LookupError: if there is no such limit.
        TypeError, ValueError: for numbers that a task could not have, or no reason.
    """
    columns = columns_of(numbers)
    if not columns:
        raise ValueError(f"Nothing to change: pass one of {', '.join(Numbers.__annotations__)}.")
    require_note(reason, changed_by)
    if not reason.strip():
        raise ValueError("The change of a limit needs a reason: it is shown beside the numbers.")
    with transaction.atomic(using):
        row = _lock(name, using)
        _require_total(row, columns)
        _require_no_total(row, columns)
        override = json.loads(row.override) if row.override else {}
        _write(
            row,
            override=json.dumps(override | columns, sort_keys=True),
            reason=reason.strip(),
            changed_by=changed_by,
            changed_at=timezone.now(),
        )
    return get(name, using=using)


def reset(name: str, *, using: str = DEFAULT_DB_ALIAS) -> LimitStatus:
    """Let the numbers of the code count again; workers go by them at once.

    Args:
        name: of the limit.
        using: alias in DATABASES.

    Raises:
        LookupError: if there is no such limit.
    """
    with transaction.atomic(using):
        row = _lock(name, using)
        _write(row, override="", reason="", changed_by="", changed_at=None)
    return get(name, using=using)


def _lock(name: str, using: str) -> Limit:
    """Return a limit, locked until the end of the transaction, on SQLite too."""
    limits = Limit.objects.using(using).filter(pk=name)
    limits.update(name=name)
    row = limits.first()
    if row is None:
        raise unknown_limit(name, using)
    return row


def _write(row: Limit, **columns: Any) -> None:
    using = row._state.db or DEFAULT_DB_ALIAS  # noqa: SLF001  # documented by Django
    Limit.objects.using(using).filter(pk=row.pk).update(**columns)
    get_store(using).reopen_keys(str(row.name))


def _require_total(row: Limit, columns: dict[str, int]) -> None:
    """Raise ValueError for numbers of all keys together, if the code has none.

    Only with such a number in the code does a row count the jobs of all keys.
    """
    has_total = LimitNumbers.from_json(row.definition).has_total
    if any(column.startswith("total") for column in columns) and not has_total:
        raise ValueError(
            f"The limit {row.name!r} has no number for all keys together. If it has a key, add one "
            "in the code first: Concurrency(..., total=...), or a Rate without a key. Without a "
            "key, change its concurrency or rate, which count all jobs."
        )


def _require_no_total(row: Limit, columns: dict[str, int]) -> None:
    """Raise ValueError for a number of each key, where the code has one of all keys together.

    A task with `fair` and a Concurrency without a key looks as if it had the other number.
    """
    code = LimitNumbers.from_json(row.definition)
    has_number = code.max_running is not None or bool(code.max_running_path)
    pairs = [
        ("max_running", "concurrency", "total", code.total is not None and not has_number),
        ("interval", "rate", "total_rate", code.total_interval > 0 and not code.interval),
    ]
    for column, name, total, is_total in pairs:
        if column in columns and is_total:
            raise ValueError(
                f"The {name} of the limit {row.name!r} counts the jobs of all keys together: "
                f"change its {total}. For a number of each key, add one in the code first."
            )
