"""Elements that scripts remove, insert, and change in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.tabs import LIVE_TRANSPORTS, LiveConnections
from tests.waiting import happens_within, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, WebSocket


@pytest.fixture
def connections(context: BrowserContext) -> LiveConnections:
    return LiveConnections(context)


def remove_element(page: Page) -> None:
    page.evaluate("(window.removed = document.querySelector('task-status')).remove()")


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_removed_element_is_not_followed(
    connections: LiveConnections, context: BrowserContext, page: Page, start: Any, transport: str
):
    job, _ = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    wait_until(lambda: connections.open, "the connection is open", page=page)
    remove_element(page)
    wait_until(lambda: not connections.open, "the connection is closed", page=page)
    page.evaluate("removed.setAttribute('token', 'another')")
    assert not happens_within(0.5, lambda: connections.open, page=page)


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_removed_element_catches_up_when_it_is_inserted(
    connections: LiveConnections, context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    wait_until(lambda: connections.open, "the connection is open", page=page)
    remove_element(page)
    wait_until(lambda: not connections.open, "the connection is closed", page=page)
    control.finish()
    page.evaluate("document.querySelector('main').append(removed)")
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_moved_element_is_followed_without_a_break(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    page.evaluate("document.querySelector('main').append(document.querySelector('task-status'))")
    control.progress(50)
    expect(page.locator("task-status")).to_contain_text("50%")
    assert page.evaluate("events.filter(([name]) => name === 'task-offline').length") == 0


@pytest.mark.parametrize("has_finished", [False, True])
@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_an_element_with_another_href_follows_that_job(
    connections: LiveConnections,
    context: BrowserContext,
    page: Page,
    start: Any,
    transport: str,
    has_finished: bool,
):
    """Turbo and idiomorph change an element in place into a new one."""
    subscriptions: dict[WebSocket, str] = {}

    def record_subscription(socket: WebSocket) -> None:
        socket.on("framesent", lambda message: subscriptions.update({socket: message}))

    page.on("websocket", record_subscription)
    first, first_control = start(context)
    second, control = start(context)
    page.goto(f"/show/?ids={first}&transport={transport}")
    status = page.locator("task-status")
    first_control.progress(90)
    expect(status).to_contain_text("90%")
    if has_finished:
        first_control.finish()
        expect(page.locator("[data-phase=succeeded]")).to_be_visible()
    status.evaluate("(element, id) => element.setAttribute('href', `/tasks/${id}/`)", second)
    expect(page.locator("[data-phase=running]")).not_to_contain_text("90%")
    control.progress(20)
    expect(status).to_contain_text("20%")

    def follows_the_second_job_only() -> bool:
        if len(connections.open) != 1:
            return False
        (connection,) = connections.open
        followed = subscriptions.get(connection, connection.url)
        return second in followed and first not in followed

    wait_until(follows_the_second_job_only, "only the second job is followed", page=page)
    control.finish()
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()
