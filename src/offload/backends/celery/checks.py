"""Checks of the Celery application that a backend sends messages with."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  # Django's name
from django.utils.module_loading import import_string


def check_celery(alias: str, path: str) -> Iterator[CheckMessage]:
    """Yield what keeps the jobs of a backend from reaching Celery's workers.

    Args:
        alias: of the backend in TASKS.
        path: of the project's Celery application; empty for that of this package.
    """
    if find_spec("celery") is None:
        yield Error(
            f"TASKS[{alias!r}]: CeleryBackend needs Celery.",
            hint='Install it: pip install "django-offload[celery]"',
            id="offload.E081",
        )
    elif path:
        yield from _check_application(alias, path)
    else:
        yield from _check_broker(alias)


def _check_application(alias: str, path: str) -> Iterator[CheckMessage]:
    from offload.backends.celery.application import WORKER  # noqa: PLC0415  # needs Celery

    name = f"TASKS[{alias!r}]['OPTIONS']['celery_app']"
    try:
        application: Any = import_string(path)
        modules = {*application.conf.imports, *application.conf.include}
    except (ImportError, AttributeError) as error:
        yield Error(
            f"{name} is {path!r}, which is no Celery application: {error}",
            hint="Name its module and attribute, such as 'mysite.celery.app'.",
            id="offload.E082",
        )
        return
    if WORKER not in modules:
        yield Warning(
            f"The workers of {path} may not know the task that runs jobs.",
            hint=f'Add "{WORKER}" to CELERY_IMPORTS.',
            id="offload.W083",
        )


def _check_broker(alias: str) -> Iterator[CheckMessage]:
    from offload.backends.celery.application import application  # noqa: PLC0415  # needs Celery

    if not application.conf.broker_url:
        yield Warning(
            f"TASKS[{alias!r}]: messages go to RabbitMQ on this machine, as no setting names a "
            "broker.",
            hint="Set CELERY_BROKER_URL.",
            id="offload.W084",
        )
