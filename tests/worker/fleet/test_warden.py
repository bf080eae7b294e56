"""The parent of Celery's processes, which looks after silent ones."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connections
from django.tasks import default_task_backend

from offload import JobState
from offload.models import Attempt, Job, Worker
from offload.notifier import Hint
from offload.store import get_store
from offload.store.base import Store
from offload.worker.fleet.held_ring import HeldRing
from offload.worker.fleet.warden import Warden
from offload.worker.outage import MAX_RETRY_DELAY
from offload.worker.upkeep.host_lock import HostLock
from tests.jobs import claim, register_worker
from tests.tasks import add
from tests.worker.clock import Clock
from tests.worker.fake_notifier import FakeNotifier

pytestmark = pytest.mark.django_db(transaction=True)

READ = [sys.executable, "-c", "import sys; sys.stdin.read()"]
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="only Linux lets a process open another's memory"
)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def warden(clock: Clock) -> Warden:
    return Warden(clock)


@pytest.fixture
def child(ring: HeldRing) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is killed, or the test has ended."""
    kept = (ring.descriptor,)
    with subprocess.Popen(READ, stdin=subprocess.PIPE, pass_fds=kept) as process:
        yield process


@pytest.fixture
def lock() -> Iterator[Any]:
    """Start a process that holds the lock of a worker, and does nothing until it is killed."""
    folder = HostLock(get_store("default").address).folder
    assert folder is not None

    @contextmanager
    def start(worker: str) -> Iterator[subprocess.Popen[bytes]]:
        with FileIO(folder / str(UUID(worker)), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            process = subprocess.Popen(READ, stdin=subprocess.PIPE, pass_fds=[file.fileno()])
        with process:
            yield process

    yield start
    shutil.rmtree(folder)


def interval() -> float:
    backend: Any = default_task_backend
    return float(backend.settings.heartbeat_interval)


@pytest.fixture
def ring() -> HeldRing:
    """The memory of the process in which it writes what it holds."""
    return HeldRing()


def announce(
    warden: Warden,
    child: subprocess.Popen[bytes],
    worker: str,
    monkeypatch: Any,
    ring: HeldRing | None = None,
) -> None:
    """Write the heartbeat of a child process."""
    # The child has inherited the descriptor.
    descriptor = -1 if ring is None else ring.descriptor
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: child.pid)
        warden.announce("default", descriptor, UUID(worker))


def run_overdue_job(worker: str) -> Any:
    """Let a job run for longer than it may, and for the grace period, too."""
    result = add.using(timeout=1).enqueue(1)
    claim(worker)
    job = Job.objects.get(pk=result.id)
    started = job.last_attempted_at
    assert started is not None
    Job.objects.filter(pk=job.pk).update(last_attempted_at=started - timedelta(hours=1))
    return result


