"""The element reads right without its style sheet, also when the module changes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext


def test_each_state_reads_right_without_a_style_sheet(context: BrowserContext, site, start) -> None:
    context.route("**/*.css", lambda route: route.abort())
    job, control = start(context)
    page = context.new_page()
    page.goto(f"/show/?ids={job}")
    element = page.locator("task-status")

    control.progress(34, 100, "Counting rows")
    expect(element).to_contain_text("Counting rows")
    text = " ".join(element.inner_text().split())
    assert re.search(r"34% Cancel Running Counting rows( · about \S+ left)?$", text), text

    context.set_offline(True)
    expect(element).to_contain_text("Reconnecting")
    context.set_offline(False)
    expect(element).not_to_contain_text("Reconnecting")

    control.finish("all rows")
    expect(element).to_contain_text("Done")
    text = " ".join(element.inner_text().split())
    for untrue in ("Cancel", "Counting rows", "longer than usual", "Reconnecting"):
        assert untrue not in text
