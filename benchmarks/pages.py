"""Text of the generated pages: paragraphs wrapped at 100 characters."""

from __future__ import annotations

import textwrap


def wrapped(*paragraphs: str) -> list[str]:
    """Return the lines of paragraphs, each followed by an empty one; ``*`` begins a list item."""
    lines: list[str] = []
    for text in paragraphs:
        words = " ".join(text.split())
        hanging = "  " if words.startswith("* ") else ""
        lines += [*textwrap.wrap(words, 100, subsequent_indent=hanging), ""]
    return lines
