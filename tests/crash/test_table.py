"""Failpoint x action x database: strike, recover, and judge."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from offload.lifecycle import JobState
from offload.models import Attempt, Job, Worker
from offload.store import get_store
from offload.store.records import ClaimRequest
from offload.uuid7 import new_id
from tests.crash import tasks
from tests.crash.processes import Process, resume, state_of
from tests.crash.table import keep
from tests.crash.waiting import happens_within
from tests.crash.world import World

EXCHANGE = ("exchange.begun", "exchange.finished", "exchange.claimed", "exchange.committed")
ENGINE = (
    "registration.entered",
    "engine.started",
    *EXCHANGE,
    *(f"{name}@2" for name in EXCHANGE),
    "engine.exchanged",
    "engine.exchanged@2",
    "engine.promoted",
    "rescue.before_finish",
    "engine.rescued",
    "registration.beat",
    "prune.attempts_deleted",
    "engine.leaving",
    "engine.left",
)
ATOMIC = ("executor.atomic_returned", "executor.atomic_finished", "executor.atomic_committed")
CHILD = (
    "child.started",
    "executor.begun",
    "executor.returned",
    *ATOMIC,
    "child.reporting",
    "child.reported",
)
DUTIES = ("rescue.before_finish", "engine.promoted", "registration.beat", "prune.attempts_deleted")
STOPS = ("exchange.committed", *(f"{name}@2" for name in EXCHANGE), *ATOMIC)
LOCKING = {"exchange.finished", "exchange.claimed", "executor.atomic_finished"}
"""Where rows of jobs are locked, so that nobody can take them over."""
IN_TRANSACTION = {"exchange.begun", "executor.atomic_returned"}
"""Where SQLite's one lock for writing is held."""
TAKE_OVER = 5.0
"""Seconds in which a second engine does what nobody has locked."""
CELLS = [
    *((name, "kill") for name in (*ENGINE, *CHILD)),
    *((name, "raise") for name in (*EXCHANGE, "engine.exchanged", "rescue.before_finish")),
    *(
        (name, "outage")
        for name in (*EXCHANGE, *(f"{name}@2" for name in EXCHANGE), *DUTIES, *ATOMIC)
    ),
    *((name, "stop") for name in STOPS),
    *((name, "exit") for name in ("exchange.committed@2", "executor.begun", "child.reporting")),
]


@pytest.mark.parametrize(
    ("place", "action"), CELLS, ids=[f"{place}:{action}" for place, action in CELLS]
)
def test_nothing_is_lost_stale_or_doubled(
    world: World, record_property: Any, place: str, action: str
) -> None:
    name, _, passage = place.partition("@")
    world.enqueue_mix()
    world.enqueue(tasks.note, run_after=timedelta(seconds=0.3))
    prepare(world, name)
    worker = world.start(failpoint=f"{name}:{action}@{passage or 1}")
    if name in {"engine.leaving", "engine.left"}:
        world.wait_for(world.ledger.exists, "a job begins")
        worker.send(signal.SIGTERM)
    strike(world, worker, name, action)
    verdict = world.judge()
    check_pruning()
    keep(record_property, f"{place}:{action}", verdict)


def strike(world: World, worker: Process, name: str, action: str) -> None:
    """Wait for the strike, and have the jobs done by whoever is left."""
    struck = world.wait_for_strike()
    if action == "stop":
        take_over(world, worker, struck, name)
    elif struck == worker.pid and action != "outage":
        worker.family()
        worker.wait()
        world.wait_for(lambda: not worker.survivors(), "nothing outlives its engine")
        world.drain()
    else:  # the engine must cope
        world.wait_until_ended()
        assert worker.stop() == 0, worker.output


def take_over(world: World, worker: Process, struck: int, name: str) -> None:
    """Let a second engine do the jobs of one that is frozen, then wake it."""
    world.wait_for(lambda: state_of(struck) == "stopped", "the process is frozen")
    if struck != worker.pid:  # a child, for which its engine would only wait
        worker.send(signal.SIGSTOP)
    second = world.start(processes=0, threads=4)
    frozen = Worker.objects.filter(pid=worker.pid)
    world.wait_for(
        lambda: not frozen.filter(expires_at__gt=timezone.now()).exists(), "the lease runs out"
    )
    if name not in LOCKING and (name not in IN_TRANSACTION or connection.vendor != "sqlite"):
        if struck == worker.pid:
            world.wait_until_ended()
        else:  # the engine and other threads were frozen wherever they were, maybe with locks
            happens_within(TAKE_OVER, world.have_ended)
    resume(struck)
    resume(worker.pid)
    world.wait_until_ended()
    for process in (worker, second):
        world.wait_for(Worker.objects.filter(pid=process.pid).exists, "the engine goes on")
        assert process.stop() == 0, process.output


def prepare(world: World, name: str) -> None:
    """Make what the failpoint needs to be passed."""
    if "rescue" in name:
        leave_orphans(world)
    if "prune" in name:
        leave_old_jobs()


def leave_orphans(world: World) -> None:
    """Claim some jobs for an engine that is dead."""
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


def check_pruning() -> None:
    """No attempt was left without its job."""
    jobs = set(Job.objects.values_list("pk", flat=True))
    assert set(Attempt.objects.values_list("job_id", flat=True)) <= jobs
