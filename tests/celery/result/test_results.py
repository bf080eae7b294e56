"""`AsyncResult`: states, values, exceptions, and ids that no task has."""

from __future__ import annotations

import pickle
from datetime import date, datetime, time
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.http import Http404
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils.translation import gettext_lazy

from offload.celery import states
from offload.celery.exceptions import (
    ExpiredTaskId,
    TaskRevokedError,
    TimeLimitExceeded,
    TimeoutError,
    UnknownTaskId,
    WorkerLostError,
)
from offload.celery.result import AsyncResult, ResultSet
from offload.exceptions import OffloadError, TaskResultExpired
from offload.models import Attempt, Job
from offload.store import get_store
from offload.store.records import ClaimedJob
from offload.testing import run_jobs
from offload.uuid7 import new_id
from tests.celery import tasks
from tests.jobs import claim, register_worker

pytestmark = pytest.mark.django_db


def claim_one() -> ClaimedJob:
    (job,) = claim(register_worker())
    return job


def test_a_waiting_task_is_pending_and_not_ready():
    result = tasks.add.delay(1)

    assert (result.state, result.result, result.ready()) == ("PENDING", None, False)
    assert not result.successful()
    assert not result.failed()
    assert result.date_done is None


def test_a_successful_task_has_its_result():
    result = tasks.add.delay(1, 2)
    run_jobs()

    assert (result.state, result.result, result.info) == ("SUCCESS", 3, 3)
    assert result.successful()
    assert result.ready()
    assert result.traceback is None
    assert result.date_done is not None
    assert (result.name, result.args, result.kwargs) == ("tests.celery.tasks.add", [1, 2], {})
    assert (result.retries, result.queue) == (0, "default")


def test_a_running_task_is_started(settings):
    result = tasks.add.delay(1)
    claim_one()

    assert result.state == "STARTED"
    assert result.info.get("current", 0) == 0  # as the usual status view reads it


def test_a_project_may_hide_that_a_task_has_started(settings):
    settings.CELERY_TASK_TRACK_STARTED = False
    result = tasks.add.delay(1)
    claim_one()

    assert result.state == "PENDING"


def test_a_failed_task_has_its_exception_and_traceback():
    result = tasks.fail.delay("no more")
    run_jobs()

    assert result.state == "FAILURE"
    assert repr(result.result) == "ValueError('no more')"
    assert "raise ValueError(message)\nValueError: no more" in result.traceback
    assert "offload/celery" not in result.traceback
    with pytest.raises(ValueError, match="no more"):
        result.get()
    assert repr(result.get(propagate=False)) == "ValueError('no more')"


def test_an_exception_that_needs_keywords_is_one_of_its_class():
    result = tasks.fail_with_keywords.delay("nowhere")
    run_jobs()

    assert type(result.result) is tasks.AddressError
    assert result.result.address == "nowhere"
    assert str(result.result) == "bad address: nowhere"


def test_the_cause_of_an_exception_is_kept():
    result = tasks.fail_from_cause.delay()
    run_jobs()

    error = result.result
    assert (type(error), error.args) == (tasks.OutOfStock, ("outer", 3))
    assert repr(error.__cause__) == "KeyError('inner')"
    assert "The above exception was the direct cause" in result.traceback


def test_an_exception_of_a_class_that_is_gone_is_of_a_class_of_its_name():
    result = tasks.fail.delay("no more")
    run_jobs()
    Attempt.objects.update(exception_class_path="shop.errors.SoldOut")

    assert type(result.result).__name__ == "SoldOut"
    assert type(result.result).__module__ == "shop.errors"
    assert str(result.result) == "no more"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("offload.exceptions.WorkerLost", WorkerLostError),
        ("offload.exceptions.JobTimeout", TimeLimitExceeded),
    ],
)
def test_failures_of_the_worker_have_the_names_of_celery(path, kind):
    result = tasks.fail.delay()
    run_jobs()
    Attempt.objects.update(exception_class_path=path)

    assert type(result.result) is kind


