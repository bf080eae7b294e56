"""What is told of a job that has not begun for long, and how rarely that is asked for."""

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
from offload.live.queue_position import MAX_POSITION, QueuePosition, find_queue_positions
from offload.models import Job, Worker
from offload.testing import recording
from tests.jobs import claim, register
from tests.live.people import BROWSER, person, start
from tests.live.reading import Reader
from tests.live.tasks import for_all
from tests.tasks import aadd, add

pytestmark = pytest.mark.django_db

UNSERVED = QueuePosition("unserved")


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know nothing of what was asked in the database of another test."""
    monkeypatch.setattr(queue_position, "_cache", {})


def age(*ids: Any, seconds: float = 60) -> None:
    """Let jobs have waited, all of them or those."""
    jobs = Job.objects.filter(pk__in=ids) if ids else Job.objects.all()
    jobs.update(run_after=timezone.now() - timedelta(seconds=seconds))


def position_of(result: Any) -> QueuePosition | None:
    return find_queue_positions(Job.objects.filter(pk=result.id)).get(UUID(result.id))


# --- what it is ---------------------------------------------------------------------------------


def test_of_a_young_job_nothing_is_asked(django_assert_num_queries):
    add.enqueue(1)
    age(seconds=14)
    jobs = list(Job.objects.all())

    with django_assert_num_queries(0):
        assert find_queue_positions(jobs) == {}


@pytest.mark.parametrize("state", [JobState.READY, JobState.SCHEDULED])
def test_a_late_job_is_not_served_if_there_is_no_engine(state):
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
def test_a_queue_is_served_by_engines_that_live_and_name_it(columns, is_served):
    register()
    Worker.objects.update(**columns)
    job = add.enqueue(1)
    age()

    assert (position_of(job) != UNSERVED) is is_served


def test_a_late_job_has_its_place_among_those_that_run_before_it():
    register()
    third, first, second = (add.using(priority=priority).enqueue(1) for priority in (0, 5, 5))
    other_queue, other_kind = add.using(queue_name="mail").enqueue(1), aadd.enqueue(1)
    age()

    places = [position_of(each) for each in (first, second, third, other_queue, other_kind)]

    assert places == [QueuePosition("slow", place) for place in (1, 2, 3, 1, 1)]


def test_behind_many_others_it_has_none(django_assert_num_queries):
    register()
    jobs = add.enqueue_many([((number,), {}) for number in range(MAX_POSITION + 1)])
    age()
    rows = list(Job.objects.order_by("run_after", "pk"))

    with django_assert_num_queries(2):
        found = find_queue_positions(rows)

    assert [found[row.pk].position for row in rows] == [*range(1, MAX_POSITION + 1), None]
    assert len(jobs) == len(found)


def test_one_that_is_due_but_not_ready_yet_has_no_place():
    register()
    job = add.enqueue(1)
    age()
    Job.objects.update(state=JobState.SCHEDULED)

    assert position_of(job) == QueuePosition("slow")


def test_one_that_runs_or_waits_for_its_time_is_not_late():
    claimed, _ = add.enqueue(1), claim(register())
    later = add.using(run_after=timedelta(hours=1)).enqueue(1)
    age(claimed.id)

    assert position_of(claimed) is position_of(later) is None


def test_a_job_in_memory_has_none(django_assert_num_queries):
    with recording():
        pk = UUID(add.enqueue(1).id)
        found = find_jobs([pk])
        found[pk].run_after = timezone.now() - timedelta(seconds=60)

        with django_assert_num_queries(0):
            assert find_queue_positions(found.values()) == {}


# --- how often it is asked for ------------------------------------------------------------------


def test_all_who_ask_within_some_seconds_get_one_answer(monkeypatch, django_assert_num_queries):
    register()
    add.enqueue(1)
    age()
    now = 1000.0
    monkeypatch.setattr(queue_position.time, "monotonic", lambda: now)
    jobs = list(Job.objects.all())

    with django_assert_num_queries(2):
        find_queue_positions(jobs)
        now += queue_position.MIN_CACHE_SECONDS - 0.1
        find_queue_positions(jobs)
    now += 0.2
    with django_assert_num_queries(2):
        find_queue_positions(jobs)


def test_a_question_that_takes_long_is_asked_seldom(monkeypatch):
    now, asked = 1000.0, []

    def question(about: str) -> int:
        nonlocal now
        now += 2.0
        asked.append(about)
        return len(asked)

    monkeypatch.setattr(queue_position.time, "monotonic", lambda: now)

    assert queue_position._cached(question, "a") == queue_position._cached(question, "a") == 1
    now += 2 * queue_position.CACHE_TIME_FACTOR - 3
    assert queue_position._cached(question, "a") == 1
    now += 2
    assert queue_position._cached(question, "a") == 2


def test_answers_do_not_pile_up(monkeypatch):
    for number in range(queue_position.MAX_CACHE_ENTRIES + 10):
        queue_position._cached(str, number)

    assert len(queue_position._cache) <= queue_position.MAX_CACHE_ENTRIES


# --- who is told --------------------------------------------------------------------------------


@pytest.fixture
def ada() -> Client:
    return person()


@pytest.fixture
def late(ada: Client) -> str:
    identifier = start(ada)
    age()
    return identifier


def test_the_document_says_it(ada, late):
    assert ada.get(f"/tasks/{late}/").json()["estimate"] == {
        "remaining_seconds": None,
        "position": None,
        "delay": "unserved",
    }


def test_a_list_has_another_tag_when_it_changes(ada, late, monkeypatch):
    url = f"/tasks/?ids={late}"
    first = ada.get(url)
    same = ada.get(url, headers={"If-None-Match": first.headers["ETag"]})
    register()
    monkeypatch.setattr(queue_position, "_cache", {})
    changed = ada.get(url, headers={"If-None-Match": first.headers["ETag"]})

    assert first.json()["items"][0]["estimate"]["delay"] == "unserved"
    assert same.status_code == 304
    assert changed.json()["items"][0]["estimate"]["delay"] == "slow"
    assert changed.json()["items"][0]["estimate"]["position"] == 1


def test_the_page_says_it_in_words_without_any_script(ada, late, monkeypatch):
    unserved = ada.get(f"/tasks/{late}/page/", headers=BROWSER).text.partition("<main>")[2]
    register()
    monkeypatch.setattr(queue_position, "_cache", {})
    slow = ada.get(f"/tasks/{late}/page/", headers=BROWSER).text.partition("<main>")[2]

    assert " data-slow" in unserved
    assert "It cannot be started at the moment. It will start by itself." in unserved
    assert "number" not in unserved
    assert " data-slow" in slow
    assert "This takes longer than usual." in slow
    assert "number 1 in the queue" in slow


def test_of_a_young_job_the_page_says_nothing(ada):
    page = ada.get(f"/tasks/{start(ada)}/page/", headers=BROWSER).text

    assert " data-slow" not in page


@pytest.mark.django_db(transaction=True)
def test_a_stream_says_it_when_it_begins_whatever_version_is_known(server):
    young, late = for_all.enqueue(), for_all.enqueue()
    age(late.id)
    known = {"Last-Event-ID": f"{young.id}.0,{late.id}.0"}

    with Reader(server.port, [young.id, late.id], known) as reader:
        (item,) = reader.expect("snapshot").data["items"]

    assert (item["id"], item["version"]) == (late.id, 0)
    assert item["estimate"]["delay"] == "unserved"
