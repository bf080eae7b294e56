"""The job, as a task of django-offload."""

from __future__ import annotations

from kill_runs.work import work
from offload import task


@task
def run(number: int) -> None:
    work(number)
