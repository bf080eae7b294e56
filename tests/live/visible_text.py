"""What a reader of HTML sees without a style sheet, for example in a text browser."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "hr"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.hidden: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        is_hidden = "hidden" in names or tag in {"template", "script", "style", "noscript", "head"}
        if tag == "progress" and not is_hidden and not any(self.hidden):
            value = names.get("value")
            self.words.append("[bar]" if value is None else f"[bar {value}]")
        if tag not in VOID:
            self.hidden.append(is_hidden)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.hidden.pop()

    def handle_data(self, data: str) -> None:
        if not any(self.hidden):
            self.words += data.split()


def visible_text(html: str) -> str:
    """Return the text of HTML, without the elements that have the attribute `hidden`."""
    reader = _Reader()
    reader.feed(html)
    return " ".join(reader.words)
