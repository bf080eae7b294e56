"""What the pages of Celery's guide teach beside what the other files of this folder test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from offload.celery import Celery, Task, chain, group, shared_task
from offload.celery.exceptions import IncompleteStream
from offload.celery.tasks.registry import tasks as registry
from offload.exceptions import QueueUnavailable
from offload.testing import run_jobs
from tests.celery import tasks
from tests.celery.tasks import add, multiply

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_tasks() -> Any:
    """Forget the tasks that a test makes."""
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


def test_a_tilde_waits_for_a_signature(settings: Any):
    settings.CELERY_TASK_ALWAYS_EAGER = True

    assert (~add.s(2, 2), ~group(add.s(1, 1), add.s(2, 2))) == (4, [2, 4])


def test_a_linked_task_is_a_child_of_the_one_that_it_follows():
    result = add.apply_async((2, 2), link=[multiply.s(16), multiply.s(2)], link_error=add.si(1))
    run_jobs()

    assert sorted(child.get() for child in result.children) == [8, 64]
    assert sorted(value for _, value in result.collect()) == [4, 8, 64]


def test_the_steps_of_a_chain_are_found_from_the_first_one():
    last = chain(add.s(4, 4), multiply.s(8), multiply.s(10).set(task_id="the last"))()
    first = last.parent.parent
    with pytest.raises(IncompleteStream):
        list(first.iterdeps())
    assert list(first.iterdeps(intermediate=True)) == [(None, first)]
    run_jobs()

    assert [value for _, value in first.collect()] == [8, 64, 640]
    assert first.get_leaf() == 640
    assert [child.id for child in last.parent.children] == ["the last"]


def test_the_body_of_a_chord_is_no_child_of_its_header():
    result = (group(add.s(1, 1), add.s(2, 2)) | tasks.add_all.s())()
    run_jobs()

    assert [one.children for one in result.parent] == [[], []]


def test_a_task_that_puts_itself_back_knows_that_it_was_delivered_before():
    result = tasks.put_back_once.delay()
    run_jobs()

    assert result.get() == "received two times"


def test_the_error_of_a_database_that_does_not_respond_is_an_attribute():
    assert add.OperationalError is QueueUnavailable


def test_an_app_may_name_its_tasks():
    class Shop(Celery):
        def gen_task_name(self, name: str, module: str) -> str:
            return super().gen_task_name(name, module.removesuffix(".test_guide_of_celery"))

    app = Shop("shop", set_as_current=False)

    assert app.task(sell).name == "tests.celery.sell"
    assert shared_task(sell).name == "tests.celery.test_guide_of_celery.sell"


def test_a_class_gets_its_name_and_its_app_from_the_app_that_registers_it():
    class Shop(Celery):
        def gen_task_name(self, name: str, module: str) -> str:
            return f"shop.{name}"

    class Audit(Task):
        def run(self) -> None:
            """Do nothing."""

    app = Shop("shop", set_as_current=False)
    task = app.register_task(Audit)

    assert (task.name, task.app) == ("shop.Audit", app)


def test_the_class_of_a_task_may_have_a_metaclass_and_abstract_methods():
    class Registering(type):
        pass

    class Report(Task, metaclass=Registering):
        @abstractmethod
        def lines(self) -> list[str]:
            """Return the lines."""

    task = Celery("shop", set_as_current=False).task(sell, base=Report, name="shop.report")

    assert type(type(task)) is Registering
    assert task.definition.module_path == f"{__name__}.sell"


def sell(count: int = 1) -> int:
    return count


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        tasks.events.append(args)
        return function(*args, **kwargs)

    return call


@logged
def sell_logged(count: int) -> int:
    return count


sell_logged = shared_task(sell_logged)  # type: ignore[assignment]


class Counting(Task):
    """A class that keeps something for all calls in its process."""

    abstract = True

    def __init__(self) -> None:
        self.prices = {"tea": 3}


@shared_task(base=Counting)
def price(name: str) -> int:
    found: int = price.prices[name]
    return found


def test_other_decorators_come_below_that_of_the_task():
    tasks.events.clear()
    result = sell_logged.delay(4)  # type: ignore[attr-defined]
    run_jobs()

    assert (result.get(), tasks.events) == (4, [(4,)])


def test_a_class_of_tasks_may_keep_something_for_all_calls():
    result = price.delay("tea")
    run_jobs()

    assert result.get() == price("tea") == 3


def test_an_errback_may_look_at_the_task_that_failed():
    tasks.events.clear()
    failed = tasks.fail.apply_async(("no",), link_error=tasks.look_at_failure.s())
    run_jobs()

    assert tasks.events == [(failed.id, "ValueError('no')", True)]
