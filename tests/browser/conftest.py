"""A project that runs, and a browser that looks at it.

Without Chromium these tests are skipped; with CI=true they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.browser.site import Orders, Site

HERE = Path(__file__).parent
PATIENCE = 20_000
"""Milliseconds."""
_people = count(1)
NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "No Chromium; on Debian: apt-get install chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, and the event loop of its driver, for one file: other tests want no loop."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415  # only where it is wanted

    expect.set_options(timeout=PATIENCE)
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as driver:
        # Playwright would switch the back/forward cache off.
        browser = driver.chromium.launch(
            executable_path=path, ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """The project behind both kinds of servers, which a test starts if they do not run yet."""
    from tests.browser.site import start_sites  # noqa: PLC0415  # only where it is wanted

    yield from start_sites(tmp_path_factory.mktemp("site"))


@pytest.fixture
def site(sites: dict[str, Site]) -> Iterator[Site]:
    """The project under a server that streams."""
    sites["asgi"].start()
    yield sites["asgi"]
    sites["asgi"].let_all_end()


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """A signed-in person's browser, which tells of everything that the policy refuses."""
    context = open_context(browser, site)
    yield context
    refused = [each for page in context.pages for each in page.evaluate("window.refused ?? []")]
    context.close()
    assert refused == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def open_context(browser: Browser, site: Site, **options: Any) -> BrowserContext:
    """Open a browser of its own for somebody new, signed in."""
    context = browser.new_context(base_url=site.url, **options)
    context.set_default_timeout(PATIENCE)
    context.add_init_script(path=HERE / "watch.js")
    context.request.get("/sign-in/", params={"name": f"person-{next(_people)}"})
    return context


@pytest.fixture
def start(site: Site) -> Callable[[BrowserContext], tuple[str, Orders]]:
    """Start a job of the person whose browser it is; return its id, and what gives it orders."""

    def start(context: BrowserContext) -> tuple[str, Orders]:
        orders = site.orders()
        return site.enqueue(context.request, orders), orders

    return start
