"""`offload_jobs` on rows in the database."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from offload import acting_for, queues
from offload.lifecycle import JobState
from offload.live.documents import job_fields
from offload.management.commands.offload_jobs import Command
from offload.management.formatting import format_time
from offload.management.unfinished import describe_unfinished
from offload.models import Job
from offload.notifier import Hint, get_notifier
from offload.store.queries import JobFilter, count_unfinished, find_by_prefix, list_jobs
from offload.timestamps import to_iso
from offload.uuid7 import new_id
from tests import limited_tasks, unique_tasks
from tests.jobs import claim_limited
from tests.management.factories import (
    add_failed_attempt,
    finish,
    register_worker,
    start,
)
from tests.management.query_plans import explain_queries
from tests.schedules.factories import fire, make_due
from tests.settings.base import ROOT
from tests.tasks import aadd, add, fail, plain

pytestmark = pytest.mark.django_db


def run_command(*args: str) -> str:
    output = StringIO()
    call_command("offload_jobs", *args, stdout=output)
    return output.getvalue().strip()


def list_ids(*args: str) -> list[str]:
    return [document["id"] for document in json.loads(run_command("list", "--json", *args))]


def state_of(result: object) -> JobState:
    return JobState(Job.objects.get(pk=getattr(result, "id", None)).state)


@pytest.fixture
def hints(monkeypatch) -> list[Hint]:
    published: list[Hint] = []
    monkeypatch.setattr(
        type(get_notifier("default")), "notify", lambda _, hint: published.append(hint)
    )
    return published


@pytest.mark.parametrize("arguments", [["list", "--no-color"], ["--no-color", "list"]])
def test_common_options_are_accepted_before_and_after_the_action(arguments):
    parser = Command().create_parser("manage.py", "offload_jobs")

    assert parser.parse_args(arguments).no_color
    assert parser.parse_args([*arguments, "--settings", "mysite.settings"]).settings


# --- pauses ---------------------------------------------------------------------------------


def test_show_says_that_the_queue_of_a_waiting_job_is_paused():
    waiting, running = add.enqueue(1), start(add.enqueue(2))
    queues.pause("default", reason="bug 17", changed_by="ada")

    assert "paused:             the queue is paused by ada: bug 17" in run_command(
        "show", waiting.id
    )
    assert json.loads(run_command("show", waiting.id, "--json"))["pause"]["reason"] == "bug 17"
    assert json.loads(run_command("show", running.id, "--json"))["pause"] is None


# --- list -----------------------------------------------------------------------------------


def test_list_shows_the_newest_jobs_first():
    first, second = add.enqueue(1), plain.enqueue(2)

    output = run_command("list").splitlines()

    assert output[0].split() == ["ID", "STATE", "QUEUE", "ATTEMPTS", "SINCE", "TASK"]
    assert output[1].split()[:4] == [second.id[-8:], "ready", "mail", "0/1"]
    assert output[2].split()[0] == first.id[-8:]
    assert output[2].endswith("  tests.tasks.add")


def test_list_shows_jobs_of_a_state():
    waiting, later = add.enqueue(1), add.using(run_after=timedelta(hours=1)).enqueue(2)
    running, bad = add.enqueue(3), add.enqueue(4)
    start(running)
    finish(bad, JobState.FAILED)

    assert list_ids("--state", "ready") == [waiting.id]
    assert list_ids("--state", "scheduled") == [later.id]
    assert list_ids("--state", "running") == [running.id]
    assert list_ids("--state", "FAILED") == [bad.id]
    assert run_command("list", "--state", "expired") == "No matching jobs."


def test_list_shows_ready_jobs_in_the_order_in_which_they_run():
    first, second = add.enqueue(1), aadd.enqueue(2)
    urgent = plain.using(priority=9).enqueue(3)

    assert list_ids("--state", "ready") == [urgent.id, first.id, second.id]
    assert list_ids("--state", "ready", "--limit", "2") == [urgent.id, first.id]


def test_list_shows_jobs_of_a_queue_or_a_task():
    one, two, three = add.enqueue(1), plain.enqueue(2), aadd.enqueue(3)

    assert list_ids("--queue", "mail") == [two.id]
    assert list_ids("--task", "tests.tasks.add") == [one.id]
    assert list_ids("--task", "aadd") == [three.id]
    assert list_ids("--task", "add", "--queue", "mail", "--state", "ready") == []


def test_list_mentions_that_there_may_be_more():
    add.enqueue_many([((n,), {}) for n in range(3)])

    for limit, note in (("2", "There may be more: --limit is 2.\n"), ("4", "")):
        output, errors = StringIO(), StringIO()
        call_command("offload_jobs", "list", "--limit", limit, stdout=output, stderr=errors)
        assert "more" not in output.getvalue()
        assert errors.getvalue() == note


def test_list_shows_only_jobs_of_the_backend():
    Job.objects.filter(pk=add.enqueue(1).id).update(backend="other")

    assert run_command("list") == "No matching jobs."


@pytest.mark.parametrize("state", [None, "failed"])
def test_list_searches_only_the_newest_finished_jobs(monkeypatch, state):
    monkeypatch.setattr("offload.store.queries.WINDOW_SIZE", 2)
    ids = []
    for number, task in enumerate((plain, add, plain, add)):
        moment = timezone.now() - timedelta(minutes=10 - number)
        ids.append(str(finish(task.enqueue(1), JobState.FAILED, moment).pk))

    assert list_ids("--task", "plain", *(["--state", state] if state else [])) == [ids[2]]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--state", "faild"], "Unknown state 'faild'. Did you mean 'failed'?"),
        (["--queue", "mial"], "no queue 'mial' in TASKS['default']['QUEUES']. Did you mean 'mail'"),
        (["--task", "ad"], "no recent job of a task 'ad'. Did you mean 'add'?"),
        (["--task", "tests.task.add"], "Did you mean 'tests.tasks.add'?"),
        (["--limit", "0"], "must be at least 1, not 0."),
        (["--limit", "9" * 20], f"must be at most {2**31 - 1}, not {'9' * 20}."),
        (["--backend", "x"], "Choices are: default."),
    ],
)
def test_list_explains_an_invalid_argument(args, message):
    add.enqueue(1)

    with pytest.raises(CommandError) as caught:
        run_command("list", *args)

    assert message in str(caught.value)


def test_list_shows_jobs_of_a_queue_that_was_removed_from_the_settings():
    result = add.enqueue(1)
    Job.objects.filter(pk=result.id).update(queue_name="old")

    assert list_ids("--queue", "old") == [result.id]


# --- show -----------------------------------------------------------------------------------


def test_show_prints_a_job_with_its_failed_attempts():
    worker = register_worker()
    with acting_for(User(pk=7)):
        job = finish(fail.using(priority=3).enqueue("müsli"), JobState.FAILED)
    Job.objects.filter(pk=job.pk).update(worker=worker.pk)
    add_failed_attempt(Job.objects.get(pk=job.pk))

    output = run_command("show", str(job.pk))

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


def test_show_prints_a_job_as_json():
    with acting_for(User(pk=7), tenant="acme"):
        job = finish(fail.enqueue("no"), JobState.FAILED)
    add_failed_attempt(job)

    document = json.loads(run_command("show", str(job.pk), "--json"))

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


def test_text_of_a_task_is_shown_as_escapes():
    evil = "\x1b]0;owned\x07\r\x7f\x9b2J\u202e"
    job = finish(add.enqueue(evil, 1), JobState.FAILED)
    attempt = add_failed_attempt(job)
    attempt.message, attempt.exception_class_path = f"no\n{evil}", f"x.{evil}"
    attempt.traceback = f"Traceback\n  line\n{evil}\n"
    attempt.save()
    names = ("owner", "tenant", "request_id", "queue_name")
    columns = dict.fromkeys(names, evil[:14]) | {"return_value": json.dumps(evil)}
    Job.objects.filter(pk=job.pk).update(task_path=f"tests.{evil}", **columns)

    outputs = [run_command(*args) for args in (["list"], ["show", str(job.pk)])]
    outputs += [run_command(*args, "--json") for args in (["list"], ["show", str(job.pk)])]

    for output in outputs:
        assert not set(output) & set(evil[:1] + "\x07\r\x7f\x9b\u202e")
    assert r"\x1b]0;owned\x07\r" in outputs[0]
    assert "Traceback\n  line\n\\x1b" in outputs[1]
    assert json.loads(outputs[2])[0]["tenant"] == evil[:14]


@pytest.mark.parametrize(("use_tz", "zone"), [(True, "Asia/Tokyo"), (False, "America/New_York")])
def test_times_name_their_zone(settings, use_tz, zone):
    settings.TIME_ZONE, settings.USE_TZ = zone, use_tz
    result = add.enqueue(1)
    expected = {"Asia/Tokyo": " JST", "America/New_York": " E"}[zone]

    enqueued = re.search(r"enqueued_at: +(.*)", run_command("show", result.id))

    assert enqueued is not None
    assert enqueued[1][19:].startswith(expected)
    now = datetime.now(ZoneInfo(zone))
    assert abs(datetime.fromisoformat(enqueued[1][:19]) - now.replace(tzinfo=None)).seconds < 60
    assert expected in run_command("list")


def test_the_json_of_a_job_extends_that_of_its_page():
    job = finish(add.enqueue(1), JobState.SUCCESSFUL)

    (document,) = json.loads(run_command("list", "--json"))

    page = job_fields(job)
    assert {name: document[name] for name in page} == page
    assert document["finished_at"].endswith("Z")
    assert document.keys() - page.keys() == {
        "args", "kwargs", "return_value", "backend", "priority", "timeout", "worker",
        "worker_losses", "last_attempted_at", "cancel_requested_at", "owner", "tenant",
        "request_id", "parent", "limit_key", "workflow", "waiting_on", "awaited",
        "unique_key", "schedule", "scheduled_for",
    }  # fmt: skip


def test_an_id_may_be_shortened_to_its_last_or_first_digits():
    first, second = add.enqueue(1), add.enqueue(2)

    for digits in (first.id[:-3].upper(), *(first.id.replace("-", "")[-n:] for n in range(8, 33))):
        assert f"id:                 {first.id}" in run_command("show", digits)
    listed = run_command("list").splitlines()[-1].split()[0]
    assert f"id:                 {first.id}" in run_command("show", listed)
    with pytest.raises(CommandError, match="Several ids start or end with") as caught:
        run_command("show", first.id[:8])
    assert second.id in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("send_report", "'send_report' is not a job id"),
        ("0193", "'0193' is too short"),
        (str(UUID(int=1)), "There is no job 00000000-0000-0000-0000-000000000001."),
    ],
)
def test_show_explains_an_invalid_id(text, message):
    with pytest.raises(CommandError) as caught:
        run_command("show", text)

    assert message in str(caught.value)


# --- retry ----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_retry_runs_jobs_again_by_id(hints):
    failed, cancelled = add.enqueue(1), add.enqueue(2)
    finish(failed, JobState.FAILED)
    finish(cancelled, JobState.CANCELLED)
    hints.clear()

    assert run_command("retry", failed.id, cancelled.id) == "2 retried."

    assert state_of(failed) == state_of(cancelled) == JobState.READY
    assert hints == [Hint.WORK, Hint.CHANGED]


def test_retry_reports_the_jobs_that_cannot_be_retried():
    failed, good = add.enqueue(1), add.enqueue(2)
    finish(failed, JobState.FAILED)
    finish(good, JobState.SUCCESSFUL)

    with pytest.raises(CommandError) as caught:
        run_command("retry", failed.id, good.id)

    assert str(caught.value) == f"The job {good.id} is successful; it cannot be retried."
    assert state_of(failed) == JobState.READY


def test_retry_with_filters_asks_for_confirmation(monkeypatch):
    failed, other, cancelled = add.enqueue(1), plain.enqueue(2), add.enqueue(3)
    finish(failed, JobState.FAILED)
    finish(other, JobState.FAILED)
    finish(cancelled, JobState.CANCELLED)
    questions = []

    def answer(question: str) -> str:
        questions.append(question)
        return "y"

    monkeypatch.setattr("builtins.input", answer)

    assert run_command("retry", "--task", "add") == "1 retried."
    assert questions == ["Retry 1 failed job? [y/N] "]
    assert state_of(failed) == JobState.READY
    assert state_of(other) == JobState.FAILED
    assert state_of(cancelled) == JobState.CANCELLED


def test_retry_changes_nothing_without_confirmation(monkeypatch):
    failed = add.enqueue(1)
    finish(failed, JobState.FAILED)
    monkeypatch.setattr("builtins.input", lambda _: "")

    assert run_command("retry", "--state", "failed") == "No jobs were changed."
    assert state_of(failed) == JobState.FAILED


def test_retry_needs_a_terminal_for_the_confirmation(monkeypatch):
    def no_terminal(_: str) -> str:
        raise EOFError

    finish(add.enqueue(1), JobState.FAILED)
    monkeypatch.setattr("builtins.input", no_terminal)

    with pytest.raises(CommandError, match="--yes"):
        run_command("retry", "--state", "failed")


def run_in_shell(environment: dict[str, str], command: str, **options: Any) -> Any:
    command = command.replace("manage", f"{sys.executable} -m django")
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],  # wherever it is
        env={**environment, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.mark.django_db(transaction=True)
def test_commands_in_a_shell_end_without_tracebacks(process_environment):
    finish(add.enqueue(1), JobState.FAILED)

    prompt = run_in_shell(
        process_environment, "manage offload_jobs retry --state failed", stdin=subprocess.DEVNULL
    )
    piped = run_in_shell(process_environment, "manage offload_jobs list | true")

    assert prompt.returncode == 1
    assert prompt.stdout == "Retry 1 failed job? [y/N] \n"
    assert prompt.stderr.startswith("CommandError: The confirmation prompt needs a terminal.")
    assert "Traceback" not in piped.stderr + prompt.stderr
    assert "Exception" not in piped.stderr
    assert piped.returncode == 141


def test_ctrl_c_at_the_prompt_changes_nothing_and_shows_no_traceback(monkeypatch):
    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    failed = add.enqueue(1)
    finish(failed, JobState.FAILED)
    monkeypatch.setattr("builtins.input", interrupt)
    errors = StringIO()

    with pytest.raises(SystemExit) as caught:
        call_command("offload_jobs", "retry", "--state", "failed", stderr=errors)

    assert caught.value.code == 130
    assert errors.getvalue() == "\nInterrupted.\n"
    assert state_of(failed) == JobState.FAILED


def test_retry_changes_many_jobs_in_batches(monkeypatch):
    monkeypatch.setattr("offload.management.commands.offload_jobs.BATCH_SIZE", 2)
    for result in add.enqueue_many([((n,), {}) for n in range(5)]):
        finish(result, JobState.FAILED)

    assert run_command("retry", "--state", "failed", "--yes", "--limit", "3") == "3 retried."
    assert Job.objects.filter(state=JobState.FAILED).count() == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "No jobs selected."),
        (["00000000", "--state", "failed"], "Pass either ids or filters (--state), not both."),
        (
            ["--state", "successful"],
            "A successful job cannot be retried. Possible states: failed, can",
        ),
        (["--state", "ready"], "A ready job cannot be retried"),
    ],
)
def test_retry_explains_an_invalid_selection(args, message):
    with pytest.raises(CommandError) as caught:
        run_command("retry", *args)

    assert message in str(caught.value)


# --- cancel ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_cancel_cancels_waiting_jobs_and_requests_it_for_running_ones(hints):
    waiting, later = add.enqueue(1), add.using(run_after=timedelta(hours=1)).enqueue(2)
    running, done = add.enqueue(3), add.enqueue(4)
    start(running)
    finish(done, JobState.SUCCESSFUL)
    hints.clear()

    output = run_command("cancel", "--task", "add", "--yes")

    assert output == "2 cancelled, cancel requested for 1 running."
    assert state_of(waiting) == state_of(later) == JobState.CANCELLED
    assert Job.objects.get(pk=running.id).cancel_requested_at is not None
    assert state_of(done) == JobState.SUCCESSFUL
    assert sorted(hints) == [Hint.CHANGED, Hint.CONTROL]
    assert "running, cancel requested at" in run_command("show", running.id)


def test_cancel_selects_jobs_by_state():
    waiting, later = add.enqueue(1), add.using(run_after=timedelta(hours=1)).enqueue(2)

    assert run_command("cancel", "--state", "scheduled", "--yes") == "1 cancelled."
    assert (state_of(waiting), state_of(later)) == (JobState.READY, JobState.CANCELLED)


def test_cancel_reports_the_jobs_that_cannot_be_cancelled():
    result = add.enqueue(1)
    finish(result, JobState.EXPIRED)

    with pytest.raises(CommandError, match="is expired; it cannot be cancelled"):
        run_command("cancel", result.id)


# --- limits ---------------------------------------------------------------------------------


def test_limited_jobs_are_listed_line_by_line():
    plain.enqueue(1)
    jobs = {
        name: limited_tasks.call_api.using(priority=priority).enqueue(name[0])
        for name, priority in [("b1", 0), ("a2", 0), ("a1", 5), ("b2", 0), ("a3", 0)]
    }

    assert list_ids("--state", "limited") == [jobs[name].id for name in sorted(jobs)]
    assert list_ids("--state", "limited", "--task", "call_api", "--limit", "1") == [jobs["a1"].id]
    assert "limited" in run_command("list", "--state", "limited")


def test_the_details_of_a_job_have_its_schedule_and_tick():
    tick = make_due()
    fire()
    job = Job.objects.get()

    text = run_command("show", str(job.pk))

    assert re.search("^schedule: +nightly$", text, re.MULTILINE)
    assert re.search(f"^scheduled for: +{timezone.localtime(tick):%Y-%m-%d %H:%M}", text, re.M)
    document = json.loads(run_command("show", "--json", str(job.pk)))
    assert (document["schedule"], document["scheduled_for"]) == ("nightly", to_iso(tick))


def test_the_details_of_a_job_have_its_limit():
    worker = register_worker()
    results = limited_tasks.with_total.enqueue_many([((customer,), {}) for customer in "aaabbbc"])
    name = "tests.limited_tasks.with_total"

    def limit_of(result: Any) -> str:
        return re.search("^limit: +(.*)$", run_command("show", result.id), re.MULTILINE)[1]

    assert limit_of(results[0]) == f"{name}, key 'a'"  # no worker has looked at it
    claimed = claim_limited(worker.pk.hex)
    assert len(claimed) == 5
    assert limit_of(results[2]) == f"{name}, key 'a'; 2 of 2 running; 5 of 5 running of all keys"
    document = json.loads(run_command("show", "--json", results[2].id))
    assert (document["state"], document["limit_key"]) == ("limited", f"{name}:a")
    results[2].cancel()
    assert limit_of(results[2]) == f"{name}, key 'a'"


def test_the_details_of_a_job_have_the_next_start_of_its_rate():
    worker = register_worker()
    results = limited_tasks.rated.enqueue_many([((), {})] * 4)
    claim_limited(worker.pk.hex)

    details = run_command("show", results[3].id)

    assert re.search(r"limit: +tests\.limited_tasks\.rated; next start at \d{4}-", details)


def test_what_a_drain_leaves_has_the_limited_jobs():
    limited_tasks.single.enqueue_many([((), {})] * 3)
    plain.enqueue(1)

    plans = explain_queries(lambda: count_unfinished("default", "default"))

    assert count_unfinished("default", "default")[JobState.LIMITED] == {"default": 3}
    assert "  3 limited: waiting for a turn" in describe_unfinished("default", "default")
    assert sum("offload_job_limited" in plan for plan in plans) == 1


# --- queries --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "index"),
    [
        (None, ("offload_job_pkey", "PRIMARY", "autoindex_offload_job_1")),
        (JobState.SCHEDULED, ("offload_job_scheduled",)),
        (JobState.READY, ("offload_job_ready",)),
        (JobState.LIMITED, ("offload_job_limited",)),
        (JobState.RUNNING, ("offload_job_running",)),
        (JobState.FAILED, ("offload_job_finished",)),
    ],
)
@pytest.mark.parametrize("narrow", [{}, {"queue_name": "mail", "task": "add"}])
def test_jobs_are_found_by_an_index(state, index, narrow):
    plain.enqueue(1)
    job_filter = JobFilter(backend="default", state=state, **narrow)

    plans = explain_queries(lambda: list_jobs("default", job_filter, limit=20))

    assert plans
    assert all(any(name in plan for name in index) for plan in plans), plans


def test_a_shortened_id_is_found_by_the_primary_key():
    (plan,) = explain_queries(lambda: find_by_prefix("default", new_id().hex[:10]))

    assert any(name in plan for name in ("offload_job_pkey", "PRIMARY", "autoindex_offload_job_1"))


# --- unique jobs ----------------------------------------------------------------------------


def test_the_details_of_a_job_name_the_key_that_it_holds() -> None:
    def key_of(result: Any) -> str | None:
        match = re.search("^unique key: +(.*)$", run_command("show", result.id), re.MULTILINE)
        return match and match[1]

    path = "tests.unique_tasks"
    result = unique_tasks.import_shop.enqueue("a")
    assert key_of(result) == f"{path}.import_shop:a until it has finished"
    assert json.loads(run_command("show", "--json", result.id))["unique_key"] == (
        f"{path}.import_shop:a"
    )
    started = unique_tasks.until_started.enqueue("a")
    assert key_of(started) == f"{path}.until_started:a until it is started"
    throttled = unique_tasks.throttled.enqueue(1)
    within = format_time(Job.objects.get(pk=throttled.id).unique_within)
    assert key_of(throttled) == f"{path}.throttled:1 until it is started, and {within}"
    throttled.cancel()
    assert key_of(throttled) == f"{path}.throttled:1 until {within}"
    result.cancel()
    assert key_of(result) is None


def test_retry_reports_the_jobs_whose_keys_others_hold() -> None:
    first, other = unique_tasks.import_shop.enqueue("a"), unique_tasks.import_shop.enqueue("b")
    first.cancel()
    other.cancel()
    second = unique_tasks.import_shop.enqueue("a")

    with pytest.raises(CommandError) as caught:
        run_command("retry", first.id, other.id)

    assert str(caught.value) == (
        f"The job {first.id} cannot be retried: the job {second.id}, which is ready, holds its key "
        "'tests.unique_tasks.import_shop:a'."
    )
    assert (state_of(first), state_of(other)) == (JobState.CANCELLED, JobState.READY)
