"""Databases that do not respond or were not migrated, and several databases."""

from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.tasks import TaskResult
from django.tasks.exceptions import TaskResultDoesNotExist
from django.test import override_settings

from offload import JobState
from offload.exceptions import QueueUnavailable
from offload.models import Job
from offload.results import make_result
from offload.uuid7 import new_id
from tests.tasks import add

SQLITE = "django.db.backends.sqlite3"
CALLS = [((1,), {}), ((2,), {})]


def tasks_in(**databases: str) -> override_settings:
    """Store the jobs of each backend in its own database."""
    backend = "offload.backends.database.DatabaseBackend"
    return override_settings(
        TASKS={
            alias: {"BACKEND": backend, "OPTIONS": {"database": database}}
            for alias, database in databases.items()
        }
    )


def some_result() -> TaskResult:
    return make_result(
        task=add, id=str(new_id()), state=JobState.READY, status=JobState.READY.status
    )


async def wait_for(result: TaskResult) -> None:
    await result.wait_async()


WAYS: dict[str, Callable[[], object]] = {
    "enqueue": lambda: add.enqueue(1),
    "aenqueue": lambda: async_to_sync(add.aenqueue)(1),
    "enqueue_many": lambda: add.enqueue_many(CALLS),
    "get_result": lambda: add.get_result(some_result().id),
    "refresh": lambda: some_result().refresh(),
    "cancel": lambda: some_result().cancel(),
    "retry": lambda: some_result().retry(),
    "wait": lambda: some_result().wait(timeout=30),
    "await": lambda: async_to_sync(wait_for)(some_result()),
}
ways = pytest.mark.parametrize("reach_the_database", WAYS.values(), ids=WAYS)


@ways
def test_missing_tables_are_reported_with_the_command(reach_the_database, other_database):
    other_database("unmigrated", ENGINE=SQLITE, NAME="unmigrated.sqlite3")

    with tasks_in(default="unmigrated"), pytest.raises(QueueUnavailable) as caught:
        reach_the_database()

    assert "tables of django-offload are missing in DATABASES['unmigrated']" in str(caught.value)
    assert "Run: python manage.py migrate --database unmigrated (" in str(caught.value)


@ways
def test_a_database_that_is_down_is_reported_by_name(reach_the_database, other_database):
    if connection.vendor == "sqlite":
        other_database("down", NAME="/nonexistent/folder/database.sqlite3")
    else:
        other_database("down", HOST="127.0.0.1", PORT=1)

    with tasks_in(default="down"), pytest.raises(QueueUnavailable) as caught:
        reach_the_database()

    assert "The job queue in DATABASES['down'] does not respond: " in str(caught.value)
    assert caught.value.__cause__ is not None


def test_two_backends_store_their_jobs_in_two_databases(other_database):
    other_database("first", ENGINE=SQLITE, NAME="first.sqlite3", migrated=True)
    other_database("second", ENGINE=SQLITE, NAME="second.sqlite3", migrated=True)

    with tasks_in(default="first", other="second"):
        here, there = add.enqueue(1), add.using(backend="other").enqueue(2)
        assert there.task.get_result(there.id).args == [2]
        with pytest.raises(TaskResultDoesNotExist):
            add.get_result(there.id)
        there.cancel()

    assert [str(job.pk) for job in Job.objects.using("first")] == [here.id]
    job = Job.objects.using("second").get()
    assert (str(job.pk), job.backend, job.state) == (there.id, "other", JobState.CANCELLED)
