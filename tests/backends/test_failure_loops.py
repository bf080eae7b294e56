"""What is enqueued because a job failed may fail, too, but not without end."""

import queue
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import pytest
from django.tasks.signals import task_finished

from offload import exceptions
from offload.models import Job
from offload.store.losses import lost_outcome
from offload.testing import run_jobs
from offload.worker.execution.announcements import announce_finished
from tests.failing_tasks import fail, fail_as_well, fail_async, fan_out, log_an_error, succeed
from tests.failure_reports import (
    Enqueues,
    EnqueuesInThread,
    handling,
    on_failure,
    receiving,
    run_all,
)
from tests.jobs import claim, register_worker

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("task", [fail, fail_async])
def test_a_receiver_that_enqueues_a_job_which_fails_is_not_heard_again(task):
    task.enqueue("first")

    with receiving(task_finished, on_failure(fail_as_well)):
        counts = run_all()

    assert counts == {task.name: 1, "fail_as_well": 1}


def test_tasks_that_report_each_other_end_too():
    fail.enqueue("first")

    with receiving(task_finished, on_failure(fail, fail_as_well)):
        counts = run_all()

    assert counts.total() <= 10


def test_the_failure_of_a_job_that_a_report_enqueued_counts_as_the_report_s():
    fail.enqueue("first")

    with receiving(task_finished, on_failure(fan_out)):
        counts = run_all()

    assert counts["fan_out"] <= 3


@pytest.mark.parametrize("logger", ["django.tasks", "django", ""])
def test_a_log_handler_that_enqueues_a_job_which_fails_is_not_heard_again(logger):
    fail.enqueue("first")

    with handling(Enqueues(fail_as_well), logger):
        counts = run_all()

    assert counts == {"fail": 1, "fail_as_well": 1}


def test_a_log_handler_whose_job_logs_an_error_is_not_heard_again():
    log_an_error.enqueue("first")

    with handling(Enqueues(log_an_error), "tests.failing_tasks"):
        counts = run_all()

    assert counts["log_an_error"] <= 2


@pytest.mark.django_db(transaction=True)
def test_a_log_handler_in_another_thread_is_not_heard_again():
    records: queue.Queue[Any] = queue.Queue()
    listener = QueueListener(records, EnqueuesInThread(fail_as_well))
    fail.enqueue("first")

    with handling(QueueHandler(records), "django.tasks"):
        for _ in range(4):
            run_jobs(limit=3)
            listener.start()
            listener.stop()  # after it has handled all records

    assert Job.objects.filter(task_path__endswith="fail_as_well").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_receiver_of_lost_jobs_is_not_heard_again():
    fail.enqueue("first")
    with receiving(task_finished, on_failure(fail_as_well)):
        for expected in (1, 0):
            (job,) = claim(register_worker())
            job = job._replace(max_worker_losses=0)
            announce_finished([(job, lost_outcome(job, "killed"))])

            assert len(Job.objects.filter(state=2)) == expected


def test_the_error_says_which_job_reported_what(caplog):
    fail.enqueue("first")
    errors = []

    def receiver(task_result: Any, **_: Any) -> None:
        try:
            fail_as_well.enqueue()
        except exceptions.FailureLoop as error:
            errors.append(str(error))

    with receiving(task_finished, receiver):
        run_all()

    report = Job.objects.get(task_path__endswith="fail_as_well")
    (message,) = errors
    assert str(report.pk) in message
    assert "tests.failing_tasks.fail_as_well" in message


def test_what_a_receiver_enqueues_after_success_starts_anew():
    succeed.enqueue()
    runs = []

    def receiver(**_: Any) -> None:
        if len(runs) < 10:
            runs.append(succeed.enqueue())

    with receiving(task_finished, receiver):
        run_all()

    assert len(runs) == 10


def test_a_failed_job_may_be_compensated_and_the_compensation_reported():
    fail.enqueue()

    def receiver(task_result: Any, **_: Any) -> None:
        if task_result.task.name == "fail":
            fail_as_well.enqueue()
        if task_result.task.name == "fail_as_well":
            succeed.enqueue()

    with receiving(task_finished, receiver):
        counts = run_all()

    assert counts == {"fail": 1, "fail_as_well": 1, "succeed": 1}
