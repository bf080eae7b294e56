"""The table of `results/scale-<database>.md`."""

from __future__ import annotations

from load.drain_rate import DrainRate
from load.pickup_latency import PickupLatency

HEAD = """\
| scenario | jobs | jobs/s | of an empty table's | first, slowest, last tenth \
| other cores | pick-up p50, p99 | result p50 |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""
LEGEND = """\
- Drained by `offload_worker --processes 2 --threads 1`, results stored; no-ops.
- The rate of an empty table was measured just before each scenario, as the machine varies.
- Other cores: the number of cores that unrelated processes used meanwhile."""


def row(
    scenario: str,
    drained: DrainRate,
    latency: PickupLatency | None = None,
    usual: DrainRate | None = None,
) -> str:
    """Return a row of the table.

    Args:
        scenario: its name.
        drained: the rate in this scenario.
        latency: the pick-up latency in this scenario.
        usual: the rate with an empty table, measured just before.
    """
    tenths = f"{drained.first:,.0f}, {drained.slowest:,.0f}, {drained.last:,.0f}"
    share = f"{drained.rate / usual.rate:.0%}" if usual else ""
    cells = [
        scenario,
        f"{drained.jobs:,}",
        f"{drained.rate:,.0f}",
        share,
        tenths,
        f"{drained.background_cores:.1f}",
    ]
    if latency is None:
        cells += ["", ""]
    else:
        cells += [f"{latency.p50:.1f}, {latency.p99:.1f} ms", f"{latency.result_p50:.1f} ms"]
    return f"| {' | '.join(cells)} |"
