"""A job that does not start for long: the page shows why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.tabs import LIVE_TRANSPORTS
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.browser.site import Site

SLOW = "This takes longer than usual."
UNSERVED = "It cannot be started at the moment."


@pytest.fixture(autouse=True)
def idle(site: Site, context: BrowserContext) -> Iterator[None]:
    """Run no worker during the test."""
    site.worker.kill()
    yield
    context.request.get("/busy-worker/")
    site.finish_all()
    site.worker.start()
    wait_until(
        lambda: context.request.get("/count/").json()["unfinished"] == 0,
        "all jobs have finished",
        page=context.new_page(),
    )


def backdate(context: BrowserContext, job: str, minutes: int = 1) -> None:
    response = context.request.get("/backdate/", params={"id": job, "minutes": minutes})
    assert response.json() == {"backdated": 1}


def test_a_young_job_shows_no_reason(context: BrowserContext, page: Page, start: Any):
    job, _ = start(context)
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    expect(status.get_by_text("Waiting")).to_be_visible()
    expect(status.locator("[data-part=slow]")).to_be_hidden()


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_stream_shows_that_no_worker_serves_the_queue(
    site: Site, context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.clock.install()
    page.goto(f"/show/?ids={job}&transport={transport}")
    status = page.locator("task-status")
    page.clock.run_for(100)
    has_state = "!!document.querySelector('task-status').state"
    wait_until(lambda: page.evaluate(has_state), "the stream has sent the job", page=page)
    expect(status).not_to_have_attribute("data-slow", re.compile(""))
    backdate(context, job)
    page.clock.run_for(15_000)
    page.clock.resume()
    expect(status.get_by_text(UNSERVED)).to_be_visible()

    control.finish()
    site.worker.start()
    expect(status).to_have_attribute("data-phase", "succeeded")
    expect(status.locator("[data-part=slow]")).to_be_hidden()


def test_polling_shows_the_position_in_the_queue(context: BrowserContext, page: Page, start: Any):
    jobs = [start(context)[0] for _ in range(2)]
    for job in jobs:
        backdate(context, job)
    context.request.get("/busy-worker/", params={"register": "yes"})
    page.goto(f"/show/?ids={jobs[1]}&transport=poll")
    status = page.locator("task-status")
    expect(status).to_contain_text("position 2 in the queue")
    expect(status.get_by_text(SLOW)).to_be_visible()
    backdate(context, jobs[1], minutes=2)
    expect(status).to_contain_text("position 1 in the queue")
    assert page.evaluate("events.at(-1)") == ["task-update", "queued", 0]
