"""Tabs of one browser share a connection, and hidden ones have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.browser.tabs import Streams, hide
from tests.browser.waiting import happens_within, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


def test_seven_tabs_share_one_stream_and_hand_it_over(context: BrowserContext, start: Any):
    streams = Streams(context)
    jobs = [start(context) for _ in range(7)]
    tabs = [context.new_page() for _ in jobs]
    for tab, (job, _) in zip(tabs, jobs, strict=True):
        tab.goto(f"/show/?ids={job}")
    for tab, (_, orders) in zip(tabs, jobs, strict=True):
        orders.progress(20)
        expect(tab.locator("task-status")).to_contain_text("20%")
    assert len(streams.open) == 1
    # Seven streams would leave no connection for this.
    assert tabs[6].evaluate("fetch('/count/').then(response => response.status)") == 200

    leader = streams.leader
    leader.close()
    rest = [(tab, orders) for tab, (_, orders) in zip(tabs, jobs, strict=True) if tab is not leader]
    for tab, orders in rest:
        orders.finish()
        expect(tab.locator("task-status")).to_have_attribute("data-phase", "succeeded")
    assert len({request.frame.page for request in streams.open}) <= 1


def test_tabs_that_show_one_job_hear_of_it_at_once(context: BrowserContext, start: Any):
    job, orders = start(context)
    first, second = context.new_page(), context.new_page()
    for tab in (first, second):
        tab.goto(f"/show/?ids={job}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    orders.fail("The file is empty.")
    for tab in (first, second):
        expect(tab.locator("task-status")).to_contain_text("The file is empty.")


def test_tabs_have_nothing_to_say_while_nothing_happens(context: BrowserContext, start: Any):
    job, _ = start(context)
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(f"/show/?ids={job}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    said: list[int] = []

    def is_quiet() -> bool:
        said.append(sum(tab.evaluate("posted") for tab in tabs))
        return len(said) > 25 and said[-1] == said[-25]

    wait_until(tabs[0], is_quiet, "no tab says anything")


WITHOUT_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined })"


def test_without_locks_two_tabs_stream_and_the_others_poll(context: BrowserContext, start: Any):
    context.add_init_script(WITHOUT_LOCKS)
    streams = Streams(context)
    polls: list[Page] = []

    def note(request: Any) -> None:
        if "/tasks/?ids=" in request.url:
            polls.append(request.frame.page)

    context.on("request", note)
    job, orders = start(context)
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(f"/show/?ids={job}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    orders.progress(20)
    for tab in tabs:
        expect(tab.locator("task-status")).to_contain_text("20%")
    assert {request.frame.page for request in streams.open} == set(tabs[:2])
    assert set(polls) == {tabs[2]}

    tabs[0].close()
    wait_until(
        tabs[2],
        lambda: tabs[2] in [request.frame.page for request in streams.open],
        "the tab that polled streams",
    )
    orders.finish()
    for tab in tabs[1:]:
        expect(tab.locator("[data-phase=succeeded]")).to_be_visible()


def test_without_locks_tabs_do_not_answer_each_other_for_ever(context: BrowserContext, start: Any):
    context.add_init_script(WITHOUT_LOCKS)
    job, _ = start(context)
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(f"/show/?ids={job}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
    before = sum(tab.evaluate("posted") for tab in tabs)
    assert not happens_within(
        tabs[0], 1, lambda: sum(tab.evaluate("posted") for tab in tabs) > before + 50
    )


def test_two_people_in_one_browser_share_nothing(context: BrowserContext, start: Any):
    streams = Streams(context)
    names = set()
    for name in ("ada", "grace"):
        context.request.get("/sign-in/", params={"name": name})
        job, _ = start(context)
        tab = context.new_page()
        tab.goto(f"/show/?ids={job}")
        expect(tab.locator("[data-phase=running]")).to_be_visible()
        names.add(tab.locator("task-status").get_attribute("channel"))
    assert len(names) == 2
    wait_until(tab, lambda: len(streams.open) == 2, "each has a stream")


def test_a_hidden_tab_is_silent_and_catches_up(context: BrowserContext, page: Page, start: Any):
    streams = Streams(context)
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    hide(page, hidden=True)
    wait_until(page, lambda: not streams.open, "the stream is closed")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    orders.finish()
    other = context.new_page()
    other.goto(f"/show/?ids={job}")
    expect(other.locator("[data-phase=succeeded]")).to_be_visible()
    assert requests == []
    assert page.locator("task-status").get_attribute("data-phase") == "running"
    hide(page, hidden=False)
    expect(page.locator("task-status")).to_have_attribute("data-phase", "succeeded")


def test_a_hidden_tab_that_wants_to_be_told_is(context: BrowserContext, page: Page, start: Any):
    job, orders = start(context)
    page.clock.install()
    page.goto(f"/show/?ids={job}&notify=True")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    hide(page, hidden=True)
    orders.finish()
    other = context.new_page()
    other.goto(f"/show/?ids={job}")
    expect(other.locator("[data-phase=succeeded]")).to_be_visible()
    expect(page).to_have_title("Jobs")
    page.clock.run_for(60_000)
    expect(page).to_have_title("(1) Monthly report: Done")
    hide(page, hidden=False)
    expect(page).to_have_title("Jobs")


def test_a_tab_that_was_opened_behind_others_tells_too(
    context: BrowserContext, page: Page, start: Any
):
    page.add_init_script(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true })"
    )
    job, orders = start(context)
    page.clock.install()
    page.goto(f"/show/?ids={job}&notify=True")
    orders.finish()
    other = context.new_page()
    other.goto(f"/show/?ids={job}")
    expect(other.locator("[data-phase=succeeded]")).to_be_visible()
    page.clock.run_for(60_000)
    expect(page).to_have_title("(1) Monthly report: Done")


def test_of_several_ends_a_hidden_tab_tells_how_many(
    context: BrowserContext, page: Page, start: Any
):
    jobs = [start(context) for _ in range(2)]
    ids = ",".join(job for job, _ in jobs)
    page.clock.install()
    page.goto(f"/show/?ids={ids}&notify=True")
    expect(page.locator("[data-phase=running]")).to_have_count(2)
    for hidden in (True, False, True):
        hide(page, hidden=hidden)
    for _, orders in jobs:
        orders.finish()
    other = context.new_page()
    other.goto(f"/show/?ids={ids}")
    expect(other.locator("[data-phase=succeeded]")).to_have_count(2)
    page.clock.run_for(60_000)
    expect(page).to_have_title("(2) Monthly report: Done")
    hide(page, hidden=False)
    expect(page).to_have_title("Jobs")


def test_a_browser_that_may_not_notify_from_a_page_shows_the_title_only(
    context: BrowserContext, page: Page, start: Any
):
    """As on Android, where only a service worker may."""
    page.add_init_script(
        """window.Notification = class {
            static permission = "granted";
            constructor() { throw new TypeError("Illegal constructor"); }
        };"""
    )
    job, orders = start(context)
    page.clock.install()
    page.goto(f"/show/?ids={job}&notify=True")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    hide(page, hidden=True)
    orders.finish()
    other = context.new_page()
    other.goto(f"/show/?ids={job}")
    expect(other.locator("[data-phase=succeeded]")).to_be_visible()
    page.clock.run_for(60_000)
    expect(page).to_have_title("(1) Monthly report: Done")
    hide(page, hidden=False)
    expect(page).to_have_title("Jobs")


def test_a_page_that_is_prerendered_waits_until_it_is_shown(
    context: BrowserContext, page: Page, start: Any
):
    job, orders = start(context)
    page.add_init_script("document.beforehand = true")
    page.add_init_script(
        "Object.defineProperty(document, 'prerendering', { get: () => document.beforehand })"
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/show/?ids={job}")
    assert not happens_within(page, 0.3, lambda: any("/tasks/" in url for url in asked))
    page.evaluate(
        """() => {
            document.beforehand = false;
            document.dispatchEvent(new Event("prerenderingchange"));
        }"""
    )
    orders.finish()
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()


def test_a_page_from_the_back_forward_cache_reads_anew(
    context: BrowserContext, page: Page, start: Any
):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    page.evaluate(
        "addEventListener('pageshow', ({ persisted }) => { window.persisted = persisted; })"
    )
    page.goto("/form/")
    orders.finish()
    page.go_back(wait_until="commit")
    expect(page.locator("task-status")).to_have_attribute("data-phase", "succeeded")
    assert page.evaluate("window.persisted") is True
