"""The contract of every backend: OffloadBackend, as pages, commands and callers rely on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.tasks import TaskResultStatus, task_backends
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.test import override_settings

from offload import InvalidArguments, InvalidJobState, JobState, OffloadError, task
from offload.backends.base import OffloadBackend, find_backend, get_backend, offload_backends
from offload.results import OffloadResult
from offload.testing import enqueued_jobs, run_jobs
from offload.uuid7 import new_id
from tests.tasks import aadd, add, attempt_number, fail, plain
from tests.worker.progress_tasks import fail_at

pytestmark = pytest.mark.django_db

BACKENDS = [
    "offload.backends.database.DatabaseBackend",
    "offload.backends.celery.CeleryBackend",
    "offload.testing.RecordingBackend",
    "offload.testing.ImmediateBackend",
]


QUEUEING_BACKENDS = BACKENDS[:3]
"""The immediate backend has no waiting jobs."""

with_waiting_jobs = pytest.mark.parametrize(
    "backend", QUEUEING_BACKENDS, indirect=True, ids=lambda path: path.rpartition(".")[2]
)


@pytest.fixture(params=BACKENDS, ids=lambda path: path.rpartition(".")[2])
def backend(request: pytest.FixtureRequest) -> Iterator[OffloadBackend]:
    queues = ["default", "mail"]
    with override_settings(TASKS={"default": {"BACKEND": request.param, "QUEUES": queues}}):
        yield get_backend("default")


def finished(result: OffloadResult) -> OffloadResult:
    """Return a result whose job has been run, by whatever means its backend has."""
    if not result.is_finished:
        run_jobs()
        result.refresh()
    return result


def test_the_backend_is_found_by_its_alias(backend):
    assert offload_backends() == [backend]
    assert find_backend("default") is backend is task_backends["default"]
    assert find_backend("other") is None
    assert backend.settings.database == "default"


def test_enqueueing_returns_a_result_and_keeps_the_job(backend):
    result = backend.enqueue(add, (1,), {"b": 2})

    assert isinstance(result, OffloadResult)
    assert (result.args, result.kwargs, result.backend) == ([1], {"b": 2}, "default")
    assert UUID(result.id).version == 7
    assert backend.get_result(result.id).id == result.id
    assert finished(result).return_value == 3


def test_a_task_of_django_is_accepted(backend):
    assert finished(backend.enqueue(plain, (["é"],), {})).return_value == ["é"]


@pytest.mark.parametrize("asynchronously", [False, True])
def test_enqueueing_many_keeps_the_order(backend, asynchronously):
    enqueue_many = async_to_sync(backend.aenqueue_many) if asynchronously else backend.enqueue_many

    results = enqueue_many(aadd, [((number,), {}) for number in range(3)])

    assert [result.args for result in results] == [[0], [1], [2]]
    assert [finished(result).return_value for result in results] == [0, 1, 2]


@pytest.mark.parametrize("asynchronously", [False, True])
def test_enqueueing_nothing_returns_nothing(backend, asynchronously):
    if asynchronously:
        assert async_to_sync(backend.aenqueue_many)(add, []) == []
    else:
        assert backend.enqueue_many(add, []) == []


def test_arguments_that_are_not_exact_json_are_refused(backend):
    with pytest.raises(InvalidArguments, match=r"args\[0\]"):
        backend.enqueue(add, (float("nan"),), {})
    with pytest.raises(TypeError, match=r"args\[0\]"):
        backend.enqueue(add, (object(),), {})


@pytest.mark.parametrize(
    "options",
    [
        {"queue_name": "unknown"},
        {"priority": 101},
        {"run_after": timedelta(seconds=-1)},
    ],
    ids=str,
)
def test_invalid_options_are_refused(backend, options):
    with pytest.raises(InvalidTask):
        add.using(**options)


def test_a_task_that_no_worker_would_find_is_refused(backend):
    with pytest.raises(InvalidTask, match="at a module level"):

        @task
        def inner() -> None: ...


def test_jobs_are_found_by_their_ids(backend):
    first, second = backend.enqueue_many(add, [((1,), {}), ((2,), {})])

    rows = backend.find([UUID(first.id), UUID(second.id), new_id()])

    assert {str(row.pk) for row in rows} == {first.id, second.id}
    assert all(row.backend == "default" for row in rows)
    assert backend.find([]) == []


def test_the_result_of_a_row_is_the_result_of_its_job(backend):
    result = finished(backend.enqueue(add, (1,), {}))
    (row,) = backend.find([UUID(result.id)])

    from_row = backend.result_of(row)

    assert (from_row.id, from_row.state, from_row.return_value) == (result.id, result.state, 1)


def test_the_failure_of_a_job_is_found(backend):
    failed = finished(backend.enqueue(fail, ("why",), {}))
    successful = finished(backend.enqueue(add, (1,), {}))
    identifiers = [UUID(failed.id), UUID(successful.id)]

    failures = backend.failures(identifiers)

    assert list(failures) == identifiers[:1]
    assert failures[identifiers[0]].message == "why"
    assert failed.errors[0].exception_class is ValueError


@pytest.mark.parametrize("result_id", ["01a1f908-28e2-7000-961c-736c8f56c0b2", "", "no id", None])
def test_a_job_that_does_not_exist_is_reported(backend, result_id):
    for method in (backend.get_result, backend.cancel, backend.retry):
        with pytest.raises(TaskResultDoesNotExist):
            method(result_id)
    with pytest.raises(TaskResultDoesNotExist):
        async_to_sync(backend.aget_result)(result_id)


@with_waiting_jobs
def test_a_waiting_job_is_cancelled(backend):
    result = backend.enqueue(add, (1,), {})

    backend.cancel(result.id)

    assert backend.get_result(result.id).state == JobState.CANCELLED


def test_a_successful_job_is_neither_cancelled_nor_retried(backend):
    result = finished(backend.enqueue(add, (1,), {}))

    with pytest.raises(InvalidJobState, match="is successful; it cannot be cancelled"):
        backend.cancel(result.id)
    with pytest.raises(InvalidJobState, match="is successful; it cannot be retried"):
        backend.retry(result.id)


def test_a_failed_job_is_run_again(backend):
    result = finished(backend.enqueue(fail, (), {}))
    assert result.state == JobState.FAILED

    backend.retry(result.id)

    result.refresh()
    assert finished(result).status == TaskResultStatus.FAILED
    assert result.attempts == 2


@with_waiting_jobs
def test_a_retried_job_starts_as_if_it_had_never_run(backend):
    result = finished(backend.enqueue(fail_at, (2, 4), {}))
    assert result.progress is not None

    backend.retry(result.id)

    result.refresh()
    (row,) = backend.find([UUID(result.id)])
    assert (result.state, result.progress, result.finished_at) == (JobState.READY, None, None)
    assert (row.attempt, row.worker_losses, row.return_value) == (0, 0, None)
    assert row.run_after >= result.last_attempted_at


def test_waiting_for_a_finished_job_returns_at_once(backend, transactional_db):
    result = finished(backend.enqueue(add, (1,), {}))

    backend.wait(result.id, None)
    async_to_sync(backend.wait_async)(result.id, None)


@with_waiting_jobs
def test_waiting_for_an_unfinished_job_does_not_block_indefinitely(backend, transactional_db):
    result = backend.enqueue(add, (1,), {})

    with pytest.raises((TimeoutError, OffloadError)):
        backend.wait(result.id, 0.01)
    with pytest.raises((TimeoutError, OffloadError)):
        async_to_sync(backend.wait_async)(result.id, 0.01)


def test_the_checks_of_a_good_configuration_are_silent(backend, monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")  # of CeleryBackend
    assert list(backend.check()) == []


@pytest.mark.parametrize("path", BACKENDS, ids=lambda path: path.rpartition(".")[2])
@pytest.mark.parametrize("options", [{"max_atempts": 2}, {"timeout": -1}], ids=str)
def test_a_bad_option_is_reported_by_the_checks(path, options):
    with override_settings(TASKS={"default": {"BACKEND": path, "OPTIONS": options}}):
        (problem,) = task_backends["default"].check()

    assert problem.id == "offload.E001"
    assert "OPTIONS" in problem.hint
    assert "path of a function" not in problem.hint


@pytest.mark.parametrize(
    ("called", "args", "kwargs", "message"),
    [
        (plain, (), {}, "plain\\(\\) missing 1 required positional argument: 'value'"),
        (add, (1, 2, 3), {}, "add\\(\\) takes from 1 to 2 positional arguments but 3 were given"),
        (aadd, (1,), {"c": 2}, "aadd\\(\\) got an unexpected keyword argument 'c'"),
        (add, (1,), {"a": 2}, "add\\(\\) got multiple values for argument 'a'"),
        (attempt_number, (1,), {}, "attempt_number\\(\\) takes 1 positional argument but 2 were"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_a_job_exists(
    backend, called, args, kwargs, message, django_assert_num_queries
):
    with (
        django_assert_num_queries(0),
        pytest.raises(TypeError, match=rf"^tests\.tasks\.{message}"),
    ):
        called.using(queue_name="default").enqueue(*args, **kwargs)
    assert enqueued_jobs() == []


@pytest.mark.parametrize("asynchronously", [False, True])
def test_the_call_that_does_not_fit_is_named(backend, asynchronously):
    enqueue_many = async_to_sync(backend.aenqueue_many) if asynchronously else backend.enqueue_many

    with pytest.raises(TypeError, match=r"tests\.tasks\.add\(\) missing") as caught:
        enqueue_many(add, [((1,), {}), ((), {"b": 2})])

    assert caught.value.__notes__ == ["It is call 1 of enqueue_many(), counted from 0."]
    assert enqueued_jobs() == []
