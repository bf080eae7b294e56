"""Engines that stand still longer than their lease, and wake."""

from __future__ import annotations

import signal

import psutil
from django.db import connection

from offload.lifecycle import JobState
from offload.models import Worker
from tests.crash import tasks
from tests.crash.processes import Process
from tests.crash.world import World


def freeze(world: World, worker: Process) -> Process:
    """Stop an engine's process, not its children; return a second engine that took over."""
    (old,) = Worker.objects.filter(pid=worker.pid)
    worker.send(signal.SIGSTOP)
    second = world.start(threads=8)
    world.wait_for(lambda: not Worker.objects.filter(pk=old.pk).exists(), "the lease is taken")
    return second


def test_late_outcomes_of_a_frozen_engine_are_refused(world: World) -> None:
    worker = world.start(threads=8)
    tokens = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(3)]
    if connection.vendor != "sqlite":  # there, nobody could take over while it writes
        tokens.append(world.enqueue(tasks.effect_wait_for, world.path("gate")))
    world.wait_until_begun(*tokens)
    second = freeze(world, worker)
    world.wait_until_begun(*tokens, times=2)
    world.open("gate")
    world.wait_until_ended()  # as the second engine says
    worker.send(signal.SIGCONT)
    world.wait_for(lambda: "came too late" in worker.output, "the outcomes are refused")
    world.wait_for(lambda: "taken for dead" in worker.output, "it knows why")
    assert second.stop() == 0
    world.enqueue_mix()  # for the first one, under its new id
    world.wait_until_ended()
    assert worker.stop() == 0, worker.output
    world.judge()
    assert all(world.job(token).worker_losses == 1 for token in tokens)


def test_a_job_taken_over_is_stopped_where_it_was_and_not_cancelled(world: World) -> None:
    worker = world.start(threads=8)
    token = world.enqueue(tasks.wait_for, world.path("gate"))
    world.wait_until_begun(token)
    second = freeze(world, worker)
    world.wait_until_begun(token, times=2)
    worker.send(signal.SIGCONT)
    world.wait_for(lambda: "taken for dead" in worker.output, "it knows")
    world.wait_for(lambda: "came too late" in worker.output, "it stops its copy of the job")
    assert world.state(token) == JobState.RUNNING
    world.open("gate")
    world.wait_until_ended()
    assert worker.stop() == 0, worker.output
    assert second.stop() == 0, second.output
    world.judge()


def test_a_frozen_child_harms_no_other(world: World) -> None:
    """Its engine lives and beats, so its jobs are its own, as slow as they may be."""
    worker = world.start(processes=2, threads=1, lease=600.0)
    slow = world.enqueue(tasks.wait_for, world.path("gate"))
    world.wait_until_begun(slow)
    frozen = psutil.Process(world.runner_of(slow))
    frozen.suspend()
    others = [world.enqueue(tasks.note) for _ in range(20)]
    world.wait_until_ended(*others)
    world.open("gate")
    frozen.resume()
    world.wait_until_ended()
    assert worker.stop() == 0, worker.output
    world.judge()
