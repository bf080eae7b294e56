"""Tables that are emptied, rebuilt or changed under a running worker."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import connection

from offload import JobState
from offload.models import Job, Worker
from tests.tasks import fail
from tests.worker import event_log, tasks
from tests.worker.conftest import StartWorker, has_started, until

pytestmark = pytest.mark.usefixtures("takes_nothing_back")

LEASE = 6
"""Seconds; the worker sends a heartbeat every second."""


@pytest.fixture
def logged(caplog) -> Callable[[str], int]:
    """A function that counts the records with a text."""
    caplog.set_level(logging.INFO, "offload.worker")
    return lambda text: sum(text in record.getMessage() for record in caplog.records)


def run_words(prefix: str) -> None:
    """Run some jobs; assert that each ran once."""
    words = [f"{prefix}{number}" for number in range(4)]
    results = [task.enqueue(word) for word in words for task in (tasks.log_word, tasks.alog_word)]
    for result in results:
        result.wait(20)
        assert result.state == JobState.SUCCESSFUL
        assert Job.objects.get(pk=result.id).fence == 1
    counts = Counter(entry.words[0] for word in words for entry in event_log.entries("word", word))
    assert counts == dict.fromkeys(words, 2)


def test_after_its_tables_were_rebuilt_a_worker_runs_jobs_once(
    start_worker: StartWorker, processes, gate, logged
):
    start_worker(processes)
    held = tasks.hold.enqueue(str(gate))
    until(lambda: has_started(held))

    try:
        call_command("migrate", "offload", "zero", verbosity=0)
        until(lambda: logged("tables of django-offload are missing"))
    finally:
        call_command("migrate", "offload", verbosity=0)

    run_words(f"rebuilt-{processes}-")
    assert Worker.objects.count() == 1
    assert logged("tables of django-offload are missing") == 1
    assert logged("answers again") == 1
    assert logged("row of this worker is gone") == 1


def test_jobs_go_on_although_the_workers_table_was_emptied(
    start_worker: StartWorker, processes, gate, logged
):
    running = start_worker(processes, lease=LEASE)
    held = tasks.hold.enqueue(str(gate))
    until(lambda: has_started(held))

    Worker.objects.all().delete()

    run_words(f"emptied-{processes}-")
    assert Worker.objects.get().pk == running.engine.registration.id
    gate.touch()
    assert held.wait(20).state == JobState.SUCCESSFUL
    row = Job.objects.get(pk=held.id)
    assert (row.fence, row.worker_losses) == (1, 0)
    assert logged("row of this worker is gone") == 1


@pytest.mark.parametrize(
    ("table", "column"), [("offload_job", "progress"), ("offload_attempt", "traceback")]
)
def test_a_worker_waits_for_a_column_that_is_missing(
    start_worker: StartWorker, table, column, logged
):
    start_worker(0)
    try:
        rename(table, column, "gone")
        failing = fail.enqueue("no")
        until(lambda: logged("Run: python manage.py migrate"))
    finally:
        rename(table, "gone", column)

    assert failing.wait(20).state == JobState.FAILED
    failing.refresh()
    assert len(failing.errors) == 1
    run_words(f"{table}-")
    assert logged("Run: python manage.py migrate") == 1


def rename(table: str, old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
