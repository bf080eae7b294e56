"""A worker in a thread, and the claims of another."""

from tests.worker.conftest import child_environment, gate, start_worker

__all__ = ["child_environment", "gate", "start_worker"]
