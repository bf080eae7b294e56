"""Tasks that fork: the copy leaves the task's function in various ways."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import OperationalError, transaction
from django.tasks.signals import task_finished, task_started

from offload import task
from tests.models import Effect
from tests.worker.event_log import write

LEAVE: dict[str, Callable[[], object]] = {
    "return": lambda: None,
    "exit": lambda: sys.exit(3),
    "exit with a text": lambda: sys.exit("enough"),
    "raise": lambda: [].index(0),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
}
EXIT_CODES = {"return": 0, "exit": 3, "exit with a text": 1, "raise": 1, "interrupt": 1}


def _exit_code(pid: int) -> int:
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
def start_program_in_session() -> str:
    """Return the signal that a program gets when the thread that started it exits."""
    code = (
        "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n)"
    )
    return subprocess.check_output([sys.executable, "-c", code], preexec_fn=os.setsid, text=True)


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
