"""What each database's errors mean for the queue."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.test import Client
from django.urls import reverse

from offload.exceptions import QueueUnavailable
from offload.models import Job, Worker
from offload.store.errors import (
    explain,
    explained,
    is_about_data,
    is_contention,
    is_missing_migration,
    is_unavailable,
)
from offload.uuid7 import new_id
from tests import tasks
from tests.jobs import register_worker

pytestmark = pytest.mark.django_db


WORKER = {"backend": "default", "hostname": "here", "pid": 1, "processes": 1, "threads": 1}


def error_of(sql: str) -> DatabaseError:
    with (
        pytest.raises(DatabaseError) as caught,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    return caught.value


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM offload_nothing",
        "INSERT INTO offload_nothing (id) VALUES (1)",
        "SELECT absent FROM offload_job",
        "UPDATE offload_job SET absent = 1",
        "INSERT INTO offload_worker (absent) VALUES (1)",
    ],
)
def test_a_missing_table_or_column_is_a_missing_migration(sql):
    error = error_of(sql)

    assert is_missing_migration(error)
    assert not is_unavailable(error)
    assert "python manage.py migrate (" in str(explain(error, "default"))
    assert "migrate --database jobs (" in str(explain(error, "jobs"))


def test_an_error_is_explained_once():
    with pytest.raises(QueueUnavailable) as caught, explained("default"), explained("default"):
        raise DatabaseError("no such table: offload_job")

    assert str(caught.value).count("The tables of django-offload") == 1
    assert explain(caught.value, "default") is caught.value


def test_other_errors_are_not_changed():
    worker = register_worker()

    with pytest.raises(IntegrityError) as caught, transaction.atomic(), explained("default"):
        Worker(pk=worker, started_at=0, heartbeat_at=0, expires_at=0, **WORKER).save(
            force_insert=True
        )

    assert not is_missing_migration(caught.value)
    assert not is_unavailable(caught.value)


def test_a_missing_table_is_explained_with_its_cause():
    table = connection.ops.quote_name(Worker._meta.db_table + "_gone")
    with (
        pytest.raises(QueueUnavailable) as caught,
        transaction.atomic(),
        explained("default"),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SELECT 1 FROM {table}")

    assert is_missing_migration(caught.value.__cause__)
    assert Job.objects.count() == 0


@pytest.mark.parametrize("error", [ValueError("no such table: x"), KeyError(1146)])
def test_other_exceptions_are_no_database_errors(error):
    assert not is_missing_migration(error)
    assert not is_unavailable(error)


def test_a_lost_connection_is_recognized():
    assert is_unavailable(OperationalError("server closed the connection unexpectedly"))
    assert "does not respond: gone" in str(explain(OperationalError(" gone\n"), "default"))


@pytest.mark.skipif(connection.vendor != "mysql", reason="only MariaDB calls it operational")
def test_a_text_that_the_column_cannot_hold_is_a_data_error():
    """As in a database created with an old character set."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE narrow (value TEXT CHARACTER SET latin1)")
    error = error_of("INSERT INTO narrow (value) VALUES ('\N{SNOWMAN}')")
    with connection.cursor() as cursor:
        cursor.execute("DROP TEMPORARY TABLE narrow")

    assert isinstance(error, OperationalError)
    assert is_about_data(error)
    assert not is_contention(error)


def test_a_duplicate_is_a_data_error_and_a_missing_table_is_not():
    assert is_about_data(IntegrityError("duplicate key"))
    assert not is_about_data(error_of("SELECT 1 FROM offload_nothing"))


# --- errors of a database that answers ----------------------------------------------------------


def raise_code(code: str) -> str:
    """Return a statement that fails with an error code of the server."""
    if connection.vendor == "postgresql":
        return f"DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$"
    return f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'told so'"


ANSWERS: dict[str, list[str]] = {
    # a deadlock, a serialization failure, a lock timeout, a full disk, a statement timeout
    "postgresql": ["40P01", "40001", "55P03", "53100", "57014"],
    "mysql": ["1213", "1020", "1205", "1021", "1969", "1290"],
}
OUTAGES: dict[str, list[str]] = {
    "postgresql": ["57P01", "57P03", "53300", "08006"],
    "mysql": ["1040", "1053", "1927"],
}


