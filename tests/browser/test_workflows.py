"""A workflow: the page counts its parts, and says for how many others a part waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.tabs import TRANSPORTS

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.browser.site import Site


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_page_follows_a_workflow_and_its_last_part(
    site: Site, context: BrowserContext, page: Page, transport: str
):
    control = site.control()
    started = context.request.get("/import/", params={"control": str(control.path)}).json()
    page.goto(f"/show/?ids={started['whole']},{started['part']}&transport={transport}")
    whole, part = page.locator("task-status").nth(0), page.locator("task-status").nth(1)

    expect(whole.get_by_text("Picture import")).to_be_visible()
    expect(whole.get_by_text("Running")).to_be_visible()
    expect(whole.get_by_text("2 of 4 parts done")).to_be_visible()
    expect(whole.get_by_text("50%")).to_be_visible()
    expect(part.get_by_text("waits for 1 of 3 others")).to_be_visible()

    control.finish("one")
    expect(part.get_by_text("Done")).to_be_visible()
    expect(whole.get_by_text("Done")).to_be_visible()
