"""Workflows while workers are killed: each part after those before it, and none waits for ever."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from offload.lifecycle import JobState
from offload.models import Job, Worker, WorkflowNotice
from offload.store import get_store
from tests.adding_tasks import split_into_notes
from tests.crash import execution_log, tasks
from tests.crash.scenario import Scenario
from tests.crash.summary import keep
from tests.workflow_rows import E, F, Flow, Graph, S

KINDS = {"fail": tasks.fail, "effect": tasks.effect, "split": split_into_notes}
"""The tasks of parts by the words with which their names start; all others are notes."""
ADDED = 3
"""Parts that "split" adds."""
CHAINS, LENGTH, KILLS = 6, 8, 3
PLACES = (
    "workflows.locked",
    "workflows.released",
    "workflows.ended",
    "workflows.noticed",
    "workflows.taken",
    "workflows.cancelled",
    "worker.stepped_workflows",
    "workflows.inserted",
    "workflows.connected",
    "workflows.added",
    "executor.parts_added",
    "executor.parts_committed",
)
"""Failpoints of workers and of their child processes."""
RANDOM_PARTS = 40
STATES = {"fail": JobState.FAILED}
"""The states in which parts end that run, if they do not succeed."""


class FlowInScenario(Flow):
    """A workflow whose parts log their executions: each part's token is its name."""

    def __init__(self, scenario: Scenario, prefix: str, graph: Graph) -> None:
        self.tokens = {name: f"{prefix}{name}" for name in graph}
        kinds = {name: name.split("_")[0] for name in graph}
        super().__init__(
            graph,
            task=tasks.note,
            tasks={name: KINDS[kind] for name, kind in kinds.items() if kind in KINDS},
            arguments={
                name: json.dumps([[token, ADDED] if name == "split" else [token], {}])
                for name, token in self.tokens.items()
            },
        )
        scenario.accepted |= {self.tokens[name]: str(self.ids[name]) for name in graph}


def assert_order(scenario: Scenario, graph: Graph, flow: FlowInScenario) -> None:
    """Assert that no part started before those before it had ended."""
    starts = execution_log.by_token(scenario.log, "start")
    order = {
        token: [int(entry.value.split("/")[3]) for entry in entries]
        for token, entries in starts.items()
    }
    for name, (parents, _) in graph.items():
        for parent in parents:
            first, last = order.get(flow.tokens[name]), order.get(flow.tokens[parent])
            if first and last:
                assert min(first) > max(last), f"{name} started before {parent} had ended"


GRAPH: Graph = {
    "a": ((), S),
    "effect_b": (("a",), S),
    "c": (("effect_b",), S),
    "fail_d": (("c",), S),
    "e": (("fail_d",), S),
    "skipped": (("c",), F),
    "refund": (("fail_d",), F),
    "clean": (("e", "skipped"), E),
    "split": (("a",), S),
    "after": (("split",), S),
}
NOT_JUDGED = {"e", "skipped", "split"}
"""Parts that never run, or that return something else than their execution's mark."""


@pytest.mark.parametrize("place", PLACES)
def test_a_worker_killed_at_any_step_leaves_no_part_waiting(
    scenario: Scenario, record_property: Any, place: str
) -> None:
    flow = FlowInScenario(scenario, "", GRAPH)
    for name in NOT_JUDGED:
        del scenario.accepted[flow.tokens[name]]
    other = FlowInScenario(scenario, "other-", {"a": ((), S), "b": (("a",), S)})
    for token in other.tokens.values():
        del scenario.accepted[token]
    other.store.cancel(other.id)
    worker = scenario.start(failpoint=f"{place}:kill")
    if scenario.wait_for_failpoint() == worker.pid:
        worker = scenario.start(processes=0, threads=4)
    scenario.wait_for(lambda: flow.state.is_finished and other.state.is_finished, "both end")
    assert worker.stop() == 0, worker.output

    adopt_added_parts(scenario, flow)
    verdict = scenario.judge()
    assert_order(scenario, GRAPH, flow)
    states = flow.states
    assert (states[""], states["e"], states["skipped"]) == (
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.SKIPPED,
    )
    assert (states["refund"], states["clean"]) == (JobState.SUCCESSFUL, JobState.SUCCESSFUL)
    assert other.state == other.states["b"] == JobState.CANCELLED
    assert not WorkflowNotice.objects.exists()
    keep(record_property, f"{place}:kill", verdict)


def adopt_added_parts(scenario: Scenario, flow: FlowInScenario) -> None:
    """Assert that "split" has added its parts once, before "after", and let them be judged."""
    added = Job.objects.filter(workflow=flow.id).exclude(pk__in=flow.ids.values())
    tokens = {job.arguments.split('"')[1]: job for job in added}
    assert sorted(tokens) == [f"split-{number}" for number in range(ADDED)]
    assert len(added) == ADDED
    for token, job in tokens.items():
        scenario.accepted[token] = str(job.pk)
        assert job.finished_at <= flow.row("after").last_attempted_at


