"""Connections that break at every statement, before it or after it was done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from offload.models import Job
from tests.crash import tasks
from tests.crash.processes import Process
from tests.crash.proxy import Moment, Proxy
from tests.crash.world import World

pytestmark = pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="SQLite has no connections that break; the table has `outage` at each of its statements",
)

COMMIT = 3 if connection.vendor == "mysql" else 2
"""The place of the COMMIT among the statements after the task's own; MariaDB finishes with two."""

STATEMENTS = 14
"""More than an exchange, its claim's earlier attempts, a beat and a rescue have together."""
COMMITS = 4


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    settings = connection.settings_dict
    proxy = Proxy(settings["HOST"], int(settings["PORT"]))
    yield proxy
    proxy.close()


def behind(proxy: Proxy) -> dict[str, str]:
    """Return the environment of a process whose database is behind the proxy."""
    name = "POSTGRESQL" if connection.vendor == "postgresql" else "MARIADB"
    return {f"OFFLOAD_{name}_PORT": str(proxy.port)}


def rounds(world: World, proxy: Proxy, worker: Process, *, commits: bool) -> None:
    """Cut at the first statement, then the second, ...; each time some jobs must get through."""
    world.enqueue(tasks.note)
    world.wait_until_ended()
    for moment in Moment:
        for count in range(1, (COMMITS if commits else STATEMENTS) + 1):
            before = proxy.cuts
            proxy.arm(count, moment, b"COMMIT" if commits else b"")
            for task in (tasks.note, tasks.note, tasks.fail, tasks.retried, tasks.once):
                world.enqueue(task)
            world.wait_until_ended()
            world.wait_for(lambda before=before: proxy.cuts > before, f"a cut at {count}")
    world.enqueue_mix()
    world.wait_until_ended()
    assert worker.stop() == 0, worker.output


@pytest.mark.timeout(240)
@pytest.mark.parametrize("commits", [False, True], ids=["statements", "commits"])
def test_an_exchange_survives_a_cut_at_any_statement(
    world: World, proxy: Proxy, commits: bool
) -> None:
    """Also at a COMMIT that was done, and whose answer was lost."""
    worker = world.start(environment=behind(proxy), lease=10.0)
    rounds(world, proxy, worker, commits=commits)
    world.judge()
    assert "Traceback" not in "".join(
        line for line in worker.output.splitlines() if "engine" in line
    )
    assert not Job.objects.filter(lost__gt=0).exists()


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("statement", range(1, COMMIT + 1))
def test_an_atomic_job_survives_a_cut_after_its_task_returned(
    world: World, proxy: Proxy, statement: int, moment: Moment
) -> None:
    """It is run again if it was not committed, and only then.

    What happens after a task returned is not its fault, so it has one attempt only.
    """
    worker = world.start(threads=1, environment=behind(proxy))
    proxy.arm(statement, moment, after=b"TESTS_EFFECT")
    token = world.enqueue(tasks.effect)
    world.wait_until_ended()
    assert proxy.cuts == 1
    assert worker.stop() == 0, worker.output
    world.judge()
    committed = statement == COMMIT and moment is Moment.AFTER
    assert len(world.begun(token)) == (1 if committed else 2)


@pytest.mark.parametrize("moment", Moment)
def test_a_job_exists_if_and_only_if_its_business_transaction_was_committed(
    world: World, proxy: Proxy, moment: Moment
) -> None:
    proxy.arm(3, moment, b"COMMIT")
    process = world.run(["-m", "tests.crash.enqueue", "10"], {**world.environment, **behind(proxy)})
    process.wait()
    assert proxy.cuts == 1
    world.take_in_what_was_enqueued(3 if moment is Moment.AFTER else 2)
    world.drain()
    world.judge()
