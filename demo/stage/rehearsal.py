"""All the lab's experiments, done and checked without a browser."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

from stage import checks
from stage.checks import Stage, same
from stage.visitor import Visitor, Wrong

Check = Callable[[Stage, dict[str, Any]], None]


class Scenario(NamedTuple):
    """One piece of slow work, and how to know that it was done right."""

    name: str
    path: str
    title: str
    check: Check
    upload: str = ""
    attempts: int = 1
    """How often the job is tried; work that is not done at once fails when the page waits."""


SCENARIOS = (
    Scenario("photo to thumbnails", "photos", "Thumbnails", checks.check_photos, "photo.jpg"),
    Scenario("import of 100,000 orders", "orders", "Report", checks.check_orders),
    Scenario("newsletter of 500 e-mails", "mails", "Newsletter", checks.check_mails),
    Scenario("sums of 400,000 visits", "visits", "Statistics", checks.check_visits),
    Scenario("24 parcels, slow courier", "parcels", "Parcels", checks.check_parcels),
    Scenario("payment, bank closed", "payment", "Payment", checks.check_payment, attempts=3),
)
HEAD = f"{'scenario':<26}{'blocking ms':>14}{'background ms':>16}{'total s':>10}   result"


@dataclass
class Line:
    """How a scenario went: response times, and the time from press to result."""

    name: str
    blocking: float = nan
    background: float = nan
    total: float = nan
    result: str = "ok"

    def __str__(self) -> str:
        times = (
            f"{self.blocking * 1000:>14,.0f}{self.background * 1000:>16,.0f}{self.total:>10,.1f}"
        )
        return f"{self.name:<26}{times}   {self.result}"


def rehearse(stage: Stage) -> bool:
    """Run all scenarios, print a table, and return whether all results are right."""
    print(HEAD)
    lines = []
    for scenario in SCENARIOS:
        lines.append(run(scenario, stage))
        print(lines[-1], flush=True)
    return all(line.result == "ok" for line in lines)


def run(scenario: Scenario, stage: Stage) -> Line:
    """Do one piece of work both ways."""
    line = Line(scenario.name)
    try:
        stage.visitor.read("/")
        run_blocking(scenario, stage, line)
        run_in_background(scenario, stage, line)
    except Wrong as error:
        line.result = str(error)
    return line


def run_blocking(scenario: Scenario, stage: Stage, line: Line) -> None:
    """Wait for the page that shows the result."""
    answer = stage.visitor.press(f"/{scenario.path}/blocking/", upload_of(scenario, stage))
    line.blocking = answer.seconds
    result = stage.visitor.result(scenario.path, answer.content)
    same("failed", "error" in result, scenario.attempts > 1)
    scenario.check(stage, result)


def run_in_background(scenario: Scenario, stage: Stage, line: Line) -> None:
    """Get an answer at once, follow the job, and then look at its result."""
    visitor = stage.visitor
    begin = time.perf_counter()
    path, upload = f"/{scenario.path}/background/", upload_of(scenario, stage)
    answer = visitor.press(path, upload, accept="application/json")
    line.background = answer.seconds
    first = json.loads(answer.content)
    same("status code", answer.status, 202)
    same("title", first["title"], scenario.title)
    last = visitor.follow(first)
    line.total = time.perf_counter() - begin
    check_document(scenario, last)
    for name in ("self", "page", "result"):
        same(
            "status code for others",
            Visitor(stage.visitor.address).refused(last["links"][name]),
            404,
        )
    if scenario.title not in visitor.read(last["links"]["page"]).decode():
        raise Wrong("the job's page does not say what it is")
    result = visitor.result(scenario.path, visitor.read(last["links"]["result"]))
    if "error" in result:
        raise Wrong(result["error"])
    scenario.check(stage, result)


def check_document(scenario: Scenario, document: dict[str, Any]) -> None:
    """Check how a job is described that has ended well."""
    found = {name: document[name] for name in ("status", "phase", "done", "error", "poll_ms")}
    expected = {"status": "SUCCESSFUL", "phase": "succeeded", "is_finished": True}
    same("status document", found, {**expected, "error": None, "poll_ms": None})
    same("attempts", document["attempt"]["number"], scenario.attempts)
    if not document["progress"]:
        raise Wrong("the job has not said how far it is")


def upload_of(scenario: Scenario, stage: Stage) -> Path | None:
    """Return the file that belongs to the form, if there is one."""
    return stage.var / "samples" / scenario.upload if scenario.upload else None
