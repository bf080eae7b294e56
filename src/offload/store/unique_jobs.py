"""Unique jobs: a call makes a job unless another job holds its key.

The unique index decides, and waits for other transactions, which a look at the table could not. A
job that waits stays locked by the transaction that has found it. It is not claimed before that has
committed, and so sees what its caller has written.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from itertools import batched
from typing import Any
from uuid import UUID

from django.db import transaction

from offload.exceptions import OffloadError
from offload.failpoints import failpoint
from offload.lifecycle import WAITING, JobState
from offload.models import Job
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.limit_notices import LimitNotices
from offload.store.limit_records import WAITS, KeysToOpen, of_any_time
from offload.store.records import NewJob, UniqueCall, UniqueTerms
from offload.store.session import MAX_ROWS_PER_STATEMENT, NEXT_VERSION
from offload.store.statements import statement
from offload.timestamps import now_microseconds, to_datetime, to_microseconds

MAX_ROUNDS = 20
"""How often a call is tried again because the holder of a key has just given it back."""
_IS_WAITING = f"state < {int(JobState.RUNNING)}"
_HAS_EXPIRED = "unique_within <= %(now)s AND state >= unique_until"


class UniqueJobs(LimitNotices):
    """Inserts jobs that have a key, or finds those that hold it."""

    def insert_unique(
        self, job: NewJob, calls: Sequence[UniqueCall], terms: UniqueTerms, limits: KeysToOpen
    ) -> dict[str, Job]:
        """Add the jobs whose keys no other job holds, in the caller's transaction.

        Args:
            job: a row with the columns that the jobs have in common.
            calls: the id, the arguments and the keys of each job; no two have the same unique key.
            terms: what is unique about them.
            limits: the keys of their limits.

        Returns:
            The jobs that hold the keys of the other calls, by key.
        """
        # In one order, so that transactions with the same keys wait for each other one by one.
        calls = sorted(calls, key=lambda call: call.unique_key)
        keys = [call.unique_key for call in calls]
        with transaction.atomic(self.using, savepoint=False):
            self.lock_keys(keys)
            for number in range(MAX_ROUNDS):
                if number or terms.within is not None:
                    self.free_expired_keys(keys)
                if insertion := self._try_to_insert(job, calls, terms):
                    break
            else:
                raise OffloadError(
                    f"The jobs that hold the keys of {job.task_path} change too fast. Try the "
                    "transaction again."
                )
            self.add_notices({key: of_any_time(limits[key]) for key in insertion.limit_keys})
        hints = [Hint.WORK, Hint.CHANGED] if insertion.has_replaced else [Hint.WORK]
        publish_after_commit(self.using, *hints)
        return insertion.holders

    def free_expired_keys(self, keys: Sequence[str]) -> None:
        """Free the keys whose time is over, in the caller's transaction."""
        expired = self._lock_holders(keys, _HAS_EXPIRED, exclusively=True)
        for some in batched(expired, MAX_ROWS_PER_STATEMENT):
            Job.objects.using(self.using).filter(pk__in=some).update(unique_key=None)

    def holders(self, keys: Collection[str]) -> dict[str, Job]:
        """Return the jobs that hold keys, by key."""
        jobs = Job.objects.using(self.using).filter(unique_key__in=keys)
        return {str(job.unique_key): job for job in jobs}

    def lock_waiting_holders(self, keys: Sequence[str], *, exclusively: bool) -> set[UUID]:
        """Lock the jobs that hold keys and wait, in the order of the keys."""
        return set(self._lock_holders(keys, _IS_WAITING, exclusively=exclusively))

    def lock_keys(self, keys: Sequence[str]) -> None:
        """Let other transactions with these keys wait for this one, if their index does not."""

    @abstractmethod
    def insert_unique_rows(
        self, job: NewJob, calls: Sequence[UniqueCall], terms: UniqueTerms
    ) -> Collection[str]:
        """Insert the jobs whose keys no other job holds; return their ids.

        It waits for a transaction that has inserted a job with such a key, or is freeing the key.
        """

    def _try_to_insert(
        self, job: NewJob, calls: Sequence[UniqueCall], terms: UniqueTerms
    ) -> _Insertion | None:
        """Insert jobs or find the holders of their keys; return None if a key was given back."""
        insertion = _Insertion(self, job, terms)
        # A call that waits for one of several keys must not hold another one behind it, so a
        # savepoint gives back what was locked.
        try:
            with transaction.atomic(self.using) if len(calls) > 1 else nullcontext():
                for some in batched(calls, MAX_ROWS_PER_STATEMENT):
                    insertion.add(some)
        except _KeyFreed:
            return None
        return insertion

    def _lock_holders(
        self, keys: Sequence[str], condition: str, *, exclusively: bool
    ) -> list[UUID]:
        """Lock the jobs that hold keys and meet a condition; return their ids."""
        sql = statement(self.dialect, "lock_holders").replace("{condition}", condition)
        sql = sql.replace("{lock}", self._lock(exclusively))
        return self._ids_of(sql, {"keys": self._list(keys)})

    def _ids_of(self, sql: str, parameters: Mapping[str, Any]) -> list[UUID]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, {**parameters, "now": now_microseconds()})
            return [UUID(str(pk)) for (pk,) in cursor.fetchall()]

    def _lock(self, exclusively: bool) -> str:  # noqa: ARG002, FBT001  # SQLite has one lock
        """Return the clause that locks the rows of a query."""
        return ""


