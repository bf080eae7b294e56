"""Type checkers check the calls of tasks: they find an error in each marked line, and no other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLS = Path(__file__).with_name("calls.py")
EXPECTED = [
    number
    for number, line in enumerate(CALLS.read_text().splitlines(), 1)
    if line.endswith("# error")
]

pytestmark = pytest.mark.timeout(600)  # the first run reads all of Django


def run(*command: str) -> str:
    """Return the output of a Python module. It fails, as there are errors to be found."""
    process = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 1, process.stdout + process.stderr
    return process.stdout


def lines_with_errors(output: str) -> Sequence[int]:
    errors = re.findall(r"^(\S+):(\d+): error:", output, re.MULTILINE)
    assert {ROOT / path for path, _ in errors} == {CALLS}, output
    return sorted({int(number) for _, number in errors})


@pytest.mark.parametrize("has_plugin", [True, False], ids=["with plugin", "without plugin"])
def test_mypy_finds_the_errors_and_no_other(has_plugin, tmp_path):
    config = ROOT / "pyproject.toml"
    if not has_plugin:
        config = tmp_path / "mypy.ini"
        config.write_text(f"[mypy]\nstrict = true\nmypy_path = {ROOT / 'src'}\n")

    output = run("mypy", "--config-file", str(config), str(CALLS))

    assert lines_with_errors(output) == EXPECTED, output


def test_pyright_finds_the_errors_and_no_other(tmp_path):
    config = tmp_path / "pyrightconfig.json"
    config.write_text(
        json.dumps(
            {
                "include": [str(CALLS)],
                "extraPaths": [str(ROOT / "src")],
                "typeCheckingMode": "standard",
            }
        )
    )

    output = run("basedpyright", "--project", str(config), "--pythonpath", sys.executable)

    found = re.findall(rf"^ *{re.escape(str(CALLS))}:(\d+):\d+ - error:", output, re.MULTILINE)
    assert sorted({int(number) for number in found}) == EXPECTED, output
    assert "0 warnings" in output
