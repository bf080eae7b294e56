"""The queue position of delayed jobs, and how rarely it is queried."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Concat
from django.test import Client, override_settings
from django.utils import timezone, translation

from offload import JobState, queues
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
from offload.models import Job, Limit, Queue, TaskPause, Worker
from offload.testing import recording
from offload.timestamps import to_iso, to_microseconds
from tests import limited_tasks
from tests.jobs import claim, claim_limited, move_to_state, register_worker
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


@pytest.mark.parametrize("state", [JobState.READY, JobState.SCHEDULED, JobState.LIMITED])
def test_a_delayed_job_is_unserved_if_no_worker_runs(state):
    job = add.enqueue(1)
    age()
    move_to_state(job, state)

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

    with django_assert_num_queries(3):  # pauses, workers, positions
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


# --- pauses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.READY, JobState.SCHEDULED, JobState.LIMITED])
def test_a_delayed_job_of_a_paused_queue_says_so_whether_a_worker_runs_or_not(state):
    job = add.enqueue(1)
    age()
    move_to_state(job, state)
    queues.pause("default", reason="bug 17")

    assert position_of(job) == QueuePosition("paused")


def test_the_document_of_a_paused_job_has_the_end_of_the_pause_and_a_public_reason():
    queue = queues.pause(
        "default", reason="Our provider\nis down", until=timedelta(hours=1), public=True
    )
    for_all.enqueue()
    age()

    (job,) = Job.objects.all()
    document = Client().get(f"/tasks/{job.pk}/").json()
    assert document["run_after"] == to_iso(queue.paused_until)
    assert document["estimate"] == {
        "remaining_seconds": None,
        "position": None,
        "delay": "paused",
        "reason": "Our provider is down",
    }


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Paused. It will start automatically."),
        ("de", "Pausiert. Die Aufgabe startet später automatisch."),
        ("fr", "En pause. Le traitement démarrera automatiquement."),
    ],
)
def test_the_page_of_a_paused_job_says_so_in_the_visitors_language(language, text):
    queues.pause("default", reason="bug 17", until=timedelta(hours=1))
    for_all.enqueue()
    age()

    (job,) = Job.objects.all()
    with translation.override(language):
        page = Client().get(f"/tasks/{job.pk}/page/", headers=BROWSER).text.partition("<main>")[2]
    assert text in page
    assert '<time data-part="time" datetime=' in page
    assert "bug 17" not in page


@pytest.mark.parametrize("is_put_aside", [False, True])
def test_a_delayed_job_of_a_paused_task_says_so(is_put_aside):
    for_all.pause(reason="bug 17", until=timedelta(hours=1))
    for_all.enqueue()
    age()
    if is_put_aside:
        Job.objects.update(state=JobState.LIMITED, limit_slot="p:1")

    (job,) = Job.objects.all()
    document = Client().get(f"/tasks/{job.pk}/").json()
    assert (document["phase"], document["estimate"]["delay"]) == ("queued", "paused")
    assert document["run_after"] == to_iso(TaskPause.objects.get().paused_until)
    page = Client().get(f"/tasks/{job.pk}/page/", headers=BROWSER).text.partition("<main>")[2]
    assert "Paused. It will start automatically." in page
    assert "bug 17" not in page


def test_the_public_reason_of_a_paused_task_is_shown():
    for_all.pause(reason="Reports are wrong at the moment", public=True)
    for_all.enqueue()
    age()

    (job,) = Job.objects.all()
    document = Client().get(f"/tasks/{job.pk}/").json()
    assert document["estimate"]["reason"] == "Reports are wrong at the moment"


def test_a_job_that_waits_to_be_put_back_after_a_pause_is_slow():
    register_worker()
    job = add.enqueue(1)
    age()
    Job.objects.update(state=JobState.LIMITED, limit_slot="p:1")

    assert position_of(job) == QueuePosition("slow")


# --- limits -------------------------------------------------------------------------------------


def test_a_job_waits_for_others_of_its_queue(monkeypatch):
    worker = register_worker()
    queues.limit("default", concurrency=2)
    results = add.enqueue_many([((1,), {})] * 2)
    claim(worker)
    results += [*add.enqueue_many([((1,), {})] * 2), limited_tasks.single.enqueue()]
    other = add.using(queue_name="mail").enqueue(1)

    waits = [QueuePosition("concurrency", number) for number in (1, 2)]
    expected = [*waits, QueuePosition("concurrency"), QueuePosition("slow", 1)]
    assert positions_of([*results[2:], other]) == expected

    queues.limit("default", concurrency=3)
    monkeypatch.setattr(queue_position, "query_cache", QueryCache())
    (position,) = positions_of(results[2:3])
    assert position is not None
    assert position.delay == "slow"


def test_the_limits_of_queues_in_the_settings_count():
    with override_settings(TASKS=LIMITED_QUEUE):
        worker = register_worker()
        results = add.enqueue_many([((1,), {})])
        claim(worker)
        results += add.enqueue_many([((1,), {})])

        assert positions_of(results[1:]) == [QueuePosition("concurrency", 1)]


def test_a_job_waits_for_the_rate_of_its_queue():
    register_worker()
    queues.limit("default", rate="1/h")
    later = timezone.now() + timedelta(hours=1)
    Queue.objects.update(free_at=to_microseconds(later))
    result = add.enqueue(1)

    assert positions_of([result]) == [QueuePosition("rate", 1)]


LIMITED_QUEUE: Any = {
    "default": {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "OPTIONS": {"queue_limits": {"default": {"concurrency": 1}}},
    }
}


def positions_of(results: list[Any]) -> list[QueuePosition | None]:
    """Return the positions of jobs that have waited for a minute."""
    age(*(result.id for result in results))
    found = find_queue_positions(Job.objects.filter(pk__in=[result.id for result in results]))
    return [found.get(UUID(result.id)) for result in results]


def test_a_limited_job_waits_for_others_of_its_key(monkeypatch, django_assert_num_queries):
    worker = register_worker()
    results = limited_tasks.call_api.enqueue_many([(("a",), {})] * 4)
    other = limited_tasks.call_api.enqueue("b")
    claim_limited(worker, slots=3)
    rows = list(Job.objects.filter(pk__in=[result.id for result in results[2:]]))

    assert positions_of([*results[2:], other]) == [
        QueuePosition("concurrency", 1),
        QueuePosition("concurrency", 2),
        None,  # it runs
    ]
    assert positions_of(results[:2]) == [None, None]
    monkeypatch.setattr(queue_position, "query_cache", QueryCache())
    age()
    for row in rows:
        row.refresh_from_db()
    # Pauses, workers, limit, key, line; and jobs that run, which SQLite's store counts unlogged.
    with django_assert_num_queries(5 if connection.vendor == "sqlite" else 6):
        find_queue_positions(rows)


def test_behind_a_total_there_is_no_position():
    worker = register_worker()
    results = limited_tasks.with_total.enqueue_many([((c,), {}) for c in "aabbcd"])
    claim_limited(worker)

    (waiting,) = Job.objects.filter(state=JobState.LIMITED)
    result = next(each for each in results if each.id == str(waiting.pk))
    assert positions_of([result]) == [QueuePosition("concurrency")]


def test_a_limited_job_waits_for_its_rate():
    worker = register_worker()
    results = limited_tasks.rated.enqueue_many([((), {})] * 5)
    claim_limited(worker)

    waits = [QueuePosition("rate", number) for number in (1, 2)]
    assert positions_of(results) == [None] * 3 + waits


def test_a_job_whose_limit_lets_it_start_waits_for_a_worker(monkeypatch):
    worker = register_worker()
    fair = limited_tasks.fair.enqueue_many([(("a",), {})] * 2)
    new = limited_tasks.single.enqueue()
    assert positions_of([new]) == [QueuePosition("slow")]
    monkeypatch.setattr(queue_position, "query_cache", QueryCache())

    claim_limited(worker, slots=1)

    assert QueuePosition("slow") in positions_of([*fair, new])


def test_a_limit_of_nothing_runs_nothing():
    worker = register_worker()
    result = limited_tasks.single.enqueue()
    claim_limited(worker)
    Job.objects.update(state=JobState.LIMITED, limit_slot=Concat(Value("w:"), "limit_key"))
    Limit.objects.update(definition='{"max_running": 0}')

    assert positions_of([result]) == [QueuePosition("slow")]


# --- the cache ----------------------------------------------------------------------------------


def test_the_result_of_a_query_is_cached_for_some_seconds(monkeypatch, django_assert_num_queries):
    register_worker()
    add.enqueue(1)
    age()
    now = 1000.0
    monkeypatch.setattr(queue_position, "query_cache", QueryCache(lambda: now))
    jobs = list(Job.objects.all())

    with django_assert_num_queries(3):
        find_queue_positions(jobs)
        now += MIN_CACHE_SECONDS - 0.1
        find_queue_positions(jobs)
    now += 0.2
    with django_assert_num_queries(3):
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
        "reason": None,
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
