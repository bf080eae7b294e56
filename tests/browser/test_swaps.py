"""Elements that scripts take out, put back, and change in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.tabs import Streams
from tests.browser.waiting import happens_within, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


@pytest.fixture
def streams(context: BrowserContext) -> Streams:
    return Streams(context)


def take_out(page: Page) -> None:
    page.evaluate("(window.kept = document.querySelector('task-status')).remove()")


def test_an_element_that_is_taken_out_is_not_followed(
    streams: Streams, context: BrowserContext, page: Page, start: Any
):
    job, _ = start(context)
    page.goto(f"/show/?ids={job}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    take_out(page)
    wait_until(page, lambda: not streams.open, "the stream is closed")
    page.evaluate("kept.setAttribute('token', 'another')")
    assert not happens_within(page, 0.5, lambda: streams.open)


def test_an_element_that_is_put_back_catches_up(
    streams: Streams, context: BrowserContext, page: Page, start: Any
):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    take_out(page)
    wait_until(page, lambda: not streams.open, "the stream is closed")
    orders.finish()
    page.evaluate("document.querySelector('main').append(kept)")
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()


def test_an_element_that_is_moved_is_followed_on(context: BrowserContext, page: Page, start: Any):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    page.evaluate("document.querySelector('main').append(document.querySelector('task-status'))")
    orders.progress(50)
    expect(page.locator("task-status")).to_contain_text("50%")
    assert page.evaluate("told.filter(([name]) => name === 'task-offline').length") == 0


@pytest.mark.parametrize("has_ended", [False, True])
def test_an_element_that_is_given_another_job_follows_that_one(
    streams: Streams, context: BrowserContext, page: Page, start: Any, has_ended: bool
):
    """As by Turbo and idiomorph, which change an element to look like a new one."""
    first, first_orders = start(context)
    second, orders = start(context)
    page.goto(f"/show/?ids={first}")
    status = page.locator("task-status")
    first_orders.progress(90)
    expect(status).to_contain_text("90%")
    if has_ended:
        first_orders.finish()
        expect(page.locator("[data-phase=succeeded]")).to_be_visible()
    status.evaluate("(element, id) => element.setAttribute('href', `/tasks/${id}/`)", second)
    expect(page.locator("[data-phase=running]")).not_to_contain_text("90%")
    orders.progress(20)
    expect(status).to_contain_text("20%")
    wait_until(
        page,
        lambda: [request.url.endswith(f"ids={second}") for request in streams.open] == [True],
        "only the second job is followed",
    )
    orders.finish()
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()
