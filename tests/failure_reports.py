"""Receivers and log handlers that enqueue jobs when a job fails."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import connections
from django.dispatch import Signal
from django.tasks import TaskResultStatus

from offload.models import Job
from offload.testing import run_jobs

LIMIT = 40
"""Attempts that a test allows; a loop needs more."""


class Enqueues(logging.Handler):
    """A handler that enqueues a task for each error; most handlers of projects catch nothing."""

    def __init__(self, task: Any) -> None:
        super().__init__(logging.ERROR)
        self.task = task

    def emit(self, record: logging.LogRecord) -> None:
        self.task.enqueue(record.name)


class EnqueuesInThread(Enqueues):
    """The same in a thread of its own, which no exception may end."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with suppress(Exception):
                super().emit(record)
        finally:
            connections.close_all()  # nobody else closes those of the thread


@contextmanager
def receiving(signal: Signal, receiver: Callable[..., Any]) -> Iterator[None]:
    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


@contextmanager
def handling(handler: logging.Handler, *names: str, level: int = logging.ERROR) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, previous in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(previous)


def on_failure(*tasks: Any) -> Callable[..., None]:
    """Return a receiver of `task_finished` that enqueues tasks when a job has failed."""

    def receiver(task_result: Any, **_: Any) -> None:
        if task_result.status == TaskResultStatus.FAILED:
            for task in tasks:
                task.enqueue("receiver")

    return receiver


def run_all() -> Counter[str]:
    """Run all jobs; return how many there were of each task."""
    run_jobs(limit=LIMIT, include_scheduled=True)
    paths = Job.objects.values_list("task_path", flat=True)
    return Counter(path.rpartition(".")[2] for path in paths)
