"""Checks of Celery's result backend."""

from __future__ import annotations

import pytest
from django.test import override_settings

from offload.checks.celery_results import check_celery_results

DUMMY = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}


def ids(**settings: object) -> list[str | None]:
    with override_settings(**settings):
        return [message.id for message in check_celery_results()]


@pytest.mark.parametrize("url", ["offload://", "offload://default", "redis://", None])
def test_a_complete_project_gets_no_message(url: str | None) -> None:
    assert ids(CELERY_RESULT_BACKEND=url) == []


def test_the_database_must_exist() -> None:
    assert ids(CELERY_RESULT_BACKEND="offload://defautl") == ["offload.E085"]


def test_pages_need_a_backend_with_the_database() -> None:
    assert ids(CELERY_RESULT_BACKEND="offload://", TASKS=DUMMY) == ["offload.W086"]


def test_ignored_results_are_reported() -> None:
    settings = {"CELERY_RESULT_BACKEND": "offload://", "CELERY_TASK_IGNORE_RESULT": True}
    assert ids(**settings) == ["offload.W087"]
