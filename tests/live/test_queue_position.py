"""The queue position of delayed jobs, and how rarely it is queried."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from offload import JobState
from offload.live import queue_position
from offload.live.jobs import find_jobs
from offload.live.queue_position import (
    CACHE_TIME_FACTOR,
    MAX_CACHE_ENTRIES,
    MAX_POSITION,
    MIN_CACHE_SECONDS,
    QueryCache,
    QueuePosition,
    find_queue_positions,
)
from offload.models import Job, Worker
from offload.testing import recording
from tests.jobs import claim, register_worker
from tests.live.clients import BROWSER, start_job, user_client
from tests.live.stream_reader import StreamReader
from tests.live.tasks import for_all
from tests.tasks import aadd, add

pytestmark = pytest.mark.django_db

UNSERVED = QueuePosition("unserved")


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without results of queries that another test has cached."""
    monkeypatch.setattr(queue_position, "query_cache", QueryCache())


def age(*ids: Any, seconds: float = 60) -> None:
    """Change the jobs with these ids, or all, as if they had been waiting for some time."""
    jobs = Job.objects.filter(pk__in=ids) if ids else Job.objects.all()
    jobs.update(run_after=timezone.now() - timedelta(seconds=seconds))


def position_of(result: Any) -> QueuePosition | None:
    return find_queue_positions(Job.objects.filter(pk=result.id)).get(UUID(result.id))


# --- position and delay -------------------------------------------------------------------------


def test_a_young_job_is_not_queried_for(django_assert_num_queries):
    add.enqueue(1)
    age(seconds=14)
    jobs = list(Job.objects.all())

    with django_assert_num_queries(0):
        assert find_queue_positions(jobs) == {}


@pytest.mark.parametrize("state", [JobState.READY, JobState.SCHEDULED])
def test_a_delayed_job_is_unserved_if_no_worker_runs(state):
    job = add.enqueue(1)
    age()
    Job.objects.update(state=state)

    assert position_of(job) == UNSERVED


@pytest.mark.parametrize(
    ("columns", "is_served"),
    [
        ({}, True),
        ({"queues": "default"}, True),
        ({"queues": "mail,default"}, True),
        ({"queues": "mail"}, False),
        ({"queues": "default2"}, False),
        ({"backend": "other"}, False),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, False),
    ],
)
def test_a_queue_is_served_by_live_workers_that_name_it(columns, is_served):
    register_worker()
    Worker.objects.update(**columns)
    job = add.enqueue(1)
    age()

    assert (position_of(job) != UNSERVED) is is_served


def test_the_position_of_a_delayed_job_counts_the_jobs_that_run_before_it():
    register_worker()
    third, first, second = (add.using(priority=priority).enqueue(1) for priority in (0, 5, 5))
    other_queue, other_kind = add.using(queue_name="mail").enqueue(1), aadd.enqueue(1)
    age()

    positions = [position_of(each) for each in (first, second, third, other_queue, other_kind)]

    assert positions == [QueuePosition("slow", number) for number in (1, 2, 3, 1, 1)]


def test_behind_many_other_jobs_there_is_no_position(django_assert_num_queries):
    register_worker()
    jobs = add.enqueue_many([((number,), {}) for number in range(MAX_POSITION + 1)])
    age()
    rows = list(Job.objects.order_by("run_after", "pk"))

    with django_assert_num_queries(2):
        positions = find_queue_positions(rows)

    assert [positions[row.pk].position for row in rows] == [*range(1, MAX_POSITION + 1), None]
    assert len(jobs) == len(positions)


def test_a_due_job_that_is_not_promoted_has_no_position():
    register_worker()
    job = add.enqueue(1)
    age()
    Job.objects.update(state=JobState.SCHEDULED)

    assert position_of(job) == QueuePosition("slow")


def test_a_running_or_scheduled_job_is_not_delayed():
    claimed, _ = add.enqueue(1), claim(register_worker())
    later = add.using(run_after=timedelta(hours=1)).enqueue(1)
    age(claimed.id)

    assert position_of(claimed) is position_of(later) is None


