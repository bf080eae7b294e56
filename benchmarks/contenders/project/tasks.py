"""The jobs of all contenders as tasks of django.tasks."""

from __future__ import annotations

from django.tasks import task

from job_bodies import awork, record_start, work
from project.models import Item


@task
def noop(sent: int) -> int:
    record_start(sent)
    return 1


@task
async def anoop(sent: int) -> int:
    record_start(sent)
    return 1


@task
def mixed(sent: int, kind: str) -> int:
    record_start(sent)
    work(kind, lambda: Item.objects.get(pk=1))
    return 1


@task
async def amixed(sent: int, kind: str) -> int:
    record_start(sent)
    await awork(kind, lambda: Item.objects.aget(pk=1))
    return 1


@task
def big(sent: int, text: str) -> int:
    record_start(sent)
    return len(text)


@task
def count(values: list[int]) -> int:
    return len(values)
