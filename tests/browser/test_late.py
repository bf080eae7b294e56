"""A job that does not begin, and what its page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.browser.site import Site

SLOW = "This takes longer than usual."
UNSERVED = "It cannot be started at the moment."


@pytest.fixture(autouse=True)
def idle(site: Site, context: BrowserContext) -> Iterator[None]:
    """Let no worker run anything, until the test is over."""
    site.worker.kill()
    yield
    context.request.get("/staff/")
    site.let_all_end()
    site.worker.start()
    wait_until(
        context.new_page(),
        lambda: context.request.get("/count/").json()["unfinished"] == 0,
        "all jobs have ended",
    )


def age(context: BrowserContext, job: str, minutes: int = 1) -> None:
    answer = context.request.get("/age/", params={"id": job, "minutes": minutes})
    assert answer.json() == {"aged": 1}


def test_while_it_is_young_nothing_is_said(context: BrowserContext, page: Page, start: Any):
    job, _ = start(context)
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    expect(status.get_by_text("Waiting")).to_be_visible()
    expect(status.locator("[data-part=slow]")).to_be_hidden()


def test_a_stream_that_is_followed_for_long_says_that_nobody_is_there(
    site: Site, context: BrowserContext, page: Page, start: Any
):
    job, orders = start(context)
    page.clock.install()
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    page.clock.run_for(100)
    has_state = "!!document.querySelector('task-status').state"
    wait_until(page, lambda: page.evaluate(has_state), "the stream tells of it")
    expect(status).not_to_have_attribute("data-slow", re.compile(""))
    age(context, job)
    page.clock.run_for(15_000)
    page.clock.resume()
    expect(status.get_by_text(UNSERVED)).to_be_visible()

    orders.finish()
    site.worker.start()
    expect(status).to_have_attribute("data-phase", "succeeded")
    expect(status.locator("[data-part=slow]")).to_be_hidden()


def test_polling_tells_its_place_while_it_moves_up(context: BrowserContext, page: Page, start: Any):
    jobs = [start(context)[0] for _ in range(2)]
    for job in jobs:
        age(context, job)
    context.request.get("/staff/", params={"busy": "yes"})
    page.goto(f"/show/?ids={jobs[1]}&transport=poll")
    status = page.locator("task-status")
    expect(status).to_contain_text("position 2 in the queue")
    expect(status.get_by_text(SLOW)).to_be_visible()
    age(context, jobs[1], minutes=2)
    expect(status).to_contain_text("position 1 in the queue")
    assert page.evaluate("told.at(-1)") == ["task-update", "queued", 0]
