"""Tasks that report progress."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextvars import copy_context
from pathlib import Path

from offload import Fixed, current_job, progress, task, track
from tests.worker.event_log import write

_pause = threading.Event().wait


def _wait_for(path: str) -> None:
    while not Path(path).exists():
        _pause(0.01)


@task
def climb(folder: str, steps: int) -> str:
    """Wait before each step for a file named as its number."""
    for number in range(1, steps + 1):
        progress(number, steps, f"Step {number}", step=(number, steps, "Climb"))
        _wait_for(f"{folder}/{number}")
    return "up"


@task
async def aclimb(folder: str, steps: int) -> str:
    for number in range(1, steps + 1):
        progress(number, steps, f"Step {number}", step=(number, steps, "Climb"))
        while not Path(f"{folder}/{number}").exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
    return "up"


@task
def count(calls: int) -> None:
    for _ in track(range(calls), "Counting"):
        pass


@task
def fail_at(done: int, total: int) -> None:
    for number in range(done + 1):
        progress(number, total)
    raise ValueError(f"row {done}")


@task(atomic=True)
def fail_atomically(done: int, total: int) -> None:
    fail_at.func(done, total)


@task(atomic=True)
def count_atomically(calls: int) -> None:
    count.func(calls)


@task
async def acount(calls: int) -> None:
    count.func(calls)


@task(max_attempts=2, backoff=Fixed(0), retry_on=(ValueError,))
def report_and_fail_then_hold(gate: str) -> None:
    """Report progress and fail at the first attempt; report nothing at the second."""
    if current_job().attempt == 1:
        progress(9, 10)
        raise ValueError("once more")
    write("running", current_job().id)
    _wait_for(gate)


@task(at_most_once=True)
def report_then_die(gate: str) -> None:
    progress(7, 10, "Still alive")
    _wait_for(gate)
    os.kill(os.getpid(), signal.SIGKILL)


@task
def report_then_hold(gate: str, done: int) -> None:
    """Report progress once, and nothing more until a file appears."""
    write("running", current_job().id)
    progress(done, 10)
    _wait_for(gate)


@task
def report_invalid_progress() -> str:
    progress(-1, float("nan"), "a\0b\r\nc" * 1000, step=(-1, 0, "\0"))
    progress(12, 10, "a\0b\ud800c", step=(9, 3, "\r\n"))
    return "fine"


@task
def report_wrong_type() -> None:
    progress("half")  # type: ignore[arg-type]


@task
def leave_a_thread(gate: str) -> None:
    """Leave a thread behind that goes on reporting progress."""
    progress(1, 10)

    def keep_reporting() -> None:
        done = 1
        while not Path(gate).exists():
            done += 1
            progress(done % 10, 10)
            write("reported", job)
            _pause(0.05)

    job = current_job().id
    threading.Thread(target=copy_context().run, args=(keep_reporting,), daemon=True).start()
