"""A form that starts a job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.waiting import happens_within

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

    from tests.browser.site import JobControl, Site


def count_jobs(context: BrowserContext) -> int:
    count: int = context.request.get("/count/").json()["jobs"]
    return count


@pytest.fixture
def control(site: Site) -> JobControl:
    return site.control()


@pytest.fixture
def form(page: Page, control: JobControl) -> Page:
    page.goto("/form/")
    page.get_by_label("Control").fill(str(control.path))
    return page


def test_it_shows_the_job_it_started(form: Page, control: JobControl):
    form.get_by_role("button").click()
    status = form.locator("task-status")
    expect(status).to_contain_text("Monthly report")
    expect(status).to_have_attribute("announce", "polite")
    control.finish()
    expect(status).to_have_attribute("data-phase", "succeeded")
    expect(form.get_by_role("button", name="Start")).to_be_enabled()


def test_the_job_it_started_can_be_cancelled(form: Page):
    form.get_by_role("button").click()
    status = form.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    status.get_by_role("button", name="Cancel").click()
    expect(status).to_have_attribute("data-phase", "cancelled")


def test_it_is_busy_in_the_frame_of_the_click(form: Page):
    form.route("**/form/", lambda route: None)
    busy = form.get_by_role("button").evaluate(
        """button => {
            button.click();
            const { form } = button;
            return [button.disabled, form.ariaBusy, form.querySelector("output").textContent];
        }"""
    )
    assert busy == [True, "true", "Sending …"]


def test_a_double_click_starts_one_job(context: BrowserContext, form: Page, control: JobControl):
    before = count_jobs(context)
    form.get_by_role("button").dblclick()
    expect(form.locator("task-status")).to_have_count(1)
    control.finish()
    expect(form.locator("[data-phase=succeeded]")).to_have_count(1)
    assert count_jobs(context) == before + 1


def test_a_double_click_starts_one_job_although_the_response_comes_in_between(
    context: BrowserContext, form: Page, control: JobControl
):
    before = count_jobs(context)
    form.get_by_role("button", name="Start").click()
    expect(form.locator("task-status")).to_have_count(1)
    form.mouse.down(click_count=2)  # still above the button
    form.mouse.up(click_count=2)
    control.finish()
    expect(form.locator("[data-phase=succeeded]")).to_have_count(1)
    assert count_jobs(context) == before + 1


def test_a_lost_response_starts_no_second_job(
    context: BrowserContext, form: Page, control: JobControl
):
    before = count_jobs(context)
    sent = []

    def lose_the_first(route: Route) -> None:
        sent.append(route.fetch())
        if len(sent) == 1:
            route.abort()
        else:
            route.fulfill(response=sent[-1])

    form.route("**/form/", lose_the_first)
    form.get_by_role("button").click()
    expect(form.locator("task-status")).to_contain_text("Monthly report")
    assert [response.status for response in sent] == [202, 202]
    assert sent[0].json()["id"] == sent[1].json()["id"]
    assert count_jobs(context) == before + 1
    control.finish()


def test_another_submit_starts_another_job(context: BrowserContext, form: Page):
    before = count_jobs(context)
    for count in (1, 2):
        form.get_by_role("button", name="Start").click()
        expect(form.locator("task-status")).to_have_count(count)
    assert count_jobs(context) == before + 2


def test_errors_of_the_form_are_shown_by_the_server(page: Page):
    page.goto("/form/")
    page.get_by_role("button").click()
    expect(page.locator("#error")).to_have_text("Say what to do.")


def test_it_shows_why_it_was_refused(form: Page):
    problem = {"title": "The queue is full.", "status": 409}
    form.route("**/form/", lambda route: route.fulfill(status=409, json=problem))
    form.get_by_role("button").click()
    expect(form.locator("output")).to_have_text("The queue is full.")
    expect(form.get_by_role("button")).to_be_enabled()


def test_it_shows_that_the_server_failed(form: Page):
    form.route("**/form/", lambda route: route.fulfill(status=500, body="<h1>Error</h1>"))
    form.get_by_role("button").click()
    expect(form.locator("output")).to_have_text("Sending failed. Please try again.")
    expect(form.get_by_role("button")).to_be_enabled()


def test_a_busy_server_is_retried(form: Page):
    statuses = [503, 429]

    def refuse(route: Route) -> None:
        if statuses:
            route.fulfill(status=statuses.pop(), headers={"Retry-After": "0"})
        else:
            route.continue_()

    form.route("**/form/", refuse)
    form.get_by_role("button").click()
    expect(form.locator("task-status")).to_contain_text("Monthly report")
    assert statuses == []


def test_a_date_in_retry_after_causes_no_immediate_retry(form: Page):
    times = []

    def refuse(route: Route) -> None:
        times.append(form.evaluate("performance.now()"))
        if len(times) == 1:
            date = "Wed, 21 Oct 2099 07:28:00 GMT"
            route.fulfill(status=503, headers={"Retry-After": date})
        else:
            route.continue_()

    form.evaluate("Math.random = () => 0.5")
    form.route("**/form/", refuse)
    form.get_by_role("button").click()
    expect(form.locator("task-status")).to_contain_text("Monthly report")
    assert times[1] - times[0] >= 400


@pytest.mark.parametrize("name", ["attributes", "action", "id"])
def test_its_fields_may_have_any_name(form: Page, name: str):
    form.locator("form").evaluate(
        """(form, name) => {
            form.append(Object.assign(document.createElement("input"), { name }));
        }""",
        name,
    )
    form.get_by_role("button").click()
    expect(form.locator("task-status")).to_have_attribute("announce", "polite")


def test_without_javascript_it_redirects_to_the_page_of_the_job(
    browser: Browser, site: Site, context: BrowserContext, control: JobControl
):
    plain = browser.new_context(
        base_url=site.url, storage_state=context.storage_state(), java_script_enabled=False
    )
    page = plain.new_page()
    page.goto("/form/")
    page.get_by_label("Control").fill(str(control.path))
    page.get_by_role("button").click()
    expect(page).to_have_url(re.compile("/tasks/.*/page/$"))
    plain.close()


def test_htmx_polls_until_the_job_finishes(site: Site, context: BrowserContext, start: Any):
    page = context.new_page()
    job, control = start(context)
    statuses: list[int] = []

    def record(response: Any) -> None:
        if "/tasks/" in response.url:
            statuses.append(response.status)

    page.on("response", record)
    page.goto(f"/with-htmx/?ids={job}")
    control.progress(40)
    expect(page.locator("task-status")).to_contain_text("40%")
    control.finish()
    expect(page.locator("task-status")).to_have_attribute("data-phase", "succeeded")
    assert page.locator("[hx-trigger]").count() == 0
    count = len(statuses)
    assert not happens_within(1.2, lambda: len(statuses) > count, page=page)


def test_with_the_module_htmx_does_not_poll(context: BrowserContext, start: Any):
    page = context.new_page()
    job, control = start(context)
    hx_requests: list[str] = []
    page.on("request", lambda request: hx_requests.append(request.headers.get("hx-request", "")))
    page.goto(f"/with-htmx/?ids={job}&module=yes")
    control.finish()
    expect(page.locator("task-status")).to_have_attribute("data-phase", "succeeded")
    assert "true" not in hx_requests
