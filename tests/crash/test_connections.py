"""Connections that break at each statement, before or after the server ran it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from offload.models import Job
from tests.crash import tasks
from tests.crash.processes import Process
from tests.crash.proxy import Moment, Proxy
from tests.crash.scenario import Scenario

pytestmark = pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="SQLite has no connections that break; the table has `outage` at each of its statements",
)

COMMIT = 3 if connection.vendor == "mysql" else 2
"""Position of the COMMIT among the statements after the task's own; MariaDB finishes with two."""

STATEMENTS = 14
"""More statements than an exchange with retried jobs, a heartbeat and a rescue have together."""
COMMITS = 4


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    settings = connection.settings_dict
    proxy = Proxy(settings["HOST"], int(settings["PORT"]))
    yield proxy
    proxy.close()


def behind(proxy: Proxy) -> dict[str, str]:
    """Return the environment of a process that reaches its database through the proxy."""
    name = "POSTGRESQL" if connection.vendor == "postgresql" else "MARIADB"
    return {f"OFFLOAD_{name}_PORT": str(proxy.port)}


def rounds(scenario: Scenario, proxy: Proxy, worker: Process, *, commits: bool) -> None:
    """Cut at the first statement, then at the second, and so on; jobs must finish each time."""
    scenario.enqueue(tasks.note)
    scenario.wait_until_finished()
    for moment in Moment:
        for count in range(1, (COMMITS if commits else STATEMENTS) + 1):
            before = proxy.cuts
            proxy.arm(count, moment, b"COMMIT" if commits else b"")
            for task in (tasks.note, tasks.note, tasks.fail, tasks.retried, tasks.once):
                scenario.enqueue(task)
            scenario.wait_until_finished()
            scenario.wait_for(lambda before=before: proxy.cuts > before, f"a cut at {count}")
    scenario.enqueue_mix()
    scenario.wait_until_finished()
    assert worker.stop() == 0, worker.output


@pytest.mark.timeout(240)
@pytest.mark.parametrize("commits", [False, True], ids=["statements", "commits"])
def test_an_exchange_survives_a_cut_at_any_statement(
    scenario: Scenario, proxy: Proxy, commits: bool
) -> None:
    """This includes a COMMIT that succeeded and whose answer was lost."""
    worker = scenario.start(environment=behind(proxy), lease=10.0)
    rounds(scenario, proxy, worker, commits=commits)
    scenario.judge()
    assert "Traceback" not in "".join(
        line for line in worker.output.splitlines() if "worker" in line
    )
    assert not Job.objects.filter(worker_losses__gt=0).exists()


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("statement", range(1, COMMIT + 1))
def test_an_atomic_job_survives_a_cut_after_its_task_returned(
    scenario: Scenario, proxy: Proxy, statement: int, moment: Moment
) -> None:
    """The job runs again if, and only if, its transaction was not committed.

    A failure after the task returned does not use up its only attempt.
    """
    worker = scenario.start(threads=1, environment=behind(proxy))
    proxy.arm(statement, moment, after=b"TESTS_EFFECT")
    token = scenario.enqueue(tasks.effect)
    scenario.wait_until_finished()
    assert proxy.cuts == 1
    assert worker.stop() == 0, worker.output
    scenario.judge()
    committed = statement == COMMIT and moment is Moment.AFTER
    assert len(scenario.started(token)) == (1 if committed else 2)


@pytest.mark.parametrize("moment", Moment)
def test_a_job_exists_if_and_only_if_its_business_transaction_was_committed(
    scenario: Scenario, proxy: Proxy, moment: Moment
) -> None:
    proxy.arm(3, moment, b"COMMIT")
    process = scenario.run(
        ["-m", "tests.crash.enqueueing_process", "10"], {**scenario.environment, **behind(proxy)}
    )
    process.wait()
    assert proxy.cuts == 1
    scenario.adopt_enqueued_jobs(3 if moment is Moment.AFTER else 2)
    scenario.drain()
    scenario.judge()
