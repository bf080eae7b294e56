"""Whatever a child process sends or stops sending, its pool survives, and replaces it."""

from __future__ import annotations

import logging
import marshal
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID
from zlib import crc32

import psutil
import pytest

from offload import JobState
from offload.lifecycle import succeeded
from offload.worker.child.channel import HEADER
from offload.worker.pools import child_pings, processes
from offload.worker.pools.child_limits import ChildLimits
from offload.worker.pools.processes import ProcessPool
from tests.worker import misbehaving_tasks, tasks
from tests.worker.conftest import until
from tests.worker.job_runs import claimed
from tests.worker.pools.running_pool import RunningPool

ALL_BITS = 0xFFFFFFFF


@pytest.fixture
def start() -> Iterator[Callable[..., RunningPool]]:
    pools: list[ProcessPool] = []

    def start(count: int = 1, **changes: Any) -> RunningPool:
        limits = {
            "threads": 2,
            "async_slots": 3,
            "async_threads": 1,
            "kill_grace_period": 0.3,
            "using": "default",
        }
        pool = ProcessPool(
            processes=count, limits=ChildLimits(**{"lease": 30.0, **limits, **changes})
        )
        pools.append(pool)
        return RunningPool(pool)

    yield start
    for pool in pools:
        pool.stop()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="offload.worker")
    return caplog


def pid_of(running: RunningPool) -> int:
    """Wait for a process that has capacity, and return the one in which the next job runs."""
    until(lambda: running.step() or running.pool.capacity(is_async=False))
    (outcome,) = running.run(claimed(tasks.log_word, "pid"))
    assert outcome.state == JobState.SUCCESSFUL, outcome
    return int(outcome.return_value or 0)


def framed(body: bytes) -> bytes:
    """Return a message with any bytes as its body."""
    return HEADER.pack(len(body), len(body) ^ ALL_BITS, crc32(body)) + body


def message(*content: Any) -> bytes:
    return framed(marshal.dumps(content))


def row(number: Any = 1, seconds: Any = 1.0, **changes: Any) -> tuple[Any, ...]:
    return number, tuple(succeeded("1")._replace(**changes)), seconds


BYTES = {
    "text": b"Hello, world! " * 100,
    "zeros": bytes(100_000),
    "one byte": b"x",
    "no marshal": framed(b"\xff" * 4),
    "no tuple": framed(marshal.dumps(7)),
    "changed bytes": framed(marshal.dumps(("ready",)))[:-1] + b"x",
    "false length": HEADER.pack(100_000_000, 100_000_000 ^ ALL_BITS, 0),
    "length of an endless message": HEADER.pack(ALL_BITS, 0, 0),
    "unknown kind": message("tomorrow", 1),
    "no rows": message("finished", 5),
    "short row": message("finished", [(1, 2)]),
    "no outcome": message("finished", [(1, (1, 2, 3), 1.0)]),
    "number that is no number": message("finished", [row("1")]),
    "state that no attempt ends in": message("finished", [row(state=3)]),
    "state that is no state": message("finished", [row(state=99)]),
    "endless delay": message("finished", [row(delay=math.inf)]),
    "no time": message("finished", [row(seconds=math.nan)]),
    "number as return value": message("finished", [row(return_value=1)]),
    "failure of one text": message("finished", [row(failure=("a",))]),
    "progress of nothing": message("progress", {("x", 1): "{}", 5: 6}),
    "no progress": message("progress", 1),
    "no limits": message("limits", 1, {"default": 2}),
    "limits that cannot be read": message("limits", 1, {"default": {"crm": "{"}}),
    "unknown number of a limit": message("limits", 1, {"default": {"crm": '{"speed": 1}'}}),
    "limit that is no number": message("limits", 1, {"default": {"crm": '{"total": "1"}'}}),
}


def test_a_child_that_sends_other_bytes_is_killed_and_replaced(start, log, gate):
    running = start()
    for name, data in BYTES.items():
        log.clear()
        pid = pid_of(running)
        neighbour = claimed(tasks.hold, str(gate))
        running.start_jobs(neighbour)

        job = claimed(misbehaving_tasks.write_to_worker, data.hex())
        running.pool.submit([job])
        lost = running.wait(job, neighbour)

        assert [outcome.worker_lost for outcome in lost] == [True, True], name
        assert "because it sent" in lost[0].failure[1], name
        assert f"Killing child process {pid}, because it sent" in log.text, name
        assert pid_of(running) != pid, name


def test_outcomes_and_progress_of_unknown_jobs_are_ignored(start, log):
    running = start()
    pid = pid_of(running)
    unknown = message("finished", [row(10**9)]) + message("progress", {("x", 1): "{}"})

    (outcome,) = running.run(claimed(misbehaving_tasks.write_to_worker, unknown.hex()))

    assert outcome.state == JobState.SUCCESSFUL
    assert running.pool.progress() == {}
    assert pid_of(running) == pid