def test_an_unknown_id_is_a_404_and_never_pending():
    result = AsyncResult(str(uuid4()))

    with pytest.raises(UnknownTaskId, match="There is no job") as caught:
        _ = result.state
    assert isinstance(caught.value, Http404)
    assert isinstance(caught.value, TaskResultDoesNotExist)
    assert not result.exists()
    with pytest.raises(UnknownTaskId, match="no-such-task"):
        AsyncResult("no-such-task").ready()


def test_an_id_that_is_no_longer_kept_says_so():
    old = UUID(int=(new_id().int & (1 << 80) - 1))  # of the year 1970

    with pytest.raises(ExpiredTaskId, match="was pruned") as caught:
        _ = AsyncResult(old).state
    assert isinstance(caught.value, TaskResultExpired)


def test_an_unknown_id_is_pending_if_the_caller_wants_it(settings):
    unknown = str(uuid4())
    assert AsyncResult(unknown, strict=False).state == "PENDING"

    settings.CELERY_RESULT_STRICT = False
    result = AsyncResult(unknown)
    assert (result.status, result.info, result.ready()) == ("PENDING", None, False)
    with pytest.raises(TimeoutError):
        result.get(timeout=1)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, "three", True],
        {"nested": {"deep": [None]}},
        datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001
        datetime.fromisoformat("2026-01-02T03:04:05+02:00"),
        date(2026, 1, 2),
        time(3, 4, 5),
        UUID("15f3d57a-54da-4508-9674-4817c5b402a3"),
        Decimal("1.50"),
        b"text",
        b"\xff\x00",
        {"when": date(2026, 1, 2), "prices": [Decimal("0.10")]},
    ],
    ids=repr,
)
def test_values_come_back_as_they_went(value):
    result = tasks.echo.delay(value, name=value)
    run_jobs()

    assert result.get() == [[value], {"name": value}]
    assert result.args == [value]
    assert result.kwargs == {"name": value}


def test_lazy_text_becomes_text():
    result = tasks.echo.delay(gettext_lazy("January"))
    run_jobs()

    assert result.get() == [["January"], {}]


def test_a_result_that_json_does_not_have_fails_the_task():
    result = tasks.return_set.delay()
    run_jobs()

    assert result.state == "FAILURE"
    assert type(result.result).__name__ == "EncodeError"
    assert "Pass a list" in str(result.result)


def test_a_task_without_result_keeps_none():
    result = tasks.keep_nothing.delay()

    assert result.get() is None  # at once
    run_jobs()
    assert AsyncResult(result.id).get() is None
    assert Job.objects.get().return_value == "null"


def test_get_in_the_transaction_that_enqueued_fails_at_once_and_says_why():
    with transaction.atomic():
        result = tasks.add.delay(1)

        with pytest.raises(OffloadError, match="inside the transaction that enqueued"):
            result.get()


def test_get_of_a_finished_task_works_in_any_transaction():
    result = tasks.add.delay(1)
    run_jobs()

    with transaction.atomic():
        assert result.get(timeout=1) == 1


@pytest.mark.django_db(transaction=True)
def test_get_in_another_transaction_waits():
    result = tasks.add.delay(1)

    with transaction.atomic(), pytest.raises(TimeoutError):
        result.get(timeout=0.01)


@pytest.mark.django_db(transaction=True)
def test_get_raises_the_timeout_of_celery_and_of_python():
    result = tasks.add.delay(1)

    with pytest.raises(TimeoutError) as caught:
        result.get(timeout=0.01)
    assert isinstance(caught.value, __builtins__["TimeoutError"])


def test_get_calls_back_with_id_and_value():
    seen = []
    result = tasks.add.delay(1)
    run_jobs()

    result.get(callback=lambda *args: seen.append(args))
    result.then(lambda done: seen.append(done.id))

    assert seen == [(result.id, 1), result.id]


def test_a_task_may_not_wait_for_another_unless_it_is_allowed():
    other = tasks.add.delay(5)
    waiting = tasks.join.delay(str(other.id))
    allowed = tasks.join.delay(str(other.id), allowed=True)
    later = str(tasks.add.apply_async((1,), countdown=60).id)
    refused = [tasks.join.delay(later), tasks.join_directly.delay(later)]
    run_jobs()

    assert allowed.get() == 5
    assert waiting.get() == 5  # it had finished
    for result in refused:
        with pytest.raises(RuntimeError, match="within a task"):
            result.get()


