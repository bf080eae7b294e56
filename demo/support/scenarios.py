"""The lab's experiments, run and checked without a browser."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from support import checks, watched
from support.checks import Context, same
from support.table import HEAD, Line
from support.visitor import CheckFailed, Visitor

Check = Callable[[Context, dict[str, Any]], None]


class Scenario(NamedTuple):
    """One piece of slow work and the check of its result."""

    name: str
    path: str
    title: str
    check: Check
    upload: str = ""
    attempts: int = 1
    """Attempts that the job takes. Work that needs more than one fails when the page waits."""


SCENARIOS = (
    Scenario("photo to thumbnails", "photos", "Thumbnails", checks.check_photos, "photo.jpg"),
    Scenario("import of 100,000 orders", "orders", "Report", checks.check_orders),
    Scenario("newsletter of 500 emails", "mails", "Newsletter", checks.check_mails),
    Scenario("statistics of 400,000 visits", "visits", "Statistics", checks.check_visits),
    Scenario("24 parcels, slow courier", "parcels", "Parcels", checks.check_parcels),
    Scenario("payment, bank closed", "payment", "Payment", checks.check_payment, attempts=3),
)


def run_all(context: Context) -> bool:
    """Run all scenarios, print a table, and return whether all results are correct."""
    print(HEAD)
    lines = []
    for scenario in SCENARIOS:
        lines.append(run(scenario, context))
        print(lines[-1], flush=True)
    for name, check in watched.CHECKS.items():
        lines.append(watch(name, check, context))
        print(lines[-1], flush=True)
    return all(line.result == "ok" for line in lines)


def run(scenario: Scenario, context: Context) -> Line:
    """Run one scenario in both ways."""
    line = Line(scenario.name)
    try:
        context.visitor.read("/")
        run_blocking(scenario, context, line)
        run_in_background(scenario, context, line)
    except CheckFailed as error:
        line.result = str(error)
    return line


def watch(name: str, check: watched.Check, context: Context) -> Line:
    """Run and check what is only shown in the background."""
    line, started = Line(name), time.perf_counter()
    try:
        line.background = check(context)
    except CheckFailed as error:
        line.result = str(error)
    line.total = time.perf_counter() - started
    return line


def run_blocking(scenario: Scenario, context: Context, line: Line) -> None:
    """Send the blocking form and check the page with the result."""
    answer = context.visitor.press(f"/{scenario.path}/blocking/", upload_of(scenario, context))
    line.blocking = answer.seconds
    result = context.visitor.result(scenario.path, answer.content)
    same("failed", "error" in result, scenario.attempts > 1)
    scenario.check(context, result)


def run_in_background(scenario: Scenario, context: Context, line: Line) -> None:
    """Enqueue the job, follow it until it has finished, and check its result."""
    visitor = context.visitor
    started = time.perf_counter()
    path, upload = f"/{scenario.path}/background/", upload_of(scenario, context)
    answer = visitor.press(path, upload, accept="application/json")
    line.background = answer.seconds
    first = json.loads(answer.content)
    same("status code", answer.status, 202)
    same("title", first["title"], scenario.title)
    last = visitor.follow(first)
    line.total = time.perf_counter() - started
    check_document(scenario, last)
    for name in ("self", "page", "result"):
        same(
            "status code for others",
            Visitor(context.visitor.address).refused(last["links"][name]),
            404,
        )
    if scenario.title not in visitor.read(last["links"]["page"]).decode():
        raise CheckFailed("the job's page does not show its title")
    result = visitor.result(scenario.path, visitor.read(last["links"]["result"]))
    if "error" in result:
        raise CheckFailed(result["error"])
    scenario.check(context, result)


def check_document(scenario: Scenario, document: dict[str, Any]) -> None:
    """Check the status document of a successful job."""
    found = {
        name: document[name] for name in ("status", "phase", "is_finished", "error", "poll_ms")
    }
    expected = {"status": "SUCCESSFUL", "phase": "succeeded", "is_finished": True}
    same("status document", found, {**expected, "error": None, "poll_ms": None})
    same("attempts", document["attempt"]["number"], scenario.attempts)
    if not document["progress"]:
        raise CheckFailed("the job reported no progress")


def upload_of(scenario: Scenario, context: Context) -> Path | None:
    """Return the file that the form uploads, if any."""
    return context.var / "samples" / scenario.upload if scenario.upload else None
