"""A schedule's ticks, and which of those that are due become jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.policies.ticks import MAX_CATCH_UP, MAX_COUNTED, Rules, Timing, Verdict, judge

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = 1_772_366_400_000_000
HOURLY = Timing("0 * * * *", None, "UTC")
DAILY = Timing("0 3 * * *", None, "Europe/Berlin")


def rules(
    catch_up: str = "once", deadline: int | None = None, overlap: str = "skip", jitter: int = 0
) -> Rules:
    return Rules("nightly", jitter, catch_up, deadline, overlap)


def decide(rules: Rules, now: int, *, tick: int = NOON, is_busy: bool = False) -> Verdict:
    verdict = judge(HOURLY, rules, tick, now=now, is_busy=is_busy)
    assert verdict is not None
    return verdict


def test_an_interval_keeps_its_phase() -> None:
    timing = Timing("", 7 * MINUTE, "UTC", start=NOON)

    assert timing.next_after(0) == NOON
    assert timing.next_after(NOON) == NOON + 7 * MINUTE
    assert timing.next_after(NOON + 20 * MINUTE) == NOON + 21 * MINUTE


def test_without_a_start_its_phase_is_that_of_whole_intervals_since_1970() -> None:
    assert Timing("", 5 * MINUTE, "UTC").next_after(NOON + 1) == NOON + 5 * MINUTE


def test_an_interval_is_elapsed_time() -> None:
    """A day of 23 hours does not move it."""
    midnight = int(datetime(2026, 3, 28, tzinfo=UTC).timestamp()) * 1_000_000
    timing = Timing("", DAY, "Europe/Berlin", start=midnight)

    assert list(islice(timing.ticks_after(midnight), 2)) == [midnight + DAY, midnight + 2 * DAY]


def test_no_tick_is_before_the_start_or_after_the_end() -> None:
    timing = HOURLY._replace(start=NOON, end=NOON + 2 * HOUR)

    assert list(timing.ticks_after(0)) == [NOON, NOON + HOUR, NOON + 2 * HOUR]


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(0, 400 * DAY), st.sampled_from(["0 3 * * *", "5 * 1 * *"]))
def test_the_latest_ticks_are_those_that_come_last(count: int, length: int, cron: str) -> None:
    timing = Timing(cron, None, "Europe/Berlin")

    latest = timing.latest(count, first=NOON, last=NOON + length)

    assert latest == list(timing.between(NOON, NOON + length))[-count:]


def test_a_tick_on_time_becomes_a_job_in_each_mode() -> None:
    for catch_up in ("once", "all", "skip"):
        verdict = decide(rules(catch_up, overlap="allow"), NOON + 1000)
        assert verdict == Verdict([NOON], NOON, 0, "", NOON + HOUR)


@pytest.mark.parametrize(
    ("catch_up", "ticks", "skipped"),
    [("once", [3], 3), ("all", [0, 1, 2, 3], 0), ("skip", [], 4)],
)
def test_missed_ticks_are_made_up_for_as_the_mode_says(
    catch_up: str, ticks: list[int], skipped: int
) -> None:
    verdict = decide(rules(catch_up, overlap="allow"), NOON + 3 * HOUR + 30 * MINUTE)

    assert verdict.ticks == [NOON + hour * HOUR for hour in ticks]
    assert verdict.skipped == skipped
    assert verdict.why == ("catch_up" if skipped else "")
    assert verdict.next_tick == NOON + 4 * HOUR


def test_a_long_outage_is_made_up_for_by_a_hundred_jobs_at_most() -> None:
    verdict = decide(rules("all", overlap="allow"), NOON + 365 * DAY)

    assert len(verdict.ticks) == MAX_CATCH_UP
    assert verdict.ticks[-1] == verdict.last == NOON + 365 * DAY
    assert verdict.skipped == MAX_COUNTED - MAX_CATCH_UP


def test_a_tick_after_its_deadline_is_dropped() -> None:
    verdict = decide(rules("all", deadline=2 * HOUR, overlap="allow"), NOON + 3 * HOUR + MINUTE)

    assert verdict.ticks == [NOON + 2 * HOUR, NOON + 3 * HOUR]
    assert (verdict.skipped, verdict.why) == (2, "deadline")


@pytest.mark.parametrize(("overlap", "jobs"), [("skip", 0), ("allow", 1), ("wait", 1)])
def test_a_tick_whose_predecessor_runs_is_skipped_unless_it_may_overlap(
    overlap: str, jobs: int
) -> None:
    verdict = decide(rules(overlap=overlap), NOON, is_busy=True)

    assert len(verdict.ticks) == jobs
    assert verdict.why == ("" if jobs else "overlap")
    assert verdict.next_tick == NOON + HOUR


def test_jitter_is_even_and_always_the_same() -> None:
    delays = [rules(jitter=MINUTE).run_at(NOON + n * HOUR) - NOON - n * HOUR for n in range(2000)]

    assert all(0 <= delay < MINUTE for delay in delays)
    quarters = [sum(4 * delay // MINUTE == quarter for delay in delays) for quarter in range(4)]
    assert all(400 <= count <= 600 for count in quarters), quarters
    assert rules(jitter=MINUTE).run_at(NOON) == rules(jitter=MINUTE).run_at(NOON)
    other = rules(jitter=MINUTE)._replace(name="other")
    assert other.run_at(NOON) != rules(jitter=MINUTE).run_at(NOON)


def test_a_tick_is_not_due_before_its_delay_is_over() -> None:
    delayed = rules(jitter=MINUTE)
    run_at = delayed.run_at(NOON)

    assert judge(HOURLY, delayed, NOON, now=run_at - 1, is_busy=False) is None
    assert decide(delayed, run_at).ticks == [NOON]


@settings(max_examples=25)
@given(
    st.sampled_from(["once", "all", "skip"]),
    st.integers(0, 30 * DAY),
    st.sampled_from([DAILY, HOURLY, Timing("", 7 * MINUTE, "UTC"), Timing("", DAY, "UTC", NOON)]),
    st.booleans(),
)
def test_every_due_tick_becomes_a_job_or_is_counted(
    catch_up: str, length: int, timing: Timing, is_busy: bool
) -> None:
    tick = timing.next_after(NOON)
    assert tick is not None
    now = tick + length

    verdict = judge(timing, rules(catch_up), tick, now=now, is_busy=is_busy)

    assert verdict is not None
    due = len(list(islice(timing.between(tick, now), MAX_COUNTED)))
    assert len(verdict.ticks) + verdict.skipped == due
    assert verdict.next_tick is not None
    assert verdict.last <= now < verdict.next_tick
