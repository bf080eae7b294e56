"""The status document: its content in each phase, and what it never reveals."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils import timezone, translation

from offload import JobState, progress, task
from offload.lifecycle import (
    cancelled,
    expired,
    failed,
    lost,
    released,
    retried,
    snoozed,
    succeeded,
)
from offload.live.documents import document, job_fields, links, phase, poll_delay_ms
from offload.live.jobs import find_failures
from offload.live.responses import etag
from offload.models import Job
from offload.testing import run_jobs
from offload.timestamps import now_microseconds, to_datetime
from tests.jobs import FAILURE, claim, finish, move_to_state, register_worker
from tests.live.document_checks import check_document
from tests.live.tasks import explode, private, refuse, shown
from tests.tasks import add

pytestmark = pytest.mark.django_db

ALL = frozenset({"status", "result", "cancel", "events"})


def document_of_job(grants: Any = ALL) -> dict[str, Any]:
    """Return the document of the only job, after a round trip through JSON.

    It is checked against the schema, so in each state of this module.
    """
    job = Job.objects.get()
    fields = document(job, grants, failure=find_failures([job]).get(job.pk))
    found = dict(json.loads(json.dumps(fields)))
    check_document(found)
    return found


def test_the_document_of_a_ready_job():
    result = shown.enqueue("value")

    assert document_of_job() == {
        "id": result.id,
        "title": "Monthly <b>report</b>",
        "state": "ready",
        "phase": "queued",
        "status": "READY",
        "is_finished": False,
        "version": 0,
        "progress": None,
        "attempt": {"number": 0, "max": 1, "next_at": None},
        "enqueued_at": iso(result.enqueued_at),
        "started_at": None,
        "finished_at": None,
        "run_after": None,
        "expires_at": None,
        "estimate": {
            "remaining_seconds": None,
            "position": None,
            "delay": None,
            "reason": None,
        },
        "result": None,
        "error": None,
        "poll_ms": 500,
        "links": {
            "self": f"/tasks/{result.id}/",
            "events": document_of_job()["links"]["events"],
            "cancel": f"/tasks/{result.id}/cancel/",
            "result": None,
            "page": f"/tasks/{result.id}/page/",
        },
    }


def test_operators_see_the_task_and_the_queue_beside_the_keys_of_the_document():
    result = shown.using(queue_name="slow").enqueue("value")

    fields = job_fields(Job.objects.get())

    assert fields.pop("task") == "tests.live.tasks.shown"
    assert fields.pop("queue_name") == "slow"
    assert fields.pop("run_after") == iso(result.enqueued_at)
    assert fields.items() <= document_of_job().items()
    assert list(fields) == [
        "id",
        "title",
        "state",
        "phase",
        "status",
        "is_finished",
        "version",
        "progress",
        "attempt",
        "enqueued_at",
        "started_at",
        "finished_at",
        "expires_at",
    ]


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- phases -------------------------------------------------------------------------------------


OUTCOMES = {
    "snoozed": snoozed(60),
    "released": released(),
    "retried later": retried(FAILURE, 60),
    "retried at once": retried(FAILURE, 0),
    "lost and retried": lost(FAILURE, for_good=False, delay=10),
    "succeeded": succeeded("1"),
    "failed": failed(FAILURE),
    "lost": lost(FAILURE, for_good=True),
    "cancelled": cancelled(FAILURE),
    "expired": expired(FAILURE),
}


def prepare(name: str) -> None:
    """Enqueue a job and bring it into a phase, with the methods of the store."""
    job = add.enqueue(1)
    if name == "lost":
        Job.objects.update(max_worker_losses=0)
    if name == "limited":
        move_to_state(job, JobState.LIMITED)
    elif name == "scheduled":
        Job.objects.update(state=JobState.SCHEDULED)
    elif name in OUTCOMES:
        finish(OUTCOMES[name])
    elif name != "queued":
        claim(register_worker())
        if name == "cancelling":
            job.cancel()


@pytest.mark.parametrize(
    ("name", "expected", "status"),
    [
        ("queued", "queued", "READY"),
        ("limited", "limited", "READY"),
        ("scheduled", "scheduled", "READY"),
        ("snoozed", "scheduled", "READY"),
        ("released", "queued", "READY"),
        ("running", "running", "RUNNING"),
        ("cancelling", "cancelling", "RUNNING"),
        ("retried later", "retrying", "READY"),
        ("retried at once", "retrying", "READY"),
        ("lost and retried", "retrying", "READY"),
        ("succeeded", "succeeded", "SUCCESSFUL"),
        ("failed", "failed", "FAILED"),
        ("lost", "lost", "FAILED"),
        ("cancelled", "cancelled", "FAILED"),
        ("expired", "expired", "FAILED"),
    ],
)
def test_the_phase_is_finer_than_the_status(name, expected, status):
    prepare(name)

    found = document_of_job()

    assert (found["phase"], found["status"]) == (expected, status)
    assert phase(Job.objects.get()) == expected
    assert found["is_finished"] is (found["finished_at"] is not None)
    assert (found["error"] is not None) is (status == "FAILED")
    assert (found["poll_ms"] is None) is found["is_finished"]
    assert (found["links"]["cancel"] is None) is (found["is_finished"] or expected == "cancelling")
    assert (found["attempt"]["next_at"] is not None) is (expected == "retrying")


def test_a_job_that_is_retried_by_hand_waits_like_a_new_one():
    result = add.enqueue(1)
    finish(failed(FAILURE))
    result.retry()

    assert document_of_job()["phase"] == "queued"


# --- secrets ------------------------------------------------------------------------------------

SECRETS = ["tr0ub4dor", "RuntimeError", "Traceback", "test_documents", "tests.live", "explode("]


@pytest.mark.parametrize("grants", [ALL, {"status"}])
def test_the_document_reveals_nothing_of_an_exception(grants):
    explode.enqueue("tr0ub4dor")
    run_jobs()

    text = json.dumps(document_of_job(grants))

    assert [secret for secret in SECRETS if secret in text] == []
    assert document_of_job()["error"] == {
        "type": "urn:offload:failed",
        "title": "The task failed.",
        "detail": None,
        "reference": document_of_job()["id"],
    }


def test_the_document_reveals_no_arguments_and_no_hidden_result():
    private.enqueue("tr0ub4dor")
    run_jobs()

    assert "tr0ub4dor" not in json.dumps(document_of_job())


def test_the_message_of_a_user_facing_error_is_shown_in_one_line():
    refuse.enqueue("Too <b>large</b>:\r\n\x01\x1b[31m at most 5 MB\u2028." + "x" * 1000)
    run_jobs()

    title = document_of_job()["error"]["title"]

    assert title.startswith("Too <b>large</b>: ")
    assert title.isprintable()
    assert len(title) == 500


@pytest.mark.parametrize("path", ["gone.TooLarge", "tests.live.tasks.gone", "os.path", "x", ""])
def test_an_error_whose_class_is_not_found_is_not_shown(path):
    refuse.enqueue("tr0ub4dor")
    run_jobs()
    job = Job.objects.get()
    failure = find_failures([job])[job.pk]
    failure.exception_class_path = path

    assert "tr0ub4dor" not in json.dumps(document(job, ALL, failure=failure))


def test_an_earlier_failure_of_a_job_that_was_lost_later_is_not_shown():
    refuse.enqueue("earlier")
    run_jobs()
    Job.objects.update(fence=2)

    assert document_of_job()["error"]["title"] == "The task failed."


# --- results ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, "text", None, [1, {"a": None}], "</script>"])
def test_a_result_is_shown_if_the_task_exposes_it(value):
    shown.enqueue(value)
    run_jobs()

    assert document_of_job()["result"] == value
    assert document_of_job()["links"]["result"] == f"/tasks/{document_of_job()['id']}/result/"


def test_a_large_result_has_its_own_url():
    shown.enqueue("x" * 20_000)
    run_jobs()

    assert document_of_job()["result"] is None
    assert document_of_job()["links"]["result"]


def test_without_a_grant_there_is_neither_result_nor_link():
    shown.enqueue("value")
    run_jobs()

    assert document_of_job({"status"})["result"] is None
    assert document_of_job({"status"})["links"]["result"] is None
    assert document_of_job({"status"})["links"]["cancel"] is None


# --- progress -----------------------------------------------------------------------------------


NOW = "2026-11-20T09:31:07.412Z"


def progress_of(stored: Any) -> Any:
    shown.enqueue(1)
    text = json.dumps({**stored, "updated_at": NOW}) if isinstance(stored, dict) else stored
    Job.objects.update(progress=text)
    return document_of_job()["progress"]


@task
def import_rows() -> None:
    progress(340, 1000, "Reading\nrows", step=(2, 3, "Import"))


def test_the_progress_of_a_task_is_shown():
    import_rows.enqueue()
    run_jobs()

    found = document_of_job()["progress"]

    assert found.pop("updated_at") <= document_of_job()["finished_at"]
    assert found == {
        "done": 340,
        "total": 1000,
        "percent": 34.0,
        "message": "Reading rows",
        "step": {"number": 2, "of": 3, "name": "Import"},
    }


def test_progress_is_shown_as_it_was_stored():
    written = {
        "done": 340,
        "total": 1000,
        "message": "Reading rows",
        "step": {"number": 2, "of": 3, "name": "Import"},
        "updated_at": NOW,
    }

    assert progress_of(written) == {**written, "percent": 34.0}


@pytest.mark.parametrize(
    ("written", "percent"),
    [
        ({}, None),
        ({"done": 5}, None),
        ({"done": 5, "total": 0}, None),
        ({"done": 5, "total": -1}, None),
        ({"done": 0, "total": 3}, 0),
        ({"done": 1, "total": 3}, 33.3),
        ({"done": 9, "total": 3}, 100),
        ({"done": -1, "total": 3}, 0),
        ({"done": "5", "total": 10}, None),
        ({"done": True, "total": 1}, None),
        ({"done": 1e308, "total": 1e-308}, 100),
    ],
)
def test_percent(written, percent):
    assert progress_of(written)["percent"] == percent


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "{}", '{"updated_at": "x"}', None])
def test_damaged_progress_is_none(text):
    assert progress_of(text) is None


def test_numbers_that_json_cannot_represent_are_null():
    step = {"number": float("-inf")}
    found = progress_of({"done": float("nan"), "total": float("inf"), "step": step})

    assert (found["done"], found["total"], found["step"]["number"]) == (None, None, None)


def test_messages_and_names_have_one_line():
    found = progress_of({"message": "a\r\nb\0<i>\x85", "step": {"number": 1, "name": "c\nd"}})

    assert (found["message"], found["step"]["name"]) == ("a b <i>", "c d")


def test_the_remaining_time_is_extrapolated_from_the_progress():
    shown.enqueue(1)
    claim(register_worker())
    started_at = Job.objects.get().last_attempted_at
    assert started_at is not None
    written = {
        "done": 1,
        "total": 4,
        "updated_at": (started_at + timedelta(seconds=10)).astimezone(UTC).isoformat(),
    }
    Job.objects.update(progress=json.dumps(written))
    assert document_of_job()["estimate"]["remaining_seconds"] == 30

    for damaged in ("", "yesterday", None, "0001-01-01T00:00:00+00:00"):
        Job.objects.update(progress=json.dumps({**written, "updated_at": damaged}))
        assert document_of_job()["estimate"]["remaining_seconds"] is None


# --- poll delays --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (-5, 500), (0, 500), (4, 500), (6, 1000), (11, 2000), (59, 2000), (61, 5000), (601, 15_000),
        (3601, 30_000), (10**6, 30_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["queued", "limited", "running", "cancelling"])
def test_the_poll_delay_grows_with_the_age_of_the_phase(age, expected, state):
    prepare(state)
    since = to_datetime(now_microseconds() - age * 1_000_000)
    column = {"queued": "run_after", "limited": "run_after", "running": "last_attempted_at"}.get(
        state, "cancel_requested_at"
    )
    Job.objects.update(**{column: since})

    assert poll_delay_ms(Job.objects.get()) == expected


@pytest.mark.parametrize(
    ("left", "expected"), [(3600, 60_000), (30, 30_000), (0.1, 1000), (-100, 1000)]
)
def test_a_scheduled_job_is_polled_when_it_is_due(left, expected):
    add.using(run_after=timedelta(days=1)).enqueue(1)
    Job.objects.update(run_after=to_datetime(now_microseconds() + int(left * 1_000_000)))

    delay = poll_delay_ms(Job.objects.get())

    assert delay is not None
    assert abs(delay - expected) <= (5000 if expected == 30_000 else 0)


def test_the_tag_changes_with_the_version():
    result = add.enqueue(1)
    before = etag(Job.objects.get())
    claim(register_worker())

    assert before == f'W/"{result.id}.0"'
    assert etag(Job.objects.get()) == f'W/"{result.id}.1"'


# --- names, times, links ------------------------------------------------------------------------


@task
def send_monthly_report() -> None: ...


def test_the_default_title_is_the_name_of_the_function():
    send_monthly_report.enqueue()
    assert document_of_job()["title"] == "Send monthly report"

    Job.objects.update(task_path="gone.renamed_task")
    assert document_of_job()["title"] == "Renamed task"


def test_times_are_in_utc_with_any_settings():
    add.using(run_after=timedelta(days=1), expires=timedelta(days=2)).enqueue(1)
    reference = document_of_job()

    with timezone.override("Asia/Kolkata"):
        assert document_of_job() == reference
    with override_settings(USE_TZ=False, TIME_ZONE="America/Denver"):
        assert document_of_job()["run_after"] == reference["run_after"]
    assert reference["run_after"][-5:] == reference["enqueued_at"][-5:]
    assert reference["expires_at"] > reference["run_after"] > reference["enqueued_at"]


def test_without_the_urls_there_are_no_links():
    add.enqueue(1)
    with override_settings(ROOT_URLCONF="tests.live.tasks"), pytest.raises(ImproperlyConfigured):
        links(Job.objects.get(), ALL)
    with override_settings(ROOT_URLCONF="tests.live.empty_urls"):
        assert set(links(Job.objects.get(), ALL).values()) == {None}


def test_the_title_of_an_error_is_translated():
    explode.enqueue("x")
    run_jobs()
    with translation.override("en"):
        assert document_of_job()["error"]["title"] == "The task failed."
