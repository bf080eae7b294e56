"""Outcomes on their way: all are written, whatever gets in the way of one of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.db import DataError, Error, OperationalError

from offload import lifecycle
from offload.lifecycle import JobState
from offload.store.records import ClaimedJob, Ended, Exchange, Moved, Room
from offload.worker import outbox as module
from offload.worker.outbox import BATCH, FULL, SHARE, Outbox

LOCK_TIMEOUT = OperationalError(1205, "Lock wait timeout exceeded")
GONE = OperationalError("the connection is closed")
NOWHERE = Room("default", ())


class Table:
    """Takes every outcome but those of the jobs in `refused`."""

    def __init__(self) -> None:
        self.refused: dict[str, Error] = {}
        self.written: dict[str, str | None] = {}
        self.batches: list[int] = []

    def exchange(
        self, worker: str, batch: Sequence[Ended], room: Room, progress: Moved = ()
    ) -> Exchange:
        self.batches.append(len(batch))
        for job, outcome in batch:
            if job.id in self.refused and (outcome.return_value or not job.lost):
                raise self.refused[job.id]
        self.written |= {job.id: outcome.return_value for job, outcome in batch}
        return Exchange()


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(module, "ASIDE", 0.0)
    return Table()


@pytest.fixture
def outbox(table: Table) -> Outbox:
    return Outbox(table)  # type: ignore[arg-type]


def ended(count: int, *, lost: int = 0) -> list[Ended]:
    jobs = [
        ClaimedJob._make([str(n), 1, 1, "path", *[None] * 12, lost, 3, "", "", "", "w", ()])
        for n in range(count)
    ]
    return [(job, lifecycle.succeeded("1")) for job in jobs]


def write(outbox: Outbox, times: int) -> None:
    for _ in range(times):
        batch = outbox.next_batch()
        if batch:
            try:
                outbox.exchange("worker", batch, NOWHERE)
            except Error:
                continue


def test_after_an_outage_batches_grow_again(outbox: Outbox, table: Table) -> None:
    outbox.add(ended(5_000))
    table.refused = {str(n): GONE for n in range(5_000)}
    write(outbox, 4)
    table.refused = {}
    write(outbox, 16)
    assert not outbox
    assert len(table.written) == 5_000
    assert max(table.batches) == BATCH


def test_nothing_more_is_claimed_while_a_batch_waits(outbox: Outbox) -> None:
    outbox.add(ended(FULL - 1))
    assert not outbox.is_full
    outbox.add(ended(1))
    assert outbox.is_full


def test_an_outcome_whose_row_is_locked_waits_and_the_others_go_on(
    outbox: Outbox, table: Table
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
    outbox: Outbox, table: Table, error: Error
) -> None:
    outbox.add(ended(3, lost=1))
    table.refused = {"1": error}
    write(outbox, 10)
    assert not outbox
    assert table.written == {"0": "1", "1": None, "2": "1"}


def test_one_that_only_this_database_refuses_is_given_up_after_others_were_written(
    outbox: Outbox, table: Table
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


def test_outcomes_linger_for_each_other_until_they_are_worth_a_transaction(outbox: Outbox) -> None:
    outbox.add(ended(1))
    assert outbox.due_in() == 0
    assert 0 < outbox.due_in(linger=60) <= 60
    assert outbox.is_gathering

    outbox.add(ended(SHARE - 1))
    assert outbox.due_in(linger=60) == 0


def test_one_set_aside_gathers_no_others(outbox: Outbox, table: Table) -> None:
    outbox.add(ended(1))
    table.refused = {"0": LOCK_TIMEOUT}
    write(outbox, 1)
    assert outbox
    assert not outbox.is_gathering


def test_what_the_task_wrote_itself_is_not_written_again(outbox: Outbox) -> None:
    ((job, outcome),) = ended(1)
    outbox.add([(job, outcome._replace(written=True))])
    assert not outbox
    assert outbox.due_in() == float("inf")
    assert JobState(outcome.state) == JobState.SUCCESSFUL
