"""The tables of `results/peers.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from comparison.baseline import OPERATIONS
from comparison.best_peer import compare_with_peers
from comparison.contenders import Contender
from comparison.measurements import ANY_CONFIG, Measurements
from comparison.targets import NOOPS, best_drain_rate, first_config_median, targets

NOTHING = "-"
MIXES = ("mixed", "amixed")


def report(measurements: Measurements, contenders: Sequence[Contender]) -> str:
    """Return Markdown with all tables that have rows."""
    tables = {
        "Targets": _target_table(measurements),
        "The database alone, through its driver": _baseline_table(measurements, contenders),
        "Compared with the best peer on the same store": _peer_table(measurements, contenders),
        "Draining a backlog": _drain_table(measurements, contenders),
        "Async mixed jobs": _async_mixed_table(measurements, contenders),
        "Enqueueing, single jobs, and idle workers": _single_table(measurements, contenders),
    }
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in tables.items() if table)


def _target_table(measurements: Measurements) -> str:
    head = ["what", "measured", "compared with", "its number", "ratio", "target", "reached"]
    rows = (
        [
            target.label,
            _number(target.measured),
            target.reference,
            _number(target.reference_value),
            f"{target.ratio:.2f}",
            f"{'<=' if target.at_most else '>='} {target.factor:g}",
            "yes" if target.is_reached else "**no**",
        ]
        for target in targets(measurements)
    )
    return _table(head, rows)


def _baseline_table(measurements: Measurements, contenders: Sequence[Contender]) -> str:
    head = ["store", "SELECT 1, us", "after 50 to 100 ms", "INSERT and commit, us"]
    head += ["after 50 to 100 ms"]
    names = [f"{name} {pause}" for name in OPERATIONS for pause in ("at once", "after a pause")]
    rows = []
    for contender in contenders:
        numbers = [measurements.median(contender.name, ANY_CONFIG, name) for name in names]
        if any(numbers):
            rows.append([contender.store, *map(_number, numbers)])
    return _table(head, rows)


def _peer_table(measurements: Measurements, contenders: Sequence[Contender]) -> str:
    head = ["what", "store", "django-offload", "best peer", "its number", "ratio"]
    rows = (
        [
            comparison.label,
            comparison.store,
            _number(comparison.ours),
            comparison.peer,
            _number(comparison.theirs),
            f"{comparison.ratio:.2f}",
        ]
        for comparison in compare_with_peers(measurements, contenders)
    )
    return _table(head, rows)


def _drain_table(measurements: Measurements, contenders: Sequence[Contender]) -> str:
    head = [
        "contender [workers]",
        "def /s",
        "range",
        "async def /s",
        "range",
        "ratio",
        "mixed /s",
        "async mixed /s",
        "saved after ms",
        "CPU s per 1,000: worker + executors + server",
        "jobs per CPU s",
        "noise: fdatasync us / loop ms",
    ]
    rows = (
        _drain_row(measurements, contenders, contender, config.label)
        for contender in contenders
        for config in contender.configs
        if any(measurements.median(contender.name, config.label, k) for k in (*NOOPS, *MIXES))
    )
    return _table(head, rows)


def _drain_row(
    measurements: Measurements, contenders: Sequence[Contender], contender: Contender, label: str
) -> list[str]:
    def median(name: str) -> float | None:
        return measurements.median(contender.name, label, name)

    def span(name: str) -> str:
        return _span(measurements.span(contender.name, label, name))

    kind = "noop" if median("noop") else "anoop"
    saved_after = median(f"{kind} saved after")
    return [
        f"{contender.name} [{label}]",
        _number(median("noop")),
        span("noop"),
        _number(median("anoop")),
        span("anoop"),
        _ratio(measurements, contenders, contender, label),
        *(_number(median(name)) for name in MIXES),
        "**not saved**"
        if median(f"{kind} unsaved")
        else _number(saved_after and saved_after * 1e3),
        " + ".join(_cpu(median(f"{kind} cpu {p}")) for p in ("worker", "executors", "server")),
        _number(median(f"{kind} per cpu")),
        " / ".join(_number(median(name)) for name in ("fdatasync", "loop")),
    ]


def _async_mixed_table(measurements: Measurements, contenders: Sequence[Contender]) -> str:
    head = ["contender [workers]", "queries with", "jobs/s", "range", "jobs per CPU s"]
    head += ["CPU s per 1,000: worker + executors + server", "saved after ms"]
    head += ["our best /s to its", "our best per CPU s to its"]
    rows = (
        _async_mixed_row(measurements, contenders, contender, config.label)
        for contender in contenders
        for config in contender.configs
        if measurements.median(contender.name, config.label, "amixed")
    )
    return _table(head, rows)


def _async_mixed_row(
    measurements: Measurements, contenders: Sequence[Contender], contender: Contender, label: str
) -> list[str]:
    def median(name: str) -> float | None:
        return measurements.median(contender.name, label, f"amixed{name}")

    saved_after = median(" saved after")
    names = ("amixed", "amixed per cpu")
    ours = [c.name for c in contenders if c.is_ours and c.store == contender.store]
    ratios = [NOTHING, NOTHING]
    if not contender.is_ours and ours:
        best = [best_drain_rate(measurements, ours[0], names=(name,)) for name in names]
        theirs = [measurements.median(contender.name, label, name) for name in names]
        pairs = zip(best, theirs, strict=True)
        ratios = [f"{our / its:.2f}" if our and its else NOTHING for our, its in pairs]
    return [
        f"{contender.name} [{label}]",
        contender.query,
        _number(median("")),
        _span(measurements.span(contender.name, label, "amixed")),
        _number(median(" per cpu")),
        " + ".join(_cpu(median(f" cpu {part}")) for part in ("worker", "executors", "server")),
        "**not saved**" if median(" unsaved") else _number(saved_after and saved_after * 1e3),
        *ratios,
    ]


def _ratio(
    measurements: Measurements, contenders: Sequence[Contender], contender: Contender, label: str
) -> str:
    """Return the rate of django-offload divided by the best peer's on the same store."""
    ours = best_drain_rate(measurements, contender.name, label)
    peers = [c for c in contenders if c.store == contender.store and not c.is_ours]
    rates = [rate for c in peers if (rate := best_drain_rate(measurements, c.name))]
    if not contender.is_ours or not rates or ours is None:
        return NOTHING
    return f"{ours / max(rates):.2f}"


