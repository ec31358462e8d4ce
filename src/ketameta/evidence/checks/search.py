"""The record of the search, ``data/search.toml``: what it holds, and whether its sums add up."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NotRequired, TypedDict, cast

from ketameta.errors import ReportError, did_you_mean
from ketameta.evidence.findings import Finding, Severity, file_finding
from ketameta.evidence.project import NOT_STATED
from ketameta.evidence.tables import Row
from ketameta.evidence.textfiles import read_toml, toml_line
from ketameta.paths import ProjectPaths

#: Counts of the ``[flow]`` table, in the order of a PRISMA 2020 diagram. A count of records left
#: out may be a table of reasons with a count each.
FLOW = (
    "identified",
    "removed_before_screening",
    "screened",
    "excluded",
    "sought",
    "not_retrieved",
    "assessed",
    "excluded_full_text",
    "included",
)
#: What remains of a count once another is taken off.
STEPS = (
    ("identified", "removed_before_screening", "screened"),
    ("screened", "excluded", "sought"),
    ("sought", "not_retrieved", "assessed"),
    ("assessed", "excluded_full_text", "included"),
)

#: Counts of the ``[records]`` table and of each source below it: the first is the sum of the rest.
RECORDS = ("extracted", "converted", "excluded")
#: What a report prints of the record: its tables, the keys of ``[search]``, lists of tables.
_TABLES = ("search", "source", "nothing_found", "records")
_SEARCH = (*("kind", "counts_note", "limits", "extraction_closed"), *("question", "due_after_days"))
_LISTS = {"source": ("name", "searched_for"), "nothing_found": ("looked_for",)}
#: Lists that a record may leave out: what came near without answering, what could not be read.
_FURTHER = {"near_miss": ("study", "told"), "not_reached": ("looked_for", "where", "date")}


# --- what it holds --------------------------------------------------------------------------------


class Searched(TypedDict):
    """How and until when was searched."""

    kind: str
    counts_note: str
    limits: list[str]
    extraction_closed: str | datetime.date
    due_after_days: NotRequired[int]


class Source(TypedDict):
    """Where was searched, and for what."""

    name: str
    searched_for: str


class Sought(TypedDict):
    """What was looked for and not found."""

    looked_for: str


class NearMiss(TypedDict):
    """A study that comes near the question and does not answer it."""

    study: str
    told: str
    source_url: str


class NotReached(TypedDict):
    """A source that could not be read, and what was found of it all the same."""

    looked_for: str
    where: str
    date: str
    found: str


class Counts(TypedDict):
    """Records extracted: each is converted or excluded."""

    extracted: int
    converted: int
    excluded: int


class Records(Counts):
    """All records, and those of each source."""

    by_source: NotRequired[dict[str, Counts]]


class SearchRecord(TypedDict):
    """The record as a report reads it; a count of the flow may be a table of reasons."""

    search: Searched
    source: list[Source]
    nothing_found: list[Sought]
    near_miss: list[NearMiss]
    not_reached: list[NotReached]
    records: NotRequired[Records]
    flow: NotRequired[dict[str, int | dict[str, int]]]
    prisma: NotRequired[dict[str, int | dict[str, int]]]


#: What is said of the search where nobody recorded one.
_NO_SEARCH: Searched = {
    "kind": "What was searched is not recorded",
    "counts_note": "That no trial stands here does not show that there is none.",
    "limits": ["What was searched, where and until when is not recorded."],
    "extraction_closed": NOT_STATED,
}


def read_search(paths: ProjectPaths) -> SearchRecord:
    """Return the record of the search, or what is said where there is none.

    Raises
    ------
    ReportError
        If the file cannot be read.
    """
    path = paths.data / "search.toml"
    document, _, findings = read_toml(path, paths.relative(path))
    if document is None and findings:
        raise ReportError("\n".join(str(finding) for finding in findings))
    found = {"search": _NO_SEARCH} if document is None else document
    told = {"source": [], "nothing_found": [], **found}
    told["near_miss"] = [{"source_url": "", **item} for item in told.get("near_miss", ())]
    told["not_reached"] = [{"found": "", **item} for item in told.get("not_reached", ())]
    return cast("SearchRecord", told)


# --- whether it holds -----------------------------------------------------------------------------


def search_findings(
    paths: ProjectPaths, exclusions: Sequence[Row] = (), screening: Sequence[Row] = ()
) -> Iterator[Finding]:
    """Yield what is wrong with the record of the search; nothing where there is none.

    The rows of ``exclusions.csv`` hold the excluded records, those of ``screening.csv`` the counts
    of the flow.
    """
    path = paths.data / "search.toml"
    file = paths.relative(path)
    document, lines, findings = read_toml(path, file)
    yield from findings
    if document is None:
        return
    for name in ("flow", "prisma"):
        if name in document:
            yield from _flow_findings(document[name], lines, file, name)
            counted = flow_of(screening)
            for key, value in document[name].items() if isinstance(document[name], dict) else ():
                if key in counted and _count(value) not in (None, counted[key]):
                    why = f"the screening list has {counted[key]}"
                    remedy = "count again, or leave the counts out: the list gives them"
                    line = toml_line(lines, f"{name}.{key}")
                    yield file_finding("search_flow", file, why, remedy, line=line,
                                       column=key, value=str(value))  # fmt: skip
    if "records" in document:
        yield from _record_findings(document["records"], lines, file, exclusions)
    yield from _date_findings(document, lines, file)


def flow_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the counts of the flow diagram that a screening list gives, as far as it is decided.

    A step whose records are not all decided is left out.
    """
    left = [row for row in rows if not row["duplicate_of"]]
    if not rows:
        return {}
    flow: dict[str, Any] = {
        "identified": len(rows),
        "removed_before_screening": len(rows) - len(left),
    }
    if not all(row["title_abstract"] for row in left):
        return flow
    sought = [row for row in left if row["title_abstract"] == "include"]
    flow |= {"screened": len(left), "excluded": len(left) - len(sought), "sought": len(sought)}
    if not all(row["full_text"] for row in sought):
        return flow
    read = [row for row in sought if row["full_text"] != "not_retrieved"]
    included = sum(row["full_text"] == "include" for row in read)
    return flow | {
        "not_retrieved": len(sought) - len(read),
        "assessed": len(read),
        "excluded_full_text": len(read) - included,
        "included": included,
    }


