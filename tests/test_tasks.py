"""The `task` decorator and its options, and the errors for wrong ones."""

import functools
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.tasks import Task, default_task_backend
from django.tasks import task as django_task
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend
from django.test import override_settings

from offload import Fixed, OffloadTask, task
from offload.models import Job
from offload.task_lookup import find_task
from offload.tasks import AUTHOR_OPTIONS, TaskOptions
from tests import backport_tasks
from tests.tasks import add, fail_thrice, plain, plain_object, send, send_later

IS_DJANGO_60 = django.VERSION < (6, 1)


def work(value: int = 0) -> int:
    return value


async def awork() -> None: ...


def work_in_context(context: Any) -> None: ...


class Reports:
    def send(self) -> None: ...

    @staticmethod
    def draw() -> None: ...


class CallableReport:
    def __call__(self) -> None: ...


# --- the decorator ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorate", [task, task(), task(queue_name="default")], ids=["bare", "empty", "options"]
)
def test_the_decorator_works_with_and_without_parentheses(decorate):
    made = decorate(work)

    assert type(made) is OffloadTask
    assert made.func is work
    assert (made.name, made.module_path) == ("work", "tests.test_tasks.work")
    assert (made.queue_name, made.priority, made.backend) == ("default", 0, "default")
    assert made.max_attempts is None


def test_the_decorator_keeps_every_option():
    options: dict[str, Any] = {
        "queue_name": "mail",
        "priority": 7,
        "max_attempts": 5,
        "backoff": Fixed(1),
        "retry_on": (OSError,),
        "no_retry_on": (BrokenPipeError,),
        "timeout": timedelta(seconds=3),
        "expires": 60,
        "atomic": True,
        "title": "Work",
        "takes_context": True,
    }

    made = task(**options)(work_in_context)

    assert {name: getattr(made, name) for name in options} == options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attemps": 3}, "'max_attemps'. Did you mean 'max_attempts'?"),
        ({"queue": "mail"}, "'queue'. Did you mean 'queue_name'?"),
        ({"zzz": 1}, "'zzz'. Choices are: at_most_once, atomic, backend, backoff,"),
        ({"run_after": None}, ".using(run_after=...)"),
        ({"func": work}, "'func'"),
    ],
)
def test_the_decorator_refuses_an_unknown_option_by_name(options, message):
    with pytest.raises(TypeError) as caught:
        task(**options)

    assert message in str(caught.value)


def test_type_checkers_know_every_option_of_the_decorator():
    assert sorted([*TaskOptions.__annotations__, "takes_context"]) == sorted(AUTHOR_OPTIONS)


@pytest.mark.parametrize("value", ["mail", 5, {"queue_name": "mail"}])
def test_the_decorator_refuses_positional_options(value):
    with pytest.raises(TypeError, match="options are given by name") as caught:
        task(value)

    assert repr(value) in str(caught.value)


BAD_VALUES = [
    ("max_attempts", 0),
    ("max_attempts", "3"),
    ("max_attempts", 2.0),
    ("max_attempts", True),
    ("max_attempts", 2**31),
    ("timeout", 0),
    ("timeout", -1),
    ("timeout", "10"),
    ("timeout", float("nan")),
    ("timeout", float("inf")),
    ("timeout", True),
    ("timeout", timedelta(0)),
    ("timeout", timedelta.max),
    ("expires", 0),
    ("expires", timedelta(seconds=-1)),
    ("retry_on", [OSError]),
    ("retry_on", OSError),
    ("retry_on", ("OSError",)),
    ("no_retry_on", (OSError(),)),
    ("backoff", 5),
    ("visibility", "onwer"),
    ("visibility", ""),
    ("visibility", "shop.rules.may_see"),
    ("visibility", None),
    ("visibility", True),
    ("visibility", ["owner"]),
    ("expose_result", None),
    ("expose_result", 1),
    ("expose_result", "yes"),
    ("expose_result", "shop.rules.shown"),
    ("priority", 101),
    ("priority", -101),
    ("priority", 1.5),
    ("priority", float("nan")),
    ("priority", "high"),
    ("priority", None),
    ("queue_name", "mial"),
    ("queue_name", ""),
    ("queue_name", "a,b"),
    ("queue_name", "q" * 65),
    ("queue_name", None),
    ("queue_name", ["mail"]),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES, ids=repr)
