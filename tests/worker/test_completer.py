"""Finished jobs in batches: all are written, even if the database refuses one of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import pytest
from django.db import DataError, Error, OperationalError

from offload import lifecycle
from offload.lifecycle import JobState
from offload.store.limit_records import LimitedRequest
from offload.store.records import (
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    ExchangeResult,
    FinishedJob,
    ProgressUpdates,
)
from offload.worker.completer import (
    MAX_BATCH_JOBS,
    MAX_RETRY_DELAY,
    PROGRESS_DELAY,
    RETRY_DELAY,
    BatchCompleter,
)
from tests.worker.clock import Clock

LOCK_TIMEOUT = OperationalError(1205, "Lock wait timeout exceeded")
CONNECTION_LOST = OperationalError("the connection is closed")
NO_CLAIM = ClaimRequest("default", ())


class FakeStore:
    """Writes every outcome except those of the jobs in `refused`."""

    def __init__(self) -> None:
        self.refused: dict[str, Error] = {}
        self.written: dict[str, str | None] = {}
        self.batches: list[int] = []
        self.progress: list[tuple[ClaimKey, str]] = []
        self.locked: set[ClaimKey] = set()
        self.refused_progress: Error | None = None

    def exchange(
        self,
        worker: str,
        batch: Sequence[FinishedJob],
        request: ClaimRequest,
        progress: ProgressUpdates = (),
        limited: LimitedRequest | None = None,
    ) -> ExchangeResult:
        self.batches.append(len(batch))
        if progress and self.refused_progress is not None:
            raise self.refused_progress
        for job, outcome in batch:
            if job.id in self.refused and (outcome.return_value or not job.worker_losses):
                raise self.refused[job.id]
        self.written |= {job.id: outcome.return_value for job, outcome in batch}
        free = [(key, text) for key, text in progress if key not in self.locked]
        self.progress += free
        return ExchangeResult(progress_written={key for key, _ in free})


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def completer(store: FakeStore, clock: Clock) -> BatchCompleter:
    return BatchCompleter(store, clock=clock)  # type: ignore[arg-type]


def finished(count: int, *, lost: int = 0) -> list[FinishedJob]:
    jobs = [
        ClaimedJob(*[str(n), 1, 1, "path", *[None] * 12, lost, 3, "", "", "", 0, "w"])  # type: ignore[arg-type]
        for n in range(count)
    ]
    return [(job, lifecycle.succeeded("1")) for job in jobs]


type Write = Callable[[int], None]


@pytest.fixture
def write(completer: BatchCompleter, clock: Clock) -> Write:
    """Return a function that writes batches, so far apart that quarantined outcomes are due."""

    def write(times: int) -> None:
        for _ in range(times):
            clock.now += MAX_RETRY_DELAY
            if completer.has_batch:
                with contextlib.suppress(Error):
                    completer.exchange("worker", NO_CLAIM)

    return write


def test_after_an_outage_batches_grow_again(
    completer: BatchCompleter, store: FakeStore, write: Write
) -> None:
    completer.add(finished(5_000))
    store.refused = {str(n): CONNECTION_LOST for n in range(5_000)}
    write(4)
    store.refused = {}
    write(16)
    assert not completer
    assert len(store.written) == 5_000
    assert max(store.batches) == MAX_BATCH_JOBS


def test_a_completer_with_four_full_batches_is_full(completer: BatchCompleter) -> None:
    completer.add(finished(4 * MAX_BATCH_JOBS - 1))
    assert not completer.is_full
    completer.add(finished(1))
    assert completer.is_full


def test_an_outcome_whose_row_is_locked_waits_while_others_are_written(
    completer: BatchCompleter, store: FakeStore, write: Write
) -> None:
    completer.add(finished(100))
    store.refused = {"50": LOCK_TIMEOUT}
    write(60)
    assert len(store.written) == 99
    assert completer.keys == {("50", 1)}
    store.refused = {}
    write(1)
    assert not completer
    assert store.written["50"] == "1"


@pytest.mark.parametrize(
    "error",
    [
        DataError("value out of range"),
        OperationalError(1366, "Incorrect string value"),  # MariaDB
    ],
)
def test_an_outcome_that_cannot_be_stored_becomes_a_failure(
    completer: BatchCompleter, store: FakeStore, error: Error, write: Write
) -> None:
    completer.add(finished(3, lost=1))
    store.refused = {"1": error}
    write(10)
    assert not completer
    assert store.written == {"0": "1", "1": None, "2": "1"}


def test_an_outcome_that_fails_five_times_while_others_are_written_becomes_a_failure(
    completer: BatchCompleter, store: FakeStore, write: Write
) -> None:
    store.refused = {"0": OperationalError(2006, "Server has gone away")}
    stubborn, other = finished(2, lost=1)
    completer.add([stubborn])
    for _ in range(12):
        completer.add([other])
        write(3)
    write(10)
    assert not completer
    assert store.written["0"] is None


def test_outcomes_wait_for_others_until_half_a_batch_is_complete(
    completer: BatchCompleter,
) -> None:
    completer.add(finished(1))
    assert completer.due_in() == 0
    assert 0 < completer.due_in(linger=60) <= 60
    assert completer.is_gathering

    completer.add(finished(MAX_BATCH_JOBS // 2 - 1))
    assert completer.due_in(linger=60) == 0


def test_a_quarantined_outcome_does_not_wait_for_others(
    completer: BatchCompleter, store: FakeStore, write: Write
) -> None:
    completer.add(finished(1))
    store.refused = {"0": LOCK_TIMEOUT}
    write(1)
    assert completer
    assert not completer.is_gathering


def test_an_outcome_that_the_task_wrote_itself_is_not_written_again(
    completer: BatchCompleter,
) -> None:
    ((job, outcome),) = finished(1)
    completer.add([(job, outcome._replace(written=True))])
    assert not completer
    assert completer.due_in() == float("inf")
    assert JobState(outcome.state) == JobState.SUCCESSFUL


# --- progress -----------------------------------------------------------------------------

KEY, OTHER = ("0", 1), ("1", 1)


def test_progress_is_due_soon_and_only_the_newest_is_written(
    completer: BatchCompleter, store: FakeStore
) -> None:
    completer.add_progress({})
    assert completer.due_in() == float("inf")
    completer.add_progress({KEY: "1", OTHER: "5"})
    completer.add_progress({KEY: "2"})
    assert 0 < completer.due_in() <= PROGRESS_DELAY

    completer.exchange("worker", NO_CLAIM)

    assert store.progress == [(KEY, "2"), (OTHER, "5")]
    assert not completer.has_progress
    assert completer.due_in() == float("inf")


def test_progress_of_a_locked_row_is_kept_and_written_later(
    completer: BatchCompleter, store: FakeStore
) -> None:
    store.locked = {KEY}
    completer.add_progress({KEY: "1", OTHER: "5"})
    completer.exchange("worker", NO_CLAIM)
    assert PROGRESS_DELAY < completer.due_in() <= RETRY_DELAY

    store.locked = set()
    completer.exchange("worker", NO_CLAIM)

    assert store.progress == [(OTHER, "5"), (KEY, "1")]


def test_progress_is_discarded_with_the_outcome_and_with_the_job(
    completer: BatchCompleter, store: FakeStore
) -> None:
    store.locked = {KEY, OTHER}
    completer.add_progress({KEY: "1", OTHER: "5"})
    completer.add(finished(1))
    completer.exchange("worker", NO_CLAIM)
    assert completer.has_progress

    completer.retain_progress({OTHER})
    assert completer.has_progress
    completer.retain_progress(set())

    assert not completer.has_progress
    assert completer.due_in() == float("inf")


def test_a_heartbeat_that_finds_all_jobs_held_does_not_delay_progress(
    completer: BatchCompleter,
) -> None:
    completer.add_progress({KEY: "1"})

    completer.retain_progress({KEY, OTHER})

    assert completer.due_in() <= PROGRESS_DELAY


def test_progress_of_an_outcome_that_is_written_already_is_not_written_again(
    completer: BatchCompleter, store: FakeStore
) -> None:
    ((job, outcome),) = finished(1)
    completer.add_progress({KEY: "1"})
    completer.add([(job, outcome._replace(written=True))])

    assert not completer.has_progress
    assert completer.due_in() == float("inf")
    assert not completer


def test_progress_survives_an_outage(
    completer: BatchCompleter, store: FakeStore, write: Write
) -> None:
    store.refused = {"0": CONNECTION_LOST}
    completer.add(finished(1))
    completer.add_progress({KEY: "1"})
    write(2)

    store.refused = {}
    write(1)

    assert store.progress == [(KEY, "1")]
    assert not completer


def test_refused_progress_does_not_keep_outcomes_from_being_written(
    completer: BatchCompleter, store: FakeStore, write: Write
) -> None:
    store.refused_progress = DataError("no such character")
    completer.add(finished(2_000))
    completer.add_progress({KEY: "1"})

    write(3)

    assert len(store.written) == 2_000
    assert max(store.batches) == MAX_BATCH_JOBS
    assert not completer
    assert not completer.has_progress
