"""The status document: what it says in each phase, and what it never says."""

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
from offload.live.documents import document, etag, job_fields, links, phase, poll_delay_ms
from offload.live.jobs import find_failures
from offload.models import Job
from offload.testing import run_jobs
from offload.timestamps import now_microseconds, to_datetime
from tests.jobs import FAILURE, claim, finish, register
from tests.live.tasks import explode, private, refuse, shown
from tests.tasks import add

pytestmark = pytest.mark.django_db

ALL = frozenset({"status", "result", "cancel"})


def told(grants: Any = ALL) -> dict[str, Any]:
    """Return the document of the only job, as JSON gives it back."""
    job = Job.objects.get()
    found = document(job, grants, failure=find_failures([job]).get(job.pk))
    return dict(json.loads(json.dumps(found)))


def test_the_document_of_a_job_that_waits():
    result = shown.enqueue("value")

    assert told() == {
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
        "estimate": {"remaining_seconds": None, "position": None, "delay": None},
        "result": None,
        "error": None,
        "poll_ms": 500,
        "links": {
            "self": f"/tasks/{result.id}/",
            "events": told()["links"]["events"],
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
    assert fields.items() <= told().items()
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
    "handed back": released(),
    "to be tried later": retried(FAILURE, 60),
    "to be tried now": retried(FAILURE, 0),
    "to be run again": lost(FAILURE, for_good=False, delay=10),
    "succeeded": succeeded("1"),
    "failed": failed(FAILURE),
    "lost": lost(FAILURE, for_good=True),
    "cancelled": cancelled(FAILURE),
    "expired": expired(FAILURE),
}


def prepare(name: str) -> None:
    """Bring a job into a phase by the store's own verbs."""
    job = add.enqueue(1)
    if name == "lost":
        Job.objects.update(max_worker_losses=0)
    if name == "scheduled":
        Job.objects.update(state=JobState.SCHEDULED)
    elif name in OUTCOMES:
        finish(OUTCOMES[name])
    elif name != "queued":
        claim(register())
        if name == "cancelling":
            job.cancel()


@pytest.mark.parametrize(
    ("name", "expected", "status"),
    [
        ("queued", "queued", "READY"),
        ("scheduled", "scheduled", "READY"),
        ("snoozed", "scheduled", "READY"),
        ("handed back", "queued", "READY"),
        ("running", "running", "RUNNING"),
        ("cancelling", "cancelling", "RUNNING"),
        ("to be tried later", "retrying", "READY"),
        ("to be tried now", "retrying", "READY"),
        ("to be run again", "retrying", "READY"),
        ("succeeded", "succeeded", "SUCCESSFUL"),
        ("failed", "failed", "FAILED"),
        ("lost", "lost", "FAILED"),
        ("cancelled", "cancelled", "FAILED"),
        ("expired", "expired", "FAILED"),
    ],
)
def test_the_phase_is_finer_than_the_status(name, expected, status):
    prepare(name)

    found = told()

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

    assert told()["phase"] == "queued"


# --- what is not told ---------------------------------------------------------------------------

SECRETS = ["tr0ub4dor", "RuntimeError", "Traceback", "test_documents", "tests.live", "explode("]


@pytest.mark.parametrize("grants", [ALL, {"status"}])
def test_of_an_exception_nothing_is_told(grants):
    explode.enqueue("tr0ub4dor")
    run_jobs()

    text = json.dumps(told(grants))

    assert [secret for secret in SECRETS if secret in text] == []
    assert told()["error"] == {
        "type": "urn:offload:failed",
        "title": "The task failed.",
        "detail": None,
        "reference": told()["id"],
    }


def test_of_arguments_and_hidden_results_nothing_is_told():
    private.enqueue("tr0ub4dor")
    run_jobs()

    assert "tr0ub4dor" not in json.dumps(told())


def test_the_text_of_an_error_that_is_meant_for_people_is_told_in_one_line():
    refuse.enqueue("Too <b>large</b>:\r\n\x01\x1b[31m at most 5 MB\u2028." + "x" * 1000)
    run_jobs()

    title = told()["error"]["title"]

    assert title.startswith("Too <b>large</b>: ")
    assert title.isprintable()
    assert len(title) == 500


@pytest.mark.parametrize("path", ["gone.TooLarge", "tests.live.tasks.gone", "os.path", "x", ""])
def test_an_error_whose_class_cannot_be_looked_up_is_not_for_people(path):
    refuse.enqueue("tr0ub4dor")
    run_jobs()
    job = Job.objects.get()
    failure = find_failures([job])[job.pk]
    failure.exception_class_path = path

    assert "tr0ub4dor" not in json.dumps(document(job, ALL, failure=failure))


def test_an_earlier_failure_of_a_job_that_was_lost_later_is_not_told():
    refuse.enqueue("earlier")
    run_jobs()
    Job.objects.update(fence=2)

    assert told()["error"]["title"] == "The task failed."


# --- results ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, "text", None, [1, {"a": None}], "</script>"])
def test_a_result_is_shown_if_the_task_says_so(value):
    shown.enqueue(value)
    run_jobs()

    assert told()["result"] == value
    assert told()["links"]["result"] == f"/tasks/{told()['id']}/result/"


def test_a_large_result_has_its_own_url():
    shown.enqueue("x" * 20_000)
    run_jobs()

    assert told()["result"] is None
    assert told()["links"]["result"]


def test_without_the_right_neither_result_nor_link():
    shown.enqueue("value")
    run_jobs()

    assert told({"status"})["result"] is None
    assert told({"status"})["links"]["result"] is None
    assert told({"status"})["links"]["cancel"] is None


# --- progress -----------------------------------------------------------------------------------


NOW = "2026-11-20T09:31:07.412Z"


def progress_of(written: Any) -> Any:
    shown.enqueue(1)
    text = json.dumps({**written, "updated_at": NOW}) if isinstance(written, dict) else written
    Job.objects.update(progress=text)
    return told()["progress"]


@task
def import_rows() -> None:
    progress(340, 1000, "Reading\nrows", step=(2, 3, "Import"))


def test_what_a_task_says_is_shown():
    import_rows.enqueue()
    run_jobs()

    found = told()["progress"]

    assert found.pop("updated_at") <= told()["finished_at"]
    assert found == {
        "done": 340,
        "total": 1000,
        "unit": None,
        "percent": 34.0,
        "message": "Reading rows",
        "step": {"number": 2, "of": 3, "name": "Import"},
    }


def test_progress_is_shown_as_it_was_written():
    written = {
        "done": 340,
        "total": 1000,
        "message": "Reading rows",
        "step": {"number": 2, "of": 3, "name": "Import"},
        "updated_at": NOW,
    }

    assert progress_of(written) == {**written, "unit": None, "percent": 34.0}


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
def test_what_is_no_progress_is_none(text):
    assert progress_of(text) is None


def test_numbers_that_json_does_not_have_are_left_out():
    step = {"number": float("-inf")}
    found = progress_of({"done": float("nan"), "total": float("inf"), "step": step})

    assert (found["done"], found["total"], found["step"]["number"]) == (None, None, None)


def test_texts_of_tasks_are_of_one_line():
    found = progress_of({"message": "a\r\nb\0<i>\x85", "step": {"number": 1, "name": "c\nd"}})

    assert (found["message"], found["step"]["name"]) == ("a b <i>", "c d")


def test_how_long_the_rest_will_take_is_guessed_from_the_pace_so_far():
    shown.enqueue(1)
    claim(register())
    began = Job.objects.get().last_attempted_at
    assert began is not None
    written = {
        "done": 1,
        "total": 4,
        "updated_at": (began + timedelta(seconds=10)).astimezone(UTC).isoformat(),
    }
    Job.objects.update(progress=json.dumps(written))
    assert told()["estimate"]["remaining_seconds"] == 30

    for other in ("", "yesterday", None, "0001-01-01T00:00:00+00:00"):
        Job.objects.update(progress=json.dumps({**written, "updated_at": other}))
        assert told()["estimate"]["remaining_seconds"] is None


# --- when to ask again --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (-5, 500), (0, 500), (4, 500), (6, 1000), (11, 2000), (59, 2000), (61, 5000), (601, 15_000),
        (3601, 30_000), (10**6, 30_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["queued", "running", "cancelling"])
def test_the_older_a_phase_the_slower_the_pace(age, expected, state):
    prepare(state)
    since = to_datetime(now_microseconds() - age * 1_000_000)
    column = {"queued": "run_after", "running": "last_attempted_at"}.get(
        state, "cancel_requested_at"
    )
    Job.objects.update(**{column: since})

    assert poll_delay_ms(Job.objects.get()) == expected


@pytest.mark.parametrize(
    ("left", "expected"), [(3600, 60_000), (30, 30_000), (0.1, 1000), (-100, 1000)]
)
def test_a_scheduled_job_is_asked_for_when_it_is_due(left, expected):
    add.using(run_after=timedelta(days=1)).enqueue(1)
    Job.objects.update(run_after=to_datetime(now_microseconds() + int(left * 1_000_000)))

    found = poll_delay_ms(Job.objects.get())

    assert found is not None
    assert abs(found - expected) <= 5000 * (expected == 30_000)


def test_the_tag_is_of_one_version():
    result = add.enqueue(1)
    before = etag(Job.objects.get())
    claim(register())

    assert before == f'W/"{result.id}.0"'
    assert etag(Job.objects.get()) == f'W/"{result.id}.1"'


# --- names, times, links ------------------------------------------------------------------------


@task
def send_monthly_report() -> None: ...


def test_without_a_title_people_see_the_name_of_the_function():
    send_monthly_report.enqueue()
    assert told()["title"] == "Send monthly report"

    Job.objects.update(task_path="gone.renamed_task")
    assert told()["title"] == "Renamed task"


def test_moments_are_in_utc_whatever_the_settings_are():
    add.using(run_after=timedelta(days=1), expires=timedelta(days=2)).enqueue(1)
    moment = told()

    with timezone.override("Asia/Kolkata"):
        assert told() == moment
    with override_settings(USE_TZ=False, TIME_ZONE="America/Denver"):
        assert told()["run_after"] == moment["run_after"]
    assert moment["run_after"][-5:] == moment["enqueued_at"][-5:]
    assert moment["expires_at"] > moment["run_after"] > moment["enqueued_at"]


def test_a_project_that_has_not_mounted_the_urls_has_no_links():
    add.enqueue(1)
    with override_settings(ROOT_URLCONF="tests.live.tasks"), pytest.raises(ImproperlyConfigured):
        links(Job.objects.get(), ALL)
    with override_settings(ROOT_URLCONF="tests.live.empty_urls"):
        assert set(links(Job.objects.get(), ALL).values()) == {None}


def test_what_people_read_is_translated_where_there_is_a_translation():
    explode.enqueue("x")
    run_jobs()
    with translation.override("en"):
        assert told()["error"]["title"] == "The task failed."
