"""Cells of a CSV that no spreadsheet runs as a formula. Knows no table."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
#: A spreadsheet runs what starts with one of these.
_STARTS = ("=", "+", "-", "@", "\t", "\r")


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet runs: numbers and single signs stay, other text is quoted.

    The apostrophe before the text is what spreadsheets themselves use; :func:`unguarded` takes it
    off again.

    Examples
    --------
    >>> guarded("=1+1"), guarded("-1.5"), guarded("-1,5"), guarded("=")
    ("'=1+1", '-1.5', '-1,5', '=')
    """
    if len(cell) < 2 or not cell.startswith(_STARTS) or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def unguarded(cell: str) -> str:
    """Return a cell as it was before :func:`guarded`."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_STARTS) else cell