def test_a_job_in_memory_has_no_position(django_assert_num_queries):
    with recording():
        pk = UUID(add.enqueue(1).id)
        found = find_jobs([pk])
        found[pk].run_after = timezone.now() - timedelta(seconds=60)

        with django_assert_num_queries(0):
            assert find_queue_positions(found.values()) == {}


# --- the cache ----------------------------------------------------------------------------------


def test_the_result_of_a_query_is_cached_for_some_seconds(monkeypatch, django_assert_num_queries):
    register_worker()
    add.enqueue(1)
    age()
    now = 1000.0
    monkeypatch.setattr(queue_position, "query_cache", QueryCache(lambda: now))
    jobs = list(Job.objects.all())

    with django_assert_num_queries(2):
        find_queue_positions(jobs)
        now += MIN_CACHE_SECONDS - 0.1
        find_queue_positions(jobs)
    now += 0.2
    with django_assert_num_queries(2):
        find_queue_positions(jobs)


def test_the_result_of_a_slow_query_is_cached_for_longer():
    now, queries = 1000.0, 0

    def query(_: str) -> int:
        nonlocal now, queries
        now += 2.0
        queries += 1
        return queries

    cache = QueryCache(lambda: now)

    assert cache.get(query, "a") == cache.get(query, "a") == 1
    now += 2 * CACHE_TIME_FACTOR - 3
    assert cache.get(query, "a") == 1
    now += 2
    assert cache.get(query, "a") == 2


def test_the_cache_has_a_limit():
    cache = QueryCache()
    for number in range(MAX_CACHE_ENTRIES + 10):
        cache.get(str, number)

    assert len(cache) <= MAX_CACHE_ENTRIES


# --- where it is shown --------------------------------------------------------------------------


@pytest.fixture
def ada() -> Client:
    return user_client()


@pytest.fixture
def delayed(ada: Client) -> str:
    identifier = start_job(ada)
    age()
    return identifier


def test_the_document_has_the_delay(ada, delayed):
    assert ada.get(f"/tasks/{delayed}/").json()["estimate"] == {
        "remaining_seconds": None,
        "position": None,
        "delay": "unserved",
    }


def test_the_tag_of_a_list_changes_with_the_delay(ada, delayed, monkeypatch):
    url = f"/tasks/?ids={delayed}"
    first = ada.get(url)
    same = ada.get(url, headers={"If-None-Match": first.headers["ETag"]})
    register_worker()
    monkeypatch.setattr(queue_position, "query_cache", QueryCache())
    changed = ada.get(url, headers={"If-None-Match": first.headers["ETag"]})

    assert first.json()["items"][0]["estimate"]["delay"] == "unserved"
    assert same.status_code == 304
    assert changed.json()["items"][0]["estimate"]["delay"] == "slow"
    assert changed.json()["items"][0]["estimate"]["position"] == 1


def test_the_page_has_the_delay_as_text_without_scripts(ada, delayed, monkeypatch):
    unserved = ada.get(f"/tasks/{delayed}/page/", headers=BROWSER).text.partition("<main>")[2]
    register_worker()
    monkeypatch.setattr(queue_position, "query_cache", QueryCache())
    slow = ada.get(f"/tasks/{delayed}/page/", headers=BROWSER).text.partition("<main>")[2]

    assert " data-slow" in unserved
    assert "It cannot be started at the moment. It will start automatically." in unserved
    assert "position" not in unserved
    assert " data-slow" in slow
    assert "This takes longer than usual." in slow
    assert "position 1 in the queue" in slow


def test_the_page_of_a_young_job_has_no_delay(ada):
    page = ada.get(f"/tasks/{start_job(ada)}/page/", headers=BROWSER).text

    assert " data-slow" not in page


@pytest.mark.django_db(transaction=True)
def test_a_stream_starts_with_delayed_jobs_also_in_known_versions(server):
    young, delayed = for_all.enqueue(), for_all.enqueue()
    age(delayed.id)
    known = {"Last-Event-ID": f"{young.id}.0,{delayed.id}.0"}

    with StreamReader(server.port, [young.id, delayed.id], known) as reader:
        (item,) = reader.expect("snapshot").data["items"]

    assert (item["id"], item["version"]) == (delayed.id, 0)
    assert item["estimate"]["delay"] == "unserved"
