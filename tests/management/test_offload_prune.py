"""`offload_prune` on rows in the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from offload.lifecycle import JobState
from offload.management.commands import offload_prune
from offload.models import Attempt, Job
from offload.store import get_store
from tests.management.factories import add_failed_attempt, finish
from tests.management.query_plans import explain_queries
from tests.tasks import add, plain

pytestmark = pytest.mark.django_db


def prune(*args: str) -> str:
    output = StringIO()
    call_command("offload_prune", *args, stdout=output)
    return output.getvalue().strip()


def days_ago(number: float) -> Any:
    return timezone.now() - timedelta(days=number)


@pytest.fixture
def rows() -> dict[str, Job]:
    """Create finished jobs by state and age in days, and a waiting job."""
    jobs = {
        f"{state.label}-{age}": finish(add.enqueue(1), state, days_ago(age))
        for state in (JobState.SUCCESSFUL, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED)
        for age in (1, 10, 40)
    }
    add.enqueue(1)
    return jobs


def remaining(rows: dict[str, Job]) -> set[str]:
    ids = set(Job.objects.values_list("pk", flat=True))
    return {name for name, job in rows.items() if job.pk in ids}


def test_deletes_jobs_older_than_the_settings_keep_them(rows):
    output = prune()

    assert output == ("Deleted 5 jobs: 2 successful, 1 failed, 1 cancelled, 1 expired.")
    assert remaining(rows) == {
        "successful-1", "failed-1", "failed-10", "cancelled-1", "cancelled-10", "expired-1",
        "expired-10",
    }  # fmt: skip
    assert Job.objects.filter(state=JobState.READY).count() == 1
    assert prune() == "Deleted 0 jobs."


def test_uses_the_settings_of_the_backend(rows, settings):
    settings.TASKS = options(settings, keep_successful=None, keep_failed=timedelta(days=5))

    assert prune() == "Deleted 6 jobs: 2 failed, 2 cancelled, 2 expired."

    settings.TASKS = options(settings, keep_successful=None, keep_failed=None)

    assert prune().startswith("Nothing to delete: OPTIONS keep all jobs.")


def options(settings: Any, **options: Any) -> Any:
    return {"default": {**settings.TASKS["default"], "OPTIONS": options}}


def test_arguments_override_the_settings(rows):
    assert prune("--successful-days", "20") == "Deleted 1 jobs: 1 successful."
    assert prune("--failed-days", "5.5") == "Deleted 6 jobs: 2 failed, 2 cancelled, 2 expired."
    assert prune("--older-than", "0").startswith("Deleted 5 jobs")
    assert Job.objects.get().state == JobState.READY


def test_deletes_only_jobs_of_the_queue(rows):
    mail = finish(plain.enqueue(1), JobState.SUCCESSFUL, days_ago(10))

    assert prune("--queue", "mail") == "Deleted 1 jobs: 1 successful."
    assert not Job.objects.filter(pk=mail.pk).exists()
    assert len(remaining(rows)) == 12


def test_keeps_the_jobs_of_other_backends(rows):
    Job.objects.filter(pk=rows["failed-40"].pk).update(backend="other")

    prune("--older-than", "0")

    assert remaining(rows) == {"failed-40"}


def test_a_dry_run_deletes_nothing(rows):
    output = prune("--dry-run", "--older-than", "5")

    assert output == "Would delete 8 jobs: 2 successful, 2 failed, 2 cancelled, 2 expired."
    assert len(remaining(rows)) == 12


def test_deletes_the_attempts_too(rows):
    add_failed_attempt(rows["failed-40"])
    add_failed_attempt(rows["failed-1"])

    prune()

    assert Attempt.objects.get().job_id == rows["failed-1"].pk


def test_deletes_in_batches(monkeypatch):
    monkeypatch.setattr("offload.store.retention.MAX_ROWS_PER_STATEMENT", 3)
    ids = [result.id for result in add.enqueue_many([((n,), {}) for n in range(10)])]
    Job.objects.filter(pk__in=ids).update(state=JobState.FAILED, finished_at=days_ago(40))

    assert prune() == "Deleted 10 jobs: 10 failed."


@pytest.mark.django_db(transaction=True)
def test_other_transactions_can_write_between_batches(monkeypatch):
    monkeypatch.setattr("offload.store.retention.MAX_ROWS_PER_STATEMENT", 2)
    for _ in range(4):
        finish(add.enqueue(1), JobState.SUCCESSFUL, days_ago(40))
    written = []

    def write() -> None:
        written.append(add.enqueue(1).id)
        connection.close()

    def pause(seconds: float) -> None:
        assert seconds > 0
        with ThreadPoolExecutor() as pool:
            pool.submit(write).result()

    monkeypatch.setattr(offload_prune, "pause", pause)

    assert prune().startswith("Deleted 4 jobs")
    assert len(written) >= 2
    assert Job.objects.count() == len(written)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--older-than", "3", "--failed-days", "2"], "--older-than applies to all jobs"),
        (["--older-than", "-1"], "must be at least 0, not -1."),
        (["--older-than", "week"], "'week' is not a number."),
        (["--backend", "defualt"], "Did you mean 'default'?"),
        (["--database", "nowhere"], "--database: 'nowhere' is not in DATABASES"),
    ],
)
def test_explains_an_invalid_argument(args, message):
    with pytest.raises(CommandError, match=message.replace("?", r"\?")):
        prune(*args)


def test_old_jobs_are_found_by_an_index():
    old_jobs = get_store("default").finished_before(
        "default", JobState.FAILED, before=days_ago(1), queue_name="mail"
    )

    plans = explain_queries(old_jobs[:10].count)

    assert all("offload_job_finished" in plan for plan in plans)


@pytest.mark.parametrize(("queue", "hint"), [("nope", ""), ("mial", " Did you mean 'mail'?")])
def test_a_queue_that_nobody_knows_is_an_error(queue, hint):
    with pytest.raises(CommandError) as caught:
        call_command("offload_prune", "--queue", queue)

    assert str(caught.value).startswith(
        f"Nothing matched: no job of backend 'default' is in a queue '{queue}'.{hint}"
    )


def test_a_known_queue_without_old_jobs_is_no_error():
    Job.objects.filter(pk=add.enqueue(1).id).update(queue_name="old")

    for queue in ("mail", "old"):
        call_command("offload_prune", "--queue", queue, verbosity=0)
