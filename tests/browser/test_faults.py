"""After a failure of a server, a worker or the network the page shows the right state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import TIMEOUT_MS
from tests.browser.tabs import LIVE_TRANSPORTS, TRANSPORTS, LiveConnections, set_hidden
from tests.waiting import happens_within

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.browser.site import Site

MAX_RECONNECT_DELAY_MS = 30_000


@pytest.fixture(autouse=True)
def restarted(site: Site) -> Iterator[None]:
    """Restart the server and the worker after the test."""
    yield
    site.start()
    site.worker.start()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_page_reconnects_to_a_restarted_server(
    site: Site, context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    status = page.locator("task-status")
    control.progress(50)
    expect(status).to_contain_text("50%")
    site.kill()
    expect(status).to_contain_text("Reconnecting")
    expect(status.get_by_text("Reconnecting")).to_be_visible()
    control.finish()
    site.start()
    timeout = MAX_RECONNECT_DELAY_MS + TIMEOUT_MS
    expect(status).to_have_attribute("data-phase", "succeeded", timeout=timeout)
    expect(status.get_by_text("Reconnecting")).to_be_hidden()
    names = [name for name, *_ in page.evaluate("events")]
    assert names.count("task-offline") == names.count("task-online") == 1


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_job_of_a_killed_worker_finishes_on_the_page(
    site: Site, context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    status = page.locator("task-status")
    control.progress(50)
    expect(status).to_contain_text("50%")
    site.worker.kill()
    control.finish("x")
    site.worker.start()
    expect(status).to_have_attribute("data-phase", "succeeded")
    versions = [version for *_, version in page.evaluate("events")]
    assert versions == sorted(versions)


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_hidden_tab_does_not_report_to_others_that_the_server_is_back(
    site: Site, context: BrowserContext, start: Any, transport: str
):
    connections = LiveConnections(context)
    job, _ = start(context)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(f"/show/?ids={job}&transport={transport}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    leader = connections.leader
    (other,) = set(tabs) - {leader}
    site.kill()
    for tab in tabs:
        expect(tab.locator("task-status").get_by_text("Reconnecting")).to_be_visible()
    set_hidden(leader, hidden=True)
    is_online = "events.some(([name]) => name === 'task-online')"
    assert not happens_within(1.5, lambda: other.evaluate(is_online), page=other)


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_page_without_network_shows_that_it_reconnects(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    message = page.locator("task-status").get_by_text("Reconnecting")
    context.set_offline(True)
    expect(message).to_be_visible()
    context.set_offline(False)
    control.finish()
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()
    expect(message).to_be_hidden()