def form_findings(paths: ProjectPaths) -> Iterator[Finding]:
    """Yield what a report needs of the record of the search and does not find there."""
    path = paths.data / "search.toml"
    file = paths.relative(path)
    document, lines, findings = read_toml(path, file)
    if document is None:
        if not findings:
            why = "there is no such file; a report says what was searched"
            remedy = f"write {', '.join(f'[{name}]' for name in _TABLES)} into it"
            yield file_finding("search_form", file, why, remedy, severity="warning")
        return

    def wrong(key: str, why: str, remedy: str, severity: Severity = "error") -> Finding:
        line = toml_line(lines, key)
        return file_finding(
            "search_form", file, why, remedy, severity=severity, line=line, column=key
        )

    for name in document:
        if name not in (*_TABLES, *_FURTHER, "flow", "prisma"):
            hint = did_you_mean(name, (*_TABLES, *_FURTHER, "flow"))
            yield wrong(name, "no such table", f"rename or delete it{hint}")
    search = document.get("search")
    if not isinstance(search, Mapping):
        yield wrong("search", "the table is missing", f"write [search]: {', '.join(_SEARCH)}")
    else:
        yield from _search_findings(search, wrong)
    for name, keys in {**_LISTS, **_FURTHER}.items():
        entries = document.get(name, [])
        whole = isinstance(entries, list) and all(isinstance(item, Mapping) for item in entries)
        if not whole:
            yield wrong(name, "it is no list of tables", f"write [[{name}]], or {name} = []")
            continue
        for place, entry in enumerate(entries or (), 1):
            for key in keys:
                if not _is_text(entry.get(key)):
                    why = f"entry {place} has no text under it"
                    yield wrong(f"{name}.{key}", why, "write it")


