"""Checks of the Celery application that a backend sends messages with."""

from __future__ import annotations

import pytest
from django.test import override_settings

from offload.backends.base import get_backend
from offload.backends.celery import checks


def check(**options: str) -> list[tuple[str, str, str]]:
    path = "offload.backends.celery.CeleryBackend"
    with override_settings(TASKS={"default": {"BACKEND": path, "OPTIONS": options}}):
        messages = [m for m in get_backend("default").check() if "E08" in m.id or "W08" in m.id]
    return [(m.id or "", m.msg, m.hint or "") for m in messages]


def test_celery_is_missing(monkeypatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)

    ((number, _, hint),) = check()

    assert number == "offload.E081"
    assert "django-offload[celery]" in hint


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("mysite.celery.app", "No module named 'mysite'"),
        ("tests.celery_apps.zzz", "zzz"),
        ("tests.celery_apps.REDIS_URL", "conf"),
    ],
)
def test_the_path_names_no_application(path, reason) -> None:
    ((number, message, _),) = check(celery_app=path)

    assert number == "offload.E082"
    assert path in message
    assert reason in message


def test_an_application_must_import_the_task_that_runs_jobs() -> None:
    assert check(celery_app="tests.celery_apps.redis") == []

    ((number, _, hint),) = check(celery_app="tests.celery_apps.without_jobs")

    assert number == "offload.W083"
    assert '"offload.worker.fleet.celery_tasks"' in hint


@pytest.mark.parametrize(("url", "numbers"), [("", ["offload.W084"]), ("memory://", [])])
def test_a_setting_must_name_the_broker(url, numbers, monkeypatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", url)

    assert [number for number, _, _ in check()] == numbers