class _KeyFreed(Exception):
    """The job that held a key when another could not be inserted has given it back."""


class _Insertion:
    """One try to insert the jobs of calls, or to find those that hold their keys.

    Attributes:
        holders: the jobs that hold keys of calls, by key.
        limit_keys: keys of limits of which jobs were inserted or replaced.
        has_replaced: whether jobs were replaced.
    """

    def __init__(self, store: UniqueJobs, job: NewJob, terms: UniqueTerms) -> None:
        self._store = store
        self._job = job
        self._terms = terms
        self.holders: dict[str, Job] = {}
        self.limit_keys: list[str] = []
        self.has_replaced = False

    def add(self, calls: Sequence[UniqueCall]) -> None:
        """Insert the jobs of calls, or find those that hold their keys.

        Raises:
            _KeyFreed: if the holder of a key has just given it back.
        """
        inserted = self._store.insert_unique_rows(self._job, calls, self._terms)
        failpoint("enqueue.inserted")
        self._open([call for call in calls if call.id in inserted])
        others = {call.unique_key: call for call in calls if call.id not in inserted}
        if not others:
            return
        replaces = self._terms.replaces
        waiting = self._store.lock_waiting_holders(list(others), exclusively=replaces)
        failpoint("enqueue.key_found")
        now = now_microseconds()
        for key, holder in self._store.holders(others).items():
            if holder.pk in waiting:
                if replaces:
                    self._replace(holder, others[key])
            elif has_expired(holder, now):
                continue
            self.holders[key] = holder
        if not self.holders.keys() >= others.keys():
            raise _KeyFreed

    def _replace(self, holder: Job, call: UniqueCall) -> None:
        """Give a locked job that waits the arguments of a call."""
        values = replacement(holder, self._job, call, self._terms)
        jobs = Job.objects.using(self._store.using)
        jobs.filter(pk=holder.pk, state__in=WAITING).update(**values, version=NEXT_VERSION)
        failpoint("enqueue.replaced")
        for name, value in values.items():
            setattr(holder, name, value)
        self._open([call])
        self.has_replaced = True

    def _open(self, calls: Sequence[UniqueCall]) -> None:
        self.limit_keys += [call.limit_key for call in calls if call.limit_key is not None]


def has_expired(job: Job, now: int) -> bool:
    """Return whether a job holds its key only until somebody else needs it."""
    within, until = job.unique_within, job.unique_until
    return (
        within is not None
        and until is not None
        and to_microseconds(within) <= now
        and job.state >= until
    )


def replacement(job: Job, new: NewJob, call: UniqueCall, terms: UniqueTerms) -> Mapping[str, Any]:
    """Return the columns of a waiting job whose arguments a call replaces.

    A job that was tried before does not run earlier than its backoff says.

    Args:
        job: the job.
        new: the job that the call would have made.
        call: its arguments and keys.
        terms: what is unique about it.
    """
    run_after = new.run_after
    if terms.maximum is not None:
        run_after = min(run_after, _microseconds(job.enqueued_at) + terms.maximum)
    if job.fence:
        run_after = max(run_after, _microseconds(job.run_after))
    expires_at = None
    if new.expires_at is not None:
        expires_at = to_datetime(run_after + new.expires_at - new.run_after)
    state = JobState.READY if call.limit_key is None else JobState.LIMITED
    if run_after > new.enqueued_at:
        state = JobState.SCHEDULED
    return {
        "arguments": call.arguments,
        "priority": new.priority,
        "run_after": to_datetime(run_after),
        "expires_at": expires_at,
        "state": state,
        "limit_key": call.limit_key,
        "limit_slot": slot(call, state),
    }


def _microseconds(moment: datetime | None) -> int:
    return 0 if moment is None else to_microseconds(moment)


def slot(call: UniqueCall, state: int) -> str | None:
    """Return the `limit_slot` of a job in a waiting state."""
    return WAITS + str(call.limit_key) if state == JobState.LIMITED else None


def unique_row(job: NewJob, call: UniqueCall, terms: UniqueTerms) -> tuple[Any, ...]:
    """Return the values of insert_unique.sql."""
    columns = (call.id, call.arguments, call.limit_key, slot(call, job.state), call.unique_key)
    return (*columns, terms.until, terms.within, *job[2:])
