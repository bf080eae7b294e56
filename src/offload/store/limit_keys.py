"""The keys of limits: opened by notices, locked while jobs are claimed, and closed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from offload.store.limit_definitions import LimitDefinitions, LimitRow, numbers_in_force
from offload.store.limit_records import (
    ALL_KEYS_END,
    HOLDS,
    WAITS,
    ClosedKey,
    KeyDetails,
    KeysToOpen,
    LimitedRequest,
    LimitNews,
    LimitNumbers,
    Notice,
    OpenKey,
    Place,
    keys_of,
    name_of,
    newest_definitions,
    of_any_time,
)
from offload.store.records import ClaimedJob
from offload.store.session import seconds_until
from offload.store.statements import statement
from offload.timestamps import FIRST_MOMENT, now_microseconds

MAX_NOTICES = 500
"""Notices that one exchange reads."""
_BOTH_KINDS = 2
"""Stands for both kinds of jobs in open_keys.sql, where NULL stands for an unknown one."""


class LimitKeys(LimitDefinitions):
    """Reads and writes the keys of limits, and the jobs in their lines."""

    # --- opening ------------------------------------------------------------------------

    def make_keys(self) -> LimitNews:
        """Read the oldest notices, and add the rows of the limits and keys that are missing.

        Each statement commits at once. In a longer transaction, a new row would hold up all workers
        that add the same one, for as long as this process is frozen.
        """
        notices, rows, now = self._read_news()
        limits = numbers_in_force(self._with_newer(rows, newest_definitions(notices)))
        made: Collection[str] = ()
        if notices:
            keys = _with_totals(keys_of(notices), limits)
            made = self._make_missing(
                [new_key(key, keys[key], limits, now) for key in sorted(keys)]
            )
        return LimitNews(notices, limits, made)

    def open_keys(
        self, freed: Mapping[str, bool], noticed: KeysToOpen, news: LimitNews
    ) -> set[str]:
        """Open keys, and the rows above them; leave notices for those that others have locked.

        A row that was pruned since `make_keys` gets a notice, too, and so is made again. One that
        `make_keys` has made is open: whoever has closed it since has seen what its notices mean,
        but not that jobs of it have finished here.

        Args:
            freed: keys of which this transaction has finished jobs, and whether some wait again.
            noticed: keys of the notices that this transaction has taken.
            news: what `make_keys` has returned.

        Returns:
            Those of `freed` that were not opened, because no job of them waited.
        """
        noticed = noticed | {key: of_any_time(noticed.get(key)) for key in freed if freed[key]}
        looks_first = len(freed) > 1  # the row of a lone key mostly exists, and must be opened
        waiting = self._with_waiting_jobs(freed) if looks_first else freed
        totals = dict.fromkeys({_parent(key, news.limits) for key in freed} - {""})
        rows = _with_totals(totals | dict.fromkeys(waiting) | noticed, news.limits)
        # Other workers may have counted the jobs that this transaction has finished as running.
        settled = set(news.made) - freed.keys() - totals.keys()
        to_open = {key: rows[key] for key in sorted(rows.keys() - settled)}
        entered = {
            key: FIRST_MOMENT if details is None else details.run_after
            for key, details in noticed.items()
        }
        unlocked = self._open_unlocked(to_open, news.limits, entered) if to_open else set()
        left = {key: details for key, details in to_open.items() if key not in unlocked}
        idle = freed.keys() - rows.keys()
        if not looks_first and left.keys() & freed.keys() - noticed.keys():
            idle = freed.keys() - self._with_waiting_jobs(freed)
            for key in idle:
                del left[key]
        if left:
            self._insert_notices(left)
        return set(idle)

    def _read_news(self) -> tuple[list[Notice], dict[str, LimitRow], int]:
        """Return the oldest notices, all limits, and the time, with one statement."""
        parameters = {"limit": MAX_NOTICES, "now": now_microseconds()}
        notices: list[Notice] = []
        limits: dict[str, LimitRow] = {}
        now = 0
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "read_news"), parameters)
            for number, name, text, override, moment, seen_at in cursor.fetchall():
                if number is not None:
                    details = KeyDetails(*json.loads(text)) if text else None
                    notices.append(Notice(number, name, details))
                elif name is not None:
                    limits[name] = LimitRow(text, override, moment, seen_at)
                else:
                    now = moment
        return sorted(notices), limits, now

    def _with_waiting_jobs(self, keys: Collection[str]) -> set[str]:
        """Return the keys in whose lines jobs wait."""
        if not keys:
            return set()
        lines = self._list([WAITS + key for key in keys])
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "lines_with_jobs"), {"lines": lines})
            return {line.removeprefix(WAITS) for (line,) in cursor.fetchall()}

    def _make_missing(self, rows: Sequence[dict[str, Any]]) -> Collection[str]:
        """Add the rows of keys that do not exist; return the keys, if no other worker made some."""
        keys = self._list([row["limit_key"] for row in rows])
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "existing_keys"), {"limit_keys": keys})
            existing = {key for (key,) in cursor.fetchall()}
            missing = [row for row in rows if row["limit_key"] not in existing]
            if not missing:
                return ()
            cursor.executemany(statement(self.dialect, "add_keys"), missing)
            is_alone = cursor.rowcount == len(missing)
        return {row["limit_key"] for row in missing} if is_alone else ()

    def _open_unlocked(
        self,
        keys: KeysToOpen,
        limits: Mapping[str, LimitNumbers],
        entered: Mapping[str, int],  # noqa: ARG002  # on PostgreSQL
    ) -> AbstractSet[str]:
        """Open keys that no other worker has locked; return these.

        Rows that would stay the same are not written: there may be one for each finished job.

        Args:
            keys: the keys.
            limits: the numbers of all limits.
            entered: the smallest `run_after` of the jobs that have come into the lines of keys.
        """
        names = {"limit_keys": self._list(list(keys)), "now": now_microseconds()}
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "lock_keys"), names)
            rows = {
                key: bool(is_open) and parent == _parent(key, limits)
                for key, parent, is_open in cursor.fetchall()
            }
            for key, is_settled in rows.items():
                if keys[key] is not None or not is_settled:
                    sql = statement(self.dialect, "open_keys")
                    cursor.execute(sql, opening(key, keys[key], limits))
        return rows.keys()

    # --- claiming -----------------------------------------------------------------------

    def lock_open_keys(
        self, request: LimitedRequest, kinds: Sequence[bool], parent: str, limit: int
    ) -> list[OpenKey]:
        """Lock and return keys whose jobs may start, those served longest ago first.

        Args:
            request: the queues.
            kinds: the kinds of jobs, by `is_async`.
            parent: the row above the keys; "" for those without.
            limit: how many at most.
        """
        parameters = self._from_where(request, kinds) | {"parent": parent, "limit": limit}
        with self._cursor() as cursor:
            cursor.execute(self._of_queues("lock_open_keys", request), parameters)
            return [
                OpenKey(key, name, None if is_async is None else bool(is_async), *numbers)
                for key, name, is_async, *numbers in cursor.fetchall()
            ]

    def count_running(self, keys: Sequence[str]) -> dict[str, int]:
        """Return how many jobs of keys run; nothing for a key of which none does."""
        slots = [HOLDS + key for key in keys]
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "count_running"), {"slots": self._list(slots)})
            return {slot.removeprefix(HOLDS): count for slot, count in cursor.fetchall()}

    def count_held(self, keys: Sequence[OpenKey]) -> dict[str, tuple[int, Place | None]]:
        """Return how many jobs of locked keys run, and the first of their places if it is known."""
        running = self.count_running([key.limit_key for key in keys])
        return {key: (count, None) for key, count in running.items()}

    def count_all_running(self, name: str) -> int:
        """Return how many jobs of all keys of a limit run."""
        parameters = {"low": f"{HOLDS}{name}:", "high": f"{HOLDS}{name}{ALL_KEYS_END}"}
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "count_total"), parameters)
            return int(cursor.fetchone()[0])

    def claim_of_keys(
        self,
        worker: str,
        request: LimitedRequest,
        kinds: Sequence[bool],
        counts: Mapping[OpenKey, int],
        now: int,
    ) -> list[ClaimedJob]:
        """Mark the most urgent jobs of locked keys as running here; return them.

        Args:
            worker: id of the worker.
            request: the queues.
            kinds: the kinds of jobs, by `is_async`.
            counts: how many jobs of each key.
            now: when they start, in microseconds.
        """
        parameters = self._from_where(request, kinds) | {"worker": worker, "now": now}
        claimed: list[ClaimedJob] = []
        with self._cursor() as cursor:
            for key, count in counts.items():
                sql = statement(self.dialect, "claim_limited")
                cursor.execute(sql, {**parameters, "limit_key": key.limit_key, "count": count})
                claimed += [ClaimedJob(*row) for row in cursor.fetchall()]
        return claimed

    def close_keys(self, closed: Sequence[ClosedKey]) -> None:
        """Write when keys are looked at next; those in whose lines no job waits are closed.

        Of the closed ones, those whose rows say nothing more are deleted: the next job makes them
        again.
        """
        disposable = {key.limit_key for key in closed if key.is_disposable}
        if len(disposable) > 1:  # of one, looking would cost more than the row
            disposable -= self._with_waiting_jobs(disposable)
        else:
            disposable.clear()
        with self._cursor() as cursor:
            for key in closed:
                if key.limit_key in disposable:
                    cursor.execute(statement(self.dialect, "delete_key"), key._asdict())
                    if cursor.rowcount:
                        continue
                cursor.execute(statement(self.dialect, "close_keys"), key._asdict())

    def close_total(self, closed: ClosedKey) -> None:
        """Write when the row of all keys together is looked at next; not before one of the keys."""
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "next_open"), {"parent": closed.limit_key})
            row = cursor.fetchone()
            next_open = None if row is None else row[0]
            open_at = None
            if next_open is not None and closed.open_at is not None:
                open_at = max(next_open, closed.open_at)
            cursor.execute(
                statement(self.dialect, "close_total"), closed._replace(open_at=open_at)._asdict()
            )

    def seconds_to_limited(self) -> float | None:
        """Return the seconds until jobs of some key may start; None if none may."""
        sql = statement(self.dialect, "seconds_to_limited")
        with self._cursor() as cursor:
            cursor.execute(sql, {"now": now_microseconds()})
            return seconds_until(cursor.fetchone()[0])

    def _from_where(self, request: LimitedRequest, kinds: Sequence[bool]) -> dict[str, Any]:
        return {
            "backend": request.backend,
            "queues": self._list(request.queues),
            "excluded": self._list(request.excluded),
            "kinds": self._list(kinds),
            "now": now_microseconds(),
        }

    def _of_queues(self, name: str, request: LimitedRequest) -> str:  # noqa: ARG002  # on MySQL
        return statement(self.dialect, name)


def new_key(
    key: str, details: KeyDetails | None, limits: Mapping[str, LimitNumbers], now: int
) -> dict[str, Any]:
    """Return the columns of a key's new row: of any queue and kind if nothing is known."""
    name = name_of(key)
    known = details or KeyDetails(name, "", "", "", None)
    return {
        "limit_key": key,
        "parent": _parent(key, limits),
        **known._asdict(),
        "name": name,
        "turn_left": 0,
        "free_at": 0,
        "open_at": now,
    }


def opening(
    key: str, details: KeyDetails | None, limits: Mapping[str, LimitNumbers]
) -> dict[str, Any]:
    """Return the parameters of open_keys.sql; NULL for what is not known."""
    known = dict.fromkeys(KeyDetails._fields) if details is None else details._asdict()
    if details is not None:
        known["is_async"] = _BOTH_KINDS if details.is_async is None else int(details.is_async)
    now = now_microseconds()
    return {
        "limit_key": key,
        "line": WAITS + key,
        "parent": _parent(key, limits),
        **known,
        "is_known": details is not None,
        "now": now,
    }


def _with_totals(keys: KeysToOpen, limits: Mapping[str, LimitNumbers]) -> KeysToOpen:
    """Return keys, with the rows above them."""
    rows = dict(keys)
    for key, details in keys.items():
        name = _parent(key, limits)
        if name:
            total = None if details is None else details._replace(max_running=None, weight=None)
            known = rows.get(name)
            rows[name] = known.merged_with(total) if known and total else known or total
    return rows


def _parent(key: str, limits: Mapping[str, LimitNumbers]) -> str:
    """Return the row above a key; empty if there is none."""
    name = name_of(key)
    return name if name != key and limits[name].has_total else ""
