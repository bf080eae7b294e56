"""Tasks that fail, and whose failures receivers and log handlers report by other tasks."""

import logging

from offload import task

logger = logging.getLogger("tests.failing_tasks")


@task
def fail(name: str = "") -> None:
    raise ValueError(name)


@task
def fail_as_well(name: str = "") -> None:
    raise ValueError(name)


@task
async def fail_async(name: str = "") -> None:
    raise ValueError(name)


@task
def succeed(name: str = "") -> None:
    """Do nothing."""


@task
def log_an_error(name: str = "") -> None:
    logger.error("This task succeeds, but says that something is wrong.")


@task
def fan_out(name: str = "") -> None:
    fail.enqueue(name)
