"""Text in rows compares exactly, and holds any character, whatever the database's collation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.test import override_settings

from offload.checks.registered import check_databases
from offload.exceptions import InvalidArguments
from offload.lifecycle import JobState
from offload.models import Job
from offload.store import get_store
from offload.store.queries import JobFilter, list_jobs
from offload.store.records import ClaimRequest
from tests import tasks
from tests.jobs import register_worker

QUEUES = ["Mail", "cafe", "caf\u00e9", "mail", "mail "]
TEXT = "\u0141\u00f3d\u017a \u65e5\u672c \U0001f389"


@pytest.fixture
def queues(settings: Any) -> None:
    """One job in each of several queues whose names some collations take for equal."""
    settings.TASKS = {"default": {**settings.TASKS["default"], "QUEUES": QUEUES}}
    for name in QUEUES:
        tasks.add.using(queue_name=name).enqueue(1, 2)


@pytest.mark.django_db
@pytest.mark.usefixtures("queues")
def test_queues_whose_names_look_alike_are_kept_apart() -> None:
    store = get_store("default")
    assert sorted(store.ready_queues("default")) == QUEUES
    assert sorted(store.poll("default")[0]) == QUEUES
    listed = list_jobs("default", JobFilter(backend="default", queue_name="mail"), limit=10)
    assert [job.queue_name for job in listed] == ["mail"]
    claimed = store.exchange(register_worker(), [], ClaimRequest("default", ["Mail"], 10, 10))
    assert [job.queue_name for job in claimed.claimed] == ["Mail"]


@pytest.mark.django_db
def test_backends_tasks_and_owners_are_compared_exactly() -> None:
    job = Job.objects.get(pk=tasks.add.enqueue(1, 2).id)
    Job.objects.update(owner="user:A")
    rows = Job.objects.filter(state=JobState.READY)
    assert rows.filter(backend="default", task_path=job.task_path, owner="user:A").exists()
    assert not rows.filter(backend="Default").exists()
    assert not rows.filter(task_path=job.task_path.upper()).exists()
    assert not rows.filter(owner="user:a").exists()


# --- databases that were made for fewer characters ------------------------------------------------

CREATE = {
    "postgresql": "CREATE DATABASE {} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    "mysql": "CREATE DATABASE {} CHARACTER SET latin1",
}


@pytest.fixture
def narrow(other_database: Any, django_db_setup: None) -> Iterator[Any]:
    """A function that adds a database that was created with the character set latin1."""
    if connection.vendor not in CREATE:
        pytest.skip("SQLite has no character sets")
    name = f"{connection.settings_dict['NAME']}_narrow"

    def add(**options: Any) -> None:
        options = {**connection.settings_dict["OPTIONS"], **options}
        other_database("narrow", NAME=name, OPTIONS=options, migrated=True)

    with connection.cursor() as cursor:
        cursor.execute(CREATE[connection.vendor].format(name))
        try:
            with override_settings(TASKS=TASKS):
                yield add
        finally:
            connections["narrow"].close()
            cursor.execute(f"DROP DATABASE {name}")


TASKS = {
    "default": {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "OPTIONS": {"database": "narrow"},
    }
}


def warned_of() -> list[str | None]:
    return [message.id for message in check_databases(databases=["narrow"])]


@pytest.mark.skipif(connection.vendor != "mysql", reason="its columns have their own collation")
def test_our_tables_hold_what_their_database_cannot(narrow: Any) -> None:
    narrow()
    result = tasks.add.enqueue(TEXT)
    assert tasks.add.get_result(result.id).args == [TEXT]
    assert warned_of() == []


def test_text_that_the_database_cannot_hold_is_refused_with_the_remedy(narrow: Any) -> None:
    narrow(**({"charset": "latin1"} if connection.vendor == "mysql" else {}))
    with pytest.raises(InvalidArguments, match="utf8mb4") as caught:
        tasks.add.enqueue(TEXT)
    assert "DATABASES['narrow']" in str(caught.value)
    assert tasks.add.enqueue("plain").id
    with pytest.raises(InvalidArguments):
        tasks.add.enqueue_many([((TEXT,), {}), (("plain",), {})])
    assert Job.objects.using("narrow").count() == 1
    assert warned_of() == ["offload.W021"]


@pytest.mark.skipif(connection.vendor != "mysql", reason="only it converts tables")
def test_a_converted_table_is_refused_text_and_warned_of(narrow: Any) -> None:
    narrow()
    with connections["narrow"].cursor() as cursor:
        cursor.execute("ALTER TABLE offload_job CONVERT TO CHARACTER SET utf8mb3")
    with pytest.raises(InvalidArguments, match="convert the tables"):
        tasks.add.enqueue(TEXT)
    assert warned_of() == ["offload.W022"]
