"""Limits, and the keys among which they are divided, as plain tuples."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from offload.policies.queue_limits import QueueLimits
from offload.timestamps import FIRST_MOMENT
from offload.uuid7 import FIRST_ID

WAITS, HOLDS = "w:", "h:"
"""How `Job.limit_slot` starts: the job waits for a slot, or holds one."""
PARKED, PARKED_END = "p:", "q"
"""The start of `limit_slot` while the job is parked, and the first text after all of these."""
ALL_KEYS_END = ";"
"""The character behind the colon that separates a limit's name from the key."""


class LimitNumbers(NamedTuple):
    """The numbers of a limit; None or 0 for those that it does not have.

    Attributes:
        max_running: jobs of one key that run at once.
        total: jobs of all keys that run at once.
        interval: microseconds between two starts of one key, on average.
        burst: starts of one key that may follow each other at once.
        total_interval: as `interval`, of all keys.
        total_burst: as `burst`, of all keys.
        weight: how many jobs of a key start in one turn.
        max_running_path: of the callable that gives each key a number of its own, for people.
        weight_path: of the one that gives each key a weight of its own, for people.
    """

    max_running: int | None = None
    total: int | None = None
    interval: int = 0
    burst: int = 1
    total_interval: int = 0
    total_burst: int = 1
    weight: int = 1
    max_running_path: str = ""
    weight_path: str = ""

    @property
    def has_numbers(self) -> bool:
        """Whether some of the numbers may keep a job waiting, and not only order the keys."""
        return self.max_running is not None or self.interval > 0 or self.has_total

    @property
    def has_total(self) -> bool:
        """Whether some of the numbers are about all keys together."""
        return self.total is not None or self.total_interval > 0

    def to_json(self) -> str:
        """Return the numbers that differ from the defaults, always in the same text."""
        defaults = self._field_defaults
        return json.dumps({k: v for k, v in self._asdict().items() if v != defaults[k]})

    def strictest(self, other: LimitNumbers) -> LimitNumbers:
        """Return the smaller of each number, so that both limits are kept."""
        rates = [numbers for numbers in (self, other) if numbers.interval]
        total_rates = [numbers for numbers in (self, other) if numbers.total_interval]
        return LimitNumbers(
            max_running=_smaller(self.max_running, other.max_running),
            total=_smaller(self.total, other.total),
            interval=max(self.interval, other.interval),
            burst=min((numbers.burst for numbers in rates), default=1),
            total_interval=max(self.total_interval, other.total_interval),
            total_burst=min((numbers.total_burst for numbers in total_rates), default=1),
            weight=min(self.weight, other.weight),
            max_running_path=self.max_running_path or other.max_running_path,
            weight_path=self.weight_path or other.weight_path,
        )

    @classmethod
    @lru_cache(maxsize=1024)
    def from_json(cls, definition: str, override: str = "") -> LimitNumbers:
        """Return the numbers of the code, replaced by those that an operator has set."""
        numbers = json.loads(definition) | (json.loads(override) if override else {})
        return cls(**numbers)


class Definition(NamedTuple):
    """The numbers of a limit in the code of a process.

    Attributes:
        text: the numbers, as JSON text.
        loaded_at: when the process loaded its code, in microseconds.
    """

    text: str
    loaded_at: int


class KeyDetails(NamedTuple):
    """What a notice says about a key that may have no row yet.

    Attributes:
        name: of its limit.
        definition: the limit's numbers in the code, as JSON text.
        backend: alias in TASKS; empty for several.
        queue_name: the queue of its jobs; empty for several.
        is_async: the kind of its jobs; None for both.
        max_running: the key's own number; None for the limit's.
        loaded_at: see `Definition`.
        weight: the key's own weight; None for the limit's.
        run_after: of its new jobs, the smallest; FIRST_MOMENT if it is not known.
    """

    name: str
    definition: str
    backend: str
    queue_name: str
    is_async: bool | None
    max_running: int | None = None
    loaded_at: int = 0
    weight: int | None = None
    run_after: int = FIRST_MOMENT

    def merged_with(self, later: KeyDetails) -> KeyDetails:
        """Return what two notices say together about their jobs."""
        return later._replace(
            backend=self.backend if self.backend == later.backend else "",
            queue_name=self.queue_name if self.queue_name == later.queue_name else "",
            is_async=self.is_async if self.is_async == later.is_async else None,
            run_after=min(self.run_after, later.run_after),
        )


type KeysToOpen = dict[str, KeyDetails | None]
"""Keys, with what is known about each; None if nothing is."""


class Notice(NamedTuple):
    """A row of `LimitNotice`."""

    id: int
    limit_key: str
    details: KeyDetails | None


class LimitNews(NamedTuple):
    """What a worker has read about limits before it claims jobs.

    Attributes:
        notices: the oldest ones.
        limits: the numbers of all limits, by name; of an unknown one none.
        made: keys whose rows the worker has added, open.
    """

    notices: list[Notice]
    limits: defaultdict[str, LimitNumbers]
    made: Collection[str] = ()


def keys_of(notices: Iterable[Notice]) -> KeysToOpen:
    """Return the keys of notices, with what all notices of each say together."""
    keys: KeysToOpen = {}
    for _, key, details in notices:
        keys[key] = merged(keys[key], details) if key in keys else details
    return keys


def merged(first: KeyDetails | None, second: KeyDetails | None) -> KeyDetails | None:
    """Return what two notices about a key say together."""
    if first and second:
        return first.merged_with(second)
    return of_any_time(first or second)


