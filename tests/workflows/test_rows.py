"""The rows that a workflow inserts."""

from __future__ import annotations

import json
from collections import UserList
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from offload import InvalidWorkflow, chain, group, workflow
from offload.lifecycle import JobState
from offload.models import Dependency, Job, LimitNotice
from offload.ownership import acting_for
from offload.reserved_ids import reserve_id
from offload.store.workflow_records import read_workflow
from offload.uuid7 import new_id
from offload.workflows import joints
from tests.workflows import tasks
from tests.workflows.rows import Rows

pytestmark = pytest.mark.django_db


def test_a_node_waits_for_the_node_in_its_arguments() -> None:
    with workflow("import") as flow:
        page = flow.add(tasks.fetch, "https://example.com/")
        flow.add(tasks.echo, page)
    rows = Rows(flow.result)
    assert rows.states == ["ready", "blocked"]
    assert rows.waiting == [0, 1]
    assert rows.dependencies == {(1, 0, 1, 0)}
    assert rows.arguments[1] == [[{"offload:result": 1}], {}]


def test_the_whole_is_a_blocked_job_with_the_name_of_the_workflow() -> None:
    with workflow("Import of pictures", tolerant=True) as flow:
        flow.add(tasks.fetch, "x").named("fetch")
    rows = Rows(flow.result)
    assert flow.result.state == JobState.BLOCKED
    assert (rows.whole.waiting_on, rows.whole.awaited) == (1, 1)
    assert read_workflow(rows.whole.arguments) == {
        "name": "Import of pictures",
        "returns": None,
        "tolerant": True,
        "names": {"fetch": str(rows.parts[0].pk)},
        "task": "",
    }


def test_nodes_are_found_in_other_sequences() -> None:
    with workflow("pair") as flow:
        flow.add(tasks.echo, UserList([flow.add(tasks.fetch, "x"), b"y"]))
    assert Rows(flow.result).arguments[1] == [[[{"offload:result": 1}, "y"]], {}]


def test_nodes_are_found_in_lists_and_dicts() -> None:
    with workflow("nested") as flow:
        page = flow.add(tasks.fetch, "x")
        other = flow.add(tasks.fetch, "y")
        flow.add(tasks.echo, [1, {"page": page}], (other,), option={"deep": [page]})
    rows = Rows(flow.result)
    assert rows.arguments[2] == [
        [[1, {"page": {"offload:result": 1}}], [{"offload:result": 2}]],
        {"option": {"deep": [{"offload:result": 1}]}},
    ]
    assert rows.dependencies == {(2, 0, 1, 0), (2, 1, 2, 0)}


def test_a_group_becomes_a_list_in_order() -> None:
    with workflow("sum") as flow:
        doubled = flow.map(tasks.double, [1, 2, 3], plus=1)
        flow.returns(flow.add(tasks.total, doubled))
    rows = Rows(flow.result)
    assert rows.arguments[:3] == [[[number], {"plus": 1}] for number in (1, 2, 3)]
    assert rows.arguments[3] == [[{"offload:results": 1}], {}]
    assert {(3, 0, 1, 0), (3, 1, 1, 1), (3, 2, 1, 2)} < rows.dependencies
    assert (-1, 3, -1, 0) in rows.dependencies
    assert json.loads(rows.whole.arguments)[1]["returns"] == {"offload:result": -1}


def test_a_map_over_a_group_takes_the_results_one_by_one() -> None:
    with workflow("pipeline") as flow:
        doubled = flow.map(tasks.double, [1, 2])
        flow.map(tasks.double, doubled)
    assert Rows(flow.result).dependencies == {(2, 0, 1, 0), (3, 1, 1, 0)}


def test_a_map_over_nothing_is_an_empty_list() -> None:
    with workflow("nothing") as flow:
        flow.returns(flow.map(tasks.double, []))
    rows = Rows(flow.result)
    assert rows.parts == []
    assert json.loads(rows.whole.arguments)[1]["returns"] == []


def test_order_alone_passes_no_result() -> None:
    with workflow("order") as flow:
        first = flow.add(tasks.fetch, "x")
        flow.add(tasks.echo, first).after(first)
        flow.add(tasks.echo).after(first, when="ended")
        flow.add(tasks.echo).after(first, when="failed")
    rows = Rows(flow.result)
    assert rows.dependencies == {(1, 0, 1, 0), (2, 0, 0, 0), (3, 0, 0, 0)}
    assert rows.conditions == ["succeeded", "succeeded", "ended", "failed"]


def test_a_node_may_wait_for_a_later_one() -> None:
    with workflow("order") as flow:
        flow.add(tasks.echo).after(flow.map(tasks.double, [1, 2]))
    rows = Rows(flow.result)
    assert rows.dependencies == {(0, 1, 0, 0), (0, 2, 0, 0)}
    assert rows.waiting == [2, 0, 0]


def test_the_rows_have_the_options_of_the_tasks() -> None:
    with acting_for(None, tenant="acme"), workflow("options") as flow:
        flow.add(tasks.configured)
        flow.add(tasks.configured.using(priority=9, run_after=timedelta(hours=1)))
        flow.add(tasks.plain, 1)
    first, later, plain = Rows(flow.result).parts
    assert (first.queue_name, first.priority, first.timeout, first.max_attempts) == (
        "slow",
        7,
        5,
        2,
    )
    assert first.expires_at - first.enqueued_at == timedelta(seconds=60)
    assert (later.state, later.priority) == (JobState.SCHEDULED, 9)
    assert (plain.queue_name, plain.tenant) == ("mail", "acme")


def test_the_whole_belongs_to_the_queue_of_the_first_node() -> None:
    with workflow("queue") as flow:
        flow.add(tasks.configured)
    assert Rows(flow.result).whole.queue_name == "slow"


