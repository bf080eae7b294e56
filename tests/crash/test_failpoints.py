"""Each failpoint with each action: trigger it, recover, and judge."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from offload import queues
from offload.lifecycle import JobState
from offload.models import Attempt, Dependency, Job, Worker
from offload.store import get_store
from offload.store.records import ClaimRequest
from offload.uuid7 import new_id
from tests.crash import tasks
from tests.crash.processes import Process, resume, state_of
from tests.crash.scenario import Scenario
from tests.crash.summary import keep
from tests.waiting import happens_within
from tests.workflow_rows import Flow, S

EXCHANGE = ("exchange.started", "exchange.finished", "exchange.claimed", "exchange.committed")
SECOND_EXCHANGE = tuple(f"{name}@2" for name in EXCHANGE)
WORKER = (
    "registration.entered",
    "worker.started",
    *EXCHANGE,
    *SECOND_EXCHANGE,
    "worker.exchanged",
    "worker.exchanged@2",
    "worker.promoted",
    "rescue.before_finish",
    "worker.rescued",
    "registration.heartbeat",
    "prune.attempts_deleted",
    "prune.dependencies_deleted",
    "worker.stopping",
    "worker.stopped",
)
ATOMIC = ("executor.atomic_returned", "executor.atomic_finished", "executor.atomic_committed")
CHILD = (
    "child.started",
    "executor.started",
    "executor.returned",
    *ATOMIC,
    "child.reporting",
    "child.reported",
)
MAINTENANCE = (
    "rescue.before_finish",
    "worker.promoted",
    "registration.heartbeat",
    "prune.attempts_deleted",
)
LIMITS = ("limits.opened", "limits.locked", "limits.claimed")
PAUSES = ("pauses.claimed", "pauses.parked", "pauses.released", "worker.released_parked")
STOPS = ("exchange.committed", *SECOND_EXCHANGE, *ATOMIC)
LOCKING = {
    *("exchange.finished", "exchange.claimed", "executor.atomic_finished"),
    *LIMITS,
    *("queues.locked", "pauses.claimed", "pauses.parked", "pauses.released"),
}
"""Failpoints at which rows of jobs, keys or queues are locked, so that no worker can take them
over."""
IN_TRANSACTION = {"exchange.started", "executor.atomic_returned"}
"""Failpoints at which SQLite's only write lock is held."""
TAKE_OVER_SECONDS = 5.0
"""Time in which a second worker finishes the jobs whose rows are not locked."""
PAUSED = (tasks.busy, tasks.limited)
PLACES = {
    "kill": (*WORKER, *CHILD, *LIMITS, "queues.locked", *PAUSES),
    "raise": (*EXCHANGE, "worker.exchanged", "rescue.before_finish"),
    "outage": (
        *(*EXCHANGE, *SECOND_EXCHANGE, *MAINTENANCE, *ATOMIC),
        *("limits.claimed@2", "queues.locked", "pauses.parked", "pauses.released"),
    ),
    "stop": (*STOPS, "limits.locked", "worker.released_parked"),
    "exit": ("exchange.committed@2", "executor.started", "child.reporting"),
}
"""The failpoints for each action; `@2` acts when the failpoint is reached the second time."""
IN_STATEMENTS = ("exchange.", "executor.atomic_", "limits.", "prune.", "rescue.", "worker.promoted")
"""Beginnings of the names of failpoints between statements. At the others a process holds no lock
and no transaction; SQLite and PostgreSQL show what its end there leaves in the database."""
if connection.vendor == "mysql":
    PLACES = {
        action: tuple(place for place in places if place.startswith(IN_STATEMENTS))
        for action, places in PLACES.items()
    }


@pytest.mark.parametrize(
    ("place", "action"),
    [
        pytest.param(place, action, id=f"{place}:{action}")
        for action, places in PLACES.items()
        for place in places
    ],
)
def test_nothing_is_lost_stale_or_doubled(
    scenario: Scenario, record_property: Any, place: str, action: str
) -> None:
    name, _, acts_at = place.partition("@")
    scenario.enqueue_mix()
    scenario.enqueue(tasks.note, run_after=timedelta(seconds=0.3))
    prepare(scenario, name)
    worker = scenario.start(failpoint=f"{name}:{action}@{acts_at or 1}")
    if name in {"worker.stopping", "worker.stopped"}:
        scenario.wait_for(scenario.log.exists, "a job starts")
        worker.send(signal.SIGTERM)
    if name in PAUSES:
        resume_tasks(scenario, name)
    recover(scenario, worker, name, action)
    verdict = scenario.judge()
    check_pruning()
    keep(record_property, f"{place}:{action}", verdict)


