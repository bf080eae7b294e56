"""Fixtures of the crash suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import history_trigger
from tests.crash.scenario import Scenario


@pytest.fixture
def scenario(
    transactional_db: None, process_environment: dict[str, str], tmp_path: Path
) -> Iterator[Scenario]:
    history_trigger.install()
    scenario = Scenario(process_environment, tmp_path)
    yield scenario
    scenario.close()
    history_trigger.remove()
