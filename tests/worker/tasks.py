"""Tasks that misbehave, and tasks that return or log where and how they ran."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import decimal
import gc
import os
import sys
import threading
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.signals import connection_created
from django.dispatch import Signal, receiver
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils import timezone, translation
from django.utils.module_loading import import_string

from offload import (
    CurrentJob,
    Fixed,
    Retry,
    Snooze,
    UserFacingError,
    current_job,
    is_cancelled,
    task,
)
from offload.models import Job
from offload.tasks import OffloadTask
from tests.models import Effect
from tests.worker.event_log import folder as event_log_folder
from tests.worker.event_log import write

# --- signals ------------------------------------------------------------------------------

LOGS_SIGNALS = "signals"
"""A file beside the event log. While it exists, new processes log the signals that they send."""


def log_signals() -> None:
    """Log each of Django's signals that this process sends from now on."""
    for signal in SIGNALS:
        signal.connect(_log_signal)


def _log_signal(signal: Signal, task_result: Any, **_: Any) -> None:
    write("signal", task_result.id, SIGNALS[signal], task_result.state.label)


SIGNALS = {task_enqueued: "enqueued", task_started: "started", task_finished: "finished"}
if (event_log_folder() / LOGS_SIGNALS).exists():
    log_signals()

# --- exceptions ---------------------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class InterruptsPrinting(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class WithoutModule(Exception):
    pass


WithoutModule.__module__ = None  # type: ignore[assignment]


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


EXCEPTIONS: dict[str, Any] = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "group": lambda: ExceptionGroup("many", [ValueError("one"), TypeError("two")]),
    "base group": lambda: BaseExceptionGroup("many", [KeyboardInterrupt()]),
    "unprintable": Unprintable,
    "interrupts printing": InterruptsPrinting,
    "without module": lambda: WithoutModule("where"),
    "memory": MemoryError,
    "NUL": lambda: ValueError("a\0b"),
    "surrogate": lambda: ValueError("a\ud800b"),
    "huge": lambda: ValueError("x" * 1_000_000),
    "many": lambda: ValueError(*range(100)),
}


@task
def throw(name: str) -> None:
    raise EXCEPTIONS[name]()  # noqa: RSE102  # some are functions


@task
async def athrow(name: str) -> None:
    raise EXCEPTIONS[name]()  # noqa: RSE102  # some are functions


@task
async def athrow_nested(name: str) -> None:
    """Raise in an asyncio task of its own: asyncio passes SystemExit on to the loop."""
    await asyncio.create_task(athrow.func(name))


@task
def recurse_endlessly() -> int:
    return recurse()


# --- return values ------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "object": object,
    "set": lambda: {1},
    "nan": lambda: float("nan"),
    "infinite": lambda: float("inf"),
    "huge": lambda: "x" * 3_000_000,
    "NUL": lambda: "\0",
    "surrogate": lambda: "\ud800",
    "deep": lambda: [[]],
    "cycle": lambda: [_cycle],
    "tuple": lambda: (1, {2: 3}),
    "none": lambda: None,
}


_cycle: list[Any] = []
_cycle.append(_cycle)


@task(max_attempts=3)
def return_value(name: str) -> Any:
    return VALUES[name]()


@task(max_attempts=3)
async def areturn_value(name: str) -> Any:
    return VALUES[name]()


# --- signatures and retries ---------------------------------------------------------------


@task(max_attempts=3)
def takes_one(value: int) -> int:
    return value


@task(max_attempts=3)
async def atakes_one(value: int) -> int:
    return value


@task(max_attempts=3, backoff=Fixed(0))
def raise_type_error_inside(value: int) -> int:
    return takes_one.func()  # type: ignore[no-any-return]


@task(max_attempts=3)
def raise_retry(after: float | None = None) -> None:
    raise Retry(after=after)


@task(max_attempts=2, takes_context=True)
def retry_once(context: Any, after: float) -> None:
    if context.attempt == 1:
        raise Retry(after=after)


