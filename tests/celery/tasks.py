"""Tasks as projects with Celery have them, with the import changed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.mail import send_mail
from django.db import OperationalError, connection, transaction

from offload.celery import Task, shared_task, signature
from offload.celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from offload.celery.result import AsyncResult, allow_join_result
from offload.celery.signals import worker_process_init, worker_ready
from tests.worker.event_log import write

events: list[Any] = []
"""What hooks and receivers have seen, for the tests that run jobs in their own process."""


class AddressError(Exception):
    """An exception that needs keywords."""

    def __init__(self, *, address: str) -> None:
        super().__init__(f"bad address: {address}")
        self.address = address


class OutOfStock(Exception):
    pass


@shared_task
def add(x: int, y: int = 0) -> int:
    return x + y


@shared_task(name="double it")
def double(x: int) -> int:
    return 2 * x


@shared_task
async def aadd(x: int, y: int) -> int:
    await asyncio.sleep(0)
    return x + y


@shared_task(bind=True)
def echo(self: Task, *args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


@shared_task(bind=True)
def about(self: Task, *args: Any) -> dict[str, Any]:
    request = self.request
    names = ("id", "retries", "delivery_info", "root_id", "parent_id", "is_eager", "args", "kwargs")
    return {name: request.get(name) for name in (*names, "headers", "called_directly", "task")}


@shared_task
def fail(message: str = "no") -> None:
    raise ValueError(message)


@shared_task
def fail_with_keywords(address: str) -> None:
    raise AddressError(address=address)


@shared_task
def fail_from_cause() -> None:
    try:
        {}["inner"]
    except KeyError as error:
        raise OutOfStock("outer", 3) from error


@shared_task(throws=(OutOfStock,))
def fail_as_expected() -> None:
    raise OutOfStock("none left")


@shared_task(bind=True, max_retries=2, default_retry_delay=0)
def retry_until(self: Task, attempt: int) -> int:
    if self.request.retries < attempt:
        raise self.retry(exc=OutOfStock(f"attempt {self.request.retries}"))
    return int(self.request.retries)


@shared_task(bind=True)
def retry_tomorrow(self: Task) -> None:
    raise self.retry(exc=OutOfStock("try tomorrow"), countdown=86_400)


@shared_task(bind=True, max_retries=2, default_retry_delay=0)
def retry_without_raising(self: Task, outcome: str) -> str:
    if self.request.retries == 0:
        self.retry(throw=False)
        events.append("goes on")
        if outcome == "fail":
            raise OutOfStock("after retry()")
        if outcome == "ignore":
            raise Ignore
    return f"after {self.request.retries}"


@shared_task(bind=True, max_retries=2)
def retry_elsewhere(self: Task) -> str:
    if self.request.retries == 0:
        raise self.retry(countdown=0, queue="mail", priority=9, serializer="json")
    return "done"


@shared_task(bind=True)
def retry_at(self: Task, eta: Any) -> None:
    raise self.retry(eta=eta)


@shared_task(bind=True, max_retries=0)
def retry_with_own_limit(self: Task) -> int:
    if self.request.retries < 3:
        raise self.retry(countdown=0, max_retries=3)
    return int(self.request.retries)


@shared_task(bind=True, autoretry_for=(OSError,), max_retries=2, retry_backoff=True)
def retry_by_itself(self: Task, until: int) -> int:
    if self.request.retries < until:
        raise OSError(5, "no network")
    return int(self.request.retries)


@shared_task(autoretry_for=(Exception,), max_retries=3, default_retry_delay=0)
def return_integer_keys() -> dict[int, int]:
    events.append("ran")
    return {1: 2}


@shared_task(autoretry_for=(Exception,), max_retries=3, default_retry_delay=0)
async def return_integer_keys_async() -> dict[int, int]:
    events.append("ran")
    return {1: 2}


class UnpreparedTask(Task):
    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        events.append("before_start")
        raise OSError("not prepared")


@shared_task(base=UnpreparedTask, autoretry_for=(Exception,), max_retries=3, default_retry_delay=0)
def unprepared() -> None: ...


@shared_task(bind=True)
def report_progress(self: Task, total: int) -> str:
    for current in range(1, total + 1):
        self.update_state(state="PROGRESS", meta={"current": current, "total": total})
    return "done"


@shared_task(bind=True)
def report_in_transaction(self: Task) -> str:
    with transaction.atomic():
        self.update_state(state="WORKING", meta={"stage": "one"})
    return "done"


@shared_task(bind=True)
def report_nan(self: Task) -> None:
    self.update_state(state="PROGRESS", meta={"number": float("nan")})


@shared_task(bind=True)
def report_size(self: Task, size: int) -> None:
    self.update_state(state="PROGRESS", meta={"text": "x" * size})


@shared_task(bind=True)
def set_final_state(self: Task) -> None:
    self.update_state(state="FAILURE", meta={"reason": "mine"})


@shared_task(bind=True)
def ignore(self: Task, state: str = "") -> None:
    if state:
        self.update_state(state=state, meta={"why": "nothing to do"})
    raise Ignore


@shared_task
def reject(requeue: bool = False) -> str:
    if requeue and "requeued" in events:
        return "second time"
    events.append("requeued")
    raise Reject("no thanks", requeue=requeue)


@shared_task
def join(task_id: str, allowed: bool = False) -> Any:
    if not allowed:
        return AsyncResult(task_id).get(timeout=1)
    with allow_join_result():
        return AsyncResult(task_id).get(timeout=1)


@shared_task
def call_another(x: int) -> str:
    return str(about.delay(x).id)


@shared_task
def call_another_directly(x: int) -> str:
    return str(call_another(x))


@shared_task
def join_directly(task_id: str) -> Any:
    return join(task_id)


@shared_task(bind=True)
def replace(self: Task, *args: Any) -> None:
    raise self.replace(about.si(*args))


@shared_task(bind=True)
async def replace_async(self: Task, x: int) -> None:
    self.replace(double.s(x))


@shared_task(bind=True)
def replace_by(self: Task, *before: Any, by: Any) -> Any:
    return self.replace(signature(by))


@shared_task(bind=True)
def replace_carefully(self: Task, by: Any) -> Any:
    try:
        return self.replace(signature(by))
    except Ignore:
        raise
    except Exception as error:
        raise RuntimeError("it has failed") from error


@shared_task(bind=True)
def note_and_replace(self: Task, by: Any) -> Any:
    events.append("replaced")
    return self.replace(signature(by))


@shared_task(bind=True)
async def replace_by_async(self: Task, *before: Any, by: Any) -> Any:
    return self.replace(signature(by))


@shared_task
async def anote_failure(request: Any, exc: Any, traceback: Any) -> None:
    events.append((request.id, str(exc)))


@shared_task(bind=True, acks_late=True)
def put_back_once(self: Task) -> str:
    if not self.request.delivery_info["redelivered"]:
        raise Reject("no reason", requeue=True)
    return "received two times"


@shared_task
def look_at_failure(task_id: str) -> None:
    result = AsyncResult(task_id)
    result.get(propagate=False)
    events.append((task_id, repr(result.result), "ValueError: no" in result.traceback))


@shared_task(bind=True)
def fail_at_length(self: Task) -> None:
    raise OutOfStock(["x" * 1000] * 1000)


@shared_task(ignore_result=True)
def keep_nothing() -> str:
    return "a secret"


@shared_task(ignore_result=True)
def keep_nothing_of(value: Any) -> Any:
    return value


@shared_task(ignore_result=True)
def return_object() -> Any:
    return object()


@shared_task
def return_set() -> Any:
    return {1, 2}


class Recorder(Task):
    """A base class with all hooks, as projects have one."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        events.append(("before_start", task_id, list(args)))

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        events.append(("on_success", retval))

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        events.append(("on_failure", repr(exc), "ValueError" in str(einfo)))

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        events.append(("on_retry", repr(exc)))

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        events.append(("after_return", status))