def of_any_time(details: KeyDetails | None) -> KeyDetails | None:
    """Return details of a key to whose line jobs have come at any place, such as the head."""
    return None if details is None else details._replace(run_after=FIRST_MOMENT)


def newest_definitions(notices: Iterable[Notice]) -> dict[str, Definition]:
    """Return the numbers of limits in the code that was loaded last, as notices name them."""
    code: dict[str, Definition] = {}
    for _, _, details in notices:
        if details is not None:
            known = code.get(details.name)
            if known is None or details.loaded_at > known.loaded_at:
                code[details.name] = Definition(details.definition, details.loaded_at)
    return code


def name_of(limit_key: str) -> str:
    """Return the name of the limit that a key belongs to."""
    return limit_key.partition(":")[0]


type Place = tuple[int, str]
"""`run_after` and id of a job: its place among jobs of one priority."""


class OpenKey(NamedTuple):
    """A key whose jobs may start, locked by this transaction.

    Attributes:
        limit_key: the key; the limit's name for the row of all keys together.
        name: of its limit.
        is_async: the kind of its jobs; None for both.
        max_running: the key's own number; None for the limit's.
        free_at: see `LimitKey`.
        now: the time at which it was locked, in microseconds, by the database's clock.
        open_at: see `LimitKey`.
        weight: the key's own weight; None for the limit's.
        turn_left: see `LimitKey`.
        held_from: see `LimitKey`.
        held_from_id: see `LimitKey`.
        line_from: see `LimitKey`.
        line_from_id: see `LimitKey`.
    """

    limit_key: str
    name: str
    is_async: bool | None
    max_running: int | None
    free_at: int
    now: int
    open_at: int = 0
    weight: int | None = None
    turn_left: int = 0
    held_from: int = FIRST_MOMENT
    held_from_id: str = str(FIRST_ID)
    line_from: int = FIRST_MOMENT
    line_from_id: str = str(FIRST_ID)

    @property
    def is_total(self) -> bool:
        """Whether it is the row of all keys together."""
        return self.limit_key == self.name

    def closed(self, free_at: int, open_at: int | None, turn_left: int = 0) -> ClosedKey:
        """Return what becomes of the key; its row has nothing to keep without rate and numbers."""
        is_disposable = (
            free_at == 0 and self.max_running is None and self.weight is None and not self.is_total
        )
        return ClosedKey(
            self.limit_key,
            free_at,
            open_at,
            turn_left,
            is_disposable,
            self.held_from,
            self.held_from_id,
            self.line_from,
            self.line_from_id,
        )


class ClosedKey(NamedTuple):
    """What becomes of an open key after jobs of it were claimed.

    Attributes:
        limit_key: the key.
        free_at: see `LimitKey`.
        open_at: when jobs may start next, if any wait; None if a job must finish first.
        turn_left: see `LimitKey`.
        is_disposable: whether its row says nothing more, once no job waits in its line.
        held_from: see `LimitKey`.
        held_from_id: see `LimitKey`.
        line_from: see `LimitKey`; as it was before the claim.
        line_from_id: see `LimitKey`; as it was before the claim.
    """

    limit_key: str
    free_at: int
    open_at: int | None
    turn_left: int = 0
    is_disposable: bool = False
    held_from: int = FIRST_MOMENT
    held_from_id: str = str(FIRST_ID)
    line_from: int = FIRST_MOMENT
    line_from_id: str = str(FIRST_ID)


class Share(NamedTuple):
    """What a key gets of a worker's free slots.

    Attributes:
        jobs: how many of its jobs are to start.
        turn_left: see `LimitKey`.
        rank: its place among the keys of the share whose turns are over, by when they were.
    """

    jobs: int
    turn_left: int
    rank: int


class LimitedResult(NamedTuple):
    """When more jobs with a limit may start.

    Attributes:
        due_in: seconds until then; None if a job must finish first, or none waits.
        rate_in: the longest time until a rate lets jobs of a key start that was looked at; 0 if
            no rate holds them up.
        idle: keys of finished jobs that were not opened, because no job of them waited.
    """

    due_in: float | None
    rate_in: float
    idle: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class LimitedRequest:
    """How many limited jobs a worker can start now, and from where.

    Attributes:
        backend: alias in TASKS.
        queues: names of the queues; empty for all but `excluded`.
        excluded: names of queues that are left out.
        sync_slots: free slots for sync jobs.
        async_slots: free slots for async jobs.
        limits: the limits of the settings of those queues that have limits, by name.
        max_jobs: how many jobs in all; None for as many as there are slots.
        paused_tasks: the ids of the pauses of tasks, by path; no jobs of these tasks are taken.
    """

    backend: str
    queues: tuple[str, ...]
    excluded: tuple[str, ...]
    sync_slots: int
    async_slots: int
    limits: Mapping[str, QueueLimits] = field(default_factory=dict)
    max_jobs: int | None = None
    paused_tasks: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.sync_slots > 0 or self.async_slots > 0

    @property
    def kinds(self) -> list[bool]:
        """The kinds of jobs for which there are free slots, by `is_async`."""
        slots = {False: self.sync_slots, True: self.async_slots}
        return [is_async for is_async, count in slots.items() if count > 0]


def _smaller(first: int | None, second: int | None) -> int | None:
    """Return the smaller of two numbers, of which None limits nothing."""
    return min((number for number in (first, second) if number is not None), default=None)
