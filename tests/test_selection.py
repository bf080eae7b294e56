"""What a run of all tests leaves out because another run shows the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import TestCase

from tests.selection import (
    CELERY_WORKERS,
    HERE,
    NOT_OF_DJANGO,
    OWN_DATABASE,
    PROCESSES,
    may_use_database,
    runs_all_tests,
)


@pytest.mark.parametrize("name", sorted(NOT_OF_DJANGO | OWN_DATABASE | PROCESSES | CELERY_WORKERS))
def test_what_is_left_out_exists(name: str) -> None:
    assert (HERE / name).exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tests"], True),
        ([str(HERE.parent)], True),
        (["tests/store"], False),
        (["tests/test_text.py::test_it"], False),
    ],
)
def test_a_run_that_names_files_leaves_out_nothing(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: bool
) -> None:
    monkeypatch.chdir(HERE.parent)
    config: Any = SimpleNamespace(args=arguments)

    assert runs_all_tests(config) is expected


class InDatabase(TestCase):
    """Not collected."""

    __test__ = False


@pytest.mark.parametrize(
    ("cls", "mark", "fixtures", "expected"),
    [
        (None, None, ["tmp_path"], False),
        (Path, None, [], False),
        (InDatabase, None, [], True),
        (None, "django_db", [], True),
        (None, None, ["tmp_path", "transactional_db"], True),
    ],
)
def test_a_test_without_the_database_runs_on_sqlite_only(
    cls: type | None, mark: str | None, fixtures: list[str], expected: bool
) -> None:
    item = SimpleNamespace(cls=cls, fixturenames=fixtures, get_closest_marker=lambda name: mark)

    assert may_use_database(item) is expected
