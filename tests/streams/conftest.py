"""The servers and workers of the tests of streams."""

from tests.live.conftest import (
    child_environment,
    gate,
    kind,
    server,
    start_server,
    start_worker,
    watched,
)

__all__ = ["child_environment", "gate", "kind", "server", "start_server", "start_worker", "watched"]
