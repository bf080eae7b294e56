"""Child processes that have run enough jobs, or use too much memory, are replaced."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from offload.exceptions import WorkerLost
from offload.lifecycle import JobState
from offload.models import Job
from offload.worker.child import report_writer
from offload.worker.pools import child_memory
from offload.worker.pools.child_memory import (
    BYTES_PER_MEBIBYTE,
    ChildMemory,
    proportional_bytes,
    resident_bytes,
)
from tests.worker import tasks
from tests.worker.conftest import StartWorker, has_started, until

MEBIBYTE = BYTES_PER_MEBIBYTE
NO_PROCESS = 2**22 + 1
"""More than the highest id of a process."""


def value(result: Any) -> Any:
    result.wait(30)
    assert result.state == JobState.SUCCESSFUL, (result.state, result.errors)
    return result.return_value


def each_ran_once() -> bool:
    return not Job.objects.exclude(attempt=1, worker_losses=0).exists()


# --- jobs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [tasks.log_word, tasks.alog_word])
def test_children_are_replaced_after_max_jobs_and_lose_none(
    start_worker: StartWorker, task: Any
) -> None:
    start_worker(1, max_jobs_per_child=10)

    results = task.enqueue_many([((f"used{n}",), {}) for n in range(60)])
    pids = [value(result) for result in results]

    assert len(set(pids)) >= 6
    assert max(map(pids.count, pids)) <= 10
    assert each_ran_once()


@pytest.mark.parametrize("task", [tasks.hold, tasks.ahold])
def test_slots_are_not_idle_while_the_last_job_of_a_child_runs_long(
    start_worker: StartWorker, gate: Path, task: Any
) -> None:
    start_worker(1, threads=2, async_slots=2, max_jobs_per_child=2)
    long = task.enqueue(str(gate))
    until(lambda: has_started(long))
    quick = tasks.log_word if task is tasks.hold else tasks.alog_word

    others = {value(quick.enqueue(f"beside{n}")) for n in range(4)}

    assert not gate.exists()  # the long job still runs
    gate.touch()
    assert len(others | {value(long)}) >= 2
    assert each_ran_once()


def test_no_more_jobs_run_at_once_than_the_pool_has_threads(
    start_worker: StartWorker, gate: Path
) -> None:
    running = start_worker(1, threads=1, max_jobs_per_child=1)
    held = [tasks.hold.enqueue(str(gate)) for _ in range(5)]
    until(lambda: any(map(has_started, held)))
    until(lambda: [child.is_ready for child in running.pool._children] == [True, True])

    assert running.pool.capacity(is_async=False) == 0
    assert running.pool.free_slots(is_async=False) == 0
    value(tasks.alog_word.enqueue("beside"))  # the other process works
    assert sum(map(has_started, held)) == 1
    gate.touch()
    assert len({value(result) for result in held}) == 5  # each in a process of its own
    until(lambda: len(running.pool._children) == 1)


# --- memory -------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [tasks.log_word, tasks.alog_word])
def test_children_above_max_memory_are_replaced(
    start_worker: StartWorker, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "offload.worker")
    start_worker(1, max_memory_per_child=150)
    first = value(tasks.use_memory.enqueue(200))

    until(lambda: value(other.enqueue("small")) != first)

    assert each_ran_once()
    text = f"Child process {first} uses "
    until(lambda: any(message.startswith(text) for message in caplog.messages))


def test_a_job_that_leaks_without_an_end_is_killed_and_says_why(
    start_worker: StartWorker, gate: Path
) -> None:
    start_worker(1, max_memory_per_child=100)
    leak = tasks.leak_for_ever.enqueue(str(gate))
    leak.wait(30)

    assert leak.state == JobState.FAILED
    (error,) = leak.errors
    assert error.exception_class is WorkerLost
    assert "more than twice the 100 MiB of max_memory_per_child" in error.traceback
    assert value(tasks.log_word.enqueue("after"))


def test_jobs_run_although_the_limit_is_below_what_the_project_needs(
    start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    child_memory._warn_of_low_limit.cache_clear()
    running = start_worker(1, max_memory_per_child=1)
    until(lambda: any("before its first job" in message for message in caplog.messages))
    assert [child.is_retiring for child in running.pool._children] == [False]

    results = tasks.log_word.enqueue_many([((f"low{n}",), {}) for n in range(6)])

    assert all(value(result) for result in results)
    assert each_ran_once()


SHARED_PAGES = """
import os
from offload.worker.pools.child_memory import ChildMemory, resident_bytes

shared = bytearray(100 * 1024**2)
shared[::4096] = b"x" * len(shared[::4096])
read, write = os.pipe()
pid = os.fork()
if not pid:
    os.close(write)
    os.read(read, 1)
    os._exit(0)
memory = ChildMemory(pid, 100 * 1024**2, lambda: 0)
memory.read(0.0)
print(resident_bytes(pid), memory.used, memory.is_above_limit)
"""


def test_pages_that_processes_share_are_counted_in_part() -> None:
    output = subprocess.check_output([sys.executable, "-c", SHARED_PAGES], text=True, timeout=60)

    resident, used, is_above_limit = output.split()
    assert int(resident) > 100 * MEBIBYTE
    assert int(used) < int(resident) - 40 * MEBIBYTE
    assert is_above_limit == "False"


def test_memory_is_read_as_psutil_does() -> None:
    process = psutil.Process()

    assert resident_bytes(process.pid) == pytest.approx(process.memory_info().rss, rel=0.1)
    assert proportional_bytes(process.pid) == pytest.approx(process.memory_full_info().pss, rel=0.1)
    assert report_writer.peak_memory() >= 0.9 * process.memory_info().rss


def test_where_the_kernel_shows_nothing_the_peak_of_the_process_counts() -> None:
    peaks = iter([0, 90 * MEBIBYTE, 130 * MEBIBYTE])
    memory = ChildMemory(NO_PROCESS, 100 * MEBIBYTE, lambda: next(peaks))
    seen = []
    for now in (0.0, 1.0, 2.0):
        memory.read(now)
        seen.append(memory.is_above_limit)

    assert seen == [False, False, True]
    assert memory.fault is None
    assert str(memory) == "130 MiB"


def test_without_a_limit_nothing_is_read() -> None:
    memory = ChildMemory(os.getpid(), None, lambda: 1)
    memory.read(0.0)

    assert (memory.used, memory.is_above_limit, memory.fault) == (0, False, None)