def test_a_bad_value_is_refused_by_name_and_value(name, value):
    with pytest.raises(InvalidTask) as caught:
        task(**{name: value})(work)

    assert name.removesuffix("_name") in str(caught.value).replace("Queue", "queue")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"visibility": "owner"},
        {"visibility": "staff"},
        {"visibility": "authenticated"},
        {"visibility": "public"},
        {"visibility": bool, "expose_result": str},
        {"expose_result": True},
        {"expose_result": False},
    ],
)
def test_visibility_and_exposure_are_a_word_or_a_callable(options):
    made = task(**options)(work)

    assert {name: getattr(made, name) for name in options} == options


@pytest.mark.parametrize("option", ["visibility", "expose_result"])
def test_async_visibility_and_exposure_are_refused(option):
    with pytest.raises(InvalidTask, match="written with def"):
        task(**{option: awork})(work)


def test_by_default_the_owner_sees_a_job_and_not_its_result():
    assert (task(work).visibility, task(work).expose_result) == ("owner", False)


def test_a_misspelt_visibility_is_refused_with_a_suggestion():
    with pytest.raises(InvalidTask, match="Did you mean 'owner'"):
        task(visibility="onwer")(work)


def test_an_async_task_cannot_be_atomic():
    with pytest.raises(InvalidTask, match="atomic needs a task written with def"):
        task(atomic=True)(awork)


