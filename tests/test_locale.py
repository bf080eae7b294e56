"""What people read is translated, and what is compiled is what is written."""

from __future__ import annotations

import ast
import re
from gettext import GNUTranslations
from pathlib import Path

import pytest

import offload

PACKAGE = Path(offload.__file__).parent
LANGUAGES = ["de", "fr"]
ENTRY = re.compile(r'^msgid (".*"(?:\n".*")*)\nmsgstr (".*"(?:\n".*")*)', re.MULTILINE)


def catalog(language: str) -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES" / "django"


def written(language: str) -> dict[str, str]:
    text = catalog(language).with_suffix(".po").read_text()
    return {joined(source): joined(target) for source, target in ENTRY.findall(text)}


def joined(literals: str) -> str:
    return "".join(map(ast.literal_eval, literals.splitlines()))


def messages() -> set[str]:
    """Return all that our code and templates want translated."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="_" | "gettext" | "gettext_lazy"),
                    args=[ast.Constant(value=str(text))],
                ):
                    found.add(text)
    for path in PACKAGE.rglob("*.html"):
        text = path.read_text()
        found.update(re.findall(r'{% translate "([^"]+)"', text))
        assert "{% blocktranslate" not in text, "teach this test about them"
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_is_translated(language):
    known = {source for source, target in written(language).items() if target}

    assert len(messages()) > 40
    assert messages() - known == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_file_is_up_to_date(language):
    with catalog(language).with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)

    for source, target in written(language).items():
        assert compiled.gettext(source) == target or source == "", "run `make translations`"


@pytest.mark.parametrize("language", LANGUAGES)
def test_places_for_values_are_kept(language):
    place = re.compile(r"{}|%\(\w+\)\w")
    for source, target in written(language).items():
        assert place.findall(source) == place.findall(target), source
