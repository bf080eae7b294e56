"""`offload_jobs` on real rows."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from offload import acting_for
from offload.lifecycle import JobState
from offload.models import Job
from offload.notifier import Hint, get_notifier
from offload.store.queries import JobFilter, find_by_prefix, find_jobs
from offload.uuid7 import new_id
from tests.management.rows import end, fail_once, plans_of, register, run
from tests.tasks import aadd, add, fail, plain

pytestmark = pytest.mark.django_db


def jobs(*args: str) -> str:
    output = StringIO()
    call_command("offload_jobs", *args, stdout=output)
    return output.getvalue().strip()


def listed(*args: str) -> list[str]:
    return [document["id"] for document in json.loads(jobs("list", "--json", *args))]


def state_of(result: object) -> JobState:
    return JobState(Job.objects.get(pk=getattr(result, "id", None)).state)


@pytest.fixture
def rings(monkeypatch) -> list[Hint]:
    heard: list[Hint] = []
    monkeypatch.setattr(type(get_notifier("default")), "notify", lambda _, hint: heard.append(hint))
    return heard


# --- list -----------------------------------------------------------------------------------


def test_lists_the_newest_jobs_first():
    first, second = add.enqueue(1), plain.enqueue(2)

    output = jobs("list").splitlines()

    assert output[0].split() == ["ID", "STATE", "QUEUE", "ATTEMPTS", "SINCE", "TASK"]
    assert output[1].split()[:4] == [second.id, "ready", "mail", "0/1"]
    assert output[2].split()[0] == first.id
    assert output[2].endswith("  tests.tasks.add")


def test_lists_jobs_of_a_state():
    waiting, later = add.enqueue(1), add.using(run_after=timedelta(hours=1)).enqueue(2)
    running, bad = add.enqueue(3), add.enqueue(4)
    run(running)
    end(bad, JobState.FAILED)

    assert listed("--state", "ready") == [waiting.id]
    assert listed("--state", "scheduled") == [later.id]
    assert listed("--state", "running") == [running.id]
    assert listed("--state", "FAILED") == [bad.id]
    assert jobs("list", "--state", "expired") == "No such jobs."


def test_lists_ready_jobs_in_the_order_in_which_they_run():
    first, second = add.enqueue(1), aadd.enqueue(2)
    urgent = plain.using(priority=9).enqueue(3)

    assert listed("--state", "ready") == [urgent.id, first.id, second.id]
    assert listed("--state", "ready", "--limit", "2") == [urgent.id, first.id]


def test_lists_jobs_of_a_queue_or_a_task():
    one, two, three = add.enqueue(1), plain.enqueue(2), aadd.enqueue(3)

    assert listed("--queue", "mail") == [two.id]
    assert listed("--task", "tests.tasks.add") == [one.id]
    assert listed("--task", "aadd") == [three.id]
    assert listed("--task", "add", "--queue", "mail", "--state", "ready") == []


def test_says_that_there_may_be_more():
    add.enqueue_many([((n,), {}) for n in range(3)])

    assert jobs("list", "--limit", "2").endswith("There may be more: --limit is 2.")
    assert "more" not in jobs("list", "--limit", "4")


def test_lists_only_jobs_of_the_backend():
    Job.objects.filter(pk=add.enqueue(1).id).update(backend="other")

    assert jobs("list") == "No such jobs."


@pytest.mark.parametrize("state", [None, "failed"])
def test_looks_through_the_newest_finished_jobs_only(monkeypatch, state):
    monkeypatch.setattr("offload.store.queries.WINDOW", 2)
    ids = []
    for number, task in enumerate((plain, add, plain, add)):
        moment = timezone.now() - timedelta(minutes=10 - number)
        ids.append(str(end(task.enqueue(1), JobState.FAILED, moment).pk))

    assert listed("--task", "plain", *(["--state", state] if state else [])) == [ids[2]]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--state", "faild"], "Unknown state 'faild'. Did you mean 'failed'?"),
        (["--queue", "mial"], "no queue 'mial' in TASKS['default']['QUEUES']. Did you mean 'mail'"),
        (["--task", "ad"], "none of a task 'ad'. Did you mean 'add'?"),
        (["--task", "tests.task.add"], "Did you mean 'tests.tasks.add'?"),
        (["--limit", "0"], "must be at least 1, not 0."),
        (["--backend", "x"], "Known are: default."),
    ],
)
def test_list_says_what_is_wrong(args, message):
    add.enqueue(1)

    with pytest.raises(CommandError) as caught:
        jobs("list", *args)

    assert message in str(caught.value)


def test_a_queue_that_the_settings_no_longer_have_can_be_listed():
    result = add.enqueue(1)
    Job.objects.filter(pk=result.id).update(queue_name="old")

    assert listed("--queue", "old") == [result.id]


# --- show -----------------------------------------------------------------------------------


def test_shows_a_job_with_its_failed_attempts():
    worker = register()
    with acting_for(User(pk=7)):
        job = end(fail.using(priority=3).enqueue("müsli"), JobState.FAILED)
    Job.objects.filter(pk=job.pk).update(worker=worker.pk)
    fail_once(Job.objects.get(pk=job.pk))

    output = jobs("show", str(job.pk))

    for part in (
        f"id:                 {job.pk}\n",
        "task:               tests.tasks.fail\n",
        "state:              failed\n",
        "queue:              default (backend 'default', priority 3)\n",
        'args:               ["müsli"]\n',
        "attempts:           1 of 1\n",
        f"worker:             {worker.pk} (worker-1:42)\n",
        "Attempt 1 did not succeed",
        "exception:          builtins.ValueError: no such customer\n",
        "Traceback (most recent call last):\n",
        "owner:              user:7\n",
    ):
        assert part in output + "\n"


def test_shows_a_job_as_json():
    with acting_for(User(pk=7), tenant="acme"):
        job = end(fail.enqueue("no"), JobState.FAILED)
    fail_once(job)

    document = json.loads(jobs("show", str(job.pk), "--json"))

    assert (document["id"], document["state"]) == (str(job.pk), "failed")
    assert (document["args"], document["kwargs"]) == (["no"], {})
    assert document["attempts"][0]["exception"] == "builtins.ValueError"
    assert document["finished_at"].startswith("20")
    assert [document[name] for name in ("owner", "tenant", "request_id", "parent")] == [
        "user:7",
        "acme",
        "",
        None,
    ]


def test_an_id_may_be_given_by_its_first_digits():
    first, second = add.enqueue(1), add.enqueue(2)

    assert f"id:                 {first.id}" in jobs("show", first.id[:-3].upper())
    with pytest.raises(CommandError, match="Several ids begin with") as caught:
        jobs("show", first.id[:8])
    assert second.id in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("send_report", "'send_report' is not the id of a job"),
        ("0193", "'0193' is too short"),
        (str(UUID(int=1)), "There is no job 00000000-0000-0000-0000-000000000001."),
    ],
)
def test_show_says_what_is_wrong(text, message):
    with pytest.raises(CommandError) as caught:
        jobs("show", text)

    assert message in str(caught.value)


# --- retry ----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_retries_jobs_by_id(rings):
    failed, cancelled = add.enqueue(1), add.enqueue(2)
    end(failed, JobState.FAILED)
    end(cancelled, JobState.CANCELLED)
    rings.clear()

    assert jobs("retry", failed.id, cancelled.id) == "2 to run again."

    assert state_of(failed) == state_of(cancelled) == JobState.READY
    assert rings == [Hint.WORK, Hint.CHANGED]


def test_says_which_jobs_could_not_be_retried():
    failed, good = add.enqueue(1), add.enqueue(2)
    end(failed, JobState.FAILED)
    end(good, JobState.SUCCESSFUL)

    with pytest.raises(CommandError) as caught:
        jobs("retry", failed.id, good.id)

    assert str(caught.value) == f"The job {good.id} is successful; it cannot be retried."
    assert state_of(failed) == JobState.READY


def test_retries_failed_jobs_of_a_task_after_a_question(monkeypatch):
    failed, other, cancelled = add.enqueue(1), plain.enqueue(2), add.enqueue(3)
    end(failed, JobState.FAILED)
    end(other, JobState.FAILED)
    end(cancelled, JobState.CANCELLED)
    asked = []

    def answer(question: str) -> str:
        asked.append(question)
        return "y"

    monkeypatch.setattr("builtins.input", answer)

    assert jobs("retry", "--task", "add") == "1 to run again."
    assert asked == ["Retry 1 failed job? [y/N] "]
    assert state_of(failed) == JobState.READY
    assert state_of(other) == JobState.FAILED
    assert state_of(cancelled) == JobState.CANCELLED


def test_changes_nothing_without_a_yes(monkeypatch):
    failed = add.enqueue(1)
    end(failed, JobState.FAILED)
    monkeypatch.setattr("builtins.input", lambda _: "")

    assert jobs("retry", "--state", "failed") == "Nothing was changed."
    assert state_of(failed) == JobState.FAILED


def test_does_not_wait_for_an_answer_that_cannot_come(monkeypatch):
    def nobody(_: str) -> str:
        raise EOFError

    end(add.enqueue(1), JobState.FAILED)
    monkeypatch.setattr("builtins.input", nobody)

    with pytest.raises(CommandError, match="--yes"):
        jobs("retry", "--state", "failed")


def test_retries_many_unasked(monkeypatch):
    monkeypatch.setattr("offload.management.commands.offload_jobs.AT_ONCE", 2)
    for result in add.enqueue_many([((n,), {}) for n in range(5)]):
        end(result, JobState.FAILED)

    assert jobs("retry", "--state", "failed", "--yes", "--limit", "3") == "3 to run again."
    assert Job.objects.filter(state=JobState.FAILED).count() == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Which jobs?"),
        (["00000000", "--state", "failed"], "Give ids or filters (--state), not both."),
        (["--state", "successful"], "No successful job can be retried; possible are: failed, can"),
        (["--state", "ready"], "No ready job can be retried"),
    ],
)
def test_retry_says_what_is_wrong(args, message):
    with pytest.raises(CommandError) as caught:
        jobs("retry", *args)

    assert message in str(caught.value)


# --- cancel ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_cancels_jobs_that_wait_and_asks_running_ones_to_stop(rings):
    waiting, later = add.enqueue(1), add.using(run_after=timedelta(hours=1)).enqueue(2)
    running, done = add.enqueue(3), add.enqueue(4)
    run(running)
    end(done, JobState.SUCCESSFUL)
    rings.clear()

    output = jobs("cancel", "--task", "add", "--yes")

    assert output == "2 cancelled, 1 running asked to stop."
    assert state_of(waiting) == state_of(later) == JobState.CANCELLED
    assert Job.objects.get(pk=running.id).cancel_requested_at is not None
    assert state_of(done) == JobState.SUCCESSFUL
    assert sorted(rings) == [Hint.CHANGED, Hint.CONTROL]
    assert "running, asked to stop at" in jobs("show", running.id)


def test_cancels_jobs_of_one_state():
    waiting, later = add.enqueue(1), add.using(run_after=timedelta(hours=1)).enqueue(2)

    assert jobs("cancel", "--state", "scheduled", "--yes") == "1 cancelled."
    assert (state_of(waiting), state_of(later)) == (JobState.READY, JobState.CANCELLED)


def test_says_which_jobs_could_not_be_cancelled():
    result = add.enqueue(1)
    end(result, JobState.EXPIRED)

    with pytest.raises(CommandError, match="is expired; it cannot be cancelled"):
        jobs("cancel", result.id)


# --- queries --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "index"),
    [
        (None, ("offload_job_pkey", "PRIMARY", "autoindex_offload_job_1")),
        (JobState.SCHEDULED, ("offload_job_scheduled",)),
        (JobState.READY, ("offload_job_ready",)),
        (JobState.RUNNING, ("offload_job_running",)),
        (JobState.FAILED, ("offload_job_finished",)),
    ],
)
@pytest.mark.parametrize("narrow", [{}, {"queue_name": "mail", "task": "add"}])
def test_finds_jobs_by_an_index(state, index, narrow):
    plain.enqueue(1)
    wanted = JobFilter(backend="default", state=state, **narrow)

    plans = plans_of(lambda: find_jobs("default", wanted, limit=20))

    assert plans
    assert all(any(name in plan for name in index) for plan in plans), plans


def test_finds_the_beginning_of_an_id_by_the_primary_key():
    (plan,) = plans_of(lambda: find_by_prefix("default", new_id().hex[:10]))

    assert any(name in plan for name in ("offload_job_pkey", "PRIMARY", "autoindex_offload_job_1"))
