"""Outcomes on their way: all are written, whatever gets in the way of one of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.db import DataError, Error, OperationalError

from offload import lifecycle
from offload.lifecycle import JobState
from offload.store.records import (
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    ExchangeResult,
    FinishedJob,
    ProgressUpdates,
)
from offload.worker import completer as module
from offload.worker.completer import (
    BATCH,
    FULL,
    PROGRESS_AGAIN,
    PROGRESS_LINGER,
    SHARE,
    BatchCompleter,
)

LOCK_TIMEOUT = OperationalError(1205, "Lock wait timeout exceeded")
GONE = OperationalError("the connection is closed")
NOWHERE = ClaimRequest("default", ())


class Table:
    """Takes every outcome but those of the jobs in `refused`."""

    def __init__(self) -> None:
        self.refused: dict[str, Error] = {}
        self.written: dict[str, str | None] = {}
        self.batches: list[int] = []
        self.moved: list[tuple[ClaimKey, str]] = []
        self.locked: set[ClaimKey] = set()
        self.refused_progress: Error | None = None

    def exchange(
        self,
        worker: str,
        batch: Sequence[FinishedJob],
        room: ClaimRequest,
        progress: ProgressUpdates = (),
    ) -> ExchangeResult:
        self.batches.append(len(batch))
        if progress and self.refused_progress is not None:
            raise self.refused_progress
        for job, outcome in batch:
            if job.id in self.refused and (outcome.return_value or not job.worker_losses):
                raise self.refused[job.id]
        self.written |= {job.id: outcome.return_value for job, outcome in batch}
        free = [(key, text) for key, text in progress if key not in self.locked]
        self.moved += free
        return ExchangeResult(progress_written={key for key, _ in free})


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(module, "ASIDE", 0.0)
    return Table()


@pytest.fixture
def outbox(table: Table) -> BatchCompleter:
    return BatchCompleter(table)  # type: ignore[arg-type]


def ended(count: int, *, lost: int = 0) -> list[FinishedJob]:
    jobs = [
        ClaimedJob._make([str(n), 1, 1, "path", *[None] * 12, lost, 3, "", "", "", "w", ()])
        for n in range(count)
    ]
    return [(job, lifecycle.succeeded("1")) for job in jobs]


def write(outbox: BatchCompleter, times: int) -> None:
    for _ in range(times):
        batch = outbox.next_batch()
        if batch:
            try:
                outbox.exchange("worker", batch, NOWHERE)
            except Error:
                continue


def test_after_an_outage_batches_grow_again(outbox: BatchCompleter, table: Table) -> None:
    outbox.add(ended(5_000))
    table.refused = {str(n): GONE for n in range(5_000)}
    write(outbox, 4)
    table.refused = {}
    write(outbox, 16)
    assert not outbox
    assert len(table.written) == 5_000
    assert max(table.batches) == BATCH


def test_nothing_more_is_claimed_while_a_batch_waits(outbox: BatchCompleter) -> None:
    outbox.add(ended(FULL - 1))
    assert not outbox.is_full
    outbox.add(ended(1))
    assert outbox.is_full


def test_an_outcome_whose_row_is_locked_waits_and_the_others_go_on(
    outbox: BatchCompleter, table: Table
) -> None:
    outbox.add(ended(100))
    table.refused = {"50": LOCK_TIMEOUT}
    write(outbox, 60)
    assert len(table.written) == 99
    assert outbox.keys == {("50", 1)}
    table.refused = {}
    write(outbox, 1)
    assert not outbox
    assert table.written["50"] == "1"


@pytest.mark.parametrize(
    "error",
    [
        DataError("value out of range"),
        OperationalError(1366, "Incorrect string value"),  # so says MariaDB
    ],
)
def test_an_outcome_that_cannot_be_stored_becomes_a_failure(
    outbox: BatchCompleter, table: Table, error: Error
) -> None:
    outbox.add(ended(3, lost=1))
    table.refused = {"1": error}
    write(outbox, 10)
    assert not outbox
    assert table.written == {"0": "1", "1": None, "2": "1"}


def test_one_that_only_this_database_refuses_is_given_up_after_others_were_written(
    outbox: BatchCompleter, table: Table
) -> None:
    table.refused = {"0": OperationalError(2006, "Server has gone away")}
    stubborn, other = ended(2, lost=1)
    outbox.add([stubborn])
    for _ in range(12):
        outbox.add([other])
        write(outbox, 3)
    write(outbox, 10)
    assert not outbox
    assert table.written["0"] is None


def test_outcomes_linger_for_each_other_until_they_are_worth_a_transaction(
    outbox: BatchCompleter,
) -> None:
    outbox.add(ended(1))
    assert outbox.due_in() == 0
    assert 0 < outbox.due_in(linger=60) <= 60
    assert outbox.is_gathering

    outbox.add(ended(SHARE - 1))
    assert outbox.due_in(linger=60) == 0


def test_one_set_aside_gathers_no_others(outbox: BatchCompleter, table: Table) -> None:
    outbox.add(ended(1))
    table.refused = {"0": LOCK_TIMEOUT}
    write(outbox, 1)
    assert outbox
    assert not outbox.is_gathering


def test_what_the_task_wrote_itself_is_not_written_again(outbox: BatchCompleter) -> None:
    ((job, outcome),) = ended(1)
    outbox.add([(job, outcome._replace(written=True))])
    assert not outbox
    assert outbox.due_in() == float("inf")
    assert JobState(outcome.state) == JobState.SUCCESSFUL


# --- progress -----------------------------------------------------------------------------

KEY, OTHER = ("0", 1), ("1", 1)


def test_progress_is_due_soon_and_only_the_newest_is_written(
    outbox: BatchCompleter, table: Table
) -> None:
    outbox.note({})
    assert outbox.due_in() == float("inf")
    outbox.note({KEY: "1", OTHER: "5"})
    outbox.note({KEY: "2"})
    assert 0 < outbox.due_in() <= PROGRESS_LINGER

    outbox.exchange("worker", [], NOWHERE)

    assert table.moved == [(KEY, "2"), (OTHER, "5")]
    assert not outbox.has_progress
    assert outbox.due_in() == float("inf")


def test_progress_of_a_row_that_was_locked_is_kept_and_written_a_little_later(
    outbox: BatchCompleter, table: Table
) -> None:
    table.locked = {KEY}
    outbox.note({KEY: "1", OTHER: "5"})
    outbox.exchange("worker", [], NOWHERE)
    assert PROGRESS_LINGER < outbox.due_in() <= PROGRESS_AGAIN

    table.locked = set()
    outbox.exchange("worker", [], NOWHERE)

    assert table.moved == [(OTHER, "5"), (KEY, "1")]


def test_progress_is_forgotten_with_the_outcome_and_with_the_job(
    outbox: BatchCompleter, table: Table
) -> None:
    table.locked = {KEY, OTHER}
    outbox.note({KEY: "1", OTHER: "5"})
    outbox.add(ended(1))
    outbox.exchange("worker", outbox.next_batch(), NOWHERE)
    assert outbox.has_progress

    outbox.forget_progress({OTHER})
    assert outbox.has_progress
    outbox.forget_progress(set())

    assert not outbox.has_progress
    assert outbox.due_in() == float("inf")


def test_a_beat_that_finds_all_jobs_held_does_not_put_progress_off(outbox: BatchCompleter) -> None:
    outbox.note({KEY: "1"})

    outbox.forget_progress({KEY, OTHER})

    assert outbox.due_in() <= PROGRESS_LINGER


def test_progress_of_an_outcome_that_is_written_already_is_not_written_again(
    outbox: BatchCompleter, table: Table
) -> None:
    ((job, outcome),) = ended(1)
    outbox.note({KEY: "1"})
    outbox.add([(job, outcome._replace(written=True))])

    assert not outbox.has_progress
    assert outbox.due_in() == float("inf")
    assert not outbox


def test_progress_survives_an_outage(outbox: BatchCompleter, table: Table) -> None:
    table.refused = {"0": GONE}
    outbox.add(ended(1))
    outbox.note({KEY: "1"})
    write(outbox, 2)

    table.refused = {}
    write(outbox, 1)

    assert table.moved == [(KEY, "1")]
    assert not outbox


def test_progress_that_the_database_refuses_keeps_no_outcome_from_being_written(
    outbox: BatchCompleter, table: Table
) -> None:
    table.refused_progress = DataError("no such character")
    outbox.add(ended(2_000))
    outbox.note({KEY: "1"})

    write(outbox, 3)

    assert len(table.written) == 2_000
    assert max(table.batches) == BATCH
    assert not outbox
    assert not outbox.has_progress
