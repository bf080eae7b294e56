"""What each database's errors mean for the queue."""

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from offload.exceptions import QueueUnavailable
from offload.models import Job, Worker
from offload.store.errors import (
    explain,
    explained,
    is_about_data,
    is_connection_lost,
    is_contention,
    is_missing_migration,
)
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
    assert not is_connection_lost(error)
    assert "python manage.py migrate (" in str(explain(error, "default"))
    assert "migrate --database jobs (" in str(explain(error, "jobs"))


def test_other_errors_are_not_changed():
    worker = register_worker()

    with pytest.raises(IntegrityError) as caught, transaction.atomic(), explained("default"):
        Worker(pk=worker, started_at=0, heartbeat_at=0, expires_at=0, **WORKER).save(
            force_insert=True
        )

    assert not is_missing_migration(caught.value)
    assert not is_connection_lost(caught.value)


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
    assert not is_connection_lost(error)


def test_a_lost_connection_is_recognized():
    assert is_connection_lost(OperationalError("server closed the connection unexpectedly"))
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
