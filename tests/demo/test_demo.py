"""The demo runs and checks all its work, blocking and in the background."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "demo" / "run.py"
ROW = re.compile(r"(?P<name>.+?)\s+(?:[\d,]+|-)\s+[\d,]+\s+[\d.]+   (?P<result>.+)")


@pytest.mark.timeout(600)
def test_all_scenarios(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, RUN, "--once"],
        # As users run it: Python's development mode would slow down the blocking work.
        env=os.environ | {"DEMO_VAR": str(tmp_path), "PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    rows = [ROW.fullmatch(line) for line in run.stdout.splitlines()[1:]]
    assert run.returncode == 0, run.stdout + run.stderr
    assert [row and row.groupdict() for row in rows] == [
        {"name": "photo to thumbnails", "result": "ok"},
        {"name": "import of 100,000 orders", "result": "ok"},
        {"name": "newsletter of 500 emails", "result": "ok"},
        {"name": "statistics of 400,000 visits", "result": "ok"},
        {"name": "24 parcels, slow courier", "result": "ok"},
        {"name": "payment, bank closed", "result": "ok"},
        {"name": "import of 12 pictures", "result": "ok"},
        {"name": "178 calls of 40 customers", "result": "ok"},
        {"name": "schedules that tick", "result": "ok"},
    ]
    assert run.stderr == ""
