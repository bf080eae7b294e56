"""A worker in a thread, for commands that wait for jobs."""

from tests.worker.conftest import child_environment, start_worker

__all__ = ["child_environment", "start_worker"]
