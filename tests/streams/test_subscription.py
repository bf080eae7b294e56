"""The handoff of a subscription from the view to the server, and its limit of connections."""

from __future__ import annotations

from typing import Any

import pytest

from offload.live.connection_limits import Client, ConnectionLimits
from offload.live.handoff import Handoff
from offload.streams.snapshots import RenderContext
from offload.streams.subscription import Subscription


def make_subscription(**fields: Any) -> Subscription:
    return Subscription(jobs={}, context=RenderContext("en", "/", None), **fields)


@pytest.mark.parametrize(("status", "is_matched"), [(200, True), (403, False), (503, False)])
def test_a_response_that_middleware_has_replaced_is_not_streamed(status, is_matched):
    handoff = Handoff()
    header = (b"x-offload-handoff", handoff.accept(make_subscription()).encode())

    assert handoff.matches({"status": status, "headers": [header]}) is is_matched
    assert not handoff.matches({"status": status, "headers": []})


def test_a_deleted_subscription_is_not_counted():
    limits = ConnectionLimits(1, 1)
    subscription = make_subscription(connection=limits.acquire(Client("user:ada")))
    with pytest.raises(Exception, match="too-many"):
        limits.acquire(Client("user:ada"))

    del subscription

    limits.acquire(Client("user:ada"))
