"""Random workflows while several workers run them, and users cancel parts and whole workflows."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat

import pytest
from django.db import OperationalError, connection, transaction

from offload.lifecycle import (
    JobState,
    Outcome,
    RunWhen,
    failed,
    released,
    retried,
    snoozed,
    succeeded,
)
from offload.models import Job, WorkflowNotice
from offload.store import get_store
from offload.store.errors import is_contention
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, ClaimRequest, FinishedJob
from tests.jobs import FAILURE, register_worker
from tests.waiting import TIMEOUT_SECONDS
from tests.workflow_rows import E, F, Flow, Graph, S

FLOWS, PARTS = 8, 30
WORKERS = 4
CANCELS = 12
SUCCESSFUL, CANCELLED, SKIPPED = JobState.SUCCESSFUL, JobState.CANCELLED, JobState.SKIPPED
FAILURES = {JobState.FAILED, JobState.EXPIRED}
EXPIRED = failed(FAILURE)._replace(state=int(JobState.EXPIRED))
OUTCOMES: list[tuple[int, Callable[[], Outcome]]] = [
    (20, lambda: succeeded("null")),
    (2, lambda: failed(FAILURE)),
    (1, lambda: EXPIRED),
    (1, released),
    (1, lambda: retried(FAILURE, 0.0)),
    (1, lambda: snoozed(0.005)),
]
NO_FAILURES = [(1, lambda: succeeded("null")), (1, released)]
REQUEST = ClaimRequest("default", ("default",), 6, 6)
LIMITED = LimitedRequest("default", (), (), 6, 6)

pytestmark = pytest.mark.django_db(transaction=True)


def random_graph(chance: random.Random) -> Graph:
    """Return parts of which each waits for some of the last ones before it."""
    graph: dict[str, tuple[tuple[str, ...], object]] = {}
    names = [f"p{number}" for number in range(PARTS)]
    for number, name in enumerate(names):
        before = names[max(0, number - 8) : number]
        parents = chance.sample(before, min(len(before), chance.choice((0, 1, 1, 2, 3, 6))))
        graph[name] = (tuple(parents), chance.choices((S, E, F), (14, 4, 2))[0] if parents else S)
    return graph  # type: ignore[return-value]


class Crowd:
    """Workers and a user, each in a thread; on SQLite, which has one writer, in turn."""

    def __init__(self, flows: list[tuple[Graph, Flow]]) -> None:
        self.outcomes = OUTCOMES
        self.cancelled: set[str] = set()
        """The parts and workflows that the user has cancelled."""
        self.contentions = 0
        self._flows = [flow for _, flow in flows]
        self._parents = {
            flow.store.key(flow.ids[name]): [flow.ids[parent] for parent in parents]
            for graph, flow in flows
            for name, (parents, _) in graph.items()
        }
        self._store = get_store("default")
        self._is_done = threading.Event()
        self._lock = threading.Lock()
        self.ended: set[str] = set()

    def run(self, cancels: int = 0) -> None:
        """Run all parts until no workflow lives."""
        self._is_done.clear()
        changes = self._cancel(random.Random(1), cancels)
        if connection.vendor == "sqlite":
            self._work(random.Random(0), changes)
            return
        roles = [partial(self._change, changes)]
        roles += [partial(self._work, random.Random(seed), repeat(None)) for seed in range(WORKERS)]
        with ThreadPoolExecutor(len(roles)) as threads:
            for future in [threads.submit(self._play, role) for role in roles]:
                future.result(TIMEOUT_SECONDS)

    def _play(self, role: Callable[[], None]) -> None:
        try:
            role()
        except BaseException:
            self._is_done.set()
            raise
        finally:
            connection.close()

    def _change(self, changes: Iterator[None]) -> None:
        for _ in changes:
            self._is_done.wait(0.02)

    def _cancel(self, chance: random.Random, count: int) -> Iterator[None]:
        for number in range(count):
            flow = chance.choice(self._flows)
            job = flow.ids[chance.choice([name for name in flow.ids if name])]
            if number == count - 1:
                job = flow.id
            with transaction.atomic():
                if self._store.cancel(job) is not None:
                    self.cancelled.add(self._store.key(job))
            yield

    def _work(self, chance: random.Random, changes: Iterator[None]) -> None:
        worker = register_worker()
        held: list[ClaimedJob] = []
        while not self._is_done.is_set() or held:
            next(changes, None)
            self._store.promote()
            chance.shuffle(held)
            count = chance.randint(min(1, len(held)), len(held))
            finished = [(job, self._outcome(chance)) for job in held[:count]]
            claimed = self._write(worker, finished, is_atomic=chance.random() < 0.2)
            held = held[count:] + claimed
            step = self._retry_contention(lambda: self._store.step_workflows(worker))
            if not held and not finished and step.next_in is None:
                if not Job.objects.filter(state__lt=SUCCESSFUL).exists():
                    self._is_done.set()
                self._is_done.wait(0.002)

    def _outcome(self, chance: random.Random) -> Outcome:
        weights = [weight for weight, _ in self.outcomes]
        return chance.choices(self.outcomes, weights)[0][1]()

    def _write(
        self, worker: str, finished: list[FinishedJob], *, is_atomic: bool
    ) -> list[ClaimedJob]:
        with self._lock:  # before the write: nobody can see the ends earlier
            self.ended |= {
                job.id for job, outcome in finished if JobState(outcome.state).is_finished
            }

        def write() -> list[ClaimedJob]:
            if is_atomic:  # as a task in its own transaction does
                with transaction.atomic():
                    assert self._store.finish(finished).refused == []
                return []
            result = self._store.exchange(worker, finished, REQUEST, (), LIMITED)
            assert not result.refused
            return result.claimed

        claimed = self._retry_contention(write)
        parents = {parent for job in claimed for parent in self._parents[job.id]}
        assert not Job.objects.filter(pk__in=parents, state__lt=SUCCESSFUL).exists()
        with self._lock:
            assert self.ended.isdisjoint(job.id for job in claimed)
        return claimed

    def _retry_contention[T](self, write: Callable[[], T]) -> T:
        while True:
            try:
                return write()
            except OperationalError as error:
                if not is_contention(error):
                    raise
                self.contentions += 1


def find_contradictions(graph: Graph, flow: Flow, cancelled: set[str]) -> Iterator[str]:
    """Yield the parts whose end does not follow from the ends of those before them."""
    states = flow.states
    is_cancelled = flow.store.key(flow.id) in cancelled
    for name, (parents, run_when) in graph.items():
        state, before = states[name], {states[parent] for parent in parents}
        has_failed = bool(before & FAILURES)
        match run_when:
            case RunWhen.SUCCEEDED if before & {*FAILURES, CANCELLED}:
                allowed = {CANCELLED, SKIPPED} if SKIPPED in before else {CANCELLED}
            case RunWhen.SUCCEEDED if SKIPPED in before:
                allowed = {SKIPPED}
            case RunWhen.FAILED if not has_failed:
                allowed = {SKIPPED}
            case _:
                allowed = {SUCCESSFUL, *FAILURES}
        if is_cancelled or flow.store.key(flow.ids[name]) in cancelled:
            allowed.add(CANCELLED)
        if state not in allowed:
            yield f"{name} is {state} after {before}, run_when={run_when}"


def test_parts_run_once_after_those_before_them_whatever_happens() -> None:
    chance = random.Random(7)
    graphs = [random_graph(chance) for _ in range(FLOWS)]
    flows = [(graph, Flow(graph)) for graph in graphs]
    crowd = Crowd(flows)

    crowd.run(CANCELS)

    for graph, flow in flows:
        assert list(find_contradictions(graph, flow, crowd.cancelled)) == []
        assert_ended(flow)
    assert not WorkflowNotice.objects.exists()

    retried_flows = [(graph, flow) for graph, flow in flows if flow.store.retry(flow.id)]
    assert len(retried_flows) > FLOWS // 2
    successful = Job.objects.filter(state=SUCCESSFUL).values_list("pk", flat=True)
    crowd.ended = {get_store("default").key(pk) for pk in successful}
    crowd.outcomes = NO_FAILURES
    crowd.run()

    for _, flow in flows:
        assert set(flow.states.values()) <= {SUCCESSFUL, SKIPPED}
        assert_ended(flow)
    assert not WorkflowNotice.objects.exists()
    assert crowd.contentions == 0


def assert_ended(flow: Flow) -> None:
    assert flow.state.is_finished
    assert flow.row().waiting_on == 0
    states = {state for name, state in flow.states.items() if name}
    if states <= {SUCCESSFUL, SKIPPED}:
        assert flow.state == SUCCESSFUL
    else:
        assert flow.state in {JobState.FAILED, CANCELLED}