@pytest.mark.parametrize(
    "options", [{"at_most_once": True, "max_attempts": 2}, {"at_most_once": True, "atomic": True}]
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(InvalidTask, match="contradict"):
        task(**options)(work)


def test_an_unknown_queue_is_refused_with_a_suggestion_and_the_setting():
    with pytest.raises(InvalidTask) as caught:
        task(queue_name="mial")(work)

    assert "'mial'" in str(caught.value)
    assert "Did you mean 'mail'?" in str(caught.value)
    assert "TASKS['default']['QUEUES']" in str(caught.value)


def test_an_unknown_backend_is_refused():
    with pytest.raises(InvalidTaskBackend, match="nowhere"):
        task(backend="nowhere")(work)


def local_function() -> Callable[..., Any]:
    def inner() -> None: ...

    return inner


def plain_task(function: Callable[..., Any]) -> Task:
    """Return Django's own task, which has no defaults on 6.0."""
    return Task(func=function, priority=0, backend="default", queue_name="default", run_after=None)


FUNCTIONS = {
    "lambda": (lambda value: value + 1, "lambda"),
    "nested function": (local_function(), "at a module level"),
    "bound method": (Reports().send, "at a module level"),
    "method": (Reports.send, "at a module level"),
    "static method": (Reports.draw, "at a module level"),
    "method of a builtin": ([].append, "at a module level"),
    "builtin": (len, "module level"),
    "partial": (functools.partial(work, 1), "made with def"),
    "callable object": (CallableReport(), "made with def"),
}


@pytest.mark.parametrize(("function", "message"), FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("decorate", [task, plain_task])
def test_a_function_that_no_worker_could_find_is_refused(function, message, decorate):
    with pytest.raises(InvalidTask, match=message):
        decorate(function)


def test_a_path_that_is_too_long_is_refused():
    def long() -> None: ...

    long.__qualname__ = long.__name__ = "x" * 256

    with pytest.raises(InvalidTask, match="longer than 255"):
        task(long)


def test_the_context_argument_must_be_named_context():
    assert task(takes_context=True)(work_in_context).takes_context
    with pytest.raises(InvalidTask, match="context"):
        task(takes_context=True)(work)


@pytest.mark.parametrize("priority", [-100, 0, 100])
def test_priorities_range_from_minus_100_to_100(priority):
    assert task(priority=priority)(work).priority == priority


def test_async_functions_can_be_tasks():
    assert task(awork).func is awork


# --- using --------------------------------------------------------------------------------


def test_using_returns_a_copy():
    changed = add.using(
        priority=5, queue_name="mail", run_after=timedelta(hours=1), max_attempts=4, timeout=9
    )

    assert type(changed) is OffloadTask
    assert changed.func is add.func
    assert (changed.priority, changed.queue_name, changed.max_attempts) == (5, "mail", 4)
    assert (changed.run_after, changed.timeout) == (timedelta(hours=1), 9)
    assert (add.priority, add.queue_name, add.run_after) == (0, "default", None)


def test_using_keeps_values_that_are_none_or_omitted():
    changed = fail_thrice.using(priority=3).using(priority=None, queue_name=None)

    assert (changed.priority, changed.queue_name) == (3, "default")
    assert (changed.max_attempts, changed.backoff) == (3, Fixed(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prioritty": 1}, "'prioritty'. Did you mean 'priority'?"),
        ({"zzz": 1}, "Choices are: backend, expires, max_attempts, priority"),
        ({"func": work}, "'func'"),
        ({"backoff": Fixed(1)}, "'backoff', which belongs to the task"),
        ({"atomic": True}, "'atomic', which belongs to the task"),
        ({"takes_context": True}, "'takes_context', which belongs to the task"),
    ],
)
def test_using_refuses_options_that_are_not_stored(options, message):
    with pytest.raises(TypeError) as caught:
        add.using(**options)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue_name": "mial"}, "Did you mean 'mail'"),
        ({"priority": 101}, "101"),
        ({"max_attempts": -1}, "-1"),
        ({"run_after": 5}, "run_after must be a datetime or a timedelta, not 5"),
        ({"run_after": "tomorrow"}, "'tomorrow'"),
        ({"run_after": timedelta(seconds=-1)}, "0 seconds to 100 years from now"),
        ({"run_after": timedelta.max}, "0 seconds to 100 years from now"),
        ({"run_after": datetime.max.replace(tzinfo=UTC)}, "before the year 9001"),
        ({"run_after": datetime(2030, 1, 1)}, "aware"),  # noqa: DTZ001  # that is the mistake
    ],
)
def test_using_refuses_bad_values(options, message):
    with pytest.raises(InvalidTask) as caught:
        add.using(**options)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    "moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)]
)
@pytest.mark.django_db
def test_a_time_in_the_past_means_now_and_overtakes_no_job(moment):
    first = add.enqueue(1)
    second = add.using(run_after=moment).enqueue(2)

    assert second.state.label == "ready"
    jobs = Job.objects.order_by("run_after", "id").values_list("pk", flat=True)
    assert [str(pk) for pk in jobs] == [first.id, second.id]


# --- copies -------------------------------------------------------------------------------


@pytest.mark.skipif(IS_DJANGO_60, reason="Django pickles tasks since 6.1.")
@pytest.mark.parametrize(
    "original",
    [add, fail_thrice, plain, add.using(run_after=timedelta(1), timeout=3)],
    ids=["task", "with options", "plain", "using"],
)
def test_a_task_survives_pickling(original):
    copy = pickle.loads(pickle.dumps(original))

    assert copy == original
    assert type(copy) is type(original)


def test_tasks_are_equal_if_their_options_are_equal():
    assert add.using(priority=1) == add.using(priority=1)
    assert add.using(priority=1) != add
    assert hash(add) == hash(add.using(priority=0))


