"""The checks of limits."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks.registry import registry
from django.tasks.backends.base import BaseTaskBackend

from offload import Concurrency, Fair, Rate, task
from offload.checks.limits import check_limits
from offload.checks.registered import check_tasks
from offload.task_limits import LimitOptions, TaskLimit
from tests.checks.databases import ids_of


class ForeignBackend(BaseTaskBackend):
    """A backend of another library."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any: ...


def export(shop: int) -> None: ...


def limit(path: str, concurrency: Concurrency | None = None, rate: Rate | None = None) -> TaskLimit:
    options = LimitOptions(
        export, takes_context=False, concurrency=concurrency, rate=rate, fair=None
    )
    return TaskLimit(options, path, "default")


KEYED = Concurrency(3, key="{shop}", name="crm")


@pytest.mark.parametrize(
    ("first", "second", "ids"),
    [
        (KEYED, KEYED, []),
        (KEYED, Concurrency(3, key=export, name="crm"), []),  # type: ignore[arg-type]
        (KEYED, Concurrency(4, key="{shop}", name="crm"), ["offload.E041"]),
        (KEYED, Concurrency(3, key="{shop}", total=9, name="crm"), ["offload.E041"]),
        (KEYED, Concurrency(3, name="crm"), ["offload.E041"]),
        (KEYED, Concurrency("builtins.abs", key="{shop}", name="crm"), ["offload.E041"]),
        (KEYED, Concurrency(4, key="{shop}", name="erp"), []),
        (Concurrency(3), Concurrency(4), []),
        (Concurrency(3, name="b.task"), Concurrency(4), ["offload.E041"]),
    ],
)
def test_tasks_that_share_a_limit_must_agree(first, second, ids):
    assert ids_of(check_limits([limit("a.task", first), limit("b.task", second)])) == ids


def test_the_error_names_the_tasks_and_their_numbers():
    limits = [limit("a.task", KEYED), limit("b.task", rate=Rate("1/s", name="crm"))]

    (error,) = check_limits(limits)

    assert "a.task and b.task share the limit 'crm'" in error.msg
    assert "concurrency 3 (with a key), and rate 1/s, burst 1 (without key)" in error.msg


@pytest.mark.parametrize(
    ("backend", "ids"),
    [
        ("offload.backends.database.DatabaseBackend", []),
        ("offload.testing.ImmediateBackend", []),
        ("django.tasks.backends.immediate.ImmediateBackend", []),
        ("django.tasks.backends.dummy.DummyBackend", []),
        (f"{__name__}.ForeignBackend", ["offload.W042"]),
    ],
)
def test_a_backend_must_know_limits(backend, ids, settings):
    settings.TASKS = {"default": {"BACKEND": backend}}

    assert ids_of(check_limits([limit("a.task", KEYED)])) == ids


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("gone.places", "ModuleNotFoundError"),
        ("tests.checks.test_limits.places", "ImportError"),
        ("tests.checks.test_limits.KEYED", "it is not callable"),
        ("tests.worker.unimportable.places", ""),
    ],
)
def test_a_number_must_come_from_a_callable(path, problem):
    (error,) = check_limits([limit("a.task", Concurrency(path, key="{shop}"))])

    assert error.id == "offload.E043"
    assert repr(path) in error.msg
    assert problem in error.msg


def test_a_weight_must_come_from_a_callable():
    options = LimitOptions(
        export,
        takes_context=False,
        concurrency=None,
        rate=None,
        fair=Fair("{shop}", weight="gone.weight"),
    )

    (error,) = check_limits([TaskLimit(options, "a.task", "default")])

    assert error.id == "offload.E043"
    assert "gets its weight from 'gone.weight'" in error.msg


@pytest.mark.parametrize(
    ("key", "options", "ids"),
    [
        ("{tenant}", {}, ["offload.W044"]),
        ("{shop}-{tenant}", {}, ["offload.W044"]),
        ("{shop}", {}, []),
        ("{tenant}", {"tenant_getter": "builtins.str"}, []),
        (str, {}, []),
    ],
    ids=str,
)
def test_a_key_of_tenants_needs_a_getter(key, options, ids, settings):
    settings.TASKS = {
        "default": {"BACKEND": "offload.backends.database.DatabaseBackend", "OPTIONS": options}
    }

    assert ids_of(check_limits([limit("a.task", Concurrency(3, key=key))])) == ids


def test_an_argument_may_be_named_tenant():
    def export(tenant: str) -> None: ...

    options = LimitOptions(
        export, takes_context=False, concurrency=None, rate=None, fair=Fair("{tenant}")
    )

    assert ids_of(check_limits([TaskLimit(options, "a.task", "default")])) == []


def test_django_checks_the_limits_of_the_loaded_tasks(monkeypatch):
    monkeypatch.setattr("offload.task_limits._defined", {})
    task(export, concurrency=Concurrency("gone.places", key="{shop}"))

    assert ids_of(check_tasks()) == ["offload.E043"]
    assert check_tasks in registry.get_checks()