def test_workers_killed_at_any_time_leave_no_part_waiting(scenario: Scenario) -> None:
    graph: dict[str, Any] = {}
    for chain in range(CHAINS):
        for number in range(LENGTH):
            kind = "effect_" if number % 3 == 1 else ""
            before = () if number == 0 else (previous,)  # noqa: F821
            previous = f"{kind}{chain}x{number}"
            graph[previous] = (before, S)
    graph["end"] = (tuple(graph), S)
    flow = FlowInScenario(scenario, "", graph)
    for token in flow.tokens.values():
        scenario.limit_worker_losses(token, 10)
    workers = [scenario.start(processes=0, threads=3) for _ in range(2)]
    parts = Job.objects.filter(workflow=flow.id, finished_at__isnull=False)
    for kill in range(KILLS):
        finished = (kill + 1) * len(graph) // (KILLS + 2)
        scenario.wait_for(lambda: parts.count() >= finished, f"{finished} parts end")  # noqa: B023
        workers.pop(0).kill()
        workers.append(scenario.start(processes=0, threads=3))
    scenario.wait_for(lambda: flow.state.is_finished, "the workflow ends")

    scenario.judge()
    assert_order(scenario, graph, flow)
    assert set(flow.states.values()) == {JobState.SUCCESSFUL}
    assert flow.row().waiting_on == 0
    assert get_store("default").count_parts(flow.id) == {JobState.SUCCESSFUL: len(graph)}


def test_a_retry_that_is_killed_changes_nothing(scenario: Scenario) -> None:
    graph: Graph = {"a": ((), S), "fail_b": (("a",), S), "c": (("fail_b",), E)}
    flow = FlowInScenario(scenario, "", graph)
    scenario.drain()
    scenario.wait_for(lambda: flow.state == JobState.FAILED, "the workflow ends")
    before = flow.states

    scenario.run(
        ["-m", "django", "offload_jobs", "retry", str(flow.id)],
        {
            **scenario.environment,
            "OFFLOAD_FAILPOINT": "workflows.retried:kill",
            "OFFLOAD_FAILPOINT_MARK": str(scenario.mark),
        },
    )
    scenario.wait_for_failpoint()
    scenario.processes[-1].wait()

    assert flow.states == before
    assert not WorkflowNotice.objects.exists()
    get_store("default").retry(flow.id)
    assert (flow.state, flow.states["fail_b"]) == (JobState.BLOCKED, JobState.READY)
    worker = scenario.start(processes=0, threads=2)
    scenario.wait_for(lambda: flow.state == JobState.FAILED, "the workflow ends again")
    assert worker.stop() == 0, worker.output
    assert len(scenario.started(flow.tokens["a"])) == 1
    assert len(scenario.started(flow.tokens["fail_b"])) == 2


def random_graph(chance: random.Random) -> dict[str, Any]:
    """Return parts of which each waits for some of the last ones before it."""
    graph: dict[str, Any] = {}
    for number in range(RANDOM_PARTS):
        before = list(graph)[-8:]
        parents = chance.sample(before, min(len(before), chance.choice((0, 1, 1, 2, 3))))
        kind = chance.choices(("", "effect_", "fail_"), (12, 4, 2))[0]
        when = chance.choices((S, E, F), (12, 4, 3))[0] if parents else S
        graph[f"{kind}p{number}"] = (tuple(parents), when)
    return graph


def possible_states(graph: Graph) -> dict[str, set[JobState]]:
    """Return how each part may end; which of two parts before it ended first is left to chance."""
    states: dict[str, set[JobState]] = {}
    for name, (parents, when) in graph.items():
        before = [states[parent] for parent in parents]
        own = {STATES.get(name.split("_")[0], JobState.SUCCESSFUL)}
        bad = set().union(*(each - {JobState.SUCCESSFUL} for each in before))
        if when == S and bad:
            own = {JobState.SKIPPED} if JobState.SKIPPED in bad else set()
            own |= {JobState.CANCELLED} if bad - {JobState.SKIPPED} else set()
        elif when == F and JobState.FAILED not in bad:
            own = {JobState.SKIPPED}
        states[name] = own
    return states


@pytest.mark.parametrize("seed", [1, 2])
def test_random_workflows_end_while_their_workers_are_killed(scenario: Scenario, seed: int) -> None:
    chance = random.Random(seed)
    graphs = [random_graph(chance) for _ in range(2)]
    flows = [FlowInScenario(scenario, f"{number}-", graph) for number, graph in enumerate(graphs)]
    for token in scenario.accepted:
        scenario.limit_worker_losses(token, 10)
    workers = [scenario.start(processes=0, threads=3) for _ in range(2)]
    ended = Job.objects.filter(workflow__isnull=False, finished_at__isnull=False)
    for kill in range(KILLS):
        count = (kill + 1) * 2 * RANDOM_PARTS // (KILLS + 2)
        scenario.wait_for(lambda: ended.count() >= count, f"{count} parts end")  # noqa: B023
        workers.pop(0).kill()
        workers.append(scenario.start(processes=0, threads=3))
    scenario.wait_for(lambda: all(flow.state.is_finished for flow in flows), "both end")
    for worker in workers:
        registered = Worker.objects.filter(pid=worker.pid)
        scenario.wait_for(registered.exists, "the worker can be stopped")
        assert worker.stop() == 0, worker.output

    for graph, flow in zip(graphs, flows, strict=True):
        states = flow.states
        for name, possible in possible_states(graph).items():
            assert states[name] in possible, name
            if states[name] in {JobState.SKIPPED, JobState.CANCELLED}:
                token = flow.tokens[name]
                del scenario.accepted[token]
                assert not scenario.started(token)
        assert_order(scenario, graph, flow)
        assert flow.row().waiting_on == 0
    scenario.judge()
    assert not Job.objects.filter(finished_at=None).exists()
    assert not WorkflowNotice.objects.exists()