def recover(scenario: Scenario, worker: Process, name: str, action: str) -> None:
    """Wait until the failpoint triggers, then finish the jobs with the remaining processes."""
    pid = scenario.wait_for_failpoint()
    if action == "stop":
        take_over(scenario, worker, pid, name)
    elif pid == worker.pid and action != "outage":
        worker.family()
        worker.wait()
        scenario.wait_for(lambda: not worker.survivors(), "no process outlives its worker")
        scenario.drain()
    else:  # the worker itself must recover
        scenario.wait_until_finished()
        assert worker.stop() == 0, worker.output


def take_over(scenario: Scenario, worker: Process, pid: int, name: str) -> None:
    """Finish a frozen worker's jobs with a second worker, then resume the first."""
    scenario.wait_for(lambda: state_of(pid) == "stopped", "the process is frozen")
    if pid != worker.pid:  # a child: its worker would only wait for it
        worker.send(signal.SIGSTOP)
    second = scenario.start(processes=0, threads=4)
    frozen = Worker.objects.filter(pid=worker.pid)
    scenario.wait_for(
        lambda: not frozen.filter(expires_at__gt=timezone.now()).exists(), "the lease expires"
    )
    if name not in LOCKING and (name not in IN_TRANSACTION or connection.vendor != "sqlite"):
        if pid == worker.pid:
            scenario.wait_until_finished()
        else:  # the worker and other threads were frozen anywhere, maybe holding locks
            happens_within(TAKE_OVER_SECONDS, scenario.have_finished)
    resume(pid)
    resume(worker.pid)
    scenario.wait_until_finished()
    for process in (worker, second):
        scenario.wait_for(Worker.objects.filter(pid=process.pid).exists, "the worker continues")
        assert process.stop() == 0, process.output


def prepare(scenario: Scenario, name: str) -> None:
    """Create the rows without which the failpoint is not reached."""
    if "rescue" in name:
        leave_orphans(scenario)
    elif "prune" in name:
        leave_old_jobs()
        leave_old_workflow()
    elif name in LIMITS:
        for customer in "aabbc" * 2:
            scenario.enqueue(tasks.limited, customer)
    elif name == "queues.locked":
        queues.limit("default", concurrency=3)
    elif name in PAUSES:
        pause_tasks(scenario)


def pause_tasks(scenario: Scenario) -> None:
    for task in PAUSED:
        task.pause()
        for customer in "ab" * 5:
            scenario.enqueue(task, customer)


def resume_tasks(scenario: Scenario, name: str) -> None:
    """End the pauses once a worker has come to the jobs, of which none has started."""
    jobs = Job.objects.filter(task_path__in=[task.module_path for task in PAUSED])
    if "released" not in name:
        scenario.wait_for_failpoint()
    else:
        parked = jobs.filter(limit_slot__startswith="p:")
        scenario.wait_for(lambda: parked.count() == 20, "all jobs are put aside")
    assert (jobs.count(), jobs.filter(fence=0).count()) == (20, 20)
    for task in PAUSED:
        task.resume()


def leave_orphans(scenario: Scenario) -> None:
    """Claim some jobs for a dead worker."""
    store = get_store("default")
    dead = Worker(
        id=new_id(), backend="default", hostname="", pid=0, queues="", processes=1, threads=1
    )
    store.register(dead, lease=-1)
    claimed = store.exchange(
        store.key(dead.pk), [], ClaimRequest("default", ["default"], 3, 0)
    ).claimed
    assert len(claimed) == 3


def leave_old_jobs() -> None:
    store = get_store("default")
    old = tasks.note.enqueue("old")
    Job.objects.filter(pk=old.id).update(
        state=JobState.SUCCESSFUL, finished_at=store.now(after=-10 * 86_400)
    )
    Attempt.objects.create(
        job_id=old.id,
        fence=1,
        number=1,
        worker=new_id(),
        started_at=store.now(),
        finished_at=store.now(),
    )


def leave_old_workflow() -> None:
    flow = Flow({"a": ((), S), "b": (("a",), S)})
    Job.objects.filter(pk__in=flow.ids.values()).update(
        state=JobState.SUCCESSFUL, finished_at=flow.store.now(after=-10 * 86_400)
    )


def check_pruning() -> None:
    """Check that pruning left no attempt and no dependency without its job, and no lone part."""
    jobs = set(Job.objects.values_list("pk", flat=True))
    assert set(Dependency.objects.values_list("child", flat=True)) <= jobs
    workflows = Job.objects.filter(workflow__isnull=False).values_list("workflow", flat=True)
    assert set(workflows) <= jobs
    assert set(Attempt.objects.values_list("job_id", flat=True)) <= jobs
