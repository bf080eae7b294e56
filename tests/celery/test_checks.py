"""System checks of a project with tasks of Celery's."""

from __future__ import annotations

from typing import Any

import pytest

from offload.celery import shared_task
from offload.celery.checks import check_tasks
from offload.celery.tasks.registry import Registry
from offload.celery.tasks.registry import tasks as registry


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.celery.checks.tasks", Registry())


def ids(*functions: Any) -> list[str | None]:
    from offload.celery import checks  # noqa: PLC0415

    checks.tasks.update({task.name: task for task in functions})
    for task in functions:
        registry.unregister(task)
    return [message.id for message in check_tasks()]


def module_level() -> None: ...


def test_tasks_without_a_mistake_pass(settings: Any):
    settings.CELERY_BROKER_URL = "amqp://localhost"

    assert ids(shared_task(name="fine", priority=3)(module_level)) == []


@pytest.mark.parametrize(
    "options",
    [{"rate_limit": "10/x"}, {"rate_limit": "often"}, {"time_limit": -1}, {"queue": "unknown"}],
    ids=str,
)
def test_an_unusable_option_is_an_error(options: dict[str, Any]):
    assert ids(shared_task(name="bad", **options)(module_level)) == ["offload.E091"]


def test_a_task_that_no_worker_finds_is_an_error():
    def inner() -> None: ...

    assert ids(shared_task(name="inner")(inner)) == ["offload.E091"]


def test_priorities_of_a_project_with_redis_are_a_warning(settings: Any):
    settings.CELERY_BROKER_URL = "redis://localhost:6379/0"

    assert ids() == []
    settings.CELERY_TASK_DEFAULT_PRIORITY = 5
    assert ids() == ["offload.W092"]
    settings.CELERY_TASK_DEFAULT_PRIORITY = None
    assert ids(shared_task(name="urgent", priority=0)(module_level)) == ["offload.W092"]


def test_a_route_without_a_queue_is_a_warning(settings: Any):
    settings.CELERY_TASK_ROUTES = {"feed.*": {"routing_key": "feed.import"}}

    assert ids(shared_task(name="feed.load", queue="mail")(module_level)) == []
    assert ids(shared_task(name="feed.read")(module_level)) == ["offload.W093"]
    settings.CELERY_TASK_ROUTES = {"feed.*": {"routing_key": "feed.import", "queue": "mail"}}
    assert ids() == []
