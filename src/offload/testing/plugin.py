"""The pytest plugin. pytest loads it in every project, so most imports are in the fixtures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Delete the jobs that the previous test recorded."""
    recorded = sys.modules.get("offload.testing.recorded")
    if recorded is not None:
        recorded.clear_jobs()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail a test that calls `assert_enqueues`, `immediate` or `recording` without `with`."""
    messages = []
    try:
        yield
    finally:
        unused = sys.modules.get("offload.testing.unused")
        if unused is not None:
            messages = unused.take_unused()
    if messages:
        pytest.fail(messages[0], pytrace=False)


@pytest.fixture
def offload_immediate() -> Iterator[None]:
    """Run each job when it is enqueued: `offload.testing.immediate`."""
    from offload.testing import immediate  # noqa: PLC0415

    with immediate():
        yield


@pytest.fixture
def offload_recording() -> Iterator[None]:
    """Record each job without running it: `offload.testing.recording`."""
    from offload.testing import recording  # noqa: PLC0415

    with recording():
        yield


@pytest.fixture
def run_jobs() -> Callable[..., Any]:
    """Return `offload.testing.run_jobs`, which runs the waiting jobs."""
    from offload.testing import run_jobs  # noqa: PLC0415

    return run_jobs


@pytest.fixture
def enqueued_jobs() -> Callable[..., Any]:
    """Return `offload.testing.enqueued_jobs`, which lists the enqueued jobs."""
    from offload.testing import enqueued_jobs  # noqa: PLC0415

    return enqueued_jobs


@pytest.fixture
def assert_enqueued() -> Callable[..., Any]:
    """Return `offload.testing.assert_enqueued`, which fails unless jobs were enqueued."""
    from offload.testing import assert_enqueued  # noqa: PLC0415

    return assert_enqueued


@pytest.fixture
def assert_not_enqueued() -> Callable[..., Any]:
    """Return `offload.testing.assert_not_enqueued`, which fails if jobs were enqueued."""
    from offload.testing import assert_not_enqueued  # noqa: PLC0415

    return assert_not_enqueued
