"""Values and exceptions of tasks, for Celery and on pages."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from celery.utils.serialization import get_pickleable_exception
from kombu.exceptions import EncodeError

from offload.live.jobs import job_result
from offload.models import Attempt, Job
from offload.results import OffloadResult
from tests.celery_results.reports import Task
from tests.celery_results.tasks import AmountError, PaymentError

pytestmark = pytest.mark.django_db

VALUE = {
    "at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    "day": date(2026, 1, 2),
    "price": Decimal("9.90"),
    "id": UUID(int=7),
    "raw": b"abc",
    "plain": [1, None, "ü", 1.5],
}


class Outer:
    class Inner(Exception):
        pass


def store(error: BaseException) -> Task:
    """Report an exception as Celery does: it hands over a substitute that can be pickled."""
    task = Task()
    try:
        _raise(error)
    except Exception as raised:  # noqa: BLE001  # as Celery does
        substitute = get_pickleable_exception(raised)
        if substitute.__traceback__ is None:
            substitute.__traceback__ = raised.__traceback__
        task.report("FAILURE", substitute)
    return task


def _raise(error: BaseException) -> None:
    raise error


def test_values_of_celerys_json_come_back_as_they_went() -> None:
    task = Task()
    task.report("SUCCESS", VALUE)
    assert task.result.get(timeout=1) == VALUE


def test_pages_get_plain_json() -> None:
    Task().report("SUCCESS", VALUE)
    shown = json.loads(Job.objects.get().return_value or "")
    assert shown["at"] == "2026-01-02T03:04:00+00:00"
    assert (shown["price"], shown["raw"], shown["plain"]) == ("9.90", "abc", VALUE["plain"])


def test_a_value_is_stored_once() -> None:
    Task().report("SUCCESS", {"rows": "x" * 1000})
    job = Job.objects.get()
    assert "xxx" in (job.return_value or "")
    assert "xxx" not in (job.progress or "")


def test_a_value_that_is_no_json_is_celerys_error() -> None:
    with pytest.raises(EncodeError):
        Task().report("SUCCESS", object())


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        KeyError("k"),
        OSError(2, "missing"),
        Outer.Inner("nested"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ],
)
def test_an_exception_comes_back_as_its_own_class(error: BaseException) -> None:
    result = store(error).result.info
    assert type(result) is type(error)
    assert str(result) == str(error)


@pytest.mark.parametrize("error", [PaymentError(code=7), AmountError(amount=-1)])
def test_an_exception_that_needs_keywords_comes_back_as_its_own_class(error: Any) -> None:
    result = store(error).result.info
    assert type(result) is type(error)
    assert str(result) == str(error)
    assert vars(result) == vars(error)


def test_an_exception_of_a_module_that_is_not_imported_keeps_its_name() -> None:
    task = store(ValueError("away"))
    job = Job.objects.get()
    job.progress = (job.progress or "").replace("builtins", "not.imported")
    job.save(update_fields=["progress"])
    error = task.result.info
    assert (type(error).__name__, type(error).__module__) == ("ValueError", "not.imported")
    assert error.args == ("away",)


def test_a_name_that_is_no_exception_is_not_called() -> None:
    task = store(ValueError("touch /tmp/x"))
    job = Job.objects.get()
    progress = (job.progress or "").replace("builtins", "os").replace("ValueError", "system")
    job.progress = progress
    job.save(update_fields=["progress"])
    error = task.result.info
    assert isinstance(error, Exception)
    assert type(error).__name__ == "system"


def test_pages_show_the_exception_of_the_last_attempt() -> None:
    task = Task()
    task.report("RETRY", ValueError("first"))
    task.report("FAILURE", KeyError("second"), retries=1)
    attempts = Attempt.objects.order_by("fence")
    assert [a.exception_class_path for a in attempts] == [
        "builtins.ValueError",
        "builtins.KeyError",
    ]
    assert Job.objects.get().fence == attempts[1].fence == 2


def test_the_result_of_django_has_the_same_value_and_errors() -> None:
    Task().report("SUCCESS", VALUE)
    result: OffloadResult[Any] = job_result(Job.objects.get())
    assert result.return_value["price"] == "9.90"
    assert result.args == [1, 2]
    failed = Task()
    failed.report("FAILURE", ValueError("no"))
    result = job_result(Job.objects.get(pk=failed.id))
    assert result.errors[0].exception_class is ValueError
