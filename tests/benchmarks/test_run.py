"""The script that runs all benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from run import HERE, SCRIPTS, any_fails

SUCCEEDING = "import pathlib, sys\npathlib.Path(sys.argv[1]).touch()\n"
FAILING = {"fails": "raise SystemExit(3)", "is killed": "import os\nos.kill(os.getpid(), 9)"}


@pytest.fixture
def succeeding(tmp_path: Path) -> Path:
    script = tmp_path / "succeeding.py"
    script.write_text(SUCCEEDING)
    return script


def test_all_scripts_exist():
    assert [name for name in SCRIPTS if not (HERE / name).is_file()] == []


def test_scripts_that_succeed_are_no_failure(succeeding, tmp_path):
    assert not any_fails([succeeding], [tmp_path / "done"])


@pytest.mark.parametrize("reason", FAILING)
def test_a_failure_is_returned_after_all_other_scripts_have_run(succeeding, tmp_path, reason):
    failing = tmp_path / "failing.py"
    failing.write_text(FAILING[reason])

    assert any_fails([failing, succeeding], [tmp_path / "done"])
    assert (tmp_path / "done").exists()
