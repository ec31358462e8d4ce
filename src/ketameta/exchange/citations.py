"""Reads citations (RIS, PubMed's nbib, BibTeX) into the screening list, each report once.

A room of its own because citations are no trials: they are read by libraries of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ketameta.evidence.textfiles import decode
from ketameta.exchange.draft import Draft, ImportedRow, ImportReport, quoted
from ketameta.review.start import slug

TABLE = "screening"
#: A title with fewer letters is no ground to call two records one.
SHORTEST_TITLE = 20
_DOI = re.compile(r"10\.\d{4,9}/[^\s;,\"}]+")
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True, slots=True)
class _Format:
    """How a format's records start, and what reads one."""

    label: str
    start: re.Pattern[str]
    read: Callable[[str], Mapping[str, str]]


def _joined(value: Any) -> str:
    """Return what a library gives for a field as one text."""
    if isinstance(value, Mapping):
        return str(value.get("author", ""))
    if isinstance(value, list):
        return "; ".join(_joined(item) for item in value)
    return " ".join(str(value or "").split())


def _first(found: Mapping[str, Any], *names: str) -> str:
    return next((text for name in names if (text := _joined(found.get(name)))), "")


def _ris(text: str) -> Mapping[str, str]:
    import rispy

    # A record without its last line is read all the same.
    whole = text if re.search(r"^ER  -", text, re.M) else f"{text.rstrip()}\nER  - \n"
    found = rispy.loads(whole, skip_unknown_tags=True)[0]
    return {
        "title": _first(found, "title", "primary_title", "translated_title"),
        "authors": _first(found, "authors", "first_authors"),
        "year": _first(found, "year", "publication_year"),
        "journal": _first(found, "journal_name", "secondary_title", "alternate_title3"),
        "doi": _first(found, "doi"),
        "pmid": _first(found, "accession_number") if "pubmed" in text.lower() else "",
    }


def _nbib(text: str) -> Mapping[str, str]:
    import nbib

    found = nbib.read(text)[0]
    return {
        "title": _first(found, "title"),
        "authors": _first(found, "authors"),
        "year": _first(found, "publication_date"),
        "journal": _first(found, "journal", "journal_abbreviated"),
        "doi": _first(found, "doi"),
        "pmid": _first(found, "pubmed_id"),
    }


def _bibtex(text: str) -> Mapping[str, str]:
    import bibtexparser

    found = bibtexparser.loads(text).entries[0]
    plain = {name: re.sub(r"[{}]", "", str(value)) for name, value in found.items()}
    return {
        "title": _first(plain, "title"),
        "authors": _first(plain, "author").replace(" and ", "; "),
        "year": _first(plain, "year", "date"),
        "journal": _first(plain, "journal", "journaltitle", "booktitle"),
        "doi": _first(plain, "doi", "url"),
        "pmid": _first(plain, "pmid"),
    }


_FORMATS = (
    _Format("RIS", re.compile(r"^TY  - ", re.M), _ris),
    _Format("PubMed (nbib)", re.compile(r"^PMID-", re.M), _nbib),
    _Format(
        "BibTeX", re.compile(r"^\s*@(?!comment|string|preamble)\w+\s*\{", re.M | re.I), _bibtex
    ),
)


def format_of(data: bytes) -> _Format | None:
    """Return the format of a file of citations; nothing for any other file."""
    text = decode(data[:4000])[0].lstrip("\ufeff\r\n ")
    return next((kind for kind in _FORMATS if kind.start.search(text)), None)


def read_citations(data: bytes, name: str, known: Sequence[Mapping[str, str]] = ()) -> ImportReport:
    """Return the records of a file for the screening list, duplicates marked.

    Parameters
    ----------
    data : bytes
    name : str
        Name of the file.
    known : sequence of mapping
        Rows that stand in the list already.

    Notes
    -----
    Two records are one report where they share a DOI or a PubMed number, or a title of at least
    :data:`SHORTEST_TITLE` letters with no other year. The first stays, the other names it under
    ``duplicate_of``: both are counted, as the flow diagram asks.
    """
    kind = format_of(data)
    assert kind is not None
    text = decode(data)[0].lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    first: dict[str, Mapping[str, str]] = {}
    for row in known:
        for mark in _marks(row):
            first.setdefault(mark, row)
    draft = Draft()
    taken = {row["record_id"] for row in known}
    rows = []
    starts = [found.start() for found in kind.start.finditer(text)]
    for place, (start, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True), 1):
        line = text.count("\n", 0, start) + 1
        cells, why = _record(kind, text[start:end])
        twin = next((first[mark] for mark in _marks(cells) if mark in first), None)
        if not why and twin is not None and (twin["source"], twin["title"]) == (
            name, cells["title"],
        ) and twin in known:  # fmt: skip
            why = f"it stands in the list already, as {twin['record_id']} from the same file"
        if why:
            rows.append(ImportedRow(line, quoted(text[start:end][:60]), "refused", (why,)))
            continue
        record = _free(f"{slug(name.rpartition('.')[0])}_{place}", taken)
        taken.add(record)
        row = {"record_id": record, **cells, "source": name}
        details: tuple[str, ...] = ()
        if twin is not None:
            row["duplicate_of"] = twin.get("duplicate_of") or twin["record_id"]
            details = (f"the same report as {row['duplicate_of']}: marked, and screened once",)
        for mark in _marks(row):
            first.setdefault(mark, row)
        became = draft.add(TABLE, row, line)
        verdict = "changed" if details else "taken"
        label = ", ".join(part for part in (cells["title"], cells["year"]) if part)
        rows.append(ImportedRow(line, label, verdict, details, (became,)))  # type: ignore[arg-type]
    return ImportReport(
        name,
        f"citations, {kind.label}",
        tuple(rows),
        tables=draft.tables(),
        rows_in=len(starts),
    )


def _record(kind: _Format, text: str) -> tuple[dict[str, str], str]:
    """Return the cells of one record, or why it cannot be read."""
    try:
        found = dict(kind.read(text))
    except Exception as error:
        # Each library meets a broken record with an error of its own.
        return {
            "title": "",
            "year": "",
        }, f"the record cannot be read ({str(error)[:80] or 'empty'})"
    doi = _DOI.search(found["doi"]) or re.search(rf"({_DOI.pattern}) \[doi\]", text)
    year, pmid = _YEAR.search(found["year"]), re.search(r"\d{1,8}", found["pmid"])
    cells = {
        **{name: found[name] for name in ("title", "authors", "journal")},
        "year": year.group() if year else "",
        "doi": (doi.group(1) if doi.groups() else doi.group()).rstrip(".") if doi else "",
        "pmid": pmid.group() if pmid else "",
    }
    if not (cells["title"] or cells["doi"] or cells["pmid"]):
        return cells, "the record has neither a title, a DOI nor a PubMed number"
    return cells, ""


def _marks(row: Mapping[str, str]) -> Iterator[str]:
    """Yield what tells that two records are one report."""
    if row.get("doi"):
        yield f"doi {row['doi'].lower()}"
    if row.get("pmid"):
        yield f"pmid {row['pmid']}"
    title = re.sub(r"[\W_]+", "", row.get("title", "").lower())
    if len(title) >= SHORTEST_TITLE:
        yield f"title {title} {row.get('year', '')}"


def _free(name: str, taken: set[str]) -> str:
    """Return a name that no record has yet."""
    if name not in taken:
        return name
    return next(other for n in range(2, 10**6) if (other := f"{name}_{n}") not in taken)
