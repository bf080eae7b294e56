"""Fixtures for pytest, loaded wherever django-offload is installed; so it imports little."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Forget what backends in memory hold of the test before."""
    memory = sys.modules.get("offload.testing.memory")
    if memory is not None:
        memory.forget_jobs()


@pytest.fixture
def offload_immediate() -> Iterator[None]:
    """Run each job where it is enqueued: `offload.testing.immediate`."""
    from offload.testing import immediate  # noqa: PLC0415

    with immediate():
        yield


@pytest.fixture
def offload_recording() -> Iterator[None]:
    """Record each job and run none: `offload.testing.recording`."""
    from offload.testing import recording  # noqa: PLC0415

    with recording():
        yield


@pytest.fixture
def run_jobs() -> Callable[..., Any]:
    """Run the waiting jobs: `offload.testing.run_jobs`."""
    from offload.testing import run_jobs  # noqa: PLC0415

    return run_jobs


@pytest.fixture
def enqueued_jobs() -> Callable[..., Any]:
    """Return what was enqueued: `offload.testing.enqueued_jobs`."""
    from offload.testing import enqueued_jobs  # noqa: PLC0415

    return enqueued_jobs


@pytest.fixture
def assert_enqueued() -> Callable[..., Any]:
    """Fail unless jobs were enqueued: `offload.testing.assert_enqueued`."""
    from offload.testing import assert_enqueued  # noqa: PLC0415

    return assert_enqueued


@pytest.fixture
def assert_not_enqueued() -> Callable[..., Any]:
    """Fail if jobs were enqueued: `offload.testing.assert_not_enqueued`."""
    from offload.testing import assert_not_enqueued  # noqa: PLC0415

    return assert_not_enqueued
