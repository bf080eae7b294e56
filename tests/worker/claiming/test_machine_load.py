"""A worker claims no jobs while the load of its machine is too high, and never stops for ever."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from offload.lifecycle import JobState
from offload.models import Job, Worker
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimRequest
from offload.worker.claiming import machine_load
from offload.worker.claiming.machine_load import MachineLoad
from tests.limited_tasks import single
from tests.tasks import aadd, add
from tests.worker import tasks
from tests.worker.clock import Clock
from tests.worker.conftest import StartWorker, until


class Load:
    """The load average of the machine."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.reads = 0

    def average(self) -> tuple[float, float, float]:
        self.reads += 1
        return self.value, 0.0, 0.0


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    load = Load(9.0)
    monkeypatch.setattr(os, "getloadavg", load.average)
    monkeypatch.setattr(machine_load, "READ_INTERVAL", 0.05)
    return load


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_claimed_until_the_load_falls(
    start_worker: StartWorker, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "offload.worker")
    results = [add.enqueue(1), aadd.enqueue(1), single.enqueue()]
    start_worker(0, max_load=8, poll_interval=0.05)
    until(lambda: Worker.objects.filter(high_load=9.0).exists())
    until(lambda: load.reads > 5)
    assert not Job.objects.exclude(attempt=0).exists()

    load.value = 7.9
    for result in results:
        assert result.wait(20).state == JobState.SUCCESSFUL

    until(lambda: Worker.objects.filter(high_load=None).exists())
    messages = [message for message in caplog.messages if "load of this machine" in message]
    assert messages == [
        "The load of this machine is 9.0, above max_load 8: claiming only one job a minute until "
        "it falls.",
        "The load of this machine is 7.9: claiming jobs again.",
    ]


def test_running_jobs_go_on(start_worker: StartWorker, load: Load, gate: Path) -> None:
    load.value = 1.0
    start_worker(0, max_load=8)
    running = tasks.hold.enqueue(str(gate))
    until(lambda: Job.objects.filter(state=JobState.RUNNING).exists())
    load.value = 9.0
    until(lambda: Worker.objects.filter(high_load=9.0).exists())

    gate.touch()

    assert running.wait(20).state == JobState.SUCCESSFUL


def test_a_load_that_never_falls_does_not_stop_a_worker_for_ever(
    start_worker: StartWorker, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_load, "TRICKLE_INTERVAL", 0.2)
    results = [add.enqueue(n) for n in range(3)] + [single.enqueue()]
    worker = start_worker(0, max_load=8, drain=True, poll_interval=0.05)

    for result in results:
        assert result.wait(20).state == JobState.SUCCESSFUL
    worker.join()


def test_one_job_of_each_kind_is_claimed_in_a_minute(load: Load, clock: Clock) -> None:
    changes: list[None] = []
    machine = MachineLoad(8, lambda: changes.append(None), clock=clock)
    request = ClaimRequest("default", ("a",), sync_slots=4, async_slots=100)
    limited = LimitedRequest("default", (), (), 4, 0)
    assert machine.narrow(request, limited) == (request, limited)

    machine.read()
    assert machine.claims_pause
    clock.now += 60
    assert not machine.claims_pause
    one, one_limited = machine.narrow(request, limited)
    assert (one.sync_slots, one.async_slots) == (1, 1)
    assert one_limited is not None
    assert (one_limited.sync_slots, one_limited.async_slots) == (1, 0)
    assert machine.claims_pause

    load.value = 8.0
    machine.read()
    assert not machine.claims_pause
    assert machine.narrow(request, None) == (request, None)
    assert len(changes) == 2


def test_without_a_limit_the_load_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getloadavg")
    machine = MachineLoad(None, lambda: None)
    machine.read()
    machine.timer.run_if_due(1e12)

    assert not machine.claims_pause


def test_a_system_without_a_load_average_pauses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", fail)
    machine = MachineLoad(0.5, lambda: None)
    machine.read()

    assert not machine.claims_pause
