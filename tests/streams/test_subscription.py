"""What a view hands to the server of streams, and when that takes it."""

from __future__ import annotations

from typing import Any

import pytest

from offload.live.connection_limits import ConnectionLimits
from offload.streams.snapshots import RenderContext
from offload.streams.subscription import Handoff, Subscription


def subscription(**more: Any) -> Subscription:
    return Subscription(jobs={}, context=RenderContext("en", "/", None), **more)


@pytest.mark.parametrize(("status", "is_matched"), [(200, True), (403, False), (503, False)])
def test_an_answer_that_middleware_made_another_one_is_no_stream(status, is_matched):
    handoff = Handoff()
    header = (b"x-offload-stream", handoff.accept(subscription()).encode())

    assert handoff.matches({"status": status, "headers": [header]}) is is_matched
    assert not handoff.matches({"status": status, "headers": []})


def test_an_order_that_nobody_has_any_more_holds_no_seat(monkeypatch):
    limits = ConnectionLimits(1, 1)
    monkeypatch.setattr("offload.streams.subscription.get_connection_limits", lambda: limits)
    limits.acquire("ada")
    kept = subscription(holder="ada")
    with pytest.raises(Exception, match="busy"):
        limits.acquire("ada")

    del kept

    limits.acquire("ada")
