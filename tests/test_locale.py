"""All texts are translated, and the compiled catalogs are up to date."""

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


def translations(language: str) -> dict[str, str]:
    text = catalog(language).with_suffix(".po").read_text()
    return {joined(source): joined(target) for source, target in ENTRY.findall(text)}


def joined(literals: str) -> str:
    return "".join(map(ast.literal_eval, literals.splitlines()))


def messages() -> set[str]:
    """Return all translatable texts of the code and the templates."""
    texts: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="_" | "gettext" | "gettext_lazy"),
                    args=[ast.Constant(value=str(text))],
                ):
                    texts.add(text)
    for path in PACKAGE.rglob("*.html"):
        text = path.read_text()
        texts.update(re.findall(r'{% translate "([^"]+)"', text))
        assert "{% blocktranslate" not in text, "this test does not read them"
    return texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_texts_are_translated(language):
    known = {source for source, target in translations(language).items() if target}

    assert len(messages()) > 40
    assert messages() - known == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_file_is_up_to_date(language):
    with catalog(language).with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)

    for source, target in translations(language).items():
        assert compiled.gettext(source) == target or source == "", "run `make translations`"


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_the_placeholders(language):
    place = re.compile(r"{}|%\(\w+\)\w")
    for source, target in translations(language).items():
        assert place.findall(source) == place.findall(target), source
