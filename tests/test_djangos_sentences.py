"""Where Django raises, the messages begin with Django's sentence; mistakes are found at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.tasks import Task
from django.tasks.backends.dummy import DummyBackend
from django.tasks.exceptions import InvalidTask
from django.utils.translation import gettext_lazy

from offload import task
from offload.exceptions import InvalidArguments
from tests.tasks import add, plain


def inner() -> Callable[[], None]:
    def function() -> None: ...

    return function


@pytest.mark.parametrize(
    "options",
    [{"func": inner()}, {"queue_name": "none"}, {"priority": 101}, {"priority": 0.5}],
    ids=["nested", "queue", "priority", "fraction"],
)
def test_a_message_begins_with_djangos(options):
    values = {"func": plain.func, "queue_name": "default", "priority": 0, **options}
    stub: Any = object.__new__(Task)
    for name in ("func", "priority", "queue_name", "backend", "run_after", "takes_context"):
        object.__setattr__(stub, name, values.get(name))
    backend = DummyBackend("default", {"QUEUES": ["default"]})
    with pytest.raises(InvalidTask) as djangos:
        backend.validate_task(stub)

    with pytest.raises(InvalidTask) as ours:
        add.get_backend().validate_task(stub)

    assert str(ours.value).startswith(str(djangos.value))
    assert len(str(ours.value)) > len(str(djangos.value))


def test_run_after_is_refused_with_djangos_words():
    with pytest.raises(TypeError, match=r"^run_after cannot be defined statically"):
        task(run_after=1)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"title": 3}, "title must be text, not 3"),
        ({"atomic": "yes"}, "atomic must be True or False, not 'yes'"),
        ({"at_most_once": 1}, "at_most_once must be True or False, not 1"),
        ({"retry_on": (KeyboardInterrupt,)}, "retry_on cannot contain KeyboardInterrupt"),
        ({"no_retry_on": (GeneratorExit,)}, "no_retry_on cannot contain GeneratorExit"),
    ],
)
def test_a_wrong_option_is_refused(options, text):
    with pytest.raises(InvalidTask, match=text):
        task(**options)(plain.func)


def generate() -> Any:
    yield 1


async def agenerate() -> Any:
    yield 1


@pytest.mark.parametrize("function", [generate, agenerate])
def test_a_generator_function_cannot_be_a_task(function):
    with pytest.raises(InvalidTask, match="contains yield"):
        task(function)


def test_an_error_of_many_calls_names_the_call():
    with pytest.raises(TypeError) as caught:
        add.enqueue_many([((1, 2), {}), ((1, object()), {})])
    assert caught.value.__notes__ == ["It is call 1 of enqueue_many(), counted from 0."]

    with pytest.raises(InvalidArguments) as single:
        add.enqueue(float("nan"))
    assert not hasattr(single.value, "__notes__")


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (UUID(int=1), "str(value)"),
        (Decimal(1), "str(value)"),
        (gettext_lazy("Yes"), "str(value)"),
        (date(2026, 1, 2), "value.isoformat()"),
        (timedelta(1), "value.total_seconds()"),
        ({1}, "a list"),
        (object(), "a model's primary key"),
    ],
)
def test_the_error_says_what_to_pass_instead(value, advice):
    with pytest.raises(TypeError, match=re.escape(advice)):
        add.enqueue(value)