@shared_task(base=Recorder, bind=True, max_retries=1, default_retry_delay=0)
def recorded(self: Task, outcome: str) -> str:
    if outcome == "retry":
        raise self.retry(exc=ValueError("again"))
    if outcome == "ignore":
        raise Ignore
    if outcome == "reject once" and ("rejected",) not in events:
        events.append(("rejected",))
        raise Reject("not now", requeue=True)
    if outcome == "fail":
        raise ValueError("no")
    return outcome


@shared_task(base=Recorder)
async def recorded_async(outcome: str) -> str:
    if outcome == "fail":
        raise ValueError("no")
    return outcome


class CallingTask(Task):
    """A base class whose `__call__` wraps the run, as projects have one."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        events.append(("__call__", self.request.id is not None))
        return super().__call__(*args, **kwargs)


@shared_task(base=CallingTask, bind=True)
def called(self: Task, x: int) -> list[Any]:
    return [x, self.request.id]


@shared_task(soft_time_limit=0.05, time_limit=30)
def run_too_long() -> str:
    while True:
        pass


@shared_task(soft_time_limit=0.05)
def clean_up_after_soft_limit() -> str:
    try:
        while True:
            pass
    except SoftTimeLimitExceeded:
        return "cleaned up"


@shared_task(
    queue="mail", priority=7, rate_limit="10/m", time_limit=30, acks_late=False, expires=60
)
def with_options() -> None: ...


@shared_task(autoretry_for=(OSError,), retry_backoff=True, max_retries=5)
def send_welcome_mail(address: str) -> int:
    return send_mail("Welcome", "Hello!", "shop@example.com", [address])


@shared_task(bind=True)
def send_newsletter(self: Task, addresses: list[str]) -> dict[str, int]:
    for current, address in enumerate(addresses, start=1):
        send_mail("News", "Nothing new.", "shop@example.com", [address])
        self.update_state(state="PROGRESS", meta={"current": current, "total": len(addresses)})
    return {"sent": len(addresses)}


@shared_task
def note(*args: Any) -> None:
    events.append(list(args))


@shared_task
def note_failed_id(task_id: str) -> None:
    events.append(("id", task_id))


@shared_task
def note_failure(request: Any, exc: Any, traceback: Any) -> None:
    events.append((request.id, request.args, repr(exc), "ValueError: no" in traceback))


@shared_task(bind=True)
def note_failed_id_bound(self: Task, task_id: str, also: str = "") -> None:
    events.append(("bound", task_id, also))


# --- for tests with a worker ----------------------------------------------------------------------


def wait_for(path: str) -> None:
    pause = threading.Event()
    while not Path(path).exists():
        pause.wait(0.01)


@shared_task(bind=True)
def report_and_wait(self: Task, gate: str, *, is_atomic: bool = True) -> str:
    """Report a state from within a transaction, which stays open until the file exists."""
    with transaction.atomic() if is_atomic else nullcontext():
        self.update_state(state="PROGRESS", meta={"current": 1, "total": 3, "by": Decimal("0.5")})
        wait_for(gate)
    return "done"


@shared_task(bind=True, time_limit=0.2)
def block_in_c(self: Task, fifo: str) -> None:
    """Wait in C code, where no exception can be raised."""
    write("running", str(self.request.id))
    os.close(os.open(fifo, os.O_RDONLY))


@shared_task(acks_late=False)
def kill_own_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(bind=True)
def kill_own_process_once(self: Task, marker: str) -> str:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "second time"


@shared_task(bind=True)
def wait_for_ever(self: Task) -> None:
    write("running", str(self.request.id))
    pause = threading.Event()
    while True:
        pause.wait(0.01)


class LoggingTask(Task):
    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        write("on_retry", task_id)


@shared_task(base=LoggingTask, autoretry_for=(Exception,))
def meet_lock_once(marker: str) -> str:
    if not Path(marker).exists():
        Path(marker).touch()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        raise OperationalError("database is locked")
    return "done"


@worker_process_init.connect
def on_process_init(**_: Any) -> None:
    write("worker_process_init")


@worker_ready.connect
def on_ready(**_: Any) -> None:
    write("worker_ready")


@shared_task
def multiply(x: int, y: int) -> int:
    return x * y


@shared_task
def add_all(numbers: list[int]) -> int:
    return sum(numbers)


@shared_task
def listed(*args: Any, **kwargs: Any) -> list[Any]:
    return [*args, kwargs] if kwargs else list(args)


@shared_task
def same(value: Any) -> Any:
    return value


@shared_task
def fail_after(*args: Any) -> None:
    raise OutOfStock(*args)
