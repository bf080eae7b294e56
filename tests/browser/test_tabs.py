"""The tabs of a browser share one connection, and hidden tabs have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.tabs import LIVE_TRANSPORTS, TRANSPORTS, LiveConnections, set_hidden
from tests.waiting import happens_within, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.browser.site import JobControl


# --- one connection -------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_seven_tabs_share_one_connection_and_hand_it_over(
    context: BrowserContext, start: Any, transport: str
):
    connections = LiveConnections(context)
    jobs = [start(context) for _ in range(7)]
    tabs = [context.new_page() for _ in jobs]
    for tab, (job, _) in zip(tabs, jobs, strict=True):
        tab.goto(f"/show/?ids={job}&transport={transport}")
    for tab, (_, control) in zip(tabs, jobs, strict=True):
        control.progress(20)
        expect(tab.locator("task-status")).to_contain_text("20%")
    assert len(connections.open) == 1
    # A browser makes six connections to a server over HTTP/1.1.
    assert tabs[6].evaluate("fetch('/count/').then(response => response.status)") == 200

    leader = connections.leader
    leader.close()
    for tab, (_, control) in zip(tabs, jobs, strict=True):
        if tab is not leader:
            control.finish()
            expect(tab.locator("task-status")).to_have_attribute("data-phase", "succeeded")
    assert len(set(connections.pages)) <= 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_tabs_with_the_same_job_show_it_at_the_same_time(
    context: BrowserContext, start: Any, transport: str
):
    job, control = start(context)
    first, second = context.new_page(), context.new_page()
    for tab in (first, second):
        tab.goto(f"/show/?ids={job}&transport={transport}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    control.fail("The file is empty.")
    for tab in (first, second):
        expect(tab.locator("task-status")).to_contain_text("The file is empty.")


def test_a_tab_with_a_stream_and_one_with_a_websocket_share_a_connection(
    context: BrowserContext, start: Any
):
    connections = LiveConnections(context)
    job, control = start(context)
    tabs = [context.new_page() for _ in LIVE_TRANSPORTS]
    for tab, query in zip(tabs, ("", "&transport=websocket"), strict=True):
        tab.goto(f"/show/?ids={job}{query}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    assert connections.leader is tabs[0]
    tabs[0].close()
    control.progress(20)
    expect(tabs[1].locator("task-status")).to_contain_text("20%")
    wait_until(lambda: connections.pages == [tabs[1]], "the other tab has connected", page=tabs[1])


def test_tabs_send_each_other_nothing_while_nothing_changes(context: BrowserContext, start: Any):
    job, _ = start(context)
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(f"/show/?ids={job}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    counts: list[int] = []

    def is_quiet() -> bool:
        counts.append(sum(tab.evaluate("posted") for tab in tabs))
        return len(counts) > 25 and counts[-1] == counts[-25]

    wait_until(is_quiet, "no tab sends a message", page=tabs[0])


WITHOUT_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined })"


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_without_locks_two_tabs_stream_and_the_others_poll(
    context: BrowserContext, start: Any, transport: str
):
    context.add_init_script(WITHOUT_LOCKS)
    connections = LiveConnections(context)
    polling: list[Page] = []

    def record(request: Any) -> None:
        if "/tasks/?ids=" in request.url:
            polling.append(request.frame.page)

    context.on("request", record)
    job, control = start(context)
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(f"/show/?ids={job}&transport={transport}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    control.progress(20)
    for tab in tabs:
        expect(tab.locator("task-status")).to_contain_text("20%")
    assert set(connections.pages) == set(tabs[:2])
    assert set(polling) == {tabs[2]}

    tabs[0].close()
    wait_until(lambda: tabs[2] in connections.pages, "the polling tab streams", page=tabs[2])
    control.finish()
    for tab in tabs[1:]:
        expect(tab.locator("[data-phase=succeeded]")).to_be_visible()


def test_without_locks_tabs_do_not_answer_each_other_indefinitely(
    context: BrowserContext, start: Any
):
    context.add_init_script(WITHOUT_LOCKS)
    job, _ = start(context)
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(f"/show/?ids={job}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()

    def posted() -> int:
        return sum(tab.evaluate("posted") for tab in tabs)

    before = posted()
    assert not happens_within(1, lambda: posted() > before + 50, page=tabs[0])


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_two_users_of_one_browser_share_nothing(
    context: BrowserContext, start: Any, transport: str
):
    connections = LiveConnections(context)
    channels = set()
    for name in ("ada", "grace"):
        context.request.get("/sign-in/", params={"name": name})
        job, _ = start(context)
        tab = context.new_page()
        tab.goto(f"/show/?ids={job}&transport={transport}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
        channels.add(tab.locator("task-status").get_attribute("channel"))
        # At once: the next sign-in ends the session, and with it this connection.
        wait_until(lambda tab=tab: tab in connections.pages, "each has a connection", page=tab)
    assert len(channels) == 2


def finish_and_see_it(context: BrowserContext, job: str, control: JobControl) -> None:
    """Finish a job, and wait until another tab shows it."""
    control.finish()
    other = context.new_page()
    other.goto(f"/show/?ids={job}")
    expect(other.locator("[data-phase=succeeded]")).to_be_visible()


# --- hidden tabs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_hidden_tab_is_silent_and_catches_up(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    connections = LiveConnections(context)
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    if transport in LIVE_TRANSPORTS:
        wait_until(lambda: connections.open, "the connection is open", page=page)
    set_hidden(page, hidden=True)
    wait_until(lambda: not connections.open, "the connection is closed", page=page)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("websocket", lambda socket: urls.append(socket.url))
    finish_and_see_it(context, job, control)
    assert urls == []
    assert page.locator("task-status").get_attribute("data-phase") == "running"
    set_hidden(page, hidden=False)
    expect(page.locator("task-status")).to_have_attribute("data-phase", "succeeded")


def test_a_hidden_tab_notifies_when_the_job_has_finished(
    context: BrowserContext, page: Page, start: Any
):
    job, control = start(context)
    page.clock.install()
    page.goto(f"/show/?ids={job}&notify=True")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    set_hidden(page, hidden=True)
    finish_and_see_it(context, job, control)
    expect(page).to_have_title("Jobs")
    page.clock.run_for(60_000)
    expect(page).to_have_title("(1) Monthly report: Done")
    set_hidden(page, hidden=False)
    expect(page).to_have_title("Jobs")


def test_a_tab_that_was_opened_in_the_background_notifies_too(
    context: BrowserContext, page: Page, start: Any
):
    page.add_init_script(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true })"
    )
    job, control = start(context)
    page.clock.install()
    page.goto(f"/show/?ids={job}&notify=True")
    finish_and_see_it(context, job, control)
    page.clock.run_for(60_000)
    expect(page).to_have_title("(1) Monthly report: Done")


def test_a_hidden_tab_counts_the_jobs_that_have_finished(
    context: BrowserContext, page: Page, start: Any
):
    jobs = [start(context) for _ in range(2)]
    ids = ",".join(job for job, _ in jobs)
    page.clock.install()
    page.goto(f"/show/?ids={ids}&notify=True")
    expect(page.locator("[data-phase=running]")).to_have_count(2)
    for hidden in (True, False, True):
        set_hidden(page, hidden=hidden)
    for job, control in jobs:
        finish_and_see_it(context, job, control)
    page.clock.run_for(60_000)
    expect(page).to_have_title("(2) Monthly report: Done")
    set_hidden(page, hidden=False)
    expect(page).to_have_title("Jobs")


def test_where_pages_cannot_notify_the_title_changes_anyway(
    context: BrowserContext, page: Page, start: Any
):
    """On Android only a service worker can show a notification."""
    page.add_init_script(
        """window.Notification = class {
            static permission = "granted";
            constructor() { throw new TypeError("Illegal constructor"); }
        };"""
    )
    job, control = start(context)
    page.clock.install()
    page.goto(f"/show/?ids={job}&notify=True")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    set_hidden(page, hidden=True)
    finish_and_see_it(context, job, control)
    page.clock.run_for(60_000)
    expect(page).to_have_title("(1) Monthly report: Done")
    set_hidden(page, hidden=False)
    expect(page).to_have_title("Jobs")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_prerendered_page_connects_when_it_is_shown(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.add_init_script("document.isPrerendering = true")
    page.add_init_script(
        "Object.defineProperty(document, 'prerendering', { get: () => document.isPrerendering })"
    )
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("websocket", lambda socket: urls.append(socket.url))
    page.goto(f"/show/?ids={job}&transport={transport}")
    assert not happens_within(0.3, lambda: any("/tasks/" in url for url in urls), page=page)
    page.evaluate(
        """() => {
            document.isPrerendering = false;
            document.dispatchEvent(new Event("prerenderingchange"));
        }"""
    )
    control.finish()
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_page_restored_from_the_back_forward_cache_catches_up(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    page.evaluate(
        "addEventListener('pageshow', ({ persisted }) => { window.persisted = persisted; })"
    )
    page.goto("/form/")
    control.finish()
    page.go_back(wait_until="commit")
    expect(page.locator("task-status")).to_have_attribute("data-phase", "succeeded")
    assert page.evaluate("window.persisted") is True
