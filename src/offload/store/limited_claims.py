"""One worker's claim of jobs of tasks with limits: concurrency, rates, and turns among keys.

A waiting job with a limit lies outside the ready index, in the line of its key. A slot is a running
job and nothing else: the worker locks the row of a key, counts the jobs of the key that run, in a
statement after the lock, and claims as many as may start. So no slot can leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from offload.failpoints import failpoint
from offload.store.grants import FreeSlots, close, grant, max_running, share
from offload.store.limit_keys import LimitKeys
from offload.store.limit_records import (
    ClosedKey,
    LimitedRequest,
    LimitedResult,
    LimitNews,
    LimitNumbers,
    OpenKey,
    Place,
    Share,
    keys_of,
)
from offload.store.records import ClaimedJob
from offload.timestamps import FIRST_MOMENT
from offload.uuid7 import FIRST_ID

MAX_KEYS = 32
"""Keys that a worker locks at once, unless it has more free slots."""
MAX_ROUNDS = 6
"""How often one exchange looks for open keys, while slots are free."""


class LimitedClaims(LimitKeys):
    """Claims jobs with a limit."""

    def claim_limited(
        self,
        worker: str,
        requests: Sequence[LimitedRequest],
        news: LimitNews,
        freed: Mapping[str, bool],
    ) -> tuple[list[ClaimedJob], LimitedResult]:
        """Claim jobs with a limit, in the caller's transaction.

        Args:
            worker: id of the worker, as `key` returns it.
            requests: how many jobs, and from where; they share the slots.
            news: what `make_keys` has returned before the transaction.
            freed: keys of which this transaction has finished jobs, and whether some wait again.

        Returns:
            The jobs, and when more may start.
        """
        noticed = self.take_notices(news.notices)
        idle = self.open_keys(freed, keys_of(noticed), news)
        failpoint("limits.opened")
        claimed: list[ClaimedJob] = []
        rate_in = 0.0
        for each in requests:
            if request := _without_slots_of(claimed, each):
                claim = LimitedClaim(self, worker, request)
                claimed += claim.run()
                rate_in = max(rate_in, claim.rate_in)
        return claimed, LimitedResult(self.seconds_to_limited(), rate_in, idle)


class LimitedClaim:
    """The claim of one exchange.

    Args:
        store: the jobs and the keys.
        worker: id of the worker, as `key` returns it.
        request: how many jobs to claim, and from where.

    Attributes:
        rate_in: see `LimitedResult`.
    """

    def __init__(self, store: LimitKeys, worker: str, request: LimitedRequest) -> None:
        self._store = store
        self._worker = worker
        self._request = request
        self._limits: Mapping[str, LimitNumbers] = {}
        self._held: dict[str, Place | None] = {}
        """The first place of the jobs that run, of each key whose jobs were counted."""
        self.rate_in = 0.0
        self._max_keys = MAX_KEYS
        self._closes_empty_keys = False
        """Whether to close keys without waiting jobs even if no slot was left for them: many may be
        open after jobs were cancelled."""
        self._has_more = True
        """Whether another round may find jobs for the slots that are left."""

    def run(self) -> list[ClaimedJob]:
        """Claim jobs until no slot is free or none may start."""
        sync, asynchronous = self._request.sync_slots, self._request.async_slots
        total = sync + asynchronous
        if self._request.max_jobs is not None:
            total = min(total, self._request.max_jobs)
        slots = FreeSlots(sync, asynchronous, total)
        claimed: list[ClaimedJob] = []
        for _ in range(MAX_ROUNDS):
            jobs = self._claim_round(slots)
            if jobs is None:
                break
            claimed += jobs
            if not slots or not self._has_more:
                break
            if not jobs:
                self._closes_empty_keys = True
                self._max_keys *= 2
        return claimed

    def _claim_round(
        self, slots: FreeSlots, total: OpenKey | None = None
    ) -> list[ClaimedJob] | None:
        """Claim jobs of the keys whose turn it is, and use their slots.

        Args:
            slots: for the jobs.
            total: the row above the keys, if there is one.

        Returns:
            The jobs; None if no key is open.
        """
        parent = "" if total is None else total.limit_key
        limit = max(self._max_keys, slots.total)
        keys = self._store.lock_open_keys(self._request, slots.kinds, parent, limit)
        if not keys:
            return None
        if total is not None:  # both rates must hold at the time that is written as the start
            keys = [key._replace(now=total.now) for key in keys]
        failpoint("limits.locked")
        # After the lock: else an operator's change, and its notice, may have come in between.
        self._limits = self._store.read_limits()
        running = self._count_running(keys)
        granted = {
            key.limit_key: grant(key, self._limits[key.name], running[key.limit_key])
            for key in keys
        }
        shares = share(keys, granted, self._limits, slots)
        # A key that may start jobs, and got no slot, keeps its turn.
        skipped = [key for key in keys if key.limit_key not in shares and granted[key.limit_key]]
        if self._closes_empty_keys:
            empty = [
                self._with_held(key.closed(key.free_at, key.open_at, key.turn_left))
                for key in skipped
                if not key.is_total
            ]
            self._store.close_keys(empty)
        are_all = len(keys) < limit and not skipped
        keys = [key for key in keys if key not in skipped]
        claimed = self._claim_of_keys(keys, shares, running, slots)
        has_more = not are_all or _may_have_more(keys, claimed, shares, granted)
        for key in keys:
            if key.is_total:
                claimed += self._claim_of_total(key, shares, running, slots)
        # After the loop, in which `_claim_of_total` sets it for the keys below a total.
        self._has_more = has_more
        return claimed

    def _count_running(self, keys: Sequence[OpenKey]) -> Counter[str]:
        """Return how many jobs of each key run; 0 for a key without a limit of them."""
        counted = [key for key in keys if max_running(key, self._limits[key.name]) is not None]
        single = [key for key in counted if not key.is_total]
        self._held = dict.fromkeys(key.limit_key for key in single)
        running: Counter[str] = Counter()
        for name, (count, first) in (self._store.count_held(single) if single else {}).items():
            running[name] = count
            self._held[name] = first
        for key in counted:
            if key.is_total:
                running[key.limit_key] = self._store.count_all_running(key.name)
        return running

    def _claim_of_keys(
        self,
        keys: Sequence[OpenKey],
        shares: Mapping[str, Share],
        running: Counter[str],
        slots: FreeSlots,
    ) -> list[ClaimedJob]:
        single = [key for key in keys if not key.is_total]
        counts = {key: shares[key.limit_key].jobs for key in single if key.limit_key in shares}
        claimed: list[ClaimedJob] = []
        if counts:
            claimed = self._store.claim_of_keys(
                self._worker, self._request, slots.kinds, counts, single[0].now
            )
            failpoint("limits.claimed")
        slots.use(claimed)
        started = Counter(job.limit_key for job in claimed)
        for job in claimed:
            if job.limit_key in self._held:
                place = (job.run_after, job.id)
                self._held[job.limit_key] = min(self._held[job.limit_key] or place, place)
        self._store.close_keys(
            [
                self._close(
                    key,
                    shares.get(key.limit_key),
                    running[key.limit_key],
                    started[key.limit_key],
                )
                for key in single
            ]
        )
        return claimed

    def _claim_of_total(
        self, total: OpenKey, shares: Mapping[str, Share], running: Counter[str], slots: FreeSlots
    ) -> list[ClaimedJob]:
        """Claim jobs of the keys of a limit that has numbers for all of them together."""
        share = shares.get(total.limit_key)
        allowed = slots.limited_to(share.jobs if share else 0)
        claimed = (allowed and self._claim_round(allowed, total)) or []
        slots.use(claimed)
        started = len(claimed)
        if share is not None and started < share.jobs:  # its keys may start no more
            share = Share(started, 0, share.rank)
        self._store.close_total(self._close(total, share, running[total.limit_key], started))
        return claimed

    def _close(self, key: OpenKey, share: Share | None, running: int, started: int) -> ClosedKey:
        """Return when a key is looked at next, and remember whether its rate holds it up."""
        numbers = self._limits[key.name]
        closed = close(key, numbers, share, running=running, started=started)
        if closed.open_at is not None and started == (share.jobs if share else 0):
            self.rate_in = max(self.rate_in, (closed.open_at - key.now) / 1_000_000)
        return self._with_held(closed)

    def _with_held(self, closed: ClosedKey) -> ClosedKey:
        """Write from where the next worker counts; from the start where this one has not counted.

        Jobs that were claimed without a count may have any place.
        """
        place = self._held.get(closed.limit_key, (FIRST_MOMENT, str(FIRST_ID)))
        if place is None:  # none runs, so the row is still right
            return closed
        return closed._replace(held_from=place[0], held_from_id=place[1])


def _may_have_more(
    keys: Sequence[OpenKey],
    claimed: Sequence[ClaimedJob],
    shares: Mapping[str, Share],
    granted: Mapping[str, float],
) -> bool:
    """Return whether keys may start more jobs than their shares of the free slots."""
    started = Counter(job.limit_key for job in claimed)
    return any(
        key.is_total or started[name] == shares[name].jobs < granted[name]
        for key in keys
        if (name := key.limit_key) in shares
    )


def _without_slots_of(jobs: Sequence[ClaimedJob], request: LimitedRequest) -> LimitedRequest:
    """Return a request after some of its slots were used for jobs."""
    asynchronous = sum(bool(job.is_async) for job in jobs)
    return replace(
        request,
        sync_slots=request.sync_slots - (len(jobs) - asynchronous),
        async_slots=request.async_slots - asynchronous,
    )
