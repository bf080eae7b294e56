"""What is unique about the jobs of a task, and their keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.tasks.exceptions import InvalidTask

from offload import Debounce, Throttle, Unique, acting_for, task
from offload.models import Job
from offload.task_unique import TaskUnique, unique_of
from tests import unique_tasks as tasks
from tests.tasks import add

PATH = "tests.test_task_unique"


def export(shop_id: Any, path: str = "/", *, kind: str = "csv") -> None: ...
def positional(shop_id: int, /, *others: Any, **options: Any) -> None: ...
def in_context(context: Any, shop_id: int = 1) -> None: ...
def nothing() -> None: ...


def unique(function: Any = export, policy: Any = None, **options: Any) -> TaskUnique:
    made = unique_of(task(unique=policy or Unique(), **options)(function))
    assert made is not None
    return made


def key(made: TaskUnique, *args: Any, tenant: str = "", owner: str = "", **kwargs: Any) -> str:
    return made.key(args, kwargs, tenant=tenant, owner=owner).removeprefix(f"{PATH}.")


def test_a_key_is_made_of_the_arguments_and_their_defaults() -> None:
    made = unique(policy=Unique("{shop_id}{path}{tenant}{owner}"))

    assert key(made, 5, tenant="acme", owner="user:3") == "export:5/acmeuser:3"


def test_a_callable_makes_the_key_of_the_arguments() -> None:
    made = unique(in_context, Unique(lambda shop_id: shop_id * 2), takes_context=True)

    assert key(made, 5) == "in_context:10"
    assert key(made) == "in_context:2"


@pytest.mark.parametrize(
    "calls",
    [
        [((5,), {}), ((), {"shop_id": 5}), ((5, "/"), {}), ((5,), {"kind": "csv"})],
        [(({"b": 1, "a": 2},), {}), (({"a": 2, "b": 1},), {})],
    ],
)
def test_without_a_key_equal_calls_have_the_same_however_they_are_written(calls: Any) -> None:
    made = unique()

    assert len({key(made, *args, **kwargs) for args, kwargs in calls}) == 1


@pytest.mark.parametrize(
    "values", [(1, True), (1, 1.0), (1, "1"), (None, "None"), ("é", "e"), ([1, 2], [2, 1])]
)
def test_without_a_key_different_values_have_different_ones(values: Any) -> None:
    made = unique()

    assert len({key(made, value) for value in values}) == 2


def test_without_a_key_all_kinds_of_arguments_count() -> None:
    made = unique(positional)

    assert key(made, 1, 2, kind="x") == (
        'positional:{"options": {"kind": "x"}, "others": [2], "shop_id": 1}'
    )
    assert key(unique(in_context, takes_context=True), 7) == 'in_context:{"shop_id": 7}'
    assert key(unique(nothing)) == "nothing:{}"


def test_without_a_key_each_tenant_has_its_own() -> None:
    made = unique()

    assert key(made, 5, tenant="acme") == 'export:["acme", {"shop_id": 5}]'
    assert key(made, 5, owner="user:3") == 'export:{"shop_id": 5}'


@pytest.mark.parametrize("text", ["x" * 121, "a\nb", "\x00", "\ud800"])
def test_a_key_that_a_column_cannot_hold_is_hashed(text: str) -> None:
    made = unique(policy=Unique("{shop_id}"))

    assert len(key(made, text)) == len("export:") + 40
    assert key(made, text) == key(made, text)


def test_a_name_replaces_the_path() -> None:
    made = unique(policy=Unique("{shop_id}", name="nightly"))

    assert made.key((5,), {}, tenant="", owner="") == "nightly:5"
    assert unique(policy=Throttle(5, name="feeds")).name == "feeds"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Unique("{shop}"), "The key '{shop}' names 'shop', which is no argument of the task. Did"),
        (Debounce(5, key="shop_id"), 'Write "{shop_id}", or leave the key out for a key of all'),
        (Throttle(5, key="{"), "The key '{' is no format string"),
    ],
)
def test_a_key_that_does_not_fit_the_arguments_is_refused(policy: Any, message: str) -> None:
    with pytest.raises(InvalidTask, match=message.replace("{", "[{]")):
        unique(policy=policy)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, "Write unique=Unique()."),
        (Unique, "Write unique=Unique()."),
        ("{shop_id}", "Write unique=Unique('{shop_id}')."),
        (5, "not 5."),
    ],
)
def test_another_option_is_refused_with_a_hint(value: Any, hint: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        task(unique=value)(export)
    assert str(caught.value).startswith("unique must be a Unique, Debounce or Throttle, not")
    assert str(caught.value).endswith(hint)


@pytest.mark.django_db
def test_a_key_that_cannot_be_made_refuses_the_call() -> None:
    with pytest.raises(InvalidTask) as caught:
        tasks.broken_key.enqueue_many([(("a",), {}), ((5,), {})])

    assert str(caught.value).startswith(
        "The key '{shop[0]}' of the unique job 'tests.unique_tasks.broken_key' cannot be made of "
        "the arguments (5): TypeError"
    )
    assert caught.value.__notes__ == ["It is call 1 of enqueue_many(), counted from 0."]
    assert not Job.objects.exists()


def test_using_cannot_move_a_debounced_job() -> None:
    with pytest.raises(InvalidTask, match="its Debounce decides when a job starts"):
        tasks.debounced.using(run_after=timedelta(hours=1))


def test_using_keeps_what_is_unique() -> None:
    assert unique_of(tasks.import_shop.using(priority=5)) is unique_of(tasks.import_shop)
    assert unique_of(add) is None


@pytest.mark.django_db
def test_the_tenant_and_the_owner_are_those_of_the_job() -> None:
    with acting_for(None, tenant="acme"):
        first = tasks.of_arguments.enqueue(1)
    with acting_for(None, tenant="other"):
        second = tasks.of_arguments.enqueue(1)

    assert second.is_new
    assert Job.objects.get(pk=first.id).unique_key.endswith(':["acme", {"number": 1}]')