@task
def fail_with_text(text: str) -> None:
    raise ValueError(text)


@task(max_attempts=3, backoff=Fixed(0))
def retry_with_text(text: str) -> None:
    raise ValueError(text)


@task
def snooze(delay: float) -> None:
    raise Snooze(delay)


@task(max_attempts=3, retry_on=(OSError,), no_retry_on=(BrokenPipeError,), backoff=Fixed(0))
def retry_only_os_errors(kind: str) -> None:
    raise {"os": OSError, "pipe": BrokenPipeError, "value": ValueError}[kind]("no")


def backoff_per_attempt(error: BaseException, result: Any) -> float:
    write("backoff", result.id, type(error).__name__)
    return 100.0 * result.attempts


def broken_backoff(error: BaseException, result: Any) -> float:
    raise RuntimeError("the backoff is broken")


def invalid_backoff(error: BaseException, result: Any) -> Any:
    return "soon"


@task(max_attempts=3, backoff=backoff_per_attempt)
def fail_with_backoff() -> None:
    raise ValueError("no")


@task(max_attempts=3, backoff=broken_backoff)
def fail_with_broken_backoff() -> None:
    raise ValueError("no")


@task(max_attempts=3, backoff=invalid_backoff)
def fail_with_invalid_backoff() -> None:
    raise ValueError("no")


@task(atomic=True)
def atomic_add(a: int, b: int = 1) -> int:
    return a + b


@task(atomic=True)
def atomic_write(token: str, *, fails: bool = False) -> str:
    Effect.objects.create(token=token)
    if fails:
        raise ValueError("no")
    return token


@task(atomic=True)
def atomic_write_with_hook(token: str, error: str) -> str:
    def hook() -> None:
        raise {"value": ValueError, "database": OperationalError, "exit": SystemExit}[error]("hook")

    Effect.objects.create(token=token)
    transaction.on_commit(hook)
    return token


# --- where and in which order -------------------------------------------------------------


@task
def process_and_thread() -> list[int]:
    return [os.getpid(), threading.get_ident()]


@task
async def aprocess_and_thread() -> list[int]:
    await asyncio.sleep(0)
    return [os.getpid(), threading.get_ident()]


@task
def log_word(word: str) -> int:
    write("word", word)
    return os.getpid()


@task
async def alog_word(word: str) -> int:
    write("word", word)
    return os.getpid()


@task
def report_job() -> dict[str, Any]:
    return _shown(current_job())


@task
async def areport_job() -> dict[str, Any]:
    await asyncio.sleep(0)
    return _shown(current_job())


def _shown(job: CurrentJob) -> dict[str, Any]:
    times = {name: str(getattr(job, name)) for name in ("enqueued_at", "started_at")}
    return {**asdict(job), **times, "is_cancelled": job.is_cancelled()}


# --- tasks that keep running --------------------------------------------------------------


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@task
def hold(gate: str) -> int:
    """Run until a file appears."""
    write("running", current_job().id)
    while not Path(gate).exists():
        _pause(0.01)
    return os.getpid()


@task
async def ahold(gate: str) -> int:
    write("running", current_job().id)
    while not Path(gate).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.01)
    return os.getpid()


@task(max_attempts=2, backoff=Fixed(60))
def loop_forever() -> None:
    write("running", current_job().id)
    while True:
        _pause(0.001)


@task
def poll_is_cancelled() -> None:
    write("running", current_job().id)
    try:
        while not is_cancelled():
            _pause(0.001)
    finally:
        if is_cancelled():
            write("cancelled", current_job().id)


@task
def hold_if_given(gate: str) -> None:
    """Return at once, or wait for a file."""
    if gate:
        hold.func(gate)


@task
async def ahold_if_given(gate: str) -> None:
    if gate:
        await ahold.func(gate)


@task
def swallow_exceptions() -> None:
    write("running", current_job().id)
    while True:
        with contextlib.suppress(Exception):
            _pause(0.001)


