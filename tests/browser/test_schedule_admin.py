"""Schedules in the admin: made, previewed, paused, resumed and run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

URL = "/admin/offload/schedule/"
TASK = "tests.browser.project.tasks.send_digest"


@pytest.fixture
def form(page: Page) -> Iterator[Page]:
    """The form of a new schedule, all of whose options but the expression are filled in."""
    page.goto(f"{URL}add/")
    page.locator("#id_name").fill("weekly")
    page.locator("#id_task").select_option(TASK)
    page.locator("#id_kwargs").fill('{"kind": "weekly"}')
    page.locator("#id_timezone").fill("Europe/Berlin")
    yield page
    page.goto(f"{URL}weekly/delete/")
    page.locator("#content form [type=submit]").click()


def act(page: Page, action: str) -> None:
    page.goto(URL)
    page.get_by_role("checkbox").nth(1).check()
    page.locator("select[name=action]").select_option(action)
    page.locator("button[name=index]").click()


def test_staff_make_pause_resume_and_run_a_schedule(form: Page, context: BrowserContext) -> None:
    preview = form.locator(".schedule-preview")
    form.locator("#id_cron").fill("0 8 * * 8")
    expect(preview).to_contain_text("its day of the week is not valid")
    form.locator("[name=_save]").click()
    expect(form.locator(".field-cron .errorlist")).to_contain_text("day of the week")

    form.locator("#id_cron").fill("0 8 * * MON")
    expect(preview).to_contain_text("At 08:00 on Monday")
    expect(preview.locator("li")).to_have_count(5)
    expect(preview.locator("li").first).to_have_text(re.compile(r"Mon .* 08:00:00 CES?T"))
    form.locator("[name=_save]").click()
    expect(form.locator(".messagelist")).to_contain_text("weekly")

    row = form.locator("#result_list tbody tr")
    expect(row).to_contain_text("active")
    act(form, "pause_selected")
    form.locator("#id_reason").fill("The provider is down")
    form.locator("[type=submit]").last.click()
    expect(row).to_contain_text("paused")
    form.get_by_role("link", name="weekly").click()
    expect(form.locator(".field-pause_shown")).to_contain_text("The provider is down, person-")

    act(form, "resume_selected")
    expect(row).to_contain_text("active")
    jobs = context.request.get("/count/").json()["jobs"]
    act(form, "run_selected")
    expect(form.locator(".messagelist")).to_contain_text("1")
    assert context.request.get("/count/").json()["jobs"] == jobs + 1
