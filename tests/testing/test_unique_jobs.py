"""Unique jobs in the tests of a project."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.tasks.signals import task_enqueued
from django.utils import timezone

from offload import AlreadyEnqueued, InvalidJobState, JobState
from offload.reserved_ids import reserve_id
from offload.testing import (
    assert_enqueued,
    assert_enqueues,
    enqueued_jobs,
    immediate,
    recording,
    run_jobs,
)
from offload.uuid7 import new_id
from tests import unique_tasks as tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["database", "recording"])
def backend(request: Any) -> Any:
    if request.param == "database":
        yield
    else:
        with recording():
            yield


@pytest.mark.usefixtures("backend")
class TestBothBackends:
    def test_a_call_whose_key_a_job_holds_makes_none(self) -> None:
        first = tasks.import_shop.enqueue("a", path="1")
        second = tasks.import_shop.enqueue("a", path="2")

        assert (first.is_new, second.is_new, second.id) == (True, False, first.id)
        assert_enqueued(tasks.import_shop, count=1, kwargs={"path": "1"})
        run_jobs()
        assert tasks.import_shop.enqueue("a").is_new

    def test_a_debounced_job_runs_once_with_the_last_arguments(self) -> None:
        with assert_enqueues(tasks.debounced, count=1, args=[1, "c"]):
            for text in "abc":
                result = tasks.debounced.enqueue(1, text)

        assert run_jobs() == []
        (run,) = run_jobs(include_scheduled=True)
        assert run.return_value == "c"
        assert tasks.debounced.enqueue(1, "d").id != result.id

    def test_a_replaced_job_has_the_last_arguments_and_options(self) -> None:
        tasks.replaced.enqueue("a", path="1")
        second = tasks.replaced.using(priority=5).enqueue("a", path="2")

        assert second.kwargs == {"path": "2"}
        assert_enqueued(tasks.replaced, count=1, kwargs={"path": "2"}, priority=5)

    def test_calls_of_one_key_share_a_job(self) -> None:
        tasks.import_shop.enqueue("b")
        results = tasks.import_shop.enqueue_many([((shop,), {}) for shop in "aba"])

        assert [result.is_new for result in results] == [True, False, False]
        assert len(enqueued_jobs()) == 2

    def test_an_error_leaves_no_job(self) -> None:
        first = tasks.refused.enqueue("a")

        with pytest.raises(AlreadyEnqueued) as caught:
            tasks.refused.enqueue_many([(("b",), {}), (("a",), {})])

        assert caught.value.result.id == first.id
        assert len(enqueued_jobs()) == 1

    def test_a_throttle_goes_by_the_clock_of_the_test(self) -> None:
        with time_machine.travel(timezone.now(), tick=False) as clock:
            first = tasks.throttled.enqueue(1)
            run_jobs()
            clock.shift(timedelta(seconds=59))
            assert tasks.throttled.enqueue(1).id == first.id
            clock.shift(timedelta(seconds=2))
            assert tasks.throttled.enqueue(1).is_new

    def test_a_task_that_enqueues_itself_gets_its_own_job(self) -> None:
        tasks.enqueues_itself.enqueue("a")

        (result,) = run_jobs()

        assert result.return_value is False

    def test_a_failed_job_is_not_retried_while_another_holds_its_key(self) -> None:
        first = tasks.failing.enqueue("a")
        run_jobs(include_scheduled=True)
        first.refresh()
        assert first.state == JobState.FAILED
        second = tasks.failing.enqueue("a")

        with pytest.raises(InvalidJobState, match=second.id):
            first.retry()
        second.cancel()
        first.retry()
        assert tasks.failing.enqueue("a").id == first.id

    def test_signals_are_sent_for_new_jobs_only(self) -> None:
        sent = []

        def receive(task_result: Any, **_: Any) -> None:
            sent.append(task_result.id)

        task_enqueued.connect(receive)
        try:
            first = tasks.replaced.enqueue("a")
            tasks.replaced.enqueue("a")
        finally:
            task_enqueued.disconnect(receive)

        assert sent == [first.id]

    def test_a_reserved_id_is_kept_for_the_first_new_job(self) -> None:
        tasks.import_shop.enqueue("a")
        pk = new_id()
        with reserve_id(pk):
            tasks.import_shop.enqueue("a")
            assert tasks.import_shop.enqueue("b").id == str(pk)


def test_immediate_jobs_are_unique_while_they_run_and_in_their_time() -> None:
    with immediate():
        first = tasks.import_shop.enqueue("a")
        assert first.state == JobState.SUCCESSFUL
        assert tasks.import_shop.enqueue("a").is_new
        throttled = tasks.throttled.enqueue(1)
        again = tasks.throttled.enqueue(1)
        assert (again.id, again.is_new) == (throttled.id, False)
        assert tasks.enqueues_itself.enqueue("a").return_value is False
        assert tasks.debounced.enqueue(1, "x").return_value == "x"


def test_async_code_enqueues_unique_jobs() -> None:
    async def enqueue() -> list[bool]:
        first = await tasks.import_shop.aenqueue("a")
        results = await tasks.import_shop.aenqueue_many([(("a",), {}), (("b",), {})])
        return [result.id == first.id for result in results]

    with recording():
        assert asyncio.run(enqueue()) == [True, False]
