"""Servers and workers die, and the page ends in the right state without being loaded again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE
from tests.browser.tabs import Streams, hide
from tests.browser.waiting import happens_within

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.browser.site import Site

LONGEST_PAUSE = 30_000
"""Milliseconds between two tries of a page to connect."""


@pytest.fixture(autouse=True)
def whole_again(site: Site) -> Iterator[None]:
    yield
    site.start()
    site.worker.start()


@pytest.mark.parametrize("transport", ["stream", "poll"])
def test_a_server_that_is_killed_and_comes_back(
    site: Site, context: BrowserContext, page: Page, start: Any, transport: str
):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    status = page.locator("task-status")
    orders.progress(50)
    expect(status).to_contain_text("50%")
    site.kill()
    expect(status).to_contain_text("Reconnecting")
    expect(status.get_by_text("Reconnecting")).to_be_visible()
    orders.finish()
    site.start()
    expect(status).to_have_attribute("data-phase", "succeeded", timeout=LONGEST_PAUSE + PATIENCE)
    expect(status.get_by_text("Reconnecting")).to_be_hidden()
    names = [name for name, *_ in page.evaluate("told")]
    assert names.count("task-offline") == names.count("task-online") == 1


def test_a_worker_that_is_killed_and_comes_back(
    site: Site, context: BrowserContext, page: Page, start: Any
):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    orders.progress(50)
    expect(status).to_contain_text("50%")
    site.worker.kill()
    orders.finish("x")
    site.worker.start()
    expect(status).to_have_attribute("data-phase", "succeeded")
    versions = [version for *_, version in page.evaluate("told")]
    assert versions == sorted(versions)


def test_a_tab_that_leads_and_is_hidden_tells_nobody_that_the_server_is_back(
    site: Site, context: BrowserContext, start: Any
):
    streams = Streams(context)
    job, _ = start(context)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(f"/show/?ids={job}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    leader = streams.leader
    (other,) = set(tabs) - {leader}
    site.kill()
    for tab in tabs:
        expect(tab.locator("task-status").get_by_text("Reconnecting")).to_be_visible()
    hide(leader, hidden=True)
    is_told = "told.some(([name]) => name === 'task-online')"
    assert not happens_within(other, 1.5, lambda: other.evaluate(is_told))


def test_a_browser_without_a_network_says_so_soon(context: BrowserContext, page: Page, start: Any):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    said = page.locator("task-status").get_by_text("Reconnecting")
    context.set_offline(True)
    expect(said).to_be_visible()
    context.set_offline(False)
    orders.finish()
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()
    expect(said).to_be_hidden()
