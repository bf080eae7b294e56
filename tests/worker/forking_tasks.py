"""Tasks that fork: the copy leaves the task's function in various ways."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import OperationalError, connections, transaction
from django.tasks.signals import task_finished, task_started

from offload import task
from tests.models import Effect
from tests.worker.event_log import write


def _death_signal() -> int:
    """Return the signal that this process gets when the thread that forked it exits."""
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number))
    return number.value


LEAVE: dict[str, Callable[[], object]] = {
    "return": lambda: None,
    "collect garbage": gc.collect,
    "exit": lambda: sys.exit(3),
    "exit with a text": lambda: sys.exit("enough"),
    "raise": lambda: [].index(0),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    "exit with the death signal": lambda: sys.exit(_death_signal()),
}
EXIT_CODES = {
    "return": 0,
    "collect garbage": 0,
    "exit": 3,
    "exit with a text": 1,
    "raise": 1,
    "interrupt": 1,
}


COPY_LIMIT = 5
"""Seconds after which a copy that does not end is killed."""


def _exit_code(pid: int) -> int:
    """Return the exit code of a copy; -9 if it did not end by itself."""
    copy = os.pidfd_open(pid)
    if not select.select([copy], [], [], COPY_LIMIT)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(copy)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@task
def fork(leave: str) -> int | None:
    """Return the exit code of the copy."""
    pid = os.fork()
    if pid == 0:
        LEAVE[leave]()
        return None
    return _exit_code(pid)


@task
async def afork(leave: str) -> int | None:
    pid = os.fork()
    if pid == 0:
        LEAVE[leave]()
        return None
    return _exit_code(pid)


@task
async def afork_in_thread(leave: str) -> int | None:
    exit_code: int | None = await sync_to_async(fork.func)(leave)
    return exit_code


async def _fork_and_await() -> int | None:
    pid = os.fork()
    if pid == 0:
        await asyncio.sleep(0)
        return None
    return _exit_code(pid)


async def _fork_in_callback() -> int:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: future.set_result(fork.func("return")))
    code: int = await future
    return code


ASYNC_WAYS: dict[str, tuple[Callable[[], Awaitable[int | None]], int]] = {
    "await": (_fork_and_await, 1),
    "end of an asyncio task": (lambda: asyncio.create_task(afork.func("exit")), 3),
    "await in an asyncio task": (lambda: asyncio.create_task(_fork_and_await()), 1),
    "callback of the loop": (_fork_in_callback, 0),
    "executor": (
        lambda: asyncio.get_running_loop().run_in_executor(None, fork.func, "return"),
        0,
    ),
    "thread": (lambda: asyncio.to_thread(fork.func, "raise"), 1),
}
"""How a copy gets back to the worker's code, and its exit code."""


@task
async def afork_beneath(way: str) -> int | None:
    start, _ = ASYNC_WAYS[way]
    return await start()


@task
def fork_in_pool(token: str) -> int:
    """Fork in a thread that has another call to make."""
    with ThreadPoolExecutor(1) as pool:
        code = pool.submit(fork.func, "exit")
        pool.submit(write, "pool", token)
    exit_code: int = code.result()
    return exit_code


@task
def fork_in_thread_that_ends() -> list[int | None]:
    """Return the death signals of a copy of the task's thread, and of one that ends before it."""
    leave = "exit with the death signal"
    return [fork.func(leave), async_to_sync(afork.func)(leave)]


@task
def fork_in_code_without_name() -> int:
    variables: dict[str, Any] = {"__name__": None, "fork": fork.func}
    exec("code = fork('exit')", variables)  # as template engines do
    code: int = variables["code"]
    return code


@task(atomic=True)
def fork_on_commit(token: str) -> int:
    """Fork in the first of two callbacks; the transaction is that of the task."""
    transaction.on_commit(partial(fork.func, "return"))
    transaction.on_commit(lambda: write("commit", token))
    return os.getpid()


@task(atomic=True)
def fork_in_transaction(leave: str, token: str) -> int | None:
    Effect.objects.create(token=token)
    pid = os.fork()
    if pid == 0:
        LEAVE[leave]()
        return None
    code = _exit_code(pid)
    Effect.objects.create(token=f"{token} after")
    return code


@task
def fork_in_own_transaction(token: str) -> int | None:
    """The copy leaves `atomic()` by an exception, which would roll back on a shared connection."""
    with transaction.atomic():
        Effect.objects.create(token=token)
        pid = os.fork()
        if pid == 0:
            sys.exit(3)
        code = _exit_code(pid)
        Effect.objects.create(token=f"{token} after")
    return code


@task
def fork_and_write(token: str) -> int | None:
    """The copy writes to the database, while the task has an open connection."""
    Effect.objects.create(token=token)
    pid = os.fork()
    if pid == 0:
        Effect.objects.create(token=f"{token} copy")
        return None
    code = _exit_code(pid)
    Effect.objects.create(token=f"{token} after")
    return code


@task
def fork_and_write_in_thread(token: str) -> int | None:
    with ThreadPoolExecutor(1) as pool:
        code: int | None = pool.submit(fork_and_write.func, token).result()
        pool.submit(connections.close_all)
    return code


@task
def start_program_in_session() -> str:
    """Return the signal that a program gets when the thread that started it exits."""
    code = (
        "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n)"
    )
    return subprocess.check_output([sys.executable, "-c", code], preexec_fn=os.setsid, text=True)


@task
def list_descriptors_of_program() -> str:
    """Return the descriptors of a program that inherits all that it can, besides its own."""
    code = "import os; print([n for n in range(3, 99) if os.path.exists(f'/proc/self/fd/{n}')])"
    return subprocess.check_output([sys.executable, "-c", code], close_fds=False, text=True)


def _fork_in_backoff(error: BaseException, result: Any) -> float:
    pid = os.fork()
    if pid == 0:
        sys.exit(3)
    write("backoff", result.id, str(_exit_code(pid)))
    return 0.0


@task(max_attempts=2, backoff=_fork_in_backoff)
def fail_and_fork_in_backoff() -> None:
    raise OperationalError


@task
def fork_in_receivers() -> None:
    pass


@task
async def afork_in_receivers() -> None:
    pass


def _fork_in_receiver(task_result: Any, **_: Any) -> None:
    if task_result.task.func in {fork_in_receivers.func, afork_in_receivers.func}:
        pid = os.fork()
        if pid == 0:
            sys.exit(3)
        write("receiver", task_result.id, str(_exit_code(pid)))


task_started.connect(_fork_in_receiver, dispatch_uid="forking tests")
task_finished.connect(_fork_in_receiver, dispatch_uid="forking tests")
