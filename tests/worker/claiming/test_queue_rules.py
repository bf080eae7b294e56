"""When a worker reads which queues are paused, and what it then claims."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from offload import queues
from offload.models import Queue
from offload.notifier import Hint
from offload.policies.queue_limits import QueueLimits
from offload.store import get_store
from offload.store.records import Watermark
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.poller import Poller
from offload.worker.claiming.queue_rules import MAX_AGE, KnownRules
from offload.worker.claiming.served_queues import ServedQueues
from offload.worker.timers import NEVER
from tests.tasks import add
from tests.worker.clock import Clock
from tests.worker.fake_notifier import FakeNotifier

pytestmark = pytest.mark.django_db

POOL: Any = SimpleNamespace(
    capacity=lambda **_: 10,
    slots=lambda **_: 10,
    free_slots=lambda **_: 10,
    should_refill=lambda **_: True,
    held_jobs=list,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notifier() -> FakeNotifier:
    return FakeNotifier()


def make_poller(clock: Clock, notifier: FakeNotifier, names: Sequence[str] = ()) -> Poller:
    return Poller(
        get_store("default"),
        notifier,
        served=ServedQueues("default", frozenset(names)),
        poll_interval=1.0,
        hints=ChangeHints(notifier, clock=clock),
        clock=clock,
    )


@pytest.fixture
def poller(clock: Clock, notifier: FakeNotifier) -> Poller:
    return make_poller(clock, notifier, ["default", "mail"])


def claimed_from(poller: Poller) -> list[str]:
    poller.expect_jobs()
    return list(poller.claim_request(POOL).queues)


def test_pauses_are_read_before_the_first_claim(poller: Poller) -> None:
    queues.pause("mail")

    assert claimed_from(poller) == ["default"]


def test_a_worker_without_named_queues_claims_from_those_with_ready_jobs_that_are_not_paused(
    clock: Clock, notifier: FakeNotifier
) -> None:
    add.enqueue(1)
    add.using(queue_name="mail").enqueue(1)
    queues.pause("mail")

    assert claimed_from(make_poller(clock, notifier)) == ["default"]


def test_a_pause_is_noticed_within_a_second(poller: Poller, clock: Clock) -> None:
    assert claimed_from(poller) == ["default", "mail"]
    queues.pause("mail")
    clock.now += MAX_AGE / 2
    assert claimed_from(poller) == ["default", "mail"]

    clock.now += MAX_AGE / 2

    assert claimed_from(poller) == ["default"]


def test_a_hint_is_followed_at_once(poller: Poller, notifier: FakeNotifier) -> None:
    claimed_from(poller)
    queues.pause("mail")
    notifier.listener.arrived = {Hint.QUEUES}

    poller.receive(set())

    assert claimed_from(poller) == ["default"]


def test_without_paused_queues_nothing_is_read_without_a_claim(
    poller: Poller, clock: Clock, notifier: FakeNotifier
) -> None:
    claimed_from(poller)
    notifier.listener.arrived = {Hint.QUEUES, Hint.WORK}
    poller.receive(set())

    assert poller.rules.due_at == NEVER


@pytest.mark.parametrize("is_hinted", [True, False])
def test_a_resumed_queue_is_claimed_from_at_once_or_within_a_second(
    poller: Poller, clock: Clock, notifier: FakeNotifier, is_hinted: bool
) -> None:
    queues.pause("default")
    queues.pause("mail")
    assert claimed_from(poller) == []
    assert not poller.expects_jobs
    queues.resume("mail")
    if is_hinted:
        notifier.listener.arrived = {Hint.QUEUES}
    poller.receive(set())

    clock.now += 0 if is_hinted else MAX_AGE
    poller.rules.run_if_due(clock.now)

    assert poller.expects_jobs
    assert list(poller.claim_request(POOL).queues) == ["mail"]


def test_a_worker_wakes_up_when_a_pause_ends_by_itself(poller: Poller, clock: Clock) -> None:
    queues.pause("mail", until=timedelta(seconds=0.5))
    assert claimed_from(poller) == ["default"]

    assert poller.rules.due_at <= clock.now + 0.5
    poller._expected_kinds.clear()  # after a claim that found none
    clock.now += 0.5
    queues.resume("mail")  # stands for the time that has passed
    poller.rules.run_if_due(clock.now)

    assert poller.expects_jobs


def test_a_hint_costs_no_search_of_queues_that_are_all_paused(
    poller: Poller, clock: Clock, notifier: FakeNotifier
) -> None:
    add.using(queue_name="mail").enqueue_many([((1,), {})] * 3)
    for name in ("default", "mail"):
        queues.pause(name)
    claimed_from(poller)
    notifier.listener.arrived = {Hint.WORK, Hint.LIMITED}

    poller.receive(set())
    with CaptureQueriesContext(connection) as captured:
        request = poller.claim_request(POOL)
        limited = poller.limited_request(POOL)

    assert not request
    assert limited is None
    assert not poller.expects_jobs
    assert list(captured) == []


def test_limited_jobs_of_a_paused_queue_are_left_out(
    clock: Clock, notifier: FakeNotifier, poller: Poller
) -> None:
    queues.pause("mail")
    everything = make_poller(clock, notifier)
    for each in (poller, everything):
        each.claim_request(POOL)

    named, of_all = poller.limited_request(POOL), everything.limited_request(POOL)

    assert named is not None
    assert of_all is not None
    assert (named.queues, of_all.excluded) == (("default",), ("mail",))


def test_limits_are_read_with_the_pauses(poller: Poller, clock: Clock) -> None:
    assert not poller.claim_request(POOL).limits
    queues.limit("mail", concurrency=2)
    queues.limit("default", max_queued=2)  # nothing that holds up a worker
    clock.now += MAX_AGE
    poller.expect_jobs()

    request = poller.claim_request(POOL)
    limited = poller.limited_request(POOL)

    assert list(request.limits) == ["mail"]
    assert request.free == (10, 10)
    assert limited is not None
    assert list(limited.limits) == ["mail"]
    assert poller.has_limits("mail")
    assert not poller.has_limits("default")
    assert Queue.objects.filter(name="mail").exists()


def test_limits_of_the_settings_get_a_row(clock: Clock, notifier: FakeNotifier) -> None:
    served = ServedQueues("default", settings={"mail": QueueLimits(max_running=2)})
    rules = KnownRules(
        get_store("default"),
        served,
        on_resume=lambda: None,
        on_task_resume=lambda: None,
        clock=clock,
    )
    rules.read()

    assert list(served.limits) == ["mail"]
    assert Queue.objects.filter(name="mail").exists()
    queues.limit("mail", concurrency=None)
    rules.read()
    assert not served.limits


def test_watermarks_of_a_paused_queue_are_dropped(poller: Poller) -> None:
    watermarks = poller._watermarks
    watermarks._watermarks = {
        (name, False, 0): Watermark(name, False, 0, 1, "0") for name in ("default", "mail")
    }
    watermarks._cooldown.start(100)
    queues.pause("mail")

    assert claimed_from(poller) == ["default"]
