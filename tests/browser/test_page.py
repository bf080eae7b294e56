"""The element as people see and hear it: content, layout, announcements, accessibility."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import open_context
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.browser.site import Site


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def jobs_in_all_phases(context: BrowserContext, start: Callable[..., Any]) -> str:
    """Start a job in each phase; return their ids when the page shows these phases."""
    running, indeterminate, succeeded, failed = [start(context) for _ in range(4)]
    running[1].progress(34, message="Reading rows")
    succeeded[1].finish("x")
    failed[1].fail("The file has no column “Amount”.")
    ids = ",".join(job for job, _ in (running, indeterminate, succeeded, failed))
    page = context.new_page()
    page.goto(f"/show/?ids={ids}")
    for phase, count in {"running": 2, "succeeded": 1, "failed": 1}.items():
        expect(page.locator(f"[data-phase={phase}]")).to_have_count(count)
    expect(page.get_by_text("Reading rows")).to_be_visible()
    page.close()
    return ids


def test_it_works_without_javascript(
    browser: Browser, site: Site, context: BrowserContext, start: Any
):
    ids = jobs_in_all_phases(context, start)
    plain = browser.new_context(
        base_url=site.url, storage_state=context.storage_state(), java_script_enabled=False
    )
    page = plain.new_page()
    page.goto(f"/show/?ids={ids}")
    running, indeterminate, succeeded, failed = page.locator("task-status").all()
    expect(running).to_contain_text(
        re.compile(r"Monthly report\s+34%.*Running\s+Reading rows", re.DOTALL)
    )
    expect(running.locator("progress")).to_have_attribute("value", "34.0")
    expect(indeterminate.locator("progress")).not_to_have_attribute("value", re.compile(""))
    expect(succeeded.get_by_role("link")).to_be_visible()
    expect(failed).to_contain_text("The file has no column “Amount”.")
    for status in (succeeded, failed):
        expect(status.locator("progress")).to_have_count(0)
        expect(status.get_by_role("button")).to_be_hidden()
    for text in ("longer than usual", "Reconnecting"):
        expect(running.get_by_text(text)).to_be_hidden()
    running.get_by_role("button", name="Cancel").click()
    expect(page).to_have_url(re.compile("/page/$"))
    expect(page.locator("task-status")).to_contain_text(re.compile("cancelled", re.I))
    plain.close()


def test_the_page_of_a_job_reloads_without_javascript_until_it_finishes(
    browser: Browser, site: Site, context: BrowserContext, start: Any
):
    job, control = start(context)
    plain = browser.new_context(
        base_url=site.url, storage_state=context.storage_state(), java_script_enabled=False
    )
    page = plain.new_page()
    page.goto(f"/tasks/{job}/page/")
    control.finish()
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()
    assert page.locator("meta[http-equiv]").count() == 0
    plain.close()


@pytest.mark.parametrize(
    "url", ["/show/?ids={}", "/admin/tasks/?ids={}", "/tasks/{}/page/", "/form/"]
)
def test_axe_finds_nothing(context: BrowserContext, start: Any, url: str):
    ids = jobs_in_all_phases(context, start)
    page = context.new_page()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.goto(url.format(ids.split(",")[0] if "page" in url else ids))
        results = Axe().run(page, context="task-status" if "admin" in url else None)
        assert results.violations_count == 0, f"{scheme}: {results.generate_report()}"


def test_nothing_around_it_moves(context: BrowserContext, page: Page, start: Any):
    job, control = start(context)
    page.goto(f"/show/?ids={job}")
    page.evaluate(
        """() => {
            window.shift = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) window.shift += entry.value;
            }).observe({ type: "layout-shift", buffered: true });
        }"""
    )
    status, after = page.locator("task-status"), page.locator("#after")
    before = after.bounding_box()
    control.progress(50, message="A message that is so long that it needs some lines. " * 5)
    expect(status).to_contain_text("50%")
    assert after.bounding_box() == before
    control.fail("An explanation that is as long as that, with what to do next. " * 6)
    expect(status).to_have_attribute("data-phase", "failed")
    assert after.bounding_box() == before
    assert page.evaluate("window.shift") <= 0.01  # within the element


def test_updates_of_one_frame_are_one_drawing(context: BrowserContext, page: Page, start: Any):
    job, _ = start(context)
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    drawn, written = status.evaluate(
        """async element => {
            const { state } = await element.refresh().then(() => element);
            let written = 0;
            new MutationObserver((changes) => {
                for (const { target } of changes) written += target.dataset?.part === "title";
            }).observe(element, { subtree: true, childList: true, characterData: true });
            const before = events.length;
            const { version } = state;
            for (let percent = 1; percent <= 60; percent++)
                element.receive({ ...state, version: version + percent, progress: { percent } });
            await new Promise((resolve) => setTimeout(resolve, 200));
            const updates = events.slice(before).filter(([name]) => name === "task-update");
            return [updates.length, written];
        }"""
    )
    assert (drawn, written) == (1, 0)
    expect(status).to_contain_text("60%")


def test_two_hundred_updates_a_second_cause_few_layouts(
    context: BrowserContext, page: Page, start: Any
):
    """Ten jobs with twenty updates each within a second: at most one layout for five updates."""
    jobs = [start(context)[0] for _ in range(10)]
    page.goto(f"/show/?ids={','.join(jobs)}")
    has_state = "() => [...document.querySelectorAll('task-status')].every(({ state }) => state)"
    wait_until(lambda: page.evaluate(has_state), "each element has the state of its job", page=page)
    page.evaluate(
        """() => {
            window.forced = window.shift = 0;
            const watch = (type, record) => new PerformanceObserver((list) =>
                list.getEntries().forEach(record)).observe({ type });
            watch("layout-shift", (entry) => { window.shift += entry.value; });
            watch("long-animation-frame", ({ scripts }) => {
                for (const script of scripts) window.forced += script.forcedStyleAndLayoutDuration;
            });
        }"""
    )
    devtools = context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def layouts() -> int:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return int(next(metric["value"] for metric in metrics if metric["name"] == "LayoutCount"))

    before = layouts()
    page.evaluate(
        """async () => {
            const elements = [...document.querySelectorAll("task-status")];
            for (let percent = 1; percent <= 20; percent++) {
                for (const element of elements) {
                    const { state } = element;
                    const progress = { percent: 5 * percent, message: `Row ${percent} of 20` };
                    element.receive({ ...state, version: state.version + 1, progress });
                }
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
        }"""
    )
    expect(page.get_by_text("Row 20 of 20")).to_have_count(10)
    assert layouts() - before <= 200 * 0.2
    assert page.evaluate("forced") == 0
    assert page.evaluate("shift") <= 0.01


def test_an_older_state_is_not_shown(context: BrowserContext, page: Page, start: Any):
    job, control = start(context)
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    control.progress(70)
    expect(status).to_contain_text("70%")
    status.evaluate(
        """element => element.receive(
            { ...element.state, version: element.state.version - 1, progress: { percent: 10 } })"""
    )
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 50)))")
    expect(status).to_contain_text("70%")


def test_milestones_are_announced_and_a_failure_is_an_alert(
    context: BrowserContext, page: Page, start: Any
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}")
    page.clock.install()
    announced = page.locator("[role=status].offload-announcer")
    control.progress(30)
    expect(announced).to_have_text("Monthly report: Running")
    control.progress(60)
    expect(page.locator("task-status")).to_contain_text("60%")
    page.clock.run_for(500)
    expect(announced).to_have_text("Monthly report: Running")
    page.clock.run_for(10_000)
    expect(announced).to_have_text("Monthly report: 50%")
    control.fail("The file is empty.")
    expect(page.get_by_role("alert")).to_have_text("Monthly report: Failed. The file is empty.")


def test_announcements_can_be_turned_off(context: BrowserContext, page: Page, start: Any):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&announce=off")
    control.fail("The file is empty.")
    expect(page.locator("[data-phase=failed]")).to_be_visible()
    assert page.locator(".offload-announcer").count() == 0


def test_texts_of_a_task_are_not_html(context: BrowserContext, page: Page, start: Any):
    job, control = start(context)
    page.goto(f"/show/?ids={job}")
    control.progress(10, message="<img src=x onerror=alert(1)>")
    expect(page.locator("task-status")).to_contain_text("<img src=x onerror=alert(1)>")
    control.fail("<script>alert(1)</script>")
    expect(page.locator("task-status")).to_contain_text("<script>alert(1)</script>")


def test_the_cancel_button_cancels_in_place(context: BrowserContext, page: Page, start: Any):
    job, _ = start(context)
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    status.get_by_role("button", name="Cancel").click()
    expect(status).to_have_attribute("data-phase", "cancelled")
    expect(status.get_by_role("button")).to_be_hidden()
    assert page.url.endswith(job)


def test_a_redirect_is_followed_within_the_site_only(
    context: BrowserContext, page: Page, start: Any
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&redirect=/form/")
    control.finish()
    page.wait_for_url(lambda url: urlsplit(url).path == "/form/")

    job, control = start(context)
    page.goto(f"/show/?ids={job}&redirect=//example.org/")
    control.finish()
    expect(page.locator("[data-phase=succeeded]")).to_be_visible()
    assert urlsplit(page.url).hostname == "localhost"
    assert urlsplit(page.url).path == "/show/"


@pytest.mark.parametrize(
    ("locale", "texts"), [("de", ["Läuft", "Abbrechen"]), ("fr", ["En cours", "Annuler"])]
)
def test_it_uses_the_language_of_the_reader(
    browser: Browser, site: Site, start: Any, locale: str, texts: list[str]
):
    context = open_context(browser, site, locale=locale)
    job, control = start(context)
    page = context.new_page()
    page.goto(f"/show/?ids={job}")
    control.progress(50)
    status = page.locator("task-status")
    expect(status).to_contain_text(re.compile(r"50\s%"))
    for text in texts:
        expect(status).to_contain_text(text)
    context.close()