def _search_findings(search: Mapping[str, Any], wrong: Callable[..., Finding]) -> Iterator[Finding]:
    """Yield what is wrong with the table that says how and when the search was done."""
    for key in ("kind", "counts_note"):
        if not _is_text(search.get(key)):
            yield wrong(f"search.{key}", "a text is needed", "say it in a sentence")
    limits = search.get("limits")
    if not (isinstance(limits, list) and all(_is_text(item) for item in limits)):
        yield wrong("search.limits", "a list of texts is needed", "write limits = [...]")
    closed = str(search.get("extraction_closed"))
    if closed != NOT_STATED and not (_is_date(closed) and "1950" < closed < "2200"):
        why = "the day on which the extraction was closed is needed"
        yield wrong("search.extraction_closed", why, f"write YYYY-MM-DD, or {NOT_STATED!r}")
    days = search.get("due_after_days", 1)
    if isinstance(days, bool) or not isinstance(days, int) or not 0 < days < 40_000:
        yield wrong("search.due_after_days", "a number of days is needed", "such as 365")
    for key in search:
        if key not in _SEARCH and not key.endswith("date"):
            remedy = f"nothing is lost if it is meant for readers{did_you_mean(key, _SEARCH)}"
            yield wrong(f"search.{key}", "no report prints it", remedy, "warning")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _record_findings(
    records: Any, lines: Sequence[str], file: str, exclusions: Sequence[Row]
) -> Iterator[Finding]:
    """Yield each sum of the records that does not hold."""

    def wrong(
        table: str, column: str, value: Any, why: str, remedy: str, severity: Severity = "error"
    ) -> Finding:
        line, text = toml_line(lines, f"{table}.{column}"), "" if value is None else str(value)
        return Finding(severity, "search_records", file, line, column, text, why, remedy)

    sources = records.get("by_source", {}) if isinstance(records, Mapping) else None
    if not isinstance(records, Mapping) or not isinstance(sources, Mapping):
        why, remedy = (
            "[records] is not a table of counts",
            f"write {', '.join(RECORDS)}, one a line",
        )
        yield file_finding("search_records", file, why, remedy, column="records")
        return
    tables = {"records": records} | {f"records.by_source.{n}": s for n, s in sources.items()}
    totals = dict.fromkeys(RECORDS, 0)
    for name, table in tables.items():
        given = table if isinstance(table, Mapping) else {}
        counts = {key: _count(given.get(key)) for key in RECORDS}
        for key, count in counts.items():
            if count is None:
                why, remedy = "not a count of records", "write a whole number of 0 or more"
                yield wrong(name, key, given.get(key), why, remedy)
            elif name != "records":
                totals[key] += count
        extracted, converted, excluded = (counts[key] for key in RECORDS)
        if extracted is None or converted is None or excluded is None:
            continue
        if converted + excluded != extracted:
            why = f"converted {converted} and excluded {excluded} are {converted + excluded}"
            remedy = "count again; each record is converted or excluded"
            yield wrong(name, "extracted", extracted, why, remedy)
    for key in RECORDS:
        count = _count(records.get(key))
        if sources and count is not None and count != totals[key]:
            why = f"the sources have {totals[key]} together"
            yield wrong("records", key, count, why, "count again, source by source")
    listed = sum(row.number("records") or 0 for row in exclusions)
    excluded = _count(records.get("excluded"))
    if exclusions and excluded is not None and excluded != listed:
        why = f"exclusions.csv lists {listed:g} records"
        remedy = "correct the count here, or the column records there"
        # A warning: whoever leaves out a study has not yet counted again.
        yield wrong("records", "excluded", excluded, why, remedy, "warning")


def _flow_findings(flow: Any, lines: Sequence[str], file: str, table: str) -> Iterator[Finding]:
    """Yield each step of the flow that does not add up."""

    def wrong(column: str, value: Any, why: str, remedy: str) -> Finding:
        line = toml_line(lines, f"{table}.{column}")
        return Finding("error", "search_flow", file, line, column, str(value), why, remedy)

    if not isinstance(flow, dict):
        yield file_finding("search_flow", file, "[flow] is not a table", "write one count a line")
        return
    counts: dict[str, int] = {}
    for name, value in flow.items():
        count = _count(value)
        if name not in FLOW:
            if not isinstance(value, str):
                remedy = f"use the names of the flow: {', '.join(FLOW)}{did_you_mean(name, FLOW)}"
                yield replace(wrong(name, "", "no such count", remedy), severity="warning")
        elif count is None:
            why, remedy = "not a count of records", "write a whole number of 0 or more"
            yield wrong(name, value, why, remedy)
        else:
            counts[name] = count
    for start, off, rest in STEPS:
        if {start, off, rest} <= counts.keys() and counts[start] - counts[off] != counts[rest]:
            expected = counts[start] - counts[off]
            why = f"{start} {counts[start]} minus {off} {counts[off]} is {expected}"
            remedy = "count again; each record takes one way through the flow"
            yield wrong(rest, counts[rest], why, remedy)


def _count(value: Any) -> int | None:
    """Return a count, or the sum of a table of counts; nothing for anything else."""
    if isinstance(value, Mapping):
        parts = [_count(item) for item in value.values()]
        return None if None in parts else sum(part for part in parts if part is not None)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def _date_findings(node: Any, lines: Sequence[str], file: str) -> Iterator[Finding]:
    """Yield every text under a name that ends in date which is no date."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            is_date = name == "date" or name.endswith("_date")
            if is_date and isinstance(value, str) and not _is_date(value):
                why = "not a date"
                remedy = "write YYYY-MM-DD"
                yield file_finding(
                    "search_date",
                    file,
                    why,
                    remedy,
                    line=_line(lines, name, value),
                    column=name,
                    value=value,
                )
            yield from _date_findings(value, lines, file)
    elif isinstance(node, list):
        for item in node:
            yield from _date_findings(item, lines, file)


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _line(lines: Sequence[str], name: str, value: str = "") -> int:
    """Return the line on which a name is set (to a value), or 0."""
    pattern = re.compile(
        rf"\s*(?:\[.*\.)?[\"']?{re.escape(name)}[\"']?\s*[=\]].*{re.escape(value)}"
    )
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 0)
