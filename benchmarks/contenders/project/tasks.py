"""The jobs, as tasks of django.tasks."""

from __future__ import annotations

from django.tasks import task

from bodies import awork, mark, work
from project.models import Item


@task
def noop(sent: int) -> int:
    mark(sent)
    return 1


@task
async def anoop(sent: int) -> int:
    mark(sent)
    return 1


@task
def mixed(sent: int, kind: str) -> int:
    mark(sent)
    work(kind, lambda: Item.objects.get(pk=1))
    return 1


@task
async def amixed(sent: int, kind: str) -> int:
    mark(sent)
    await awork(kind, lambda: Item.objects.aget(pk=1))
    return 1


@task
def big(sent: int, text: str) -> int:
    mark(sent)
    return len(text)
