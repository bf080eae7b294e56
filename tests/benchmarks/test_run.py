"""All benchmarks, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from run import HERE, SCRIPTS, fails

GOOD = "import pathlib, sys\npathlib.Path(sys.argv[1]).touch()\n"
ENDINGS = {"fails": "raise SystemExit(3)", "is killed": "import os\nos.kill(os.getpid(), 9)"}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    script = tmp_path / "good.py"
    script.write_text(GOOD)
    return script


def test_all_scripts_are_there():
    assert [name for name in SCRIPTS if not (HERE / name).is_file()] == []


def test_scripts_that_end_well_are_no_failure(good, tmp_path):
    assert not fails([good], [tmp_path / "done"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_that_fails_is_told_and_the_others_run_all_the_same(good, tmp_path, ending):
    bad = tmp_path / "bad.py"
    bad.write_text(ENDINGS[ending])

    assert fails([bad, good], [tmp_path / "done"])
    assert (tmp_path / "done").exists()
