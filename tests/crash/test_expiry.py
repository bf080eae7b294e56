"""Jobs that expire, in processes that die."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from offload.lifecycle import JobState
from offload.models import Job
from tests.crash import execution_log, tasks
from tests.crash.scenario import Scenario


@pytest.mark.parametrize(
    "failpoint",
    [
        "exchange.committed:kill",  # the worker: the job was claimed and not begun
        "worker.exchanged:kill",  # the worker: the job was passed to a child
        "child.reporting:kill",  # the child: its expiry was announced and not stored
        "exchange.finished:kill@2",  # the worker: its expiry was stored and not committed
    ],
)
def test_an_expired_job_is_never_run_whatever_process_died(
    scenario: Scenario, failpoint: str
) -> None:
    token = scenario.enqueue(tasks.expiring)
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.filter(pk=scenario.accepted[token]).update(expires_at=past)
    logs_finishes = {tasks.LOGS_FINISHES: "1"}

    worker = scenario.start(failpoint=failpoint, environment=logs_finishes)
    if scenario.wait_for_failpoint() == worker.pid:
        worker = scenario.start(environment=logs_finishes)
    scenario.wait_until_finished()

    assert worker.stop() == 0, worker.output
    assert scenario.state(token) == JobState.EXPIRED
    assert not scenario.started(token)
    heard = {entry.value for entry in execution_log.by_token(scenario.log, "finish")[token]}
    assert heard == {"expired"}
