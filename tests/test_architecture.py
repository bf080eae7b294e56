"""What keeps the code as readable as it is."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "offload"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)

MAX_LINES_OF_A_FILE = 400
MAX_LINES_OF_A_BODY = 40


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines after the signature, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_short(path: Path):
    lines = len(path.read_text().splitlines())

    assert lines <= MAX_LINES_OF_A_FILE


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_function_fits_a_screen(path: Path):
    long = {
        function.name: length_of_body(function)
        for function in functions_of(path)
        if length_of_body(function) > MAX_LINES_OF_A_BODY
    }

    assert long == {}


def test_importing_offload_needs_no_settings_and_loads_no_model():
    program = (
        "import sys, offload\n"
        "from django.conf import settings\n"
        "assert not settings.configured\n"
        "assert not [name for name in sys.modules if name.startswith('offload.models')]\n"
    )

    finished = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, env={}
    )

    assert finished.stderr == ""
