"""Tasks that log their executions, and tasks that kill their process."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from django.tasks.signals import task_finished

from offload import Concurrency, Fixed, Unique, task
from offload.exceptions import Retry
from tests.crash import execution_log
from tests.models import Effect

LOGS_FINISHES = "OFFLOAD_TEST_LOGS_FINISHES"
"""A variable that makes processes log each `task_finished` that they send."""


def log_start(context: Any, token: str) -> str:
    """Log that the body started; return a value unique to this execution."""
    workers = context.task_result.worker_ids
    value = f"{workers[-1]}/{len(workers)}/{os.getpid()}/{time.monotonic_ns()}"
    execution_log.write("start", token, workers[-1], value)
    return value


@task(takes_context=True)
def note(context: Any, token: str) -> str:
    return log_start(context, token)


@task(takes_context=True)
async def anote(context: Any, token: str) -> str:
    return log_start(context, token)


@task(takes_context=True, atomic=True)
def effect(context: Any, token: str) -> str:
    value = log_start(context, token)
    Effect.objects.create(token=token)
    return value


@task(takes_context=True)
def fail(context: Any, token: str) -> None:
    log_start(context, token)
    raise ValueError(token)


@task(takes_context=True, max_attempts=3, backoff=Fixed(0))
def retried(context: Any, token: str) -> str:
    value = log_start(context, token)
    if context.attempt < 2:
        raise Retry(after=0)
    return value


@task(takes_context=True, at_most_once=True)
def once(context: Any, token: str) -> str:
    return log_start(context, token)


@task(takes_context=True, at_most_once=True)
async def aonce(context: Any, token: str) -> str:
    return log_start(context, token)


@task(takes_context=True, concurrency=Concurrency(2, key="{customer}", total=5))
def limited(context: Any, token: str, customer: str) -> str:
    """Log the start and the end; at most two of each customer run at once, and five in all."""
    value = log_start(context, token)
    deadline = time.monotonic() + 0.02
    while time.monotonic() < deadline:
        pass
    execution_log.write("end", token, customer, value)
    return value


@task(takes_context=True, unique=Unique("{shop}"))
def unique(context: Any, token: str, shop: str) -> str:
    """Log the start and the end; one of each shop is there at a time."""
    return limited.func(context, token, shop)


@task(takes_context=True, unique=Unique(lambda token: "all", on_conflict="replace"))
def replaced(context: Any, token: str) -> str:
    """One waits, with the newest token."""
    return log_start(context, token)


@task(takes_context=True)
def busy(context: Any, token: str, customer: str) -> str:
    """Do what `limited` does, without a limit."""
    return limited.func(context, token, customer)


@task(takes_context=True)
def wait_for(context: Any, token: str, path: str) -> str:
    """Run until a file exists."""
    value = log_start(context, token)
    pause = threading.Event()
    while not Path(path).exists():
        pause.wait(0.02)
    return value


@task(takes_context=True, atomic=True)
def effect_wait_for(context: Any, token: str, path: str) -> str:
    """Insert, then keep the transaction open until a file exists."""
    value = log_start(context, token)
    pause = threading.Event()
    while not Path(path).exists():
        pause.wait(0.02)
    Effect.objects.create(token=token)
    return value


@task(takes_context=True, at_most_once=True)
def once_wait_for(context: Any, token: str, path: str) -> str:
    value = log_start(context, token)
    pause = threading.Event()
    while not Path(path).exists():
        pause.wait(0.02)
    return value


@task(takes_context=True)
def fork(context: Any, token: str) -> str:
    """Make two copies of the process: one leaves the task by an exception, one never."""
    value = log_start(context, token)
    pause = threading.Event()
    if os.fork() == 0:
        sys.exit()
    while os.fork() == 0:
        pause.wait()
    return value


@task(takes_context=True)
async def afork(context: Any, token: str) -> str:
    """Make a copy of the process that gives control back to the event loop."""
    value = log_start(context, token)

    async def fork_and_wait() -> None:
        if os.fork() == 0:
            await asyncio.sleep(0)

    await asyncio.create_task(fork_and_wait())
    return value


@task(takes_context=True)
def hold_interpreter(context: Any, token: str, seconds: int) -> str:
    """Run C code that holds the interpreter's lock, so that no other thread can run."""
    value = log_start(context, token)
    ctypes.PyDLL(None).sleep(seconds)
    return value


@task(takes_context=True)
def block_in_c(context: Any, token: str, _path: str) -> None:
    """Run C code that leaves the interpreter to other threads, and ends with its process."""
    log_start(context, token)
    ctypes.CDLL(None).sleep(600)


@task(takes_context=True, expires=60)
def expiring(context: Any, token: str) -> str:
    return log_start(context, token)


@task(takes_context=True)
def hold_interpreter_for(context: Any, token: str, path: str) -> str:
    """Hold the interpreter's lock until a file exists."""
    value = log_start(context, token)
    library = ctypes.PyDLL(None)
    sys.setswitchinterval(1000)  # the loop gives the lock to no other thread either
    while library.access(path.encode(), 0):
        library.usleep(20_000)
    sys.setswitchinterval(0.005)
    return value


@task(takes_context=True)
async def ahold_loop_for(context: Any, token: str, path: str) -> str:
    """Block the event loop until a file exists."""
    value = log_start(context, token)
    pause = threading.Event()
    while not Path(path).exists():  # noqa: ASYNC240
        pause.wait(0.02)
    return value


def _die(how: str) -> None:
    match how:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit":
            os._exit(0)


@task(takes_context=True)
def die(context: Any, token: str, how: str) -> str:
    """Exit this process in a way that Python cannot catch."""
    value = log_start(context, token)
    _die(how)
    return value


@task(takes_context=True)
def die_first(context: Any, token: str, how: str) -> str:
    """Kill the process at the first attempt and succeed at the next."""
    value = log_start(context, token)
    if len(context.task_result.worker_ids) > 1:
        return value
    _die(how)
    return value


@task(takes_context=True)
def eat_memory(context: Any, token: str, mebibytes: int) -> str:
    """Fill memory until the process is killed, at the first attempt only."""
    value = log_start(context, token)
    if len(context.task_result.worker_ids) > 1:
        return value
    eaten = [bytes([number % 256]) * 1024**2 for number in range(mebibytes)]
    return value if eaten else ""


def _log_finish(task_result: Any, **_: Any) -> None:
    execution_log.write("finish", task_result.args[0], value=task_result.state.label)


if os.environ.get(LOGS_FINISHES):
    task_finished.connect(_log_finish)
