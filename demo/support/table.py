"""The table that `run.py --once` prints."""

from dataclasses import dataclass
from math import isnan, nan

HEAD = f"{'scenario':<30}{'blocking ms':>14}{'background ms':>16}{'total s':>10}   result"


@dataclass
class Line:
    """The outcome of a scenario: response times, and seconds from the click to the result."""

    name: str
    blocking: float = nan
    background: float = nan
    total: float = nan
    result: str = "ok"

    def __str__(self) -> str:
        blocking, background = milliseconds(self.blocking), milliseconds(self.background)
        times = f"{blocking:>14}{background:>16}{self.total:>10,.1f}"
        return f"{self.name:<30}{times}   {self.result}"


def milliseconds(seconds: float) -> str:
    """Return seconds as whole milliseconds; a hyphen for work that has no such time."""
    return "-" if isnan(seconds) else f"{seconds * 1000:,.0f}"
