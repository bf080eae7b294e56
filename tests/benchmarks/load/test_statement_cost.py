"""The statements whose cost is measured, and their parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from load import statement_cost
from load.job_rows import WORKER

PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@pytest.fixture
def explained(monkeypatch) -> list[tuple[str, Mapping[str, object]]]:
    explained = []
    monkeypatch.setattr(statement_cost, "_explain", lambda *arguments: explained.append(arguments))
    return explained


def test_every_statement_has_all_its_parameters(explained):
    statement_cost.claim_statement_cost(["default"])
    statement_cost.claim_statement_cost(["default"], above=1)
    statement_cost.maintenance_statement_costs(WORKER)

    assert len(explained) == 5
    for sql, parameters in explained:
        assert "{" not in sql
        assert set(PLACEHOLDER.findall(sql)) == parameters.keys()
