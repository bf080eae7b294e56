"""When a worker looks for jobs with a limit, and how many it claims."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from offload.store.limit_records import LimitedRequest, LimitedResult
from offload.store.records import ExchangeResult
from offload.worker.claiming.limited_jobs import MAX_DELAY, MIN_DELAY, LimitedJobs
from offload.worker.claiming.served_queues import ServedQueues
from offload.worker.timers import NEVER
from tests.worker.clock import Clock

BOTH = LimitedRequest("default", (), (), sync_slots=1, async_slots=1)
"""A request for jobs of both kinds."""


@dataclass
class FakePool:
    """A pool with slots for sync jobs only."""

    threads: int = 4
    held: list[Any] = field(default_factory=list)

    def slots(self, *, is_async: bool) -> int:
        return 0 if is_async else self.threads

    def free_slots(self, *, is_async: bool) -> int:
        return 0 if is_async else max(0, self.threads - len(self.held))

    def held_jobs(self) -> list[Any]:
        return self.held


class FakeJob:
    is_async = False

    def __init__(self, limit_key: str | None = "crm:1") -> None:
        self.limit_key = limit_key


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(clock: Clock) -> LimitedJobs:
    return LimitedJobs(ServedQueues("default"), clock=clock)


def result(due_in: float | None, claimed: int = 0, rate_in: float = 0.0) -> ExchangeResult:
    jobs: list[Any] = [FakeJob() for _ in range(claimed)]
    return ExchangeResult(claimed=jobs, limited=LimitedResult(due_in, rate_in))


def requested(limited: LimitedJobs, pool: Any, *expected_kinds: bool) -> int:
    request = limited.request(pool, expected_kinds)
    return 0 if request is None else request.sync_slots


def test_all_free_slots_are_used_if_no_other_job_is_expected(limited: LimitedJobs) -> None:
    assert requested(limited, FakePool(held=[FakeJob(None)])) == 3


def test_other_jobs_keep_half_of_the_slots(limited: LimitedJobs) -> None:
    pool = FakePool()
    assert requested(limited, pool, False) == 2
    pool.held = [FakeJob(), FakeJob()]
    assert requested(limited, pool, False) == 0
    assert limited.due_in(pool, (False,)) == NEVER  # type: ignore[arg-type]
    pool.held = [FakeJob(), FakeJob(None), FakeJob(None)]
    assert requested(limited, pool, False) == 1


def test_an_only_slot_is_theirs_and_the_others_in_turn(limited: LimitedJobs) -> None:
    pool = FakePool(threads=1)
    turns = []
    for _ in range(4):
        turns.append(requested(limited, pool, False))
        limited.learn(BOTH, result(0.0, claimed=1))
        limited.expect()
    assert turns == [1, 0, 1, 0]


def test_nothing_is_requested_while_no_job_may_start(limited: LimitedJobs, clock: Clock) -> None:
    limited.learn(BOTH, result(None))
    assert limited.due_in(FakePool(), ()) == NEVER  # type: ignore[arg-type]
    limited.expect_in(2.0)
    assert not requested(limited, FakePool())
    clock.now += 2.0
    assert requested(limited, FakePool()) == 4


def test_a_poll_that_finds_none_ends_the_expectation(limited: LimitedJobs) -> None:
    limited.expect_in(None)
    assert limited.due_at == NEVER
    assert not limited.are_left


def test_looks_that_find_nothing_become_rarer(limited: LimitedJobs, clock: Clock) -> None:
    delays = []
    for _ in range(8):
        limited.learn(BOTH, result(0.0))
        delays.append(limited.due_at - clock.now)
        clock.now = limited.due_at
    assert delays[:3] == pytest.approx([MIN_DELAY, 2 * MIN_DELAY, 4 * MIN_DELAY])
    assert delays[-1] == pytest.approx(MAX_DELAY)
    limited.learn(BOTH, result(0.0, claimed=1))
    assert limited.is_due(is_async=False)


@pytest.mark.parametrize(
    ("due_in", "claimed", "rate_in", "are_left"),
    [
        pytest.param(None, 0, 0.0, False, id="none"),
        pytest.param(0.0, 1, 0.0, True, id="more"),
        pytest.param(0.25, 0, 0.0, False, id="those of other workers"),
        pytest.param(0.25, 0, 5.0, True, id="soon"),
        pytest.param(3600.0, 0, 3600.0, False, id="late"),
    ],
)
def test_a_drain_waits_for_jobs_that_may_start_soon(
    limited: LimitedJobs, due_in: float | None, claimed: int, rate_in: float, are_left: bool
) -> None:
    limited.learn(BOTH, result(due_in, claimed, rate_in))
    assert limited.are_left is are_left


def test_a_look_for_one_kind_says_nothing_of_the_other(limited: LimitedJobs) -> None:
    pool = FakePool(held=[FakeJob(None)] * 4)
    limited.learn(replace(BOTH, sync_slots=0), result(0.0))
    assert limited.is_due(is_async=False)
    assert not limited.is_due(is_async=True)
    assert limited.due_in(pool, ()) == pytest.approx(MIN_DELAY)  # type: ignore[arg-type]
    pool.held = []
    assert requested(limited, pool) == 4
