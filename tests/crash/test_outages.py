"""A database that is away, read-only or locked for a while."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.db import DataError, Error, InternalError, connection, connections

from offload import lifecycle
from offload.models import Attempt
from offload.store.base import Store
from offload.store.records import ClaimedJob, ClaimRequest
from offload.worker.completer import BatchCompleter
from tests.crash import tasks, witness
from tests.crash.processes import Process
from tests.crash.servers import Server, own_server
from tests.crash.world import World

IS_SQLITE = connection.vendor == "sqlite"
needs_server = pytest.mark.skipif(IS_SQLITE, reason="SQLite has no server")


@pytest.fixture
def server(transactional_db: None) -> Iterator[Server]:
    with own_server() as server:
        yield server


@pytest.fixture
def world_there(
    server: Server, process_environment: dict[str, str], tmp_path: Path
) -> Iterator[World]:
    """A world on the server that may be stopped."""
    witness.install()
    world = World({**process_environment, **server.environment}, tmp_path)
    yield world
    world.end()


def has_noticed(worker: Process) -> Callable[[], bool]:
    seen = worker.output.count("Trying again.")
    return lambda: worker.output.count("Trying again.") > seen


@needs_server
@pytest.mark.timeout(240)
def test_a_restart_of_the_database_during_a_drain_loses_nothing(
    world_there: World, server: Server
) -> None:
    """First in order, then by SIGKILL of the whole server; both while jobs run."""
    world = world_there
    worker = world.start(processes=2)
    for number, end in enumerate((server.stop, server.kill)):
        gated = [world.enqueue(tasks.wait_for, world.path(f"gate{number}")) for _ in range(2)]
        world.wait_until_begun(*gated)
        world.enqueue_mix(2)
        noticed = has_noticed(worker)
        connections.close_all()
        end()
        world.open(f"gate{number}")
        world.wait_for(noticed, "the engine notices")
        server.start()
        world.wait_until_ended(*gated)
        world.wait_until_ended()
    assert worker.stop() == 0, worker.output
    world.judge(may_fail=cut_in_their_body(world))


def cut_in_their_body(world: World) -> set[str]:
    """Return the tokens of the jobs whose own statements met the outage: theirs to retry."""
    failures = Attempt.objects.filter(exception_class_path="django.db.utils.OperationalError")
    ids = {str(job) for job in failures.values_list("job_id", flat=True)}
    return {token for token, identifier in world.accepted.items() if identifier in ids}


@needs_server
@pytest.mark.timeout(240)
def test_a_database_that_is_read_only_for_a_while_loses_nothing(
    world_there: World, server: Server
) -> None:
    world = world_there
    let_writers_give_up()
    worker = world.start(processes=2)
    gated = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(2)]
    world.wait_until_begun(*gated)
    forbid_writing()
    noticed = has_noticed(worker)
    world.open("gate")
    world.wait_for(noticed, "the engine notices")
    allow_writing()
    world.enqueue_mix()
    world.wait_until_ended()
    assert worker.stop() == 0, worker.output
    world.judge()


def let_writers_give_up() -> None:
    """Have MariaDB refuse a write after a second that it may not do; PostgreSQL does so at once."""
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET GLOBAL lock_wait_timeout = 1")


def forbid_writing() -> None:
    """Have the server refuse all writes.

    On MariaDB by the lock that backups take: our account may write to a `read_only` server.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("FLUSH TABLES WITH READ LOCK")
        else:
            cursor.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            cursor.execute("SELECT pg_reload_conf()")


def allow_writing() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("UNLOCK TABLES")
        else:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute("ALTER SYSTEM RESET default_transaction_read_only")
            cursor.execute("SELECT pg_reload_conf()")


@pytest.mark.skipif(not IS_SQLITE, reason="only SQLite has one lock for the whole database")
def test_a_database_locked_for_longer_than_the_timeout_loses_nothing(world: World) -> None:
    """It can be read all the while: this is also what a read-only database is like."""
    worker = world.start(environment={"OFFLOAD_TEST_SQLITE_TIMEOUT": "0.2"})
    gated = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(2)]
    world.wait_until_begun(*gated)
    world.enqueue_mix()
    noticed = has_noticed(worker)
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        world.open("gate")
        world.wait_for(noticed, "the engine notices")
        assert worker.is_alive
        other.execute("ROLLBACK")
    world.wait_until_ended()
    assert worker.stop() == 0, worker.output
    world.judge(may_fail=cut_in_their_body(world))


class RefusingStore:
    """Never writes."""

    def __init__(self, error: Error) -> None:
        self.error = error

    def exchange(self, *_: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (InternalError("cannot execute UPDATE in a read-only transaction"), "successful"),
        (DataError("value out of range"), "failed"),
    ],
)
def test_an_outcome_is_given_up_only_if_its_data_cannot_be_stored(
    monkeypatch: pytest.MonkeyPatch, error: Error, state: str
) -> None:
    """However long the database refuses to write anything."""
    monkeypatch.setattr("offload.worker.completer.ASIDE", 0.0)
    store: Store = RefusingStore(error)  # type: ignore[assignment]
    outbox = BatchCompleter(store)
    job = ClaimedJob._make(["id", 1, 1, "path", *[None] * 19])
    outbox.add([(job, lifecycle.succeeded(json.dumps("done")))])
    for _ in range(30):
        with pytest.raises(type(error)):
            outbox.exchange("worker", outbox.next_batch(), ClaimRequest("default", ()))
    ((_, outcome),) = outbox.next_batch()
    assert lifecycle.JobState(outcome.state).label == state
