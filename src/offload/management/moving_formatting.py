"""The output of `offload_from_celery`: a section for each kind of thing, with a line for each."""

from __future__ import annotations

from collections.abc import Iterator

from offload.from_celery.report import Item, Report, Section
from offload.management.formatting import format_rows
from offload.text import to_terminal_text

MAX_NAMED_IDS = 5
"""Ids of messages that the text shows, of those that stay for one reason; JSON has all."""


def format_report(report: Report) -> str:
    """Return a report as text."""
    sections = [_format_section(section) for section in report.sections]
    return "\n\n".join([*filter(None, sections), _conclusion(report)])


def _format_section(section: Section) -> str:
    """Return a section; an empty text if there is nothing to say."""
    if not (section.items or section.unread):
        return ""
    lines = [section.title]
    table = [(f"  {item.name}", item.becomes or "-") for item in section.items]
    rows = format_rows(table).splitlines() if table else []
    for item, row in zip(section.items, rows, strict=True):
        lines += [row, *_notes(item)]
    lines += [f"  Not read: {to_terminal_text(text)}" for text in section.unread]
    return "\n".join(lines)


def _notes(item: Item) -> Iterator[str]:
    if item.lost:
        yield f"      lost: {to_terminal_text(item.lost)}"
    if item.by_hand:
        yield f"      by hand: {to_terminal_text(item.by_hand)}"
    if item.ids:
        shown = [to_terminal_text(identifier) for identifier in item.ids[:MAX_NAMED_IDS]]
        more = ["..."] if len(item.ids) > MAX_NAMED_IDS else []
        yield f"      ids: {', '.join([*shown, *more])}"


def _conclusion(report: Report) -> str:
    left = sum(1 for _ in report.left())
    if report.is_written:
        if report.is_complete:
            return "Written. Nothing is left."
        return f"Written, but not everything: {left} of the above are left, see 'by hand'."
    text = "Nothing was changed: --write makes the schedules and the jobs."
    return f"{text} It would leave {left} of the above." if left else text
