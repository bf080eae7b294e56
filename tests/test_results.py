"""OffloadResult: waiting, errors and ids."""

import asyncio
import inspect
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, transaction
from django.http import Http404
from django.tasks.base import TaskError
from django.tasks.exceptions import TaskResultDoesNotExist
from django.template import Context, Template

from offload import JobState, JobTimeout, OffloadError
from offload.lifecycle import Outcome, failed, succeeded
from offload.models import Job
from offload.results import OffloadResult, SafeTaskError, canonical_id, task_errors
from offload.store import get_store
from tests.jobs import FAILURE, NO_CLAIM, claim, finish, register_worker
from tests.tasks import add

in_autocommit = pytest.mark.django_db(transaction=True)


@pytest.fixture
def meanwhile():
    """Run a function in another thread, with its own connections."""

    def run(function, *args):
        try:
            return function(*args)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        yield lambda function, *args: threads.submit(run, function, *args)


# --- waiting ----------------------------------------------------------------------------------


@in_autocommit
@pytest.mark.parametrize(
    ("outcome", "state"),
    [(succeeded("3"), JobState.SUCCESSFUL), (failed(FAILURE), JobState.FAILED)],
    ids=["success", "failure"],
)
def test_waiting_returns_when_the_job_has_finished(outcome: Outcome, state: JobState, meanwhile):
    result = add.enqueue(1, 2)
    ending = meanwhile(finish, outcome)

    waited = result.wait(timeout=30)

    assert waited is result
    assert waited.state == state
    ending.result()


@in_autocommit
def test_waiting_in_async_code_returns_when_the_job_has_finished(meanwhile):
    async def wait_for(result: OffloadResult) -> OffloadResult:
        return await result.wait_async(30)

    result = add.enqueue(1, 2)
    ending = meanwhile(finish, succeeded("3"))

    assert async_to_sync(wait_for)(result).return_value == 3
    ending.result()


@in_autocommit
@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_waiting_stops_after_the_timeout(timeout):
    result = add.enqueue(1)

    with pytest.raises(TimeoutError, match=f"{result.id} had not finished after {timeout} s"):
        result.wait(timeout=timeout)
    assert result.state == JobState.READY


@in_autocommit
@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_waiting_in_async_code_stops_after_the_timeout(timeout):
    result = add.enqueue(1)

    with pytest.raises(TimeoutError, match=f"{result.id} had not finished after {timeout} s"):
        async_to_sync(result.wait_async)(timeout=timeout)
    assert result.state == JobState.READY


@in_autocommit
@pytest.mark.parametrize("timeout", [0, -1, 5, None])
def test_waiting_for_a_finished_job_returns_immediately(timeout):
    result = add.enqueue(1)
    finish(succeeded("1"))

    assert result.wait(timeout=timeout).return_value == 1
    assert result.wait(timeout=0) is result


@in_autocommit
def test_waiting_for_a_deleted_job_raises_an_error():
    result = add.enqueue(1)
    Job.objects.all().delete()

    with pytest.raises(TaskResultDoesNotExist):
        result.wait(timeout=30)


@pytest.mark.django_db
def test_a_result_is_not_awaitable():
    # Generic code that awaits any awaitable, such as a GraphQL resolver, must not wait for jobs.
    assert not inspect.isawaitable(add.enqueue(1))


@in_autocommit
def test_waiting_inside_a_transaction_is_refused_with_a_way_out():
    result = add.enqueue(1)

    with transaction.atomic(), pytest.raises(OffloadError) as caught:
        result.wait()

    assert "wait() inside a transaction would never return" in str(caught.value)
    assert "transaction.on_commit" in str(caught.value)


@in_autocommit
def test_waiting_in_async_code_inside_a_transaction_is_refused_too():
    result = add.enqueue(1)

    with transaction.atomic(), pytest.raises(OffloadError, match="inside a transaction"):
        async_to_sync(result.wait_async)()


