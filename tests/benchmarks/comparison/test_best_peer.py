"""The comparison with the best peer on the same store."""

from __future__ import annotations

from comparison.best_peer import LABELS, MORE_IS_BETTER, compare_with_peers
from comparison.contenders import CONTENDERS
from comparison.measurements import ANY_CONFIG, Measurements
from comparison.report import report


def test_the_best_peer_has_the_highest_rate_and_the_shortest_time():
    measurements = Measurements()
    on_sqlite = [contender for contender in CONTENDERS if contender.store == "sqlite"]
    ours, *peers = on_sqlite
    for number, contender in enumerate((*peers, ours), start=1):
        for name in LABELS:
            measurements.add(contender.name, contender.configs[0].label, name, number)
    by_label = {each.label: each for each in compare_with_peers(measurements, on_sqlite)}

    assert by_label.keys() == set(LABELS.values())
    for name, label in LABELS.items():
        best = len(peers) if name in MORE_IS_BETTER else 1
        comparison = by_label[label]
        assert (comparison.peer, comparison.theirs) == (peers[best - 1].name, best), name
        assert comparison.ratio == (len(peers) + 1) / best, name


def test_peers_on_other_stores_are_ignored():
    measurements = Measurements()
    for contender in CONTENDERS:
        if contender.is_ours or contender.store == "redis":
            measurements.add(contender.name, ANY_CONFIG, "enqueue p50", 1)

    assert list(compare_with_peers(measurements, CONTENDERS)) == []


def test_async_mixed_jobs_are_compared_with_those_that_query_in_the_same_way():
    measurements = Measurements()
    on_postgresql = [contender for contender in CONTENDERS if contender.store == "postgresql"]
    rates = {"offload-postgresql": 3, "pgqueuer-django-postgresql": 2, "pgqueuer-postgresql": 9}
    for contender in on_postgresql:
        rate = rates.get(contender.name)
        measurements.add(contender.name, contender.configs[0].label, "amixed", rate)

    (comparison,) = compare_with_peers(measurements, on_postgresql)

    assert (comparison.peer, comparison.ratio) == ("pgqueuer-django-postgresql", 1.5)


def test_one_table_shows_async_mixed_jobs_of_each_kind():
    measurements = Measurements()
    numbers = {
        "offload-postgresql": (300, 30),
        "pgqueuer-django-postgresql": (200, 20),
        "pgqueuer-postgresql": (600, 40),
    }
    contenders = [contender for contender in CONTENDERS if contender.name in numbers]
    for contender in contenders:
        for name, number in zip(("amixed", "amixed per cpu"), numbers[contender.name], strict=True):
            measurements.add(contender.name, contender.configs[0].label, name, number)
    table = report(measurements, contenders).partition("## Async mixed jobs")[2]

    rows = [line.split(" | ") for line in table.splitlines() if "postgresql" in line]
    assert [(row[1], row[2], row[-2], row[-1]) for row in rows] == [
        ("Django's ORM", "300", "-", "- |"),
        ("asyncpg", "600", "0.50", "0.75 |"),
        ("Django's ORM", "200", "1.50", "1.50 |"),
    ]
