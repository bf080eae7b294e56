"""The examples of docs/howto/unique-jobs.md do what the page says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import RequestFactory
from django.utils import timezone

from offload.models import Job
from offload.testing import run_jobs
from tests import how_to
from tests.how_to import Load

PAGE = how_to.page("unique-jobs")

pytestmark = pytest.mark.django_db


def seconds_until_start(result: Any) -> float:
    return (Job.objects.get(pk=result.id).run_after - timezone.now()).total_seconds()


def test_one_import_of_a_shop_is_there_at_a_time(load: Load, rf: RequestFactory) -> None:
    request = rf.post("/", headers={"Accept": "application/json"})
    request.user = User.objects.create_user("ada", is_staff=True)
    start_import = load("views").start_import

    first, second = start_import(request, 7), start_import(request, 7)

    assert first.status_code == second.status_code == 202
    assert first.content == second.content
    assert Job.objects.count() == 1


def test_an_index_is_rebuilt_once_for_all_changes_before_its_start(load: Load) -> None:
    rebuild = load("search").rebuild_index
    with transaction.atomic():
        results = [rebuild.enqueue(5) for _ in range(3)]

    assert [result.is_new for result in results] == [True, False, False]


def test_a_mail_is_sent_five_minutes_after_the_last_edit(load: Load) -> None:
    confirm = load("orders").send_confirmation
    first = confirm.enqueue(1, "ada")
    Job.objects.update(run_after=timezone.now(), enqueued_at=timezone.now() - timedelta(minutes=5))
    last = confirm.enqueue(1, "bob")

    assert last.id == first.id
    assert 290 < seconds_until_start(last) <= 300
    Job.objects.update(enqueued_at=timezone.now() - timedelta(minutes=59))
    assert 50 < seconds_until_start(confirm.enqueue(1, "eve")) <= 60
    (sent,) = run_jobs(include_scheduled=True)
    assert sent.args == [1, "eve"]


def test_a_feed_is_fetched_at_most_once_a_minute(load: Load) -> None:
    fetch = load("feeds").fetch_feed
    first = fetch.enqueue(1)
    run_jobs()

    assert fetch.enqueue(1).id == first.id
    assert fetch.enqueue(2).is_new
    Job.objects.update(unique_within=timezone.now())
    assert fetch.enqueue(1).is_new


def test_a_second_payout_is_refused(load: Load) -> None:
    pay_again = load("support").pay_again
    first = pay_again(1)
    run_jobs()

    assert (pay_again(1).id, pay_again(2).is_new) == (first.id, True)
