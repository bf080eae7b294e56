"""The statements of workflows find their rows through indexes, and are few."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from offload.lifecycle import JobState, succeeded
from offload.models import Dependency, Job, WorkflowNotice
from offload.store import get_store
from offload.uuid7 import FIRST_ID, new_id
from tests import tasks
from tests.jobs import NO_CLAIM, claim, register_worker
from tests.store.test_query_plans import FINISHED, analyze, assert_index, empty, explained, fill
from tests.workflow_rows import E, Flow, S

pytestmark = pytest.mark.django_db

CHAINS = 60
OTHERS = 6_000
"""Dependencies of other workflows."""
SCANS = {
    "sqlite": r"SCAN (offload_dependency|dependency|handed_over)\b(?! USING)",
    "postgresql": r"Seq Scan on (offload_dependency|offload_workflownotice)\b",
    "mysql": r"'(offload_dependency|dependency|handed_over|notice)', 'ALL'",
}


@pytest.fixture(scope="module")
def flow(django_db_setup: None, django_db_blocker: Any) -> Iterator[Flow]:
    """Fill the tables, outside the tests' transactions; return one wide workflow."""
    with django_db_blocker.unblock():
        graph = {
            f"{name}{number}": ((f"a{number}",) if name == "b" else (), S)
            for number in range(CHAINS)
            for name in "ab"
        }
        flow = Flow(
            {**graph, "end": (tuple(graph), E)},
            returns={"offload:results": -1},
            dependencies=[("", name, -1, number) for number, name in enumerate(graph)],
        )
        fill(FINISHED, JobState.SUCCESSFUL, finished_at=flow.row().enqueued_at)
        others = (Dependency(child=new_id(), parent=new_id(), slot=-1) for _ in range(OTHERS))
        Dependency.objects.bulk_create(others, batch_size=1000)
        yield flow
        empty()
        Dependency.objects.all().delete()
        WorkflowNotice.objects.all().delete()


@pytest.fixture(params=["young", "analyzed"])
def filled(request: pytest.FixtureRequest, flow: Flow) -> Flow:
    """Return the workflow, with or without statistics of the tables."""
    if request.param == "analyzed":
        analyze()
        with connection.cursor() as cursor:
            for table in ("offload_dependency", "offload_workflownotice"):
                command = "ANALYZE TABLE" if connection.vendor == "mysql" else "ANALYZE"
                cursor.execute(f"{command} {table}")
                if connection.vendor == "mysql":
                    cursor.fetchall()
    return flow


def finish(flow: Flow) -> None:
    worker = register_worker()
    finished = [flow.finished(job, {}) for job in claim(worker)[:50]]
    assert flow.store.exchange(worker, finished, NO_CLAIM).has_released


def fail(flow: Flow) -> None:
    worker = register_worker()
    outcomes = dict.fromkeys(flow.ids, JobState.FAILED)
    finished = [flow.finished(job, outcomes) for job in claim(worker)[:50]]
    flow.store.exchange(worker, finished, NO_CLAIM)


def fill_in(flow: Flow) -> None:
    key = flow.store.key(flow.id)
    flow.store.fill_in(key, None, max_size=1000, of_arguments=False)


def cancel(flow: Flow) -> None:
    flow.store.cancel(flow.id)
    flow.store.step_workflows(register_worker())


def end(flow: Flow) -> None:
    flow.store.end_workflows([flow.store.key(flow.id)], register_worker())


def look(flow: Flow) -> None:
    flow.store.notice_incomplete(FIRST_ID)


OPERATIONS: list[tuple[Callable[[Flow], None], str]] = [
    (finish, "offload_dependency_parent"),
    (finish, "primary"),
    (fail, "offload_dependency_parent"),
    (fill_in, "primary"),
    (cancel, "offload_job_workflow"),
    (end, "offload_job_workflow"),
    (look, "offload_job_workflow"),
]


@pytest.mark.parametrize(("operation", "index"), OPERATIONS)
def test_parts_are_found_by_index(
    filled: Flow, operation: Callable[[Flow], None], index: str
) -> None:
    with explained() as plans:
        operation(filled)

    assert_index(plans, index)
    text = "\n".join(plan for plan in plans if "dependency" in plan or "notice" in plan)
    assert not re.search(SCANS[connection.vendor], text), text


def test_rows_are_locked_in_the_order_of_their_ids(filled: Flow) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("the others lock in the order of the primary key, which they read")
    with explained() as plans:
        finish(filled)

    locks = [plan for plan in plans if "LockRows" in plan]
    assert locks
    for plan in locks:
        assert re.search(r"LockRows.*(Sort|Index Scan using offload_job_pkey)", plan, re.S), plan


def test_jobs_of_no_workflow_cost_no_further_statement(filled: Flow) -> None:
    worker = register_worker()
    tasks.add.using(priority=50).enqueue_many([((number, 1), {}) for number in range(50)])
    finished = [(job, succeeded("1")) for job in claim(worker) if job.workflow is None]
    assert len(finished) == 50

    statements = record_statements(lambda: filled.store.exchange(worker, finished, NO_CLAIM))

    assert not [sql for sql in statements if "dependency" in sql or "workflow" in sql]


def test_parts_of_an_exchange_share_their_statements(filled: Flow) -> None:
    worker = register_worker()
    claimed = claim(worker)
    few, many = claimed[:2], claimed[2:50]

    def write(jobs: Any) -> Callable[[], Any]:
        finished = [filled.finished(job, {}) for job in jobs]
        return lambda: filled.store.exchange(worker, finished, NO_CLAIM)

    first, second = record_statements(write(few)), record_statements(write(many))

    assert len(about_workflows(second)) == len(about_workflows(first))
    assert sum("dependency" in sql for sql in second) == 1
    assert len([sql for sql in second if "waiting_on" in sql]) <= 4


def about_workflows(statements: list[str]) -> list[str]:
    return [sql for sql in statements if "waiting_on" in sql or "dependency" in sql]


def record_statements(write: Callable[[], Any]) -> list[str]:
    """Return the statements; those that SQLite's store sends go through no cursor of Django's."""
    statements: list[str] = []
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        connection.connection.set_trace_callback(statements.append)
        write()
        connection.connection.set_trace_callback(None)
        return statements

    def record(execute: Any, sql: str, *arguments: Any) -> Any:
        statements.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(record):
        write()
    return statements


def test_ten_thousand_parts_are_inserted_by_few_statements() -> None:
    graph = {f"p{number}": ((), S) for number in range(10_000)}

    statements = record_statements(lambda: Flow({**graph, "end": (tuple(graph), S)}))

    assert Job.objects.filter(awaited=10_000).exists()
    if connection.vendor == "postgresql":
        assert len(statements) <= 3 + 2 + 2, statements
    assert get_store("default").poll("default").queues == ["default"]
