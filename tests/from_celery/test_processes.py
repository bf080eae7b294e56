"""Runs of the command that are killed, and workers of Celery's that hold messages."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError

from offload.lifecycle import JobState
from offload.models import Job
from tests.crash.processes import Process
from tests.from_celery.brokers import FilledBroker
from tests.from_celery.conftest import Run
from tests.from_celery.test_messages import left, messages
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

SETTINGS = """
from tests.settings import *

{settings}
TASKS["default"]["QUEUES"].append(CELERY_TASK_DEFAULT_QUEUE)
"""

type Start = Callable[..., Process]


@pytest.fixture
def start(process_environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """A function that starts a process of Python, with environment variables."""
    started = []

    def start_process(*arguments: str, **variables: str) -> Process:
        log = tmp_path / f"{len(started)}.log"
        environment = {**process_environment, **variables}
        started.append(Process(list(arguments), environment, log))
        return started[-1]

    yield start_process
    for process in started:
        process.kill()


def start_worker(start: Start, broker: FilledBroker) -> Process:
    """Start a worker of Celery's; return once it takes messages."""
    command = ["-m", "celery", "-A", "tests.from_celery.worker_app", "worker", "--pool", "solo"]
    command += ["--queues", broker.queue, "--hostname", f"{broker.run}@test", "-l", "info"]
    variables = {
        "OFFLOAD_TEST_BROKER": broker.url,
        "OFFLOAD_TEST_BROKER_OPTIONS": json.dumps(broker.options),
    }
    worker = start(*command, "--without-gossip", "--without-mingle", **variables)
    wait_until(lambda: " ready." in worker.output, "the Celery worker is ready", 90)
    return worker


def test_a_killed_run_loses_and_doubles_nothing(
    broker: FilledBroker, run: Run, start: Start, tmp_path: Path
) -> None:
    """It is killed after the commit of a job, before it has deleted the message."""
    ids = [broker.send("add", number, 1) for number in range(3)]
    lines = "\n".join(f"{name} = {value!r}" for name, value in broker.settings.items())
    (tmp_path / "moved_settings.py").write_text(SETTINGS.format(settings=lines))
    killed = start(
        "-m",
        "django",
        "offload_from_celery",
        "--write",
        DJANGO_SETTINGS_MODULE="moved_settings",
        PYTHONPATH=f"{tmp_path}:.:src",
        OFFLOAD_FAILPOINT="from_celery.inserted:kill@2",
    )
    assert killed.popen.wait(90) == -signal.SIGKILL, killed.output
    assert Job.objects.count() == 2
    if not broker.is_redis:
        wait_until(lambda: broker.waiting() == 2, "RabbitMQ gives the messages back", 60)

    report = run("--write")

    assert sorted(str(job.pk) for job in Job.objects.all()) == sorted(ids)
    assert [item["becomes"] for item in messages(report)] == [
        "became a job with the same ids",
        "were jobs already, and are deleted",
    ]
    assert messages(run("--write")) == []


def test_a_message_that_a_worker_holds_is_carried_after_its_end(
    broker: FilledBroker, run: Run, start: Start
) -> None:
    """Celery's workers hold messages with a countdown, and give them back when they stop."""
    worker = start_worker(start, broker)
    task_id = broker.send("add", 1, 2, countdown=3600)
    wait_until(lambda: task_id in worker.output, "the worker gets and gives back its message", 60)

    [reason] = left(run("--write"))
    assert "Stop Celery's workers" in reason
    assert Job.objects.count() == 0
    if broker.is_redis:
        with pytest.raises(
            CommandError, match=re.escape(f"run the messages, too: {broker.run}@test")
        ):
            run("--write", "--held")
    assert worker.stop() == 0
    wait_until(lambda: broker.waiting() == 1, "the worker gets and gives back its message", 60)

    report = run("--write")

    assert (report["code"], broker.waiting()) == (0, 0)
    job = Job.objects.get()
    assert (str(job.pk), job.state) == (task_id, JobState.SCHEDULED)


def test_a_message_that_a_killed_worker_held_is_carried_on_request(
    redis: FilledBroker, run: Run, start: Start
) -> None:
    worker = start_worker(start, redis)
    task_id = redis.send("add", 1, 2, countdown=3600)
    wait_until(lambda: task_id in worker.output, "the worker gets and gives back its message", 60)
    worker.kill()

    run("--write", "--held")

    assert str(Job.objects.get().pk) == task_id
    assert messages(run("--write", "--held")) == []
