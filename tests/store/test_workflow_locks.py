"""Transactions that end parts of one workflow at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import OperationalError, connection, connections, transaction

from offload.lifecycle import JobState, succeeded
from offload.store.errors import is_contention
from tests.jobs import NO_CLAIM, claim, register_worker
from tests.waiting import TIMEOUT_SECONDS, wait_until
from tests.worker.locking import transaction_elsewhere
from tests.workflow_rows import Flow, S

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer"),
]

JOIN = {"a": ((), S), "b": ((), S), "end": (("a", "b"), S)}
WAITS_FOR_LOCK = {
    "postgresql": "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    # Not `innodb_trx`, which shows the same as before if it was read less than 0.1 s ago.
    "mysql": "SHOW GLOBAL STATUS WHERE variable_name = 'Innodb_row_lock_current_waits'"
    " AND value > 0",
}


def waits_for_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITS_FOR_LOCK[connection.vendor])
        return bool(cursor.fetchall())


def test_the_last_two_parts_before_another_release_it_together() -> None:
    flow = Flow(JOIN)
    first, second = claim(register_worker())

    def finish_second() -> None:
        with transaction.atomic():
            flow.store.finish([(second, succeeded("1"))])
        connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        with transaction_elsewhere(partial(flow.store.finish, [(first, succeeded("1"))])):
            finished = thread.submit(finish_second)
            wait_until(waits_for_lock, "the second waits for the first")
        finished.result(TIMEOUT_SECONDS)

    assert flow.states["end"] == JobState.READY


def test_an_exchange_waits_for_a_locked_part_for_a_second_only() -> None:
    flow = Flow(JOIN)
    worker = register_worker()
    finished = [(job, succeeded("1")) for job in claim(worker)]

    with transaction_elsewhere(partial(flow.store.cancel, flow.ids["end"])):
        with pytest.raises(OperationalError) as raised:
            flow.store.exchange(worker, finished, NO_CLAIM)
        assert is_contention(raised.value)

    assert not flow.store.exchange(worker, finished, NO_CLAIM).refused
    flow.step()
    assert flow.states["end"] == JobState.CANCELLED
    assert flow.state == JobState.FAILED


def test_a_workflow_cancelled_in_a_long_transaction_lets_its_parts_finish_afterwards() -> None:
    flow = Flow(JOIN)
    worker = register_worker()
    finished = [(job, succeeded("1")) for job in claim(worker)]

    with transaction_elsewhere(partial(flow.store.cancel, flow.id)):
        with pytest.raises(OperationalError) as raised:
            flow.store.exchange(worker, finished, NO_CLAIM)
        assert is_contention(raised.value)

    assert not flow.store.exchange(worker, finished, NO_CLAIM).refused
    flow.step()
    assert flow.states == {
        "": JobState.CANCELLED,
        "a": JobState.SUCCESSFUL,
        "b": JobState.SUCCESSFUL,
        "end": JobState.CANCELLED,
    }
