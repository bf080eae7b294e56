"""The reference is complete, and links and code in the documents are valid."""

from __future__ import annotations

import argparse
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from django.core.management import load_command_class

import offload
import offload.live
import offload.streams
from offload.conf import BackendOptions
from offload.lifecycle import JobState
from offload.tasks import AUTHOR_OPTIONS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "offload"
COMMANDS = sorted(path.stem for path in (PACKAGE / "management" / "commands").glob("offload_*.py"))


def load_check_docs() -> ModuleType:
    spec = spec_from_file_location("check_docs", ROOT / "scripts" / "check_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_docs = load_check_docs()


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def reference(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text()


def headings(text: str) -> set[str]:
    return {
        part.strip()
        for heading in check_docs.HEADING.findall(check_docs.BLOCK.sub("", text))
        for part in heading.split(",")
    }


def section(text: str, heading: str) -> str:
    """Return the text between a heading and the next one of the same or a higher level."""
    level, rest = re.search(rf"^(#+) {re.escape(heading)}\n(.*)", text, re.M | re.S).groups()  # type: ignore[union-attr]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.M)[0]


def options_of(command: str) -> Iterator[str]:
    """Yield the options that the command and its subcommands add to Django's."""
    parser = load_command_class("offload", command).create_parser("manage.py", command)
    django = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback",
              "--no-color", "--force-color", "--skip-checks"}  # fmt: skip
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from (
                    name
                    for inner in one._actions
                    for name in inner.option_strings
                    if name.startswith("--") and name not in django
                )
        yield from (n for n in action.option_strings if n.startswith("--") and n not in django)


@pytest.mark.parametrize("field", fields(BackendOptions), ids=lambda field: field.name)
def test_each_setting_has_a_heading_with_its_default(field):
    text = section(reference("settings"), field.name)

    assert "efault" in text
    if isinstance(field.default, int | float | str | None) and field.name != "processes":
        shown = f'"{field.default}"' if isinstance(field.default, str) else field.default
        assert f"`{shown}`" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_heading_and_each_of_its_options_is_documented(command):
    text = reference("commands")
    common = text[: text.index("\n## ")]

    missing = [
        name
        for name in options_of(command)
        if name not in section(text, command) and name not in common
    ]

    assert missing == []


def test_each_documented_option_exists():
    known = {name for command in COMMANDS for name in options_of(command)}
    named = set(re.findall(r"--[a-z][a-z-]+", reference("commands")))

    assert named <= known | {"--verbosity", "--settings"}


def test_each_check_has_a_heading_and_each_heading_a_check():
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    checks = set(re.findall(r"\boffload\.[EWI]\d{3}\b", code))

    assert {name for name in headings(reference("checks")) if "." in name} == checks


@pytest.mark.parametrize("name", offload.__all__)
def test_each_public_name_has_a_heading(name):
    if name == "JobState":
        return
    text = reference("tasks")

    assert name in headings(text) or f"`{name}`" in text


@pytest.mark.parametrize("name", [*offload.live.__all__, *offload.streams.__all__])
def test_each_public_name_of_job_pages_is_described(name):
    assert re.search(rf"\b{name}\(|^### {name}$", reference("live"), re.MULTILINE)


@pytest.mark.parametrize("state", JobState)
def test_each_state_is_described(state):
    assert f"| `{state.name}` | `{state.status.name}` |" in section(reference("tasks"), "States")


@pytest.mark.parametrize("option", AUTHOR_OPTIONS)
def test_each_option_of_a_task_is_described(option):
    assert f"| `{option}` |" in section(reference("tasks"), "task")


@pytest.mark.parametrize("document", check_docs.documents(), ids=name_of)
def test_links_are_valid_and_python_compiles(document):
    text = document.read_text()

    assert list(check_docs.broken_links(document, text)) == []
    assert list(check_docs.broken_blocks(text)) == []


@pytest.mark.parametrize("document", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_a_line_holds_one_sentence(document):
    text = check_docs.BLOCK.sub("", document.read_text())
    prose = [line for line in text.splitlines() if not line.startswith(("|", "#", "-", ">"))]

    assert [line for line in prose if re.search(r"[a-z)`][.!?] [A-Z]", line)] == []


def test_the_readme_of_the_tests_names_files_that_exist():
    text = (ROOT / "tests" / "README.md").read_text()
    folders = (ROOT, ROOT / "tests", ROOT / "src")
    named = set(re.findall(r"`([\w/]+\.py)`", text))

    assert {name for name in named if not any((at / name).exists() for at in folders)} == set()


def names_in_the_path_of_a_job() -> list[str]:
    """Return the names of modules and their members in the table of the architecture page."""
    table = section((DOCS / "explanation" / "architecture.md").read_text(), "The path of a job")
    rows = [line for line in table.splitlines() if line.startswith("|")]
    names = re.findall(r"`([a-z_]+(?:\.\w+)+)`", "\n".join(rows))
    return [name for name in names if not name.endswith(".sql")]


@pytest.mark.parametrize("name", names_in_the_path_of_a_job())
def test_each_name_in_the_path_of_a_job_exists(name):
    assert pkgutil.resolve_name(f"offload.{name}") is not None


def test_the_layers_of_the_architecture_page_are_those_that_lint_checks():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    checked = [set(re.findall(r"\w+", layer)) for layer in contracts["contracts"][0]["layers"]]
    existing = {path.stem for path in PACKAGE.iterdir()}
    packages = section((DOCS / "explanation" / "architecture.md").read_text(), "Packages")
    rows = [set(re.findall(r"`(\w+)`", line)) for line in packages.splitlines() if line[:1] == "|"]

    assert [row for row in rows if row] == [layer & existing for layer in checked]


def test_each_statement_in_the_path_of_a_job_exists():
    table = section((DOCS / "explanation" / "architecture.md").read_text(), "The path of a job")

    for statement in re.findall(r"`(\w+\.sql)`", table):
        assert list((PACKAGE / "store" / "sql").rglob(statement)) != []
