"""A database that is temporarily unreachable, read-only or locked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from django.db import DataError, Error, InternalError, connection, connections

from offload import lifecycle
from offload.models import Attempt
from offload.store.records import ClaimedJob, ClaimRequest, FinishedJob
from offload.worker.completer import MAX_RETRY_DELAY, BatchCompleter
from tests.crash import history_trigger, tasks
from tests.crash.database_server import Server, own_server
from tests.crash.processes import Process
from tests.crash.scenario import Scenario
from tests.worker.clock import Clock

IS_SQLITE = connection.vendor == "sqlite"
needs_server = pytest.mark.skipif(IS_SQLITE, reason="SQLite has no server")


@pytest.fixture
def server(transactional_db: None) -> Iterator[Server]:
    with own_server() as server:
        yield server


@pytest.fixture
def own_scenario(
    server: Server, process_environment: dict[str, str], tmp_path: Path
) -> Iterator[Scenario]:
    """A scenario on a server that the test may stop."""
    history_trigger.install()
    scenario = Scenario({**process_environment, **server.environment}, tmp_path)
    yield scenario
    scenario.close()


def has_noticed(worker: Process) -> Callable[[], bool]:
    """Return a function that returns whether the worker has logged another outage since now."""
    before = worker.output.count("Trying again.")
    return lambda: worker.output.count("Trying again.") > before


@needs_server
@pytest.mark.timeout(240)
def test_a_restart_of_the_database_during_a_drain_loses_nothing(
    own_scenario: Scenario, server: Server
) -> None:
    """The server is stopped once and killed once, both times while jobs run."""
    scenario = own_scenario
    worker = scenario.start(processes=2)
    for number, take_down in enumerate((server.stop, server.kill)):
        gated = [scenario.enqueue(tasks.wait_for, scenario.path(f"gate{number}")) for _ in range(2)]
        scenario.wait_until_started(*gated)
        scenario.enqueue_mix(2)
        noticed = has_noticed(worker)
        connections.close_all()
        take_down()
        scenario.open(f"gate{number}")
        scenario.wait_for(noticed, "the worker notices")
        server.start()
        scenario.wait_until_finished(*gated)
        scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output
    scenario.judge(may_fail=failed_by_the_outage(scenario))


def failed_by_the_outage(scenario: Scenario) -> set[str]:
    """Return the tokens of the jobs whose own statements failed; retrying is up to the task."""
    failures = Attempt.objects.filter(exception_class_path="django.db.utils.OperationalError")
    ids = {str(job) for job in failures.values_list("job_id", flat=True)}
    return {token for token, identifier in scenario.accepted.items() if identifier in ids}


@needs_server
@pytest.mark.timeout(240)
def test_a_temporarily_read_only_database_loses_nothing(
    own_scenario: Scenario, server: Server
) -> None:
    scenario = own_scenario
    shorten_write_lock_timeout()
    worker = scenario.start(processes=2)
    gated = [scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(2)]
    scenario.wait_until_started(*gated)
    forbid_writing()
    noticed = has_noticed(worker)
    scenario.open("gate")
    scenario.wait_for(noticed, "the worker notices")
    allow_writing()
    scenario.enqueue_mix()
    scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output
    scenario.judge()


def shorten_write_lock_timeout() -> None:
    """Make MariaDB refuse a forbidden write after a second; PostgreSQL does so at once."""
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET GLOBAL lock_wait_timeout = 1")


def forbid_writing() -> None:
    """Make the server refuse all writes.

    On MariaDB by the lock that backups use: the test's account may write to a `read_only` server.
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
def test_a_database_locked_longer_than_the_timeout_loses_nothing(scenario: Scenario) -> None:
    """Reads still work, as they do on a read-only database."""
    worker = scenario.start(environment={"OFFLOAD_TEST_SQLITE_TIMEOUT": "0.2"})
    gated = [scenario.enqueue(tasks.wait_for, scenario.path("gate")) for _ in range(2)]
    scenario.wait_until_started(*gated)
    scenario.enqueue_mix()
    noticed = has_noticed(worker)
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        scenario.open("gate")
        scenario.wait_for(noticed, "the worker notices")
        assert worker.is_alive
        other.execute("ROLLBACK")
    scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output
    scenario.judge(may_fail=failed_by_the_outage(scenario))


class RefusingStore:
    """A store whose every exchange fails."""

    def __init__(self, error: Error) -> None:
        self.error = error
        self.batch: Sequence[FinishedJob] = ()

    def exchange(self, _worker: str, batch: Sequence[FinishedJob], *_: object) -> None:
        self.batch = batch
        raise self.error


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (InternalError("cannot execute UPDATE in a read-only transaction"), "successful"),
        (DataError("value out of range"), "failed"),
    ],
)
def test_an_outcome_is_discarded_only_if_its_data_cannot_be_stored(
    error: Error, state: str
) -> None:
    """A database that refuses all writes does not count, however long it does."""
    store, clock = RefusingStore(error), Clock()
    completer = BatchCompleter(store, clock=clock)  # type: ignore[arg-type]
    job = ClaimedJob._make(["id", 1, 1, "path", *[None] * (len(ClaimedJob._fields) - 4)])
    completer.add([(job, lifecycle.succeeded(json.dumps("done")))])
    for _ in range(30):
        clock.now += MAX_RETRY_DELAY
        with pytest.raises(type(error)):
            completer.exchange("worker", ClaimRequest("default", ()))
    ((_, outcome),) = store.batch
    assert lifecycle.JobState(outcome.state).label == state
