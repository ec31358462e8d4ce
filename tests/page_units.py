"""Cuts a page into units (rows, items, paragraphs) that know where they stand; not a test."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

#: Elements whose text is not prose: code, styles, the calculator's data.
SILENT = frozenset({"script", "style", "code"})
VOID = frozenset({"meta", "img", "br", "hr", "link", "input", "col", "source", "wbr"})
#: Elements that are read as one unit; the outermost of a table is its row.
UNITS = frozenset(
    {"p", "li", "tr", "dt", "dd", "h1", "h2", "h3", "h4", "summary", "figcaption", "title", "text"}
)


@dataclass(slots=True)
class Unit:
    """One piece of text with its place.

    Attributes
    ----------
    section, article : str
        Nearest ids; empty outside.
    tag : str
    anchors : list of str
        Ids on the way down to it and inside it.
    links : list of str
        Targets of its links.
    text : str
    in_card : bool
        Whether it stands in a card: cells, calculation and inputs of one number.
    file : str
        The page, where there are several.
    """

    section: str
    article: str
    tag: str
    anchors: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    text: str = ""
    in_card: bool = False
    file: str = ""


class Units(HTMLParser):
    """The units of a page, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.units: list[Unit] = []
        self.stack: list[tuple[str, str]] = []
        self.cards = 0
        self.current: Unit | None = None
        self.depth = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            self.handle_data(" ")
            return
        given = dict(attrs)
        self.stack.append((tag, given.get("id") or ""))
        if tag == "details":
            is_card = self.cards or "card" in (given.get("class") or "").split()
            self.cards += bool(is_card)
        if self.current is None and tag in UNITS:
            self.current = Unit(self._nearest("section"), self._nearest("article"), tag)
            self.current.anchors = [name for _, name in self.stack if name]
            self.current.in_card = self.cards > 0
            self.depth = len(self.stack)
        if self.current is not None:
            if given.get("id"):
                self.current.anchors.append(str(given["id"]))
            if tag == "a":
                self.current.links.append(given.get("href") or "")
            self.current.text += " " if tag not in ("a", "span", "strong", "tspan") else ""

    def _nearest(self, tag: str) -> str:
        return next((name for kind, name in reversed(self.stack) if kind == tag), "")

    def handle_endtag(self, tag: str) -> None:
        if self.current is not None and len(self.stack) == self.depth:
            self.current.text = " ".join(self.current.text.split())
            self.units.append(self.current)
            self.current = None
        elif self.current is not None:
            self.current.text += " " if tag not in ("a", "span", "strong", "tspan") else ""
        self.stack.pop()
        if tag == "details" and self.cards:
            self.cards -= 1

    def handle_data(self, data: str) -> None:
        if not data.strip() or any(tag in SILENT for tag, _ in self.stack):
            if self.current is not None:
                self.current.text += " "
            return
        if self.current is None:
            # A text outside every unit is one of its own.
            tag = self.stack[-1][0] if self.stack else ""
            found = Unit(self._nearest("section"), self._nearest("article"), tag)
            found.anchors = [name for _, name in self.stack if name]
            found.in_card = self.cards > 0
            found.text = " ".join(data.split())
            self.units.append(found)
        else:
            self.current.text += data


def numbers_of(text: str) -> list[str]:
    """Return every number of a text as printed, with its minus and its thousands."""
    return re.findall(r"(?<![\w.,\u2212-])\u2212?\d[\d,]*(?:\.\d+)?(?![\w])", text)