@in_autocommit
def test_a_finished_result_may_be_waited_for_inside_a_transaction():
    result = add.enqueue(1)
    finish(succeeded("1"))
    result.refresh()

    with transaction.atomic():
        assert result.wait().return_value == 1


@in_autocommit
def test_many_can_be_waited_for_at_once(meanwhile):
    async def wait_for(results: list[OffloadResult]) -> list[int]:
        async with asyncio.timeout(30):
            waited = await asyncio.gather(*(result.wait_async() for result in results))
        return [result.return_value for result in waited]

    def finish_each() -> None:
        worker = register_worker()
        for job in claim(worker):
            exchange = get_store("default").exchange(worker, [(job, succeeded("7"))], NO_CLAIM)
            assert not exchange.refused

    results = add.enqueue_many([((n,), {}) for n in range(20)])
    ending = meanwhile(finish_each)

    assert async_to_sync(wait_for)(results) == [7] * 20
    ending.result()


# --- errors -------------------------------------------------------------------------------------


class Outer:
    class Inner(Exception):
        pass


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("builtins.ValueError", ValueError),
        ("django.http.response.Http404", Http404),
        ("offload.exceptions.JobTimeout", JobTimeout),
        ("offload.models.job.Job.DoesNotExist", Job.DoesNotExist),
        ("tests.test_results.Outer.Inner", Outer.Inner),
    ],
)
def test_the_class_of_an_error_may_be_nested(path, expected):
    (error,) = task_errors([(path, "Traceback ...")])

    assert isinstance(error, TaskError)
    assert error.exception_class is expected


class Lazy:
    """An object that runs code when an attribute is read."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError("This must not run.")


lazy = Lazy()


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "ValueError",
        "not_imported.ValueError",
        "os.system",
        "os.path",
        "tests.test_results.lazy.Boom",
        "tests.test_results.lazy",
        "builtins.ValueError.args",
        "builtins.ValueError.",
    ],
)
def test_an_exception_class_must_be_in_an_imported_module(path):
    error = SafeTaskError(exception_class_path=path, traceback="")

    with pytest.raises(ValueError, match="is not an exception class of an imported module"):
        _ = error.exception_class


# --- ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"]
)
def test_an_id_is_shown_with_dashes(key):
    assert canonical_id(key) == "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("timeout", ["x", float("nan"), True, object()])
def test_a_timeout_that_is_no_duration_is_refused(timeout):
    result = add.enqueue(1)

    with pytest.raises((TypeError, ValueError)):
        result.wait(timeout=timeout)


@pytest.mark.django_db(transaction=True)
def test_a_timeout_may_be_a_timedelta():
    with pytest.raises(TimeoutError, match=r"after 0\.01 s"):
        add.enqueue(1).wait(timeout=timedelta(seconds=0.01))


def test_a_state_prints_as_a_word():
    state = JobState.SUCCESSFUL

    texts = [str(state), f"{state}", f"{state:>12}".strip(), "%s" % state]  # noqa: UP031
    texts.append(Template("{{ result.state }}").render(Context({"result": {"state": state}})))

    assert texts == ["successful"] * 5
    assert (int(state), json.dumps(state)) == (4, "4")


@pytest.mark.django_db
def test_blocking_methods_name_their_async_counterpart():
    result = add.enqueue(1)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: add.enqueue(1), "enqueue.*aenqueue"),
        (lambda: add.enqueue_many([((1,), {})]), "enqueue.*aenqueue"),
        (lambda: add.get_result(result.id), "get_result.*aget_result"),
        (result.refresh, "refresh.*arefresh"),
        (result.wait, "wait.*wait_async"),
        (result.cancel, "cancel.*acancel"),
        (result.retry, "retry.*aretry"),
    ]

    async def check() -> None:
        for call, words in calls:
            with pytest.raises(SynchronousOnlyOperation, match=words):
                call()

    asyncio.run(check())
