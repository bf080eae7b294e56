"""README, tutorial and the page about imports do what they say, in a new project."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.browser.walkthrough import SERVER, Walkthrough, read_blocks
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Walkthrough]:
    newcomer = Walkthrough(tmp_path)
    yield newcomer
    newcomer.stop()


def test_the_page_of_the_readme_shows_the_job_to_who_starts_it(
    newcomer: Walkthrough, browser: Browser
) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415  # only where it is used

    newcomer.follow("README.md", stop="make demo")

    visitor = browser.new_context().new_page()
    visitor.goto(newcomer.url)
    visitor.get_by_role("button", name="Start").click()
    element = visitor.locator("task-status")
    expect(element).to_contain_text(re.compile("Counted to [1-9]"))
    expect(element).to_contain_text("Done")
    assert element.get_attribute("data-phase") == "succeeded"

    stranger = browser.new_context().new_page()
    stranger.goto(newcomer.url + str(element.get_attribute("href")) + "page/")
    expect(stranger.locator("body")).not_to_contain_text("Count to")

    *lines, last = _code_for_the_shell().splitlines()
    expression, _, expected = last.partition("  # ")
    script = "\n".join([*lines, f"print('value:', {expression})"])
    assert f"value: {expected}" in newcomer.run(f'python manage.py shell -c "{script}"')
    assert "System check identified no issues" in newcomer.run("python manage.py check")


def _code_for_the_shell() -> str:
    """Return the README's block for a Python shell."""
    (block,) = [block for block in read_blocks("README.md") if ".wait(" in block.text]
    return block.text


def test_the_tutorial_leads_to_its_results(newcomer: Walkthrough) -> None:
    newcomer.follow("docs/tutorial.md", stop="offload_worker")

    identifier = _get(newcomer, "/start/?text=to+be+or+not+to+be")["id"]
    shown = f"/show/{identifier}/"
    assert _get(newcomer, shown) == {"status": "READY"}

    newcomer.follow("docs/tutorial.md", start="offload_worker", stop="@task(max_attempts=3")
    done = {"status": "SUCCESSFUL", "words": 6}
    wait_until(lambda: _get(newcomer, shown) == done, "the job has run")

    newcomer.follow("docs/tutorial.md", start="@task(max_attempts=3", stop="--state failed")
    wait_until(lambda: _reloads(newcomer) == 2, "both processes load the code again")
    newcomer.wait_for_server()
    failing = _get(newcomer, "/start/")["id"]
    failed = {"status": "FAILED"}
    wait_until(lambda: _get(newcomer, f"/show/{failing}/") == failed, "the job has failed")
    listed = newcomer.run("python manage.py offload_jobs list --state failed")
    digits = failing[-8:]  # as lists show it
    assert re.search(rf"^{digits}  failed +default +3/3 ", listed, re.MULTILINE)

    newcomer.stop()
    newcomer.follow("docs/tutorial.md", start="from offload.asgi")
    identifier = _get(newcomer, "/start/?text=one+process")["id"]
    done = {"status": "SUCCESSFUL", "words": 2}
    wait_until(lambda: _get(newcomer, f"/show/{identifier}/") == done, "the server runs the job")


def test_the_import_of_a_csv_file_passes_its_own_tests(newcomer: Walkthrough) -> None:
    newcomer.follow("README.md", stop="import time")  # up to its settings
    newcomer.follow("docs/howto/import-csv.md", stop="manage.py test")

    output = newcomer.run("python manage.py test shop 2>&1")
    assert "System check identified no issues" in output
    assert "Ran 3 tests" in output


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md", "docs/howto/import-csv.md"])
def test_each_block_has_a_place(document: str) -> None:
    """A newcomer knows the file of each block of code, and the address is the server's."""
    for block in read_blocks(document):
        if block.language == "sh":
            assert not re.search("<[a-z]", block.text), "a shell reads < as a redirection"
        if block.language == "html" or ("import " in block.text and "wait(" not in block.text):
            assert block.file, block.text
    assert SERVER in Path(document).read_text()


def _get(newcomer: Walkthrough, path: str) -> Any:
    with urlopen(newcomer.url + path) as response:
        return json.load(response)


def _reloads(newcomer: Walkthrough) -> int:
    """Return how many processes have noticed that the code has changed."""
    return sum("changed" in process.output for process in newcomer.processes.values())
