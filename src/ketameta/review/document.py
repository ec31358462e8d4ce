"""A short document as data, and its four renderings: terminal, plain text, Markdown, HTML.

Knows nothing of trials; every text that comes from data is escaped where it is rendered.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ketameta.evidence.findings import printable


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the title of the document."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; ``strong`` where it is the one to read."""

    text: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: column names, rows of texts, and the columns that hold numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()
    title: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as SVG, with its text alternative. Left out where pictures cannot be shown."""

    svg: bytes
    alternative: str
    caption: str = ""


Block = Heading | Paragraph | Bullets | Grid | Picture
Document = Sequence[Block]


def as_text(document: Document) -> str:
    """Return the document as plain text with aligned columns, without colour."""
    parts: list[str] = []
    for block in document:
        if isinstance(block, Heading):
            title = printable(block.text)
            parts.append(f"{title}\n{('=' if block.level == 1 else '-') * len(title)}")
        elif isinstance(block, Paragraph):
            parts.append(_lines(block.text))
        elif isinstance(block, Bullets):
            parts.append("\n".join(f"- {_lines(item)}" for item in block.items))
        elif isinstance(block, Grid):
            parts.append(_grid_text(block))
    return "\n\n".join(part for part in parts if part) + "\n"


def _lines(text: str) -> str:
    """Return a paragraph line by line, each of which does nothing but show."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _grid_text(grid: Grid) -> str:
    rows = [tuple(printable(cell) for cell in row) for row in (grid.columns, *grid.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(grid.columns))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if place in grid.right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    head = [printable(grid.title)] if grid.title else []
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([*head, line(rows[0]), rule, *(line(row) for row in rows[1:])])


def as_markdown(document: Document, *, own: bool = False) -> str:
    """Return the document as Markdown that GitHub renders; data cannot add markup of their own.

    ``own`` says that every text is ours, and is read in editors too: only its bars are escaped.
    """
    escape = (lambda text: text.replace("|", "\\|")) if own else escape_markdown
    parts: list[str] = []
    for block in document:
        if isinstance(block, Heading):
            parts.append(f"{'#' * (block.level + 1)} {escape(block.text)}")
        elif isinstance(block, Paragraph):
            text = escape(block.text)
            parts.append(f"**{text}**" if block.strong else text)
        elif isinstance(block, Bullets):
            parts.append("\n".join(f"- {escape(item)}" for item in block.items))
        elif isinstance(block, Grid) and block.rows:
            marks = ["---:" if n in block.right else "---" for n in range(len(block.columns))]
            lines = [[escape(cell) for cell in row] for row in (block.columns, *block.rows)]
            head = [f"**{escape(block.title)}**\n"] if block.title else []
            rows = [f"| {' | '.join(row)} |" for row in (lines[0], marks, *lines[1:])]
            parts.append("\n".join([*head, *rows]))
    return "\n\n".join(part for part in parts if part) + "\n"


#: A character of no width, which parts what would be a link, a mention or a reference.
_PARTED = "&#8203;"
#: What means more than itself in Markdown, or to the site that shows it as a comment. An
#: underscore within a word marks nothing, and words of the data are full of them.
_LIVE = re.compile(
    r"(?P<markup>[\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[-+=](?=[-+= ]|$))"
    r"|(?P<number>^[0-9]{1,9}(?=[.)](?: |$)))"
    r"|(?P<html>[<>&])|(?P<math>\$)|(?P<hash>#)"
    r"|(?P<parted>@|:(?=/|[\w+-]+:)|(?<=mailto):|(?<=xmpp):|www(?=\.)|GH-(?=[0-9]))"
    r"|(?P<commit>\b(?=[0-9]*[a-f])[0-9a-f]{7,40}\b)",
    re.IGNORECASE,
)
_HTML = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def escape_markdown(text: str) -> str:
    r"""Return text that means itself in Markdown and in a comment: one line, and nothing live.

    No markup, HTML, picture or link; no mention, reference to an issue or commit, address that
    becomes a link, formula or emoji. The character of no width that parts them stays in a plain
    copy of the comment too, such as an answer by mail.

    Examples
    --------
    >>> escape_markdown("*x* by @all, see #1")
    '\\*x\\* by @&#8203;all, see \\#&#8203;1'
    """
    return _LIVE.sub(_inert, printable(" ".join(text.split())))


def _inert(found: re.Match[str]) -> str:
    live = found.group()
    match found.lastgroup:
        case "html":
            return _HTML[live]
        case "math":
            return "<span>$</span>"
        case "hash":
            names = found.string[found.end() : found.end() + 1].isalnum()
            return f"\\#{_PARTED}" if names else "\\#"
        case "number":
            return f"{live}\\"
        case "parted":
            return f"{live}{_PARTED}"
        case "commit":
            # The name of a commit has at least seven figures.
            return _PARTED.join(live[at : at + 6] for at in range(0, len(live), 6))
    return f"\\{live}"


_STYLE = """
:root { --ink: #1d2733; --soft: #55616f; --line: #d8dee6; --paper: #fff; --panel: #f5f7fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaef; --soft: #a9b4c0; --line: #38424d; --paper: #14191f; --panel: #1c232b; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Arial, sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; } h2 { margin-top: 2.4rem; font-size: 1.35rem; }
p { max-width: 48rem; } .strong { font-weight: 650; font-size: 1.08rem; }
.scroll { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .5rem .7rem; font-weight: 650; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem;
  border-bottom: 1px solid var(--line); }
thead th { background: var(--panel); } .n { text-align: right; white-space: nowrap; }
figure { margin: 1rem 0; } figure .scroll { background: #fff; padding: .4rem; }
figure img { display: block; width: 100%; min-width: 44rem; }
figcaption { font-weight: 650; margin-bottom: .3rem; }
"""


def as_html(document: Document, title: str) -> str:
    """Return the document as one self-contained page."""
    body = "\n".join(_block_html(block) for block in document)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _block_html(block: Block) -> str:
    if isinstance(block, Heading):
        level = min(max(block.level, 1), 6)
        return f"<h{level}>{html.escape(block.text)}</h{level}>"
    if isinstance(block, Paragraph):
        mark = ' class="strong"' if block.strong else ""
        return f"<p{mark}>{html.escape(block.text)}</p>"
    if isinstance(block, Bullets):
        items = "".join(f"<li>{html.escape(item)}</li>" for item in block.items)
        return f"<ul>{items}</ul>"
    if isinstance(block, Picture):
        data = base64.b64encode(block.svg).decode("ascii")
        caption = f"<figcaption>{html.escape(block.caption)}</figcaption>" if block.caption else ""
        return (
            f'<figure>{caption}<div class="scroll" tabindex="0">'
            f'<img src="data:image/svg+xml;base64,{data}"'
            f' alt="{html.escape(block.alternative, quote=True)}"></div></figure>'
        )
    return _grid_html(block)


def _grid_html(grid: Grid) -> str:
    def cell(tag: str, place: int, text: str) -> str:
        mark = ' class="n"' if place in grid.right else ""
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{scope}{mark}>{html.escape(text)}</{tag}>"

    head = "".join(cell("th", place, name) for place, name in enumerate(grid.columns))
    rows = "\n".join(
        "<tr>" + "".join(cell("td", place, text) for place, text in enumerate(row)) + "</tr>"
        for row in grid.rows
    )
    caption = f"<caption>{html.escape(grid.title)}</caption>" if grid.title else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def print_document(document: Document) -> None:
    """Print to a terminal with rules and wrapped cells, and as plain text into a pipe."""
    import sys

    if not sys.stdout.isatty():
        sys.stdout.write(as_text(document))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for block in document:
        _print_block(console, block)


def _print_block(console: object, block: Block) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    assert isinstance(console, Console)
    if isinstance(block, Heading):
        console.print()
        style = "bold underline" if block.level == 1 else "bold"
        console.print(Text(printable(block.text), style=style))
    elif isinstance(block, Paragraph):
        console.print(Text(_lines(block.text), style="bold" if block.strong else ""))
    elif isinstance(block, Bullets):
        for item in block.items:
            console.print(Text(f"- {_lines(item)}"))
    elif isinstance(block, Grid):
        table = Table(title=block.title or None, title_justify="left", show_lines=False)
        for place, name in enumerate(block.columns):
            table.add_column(
                Text(name), justify="right" if place in block.right else "left", overflow="fold"
            )
        for row in block.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        console.print(table)
