"""What a view hands to the server of streams, and when that takes it."""

from __future__ import annotations

from typing import Any

import pytest

from offload.live.connection_limits import ConnectionLimits
from offload.streams.snapshots import Wording
from offload.streams.subscription import Handoff, Subscription


def order(**more: Any) -> Subscription:
    return Subscription(jobs={}, wording=Wording("en", "/", None), **more)


@pytest.mark.parametrize(("status", "is_taken"), [(200, True), (403, False), (503, False)])
def test_an_answer_that_middleware_made_another_one_is_no_stream(status, is_taken):
    offer = Handoff()
    mark = (b"x-offload-stream", offer.take(order()).encode())

    assert offer.claims({"status": status, "headers": [mark]}) is is_taken
    assert not offer.claims({"status": status, "headers": []})


def test_an_order_that_nobody_has_any_more_holds_no_seat(monkeypatch):
    seats = ConnectionLimits(1, 1)
    monkeypatch.setattr("offload.streams.subscription.get_connection_limits", lambda: seats)
    seats.acquire("ada")
    kept = order(holder="ada")
    with pytest.raises(Exception, match="busy"):
        seats.acquire("ada")

    del kept

    seats.acquire("ada")