@pytest.mark.parametrize("code", ANSWERS.get(connection.vendor, []))
def test_a_refused_statement_is_raised_as_it_is(code: str) -> None:
    """So that a project's own way to repeat a transaction recognizes it."""
    with (
        pytest.raises(OperationalError) as caught,
        transaction.atomic(),
        explained("default"),
        connection.cursor() as cursor,
    ):
        cursor.execute(raise_code(code))

    assert not isinstance(caught.value, QueueUnavailable)
    assert "refused a statement: " in str(explain(caught.value, "default"))


@pytest.mark.parametrize("code", OUTAGES.get(connection.vendor, []))
def test_an_outage_is_unavailable(code: str) -> None:
    with (
        pytest.raises(QueueUnavailable, match="does not respond"),
        transaction.atomic(),
        explained("default"),
        connection.cursor() as cursor,
    ):
        cursor.execute(raise_code(code))


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_another_connection_holds_is_raised_as_it_is() -> None:
    other = connection.copy()
    lock, release, limit = {
        "sqlite": ("BEGIN IMMEDIATE", "ROLLBACK", "PRAGMA busy_timeout = 10"),
        "postgresql": ("BEGIN; LOCK TABLE offload_job", "ROLLBACK", "SET lock_timeout = '10ms'"),
        "mysql": ("LOCK TABLES offload_job WRITE", "UNLOCK TABLES", "SET lock_wait_timeout = 1"),
    }[connection.vendor]
    with other.cursor() as cursor, connection.cursor() as own:
        cursor.execute(lock)
        own.execute(limit)
        try:
            with pytest.raises(OperationalError) as caught:
                tasks.add.enqueue(1, 2)
        finally:
            cursor.execute(release)
    other.close()
    connection.close()

    assert not isinstance(caught.value, QueueUnavailable)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_read_only_is_raised_as_it_is() -> None:
    read_only = {
        "sqlite": "PRAGMA query_only = ON",
        "postgresql": "SET default_transaction_read_only = on",
        "mysql": "SET SESSION TRANSACTION READ ONLY",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(read_only)

    with pytest.raises(DatabaseError, match=r"(?i)read.?only") as caught, transaction.atomic():
        tasks.add.enqueue(1, 2)
    connection.close()

    assert not isinstance(caught.value, QueueUnavailable)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others are told by their code")
@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_raised_as_it_is() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1")

    texts = [(("x" * 1_000_000,), {})] * 50  # more than the free pages of earlier tests
    with pytest.raises(OperationalError, match="full") as caught:
        tasks.add.enqueue_many(texts)
    connection.close()

    assert not isinstance(caught.value, QueueUnavailable)


def test_a_page_that_met_a_lock_does_not_say_that_the_queue_is_unavailable(client: Client) -> None:
    code = {"postgresql": "40P01", "mysql": "1213"}.get(connection.vendor)
    if code is None:
        pytest.skip("SQLite has no statement that fails on demand")

    def refuse(execute: Any, sql: str, *arguments: Any) -> Any:
        statement = raise_code(code) if "offload_job" in sql else sql
        return execute(statement, None if statement != sql else arguments[0], *arguments[1:])

    url = reverse("offload:status", args=[new_id()])
    with connection.execute_wrapper(refuse), pytest.raises(OperationalError), transaction.atomic():
        client.get(url, headers={"Accept": "application/json"})


# --- jobs of migrations -------------------------------------------------------------------------


def test_a_migration_that_enqueues_too_early_is_told_what_to_add(
    other_database: Any, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "early_migrations").mkdir()
    (tmp_path / "early_migrations" / "__init__.py").touch()
    (tmp_path / "early_migrations" / "0001_early.py").write_text(EARLY_MIGRATION)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.MIGRATION_MODULES = {"sessions": "early_migrations"}
    sqlite = "django.db.backends.sqlite3"
    other_database("fresh", ENGINE=sqlite, NAME="fresh.sqlite3")
    task = "offload.backends.database.DatabaseBackend"
    settings.TASKS = {"default": {"BACKEND": task, "OPTIONS": {"database": "fresh"}}}

    with pytest.raises(QueueUnavailable) as caught:
        call_command("migrate", "sessions", database="fresh", verbosity=0)

    assert '("offload", "0001_initial") to its dependencies' in str(caught.value)
    assert "migrate --database" not in str(caught.value)


EARLY_MIGRATION = """
from django.db import migrations
from tests.tasks import add

class Migration(migrations.Migration):
    operations = [migrations.RunPython(lambda *_: add.enqueue(1, 2))]
"""
