"""A page follows a job to its end, by each transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.browser.site import Site


def sign_in(context: BrowserContext, name: str = "ada") -> None:
    context.request.get("/sign-in/", params={"name": name})


def test_a_stream_shows_each_state(site: Site, context: BrowserContext, page: Page):
    sign_in(context)
    orders = site.orders()
    job = site.enqueue(context.request, orders)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/show/?ids={job}")
    status = page.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    orders.progress(34, message="Reading rows")
    expect(status.locator("[data-part=details]")).to_contain_text("Reading rows")
    expect(status.locator("progress")).to_have_attribute("value", "34")
    orders.finish("x")
    expect(status).to_have_attribute("data-phase", "succeeded")
    expect(status.get_by_role("link")).to_be_visible()
    print(asked, page.evaluate("[refused, told]"))
