"""The tables of `results/peers.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from arena.figures import ANY, Figures
from arena.ground import ACTS
from arena.lineup import Contender
from arena.rivals import pairs
from arena.targets import NOOPS, best_drain, of_first_workers, targets

NOTHING = "-"
MIXES = ("mixed", "amixed")


def report(figures: Figures, contenders: Sequence[Contender]) -> str:
    """Return Markdown: targets, drains, calls and waits."""
    tables = {
        "What we want to reach": _targets(figures),
        "What the database itself takes, by its driver alone": _ground(figures, contenders),
        "Ours beside the best peer on the same store": _pairs(figures, contenders),
        "Draining a backlog": _drains(figures, contenders),
        "Enqueueing, one job at a time, and nothing to do": _calls(figures, contenders),
    }
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in tables.items() if table)


def _targets(figures: Figures) -> str:
    rows = (
        [
            target.what,
            _number(target.ours),
            target.other,
            _number(target.number),
            f"{target.ratio:.2f}",
            f"{'<=' if target.at_most else '>='} {target.factor:g}",
            "yes" if target.is_reached else "**no**",
        ]
        for target in targets(figures)
    )
    return _table(["what", "ours", "beside", "its", "ratio", "wanted", "reached"], rows)


def _ground(figures: Figures, contenders: Sequence[Contender]) -> str:
    head = ["store", "SELECT 1, us", "after 50 to 100 ms", "INSERT and commit, us"]
    names = [f"{act} {pause}" for act in ACTS for pause in ("at once", "after a pause")]
    rows = (
        [contender.store, *map(_number, numbers)]
        for contender in contenders
        if any(numbers := [figures.median(contender.name, ANY, name) for name in names])
    )
    return _table([*head, "after 50 to 100 ms"], rows)


def _pairs(figures: Figures, contenders: Sequence[Contender]) -> str:
    rows = (
        [p.what, p.store, _number(p.ours), p.peer, _number(p.number), f"{p.ratio:.2f}"]
        for p in pairs(figures, contenders)
    )
    return _table(["what", "store", "ours", "best peer", "its", "ratio"], rows)


def _drains(figures: Figures, contenders: Sequence[Contender]) -> str:
    head = ["contender [workers]", "def /s", "its runs", "async def /s", "its runs", "ratio"]
    head += [
        "mixed /s",
        "async mixed /s",
        "saved after ms",
        "CPU s per 1,000: engine + executors + server",
        "jobs per CPU s",
    ]
    head += ["noise: fdatasync us / loop ms"]
    rows = (
        _drain_row(figures, contenders, contender, workers.label)
        for contender in contenders
        for workers in contender.workers
        if any(figures.median(contender.name, workers.label, k) for k in (*NOOPS, *MIXES))
    )
    return _table(head, rows)


def _drain_row(
    figures: Figures, contenders: Sequence[Contender], contender: Contender, label: str
) -> list[str]:
    place = contender.name, label
    kind = "noop" if figures.median(*place, "noop") else "anoop"
    saved = figures.median(*place, f"{kind} saved after")
    unsaved = figures.median(*place, f"{kind} unsaved")
    cpu = (figures.median(*place, f"{kind} cpu {p}") for p in ("engines", "executors", "server"))
    return [
        f"{contender.name} [{label}]",
        _number(figures.median(*place, "noop")),
        _span(figures.span(*place, "noop")),
        _number(figures.median(*place, "anoop")),
        _span(figures.span(*place, "anoop")),
        _ratio(figures, contenders, contender, label),
        *(_number(figures.median(*place, name)) for name in MIXES),
        "**not saved**" if unsaved else _number(saved and saved * 1e3),
        " + ".join(_small(seconds) for seconds in cpu),
        _number(figures.median(*place, f"{kind} per cpu")),
        " / ".join(_number(figures.median(*place, name)) for name in ("fdatasync", "loop")),
    ]


def _ratio(
    figures: Figures, contenders: Sequence[Contender], contender: Contender, label: str
) -> str:
    """Return our rate divided by the best peer's on the same store."""
    rivals = [c for c in contenders if c.store == contender.store and not c.is_ours]
    rates = [rate for c in rivals if (rate := best_drain(figures, c.name))]
    mine = best_drain(figures, contender.name, label)
    if not contender.is_ours or not rates or mine is None:
        return NOTHING
    return f"{mine / max(rates):.2f}"


COLUMNS = (
    ("enqueue us p50 / p99", ("enqueue p50", "enqueue p99")),
    ("in a transaction us p50 / p99", ("enqueue in transaction p50", "enqueue in transaction p99")),
    ("bulk rows/s", ("bulk",)),
    ("pick-up ms p50 / p99", ("pickup p50", "pickup p99")),
    ("result ms p50 / p99", ("result p50", "result p99")),
    ("1 MB: enqueue / to start ms", ("big enqueue", "big start")),
    ("idle requests/s", ("idle requests",)),
    ("idle CPU %", ("idle cpu",)),
    ("processes", ("idle processes",)),
    ("PSS MB", ("idle memory",)),
)


def _calls(figures: Figures, contenders: Sequence[Contender]) -> str:
    rows = (
        [f"{contender.name} [{contender.workers[0].label}]", *cells]
        for contender in contenders
        if set(cells := list(_cells(figures, contender))) != {NOTHING}
    )
    return _table(["contender [workers]", *(head for head, _ in COLUMNS)], rows)


def _cells(figures: Figures, contender: Contender) -> Iterator[str]:
    for _, names in COLUMNS:
        numbers = [of_first_workers(figures, contender.name, name) for name in names]
        known = any(number is not None for number in numbers)
        yield " / ".join(_number(number) for number in numbers) if known else NOTHING


def _number(number: float | None) -> str:
    if number is None:
        return NOTHING
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}" if number < 1 else f"{number:.1f}"


def _small(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds:.3f}"


def _span(span: tuple[float, float] | None) -> str:
    return NOTHING if span is None else f"{span[0]:,.0f} to {span[1]:,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or nothing if it has no rows."""
    body = list(rows)
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if body else ""
