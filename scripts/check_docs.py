"""Check that every relative link in the documentation is valid and every Python block compiles."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
EXTERNAL_SCHEMES = ("http://", "https://", "mailto:")


def documents() -> list[Path]:
    """Return the Markdown files of the project."""
    patterns = ("*.md", "docs/**/*.md", "demo/*.md", "benchmarks/*.md", "tests/*.md")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(BLOCK.sub("", text))
    }


def broken_links(document: Path, text: str) -> Iterator[str]:
    """Yield each link to a missing file or heading."""
    for link in LINK.findall(BLOCK.sub("", text)):
        if link.startswith(EXTERNAL_SCHEMES):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        if not target.exists():
            yield f"no such file: {link}"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"no such heading: {link}"


def broken_blocks(text: str) -> Iterator[str]:
    """Yield each fenced Python block that does not compile."""
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        if language not in {"python", "py"}:
            continue
        line = text.count("\n", 0, block.start()) + 1
        try:
            compile(code, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            yield f"line {line}: the block does not compile: {error}"


def main() -> int:
    """Print all errors and return the exit code."""
    errors = 0
    for document in documents():
        text = document.read_text()
        for error in (*broken_links(document, text), *broken_blocks(text)):
            print(f"{document.relative_to(ROOT)}: {error}")
            errors += 1
    print(f"{len(documents())} documents, {errors} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
