"""The Python blocks of a guide in docs/howto, as modules of an app `shop`.

A test module names its guide with `PAGE = how_to.page("limit-jobs")`; the fixture `load` imports
its modules.
"""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from django.core.management import get_commands, load_command_class

from offload.task_lookup import find_task, find_task_for_job

GUIDES = Path(__file__).resolve().parents[1] / "docs" / "howto"
BLOCK = re.compile(r"^```python\n# shop/(\w+)\.py\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?python manage\.py (offload_\w+) (.*)", re.MULTILINE)

type Load = Callable[[str], ModuleType]
"""Imports a module by its name in `shop`."""


def page(name: str) -> str:
    """Return the text of a guide."""
    return (GUIDES / f"{name}.md").read_text()


def modules_of(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Write the modules of a guide into a folder; yield what imports them, and then forget them."""
    package = folder / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, code in BLOCK.findall(text):
        (package / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    _forget()
    yield lambda name: importlib.import_module(f"shop.{name}")
    _forget()


def parse_commands(text: str) -> int:
    """Let each command of this package that a guide shows parse its arguments; count them."""
    commands = COMMAND.findall(text)
    for name, arguments in commands:
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        parser.parse_args(shlex.split(arguments))
    return len(commands)


def _forget() -> None:
    """Forget the modules, also the tasks in them: other guides have others of the same name."""
    find_task.cache_clear()
    find_task_for_job.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
