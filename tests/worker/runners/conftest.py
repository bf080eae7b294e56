"""Runners that stop after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.tasks.signals import task_finished, task_started

from tests.worker.runners.harness import Harness


@pytest.fixture
def start() -> Iterator[Callable[..., Harness]]:
    """Start a runner."""
    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> Harness:
            harness = Harness(*arguments, **options)
            stack.callback(harness.runner.stop)
            return harness

        yield start


@pytest.fixture
def without_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disconnect the receivers of Django's signals, which would be called in another thread."""
    for signal in (task_started, task_finished):
        monkeypatch.setattr(signal, "receivers", [])
