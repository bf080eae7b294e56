"""Checks of the tasks whose jobs are unique."""

from __future__ import annotations

from typing import Any

import pytest
from django.tasks.backends.base import BaseTaskBackend

from offload import Throttle, Unique, task
from offload.checks.registered import check_tasks
from offload.checks.unique_jobs import check_unique_jobs
from offload.task_unique import TaskUnique, UniqueOptions


class ForeignBackend(BaseTaskBackend):
    """A backend of another library."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any: ...


def export(shop: str) -> None: ...


def unique(path: str, policy: Any) -> TaskUnique:
    return TaskUnique(UniqueOptions(export, takes_context=False, policy=policy), path, "default")


def ids_of(messages: Any) -> list[str]:
    return [message.id for message in messages]


@pytest.mark.parametrize(
    ("backend", "ids"),
    [
        ("offload.backends.database.DatabaseBackend", []),
        ("django.tasks.backends.immediate.ImmediateBackend", []),
        (f"{__name__}.ForeignBackend", ["offload.W071"]),
    ],
)
def test_a_backend_must_know_unique_jobs(backend: str, ids: list[str], settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": backend}}

    assert ids_of(check_unique_jobs([unique("a.task", Unique())])) == ids


def test_tasks_that_share_keys_hold_them_equally_long() -> None:
    shared = [
        unique("a.task", Unique(name="crm")),
        unique("b.task", Unique("{shop}", name="crm", on_conflict="raise")),
        unique("c.task", Unique(name="crm", until="started")),
        unique("d.task", Throttle(60, name="crm")),
        unique("e.task", Throttle(60)),
    ]

    warnings = list(check_unique_jobs(shared))

    assert ids_of(warnings) == ["offload.W072"] * 2
    assert warnings[0].msg.startswith("The tasks a.task and c.task share the keys of 'crm', but")


def test_django_checks_the_loaded_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"b.task": unique("b.task", Throttle(5, name="crm"))}
    monkeypatch.setattr("offload.task_unique._defined", known)
    monkeypatch.setattr("offload.task_limits._defined", {})
    task(unique=Unique(name="crm"))(export)

    assert ids_of(check_tasks()) == ["offload.W072"]