# --- tasks of Django and other packages -------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("foreign", "arguments"),
    [(plain, [1]), (plain_object, ["text"]), (send_later, ["ann"]), (backport_tasks.index, ["A"])],
    ids=["django", "Task", "beside its function", "django_tasks"],
)
def test_tasks_made_elsewhere_are_enqueued_and_found(foreign, arguments):
    result = foreign.enqueue(*arguments)

    found = find_task(Job.objects.get(pk=result.id).task_path)
    assert found.func is foreign.func
    assert default_task_backend.get_result(result.id).task == foreign
    assert foreign.get_result(result.id).args == arguments


def test_a_task_with_another_name_leaves_its_function_callable():
    assert send("ann") == send_later.call("ann")


@pytest.mark.skipif(IS_DJANGO_60, reason="Django's decorator takes a backend's own since 6.1.")
def test_the_decorator_of_django_takes_the_additional_options():
    made = django_task(max_attempts=3, timeout=5)(work)

    assert type(made) is OffloadTask
    assert (made.max_attempts, made.timeout) == (3, 5)


def test_the_decorator_of_django_makes_offload_tasks():
    assert type(plain) is OffloadTask
    assert plain.queue_name == "mail"


@pytest.mark.parametrize("name", ["immediate.ImmediateBackend", "dummy.DummyBackend"])
def test_the_decorator_works_with_the_backends_of_django(name):
    with override_settings(TASKS={"default": {"BACKEND": f"django.tasks.backends.{name}"}}):
        made = task(max_attempts=3, timeout=5)(work)
        results = [made.enqueue(1), *made.enqueue_many([((2,), {}), ((), {"value": 3})])]

    assert type(made) is OffloadTask
    assert made.max_attempts == 3
    assert [(result.args, result.kwargs) for result in results] == [
        ([1], {}),
        ([2], {}),
        ([], {"value": 3}),
    ]
    assert [result.is_finished for result in results] == [name.startswith("immediate")] * 3


def test_many_are_enqueued_with_the_backends_of_django_from_async_code():
    backend = "django.tasks.backends.dummy.DummyBackend"
    with override_settings(TASKS={"default": {"BACKEND": backend}}):
        results = async_to_sync(task(work).aenqueue_many)([((1,), {}), ((2,), {})])

    assert [result.args for result in results] == [[1], [2]]


# --- importing ------------------------------------------------------------------------------

IMPORTS_TASKS = """
import sys
from django.apps import apps
from django.conf import settings

settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "/nonexistent/folder/database.sqlite3",
    }},
    INSTALLED_APPS=["offload"],
    USE_TZ=True,
    TASKS={"default": {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {"database": "not checked at import"},
    }},
)
from tests import tasks
from django.db import connections

tasks.add.using(priority=3, queue_name="mail")
assert not apps.apps_ready
assert connections._connections.__dict__.get("default") is None
assert not [name for name in sys.modules if name.startswith("offload.models")]
print(type(tasks.add).__name__, type(tasks.plain).__name__, tasks.plain_object.name)
"""


@pytest.mark.parametrize("value", [2, timedelta(seconds=2)])
def test_the_error_for_seconds_as_backoff_names_fixed(value):
    with pytest.raises(InvalidTask) as caught:
        task(backoff=value)(work)

    assert f"Fixed({value!r})" in str(caught.value)


@pytest.mark.parametrize("name", ["delay", "apply_async", "delay_on_commit", "send"])
def test_methods_of_other_libraries_name_enqueue(name):
    with pytest.raises(AttributeError, match=rf"no attribute '{name}'. Use enqueue\(\)"):
        getattr(add, name)

    with pytest.raises(AttributeError, match=r"no attribute 'enqeue'$") as caught:
        _ = add.enqeue
    assert "Did you mean: 'enqueue'?" in "".join(traceback.format_exception(caught.value))


def test_importing_tasks_touches_no_database_and_no_app_registry():
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORTS_TASKS],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
    )

    assert finished.stderr == ""
    assert finished.stdout.split() == ["OffloadTask", "OffloadTask", "weigh"]
