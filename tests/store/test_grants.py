"""Grants compared with a plain model: a bucket of tokens, and a count of running jobs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from fractions import Fraction
from itertools import cycle, islice

from hypothesis import given
from hypothesis import strategies as st

from offload.store.grants import RECHECK_MICROSECONDS, FreeSlots, close, grant, share
from offload.store.limit_records import LimitNumbers, OpenKey, Share

START = 1_700_000_000_000_000

intervals = st.integers(1, 5_000_000)
bursts = st.integers(1, 20)
steps = st.lists(
    st.tuples(
        st.integers(0, 10_000_000) | st.just(0),  # microseconds since the step before
        st.integers(0, 30),  # free slots of the worker
        st.integers(0, 30),  # jobs in the line
        st.integers(0, 30),  # running jobs that finish before
    ),
    max_size=30,
)


def open_key(name: str = "a", **columns: object) -> OpenKey:
    values = {"is_async": False, "max_running": None, "free_at": 0, "now": START, **columns}
    return OpenKey(f"limit:{name}", "limit", **values)  # type: ignore[arg-type]


@given(interval=intervals, burst=bursts, most=st.integers(0, 20) | st.none(), steps=steps)
def test_a_key_is_granted_what_a_bucket_and_a_count_allow(
    interval: int, burst: int, most: int | None, steps: list[tuple[int, int, int, int]]
) -> None:
    numbers = LimitNumbers(max_running=most, interval=interval, burst=burst)
    key, running, tokens = open_key(), 0, Fraction(burst)
    for passed, slots, waiting, ended in steps:
        key = key._replace(now=key.now + passed)
        tokens = min(Fraction(burst), tokens + Fraction(passed, interval))
        running -= min(ended, running)
        free = int(tokens) if most is None else min(int(tokens), max(0, most - running))

        granted = grant(key, numbers, running)

        assert granted == free
        asked = int(min(granted, slots))
        started = min(asked, waiting)
        closed = close(key, numbers, Share(asked, 0, 0), running=running, started=started)
        running, tokens = running + started, tokens - started
        key = key._replace(free_at=closed.free_at)
        if most is not None and running >= most:
            assert closed.open_at is None
            continue
        assert closed.open_at is not None
        assert grant(key._replace(now=closed.open_at), numbers, running) >= 1
        wait = RECHECK_MICROSECONDS if started < asked else 0
        if closed.open_at > key.now + wait:  # no later than the rate says
            assert grant(key._replace(now=closed.open_at - 1), numbers, running) == 0


@given(interval=intervals, burst=bursts, steps=steps, back=st.integers(0, 999_999))
def test_no_window_has_more_starts_than_the_rate_allows_although_clocks_are_read_early(
    interval: int, burst: int, steps: list[tuple[int, int, int, int]], back: int
) -> None:
    numbers = LimitNumbers(interval=interval, burst=burst)
    key, starts = open_key(), []
    for number, (passed, slots, _, _) in enumerate(steps):
        key = key._replace(now=key.now + passed)
        early = key._replace(now=key.now - back * (number % 2))
        started = int(min(grant(early, numbers, 0), slots))
        closed = close(early, numbers, Share(started, 0, 0), running=0, started=started)
        starts += [early.now] * started
        key = key._replace(free_at=closed.free_at)

    starts.sort()
    for first, since in enumerate(starts):
        for last in range(first, len(starts)):
            assert last - first + 1 <= burst + Fraction(starts[last] - since, interval)


@given(
    sync=st.integers(0, 20),
    asynchronous=st.integers(0, 20),
    kinds=st.lists(st.sampled_from([False, True, None]), max_size=12),
    data=st.data(),
)
def test_shares_fit_into_the_slots_and_leave_none_that_could_be_used(
    sync: int, asynchronous: int, kinds: list[bool | None], data: st.DataObject
) -> None:
    keys = [open_key(str(number), is_async=kind) for number, kind in enumerate(kinds)]
    granted = {key.limit_key: data.draw(st.integers(0, 30)) for key in keys}
    slots = FreeSlots(sync, asynchronous, sync + asynchronous)

    limits = defaultdict[str, LimitNumbers](LimitNumbers)
    shares = {key: got.jobs for key, got in share(keys, granted, limits, slots).items()}

    assert all(0 < count <= granted[key] for key, count in shares.items())
    for slots_of_kind, kind in ((sync, False), (asynchronous, True)):
        use = sum(shares.get(key.limit_key, 0) for key in keys if key.is_async is kind)
        assert use <= slots_of_kind
    if all(kind is False for kind in kinds):
        able = [key.limit_key for key in keys if granted[key.limit_key]]
        assert len(shares) == min(sync, len(able))
        equal = -(-sync // max(1, len(able)))
        assert all(shares.get(key, 0) >= min(granted[key], equal) for key in able[:1])
        if able == list(shares) and len(able) == 1:  # a lone key takes everything
            assert shares[able[0]] == min(sync, granted[able[0]])


@given(
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=40),
    slots=st.lists(st.integers(1, 50), min_size=1, max_size=60),
)
def test_keys_with_many_jobs_start_them_one_turn_after_the_other(
    weights: list[int], slots: list[int]
) -> None:
    """However few slots are free at once, each key starts as many jobs in a turn as it weighs."""
    keys = [open_key(str(number), weight=value) for number, value in enumerate(weights)]
    turns = cycle(
        key.limit_key for key, value in zip(keys, weights, strict=True) for _ in range(value)
    )
    expected, started = Counter[str](), Counter[str]()
    for passed, free in enumerate(slots, 1):
        now = START + passed * 1_000
        keys = [key._replace(now=now) for key in sorted(keys, key=lambda key: key.open_at)]
        expected.update(islice(turns, free))

        keys = serve(keys, FreeSlots(free, 0, free), started)

        assert started == expected


def serve(keys: list[OpenKey], slots: FreeSlots, started: Counter[str]) -> list[OpenKey]:
    """Start jobs of keys whose lines are long; return the keys as they are written."""
    limits = defaultdict[str, LimitNumbers](LimitNumbers)
    shares = share(keys, {key.limit_key: math.inf for key in keys}, limits, slots)
    started.update({key: got.jobs for key, got in shares.items()})
    served = []
    for key in keys:
        got = shares.get(key.limit_key)
        if got is None:
            served.append(key)
            continue
        closed = close(key, LimitNumbers(), got, running=0, started=got.jobs)
        served.append(key._replace(open_at=closed.open_at or 0, turn_left=closed.turn_left))
    return served


@given(
    weights=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    lines=st.lists(st.integers(0, 30), min_size=20, max_size=20),
    free=st.integers(1, 60),
)
def test_no_slot_is_left_while_a_job_of_any_key_waits(
    weights: list[int], lines: list[int], free: int
) -> None:
    keys = [open_key(str(number), weight=value) for number, value in enumerate(weights)]
    granted = {key.limit_key: line for key, line in zip(keys, lines, strict=False)}
    limits = defaultdict[str, LimitNumbers](LimitNumbers)

    shares = share(keys, granted, limits, FreeSlots(free, 0, free))

    assert sum(got.jobs for got in shares.values()) == min(free, sum(granted.values()))


def test_a_key_that_can_start_no_more_jobs_loses_the_rest_of_its_turn() -> None:
    numbers = LimitNumbers(max_running=2)
    key = open_key(weight=5, open_at=START - 9)
    (got,) = share([key], {key.limit_key: 2}, {"limit": numbers}, FreeSlots(9, 0, 9)).values()

    closed = close(key, numbers, got, running=0, started=2)

    assert (got.turn_left, closed.turn_left, closed.open_at) == (0, 0, None)
