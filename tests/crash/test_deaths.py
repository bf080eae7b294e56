"""Processes that die: a child, the fork server, the engine, all of them."""

from __future__ import annotations

import os
import resource
import signal
import sys

import psutil
import pytest

from offload.lifecycle import JobState
from offload.models import Attempt
from tests.crash import tasks
from tests.crash.memory import memory_limit
from tests.crash.world import World

MEBIBYTE = 1024**2


def test_a_killed_childs_jobs_are_run_again_at_once(world: World) -> None:
    """Nobody waits for a lease: the engine sees the death."""
    worker = world.start(processes=2, lease=600.0)
    tokens = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(4)]
    world.wait_until_begun(*tokens)
    victim = world.runner_of(tokens[0])
    on_victim = [t for t in tokens if f"/{victim}/" in world.begun(t)[0].value]
    os.kill(victim, signal.SIGKILL)
    world.wait_until_begun(*on_victim, times=2)
    world.open("gate")
    world.wait_until_ended()
    assert worker.stop() == 0
    world.judge()
    assert {t: world.job(t).worker_losses for t in tokens} == {
        t: int(t in on_victim) for t in tokens
    }


@pytest.mark.parametrize("how", ["segfault", "abort", "exit", "kill"])
def test_a_task_that_ends_its_process_is_lost_not_successful(world: World, how: str) -> None:
    """`os._exit(0)` is no success either."""
    worker = world.start(lease=600.0)
    token = world.enqueue(tasks.die_first, how)
    world.enqueue_mix()
    world.wait_until_ended()
    assert worker.stop() == 0
    world.judge()
    assert world.job(token).worker_losses == 1
    attempt = Attempt.objects.get(job_id=world.accepted[token])
    assert attempt.exception_class_path == "offload.exceptions.WorkerLost"
    cause = {"segfault": "SIGSEGV", "abort": "SIGABRT", "exit": "exit code 0", "kill": "SIGKILL"}
    assert cause[how] in attempt.message


def test_no_process_outlives_its_killed_engine(world: World) -> None:
    worker = world.start(processes=2)
    tokens = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(4)]
    world.wait_until_begun(*tokens)
    assert len(worker.family()) >= 4
    worker.send(signal.SIGKILL)
    worker.wait()
    world.wait_for(lambda: not worker.survivors(), "the children end", seconds=10)
    world.open("gate")
    world.drain()
    world.judge()


def test_a_child_held_by_c_code_does_not_outlive_its_killed_engine(world: World) -> None:
    """It cannot notice by itself: the kernel must end it, or its job would run twice at once."""
    worker = world.start()
    token = world.enqueue(tasks.hold_interpreter, 60)
    world.wait_until_begun(token)
    worker.family()
    worker.send(signal.SIGKILL)
    worker.wait()
    world.wait_for(lambda: not worker.survivors(), "the child ends", seconds=10)


def test_a_killed_fork_server_is_replaced(world: World) -> None:
    worker = world.start(processes=2, lease=600.0)
    token = world.enqueue(tasks.wait_for, world.path("gate"))
    world.wait_until_begun(token)
    worker.family()
    server = worker.fork_server()
    children = worker.children()
    server.kill()
    world.wait_for(lambda: not any(map(psutil.Process.is_running, children)), "children end")
    world.wait_until_begun(token, times=2)
    world.open("gate")
    world.enqueue_mix()
    world.wait_until_ended()
    assert worker.stop() == 0
    world.judge()


def test_everything_killed_at_once_needs_no_cleaning(world: World) -> None:
    workers = [world.start(), world.start()]
    gated = [world.enqueue(tasks.wait_for, world.path("gate")) for _ in range(4)]
    world.wait_until_begun(*gated)
    world.enqueue_mix()
    for worker in workers:
        worker.kill()
    world.open("gate")
    world.drain()
    world.judge()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/shm")
def test_a_killed_engines_jobs_are_run_at_once_by_another_on_its_host(world: World) -> None:
    """Nobody waits for a lease: the kernel tells of the death."""
    worker = world.start(lease=600.0)
    token = world.enqueue(tasks.wait_for, world.path("gate"))
    world.wait_until_begun(token)
    second = world.start(lease=600.0)
    worker.kill()
    world.wait_until_begun(token, times=2)
    world.open("gate")
    world.enqueue_mix()
    world.wait_until_ended()
    assert second.stop() == 0
    world.judge()
    assert world.job(token).worker_losses == 1


def test_a_child_out_of_memory_is_killed_alone(world: World) -> None:
    """By the kernel, where control groups may be made; else by us, as the kernel would."""
    worker = world.start(threads=1, lease=600.0)
    child = psutil.Process(world.runner_of(world.enqueue(tasks.note)))
    with memory_limit() as limit:
        if limit is not None:
            limit.apply(child.pid, 64 * MEBIBYTE)
        token = world.enqueue(tasks.eat_memory, 500)
        world.wait_until_begun(token)
        if limit is None:
            child.kill()
        world.enqueue_mix()
        world.wait_until_ended()
        assert limit is None or limit.kills == 1
        assert worker.stop() == 0
    world.judge()
    assert world.job(token).worker_losses == 1


def test_a_memory_error_is_a_failure_like_any_other(world: World) -> None:
    worker = world.start(threads=1)
    child = psutil.Process(world.runner_of(world.enqueue(tasks.note)))
    used = child.memory_info().vms
    child.rlimit(resource.RLIMIT_AS, (used + 200 * MEBIBYTE, used + 200 * MEBIBYTE))
    token = world.enqueue(tasks.eat_memory, 1000)
    world.enqueue_mix()
    world.wait_until_ended()
    assert child.is_running()
    assert worker.stop() == 0
    assert world.state(token) == JobState.FAILED
    assert Attempt.objects.get(job_id=world.accepted[token]).exception_class_path.endswith(
        "MemoryError"
    )
    world.judge(may_fail=[token])
