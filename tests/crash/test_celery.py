"""Celery's workers run jobs, and are killed; brokers lose and repeat messages."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from offload import workflow
from offload.backends.celery.messenger import get_messenger
from offload.lifecycle import JobState
from offload.models import Attempt, Job, Worker
from tests.crash import execution_log, history_trigger, tasks
from tests.crash.fleet import Fleet, require_broker
from tests.crash.overlaps import claims, count_ends, most_at_once
from tests.crash.processes import state_of
from tests.crash.test_limits import CUSTOMERS
from tests.tasks import add

pytestmark = pytest.mark.timeout(240)

type MakeFleet = Callable[[str], Fleet]


@pytest.fixture
def make_fleet(
    transactional_db: None, process_environment: dict[str, str], tmp_path: Path
) -> Iterator[MakeFleet]:
    fleets: list[Fleet] = []
    history_trigger.install()

    def make(application: str) -> Fleet:
        require_broker(application)
        fleets.append(Fleet(process_environment, tmp_path, application))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()
    history_trigger.remove()
    get_messenger.cache_clear()


@pytest.mark.parametrize(
    ("application", "pool"), [("redis", "prefork"), ("rabbitmq", "threads"), ("quorum", "solo")]
)
def test_celery_workers_run_each_job_once(
    make_fleet: MakeFleet, application: str, pool: str
) -> None:
    """Also retried ones, about which a worker with duties sends messages."""
    fleet = make_fleet(application)
    celery, duties = fleet.start_celery(pool), fleet.start_duties()
    fleet.wait_for(
        Worker.objects.filter(queues="default", threads__gt=0).exists,
        "the processes are seen before their first message",
    )
    with fleet.backend():
        fleet.enqueue_mix(2)
    fleet.wait_until_finished()
    assert celery.stop() == 0
    assert duties.stop() == 0
    fleet.judge()


def test_a_killed_celery_process_loses_and_repeats_nothing_else(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("rabbitmq")
    fleet.start_celery("prefork")
    fleet.start_duties(lease=600.0)  # the kernel shows the death
    with fleet.backend():
        held = [fleet.enqueue(tasks.wait_for, fleet.path("gate")) for _ in range(2)]
        fleet.wait_until_started(*held)
        fleet.enqueue_mix()
    os.kill(fleet.process_of(held[0]), signal.SIGKILL)
    fleet.wait_until_started(held[0], times=2)
    fleet.open("gate")
    fleet.wait_until_finished()
    fleet.judge()
    assert [fleet.job(token).worker_losses for token in held] == [1, 0]


def test_a_task_that_holds_the_interpreter_keeps_its_job(make_fleet: MakeFleet) -> None:
    """For longer than the lease: the parent of its process renews it."""
    fleet = make_fleet("redis")
    celery = fleet.start_celery("prefork", 1, lease=3.0)
    fleet.start_duties(lease=3.0)
    with fleet.backend():
        fleet.enqueue(tasks.hold_interpreter, 6)
    fleet.wait_until_finished()
    assert celery.stop() == 0
    fleet.judge()
    assert Job.objects.get().fence == 1


@pytest.mark.parametrize("task", [tasks.block_in_c, tasks.hold_interpreter_for])
def test_a_celery_process_that_does_not_stop_a_job_is_replaced(
    make_fleet: MakeFleet, task: Any
) -> None:
    fleet = make_fleet("redis")
    fleet.start_celery("prefork", 1)
    fleet.start_duties(lease=600.0)  # a busy machine may hold up the parent, which is not lost
    with fleet.backend():
        stuck = fleet.enqueue(task, fleet.path("gate"), timeout=0.5)
        fleet.wait_until_finished(stuck)
        other = fleet.enqueue(tasks.note)
        fleet.wait_until_finished(other)
    assert fleet.state(stuck) == JobState.FAILED
    assert Attempt.objects.get().exception_class_path == "offload.exceptions.JobTimeout"
    assert fleet.process_of(other) != fleet.process_of(stuck)
    fleet.wait_for(lambda: state_of(fleet.process_of(stuck)) == "gone", "the process exits")


def test_a_celery_process_frozen_for_longer_than_the_lease_is_replaced(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("redis")
    fleet.start_celery("prefork", 1)
    fleet.start_duties()
    with fleet.backend():
        token = fleet.enqueue(tasks.wait_for, fleet.path("gate"))
    os.kill(fleet.process_of(token), signal.SIGSTOP)
    fleet.wait_until_started(token, times=2)
    fleet.open("gate")
    fleet.wait_until_finished()
    fleet.judge()


@pytest.mark.parametrize("failpoint", ["exchange.committed", "executor.returned"])
def test_a_killed_celery_worker_loses_nothing(make_fleet: MakeFleet, failpoint: str) -> None:
    fleet = make_fleet("redis")
    fleet.start_duties()
    with fleet.backend():
        fleet.enqueue_mix()
    fleet.start_celery("solo", failpoint=f"{failpoint}:kill@3")
    fleet.wait_for_failpoint()
    fleet.start_celery("solo")
    fleet.wait_until_finished()
    fleet.judge()


def test_outcomes_wait_in_celery_workers_until_the_database_answers(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("redis")
    fleet.start_duties(lease=600.0)  # a busy machine may hold up a worker, which is not lost
    with fleet.backend():
        fleet.enqueue_mix()
    celery = fleet.start_celery("threads", failpoint="exchange.finished:outage@3")
    fleet.wait_for_failpoint()
    fleet.wait_until_finished()
    assert celery.stop() == 0
    assert "Trying again." in celery.output
    fleet.judge()
    assert max(Job.objects.values_list("worker_losses", flat=True)) == 0


def test_limits_hold_in_celery_workers_of_which_processes_are_killed(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("rabbitmq")
    fleet.start_celery("prefork", 4)
    fleet.start_duties()
    customers = {}
    with fleet.backend():
        for number in range(60):
            customer = CUSTOMERS[number % len(CUSTOMERS)]
            token = fleet.enqueue(tasks.limited, customer)
            customers[fleet.accepted[token]] = customer
    fleet.wait_for(lambda: count_ends(fleet) >= 10, "some jobs finish")
    os.kill(int(execution_log.read(fleet.log)[-1].value.split("/")[2]), signal.SIGKILL)
    fleet.wait_until_finished()
    fleet.judge()
    assert max(most_at_once(list(claims()), customers).values()) <= 2
    assert most_at_once(list(claims()), dict.fromkeys(customers, "all"))["all"] <= 5


def test_workflows_and_scheduled_jobs_run_in_celery_workers(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("redis")
    fleet.start_celery("threads", 2)
    fleet.start_duties()
    with fleet.backend():
        with workflow("sum") as flow:
            parts = [flow.add(add, number, b=1) for number in range(4)]
            flow.returns(flow.add(add, parts[0], b=parts[3]))
        fleet.enqueue(tasks.note, run_after=timedelta(seconds=0.5))
        fleet.wait_until_finished()
        flow.result.wait(60)
        assert flow.result.return_value == 5
    fleet.judge()


def test_jobs_of_an_emptied_broker_run(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("rabbitmq")
    with fleet.backend():
        fleet.enqueue_mix()
        assert fleet.flush()
    assert fleet.empty_broker() > 0
    fleet.start_celery("solo")
    fleet.start_duties()
    fleet.wait_until_finished()
    fleet.judge()


def test_jobs_enqueued_while_the_broker_is_down_run(make_fleet: MakeFleet) -> None:
    """So do those of another backend, after a switch: no message was sent about either."""
    fleet = make_fleet("redis")
    fleet.enqueue_mix()
    with fleet.backend(celery_app="tests.celery_apps.closed"):
        fleet.enqueue_mix()
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.READY}
    fleet.start_celery("solo")
    fleet.start_duties()
    fleet.wait_until_finished()
    fleet.judge()


def test_waiting_jobs_change_between_workers_and_celery_workers_in_both_directions(
    make_fleet: MakeFleet,
) -> None:
    """As in a deployment: for a moment both kinds run beside each other, and no job stops."""
    fleet = make_fleet("redis")
    of_workers = {"OFFLOAD_TEST_BACKEND": "offload.backends.database.DatabaseBackend"}
    workers = fleet.start(environment=of_workers)
    held = [fleet.enqueue(tasks.wait_for, fleet.path("first")) for _ in range(2)]
    fleet.wait_until_started(*held)
    waiting = fleet.enqueue(tasks.note)
    fleet.enqueue_mix()

    celery, duties = fleet.start_celery("prefork", 2), fleet.start_duties()
    with fleet.backend():
        fleet.enqueue_mix()
    fleet.wait_until_finished(*(token for token in fleet.accepted if token not in held))
    assert fleet.is_child(celery, fleet.process_of(waiting))
    fleet.open("first")
    fleet.wait_until_finished()
    assert workers.stop() == 0

    with fleet.backend():
        held = [fleet.enqueue(tasks.wait_for, fleet.path("second")) for _ in range(2)]
        fleet.wait_until_started(*held)
        waiting = fleet.enqueue(tasks.note)
        fleet.enqueue_mix()
    workers = fleet.start(environment=of_workers)
    fleet.enqueue_mix()
    fleet.wait_until_finished(*(token for token in fleet.accepted if token not in held))
    assert not fleet.is_child(celery, fleet.process_of(waiting))
    fleet.open("second")
    fleet.wait_until_finished()
    assert [process.stop() for process in (celery, duties, workers)] == [0, 0, 0]
    fleet.judge()
    assert max(Job.objects.values_list("worker_losses", flat=True)) == 0


def test_a_visibility_timeout_shorter_than_the_job_repeats_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("impatient_redis")
    celery = fleet.start_celery("threads", 2)
    fleet.start_duties(resend_after=600.0, lease=600.0)
    with fleet.backend():
        token = fleet.enqueue(tasks.wait_for, fleet.path("gate"))
    fleet.wait_for(
        lambda: celery.output.count("] received") >= 2, "the broker delivers the message again"
    )
    fleet.open("gate")
    fleet.wait_until_finished()
    fleet.judge()
    assert len(fleet.started(token)) == fleet.job(token).fence == 1
