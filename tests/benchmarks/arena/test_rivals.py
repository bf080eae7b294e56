"""Ours beside the best of the peers."""

from __future__ import annotations

from arena.figures import ANY, Figures
from arena.lineup import LINEUP
from arena.rivals import LABELS, pairs

RATES = {"noop", "anoop", "mixed", "amixed", "noop per cpu", "anoop per cpu", "bulk"}


def test_the_best_peer_has_the_highest_rate_and_the_shortest_time():
    figures = Figures()
    on_sqlite = [contender for contender in LINEUP if contender.store == "sqlite"]
    mine, *peers = on_sqlite
    for number, contender in enumerate((*peers, mine), start=1):
        for name in LABELS:
            figures.add(contender.name, contender.workers[0].label, name, number)
    found = {pair.what: pair for pair in pairs(figures, on_sqlite)}

    assert found.keys() == set(LABELS.values())
    for name, label in LABELS.items():
        best = len(peers) if name in RATES else 1
        pair = found[label]
        assert (pair.peer, pair.number) == (peers[best - 1].name, best), name
        assert pair.ratio == (len(peers) + 1) / best, name


def test_peers_on_other_stores_do_not_count():
    figures = Figures()
    for contender in LINEUP:
        if contender.is_ours or contender.store == "redis":
            figures.add(contender.name, ANY, "enqueue p50", 1)

    assert list(pairs(figures, LINEUP)) == []
