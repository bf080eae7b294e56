"""`offload_enqueue`, as cron calls it."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from offload.lifecycle import JobState
from offload.models import Job
from tests.jobs import register_worker
from tests.worker.conftest import StartWorker

pytestmark = pytest.mark.django_db


def enqueue(*args: str) -> Job:
    output = StringIO()
    call_command("offload_enqueue", *args, stdout=output)
    return Job.objects.get(pk=output.getvalue().strip())


def test_a_job_is_enqueued_and_its_id_printed():
    job = enqueue("tests.tasks.add", "--args", "[1]", "--kwargs", '{"b": 2}')

    assert (job.task_path, job.state) == ("tests.tasks.add", JobState.READY)
    assert json.loads(job.arguments) == [[1], {"b": 2}]


def test_options_replace_those_of_the_task():
    job = enqueue("tests.tasks.plain", "--args", "[1]", "--queue", "slow", "--priority", "-5")

    assert (job.queue_name, job.priority) == ("slow", -5)


@pytest.mark.parametrize("text", ["3600", "{:%Y-%m-%dT%H:%M:%S}", "{:%Y-%m-%d %H:%M:%S%z}"])
def test_a_job_can_be_enqueued_for_later(text):
    due = timezone.localtime() + timedelta(hours=1)

    job = enqueue("tests.tasks.add", "--args", "[1]", "--run-after", text.format(due))

    assert job.state == JobState.SCHEDULED
    assert abs(job.run_after - due) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tests.tasks.ad"], "There is no task 'tests.tasks.ad'. Did you mean 'add'?"),
        (["add"], "There is no task 'add'. Pass its whole path"),
        (["tests.nope.add"], "The module 'tests.nope' does not exist"),
        (["tests.jobs.claim"], "The module 'tests.jobs' does not exist, or has no tasks."),
        (
            ["tests.tasks.add"],
            "Wrong arguments: tests.tasks.add() missing 1 required positional argument: 'a'. "
            "It is add(a: 'int', b: 'int' = 0) -> 'int'; pass its arguments with --args '[...]' or",
        ),
        (["tests.tasks.add", "--args", "[1, 2, 3]"], "from 1 to 2 positional arguments but 3 were"),
        (["tests.tasks.add", "--kwargs", '{"c": 1}'], "unexpected keyword argument 'c'"),
        (["tests.tasks.add", "--args", "1, 2"], "'1, 2' is not JSON: "),
        (["tests.tasks.add", "--args", "1"], "must be a JSON list, such as [1], not '1'."),
        (["tests.tasks.add", "--kwargs", "[]"], "must be a JSON object"),
        (["tests.tasks.add", "--args", "[NaN]"], "nan, which JSON"),
        (["tests.tasks.add", "--args", "[1]", "--queue", "mial"], "Did you mean 'mail'?"),
        (["tests.tasks.add", "--args", "[1]", "--priority", "101"], "between -100 and 100"),
        (["tests.tasks.add", "--args", "[1]", "--backend", "x"], "Choices are: default."),
        (["tests.tasks.add", "--args", "[1]", "--run-after", "soon"], "'soon' is no time"),
        (["tests.tasks.add", "--args", "[1]", "--run-after", "2026-13-01T00:00"], "month must be"),
        (["tests.tasks.add", "--args", "[1]", "--run-after", "1e18"], "too long"),
        (["tests.worker.unimportable.x"], "cannot be imported: "),
    ],
)
def test_a_mistake_is_explained_and_nothing_is_enqueued(args, message):
    with pytest.raises(CommandError) as caught:
        call_command("offload_enqueue", *args)

    assert message in str(caught.value)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["tests.tasks.add", "--args", "[1]"], None),
        (["tests.tasks.fail", "--args", '["no"]'], "is failed (builtins.ValueError). Details: "),
    ],
)
def test_wait_exits_with_the_outcome(start_worker: StartWorker, args: Any, error: Any):
    start_worker(0)

    if error is None:
        assert enqueue(*args, "--wait", "20").state == JobState.SUCCESSFUL
        return
    with pytest.raises(CommandError, match=error.replace("(", r"\(").replace(")", r"\)")):
        enqueue(*args, "--wait", "20")


@pytest.mark.django_db(transaction=True)
def test_wait_ends_with_an_error_when_its_time_is_over():
    with pytest.raises(CommandError, match=r"had not finished after 0\.1 s"):
        enqueue("tests.tasks.add", "--args", "[1]", "--wait", "0.1")


@pytest.mark.django_db(transaction=True)
def test_the_error_says_that_a_limited_job_waits_for_its_turn():
    register_worker()

    with pytest.raises(CommandError, match=r"It waits for its turn: .* offload_jobs show [0-9a-f]"):
        enqueue("tests.limited_tasks.single", "--wait", "0.1")


def test_a_call_that_makes_no_job_is_reported() -> None:
    errors = StringIO()
    first = enqueue("tests.unique_tasks.import_shop", "--args", '["a"]')
    output = StringIO()
    call_command(
        "offload_enqueue",
        *("tests.unique_tasks.import_shop", "--args", '["a"]'),
        stdout=output,
        stderr=errors,
    )

    assert output.getvalue().strip() == str(first.pk)
    assert errors.getvalue() == "No job was made: this one holds the key of the call.\n"
