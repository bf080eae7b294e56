"""All the shop's slow work, done and checked without a browser."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

from stage.checks import check_mails, check_orders, check_photos
from stage.visitor import Visitor, Wrong


class Scenario(NamedTuple):
    """One piece of slow work, and how to know that it was done right."""

    name: str
    path: str
    check: Callable[[Visitor, Path, dict[str, Any]], None]
    upload: str = ""


SCENARIOS = (
    Scenario("photo to thumbnails", "photos", check_photos, upload="photo.jpg"),
    Scenario("import of 100,000 orders", "orders", check_orders),
    Scenario("newsletter of 500 e-mails", "mails", check_mails),
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


def rehearse(visitor: Visitor, var: Path) -> bool:
    """Run all scenarios, print a table, and return whether all results are right."""
    print(HEAD)
    lines = []
    for scenario in SCENARIOS:
        lines.append(run(scenario, visitor, var))
        print(lines[-1], flush=True)
    return all(line.result == "ok" for line in lines)


def run(scenario: Scenario, visitor: Visitor, var: Path) -> Line:
    """Do one piece of work both ways."""
    line = Line(scenario.name)
    upload = var / "samples" / scenario.upload if scenario.upload else None
    try:
        visitor.read("/")
        blocking = visitor.press(f"/{scenario.path}/blocking/", upload)
        line.blocking = blocking.seconds
        begin = time.perf_counter()
        background = visitor.press(f"/{scenario.path}/background/", upload)
        line.background = background.seconds
        document = visitor.wait(background.location)
        line.total = time.perf_counter() - begin
        for result in (blocking.document["result"], document["result"]):
            scenario.check(visitor, var, result)
    except Wrong as error:
        line.result = str(error)
    return line
