"""The jobs as Celery has them; for django-offload, only the import differs."""

from __future__ import annotations

import os

from job_bodies import record_start, work
from project.models import Item

if "BENCH_RESULTS" in os.environ:
    from celery import shared_task
else:
    from offload.celery import shared_task


@shared_task
def noop(sent: int) -> int:
    record_start(sent)
    return 1


@shared_task
def mixed(sent: int, kind: str) -> int:
    record_start(sent)
    work(kind, lambda: Item.objects.get(pk=1))
    return 1


@shared_task
def big(sent: int, text: str) -> int:
    record_start(sent)
    return len(text)


@shared_task
def count(values: list[int]) -> int:
    return len(values)
