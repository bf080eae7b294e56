"""Which jobs a process claims because of the messages that it has received."""

from __future__ import annotations

import pytest

from offload import lifecycle
from offload.notifier import Hint
from offload.store import get_store
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.served_queues import ServedQueues
from offload.worker.fleet.received_jobs import ReceivedJobs
from tests.jobs import FAILURE, claim, register_worker
from tests.tasks import add
from tests.worker.fake_notifier import FakeNotifier

pytestmark = pytest.mark.django_db


@pytest.fixture
def notifier() -> FakeNotifier:
    return FakeNotifier()


@pytest.fixture
def received(notifier: FakeNotifier) -> ReceivedJobs:
    served, hints = ServedQueues("default"), ChangeHints(notifier)
    return ReceivedJobs(get_store("default"), notifier, served=served, poll_interval=1, hints=hints)


@pytest.mark.parametrize("delay", [0.0, 5.0])
def test_a_worker_with_duties_learns_of_retries_that_are_due_later(
    received, notifier, delay
) -> None:
    add.enqueue(1)
    (job,) = claim(register_worker())

    received.jobs_run_again([(job, lifecycle.retried(FAILURE, delay))])

    assert (Hint.WORK in notifier.sent) is (delay > 0)
