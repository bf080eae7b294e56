"""The servers and workers of the tests of streams."""

from tests.live.conftest import family, gate, kind, server, start_engine, start_server, watched

__all__ = ["family", "gate", "kind", "server", "start_engine", "start_server", "watched"]