def test_revoke_cancels_a_waiting_task():
    result = tasks.add.delay(1)
    result.revoke()

    assert result.state == "REVOKED"
    assert result.ready()
    with pytest.raises(TaskRevokedError):
        result.get()
    assert run_jobs() == []


def test_revoke_stops_a_running_task_only_with_terminate():
    result = tasks.add.delay(1)
    claim_one()

    result.revoke()
    assert Job.objects.get().cancel_requested_at is None
    result.revoke(terminate=True)
    assert Job.objects.get().cancel_requested_at is not None


def test_revoking_a_finished_or_unknown_task_does_nothing():
    result = tasks.add.delay(1)
    run_jobs()

    result.revoke()
    AsyncResult("unknown").revoke()

    assert AsyncResult(result.id).state == "SUCCESS"


def test_forget_deletes_a_finished_task():
    waiting, result = tasks.add.apply_async((1,), countdown=60), tasks.fail.delay()
    run_jobs()

    result.forget()
    waiting.forget()

    assert not result.exists()
    assert waiting.state == "PENDING"
    assert not Attempt.objects.exists()


def test_state_and_info_are_of_one_moment():
    result = tasks.report_progress.delay(4)
    job = claim_one()
    note = '{"note":{"state":"PROGRESS","meta":{"current":1}},"updated_at":"2026-01-01T00:00:00Z"}'
    store = get_store("default")
    with transaction.atomic():
        store.keep_progress([(job.key, note)])
    state = result.state
    Job.objects.update(state=4, return_value='"done"', finished_at=Job.objects.get().enqueued_at)

    assert (state, result.info) == ("PROGRESS", {"current": 1})
    assert result.info == "done"


def test_results_are_equal_by_id_and_survive_a_pickle():
    result = tasks.add.delay(1)

    assert result == AsyncResult(result.id) == pickle.loads(pickle.dumps(result))
    assert result == result.id
    assert str(result) == result.task_id == result.id
    assert result.as_tuple() == ((result.id, None), None)
    with pytest.raises(ValueError, match="requires a valid id"):
        AsyncResult(None)


def test_a_set_of_results_is_one():
    results = ResultSet([tasks.add.delay(n) for n in range(3)])
    assert results.waiting()
    run_jobs()

    assert results.join(timeout=5) == [0, 1, 2]
    assert results.successful()
    assert results.completed_count() == 3
    failing = ResultSet([*results, tasks.fail.delay()])
    run_jobs()
    with pytest.raises(ValueError, match="no"):
        failing.get()
    assert failing.failed()


def test_states_compare_by_their_place():
    assert states.state("STARTED") > states.state("PENDING")
    assert states.state("PROGRESS") < states.state("SUCCESS")
    assert sorted(states.READY_STATES) == ["FAILURE", "REVOKED", "SUCCESS"]


def test_reading_a_state_takes_one_query(django_assert_num_queries):
    result = tasks.add.delay(1)

    with django_assert_num_queries(1):
        assert result.state == "PENDING"


def test_a_task_knows_those_that_it_has_called():
    result = tasks.call_another.delay(1)
    run_jobs()

    assert [child.id for child in result.children] == [result.get()]
    assert [node.id for node, _ in result.collect()] == [result.id, result.get()]


def test_a_task_that_is_replaced_keeps_its_id():
    result = tasks.replace.delay(1, 2)
    other = tasks.replace_async.delay(4)
    run_jobs()

    about = AsyncResult(result.id).get()
    assert (about["args"], about["task"]) == ([1, 2], "tests.celery.tasks.about")
    assert (about["parent_id"], about["root_id"]) == (result.id, result.id)
    assert other.get() == 8


def test_an_exception_that_is_too_large_to_be_kept_is_one_of_its_class():
    result = tasks.fail_at_length.delay()
    run_jobs()

    assert type(result.result) is tasks.OutOfStock
    assert str(result.result).startswith("['xxx")
