"""Retries, and the states that a task sets while it runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from offload.celery.exceptions import EncodeError, MaxRetriesExceededError, Retry
from offload.celery.result import AsyncResult
from offload.models import Attempt, Job
from offload.testing import run_jobs
from tests.celery import tasks

pytestmark = pytest.mark.django_db


def run(result: AsyncResult) -> AsyncResult:
    run_jobs(include_scheduled=True)
    return result


def test_a_retried_task_succeeds_under_the_same_id():
    result = run(tasks.retry_until.delay(2))

    assert (result.state, result.get(), result.retries) == ("SUCCESS", 2, 2)
    assert [a.exception_class_path for a in Attempt.objects.order_by("fence")] == [
        "tests.celery.tasks.OutOfStock"
    ] * 2


def test_the_exception_is_raised_after_the_last_retry():
    result = run(tasks.retry_until.delay(9))

    assert result.state == "FAILURE"
    assert repr(result.result) == "OutOfStock('attempt 2')"
    assert result.retries == 2


def test_a_waiting_retry_has_its_own_state_and_exception():
    result = tasks.retry_tomorrow.delay()
    run_jobs()

    assert (result.state, repr(result.info)) == ("RETRY", "OutOfStock('try tomorrow')")
    assert "OutOfStock: try tomorrow" in result.traceback
    assert not result.ready()
    assert result.date_done is None


def test_retry_may_allow_more_than_the_task_does():
    result = run(tasks.retry_with_own_limit.delay())

    assert (result.get(), result.retries) == (3, 3)


def test_a_page_never_shows_more_attempts_than_are_allowed():
    result = run(tasks.retry_with_own_limit.delay())

    job = Job.objects.get(pk=result.id)
    assert (job.attempt, job.attempts_allowed) == (4, 4)


def test_the_log_says_no_number_of_attempts_that_a_retry_exceeds(caplog):
    run(tasks.retry_until.delay(2))

    for attempt in (1, 2):
        assert f"attempt {attempt} failed (tests.celery.tasks.OutOfStock" in caplog.text


def test_a_task_is_retried_by_itself():
    assert run(tasks.retry_by_itself.delay(2)).get() == 2


def test_a_task_that_is_retried_by_itself_fails_with_its_exception():
    result = run(tasks.retry_by_itself.delay(9))

    assert repr(result.result) == "OSError(5, 'no network')"
    assert result.result.errno == 5
    assert result.retries == 2


@pytest.mark.parametrize("name", ["return_integer_keys", "return_integer_keys_async"])
def test_a_task_that_returned_does_not_run_again_by_itself(name, finish):
    result = getattr(tasks, name).delay()
    finish()

    assert tasks.events == ["ran"]
    assert (result.state, type(result.result)) == ("FAILURE", EncodeError)


def test_a_task_whose_before_start_raised_is_not_retried_by_itself(finish):
    result = tasks.unprepared.delay()
    finish()

    assert tasks.events == ["before_start"]
    assert (result.state, type(result.result)) == ("FAILURE", OSError)


@pytest.mark.parametrize("outcome", ["return", "fail", "ignore"])
def test_a_retry_that_is_not_raised_follows_the_attempt(outcome, finish):
    result = tasks.retry_without_raising.delay(outcome)
    finish()

    assert tasks.events == ["goes on"]
    assert result.get(timeout=0) == "after 1"


def test_an_attempt_that_raises_after_its_retry_is_kept_with_its_exception():
    run(tasks.retry_without_raising.delay("fail"))

    assert [attempt.message for attempt in Attempt.objects.all()] == ["after retry()"]


def test_options_of_retry_that_have_no_use_are_logged(caplog):
    result = run(tasks.retry_elsewhere.delay())

    assert result.get() == "done"
    assert (
        "retry() of the task tests.celery.tasks.retry_elsewhere has no use for: priority, queue."
    ) in caplog.text


@pytest.mark.parametrize("as_text", [False, True])
def test_a_retry_without_a_time_zone_is_in_that_of_the_project(as_text, settings):
    settings.CELERY_TIMEZONE = "Pacific/Honolulu"  # all year 10 hours behind UTC
    eta = datetime.now(ZoneInfo("Pacific/Honolulu")) + timedelta(days=1)
    naive = eta.replace(tzinfo=None, microsecond=0)
    result = tasks.retry_at.delay(naive.isoformat() if as_text else naive)
    run_jobs()

    job = Job.objects.get(pk=result.id)
    assert abs(job.run_after - eta) < timedelta(hours=1)


def test_retry_outside_a_worker_raises_the_exception():
    with pytest.raises(tasks.OutOfStock):
        tasks.retry_until(1)
    with pytest.raises(Retry):
        tasks.retry_with_own_limit()


def test_retry_without_exception_fails_with_that_of_celery():
    from offload.celery.tasks.request import Context, entered  # noqa: PLC0415

    request = Context(id="x", retries=3, called_directly=False)
    with (
        entered(tasks.retry_with_own_limit, request),
        pytest.raises(MaxRetriesExceededError, match="Can't retry"),
    ):
        tasks.retry_with_own_limit.retry(max_retries=3)


def test_retry_cannot_change_the_arguments():
    from offload.celery.tasks.request import Context, entered  # noqa: PLC0415

    request = Context(id="x", args=[1], kwargs={}, called_directly=False)
    with entered(tasks.retry_until, request):
        assert tasks.retry_until.retry(args=(1,), throw=False).exc is None
        with pytest.raises(NotImplementedError, match="cannot change the arguments"):
            tasks.retry_until.retry(args=(2,))


@pytest.mark.parametrize(("retries", "most"), [(0, 2), (1, 4), (4, 32), (40, 600)])
def test_the_delay_doubles_up_to_its_maximum(retries, most, monkeypatch):
    from offload.celery.runs.retries import backoff  # noqa: PLC0415

    monkeypatch.setattr(tasks.retry_by_itself, "retry_backoff", 2)
    assert all(0 <= backoff(tasks.retry_by_itself, retries) <= most for _ in range(100))
    monkeypatch.setattr(tasks.retry_by_itself, "retry_jitter", False)
    assert backoff(tasks.retry_by_itself, retries) == most


def test_progress_is_state_and_meta_and_what_a_page_shows():
    result = tasks.report_progress.delay(4)
    [ran] = run_jobs()

    assert result.get() == "done"
    assert (ran.progress.done, ran.progress.total) == (4, 4)


def test_a_final_state_cannot_be_set_by_hand():
    result = run(tasks.set_final_state.delay())

    assert type(result.result) is ValueError
    assert "update_state() cannot set FAILURE" in str(result.result)


def test_a_meta_that_is_too_large_is_named_as_such():
    result = run(tasks.report_size.delay(100_000))

    assert type(result.result) is EncodeError
    assert "The state and its meta are 100," in str(result.result)
    assert "at most 100,000 are kept" in str(result.result)


def test_a_meta_that_cannot_be_stored_is_named_with_its_place():
    result = run(tasks.report_nan.delay())

    assert type(result.result) is EncodeError
    assert str(result.result).startswith("meta['number']")


def test_an_ignored_task_has_ended_without_a_result():
    result = run(tasks.ignore.delay())

    assert (result.state, result.result, result.ready()) == ("IGNORED", None, True)
    assert result.get() is None


def test_an_ignored_task_keeps_the_state_that_it_has_set():
    result = run(tasks.ignore.delay("SKIPPED"))

    assert (result.state, result.info) == ("SKIPPED", {"why": "nothing to do"})
    assert result.ready()


def test_a_rejected_task_fails():
    result = run(tasks.reject.delay())

    assert result.state == "FAILURE"
    assert result.result.reason == "no thanks"


def test_a_rejected_task_may_run_again():
    tasks.events.clear()

    assert run(tasks.reject.delay(requeue=True)).get() == "second time"


def test_an_expected_exception_is_no_error_in_the_log(caplog):
    result = run(tasks.fail_as_expected.delay())

    assert type(result.result) is tasks.OutOfStock
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_soft_limit_is_raised_in_the_task():
    result = run(tasks.run_too_long.delay())

    assert type(result.result).__name__ == "SoftTimeLimitExceeded"


def test_a_task_catches_its_soft_limit_and_goes_on():
    result = run(tasks.clean_up_after_soft_limit.delay())

    assert result.get() == "cleaned up"
