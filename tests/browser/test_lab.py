"""The demo: buttons, measurements and comparison of the lab, and the pages to watch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import HERE, TIMEOUT_MS
from tests.crash.processes import Process
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

EXPERIMENTS = {
    "photos": "4 thumbnails and a contact sheet",
    "orders": "100,000 orders, € 13,126,005",
    "mails": "500 emails received by the mail server",
    "visits": "400,000 visits to 9 products",
    "parcels": "24 parcels found",
    "payment": "€ 49.90 paid at attempt 3",
}
FIGURES = {
    "firstByte": r"[\d,]+",
    "feedback": r"[\d,]+",
    "result": r"[\d,]+",
    "inp": r"< 16|[\d,]+",
    "draws": r"[1-9]\d*",
    "forced": r"[\d,]+",
    "shift": r"0(\.\d+)?",
}
OUTCOME_TIMEOUT_MS = 200_000
"""All six experiments at once, on a busy machine."""
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo, started as `make demo` does."""
    folder = tmp_path_factory.mktemp("lab")
    environment = {**os.environ, "DEMO_VAR": str(folder), "PORT": "0", "PYTHONDEVMODE": ""}
    demo = Process(["demo/run.py"], environment, folder / "demo.log")
    wait_until(lambda: not demo.is_alive or "is running at" in demo.output, "the demo runs", 120)
    try:
        yield re.search(r"http://\S+", demo.output)[0]
        assert demo.stop() == 0, demo.output
    finally:
        demo.kill()


