"""Pages with many jobs query them together."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template import Context, Template
from django.test import RequestFactory

import offload
from offload.live.prefetch import prefetch_status
from offload.testing import run_jobs
from tests.live.tasks import explode, shown

pytestmark = pytest.mark.django_db

TEMPLATE = "{% load offload %}{% for result in results %}{% task_status result %}{% endfor %}"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def request_of(user: User) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def render(request: HttpRequest, results: list[object]) -> str:
    return Template(TEMPLATE).render(Context({"request": request, "results": results}))


def test_many_jobs_cost_one_query(ada, django_assert_num_queries):
    with offload.acting_for(ada):
        results = [shown.enqueue() for _ in range(5)]
    request = request_of(ada)

    with django_assert_num_queries(1):
        prefetch_status(request, results)
        html = render(request, results)

    assert html == render(request_of(ada), results)
    assert all(f'href="/tasks/{result.id}/"' in html for result in results)


@pytest.mark.django_db(transaction=True)
def test_the_failures_cost_one_more_query(ada, django_assert_num_queries):
    with offload.acting_for(ada):
        results = [explode.enqueue("no") for _ in range(5)]
    run_jobs()
    request = request_of(ada)

    with django_assert_num_queries(2):
        prefetch_status(request, [result.id for result in results])
        html = render(request, results)

    assert html.count("The task failed.") == 5


def test_a_foreign_job_is_not_shown_and_not_queried_again(ada, django_assert_num_queries):
    with offload.acting_for(User.objects.create_user("grace")):
        foreign = shown.enqueue()
    request = request_of(ada)
    prefetch_status(request, [foreign])

    with django_assert_num_queries(0):
        html = render(request, [foreign])

    assert "Not available" in html
    assert foreign.id not in html


def test_jobs_that_were_not_prefetched_are_queried_when_they_are_shown(ada):
    with offload.acting_for(ada):
        first, second = shown.enqueue(), shown.enqueue()
    request = request_of(ada)
    prefetch_status(request, [first])
    prefetch_status(request, [])
    second.cancel()

    html = render(request, [first, second])

    assert 'data-phase="queued"' in html
    assert 'data-phase="cancelled"' in html