def test_a_node_keeps_the_limit_of_its_task() -> None:
    with workflow("limits") as flow:
        page = flow.add(tasks.fetch, "x")
        flow.add(tasks.call_api, 3, page)
        flow.add(tasks.call_api, 4)
    blocked, waiting = Rows(flow.result).parts[1:]
    path = "tests.workflows.tasks.call_api"
    assert (blocked.state, blocked.limit_key, blocked.limit_slot) == (0, f"{path}:3", None)
    assert (waiting.state, waiting.limit_slot) == (JobState.LIMITED, f"w:{path}:4")
    keys = LimitNotice.objects.values_list("limit_key", flat=True)
    assert set(keys) == {f"{path}:3", f"{path}:4"}


def test_a_limit_cannot_have_its_key_from_a_result() -> None:
    with pytest.raises(Exception, match="result of another node"), workflow("limits") as flow:
        flow.add(tasks.call_api, flow.add(tasks.fetch, "x"))
    assert not Job.objects.exists()


def test_at_once_makes_a_limit_for_the_group() -> None:
    with workflow("width") as flow:
        flow.map(tasks.double, [1, 2]).at_once(8)
        flow.map(tasks.double, [1]).at_once(8)
    one, two, other = Rows(flow.result).parts
    assert one.limit_key == two.limit_key != other.limit_key
    assert one.limit_key.startswith("at_once/8:")
    assert {part.state for part in (one, two, other)} == {JobState.LIMITED}


def test_at_once_does_not_replace_a_limit() -> None:
    with (
        pytest.raises(InvalidWorkflow, match=r"a limit already, by its option concurrency"),
        workflow("width") as flow,
    ):
        flow.map(tasks.two_at_once, [1]).at_once(8)


def test_groups_that_wait_for_each_other_have_a_joint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joints, "MAX_DIRECT", 8)
    with workflow("layers") as flow:
        first = flow.map(tasks.double, [1, 2, 3])
        second = [flow.add(tasks.total, first) for _ in range(3)]
        flow.add(tasks.echo).after(*second)
    rows = Rows(flow.result)
    joint = rows.parts[7]
    assert joint.task_path == "offload.workflows.tasks.join"
    order = {(7, number, 0, 0) for number in range(3)}
    handed_over = {(7, number, -1, number) for number in range(3)}
    children = {(child, 7, 1, 0) for child in (3, 4, 5)}
    assert rows.dependencies >= order | handed_over | children
    assert len(rows.dependencies) == 3 + 3 + 3 + 3
    assert rows.arguments[4] == [[{"offload:result": 1}], {}]


def test_a_joint_runs_where_the_nodes_before_it_do(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = {**settings.TASKS["default"], "QUEUES": ["reports"]}
    settings.TASKS = {**settings.TASKS, "reports": reports}
    monkeypatch.setattr(joints, "MAX_DIRECT", 3)
    report = tasks.double.using(backend="reports", queue_name="reports")
    with workflow("reports") as flow:
        page = flow.add(tasks.fetch, "x")
        first = flow.map(report, [1, 2]).after(page)
        for _ in range(2):
            flow.add(tasks.total, first)
    rows = Rows(flow.result)
    (joint,) = (part for part in rows.parts if part.task_path == "offload.workflows.tasks.join")
    assert (joint.backend, joint.queue_name) == ("reports", "reports")
    assert (rows.whole.backend, rows.whole.queue_name) == ("default", "default")


def test_nodes_after_a_failure_need_no_joint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joints, "MAX_DIRECT", 3)
    with workflow("refunds") as flow:
        first = flow.map(tasks.double, [1, 2])
        for _ in range(2):
            flow.add(tasks.echo).after(first, when="failed")
    assert len(Rows(flow.result).parts) == 4


def test_the_whole_takes_the_id_that_a_view_has_reserved() -> None:
    reserved = new_id()
    with reserve_id(reserved):
        result = chain(tasks.fetch.partial("x"), tasks.echo).enqueue()
    assert result.id == str(reserved)


def test_an_exception_in_the_block_inserts_nothing() -> None:
    with suppress(ZeroDivisionError), workflow("broken") as flow:
        flow.add(tasks.fetch, "x")
        _ = 1 / 0
    assert not Job.objects.exists()


def test_a_rollback_of_the_callers_transaction_takes_the_workflow_along() -> None:
    with transaction.atomic():
        chain(tasks.fetch.partial("x"), tasks.echo).enqueue()
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    assert not Dependency.objects.exists()


def test_a_workflow_needs_few_statements() -> None:
    with CaptureQueriesContext(connection) as queries, workflow("wide") as flow:
        flow.returns(flow.add(tasks.total, flow.map(tasks.double, range(1000))))
    assert len(queries) <= 6


def test_chains_and_groups_nest() -> None:
    result = chain(
        group(chain(tasks.fetch, tasks.echo), chain(tasks.fetch, tasks.echo)), tasks.echo
    ).enqueue("x")
    rows = Rows(result)
    assert rows.waiting == [0, 1, 0, 1, 2]
    assert rows.arguments[4] == [[{"offload:results": 1}], {}]
    assert json.loads(rows.whole.arguments)[0] == ["echo"]


def test_a_group_of_groups_is_a_list_of_lists() -> None:
    inner = group(tasks.double.partial(1), tasks.double.partial(2))
    result = group(inner, tasks.double.partial(3)).then(tasks.echo, title="x").enqueue()
    rows = Rows(result)
    assert rows.arguments[3] == [
        [[{"offload:results": 1}, {"offload:result": 2}]],
        {"title": "x"},
    ]
    assert rows.dependencies >= {(3, 0, 1, 0), (3, 1, 1, 1), (3, 2, 2, 0)}