@pytest.fixture
def open_lab(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open the lab as a new visitor; nothing may violate its Content Security Policy."""
    contexts: list[BrowserContext] = []

    def open_lab(**options: object) -> Page:
        context = browser.new_context(base_url=address, **options)
        context.set_default_timeout(TIMEOUT_MS)
        context.add_init_script(path=HERE / "watch.js")
        contexts.append(context)
        page = context.new_page()
        page.goto("/")
        return page

    yield open_lab
    for context in contexts:
        refused = [item for page in context.pages for item in page.evaluate("window.refused ?? []")]
        context.close()
        assert refused == []


def press(page: Page, name: str, way: str) -> None:
    page.locator(f"#{name} button[value={way}]").click()


def expect_outcome(page: Page, name: str, outcome: str = "") -> None:
    locator = page.locator(f"#{name} .outcome")
    expect(locator).to_contain_text(outcome or EXPERIMENTS[name], timeout=OUTCOME_TIMEOUT_MS)


def figure(page: Page, name: str, way: str, figure: str) -> str:
    return page.locator(f"#{name} [data-way={way}] [data-figure={figure}]").inner_text()


def test_the_background_runs_and_measures_all_experiments(open_lab: Callable[..., Page]):
    page = open_lab()

    for name in EXPERIMENTS:
        press(page, name, "background")

    for name in EXPERIMENTS:
        status = page.locator(f"#{name} task-status")
        expect(status).to_have_attribute("data-phase", "succeeded", timeout=OUTCOME_TIMEOUT_MS)
        expect_outcome(page, name)
        for measure, pattern in FIGURES.items():
            cell = page.locator(f"#{name} [data-way=background] [data-figure={measure}]")
            expect(cell).to_have_text(re.compile(f"^({pattern})$"))
    expect(page.locator(".comparison [data-way=background] .sum")).to_contain_text("6 clicks")
    page.reload()
    for name in EXPERIMENTS:
        expect(page.locator(f"#{name} task-status")).to_have_attribute("data-phase", "succeeded")
        expect_outcome(page, name)


def test_a_blocking_click_is_measured_by_the_page_of_its_response(open_lab: Callable[..., Page]):
    page = open_lab()

    with page.expect_navigation():
        press(page, "photos", "blocking")
    press(page, "payment", "background")

    expect_outcome(page, "photos")
    for measure in ("firstByte", "feedback", "result"):
        cell = page.locator(f"#photos [data-way=blocking] [data-figure={measure}]")
        expect(cell).to_have_text(re.compile(r"^[\d,]+$"))
    expect(page.locator("#verdict")).to_contain_text("times sooner")
    waits = [
        float(figure(page, name, way, "feedback").replace(",", ""))
        for name, way in (("photos", "blocking"), ("payment", "background"))
    ]
    assert waits[0] > waits[1]


def test_a_failure_is_retried_in_the_background_only(open_lab: Callable[..., Page]):
    page = open_lab()

    with page.expect_navigation():
        press(page, "payment", "blocking")
    expect_outcome(page, "payment", "not paid")
    assert figure(page, "payment", "blocking", "result") == "failed"
    press(page, "payment", "background")

    expect_outcome(page, "payment")
    assert figure(page, "payment", "background", "result") != "failed"


def test_a_file_that_is_not_an_image_is_refused_in_place(open_lab: Callable[..., Page]):
    page = open_lab()
    letter = {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"Dear shop"}

    page.locator("#photos input[type=file]").set_input_files(letter)
    press(page, "photos", "background")

    expect(page.locator("#photos output")).to_contain_text("Upload a valid image")
    expect(page.locator("#photos button[value=background]")).to_be_enabled()
    expect(page.locator("#photos task-status")).to_have_count(0)


def test_running_jobs_are_shown_after_a_navigation(open_lab: Callable[..., Page]):
    page = open_lab()

    press(page, "parcels", "background")
    expect(page.locator("#parcels task-status")).to_be_visible()
    with page.expect_navigation():
        press(page, "payment", "blocking")

    expect_outcome(page, "parcels")
    result = page.locator("#parcels [data-way=background] [data-figure=result]")
    expect(result).to_have_text(re.compile(r"^[\d,]+$"))


def test_both_buttons_work_without_javascript(open_lab: Callable[..., Page]):
    page = open_lab(java_script_enabled=False)

    press(page, "photos", "blocking")
    expect_outcome(page, "photos")
    press(page, "payment", "background")
    expect(page).to_have_url(re.compile(r"/tasks/[-0-9a-f]+/page/$"))
    page.get_by_role("link", name="Show the result").click()
    expect(page.locator(".outcome")).to_contain_text(EXPERIMENTS["payment"])
    page.get_by_role("link", name="Back to the lab").click()
    expect(page.locator("#payment task-status")).to_have_attribute("data-phase", "succeeded")
    page.goto("about:blank")  # where scripts can be evaluated


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(open_lab: Callable[..., Page], width: int):
    page = open_lab(viewport={"width": width, "height": 800})
    with page.expect_navigation():
        press(page, "payment", "blocking")
    press(page, "photos", "background")
    expect_outcome(page, "photos")

    expect_no_violations(page)


def test_a_workflow_is_shown_with_its_parts_and_retried(open_lab: Callable[..., Page]):
    page = open_lab()
    page.goto("/pictures/")
    whole = page.locator("[data-whole] task-status")
    done = page.locator(".parts [data-phase=succeeded]")

    page.get_by_label("Picture 7 arrives damaged").check()
    page.get_by_role("button", name="Import 12 pictures").click()
    expect(whole).to_have_attribute("data-phase", "failed", timeout=OUTCOME_TIMEOUT_MS)
    expect(done).to_have_count(12)
    expect(page.locator(".parts img[src]")).to_have_count(11)
    page.get_by_role("button", name="Repair and retry").click()

    expect(whole).to_have_attribute("data-phase", "succeeded", timeout=OUTCOME_TIMEOUT_MS)
    expect(done).to_have_count(14)
    expect(page.get_by_text("12 thumbnails and a contact sheet")).to_be_visible()
    expect_no_violations(page)
    expect_to_fit_a_phone(page)


def test_customers_with_few_calls_do_not_wait_behind_one_with_many(open_lab: Callable[..., Page]):
    page = open_lab()
    page.goto("/stock/")
    board = page.locator("#turns-turns")

    page.locator("section", has=page.locator("#turns-title")).get_by_role(
        "button", name="Enqueue 178 calls"
    ).click()

    turn = re.compile(r"39 of 39 others have got all of theirs, the last one at turn \d\d\.")
    expect(board).to_contain_text(turn, timeout=OUTCOME_TIMEOUT_MS)
    expect(board.locator(".customers li")).to_have_count(40)
    expect_no_violations(page)
    expect_to_fit_a_phone(page)
    whole = page.locator("#turns-whole task-status")
    expect(whole).to_have_attribute("data-phase", "succeeded", timeout=OUTCOME_TIMEOUT_MS)


def test_schedules_tick_pause_and_run_while_one_watches(open_lab: Callable[..., Page]):
    page = open_lab()
    page.goto("/schedules/")
    section = page.locator("section", has=page.locator("#interval-title"))
    newest, state = section.locator(".ticks b").first, section.locator("strong")

    expect(newest).to_contain_text(":")
    shown = newest.inner_text()
    expect(newest).not_to_have_text(shown)
    with page.expect_navigation():
        section.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("paused")
    section.get_by_role("button", name="Run now").click()
    run = section.locator("[data-whole] task-status")
    expect(run).to_have_attribute("data-phase", "succeeded")
    with page.expect_navigation():
        section.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("active")
    expect_no_violations(page)
    expect_to_fit_a_phone(page)


def expect_no_violations(page: Page) -> None:
    """Check that the page fits, and is accessible in light and dark."""
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        violations = Axe().run(page).response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in violations] == []


def expect_to_fit_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
