"""Unique jobs: one of a key at a time, the last call of many, or the first call in a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from offload.durations import seconds
from offload.policies.keys import Key, require_key, require_name

type Until = Literal["finished", "started"]
"""Until when a job holds its key: until it is finished, or until a worker starts it."""
type OnConflict = Literal["return", "replace", "raise"]
"""What a call does if another job holds its key."""


@dataclass(frozen=True, slots=True)
class Unique:
    """At most one job of a key: a call whose key another job holds makes no job.

        @task(unique=Unique("{shop_id}"))

    Attributes:
        key: a format string over the task's arguments, with `{tenant}` and `{owner}` of the job,
            or a callable that takes the arguments, defaults included; by default all arguments
            and the tenant.
        until: when a job gives its key back: "finished", or "started".
        within: how long it holds the key at least, from its enqueueing, also when it is finished.
        on_conflict: "return" the job that holds the key; "replace" its arguments, priority and
            run_after while it waits; or "raise" AlreadyEnqueued.
        name: shares the keys among all tasks that give the same name.
    """

    key: Key = ""
    until: Until = "finished"
    within: timedelta | float | None = None
    on_conflict: OnConflict = "return"
    name: str = ""

    def __post_init__(self) -> None:
        require_key("Unique", self.key)
        _require_choice("until", self.until, get_args(Until.__value__))
        _require_choice("on_conflict", self.on_conflict, get_args(OnConflict.__value__))
        if self.within is not None:
            _require_duration("Unique: within", self.within)
        require_name("Unique", self.name)
        if self.name and self.on_conflict == "replace":
            raise ValueError(
                'Unique: on_conflict="replace" and a name contradict each other: the job that '
                "holds a shared key may be of another task, which takes other arguments."
            )


@dataclass(frozen=True, slots=True)
class Debounce:
    """One job for many calls: it starts some time after the last one, with its arguments.

        @task(unique=Debounce(5, key="{document_id}", maximum=60))

    A call that comes while the job runs makes the next one.

    Attributes:
        delay: time from the last call to the start, in seconds or as a timedelta.
        key: as for `Unique`.
        maximum: time from the first call to the start, however many calls follow.
    """

    delay: timedelta | float
    key: Key = ""
    maximum: timedelta | float | None = None

    def __post_init__(self) -> None:
        _require_duration("Debounce: the first argument", self.delay)
        require_key("Debounce", self.key)
        if self.maximum is None:
            return
        _require_duration("Debounce: maximum", self.maximum)
        if seconds(self.maximum) < seconds(self.delay):
            raise ValueError(
                f"Debounce: maximum must be at least the delay of {self.delay!r}, not "
                f"{self.maximum!r}."
            )


@dataclass(frozen=True, slots=True)
class Throttle:
    """One job for all calls in a time: the first call makes it, and the others return it.

        @task(unique=Throttle(60, key="{feed_id}"))

    Attributes:
        period: the time from the first call, in seconds or as a timedelta.
        key: as for `Unique`.
        name: as for `Unique`.
    """

    period: timedelta | float
    key: Key = ""
    name: str = ""

    def __post_init__(self) -> None:
        _require_duration("Throttle: the first argument", self.period)
        require_key("Throttle", self.key)
        require_name("Throttle", self.name)


def _require_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        quoted = [f'"{choice}"' for choice in choices]
        expected = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
        raise ValueError(f"Unique: {name} must be {expected}, not {value!r}.")


def _require_duration(name: str, value: Any) -> None:
    try:
        is_valid = seconds(value) > 0
    except (TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise ValueError(f"{name} must be seconds > 0 or a timedelta, not {value!r}.")
