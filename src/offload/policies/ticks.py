"""The ticks of a schedule: when they are, and which of those that are due become jobs.

All times are microseconds since 1970 UTC.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from offload.policies.cron import make_cron

CATCH_UPS = ("once", "all", "skip")
"""What becomes of the ticks that were missed while no worker ran; the first is the default."""
OVERLAPS = ("skip", "allow", "wait")
"""What becomes of a tick while the job of the tick before is not finished; the first is the
default."""
MAX_CATCH_UP = 100
"""Missed ticks for which catch_up="all" makes jobs, at most: the latest."""
MAX_COUNTED = 1000
"""Missed ticks that are counted, at most."""
ON_TIME = 60_000_000
"""A tick that is no later than this is not missed."""
MIN_INTERVAL = 1_000_000
"""The shortest interval."""
MAX_WINDOWS = 40
"""How often a search for earlier ticks looks further back, at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Timing(NamedTuple):
    """When a schedule ticks.

    Attributes:
        cron: an expression; empty for an interval.
        every: the interval; None for an expression. Ticks are at `start` and whole intervals from
            it, or from the beginning of 1970, so that neither a pause nor a restart moves them.
        timezone: of the expression.
        start: no tick is before it.
        end: no tick is after it.
    """

    cron: str
    every: int | None
    timezone: str
    start: int | None = None
    end: int | None = None

    def next_after(self, moment: int) -> int | None:
        """Return the first tick after a time; None after the last one.

        Raises:
            ValueError: for an expression or a time zone that does not exist.
        """
        if self.start is not None:
            moment = max(moment, self.start - 1)
        tick = self._next_of_interval(moment) if self.every else self._next_of_cron(moment)
        if tick is None or (self.end is not None and tick > self.end):
            return None
        if tick <= moment:
            raise ValueError(f"The tick {tick} does not follow {moment}: {self}.")
        return tick

    def ticks_after(self, moment: int) -> Iterator[int]:
        """Yield the ticks after a time, without end if the schedule has none."""
        tick = self.next_after(moment)
        while tick is not None:
            yield tick
            tick = self.next_after(tick)

    def between(self, first: int, last: int) -> Iterator[int]:
        """Yield the ticks from one time until another, both included."""
        for tick in self.ticks_after(first - 1):
            if tick > last:
                return
            yield tick

    def latest(self, count: int, *, first: int, last: int) -> list[int]:
        """Return the latest ticks from one time until another, in order.

        The search steps back from the end: a year may lie before it that has a tick each second.
        """
        ahead = list(islice(self._without_end().ticks_after(last), 2))
        window = max(ahead[-1] - ahead[0], MIN_INTERVAL) * count if ahead else last - first
        for _ in range(MAX_WINDOWS):
            start = max(first, last - window)
            found = deque(self.between(start, last), maxlen=count)
            if len(found) == count or start == first:
                break
            window *= 2
        return list(found)

    def _without_end(self) -> Timing:
        return self._replace(end=None)

    def _next_of_interval(self, moment: int) -> int:
        every, anchor = self.every or MIN_INTERVAL, self.start or 0
        return anchor + ((moment - anchor) // every + 1) * every

    def _next_of_cron(self, moment: int) -> int | None:
        start = _EPOCH + moment * _MICROSECOND
        found = make_cron(self.cron, self.timezone).next_after(start)
        return None if found is None else (found - _EPOCH) // _MICROSECOND


class Rules(NamedTuple):
    """What a schedule does with its ticks; the times are in microseconds.

    Attributes:
        name: of the schedule.
        jitter: by how much a tick is delayed at most.
        catch_up: one of CATCH_UPS.
        deadline: ticks that are later than this make no job; None for no deadline.
        overlap: one of OVERLAPS.
    """

    name: str
    jitter: int
    catch_up: str
    deadline: int | None
    overlap: str

    def run_at(self, tick: int) -> int:
        """Return when a tick becomes a job: after a delay that every worker computes alike."""
        if not self.jitter:
            return tick
        digest = hashlib.blake2b(f"{self.name}\n{tick}".encode(), digest_size=8).digest()
        return tick + int.from_bytes(digest) * self.jitter // 2**64


class Verdict(NamedTuple):
    """What becomes of the ticks that are due.

    Attributes:
        ticks: those that become jobs.
        last: the last tick that was due.
        skipped: how many do not; of one outage at most MAX_COUNTED are counted.
        why: why the last of these was skipped: "overlap", "deadline" or "catch_up"; else empty.
        next_tick: the next one; None after the last one.
    """

    ticks: list[int]
    last: int
    skipped: int
    why: str
    next_tick: int | None


def judge(timing: Timing, rules: Rules, tick: int, *, now: int, is_busy: bool) -> Verdict | None:
    """Decide which of the ticks that are due become jobs; None if none is due.

    Args:
        timing: of the schedule.
        rules: of the schedule.
        tick: the first tick that may be due.
        now: the time.
        is_busy: whether the job of the tick before is not finished.

    Raises:
        ValueError: for an expression or a time zone that does not exist.
    """
    due, count = _due_ticks(timing, rules, tick, now)
    if not due:
        return None
    kept = {"all": due, "once": due[-1:], "skip": _on_time(due[-1:], rules, now)}[rules.catch_up]
    why = "catch_up" if len(kept) < count else ""
    if rules.deadline is not None:
        deadline = now - rules.deadline
        in_time = [tick for tick in kept if rules.run_at(tick) >= deadline]
        why = "deadline" if len(in_time) < len(kept) else why
        kept = in_time
    if kept and is_busy and rules.overlap == "skip":
        kept, why = [], "overlap"
    return Verdict(kept, due[-1], count - len(kept), why, timing.next_after(due[-1]))


def _due_ticks(timing: Timing, rules: Rules, tick: int, now: int) -> tuple[list[int], int]:
    """Return the latest ticks that are due, and how many are in all."""
    found = list(islice(timing.between(tick, now), MAX_COUNTED))
    count = len(found)
    if count == MAX_COUNTED:
        return timing.latest(MAX_CATCH_UP, first=tick, last=now), count
    # A tick is due with the last that is: another one's delay may be longer.
    while found and rules.run_at(found[-1]) > now:
        found.pop()
    return found[-MAX_CATCH_UP:], len(found)


def _on_time(ticks: list[int], rules: Rules, now: int) -> list[int]:
    return [tick for tick in ticks if rules.run_at(tick) >= now - ON_TIME]
