"""A page follows a job to its end, by each transport."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, open_context
from tests.browser.waiting import happens_within, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

    from tests.browser.site import Orders, Site


def asked(page: Page) -> list[tuple[str, int]]:
    """Collect what the page asks of our URLs, and how it was answered."""
    answers: list[tuple[str, int]] = []

    def note(response: Any) -> None:
        found = re.search(r"/tasks/(events/)?", response.url)
        if found:
            answers.append(("stream" if found[1] else "poll", response.status))

    page.on("response", note)
    return answers


def follow_to_the_end(page: Page, orders: Orders) -> None:
    status = page.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    orders.progress(34, message="Reading rows")
    expect(status.locator("progress")).to_have_attribute("value", re.compile("34"))
    expect(status).to_contain_text("Monthly report")
    expect(status).to_contain_text("34%")
    expect(status).to_contain_text("Reading rows")
    orders.finish("the result")
    expect(status).to_have_attribute("data-phase", "succeeded")
    expect(status.locator("progress")).to_be_hidden()
    status.get_by_role("link").click()
    expect(page.locator("body")).to_have_text('"the result"')


def test_a_stream(context: BrowserContext, page: Page, start: Any):
    job, orders = start(context)
    answers = asked(page)
    page.goto(f"/show/?ids={job}")
    follow_to_the_end(page, orders)
    assert answers[:-1] == [("stream", 200)]


def test_polling_where_the_server_cannot_stream(
    sites: dict[str, Site], browser: Browser, start: Any
):
    sites["wsgi"].start()
    context = open_context(browser, sites["wsgi"])
    job, orders = start(context)
    page = context.new_page()
    answers = asked(page)
    page.goto(f"/show/?ids={job}")
    with page.expect_response(lambda response: response.status == 304, timeout=PATIENCE):
        pass
    follow_to_the_end(page, orders)
    assert {("poll", 200), ("poll", 304)} >= set(answers)
    context.close()


def test_polling_where_a_stream_is_refused(context: BrowserContext, page: Page, start: Any):
    job, orders = start(context)
    page.route("**/tasks/events/**", lambda route: route.fulfill(status=501))
    answers = asked(page)
    page.goto(f"/show/?ids={job}")
    follow_to_the_end(page, orders)
    assert answers[0] == ("stream", 501)
    assert {kind for kind, _ in answers[1:]} == {"poll"}


def test_polling_where_a_proxy_holds_streams_up(context: BrowserContext, page: Page, start: Any):
    job, orders = start(context)
    held = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/tasks/events/**", hold)
    page.clock.install()
    page.goto(f"/show/?ids={job}")

    def is_held(times: int) -> bool:
        page.clock.run_for(100)
        return len(held) == times

    for times in (1, 2):
        wait_until(page, lambda times=times: is_held(times), "the stream is asked for")
        page.clock.run_for(5_000)
    page.clock.resume()
    follow_to_the_end(page, orders)
    assert len(held) == 2


def test_a_busy_server_is_left_alone_as_long_as_it_asks(
    context: BrowserContext, page: Page, start: Any
):
    job, orders = start(context)
    times = []

    def refuse_once(route: Route) -> None:
        times.append(page.evaluate("performance.now()"))
        if len(times) == 1:
            route.fulfill(status=503, headers={"Retry-After": "2"})
        else:
            route.continue_()

    page.route("**/tasks/events/**", refuse_once)
    page.goto(f"/show/?ids={job}")
    follow_to_the_end(page, orders)
    assert times[1] - times[0] >= 1_600


def test_a_date_to_come_back_at_is_no_reason_to_hurry(
    context: BrowserContext, page: Page, start: Any
):
    """`Retry-After` may be a date, as of a site under maintenance."""
    job, _ = start(context)
    refused = []

    def refuse(route: Route) -> None:
        refused.append(route)
        route.fulfill(status=503, headers={"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"})

    page.route("**/tasks/events/**", refuse)
    page.add_init_script("Math.random = () => 0.5")  # of the pauses: half a second, one, two
    page.goto(f"/show/?ids={job}")
    wait_until(page, lambda: refused, "the stream is asked for")
    assert not happens_within(page, 2, lambda: len(refused) > 5)


def test_many_elements_of_many_jobs_share_one_stream(
    context: BrowserContext, page: Page, start: Any
):
    jobs = [start(context) for _ in range(4)]
    answers = asked(page)
    ids = [job for job, _ in jobs]
    page.goto(f"/show/?ids={','.join([*ids, ids[0]])}")
    for _, orders in jobs:
        orders.finish()
    expect(page.locator("[data-phase=succeeded]")).to_have_count(5)
    assert answers == [("stream", 200)]


def test_an_element_that_comes_later_is_followed_too(
    context: BrowserContext, page: Page, start: Any
):
    first, _ = start(context)
    second, orders = start(context)
    page.goto(f"/show/?ids={first}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    page.evaluate(
        """id => {
            const template = document.getElementById("offload-task-status");
            const element = template.content.querySelector("task-status").cloneNode(true);
            element.setAttribute("href", `/tasks/${id}/`);
            document.querySelector("main").append(element);
        }""",
        second,
    )
    orders.finish()
    expect(page.locator("[data-phase=succeeded]")).to_contain_text("Monthly report")


@pytest.mark.parametrize(
    ("status", "words"), [(404, "Not available"), (410, "No longer available")]
)
def test_a_job_that_is_gone(
    context: BrowserContext, page: Page, start: Any, status: int, words: str
):
    job, _ = start(context)
    missing = {"items": [], "missing": [job], "poll_ms": None}
    page.route("**/tasks/?ids=*", lambda route: route.fulfill(json=missing))
    page.route(f"**/tasks/{job}/", lambda route: route.fulfill(status=status))
    page.goto(f"/show/?ids={job}&transport=poll")
    expect(page.locator("task-status")).to_contain_text(words)
    assert page.evaluate("told.at(-1)[0]") == "task-offline"


@pytest.mark.parametrize("transport", ["stream", "poll"])
def test_who_signs_out_sees_no_more_of_it(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    orders.progress(10)
    expect(page.locator("task-status")).to_contain_text("10%")
    context.request.get("/sign-out/")
    expect(page.locator("task-status")).to_contain_text("Not available")
    orders.finish()


def test_a_refused_token_stops_until_there_is_another(
    context: BrowserContext, page: Page, start: Any
):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    status.evaluate("element => element.setAttribute('token', 'forged')")
    expect(status).to_contain_text("Please sign in again")
    assert page.evaluate("told.at(-1)") == [
        "task-offline",
        "signed-out",
        page.evaluate("document.querySelector('task-status').state.version"),
    ]
    status.evaluate("element => element.removeAttribute('token')")
    expect(status).to_have_attribute("data-phase", "running")
    orders.finish()
    expect(status).to_have_attribute("data-phase", "succeeded")


def test_a_browser_that_knows_no_custom_states_shows_it_all_the_same(
    context: BrowserContext, page: Page, start: Any
):
    page.add_init_script(
        "CustomStateSet.prototype.add = () => { throw new DOMException('', 'SyntaxError'); }"
    )
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    follow_to_the_end(page, orders)


def test_a_page_whose_language_is_none_shows_it_all_the_same(
    context: BrowserContext, page: Page, start: Any
):
    job, orders = start(context)
    page.goto(f"/show/?ids={job}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    page.evaluate("document.documentElement.lang = 'en_US'")
    orders.finish()
    expect(page.get_by_role("link")).to_be_visible()
    expect(page.locator("time")).to_have_text(re.compile(r"\d"))
    assert page.evaluate("told.at(-1)[0]") == "task-succeeded"
