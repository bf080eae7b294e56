"""The limit of a task: its options together, and the keys of its jobs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.tasks.exceptions import InvalidTask
from django.test import override_settings

from offload import Concurrency, Fair, Rate, acting_for, task
from offload.models import Job, LimitKey, LimitNotice
from offload.reserved_ids import reserve_id, take_reserved_id
from offload.task_limits import TaskLimit, limit_of
from offload.uuid7 import new_id
from tests import limited_tasks as tasks
from tests.tasks import add

PATH = "tests.test_task_limits"


def export(shop_id: Any, path: str = "/", *, kind: str = "csv") -> None: ...
def positional(shop_id: int, /, *others: Any, **options: Any) -> None: ...
def in_context(context: Any, shop_id: int) -> None: ...
def of_tenant(tenant: str) -> None: ...


class UnhashableKey:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, shop_id: int, *_others: Any, **_options: Any) -> str:
        return f"shop {shop_id}"


def limit(function: Any = export, **options: Any) -> TaskLimit:
    made = limit_of(task(function, **options))
    assert made is not None
    return made


def key(made: TaskLimit, *args: Any, tenant: str = "", owner: str = "", **kwargs: Any) -> str:
    return made.key(args, kwargs, tenant=tenant, owner=owner)


# --- keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "args", "kwargs", "expected"),
    [
        ("{shop_id}", (5,), {}, "5"),
        ("{shop_id}", (), {"shop_id": 5}, "5"),
        ("{shop_id}", (None,), {}, "None"),
        ("{shop_id}{path}-{kind}", (5,), {}, "5/-csv"),
        ("{kind}", (5, "/x"), {"kind": "pdf"}, "pdf"),
        ("{shop_id[pk]}", ({"pk": 7},), {}, "7"),
        ("{shop_id[0]}", (["a"],), {}, "a"),
        ("{shop_id:03}", (5,), {}, "005"),
        ("{shop_id!r}", ("a",), {}, "'a'"),
        ("{tenant}/{owner}", (5,), {}, "acme/user:3"),
    ],
)
def test_a_key_is_made_of_the_arguments_and_their_defaults(text, args, kwargs, expected):
    made = limit(concurrency=Concurrency(1, key=text))

    assert key(made, *args, tenant="acme", owner="user:3", **kwargs) == f"{PATH}.export:{expected}"


def test_an_argument_hides_the_tenant_of_the_job():
    assert key(limit(of_tenant, fair="{tenant}"), "mine", tenant="acme").endswith(":mine")


def test_a_key_of_a_task_with_any_arguments():
    made = limit(positional, fair="{shop_id}{others[0]}{options[kind]}")

    assert key(made, 1, 2, kind="x").endswith(":12x")
    with pytest.raises(InvalidTask, match="KeyError: 'kind'"):
        key(made, 1, 2)


def test_a_key_of_a_task_with_a_context():
    assert key(limit(in_context, takes_context=True, fair="{shop_id}"), 5).endswith(":5")
    with pytest.raises(InvalidTask, match="names 'context'"):
        limit(in_context, takes_context=True, fair="{context}")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda shop_id, path, kind: f"{shop_id}{path}{kind}", "5/csv"),
        (lambda shop_id, *_, **__: shop_id, "5"),
        (UnhashableKey(), "shop 5"),
    ],
    ids=["text", "number", "unhashable"],
)
def test_a_callable_key_takes_the_arguments_and_their_defaults(function, expected):
    assert key(limit(fair=Fair(function)), 5).endswith(f":{expected}")


def test_a_callable_key_does_not_take_the_context():
    made = limit(in_context, takes_context=True, fair=Fair(str))

    assert key(made, 5).endswith(":5")


@pytest.mark.parametrize(
    "value", [None, True, 1.5, ["a"], add], ids=["none", "bool", "float", "list", "task"]
)
def test_a_callable_key_that_returns_neither_text_nor_a_number_is_refused(value):
    made = limit(fair=Fair(lambda *_, **__: value))

    with pytest.raises(InvalidTask, match="must be text or a whole number") as caught:
        key(made, 5)

    assert repr(value) in str(caught.value)


def test_a_key_that_cannot_be_made_is_refused():
    with pytest.raises(InvalidTask) as caught:
        key(limit(fair="{shop_id[pk]}"), {"id": 7})

    assert str(caught.value) == (
        "The key '{shop_id[pk]}' of the limit 'tests.test_task_limits.export' cannot be made of "
        "the arguments ({'id': 7}): KeyError: 'pk'."
    )


def test_arguments_that_do_not_fit_the_task_are_refused():
    made = limit(fair="{shop_id}")

    with pytest.raises(InvalidTask, match="missing a required argument: 'shop_id'"):
        key(made)
    with pytest.raises(InvalidTask, match="missing a required argument: 'shop_id'"):
        key(made, shop=5)


def test_long_and_unprintable_keys_are_hashed():
    made = limit(concurrency=Concurrency(1, key="{shop_id}", name="crm"))
    keys = [
        key(made, value) for value in ("x" * 120, "x" * 121, "x" * 5000, "a\nb", "\x00", "\ud800")
    ]

    assert keys[0] == f"crm:{'x' * 120}"
    assert all(len(value) == len("crm:") + 40 for value in keys[1:])
    assert len(set(keys)) == len(keys)
    assert key(made, "x" * 5000) == keys[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{shop}", "names 'shop', which is no argument of the task. Did you mean 'shop_id'?"),
        ("{}", "has braces without a name"),
        ("{0}", "names '0'"),
        ("shop_id", 'Write "{shop_id}"'),
        ("all", "names no argument in braces"),
        ("{shop_id", "is no format string"),
        ("{shop_id.pk}}", "is no format string"),
    ],
)
def test_a_wrong_key_is_refused_where_the_task_is_defined(text, message):
    with pytest.raises(InvalidTask) as caught:
        limit(fair=text)

    assert repr(text) in str(caught.value)
    assert message in str(caught.value)


# --- numbers ------------------------------------------------------------------------------


def tariff(shop_id: Any, *_: Any, **__: Any) -> Any:
    return shop_id


@pytest.mark.parametrize("value", [0, 1, 1_000_000])
def test_a_callable_gives_the_number_of_a_key(value):
    made = limit(concurrency=Concurrency(f"{PATH}.tariff", key="{shop_id}"))

    assert made.maximum([value], {}) == value
    assert made.numbers == {"max_running_path": f"{PATH}.tariff"}


@pytest.mark.parametrize("value", [None, -1, 1.5, "5", True, 1_000_001], ids=repr)
def test_a_callable_that_gives_no_number_is_refused(value):
    made = limit(concurrency=Concurrency(f"{PATH}.tariff", key="{shop_id}"))

    with pytest.raises(
        InvalidTask, match="must return a whole number from 0 to 1,000,000"
    ) as caught:
        made.maximum([value], {})

    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("source", [tariff, f"{PATH}.tariff"], ids=["callable", "path"])
def test_a_callable_gives_the_weight_of_a_key(source):
    made = limit(fair=Fair("{shop_id}", weight=source))

    assert made.weight([7], {}) == 7
    assert made.weight_path == f"{PATH}.tariff"
    for value in (0, 1001, True, "3", None):
        with pytest.raises(InvalidTask, match="must return a whole number from 1 to 1,000"):
            made.weight([value], {})
    assert limit(fair=Fair("{shop_id}", weight=2)).weight([7], {}) is None


def test_a_path_without_a_callable_is_refused():
    made = limit(concurrency=Concurrency("shop.tariffs.places", key="{shop_id}"))

    with pytest.raises(InvalidTask, match=r"shop\.tariffs\.places") as caught:
        made.maximum([5], {})

    assert "ModuleNotFoundError" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"concurrency": Concurrency(5)}, {"max_running": 5}),
        ({"concurrency": Concurrency(5, key="{kind}", total=9)}, {"max_running": 5, "total": 9}),
        ({"concurrency": Concurrency(5), "fair": "{kind}"}, {"total": 5}),
        ({"rate": "1/s"}, {"interval": 1_000_000, "burst": 1}),
        (
            {"rate": Rate("1/s"), "concurrency": Concurrency(5, key="{kind}")},
            {"max_running": 5, "total_interval": 1_000_000, "total_burst": 1},
        ),
        (
            {"rate": Rate("1/s", key="{kind}"), "concurrency": Concurrency(5)},
            {"total": 5, "interval": 1_000_000, "burst": 1},
        ),
        ({"fair": "{kind}"}, {}),
        ({"fair": Fair("{kind}", weight=3)}, {"weight": 3}),
        ({"fair": Fair("{kind}", weight="a.b")}, {"weight_path": "a.b"}),
        ({"fair": Fair("{kind}", weight=len)}, {"weight_path": "builtins.len"}),
    ],
    ids=str,
)
def test_a_number_without_a_key_is_about_all_keys(options, numbers):
    assert limit(**options).numbers == numbers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 5}, "Write concurrency=Concurrency(5)."),
        ({"concurrency": "5"}, "must be a Concurrency, not '5'"),
        ({"concurrency": Concurrency}, "must be a Concurrency, not <class"),
        ({"rate": 5}, 'such as "100/m"'),
        ({"rate": "100/minute"}, "rate: A rate is text such as"),
        ({"rate": Concurrency(5)}, "must be a Rate"),
        ({"fair": True}, 'must be a key such as "{tenant}", or a Fair, not True'),
        ({"fair": export}, "Write fair=Fair(export)."),
        ({"fair": ""}, 'must be a key such as "{tenant}"'),
        (
            {"concurrency": Concurrency(5, key="{kind}"), "fair": "{path}"},
            "concurrency, rate and fair must have the same key, not '{kind}' and '{path}'",
        ),
        (
            {"concurrency": Concurrency(5, name="a"), "rate": Rate("1/s", name="b")},
            "must have the same name, not 'a' and 'b'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_wrong_options_are_refused_with_the_way_out(options, message):
    with pytest.raises(InvalidTask) as caught:
        task(export, **options)

    assert message in str(caught.value)


def test_words_of_other_libraries_are_explained():
    with pytest.raises(TypeError, match="Did you mean 'rate'"):
        task(rate_limit="100/m")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="Did you mean 'concurrency'"):
        task(concurrency_limit=5)  # type: ignore[call-overload]


def test_using_cannot_change_a_limit():
    with pytest.raises(TypeError, match=r"using\(\) cannot change 'concurrency'"):
        tasks.single.using(concurrency=Concurrency(2))  # type: ignore[call-arg]
    assert limit_of(tasks.single.using(priority=5)) is limit_of(tasks.single)


def test_a_shared_name_names_the_limit_of_several_tasks():
    crm = Concurrency(3, key="{shop_id}", name="crm")
    shared = [limit(function, concurrency=crm) for function in (export, positional)]

    assert [key(made, 5) for made in shared] == ["crm:5", "crm:5"]


# --- enqueueing ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_job_keeps_its_key_and_a_notice_tells_of_it():
    with acting_for(None, tenant="acme"):
        tasks.by_tenant.enqueue()
        tasks.single.using(priority=5).enqueue()

    keys = list(Job.objects.order_by("id").values_list("limit_key", "limit_slot"))
    assert keys == [
        ("tests.limited_tasks.by_tenant:acme", "w:tests.limited_tasks.by_tenant:acme"),
        ("tests.limited_tasks.single:", "w:tests.limited_tasks.single:"),
    ]
    assert LimitNotice.objects.count() == 2
    assert not LimitKey.objects.exists()


@pytest.mark.django_db
def test_a_key_that_cannot_be_made_leaves_nothing_behind(django_assert_num_queries):
    reserved = new_id()
    with reserve_id(reserved):
        with django_assert_num_queries(0):
            with pytest.raises(InvalidTask):
                tasks.of_order.enqueue({"pk": 5})
            with pytest.raises(TypeError, match="Unsupported type"):
                tasks.of_order.enqueue(object())  # type: ignore[arg-type]
        assert take_reserved_id() == reserved

    assert not Job.objects.exists()


@pytest.mark.django_db
def test_the_error_names_the_call_of_many():
    with pytest.raises(InvalidTask) as caught:
        tasks.of_order.enqueue_many([(({"shop": 1},), {}), (({},), {})])

    assert caught.value.__notes__ == ["It is call 1 of enqueue_many(), counted from 0."]


@pytest.mark.django_db
def test_a_callable_gives_its_number_once_for_each_key_of_a_batch():
    tasks.NUMBERS.clear()
    tasks.by_tariff.enqueue_many([((shop,), {}) for shop in (1, 2, 1, 1, 2)])

    assert tasks.NUMBERS == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_a_job_is_enqueued_in_async_code():
    asyncio.run(tasks.call_api.aenqueue("a"))

    assert Job.objects.get().limit_key == "tests.limited_tasks.call_api:a"


@pytest.mark.parametrize("backend", ["immediate.ImmediateBackend", "dummy.DummyBackend"])
def test_djangos_backends_leave_limits_out(backend):
    with override_settings(TASKS={"default": {"BACKEND": f"django.tasks.backends.{backend}"}}):
        assert tasks.call_api.enqueue("a").args == ["a"]
