"""Fixtures of the crash suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import witness
from tests.crash.world import World


@pytest.fixture
def world(
    transactional_db: None, process_environment: dict[str, str], tmp_path: Path
) -> Iterator[World]:
    witness.install()
    world = World(process_environment, tmp_path)
    yield world
    world.end()
    witness.remove()
