"""The guarantees page and the tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

from tests.settings.base import ROOT


def test_the_guarantees_name_exactly_the_tests_that_exist() -> None:
    document = (ROOT / "docs" / "explanation" / "guarantees.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", document))
    sources = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    existing = {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.M)}
    existing -= {"test_the_guarantees_name_exactly_the_tests_that_exist"}
    assert named == existing