@contextmanager
def outage(monkeypatch: pytest.MonkeyPatch, *methods: str) -> Iterator[None]:
    """Let the first statements of the warden fail, or some methods of the store."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OperationalError("the server is gone")

    with monkeypatch.context() as patch:
        for method in methods or ("heartbeat", "held_jobs"):
            patch.setattr(Store, method, fail)
        yield


def state(result: Any) -> JobState:
    return JobState(Job.objects.get(pk=result.id).state)


def test_a_silent_process_with_an_overdue_job_is_killed(warden, child, clock, monkeypatch) -> None:
    worker = register_worker()
    result = run_overdue_job(worker)
    announce(warden, child, worker, monkeypatch)
    warden.step()

    clock.now += 2 * interval() + MAX_RETRY_DELAY
    warden.step()

    assert child.wait(20) < 0
    assert state(result) == JobState.FAILED
    assert Attempt.objects.get().exception_class_path == "offload.exceptions.JobTimeout"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/shm")
def test_nobody_rescues_an_overdue_job_before_its_outcome_is_written(
    warden, lock, clock, monkeypatch
) -> None:
    """A worker of the same host would, as the kernel tells it that the process has exited."""
    store, worker = get_store("default"), register_worker()
    result, other = run_overdue_job(worker), add.enqueue(1)
    claim(worker)
    with lock(worker) as child:
        announce(warden, child, worker, monkeypatch)
        warden.step()
        clock.now += 2 * interval() + MAX_RETRY_DELAY
        exchange = Store.exchange

        def rescue_first(*arguments: Any) -> Any:
            assert child.wait(20) < 0
            store.rescue((), HostLock(store.address).exited_workers())
            return exchange(*arguments)

        monkeypatch.setattr(Store, "exchange", rescue_first)
        warden.step()

    assert state(result) == JobState.FAILED
    assert Attempt.objects.get().exception_class_path == "offload.exceptions.JobTimeout"

    store.rescue()
    assert state(other) in {JobState.READY, JobState.SCHEDULED}


def test_time_limits_go_by_the_clock_of_the_database(warden, child, clock, monkeypatch) -> None:
    """That clock said when the job started."""
    add.using(timeout=1).enqueue(1)
    claim(worker := register_worker())
    announce(warden, child, worker, monkeypatch)
    warden.step()
    clock.now += 2 * interval() + MAX_RETRY_DELAY
    warden.step()
    assert child.poll() is None

    store = get_store("default")
    time_there = store.current_time() + 3_600_000_000
    monkeypatch.setattr(type(store), "current_time", lambda _: time_there)
    warden.step()

    assert child.wait(20) < 0


def test_outcomes_of_a_killed_process_are_written_after_an_outage(
    warden, child, clock, monkeypatch
) -> None:
    result = run_overdue_job(worker := register_worker())
    announce(warden, child, worker, monkeypatch)
    warden.step()
    clock.now += 2 * interval() + MAX_RETRY_DELAY
    notifier = FakeNotifier()
    monkeypatch.setattr("offload.worker.fleet.warden.get_notifier", lambda _: notifier)
    with outage(monkeypatch, "exchange"):
        warden.step()
    assert (child.wait(20) < 0, state(result)) == (True, JobState.RUNNING)

    warden.step()
    warden.step()

    assert state(result) == JobState.FAILED
    assert notifier.sent == [Hint.WORK, Hint.CHANGED]


def hold(ring: HeldRing, worker: str, count: int = 3) -> list[Any]:
    """Let a process claim jobs, the first of which starts."""
    results = [add.enqueue(number) for number in range(count)]
    claimed = {str(UUID(job.id)): job for job in claim(worker)}
    ring.add(1, [claimed[result.id] for result in results])
    assert ring.start(1)
    return results


@needs_proc
def test_a_silent_process_starts_no_more_of_the_jobs_that_it_holds(
    warden, child, ring, clock, monkeypatch
) -> None:
    started, *waiting = hold(ring, worker := register_worker())
    announce(warden, child, worker, monkeypatch, ring)
    warden.step()
    clock.now += 2 * interval()
    warden.step()
    assert {state(job) for job in waiting} == {JobState.RUNNING}  # some may just have started

    clock.now += 1
    warden.step()

    assert {state(job) for job in waiting} == {JobState.READY}
    assert (state(started), child.poll()) == (JobState.RUNNING, None)
    assert [ring.start(number) for number in (2, 3, 4)] == [False, False, True]


@needs_proc
def test_a_job_that_starts_while_it_is_taken_back_runs_on(
    warden, child, ring, clock, monkeypatch
) -> None:
    *_, started, waiting = hold(ring, worker := register_worker())
    announce(warden, child, worker, monkeypatch, ring)
    warden.step()
    clock.now += 2 * interval()
    with monkeypatch.context() as patch:
        # Its thread has written the start, and not yet looked whether the job was taken back.
        patch.setattr(HeldRing, "take_back", lambda ring, _: ring.start(2))
        warden.step()

    clock.now += 1
    warden.step()

    assert (state(started), state(waiting)) == (JobState.RUNNING, JobState.READY)


@needs_proc
def test_the_jobs_that_a_killed_process_has_not_started_have_lost_nothing(
    warden, child, ring, monkeypatch
) -> None:
    started, *waiting = hold(ring, worker := register_worker())
    announce(warden, child, worker, monkeypatch, ring)
    warden.step()

    child.kill()
    child.wait(20)
    warden.step()

    assert state(started) == JobState.RUNNING  # until a worker with duties rescues it
    assert {state(job) for job in waiting} == {JobState.READY}
    assert set(Job.objects.values_list("worker_losses", flat=True)) == {0}
    assert not Attempt.objects.exists()


@needs_proc
def test_jobs_are_given_back_after_an_outage(warden, child, ring, monkeypatch) -> None:
    _, *waiting = hold(ring, worker := register_worker())
    announce(warden, child, worker, monkeypatch, ring)
    warden.step()
    child.kill()
    child.wait(20)
    for method in ("claimed_by", "exchange"):
        with outage(monkeypatch, method):
            warden.step()
        assert {state(job) for job in waiting} == {JobState.RUNNING}

    warden.step()

    assert {state(job) for job in waiting} == {JobState.READY}


def test_the_lease_of_a_silent_process_is_renewed(warden, child, clock, monkeypatch) -> None:
    worker = register_worker()
    Worker.objects.update(expires_at=LONG_AGO)
    announce(warden, child, worker, monkeypatch)
    warden.step()

    clock.now += 2 * interval()
    warden.step()

    assert Worker.objects.get().expires_at > LONG_AGO
    assert child.poll() is None


def test_a_process_may_send_a_heartbeat_after_an_outage(warden, child, clock, monkeypatch) -> None:
    """Until then its jobs run for the database, although they have ended."""
    worker = register_worker()
    result = run_overdue_job(worker)
    announce(warden, child, worker, monkeypatch)
    warden.step()

    with outage(monkeypatch):
        clock.now += 100 * interval()
        warden.step()
    clock.now += MAX_RETRY_DELAY
    warden.step()
    assert (child.poll(), state(result)) == (None, JobState.RUNNING)

    clock.now += 2 * interval()
    warden.step()
    assert child.wait(20) < 0


def test_a_process_may_try_again_after_a_short_outage(warden, child, clock, monkeypatch) -> None:
    """It was over before the warden looked."""
    worker = register_worker()
    run_overdue_job(worker)
    announce(warden, child, worker, monkeypatch)
    warden.step()

    clock.now += 1.5 * interval() + MAX_RETRY_DELAY
    warden.step()

    assert child.poll() is None


def test_a_database_that_answers_late_is_no_reason_to_kill(
    warden, child, clock, monkeypatch
) -> None:
    run_overdue_job(worker := register_worker())
    announce(warden, child, worker, monkeypatch)
    warden.step()
    clock.now += 100 * interval()

    def answer_late(*_: Any, **__: Any) -> bool:
        clock.now += 60
        return True

    monkeypatch.setattr(Store, "heartbeat", answer_late)
    warden.step()

    assert child.poll() is None


def test_an_outage_is_logged_once(warden, child, clock, monkeypatch, caplog) -> None:
    announce(warden, child, register_worker(), monkeypatch)
    warden.step()
    clock.now += 2 * interval()

    for _ in range(2):
        with outage(monkeypatch):
            for _ in range(5):
                warden.step()
                clock.now += 0.25
        warden.step()

    assert caplog.text.count("were not renewed: the server is gone") == 2


def test_connections_are_closed_after_an_error(warden, child, clock, monkeypatch) -> None:
    announce(warden, child, register_worker(), monkeypatch)
    warden.step()
    clock.now += 2 * interval()
    closed = []
    monkeypatch.setattr(connections, "close_all", lambda: closed.append(True))

    with outage(monkeypatch):
        warden.step()

    assert closed == [True]


def test_an_unexpected_error_does_not_end_the_warden(
    warden, child, clock, monkeypatch, caplog
) -> None:
    worker = register_worker()
    announce(warden, child, worker, monkeypatch)
    warden.step()
    clock.now += 2 * interval()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "held_jobs", None)
        warden.step()
    Worker.objects.update(expires_at=LONG_AGO)
    clock.now += 2 * interval()

    warden.step()

    assert "were not looked after" in caplog.text
    assert get_store("default").held_jobs(UUID(worker)) == {}
    assert Worker.objects.get().expires_at > LONG_AGO
