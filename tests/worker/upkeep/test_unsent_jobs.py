"""Messages about ready jobs that no worker claims."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import pytest

from offload import JobState, queues
from offload.backends.messages import JobMessage
from offload.lifecycle import succeeded
from offload.models import Job, LimitNotice
from offload.store import get_store
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.poller import Poller
from offload.worker.claiming.served_queues import ServedQueues
from offload.worker.upkeep.unsent_jobs import INTERVAL, MAX_TURNS, UnsentJobs
from tests import limited_tasks
from tests.jobs import claim_limited, register_worker
from tests.tasks import aadd, add
from tests.worker.clock import Clock
from tests.worker.fake_notifier import FakeNotifier

pytestmark = pytest.mark.django_db


class FakeMessenger:
    """Keeps the messages."""

    def __init__(self) -> None:
        self.resend_after = 10.0
        self.failures = 0
        self.messages: list[JobMessage] = []

    def send(self, messages: Iterable[JobMessage]) -> None:
        self.messages += messages

    def take_all(self) -> list[JobMessage]:
        """Return the messages that were sent since the last call."""
        taken, self.messages = self.messages, []
        return taken

    def take(self) -> list[str]:
        """Return the ids of the jobs of the messages that were sent since the last call."""
        return [str(UUID(message.id)) for message in self.take_all()]


@pytest.fixture
def messenger() -> FakeMessenger:
    return FakeMessenger()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def unsent(messenger: FakeMessenger, clock: Clock) -> UnsentJobs:
    store, notifier = get_store("default"), FakeNotifier()
    hints = ChangeHints(notifier, clock=clock)
    served = ServedQueues("default")
    poller = Poller(store, notifier, served=served, poll_interval=1, hints=hints, clock=clock)
    return UnsentJobs(store, poller, messenger, clock=clock)


def make_old(result: object, seconds: float = 11) -> None:
    job = Job.objects.get(pk=result.id)  # type: ignore[attr-defined]
    moment = job.run_after - timedelta(seconds=seconds)
    Job.objects.filter(pk=job.pk).update(run_after=moment, enqueued_at=moment)


def test_a_job_that_was_just_enqueued_is_left_to_its_own_message(unsent, messenger) -> None:
    add.enqueue(1)

    unsent.send()

    assert messenger.take() == []


def test_a_job_that_waits_for_long_gets_another_message(unsent, messenger) -> None:
    result = aadd.using(priority=7, queue_name="mail").enqueue(1)
    make_old(result)

    unsent.send()

    (message,) = messenger.messages
    assert message == ("mail", True, 7, get_store("default").key(UUID(result.id)), False, True)


def test_the_time_until_the_next_message_doubles(unsent, messenger, clock) -> None:
    result = add.enqueue(1)
    make_old(result)
    sent_at = []
    for second in range(300):
        unsent.send()
        if messenger.take():
            sent_at.append(second)
        clock.now += 1

    assert sent_at == [0, 10, 30, 70, 150, 230]


def test_a_job_made_ready_by_a_worker_gets_its_message_at_once(unsent, messenger) -> None:
    promoted = add.using(run_after=timedelta(hours=1)).enqueue(1)
    retried = add.enqueue(1)
    Job.objects.filter(pk=promoted.id).update(state=JobState.READY)
    Job.objects.filter(pk=retried.id).update(fence=1, version=2)

    unsent.send()
    assert set(messenger.take()) == {promoted.id, retried.id}

    unsent.send()
    assert messenger.take() == []

    Job.objects.filter(pk=retried.id).update(fence=2, version=4)
    unsent.send()
    assert messenger.take() == [retried.id]


def test_jobs_of_a_paused_queue_wait_until_it_is_resumed(unsent, messenger, clock) -> None:
    result = add.enqueue(1)
    make_old(result)
    queues.pause("default")
    unsent.send()
    assert messenger.take() == []

    queues.resume("default")
    clock.now += 2
    unsent.send()

    assert messenger.take() == [result.id]


def test_messages_that_did_not_reach_the_broker_are_sent_again(unsent, messenger) -> None:
    result = add.enqueue(1)
    make_old(result)
    unsent.send()
    unsent.send()
    assert messenger.take() == [result.id]

    messenger.failures += 1
    unsent.send()

    assert messenger.take() == [result.id]


def test_it_looks_at_intervals_and_soon_after_a_hint(unsent, messenger, clock) -> None:
    unsent.run_if_due(clock())
    assert unsent.due_at - clock() > INTERVAL / 2

    unsent.expect()

    assert unsent.due_at - clock() < INTERVAL / 2


# --- limits ---------------------------------------------------------------------------------


def test_jobs_with_a_limit_that_may_start_get_messages(unsent, messenger) -> None:
    limited_tasks.single.using(queue_name="mail").enqueue()
    limited_tasks.shared_slow.enqueue("5")

    unsent.send()

    found = {(each.queue_name, each.is_async, each.has_limit) for each in messenger.messages}
    assert found == {("mail", False, True), ("slow", True, True)}


def test_a_key_of_several_queues_is_announced_in_each(unsent, messenger) -> None:
    worker = register_worker()
    limited_tasks.shared_mail.enqueue("5")
    limited_tasks.shared_slow.enqueue("5")
    (running,) = claim_limited(worker)  # opens the key, which then has both queues
    claim_limited(worker, finished=[(running, succeeded("null"))], slots=0)
    messenger.messages.clear()

    unsent.send()

    assert {message.queue_name for message in messenger.messages} == {"mail", "slow"} - {
        running.queue_name
    }


def test_a_job_of_which_the_row_of_the_key_was_deleted_gets_messages(unsent, messenger) -> None:
    limited_tasks.single.using(queue_name="mail").enqueue()
    LimitNotice.objects.update(details="")

    unsent.send()

    assert {message.queue_name for message in messenger.messages} == {"mail"}


def test_no_message_is_sent_while_no_limit_lets_jobs_start(unsent, messenger, clock) -> None:
    limited_tasks.single.enqueue_many([((), {})] * 3)
    claim_limited(register_worker())
    unsent._poller.limited.expect_in(None)  # as a poll says

    unsent.send()

    assert messenger.messages == []


def test_it_looks_again_when_a_rate_lets_the_next_job_start(unsent, clock) -> None:
    limited_tasks.rated.enqueue_many([((), {})] * 4)
    claim_limited(register_worker())

    unsent.send()

    assert 0 < unsent._poller.limited.due_at - clock() <= 60


def test_open_keys_of_paused_queues_are_looked_at_now_and_then(unsent, messenger, clock) -> None:
    limited_tasks.single.using(queue_name="mail").enqueue()
    queues.pause("mail")

    unsent.send()

    assert messenger.messages == []
    assert unsent._poller.limited.due_at - clock() == INTERVAL


def test_queues_with_limits_get_some_messages_at_each_look(unsent, messenger, clock) -> None:
    queues.limit("mail", concurrency=1)
    for result in add.using(queue_name="mail").enqueue_many([((1,), {})] * 20):
        make_old(result)

    unsent.send()
    first = messenger.take()
    clock.now += 1
    unsent.send()

    assert len(first) == 20  # they have waited for long
    assert len(messenger.take()) == MAX_TURNS


def send_for(seconds: int, unsent: UnsentJobs, messenger: FakeMessenger, clock: Clock) -> list[int]:
    """Look as often as is due; return the seconds at which it sent messages."""
    sent_at = []
    start = clock.now
    while (passed := clock.now - start) < seconds:
        unsent.run_if_due(clock())
        if messenger.messages:
            sent_at.append(int(passed))
            messenger.messages.clear()
        clock.now += 0.25
    return sent_at


def test_messages_about_an_open_key_become_rare_while_nothing_starts(
    unsent, messenger, clock
) -> None:
    limited_tasks.single.enqueue_many([((), {})] * 3)

    sent_at = send_for(300, unsent, messenger, clock)

    assert 9 <= len(sent_at) <= 11
    assert sent_at[-1] - sent_at[-2] >= 75


def test_messages_about_an_open_key_go_on_while_jobs_start(unsent, messenger, clock) -> None:
    jobs = limited_tasks.call_api.enqueue_many([(("5",), {})] * 8)
    worker = register_worker()
    messages = 0
    for _ in jobs:
        unsent.run_if_due(clock())
        messages += len(messenger.take_all())
        running = claim_limited(worker, slots=1)
        claim_limited(worker, finished=[(job, succeeded("null")) for job in running], slots=0)
        clock.now += 0.5

    assert messages == 8 * MAX_TURNS


def test_messages_about_a_queue_with_limits_become_rare_while_nothing_starts(
    unsent, messenger, clock
) -> None:
    queues.limit("mail", concurrency=1)
    messenger.resend_after = 1000.0
    for result in add.using(queue_name="mail").enqueue_many([((1,), {})] * 3):
        make_old(result)

    sent_at = send_for(300, unsent, messenger, clock)

    assert 9 <= len(sent_at) <= 11
    assert sent_at[-1] - sent_at[-2] >= 75
