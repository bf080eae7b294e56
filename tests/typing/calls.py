"""Calls of tasks, as type checkers see them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from django.http import HttpRequest
from django.tasks import TaskContext
from django.utils.translation import gettext_lazy

from offload import Concurrency, Exponential, Fair, OffloadResult, Rate, task


@task
def add(a: int, b: int = 0) -> int:
    return a + b


@task
async def aadd(a: int, b: int = 0) -> int:
    return a + b


@task(takes_context=True)
def attempt(context: TaskContext[..., Any], name: str) -> str:
    return f"{name} {context.attempt}"


@task(takes_context=True, max_attempts=3)
async def aattempt(context: TaskContext[..., Any], name: str) -> bytes:
    return name.encode()


def may_see(request: HttpRequest, result: OffloadResult[Any]) -> bool:
    return request.user.is_authenticated


def shown(result: OffloadResult[Any]) -> dict[str, int]:
    return {"rows": len(result.args)}


@task(
    queue_name="mail",
    priority=5,
    backend="default",
    max_attempts=3,
    backoff=Exponential(base=1),
    retry_on=(OSError,),
    no_retry_on=(FileNotFoundError,),
    timeout=timedelta(minutes=1),
    expires=60,
    atomic=True,
    at_most_once=False,
    title=gettext_lazy("Report"),
    visibility=may_see,
    expose_result=shown,
)
def report(user_id: int, *, year: int | None = None) -> list[str]:
    return [str(user_id), str(year)]


def key_of(user_id: int, **_: Any) -> str:
    return str(user_id % 10)


@task(
    concurrency=Concurrency("shop.tariffs.places", key=key_of, total=50, name="reports"),
    rate=Rate(100, per=timedelta(minutes=1), key=key_of, burst=10),
    fair=Fair(key_of),
)
def limited(user_id: int) -> int:
    return user_id


def send(address: str) -> None: ...


send_later = task(send, queue_name="mail")
send_with_context = task(attempt.func, takes_context=True)


def check_arguments() -> None:
    add.enqueue(1)
    add.enqueue(1, b=2)
    add.enqueue("1")  # error
    add.enqueue()  # error
    add.enqueue(1, c=2)  # error
    attempt.enqueue("a")
    attempt.enqueue(1)  # error
    report.enqueue(1, year=2026)
    report.enqueue(1, 2026)  # error
    limited.enqueue("1")  # error
    send_later.enqueue("a@example.org")
    send_later.enqueue(5)  # error


async def check_arguments_in_async_code() -> None:
    await aadd.aenqueue(1)
    await aadd.aenqueue("1")  # error
    await aattempt.aenqueue("a")


async def check_results() -> None:
    assert_type(add.enqueue(1), OffloadResult[int])
    assert_type(add.enqueue(1).return_value, int)
    assert_type((await aadd.aenqueue(1)).return_value, int)
    assert_type(attempt.enqueue("a").return_value, str)
    assert_type((await aattempt.aenqueue("a")).return_value, bytes)
    assert_type(add.get_result("id").wait(5).return_value, int)
    assert_type((await (await add.aget_result("id")).wait_async(5)).return_value, int)
    assert_type(add.enqueue_many([((1,), {}), ((), {"a": 1})])[0].return_value, int)
    assert_type(report.call(1), list[str])
    await add.enqueue(1)  # error


def check_options() -> None:
    assert_type(add.using(priority=5, timeout=timedelta(1)).enqueue(1).return_value, int)
    add.using(run_after=timedelta(minutes=5)).enqueue("1")  # error
    add.using(max_atempts=5)  # error
    add.using(priority="high")  # error
    add.using(atomic=True)  # error
    task(max_atempts=5)(send)  # error
    task(send, visibility="onwer")  # error
    task(send, rate="100/m", fair="{address}")
    task(send, concurrency=5)  # error
    task(send, rate_limit="100/m")  # error
    task(send, fair=key_of)  # error
    Concurrency(key="{address}")  # error
    Fair(5)  # error
    add.using(rate="100/m")  # error
    task(run_after=timedelta(1))(send)  # error