@task
def swallow_everything(gate: str) -> None:
    write("running", current_job().id)
    for _ in range(2):  # it is interrupted once, wherever it is in the inner loop
        with contextlib.suppress(BaseException):
            while not Path(gate).exists():
                _pause(0.001)


@task
async def sleep_forever() -> None:
    write("running", current_job().id)
    await asyncio.Event().wait()


@task
async def swallow_cancellation(gate: str) -> None:
    write("running", current_job().id)
    while not Path(gate).exists():  # noqa: ASYNC240
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)


@task
def block_thread(fifo: str) -> None:
    """Wait in C code that releases the interpreter; no exception can be raised here."""
    write("running", current_job().id)
    os.close(os.open(fifo, os.O_RDONLY))


@task
def hold_interpreter() -> None:
    """Wait in C code that holds the interpreter, so that no other thread of the process runs."""
    write("running", current_job().id)
    ctypes.PyDLL(None).pause()


@task
def hold_interpreter_until(fifo: str) -> None:
    """The same, until somebody writes to a pipe."""
    write("running", current_job().id)
    ctypes.PyDLL(None).open(fifo.encode(), os.O_RDONLY)


@task
async def block_loop(fifo: str) -> None:
    write("running", current_job().id)
    os.close(os.open(fifo, os.O_RDONLY))


@task
def stay_in_query() -> None:
    """Run while the result of a query is pending; SQLite has no such state."""
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        connection.connection.pgconn.send_query(b"SELECT 42")
    elif connection.vendor == "mysql":
        connection.connection.send_query(b"SELECT 42")
    loop_forever.func()


# --- tasks that change their thread or connection -----------------------------------------


variable = ContextVar("variable", default=0)


@task
def change_context(language: str) -> list[Any]:
    translation.activate(language)
    timezone.activate("Asia/Tokyo")
    decimal.getcontext().prec = 5
    variable.set(1)
    return read_context.func()


@task
def read_context() -> list[Any]:
    zone = timezone.get_current_timezone_name()
    return [translation.get_language(), zone, decimal.getcontext().prec, variable.get()]


@task
def leave_transaction_open(token: str) -> None:
    transaction.atomic().__enter__()
    Effect.objects.create(token=token)


@task
def leave_autocommit_off(token: str) -> None:
    transaction.set_autocommit(False)
    Effect.objects.create(token=token)


@task
def close_in_transaction(token: str) -> None:
    leave_transaction_open.func(token)
    connections.close_all()


@task(atomic=True)
def close_in_atomic_task(token: str) -> None:
    Effect.objects.create(token=token)
    connection.close()


@task
def break_transaction() -> None:
    block = transaction.atomic()
    block.__enter__()
    with contextlib.suppress(Exception), connection.cursor() as cursor:
        cursor.execute("SELECT nonsense FROM nowhere")


@task
def break_connection() -> None:
    connection.ensure_connection()
    connection.connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _lose_connection() -> None:
    """Make the server close this connection. SQLite has no server: close the file."""
    connection.ensure_connection()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        elif connection.vendor == "mysql":
            cursor.execute("KILL CONNECTION_ID()")
        else:
            connection.connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@task
def lose_connection() -> None:
    _lose_connection()


@task
async def alose_connection() -> None:
    await sync_to_async(_lose_connection)()


@task
def use_database() -> list[Any]:
    """Return whether the connection was open before, and whether it works now."""
    was_open = connection.connection is not None
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        (one,) = cursor.fetchone()
    return [was_open, one, connection.in_atomic_block, connection.get_autocommit()]


@task
def change_session() -> None:
    """Change what PostgreSQL keeps with a session."""
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO pg_catalog")
        cursor.execute("SET TIME ZONE 'Asia/Tokyo'")
        cursor.execute("CREATE TEMPORARY TABLE left_behind (number int)")
        cursor.execute("SELECT pg_advisory_lock(42)")


@task
async def achange_session() -> None:
    await sync_to_async(change_session.func)()


