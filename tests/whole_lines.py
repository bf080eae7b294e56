"""Files of lines that some processes append to while others read them."""

from __future__ import annotations

from pathlib import Path


def whole_lines(path: Path) -> list[str]:
    """Return the lines of a file, without one that a process is still writing.

    A reader can see the first half of a single write, where the line crosses a memory page.
    """
    return path.read_text().split("\n")[:-1] if path.exists() else []
