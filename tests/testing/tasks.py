"""Tasks for the tests of offload.testing."""

from __future__ import annotations

from functools import partial
from typing import Any

import django
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import transaction
from django.tasks import task as django_task
from django.utils import translation

from offload import Exponential, Retry, Snooze, current_job, task, track

calls: list[Any] = []
"""Records of the tasks that ran, in order; cleared before each test."""


@task
def note(value: Any = None) -> Any:
    calls.append(value)
    return value


@task
async def anote(value: Any = None) -> Any:
    calls.append(value)
    return value


@task
def add_user(name: str) -> int:
    return User.objects.create(username=name).pk


@task
async def aadd_user(name: str) -> int:
    user = await User.objects.acreate(username=name)
    return user.pk


@task(atomic=True)
def add_user_or_fail(name: str, *, fail: bool) -> str:
    User.objects.create(username=name)
    if fail:
        raise ValueError(name)
    return name


@task
def import_rows(count: int, *, fail_at: int | None = None) -> None:
    for row in track(range(count), "Importing"):
        if row == fail_at:
            raise ValueError(row)


@task
async def aimport_rows(count: int) -> None:
    import_rows.func(count)


@task(max_attempts=2)
def report_progress_once() -> None:
    if current_job().attempt == 1:
        import_rows.func(3, fail_at=2)


@task(atomic=True)
def import_rows_atomically(count: int) -> None:
    import_rows.func(count)


@task(max_attempts=3, backoff=Exponential(1000, jitter=False), takes_context=True)
def fail_twice(context: Any) -> int:
    calls.append(context.attempt)
    if context.attempt < 3:
        raise ConnectionError("down")
    return context.attempt


@task(max_attempts=2, backoff=Exponential(1000, jitter=False))
async def afail_always() -> None:
    raise ConnectionError("down")


@task(max_attempts=2, takes_context=True)
def retry_once(context: Any) -> str:
    if context.attempt == 1:
        raise Retry(after=3600)
    return "done"


@task(takes_context=True)
def snooze_once(context: Any) -> str:
    calls.append(context.attempt)
    if len(calls) == 1:
        raise Snooze(3600)
    return "rested"


@task(max_attempts=2, takes_context=True)
def snooze_then_fail_once(context: Any) -> str:
    calls.append(context.attempt)
    match len(calls):
        case 1:
            raise Snooze(0)
        case 2:
            raise Retry(after=0)
    return "done"


@task(max_attempts=2, takes_context=True)
def cancel_itself_and_retry(context: Any) -> None:
    cancel_itself_and_retry.get_result(context.task_result.id).cancel()
    raise Retry(after=10)


@task
def delete_all_jobs() -> None:
    from offload.models import Job  # noqa: PLC0415  # models need the app registry

    Job.objects.all().delete()


@task
def snooze_always() -> None:
    raise Snooze(0)


@task
def enqueue_itself() -> None:
    enqueue_itself.enqueue()


@task
def fan_out(count: int) -> None:
    for number in range(count):
        note.enqueue(number)


@task
async def afan_out(count: int) -> list[Any]:
    return [(await note.aenqueue(number)).id for number in range(count)]


@task
def note_on_commit(value: str) -> None:
    with transaction.atomic():
        transaction.on_commit(partial(note.enqueue, value))


@task
def note_unless_rolled_back(value: str) -> None:
    with transaction.atomic():
        transaction.on_commit(partial(note.enqueue, value))
        raise ValueError(value)


@task
def break_transaction(name: str) -> None:
    User.objects.create(username=name)
    User.objects.create(username=name)


@task
async def abreak_transaction(name: str) -> None:
    await sync_to_async(break_transaction.func)(name)


@task
def language() -> str:
    return translation.get_language()


@task
def job_id() -> str:
    return current_job().id


@task
def return_set() -> Any:
    return {1}


@task
def stop_the_test() -> None:
    pytest.fail("from within the task")


@task
async def astop_the_test() -> None:
    raise KeyboardInterrupt


@task
def exit_the_process() -> None:
    raise SystemExit(3)


if django.VERSION >= (6, 1):

    @django_task(max_attempts=3, retry_on=(ConnectionError,))
    def with_djangos_decorator() -> None:
        calls.append("tried")
        raise ConnectionError