COLUMNS = (
    ("enqueue us p50 / p99", ("enqueue p50", "enqueue p99")),
    ("in a transaction us p50 / p99", ("enqueue in transaction p50", "enqueue in transaction p99")),
    ("bulk rows/s", ("bulk",)),
    ("pick-up ms p50 / p99", ("pickup p50", "pickup p99")),
    ("result ms p50 / p99", ("result p50", "result p99")),
    ("chord of 1,000 ms", ("chord",)),
    ("1 MB: enqueue / to start ms", ("big enqueue", "big start")),
    ("idle requests/s", ("idle requests",)),
    ("idle CPU %", ("idle cpu",)),
    ("processes", ("idle processes",)),
    ("PSS MB", ("idle memory",)),
)


def _single_table(measurements: Measurements, contenders: Sequence[Contender]) -> str:
    rows = []
    for contender in contenders:
        cells = list(_single_cells(measurements, contender))
        if set(cells) != {NOTHING}:
            rows.append([f"{contender.name} [{contender.configs[0].label}]", *cells])
    return _table(["contender [workers]", *(head for head, _ in COLUMNS)], rows)


def _single_cells(measurements: Measurements, contender: Contender) -> Iterator[str]:
    for _, names in COLUMNS:
        numbers = [first_config_median(measurements, contender.name, name) for name in names]
        is_known = any(number is not None for number in numbers)
        yield " / ".join(_number(number) for number in numbers) if is_known else NOTHING


def _number(number: float | None) -> str:
    if number is None:
        return NOTHING
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 1 else f"{number:.2g}"


def _cpu(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds:.3f}"


def _span(span: tuple[float, float] | None) -> str:
    return NOTHING if span is None else f"{span[0]:,.0f} to {span[1]:,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, or an empty string if it has no rows."""
    body = list(rows)
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if body else ""
