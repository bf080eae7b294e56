"""A running project, and a browser that visits it.

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

    from tests.browser.site import JobControl, Site

HERE = Path(__file__).parent
TIMEOUT_MS = 20_000
_people = count(1)
EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "No Chromium; on Debian: apt-get install chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for one test file, since other tests cannot run in its driver's event loop."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415  # only where it is used

    expect.set_options(timeout=TIMEOUT_MS)
    path = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as driver:
        # Playwright disables the back/forward cache by default.
        browser = driver.chromium.launch(
            executable_path=path, ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """The project behind each kind of server; a test starts the servers that it uses."""
    from tests.browser.site import start_sites  # noqa: PLC0415  # only where it is used

    yield from start_sites(tmp_path_factory.mktemp("site"))


@pytest.fixture
def site(sites: dict[str, Site]) -> Iterator[Site]:
    """The project under a server with streams and WebSockets."""
    sites["asgi"].start()
    yield sites["asgi"]
    sites["asgi"].finish_all()


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """The browser of a new user; nothing may violate the Content Security Policy."""
    context = open_context(browser, site)
    yield context
    # The jQuery of Django's admin assigns to innerHTML when it is loaded.
    pages = [page for page in context.pages if "/admin/" not in page.url]
    refused = [item for page in pages for item in page.evaluate("window.refused ?? []")]
    context.close()
    assert refused == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def open_context(browser: Browser, site: Site, **options: Any) -> BrowserContext:
    """Return a separate browser session in which a new user is signed in."""
    context = browser.new_context(base_url=site.url, **options)
    context.set_default_timeout(TIMEOUT_MS)
    context.add_init_script(path=HERE / "watch.js")
    context.request.get("/sign-in/", params={"name": f"person-{next(_people)}"})
    return context


@pytest.fixture
def start(site: Site) -> Callable[..., tuple[str, JobControl]]:
    """Enqueue a job of the user of a browser; return its id, and what controls it."""

    def start(context: BrowserContext, task: str = "controlled") -> tuple[str, JobControl]:
        control = site.control()
        return site.enqueue(context.request, control, task), control

    return start
