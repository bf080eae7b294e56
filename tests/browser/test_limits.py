"""A job that waits for its limit: the page says so, and shows when it starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.tabs import TRANSPORTS
from tests.browser.test_late import backdate

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

TURN = "Waiting for its turn"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_job_waits_while_another_one_runs(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    (first, control), (second, own_control) = (start(context, "one_at_a_time") for _ in range(2))
    page.clock.install()
    page.goto(f"/show/?ids={first},{second}&transport={transport}")
    running, waiting = page.locator("task-status").nth(0), page.locator("task-status").nth(1)
    page.clock.resume()
    expect(running).to_have_attribute("data-phase", "running")
    expect(waiting.get_by_text(TURN)).to_be_visible()
    expect(waiting).not_to_have_attribute("data-slow", re.compile(""))

    backdate(context, second)
    page.clock.fast_forward(15_000)
    expect(waiting).to_contain_text("position 1 in the queue")
    expect(waiting.get_by_text("Others are running first.")).to_be_visible()

    control.finish()
    expect(waiting).to_have_attribute("data-phase", "running")
    expect(waiting.locator("[data-part=slow]")).to_be_hidden()
    own_control.finish()
    expect(waiting.get_by_text("Done")).to_be_visible()


def test_a_job_waits_for_its_rate(context: BrowserContext, page: Page, start: Any):
    (first, control), (second, _) = (start(context, "one_an_hour") for _ in range(2))
    control.finish()
    page.goto(f"/show/?ids={first},{second}")
    expect(page.locator("task-status").nth(0)).to_have_attribute("data-phase", "succeeded")
    backdate(context, second)

    page.goto(f"/tasks/{second}/page/")

    status = page.locator("task-status")
    expect(status.get_by_text(TURN)).to_be_visible()
    expect(status.get_by_text("Only so many may start in a given time.")).to_be_visible()
    status.get_by_role("button", name="Cancel").click()
    expect(status.get_by_text("Cancelled", exact=True)).to_be_visible()
