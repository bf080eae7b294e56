"""Limits of queues: how many jobs a claim takes, of every kind and with every other limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from offload import queues
from offload.lifecycle import JobState, succeeded
from offload.models import Job, Queue
from offload.policies import Rate
from offload.policies.queue_limits import QueueLimits, columns_of
from offload.store import get_store
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, ClaimRequest, ExchangeResult, Watermark
from tests import limited_tasks
from tests.jobs import register_worker
from tests.tasks import aadd, add

pytestmark = pytest.mark.django_db

MAIL: dict[str, QueueLimits] = {"mail": QueueLimits()}
mail, amail = add.using(queue_name="mail"), aadd.using(queue_name="mail")


@pytest.fixture
def worker() -> str:
    get_store("default").add_queues("default", ["mail", "slow"])
    return register_worker()


def exchange(
    worker: str,
    *finished: ClaimedJob,
    slots: int = 10,
    limited_slots: int = 0,
    limits: Mapping[str, QueueLimits] = MAIL,
    **columns: Any,
) -> ExchangeResult:
    """Finish jobs, and claim others from all queues."""
    request = ClaimRequest(
        "default",
        ("default", "mail", "slow"),
        slots,
        slots,
        limits=limits,
        free=(slots, slots),
        **columns,
    )
    limited = None
    if limited_slots:
        limited = LimitedRequest("default", (), (), limited_slots, limited_slots, limits)
    done = [(job, succeeded("null")) for job in finished]
    return get_store("default").exchange(worker, done, request, limited=limited)


def counts(result: ExchangeResult) -> Counter[str]:
    return Counter(job.queue_name for job in result.claimed)


def test_no_more_jobs_of_a_queue_run_than_its_limit_allows(worker: str) -> None:
    queues.limit("mail", concurrency=3)
    mail.enqueue_many([((1,), {})] * 5)
    add.enqueue_many([((1,), {})] * 2)

    first = exchange(worker)
    assert counts(first) == {"mail": 3, "default": 2}
    assert counts(exchange(worker)) == {}
    done = [job for job in first.claimed if job.queue_name == "mail"][:2]
    assert counts(exchange(register_worker(), *done)) == {"mail": 2}
    assert Job.objects.filter(state=JobState.RUNNING, queue_name="mail").count() == 3


def test_the_most_urgent_jobs_of_all_queues_are_claimed(worker: str) -> None:
    queues.limit("mail", concurrency=3)
    mail.enqueue_many([((1,), {})] * 3)
    urgent = add.using(priority=5).enqueue_many([((1,), {})] * 2)

    claimed = exchange(worker, slots=3).claimed

    assert {job.id for job in claimed[:2]} == {get_store("default").key(r.id) for r in urgent} or {
        job.id.replace("-", "") for job in claimed[:2]
    } == {result.id.replace("-", "") for result in urgent}
    assert claimed[2].queue_name == "mail"


@pytest.mark.parametrize("kinds", ["sync", "async", "both"])
def test_both_kinds_share_the_limit(worker: str, kinds: str) -> None:
    queues.limit("mail", concurrency=3)
    if kinds in {"sync", "both"}:
        mail.enqueue_many([((1,), {})] * 5)
    if kinds in {"async", "both"}:
        amail.enqueue_many([((1,), {})] * 5)

    claimed = exchange(worker).claimed

    assert len(claimed) == 3
    if kinds == "both":
        assert {bool(job.is_async) for job in claimed} == {True, False}


def test_one_job_of_both_kinds_starts_at_a_time(worker: str) -> None:
    queues.limit("mail", concurrency=1)
    mail.enqueue(1)
    amail.enqueue(1)

    first = exchange(worker).claimed
    second = exchange(worker, *first).claimed

    assert len(first) == len(second) == 1


def test_no_jobs_are_claimed_ahead_of_free_slots(worker: str) -> None:
    queues.limit("mail", concurrency=5)
    mail.enqueue_many([((1,), {})] * 5)
    request = ClaimRequest("default", ("mail",), 5, 5, limits=MAIL, free=(2, 0))

    assert len(get_store("default").exchange(worker, [], request).claimed) == 2


def test_a_rate_lets_its_burst_start_and_says_when_the_next_one_does(worker: str) -> None:
    queues.limit("mail", rate=Rate("1/m", burst=2))
    mail.enqueue_many([((1,), {})] * 5)

    result = exchange(worker)

    assert counts(result) == {"mail": 2}
    assert result.queues_in == pytest.approx(60, abs=5)
    again = exchange(worker, *result.claimed)
    assert counts(again) == {}
    assert again.queues_in == pytest.approx(60, abs=5)
    Queue.objects.update(free_at=Queue.objects.get(name="mail").free_at - 60_000_000)
    assert counts(exchange(worker)) == {"mail": 1}


def test_the_time_of_a_start_is_that_of_the_rate(worker: str) -> None:
    queues.limit("mail", rate=Rate("1/m", burst=2))
    mail.enqueue_many([((1,), {})] * 2)

    first, second = exchange(worker).claimed

    free_at = Queue.objects.get(name="mail").free_at
    assert first.last_attempted_at == second.last_attempted_at == free_at - 120_000_000


def test_a_limit_of_the_settings_holds_and_an_operators_wins(worker: str) -> None:
    settings = {"mail": QueueLimits(**columns_of({"concurrency": 2}))}
    mail.enqueue_many([((1,), {})] * 5)

    assert counts(exchange(worker, limits=settings)) == {"mail": 2}
    queues.limit("mail", concurrency=3)
    assert counts(exchange(worker, limits=settings)) == {"mail": 1}
    queues.limit("mail", concurrency=None)
    assert counts(exchange(worker, limits=settings)) == {"mail": 2}


def test_a_queue_without_a_row_waits_until_it_has_one(worker: str) -> None:
    Queue.objects.all().delete()
    mail.enqueue(1)
    settings = {"mail": QueueLimits(max_running=2)}

    assert counts(exchange(worker, limits=settings)) == {}
    get_store("default").add_queues("default", settings)
    assert counts(exchange(worker, limits=settings)) == {"mail": 1}


def test_jobs_with_a_limit_of_their_own_keep_to_both(worker: str) -> None:
    queues.limit("mail", concurrency=3)
    call = limited_tasks.call_api.using(queue_name="mail")  # two of each key at once
    call.enqueue_many([((key,), {}) for key in "aaabbb"])

    first = exchange(worker, limited_slots=10)
    assert counts(first) == {"mail": 3}
    keys = Counter(str(job.limit_key) for job in first.claimed)
    assert max(keys.values()) <= 2
    assert counts(exchange(worker, limited_slots=10)) == {}
    assert counts(exchange(worker, *first.claimed, limited_slots=10)) == {"mail": 3}


def test_jobs_with_a_limit_and_others_share_the_slots_of_a_queue(worker: str) -> None:
    queues.limit("mail", concurrency=4)
    mail.enqueue_many([((1,), {})] * 5)
    limited_tasks.fair.using(queue_name="mail").enqueue_many([((key,), {}) for key in "abcde"])

    claimed = exchange(worker, limited_slots=10).claimed

    assert len(claimed) == 4
    assert sum(job.limit_key is None for job in claimed) == 2


def test_jobs_with_a_limit_of_other_queues_do_not_use_the_slots_of_a_queue(worker: str) -> None:
    queues.limit("mail", concurrency=1)
    limited_tasks.fair.enqueue_many([((key,), {}) for key in "abc"])
    limited_tasks.fair.using(queue_name="mail").enqueue_many([((key,), {}) for key in "def"])

    assert counts(exchange(worker, limited_slots=10)) == {"default": 3, "mail": 1}


def test_a_key_of_several_queues_starves_in_none(worker: str) -> None:
    queues.limit("mail", concurrency=1)
    limited_tasks.fair.enqueue("a")
    limited_tasks.fair.using(queue_name="mail").enqueue("a")
    seen: Counter[str] = Counter()
    for _ in range(30):
        get_store("default").reopen_keys()
        seen += counts(exchange(worker, limited_slots=10, slots=0))

    assert seen == {"default": 1, "mail": 1}


def test_claims_behind_watermarks_keep_to_the_limit(worker: str) -> None:
    queues.limit("mail", concurrency=2)
    mail.enqueue_many([((1,), {})] * 5)
    if not get_store("default").keeps_dead_entries:
        pytest.skip("this database needs no watermarks")
    first = Job.objects.order_by("run_after", "pk").first()
    assert first is not None
    zero = get_store("default").key(first.pk)
    watermark = Watermark("mail", False, 0, 0, zero)

    assert counts(exchange(worker, watermarks=[watermark])) == {"mail": 2}


def test_without_limits_a_claim_has_no_more_statements(
    worker: str, django_assert_num_queries: Any
) -> None:
    """The row of a queue is read only if a limit is in force."""
    queues.limit("mail", max_queued=5)
    mail.enqueue(1)

    assert not queues.get("mail").limits.hold_up_jobs
    assert counts(exchange(worker, limits={})) == {"mail": 1}


MANY = 600
"""More queues than SQLite allows SELECTs in one statement."""


def test_a_claim_takes_jobs_of_hundreds_of_queues_with_limits() -> None:
    names = [f"queue{number:03}" for number in range(MANY)]
    store = get_store("default")
    store.add_queues("default", names)
    add.enqueue_many([((1,), {})] * 2 * MANY)
    jobs = list(Job.objects.all())
    for job, name in zip(jobs, [*names, *names], strict=True):
        job.queue_name = name
    Job.objects.bulk_update(jobs, ["queue_name"], batch_size=100)
    limits = dict.fromkeys(names, QueueLimits(max_running=1))
    slots = 2 * MANY
    request = ClaimRequest("default", names, slots, limits=limits, free=(slots, 0))
    limited = LimitedRequest("default", (), (), slots, 0, limits)

    claimed = store.exchange(register_worker(), [], request, limited=limited).claimed

    assert sorted(job.queue_name for job in claimed) == names
    assert store.count_running_of_queues("default", names) == dict.fromkeys(names, 1)
