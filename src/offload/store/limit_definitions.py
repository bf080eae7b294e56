"""The numbers of limits: those of the code, and those of an operator instead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Concat

from offload.store.limit_notices import LimitNotices
from offload.store.limit_records import WAITS, Definition, LimitNumbers
from offload.store.statements import statement
from offload.timestamps import now_microseconds

SEEN_INTERVAL = 3_600_000_000
"""Microseconds between two times that the row of a limit in the code says so."""


class LimitRow(NamedTuple):
    """A row of `Limit`, without what only operators read."""

    definition: str
    override: str
    loaded_at: int
    seen_at: int

    @property
    def numbers(self) -> LimitNumbers:
        """The numbers in force."""
        return LimitNumbers.from_json(self.definition, self.override)


class LimitDefinitions(LimitNotices):
    """Reads the numbers of limits, and writes those of the code."""

    def keep_limits(self, code: Mapping[str, Definition]) -> dict[str, str]:
        """Write the numbers of limits in the code of a process, by name, where they have changed.

        Those of code that was loaded later stay. Jobs that wait start as soon as new numbers let
        them. A row that an operator's transaction holds is left for the next call. Once in an hour
        each row is also marked as being in the code.

        Returns:
            The other numbers, as JSON text by name, of code that was loaded later.
        """
        rows = self.limit_rows()
        now = now_microseconds()
        changed = {
            name: new
            for name, new in code.items()
            if _replaces(new, rows.get(name)) or _is_stale(rows[name], now)
        }
        if changed:
            with transaction.atomic(self.using):
                self._prepare_transaction(waits=True)
                written = self._write(changed, rows, now)
                for name in written & rows.keys():
                    if _changes_numbers(changed[name], rows[name]):
                        self.reopen_keys(name)
        return {
            name: rows[name].definition
            for name, own in code.items()
            if name in rows
            and rows[name].loaded_at > own.loaded_at
            and rows[name].definition != own.text
        }

    def reopen_keys(self, name: str | None = None) -> None:
        """Let workers look again at the keys of a limit, or of all, as its numbers have changed.

        Only keys in whose lines jobs wait need it. One that a worker adds meanwhile, with the old
        numbers, is looked at again when one of its jobs finishes, or its old rate says so.
        """
        from offload.models import Job, LimitKey  # noqa: PLC0415

        line = Concat(Value(WAITS), OuterRef("limit_key"), output_field=CharField())
        jobs = Job.objects.using(self.using).filter(limit_slot=line)
        keys = LimitKey.objects.using(self.using).filter(Exists(jobs))
        if name is not None:
            keys = keys.filter(name=name)
        self.add_notices(dict.fromkeys(keys.values_list("pk", flat=True)))

    def limit_rows(self) -> dict[str, LimitRow]:
        """Return all limits, by name."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "read_limits"))
            return {name: LimitRow(*columns) for name, *columns in cursor.fetchall()}

    def read_limits(self) -> defaultdict[str, LimitNumbers]:
        """Return the numbers of all limits, by name; of an unknown one none."""
        return numbers_in_force(self.limit_rows())

    def _with_newer(
        self, rows: Mapping[str, LimitRow], code: Mapping[str, Definition]
    ) -> Mapping[str, LimitRow]:
        """Return all limits, after writing those of the code that are missing or older."""
        newer = {
            name: new
            for name, new in code.items()
            if name not in rows
            or new.loaded_at > rows[name].loaded_at
            or _is_stale(rows[name], now_microseconds())
        }
        if newer:
            self.keep_limits(newer)
            rows = self.limit_rows()
        return rows

    def _write(
        self, code: Mapping[str, Definition], rows: Mapping[str, LimitRow], now: int
    ) -> set[str]:
        """Write numbers into rows that are missing, or not locked; return their names.

        If a row was not seen for an hour, wait for it: a worker may be deleting it as unused.
        """
        from offload.models import Limit  # noqa: PLC0415

        limits = Limit.objects.using(self.using).filter(pk__in=code)
        waits = any(_is_stale(rows[name], now) for name in code.keys() & rows.keys())
        unlocked = limits.select_for_update(skip_locked=not waits).values_list("pk", flat=True)
        written = set(unlocked)
        written |= code.keys() if waits else code.keys() - rows.keys()
        if written:
            self._write_definitions([(name, *code[name], now) for name in sorted(written)])
        return written

    def _write_definitions(self, code: Sequence[tuple[str, str, int, int]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(statement(self.dialect, "keep_definitions"), code)


def numbers_in_force(rows: Mapping[str, LimitRow]) -> defaultdict[str, LimitNumbers]:
    """Return the numbers of limits, by name; of an unknown one none."""
    limits = defaultdict[str, LimitNumbers](LimitNumbers)
    limits.update((name, row.numbers) for name, row in rows.items())
    return limits


def _replaces(new: Definition, row: LimitRow | None) -> bool:
    """Return whether numbers of the code are to be written."""
    return row is None or (
        new.loaded_at >= row.loaded_at and new != (row.definition, row.loaded_at)
    )


def _changes_numbers(new: Definition, row: LimitRow) -> bool:
    return new.loaded_at >= row.loaded_at and new.text != row.definition


def _is_stale(row: LimitRow, now: int) -> bool:
    return row.seen_at < now - SEEN_INTERVAL
