"""The comparison with the best peer on the same store."""

from __future__ import annotations

from comparison.best_peer import LABELS, compare_with_peers
from comparison.contenders import CONTENDERS
from comparison.measurements import ANY_CONFIG, Measurements

RATES = {"noop", "anoop", "mixed", "amixed", "noop per cpu", "anoop per cpu", "bulk"}


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
        best = len(peers) if name in RATES else 1
        comparison = by_label[label]
        assert (comparison.peer, comparison.theirs) == (peers[best - 1].name, best), name
        assert comparison.ratio == (len(peers) + 1) / best, name


def test_peers_on_other_stores_are_ignored():
    measurements = Measurements()
    for contender in CONTENDERS:
        if contender.is_ours or contender.store == "redis":
            measurements.add(contender.name, ANY_CONFIG, "enqueue p50", 1)

    assert list(compare_with_peers(measurements, CONTENDERS)) == []
