"""The examples of docs/howto/pause-and-protect-queues.md do what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.test import RequestFactory, override_settings

from offload import JobState, QueueFull, queues
from offload.queues.words import describe
from offload.testing import run_jobs
from tests import how_to
from tests.how_to import Load

PAGE = how_to.page("pause-and-protect-queues")

pytestmark = pytest.mark.django_db


def test_a_task_pauses_its_queue_when_the_provider_is_down(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = load("mails")

    def deliver(_address: str) -> None:
        raise mails.ProviderDown("It is down")

    monkeypatch.setattr(mails, "deliver", deliver)
    first, second = mails.send_receipt.enqueue_many([(("a",), {}), (("b",), {})])

    assert [job.id for job in run_jobs()] == [first.id]
    assert queues.get("mail").reason == "It is down"
    for job in (first, second):
        job.refresh()
        assert job.state == JobState.READY


def test_operators_pause_and_resume_queues(load: Load) -> None:
    operators = load("operators")

    operators.pause(SimpleNamespace(username="ada"), "mail", "bug 17")

    assert operators.paused() == [("mail", "bug 17", "ada", 0)]
    operators.resume("mail")
    assert operators.paused() == []


def test_a_reason_may_be_public(load: Load) -> None:
    load("announcements").provider_is_down()

    assert queues.get("mail").is_reason_public


def test_a_queue_is_limited_and_one_limit_is_taken_away(load: Load) -> None:
    load("limits").keep_to_the_contract()
    assert describe(queues.get("mail").limits) == {
        "concurrency": 20,
        "rate": "14/s",
        "burst": 1,
    }
    load("limits").no_connections_counted()
    assert describe(queues.get("mail").limits) == {"rate": "14/s", "burst": 1}


@pytest.fixture
def _full(load: Load) -> Iterator[None]:
    """A full queue of the page's settings."""
    tasks = load("settings").TASKS
    with override_settings(TASKS=tasks):
        queues.limit("reports", max_queued=1)
        load("views").build_report.enqueue(2025)
        yield


@pytest.mark.usefixtures("_full")
def test_a_view_says_that_it_is_busy(load: Load) -> None:
    response = load("views").start(RequestFactory().post("/"), 2026)

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert queues.get("reports").settings.max_queued == 1000


@pytest.mark.usefixtures("_full")
def test_a_middleware_an_exception_handler_and_a_ninja_handler_do_so_for_all_views(
    load: Load,
) -> None:
    request = RequestFactory().post("/")
    with pytest.raises(QueueFull) as raised:
        load("views").build_report.enqueue(2026)
    error = raised.value

    middleware = load("middleware").BusyMiddleware(None)
    assert middleware.process_exception(request, error).status_code == 503
    assert middleware.process_exception(request, ValueError()) is None
    assert load("rest").handle(error, {"request": request}).status_code == 503
    assert load("rest").handle(ValueError(), {"request": request}) is None
    api = load("api").api
    assert api.on_exception(request, error).status_code == 503