@task
def read_session() -> list[Any]:
    """Return the search path, the time zone, and what the session has created and locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('search_path'), current_setting('TimeZone'),"
            " to_regclass('pg_temp.left_behind')::text, pg_try_advisory_xact_lock(42)"
        )
        return list(cursor.fetchone())


@task
async def aread_session() -> list[Any]:
    values: list[Any] = await sync_to_async(read_session.func)()
    return values


@task
def database_session() -> int:
    """Return the server's id of this connection; 0 on SQLite, which has no server."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        return 0
    function = "pg_backend_pid" if connection.vendor == "postgresql" else "connection_id"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}()")
        (session,) = cursor.fetchone()
    return int(session)


@task
def enter_schema(name: str, *, has_query: bool = True) -> str:
    """Choose a schema by an attribute, as packages for tenants do; return the one before it."""
    if has_query:
        connection.ensure_connection()
    before = getattr(connection, "schema_name", "")
    connection.schema_name = name  # type: ignore[attr-defined]
    return before


@task
async def aenter_schema(name: str, *, has_query: bool = True) -> str:
    return await sync_to_async(enter_schema.func)(name, has_query=has_query)


@task
async def ause_database() -> int:
    return await Job.objects.acount()


@task
async def ahold_and_use_database(gate: str) -> int:
    await ahold.func(gate)
    return await Job.objects.acount()


@task
def count_connections() -> int:
    """Return how many connections the first thread of this process has opened."""
    return len(_opened)


_opened: list[str] = []


@receiver(connection_created)
def _count(connection: Any, **_: Any) -> None:
    if threading.current_thread().name.startswith("offload-0"):
        _opened.append(connection.alias)


@task
def use_memory(mebibytes: int) -> int:
    """Use memory that is never freed."""
    memory = bytearray(mebibytes * 1024**2)
    memory[::4096] = b"x" * len(memory[::4096])
    _kept.append(memory)
    return os.getpid()


@task(at_most_once=True)
def leak_for_ever(gate: str) -> None:
    """Use more and more memory until a file appears."""
    write("running", current_job().id)
    while not Path(gate).exists():
        use_memory.func(20)
        _pause(0.02)


_kept: list[bytearray] = []


@task
def die() -> None:
    os._exit(3)


@task(at_most_once=True)
def die_at_most_once() -> None:
    os._exit(3)


@task
def noop() -> None:
    pass


@task
async def anoop() -> None:
    pass


@task
def enqueue_another(path: str) -> None:
    """Enqueue a job of a task without arguments."""
    import_string(path).enqueue()


@task
def shared_objects() -> int:
    """Return how many objects are frozen, because other processes share them."""
    return gc.get_freeze_count()


# --- receivers ----------------------------------------------------------------------------


def _is_defined_here(task_result: Any) -> bool:
    return str(task_result.task.module_path).startswith(f"{__name__}.")


def log_started(sender: Any, task_result: Any, **_: Any) -> None:
    if _is_defined_here(task_result):
        write("started", task_result.id, sender.__name__)


def log_finished(sender: Any, task_result: Any, **_: Any) -> None:
    if _is_defined_here(task_result):
        kind = sys.exc_info()[0]
        error = kind.__name__ if kind else "-"
        write("finished", task_result.id, sender.__name__, task_result.status.name, error)


task_started.connect(log_started, dispatch_uid="offload tests")
task_finished.connect(log_finished, dispatch_uid="offload tests")


@task
async def yield_often(times: int) -> None:
    """Yield to the event loop `times` times."""
    for _ in range(times):
        await asyncio.sleep(0)


class Doubled(OffloadTask):
    """A task whose class overrides the call."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return 2 * super().call(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        return 2 * await super().acall(*args, **kwargs)


def _doubled(func: Any) -> Doubled:
    return Doubled(func=func)


@_doubled
def double(value: int) -> int:
    return value


@_doubled
async def adouble(value: int) -> int:
    return value


@task
def refuse_file() -> None:
    raise UserFacingError("This is not a CSV file.")


@task
async def arefuse_file() -> None:
    raise UserFacingError("This is not a CSV file.")
