"""Fixtures of the tests of schedules."""

from __future__ import annotations

from collections import defaultdict

import pytest

import tests.tasks  # noqa: F401  # its schedule is declared before a test forgets all
from offload.schedules import decorator


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the schedules that a test has declared."""
    monkeypatch.setattr(decorator, "_declared", defaultdict(list))