def test_a_child_that_lost_a_message_of_its_worker_exits(start, log):
    """A task read from its process's connection."""
    running = start()
    pid = pid_of(running)
    job = claimed(misbehaving_tasks.read_from_worker)
    running.start_jobs(job)

    def has_died() -> bool:
        """Send another message, which either the child or the task reads."""
        running.pool.submit([claimed(tasks.noop)])
        running.step()
        return f"Child process {pid} died: exit code 1" in log.text

    until(has_died)
    assert pid_of(running) != pid


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such memory")
def test_no_task_can_shrink_the_shared_memory(start):
    """Whoever reads it then is killed by SIGBUS: the worker."""
    (outcome,) = start().run(claimed(misbehaving_tasks.shrink_shared_memory))

    assert "PermissionError" in outcome.return_value


@pytest.mark.parametrize(
    "task",
    [
        misbehaving_tasks.close_descriptors,
        misbehaving_tasks.close_descriptors_and_open_others,
        misbehaving_tasks.aclose_descriptors,
    ],
)
@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_child_without_descriptors_exits_and_its_jobs_are_lost(start, log, task, timeout):
    running = start()
    pid = pid_of(running)

    (outcome,) = running.run(claimed(task, timeout=timeout))

    assert outcome.worker_lost
    assert f"Child process {pid} died" in log.text
    assert pid_of(running) != pid


def test_a_child_that_used_up_its_descriptors_is_replaced_before_another_job_fails(start, log):
    running = start()
    pid = pid_of(running)

    (outcome,) = running.run(claimed(misbehaving_tasks.use_up_descriptors))

    assert outcome.state == JobState.SUCCESSFUL
    assert not running.pool.capacity(is_async=False)
    assert f"Child process {pid} has hardly any file descriptors left" in log.text
    assert pid_of(running) != pid


def test_a_child_that_a_signal_stopped_is_killed_after_the_lease_and_its_jobs_count_as_lost(
    start, log
):
    running = start(lease=0.5)

    (outcome,) = running.run(claimed(misbehaving_tasks.stop_process))

    assert outcome.worker_lost
    assert "a signal stopped it for longer than the lease of 0.5 s" in outcome.failure[1]


def test_a_child_that_starts_no_more_jobs_is_replaced_but_not_without_end(start, log, monkeypatch):
    monkeypatch.setattr(processes, "REPLACE_TIMEOUT", 0.2)
    running = start(kill_grace_period=5.0)
    first, second = claimed(tasks.hold_interpreter), claimed(tasks.hold_interpreter)
    pids = [pid_of(running)]
    running.start_jobs(first)
    waiting = claimed(tasks.log_word, "waits")
    assert running.run(waiting)[0].state == JobState.READY

    pids.append(pid_of(running))
    assert f"Child process {pids[0]} starts no more jobs, and is replaced." in log.text
    running.start_jobs(second)
    assert running.run(claimed(tasks.log_word, "waits"))[0].state == JobState.READY
    assert not running.pool.capacity(is_async=False)

    os.kill(pids[0], signal.SIGKILL)
    assert running.wait(first)[0].worker_lost
    pids.append(pid_of(running))
    assert len(set(pids)) == 3


def test_a_job_that_holds_the_interpreter_is_named_until_it_goes_on(
    start, log, monkeypatch, gate, fifo
):
    monkeypatch.setattr(child_pings, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(child_pings, "UNRESPONSIVE_TIMEOUT", 0.3)
    running = start()
    pid = pid_of(running)
    harmless = claimed(tasks.hold, str(gate))
    running.start_jobs(harmless)
    give_up_at = time.monotonic() + 0.6
    until(lambda: running.step() or time.monotonic() > give_up_at)
    assert not log.text
    job = claimed(tasks.hold_interpreter_until, str(fifo))
    running.start_jobs(job)

    until(lambda: running.step() or log.text)
    assert f"Child process {pid} has not responded for 0.3 s" in log.text
    assert f"{UUID(job.id)} ({job.task_path})" in log.text
    assert set(running.pool.held_up_jobs()) == {job, harmless}

    os.close(os.open(fifo, os.O_WRONLY))
    assert running.wait(job)[0].state == JobState.SUCCESSFUL
    until(lambda: running.step() or "responds again" in log.text)
    assert running.pool.held_up_jobs() == []
    assert len(log.records) == 2


def test_a_frozen_child_without_jobs_is_killed_when_it_is_replaced(start, log, monkeypatch):
    monkeypatch.setattr(processes, "REPLACE_TIMEOUT", 0.2)
    running = start()
    pid = pid_of(running)
    os.kill(pid, signal.SIGSTOP)
    job = claimed(tasks.log_word, "waits")

    assert running.run(job)[0].state == JobState.READY
    assert pid_of(running) != pid
    until(lambda: running.step() or not _exists(pid))


def test_a_fork_server_that_a_signal_stopped_is_woken(start, log):
    running = start()
    pid = pid_of(running)
    server = psutil.Process(pid).parent()
    server.suspend()

    (outcome,) = running.run(claimed(misbehaving_tasks.kill_process))

    assert outcome.worker_lost
    assert psutil.Process(pid_of(running)).parent() == server
    server.suspend()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
