"""Every table inside an analysis of the page as one CSV per analysis, cell by cell as printed."""

from __future__ import annotations

from html.parser import HTMLParser

from ketameta.report.tables import csv_text

_HEADER = ("table", "row", "column", "value")


class _Tables(HTMLParser):
    """Collects the cells of the tables of each article: table, row, column, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: dict[str, list[tuple[str, int, str, str]]] = {}
        self.article = ""
        self.label = ""
        self.headings: list[str] = []
        self.row = 0
        self.place = 0
        self.in_head = False
        self.text: list[str] | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "article":
            self.article = given["id"]
            self.cells[self.article] = []
        elif given.get("role") == "region":
            self.label = given.get("aria-label", "")
        elif tag == "table":
            self.headings, self.row = [], 0
        elif tag == "thead":
            self.in_head = True
        elif tag == "tr":
            self.place = 0
            self.row += not self.in_head
        elif tag in ("td", "th"):
            self.text = []
        elif self.text is not None and tag not in ("a", "strong", "span", "em"):
            self.text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self.article = ""
        elif tag == "thead":
            self.in_head = False
        elif tag in ("td", "th") and self.text is not None:
            words = " ".join("".join(self.text).split())
            self.text = None
            if self.in_head:
                self.headings.append(words)
            elif self.article:
                known = self.place < len(self.headings)
                heading = self.headings[self.place] if known else str(self.place + 1)
                self.cells[self.article].append((self.label, self.row, heading, words))
            self.place += 1

    def handle_data(self, data: str) -> None:
        if self.text is not None:
            self.text.append(data)


def analysis_tables(page: str) -> dict[str, str]:
    """Return one CSV per analysis of a page by its file name, a line for each cell of its tables.

    Parameters
    ----------
    page : str
        The rendered page.

    Returns
    -------
    dict of str to str
        Columns ``table`` (its name on the page), ``row``, ``column`` (its heading) and ``value``
        (as printed). Seven digits stand in the results and in the tables made from them.
    """
    return {
        f"analysis-{name}.csv": csv_text(_HEADER, cells)
        for name, cells in _Tables(page).cells.items()
    }
