"""The record of the search, ``data/search.toml``: what it holds, and whether its sums add up."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict, cast

from ketameta.errors import ReportError, did_you_mean
from ketameta.evidence.findings import Finding, Severity, file_finding, read_toml, toml_line
from ketameta.evidence.project import NOT_STATED
from ketameta.evidence.tables import Row
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


@dataclass(frozen=True, slots=True)
class Flow:
    """The boxes of the flow diagram; its sums are held by the checks of the data.

    ``before`` are counts before extraction by label, ``None`` where one was not kept; ``mismatch``
    is said where the list of exclusions has another count.
    """

    studies_used: int
    counts: Counts | None = None
    by_source: Mapping[str, Counts] = field(default_factory=dict)
    before: Sequence[tuple[str, int | None]] = ()
    mismatch: str = ""


#: Counts of a PRISMA 2020 diagram that come before extraction, in the words of the page.
_BEFORE = (
    ("identified", "Records identified"),
    ("screened", "Records screened"),
    ("assessed", "Reports assessed in full"),
)


def record_flow(
    search: SearchRecord, screening: Mapping[str, int], excluded_listed: int, used: int
) -> Flow:
    """Return the boxes of the flow diagram.

    Parameters
    ----------
    search : SearchRecord
    screening : mapping
        Counts that the screening list gives, where the record of the search gives none.
    excluded_listed : int
        Records that ``data/exclusions.csv`` lists.
    used : int
        Studies that enter an analysis.
    """
    records = search.get("records")
    if records is None:
        return Flow(used)
    known = search.get("flow", screening)
    before = [(label, known.get(key)) for key, label in _BEFORE]
    return Flow(
        used,
        {"extracted": records["extracted"], "converted": records["converted"],
         "excluded": records["excluded"]},
        {name.replace("_", " "): part for name, part in records.get("by_source", {}).items()},
        [(label, count if isinstance(count, int) else None) for label, count in before],
        f"The record of the search counts {records['excluded']} exclusions; the list of exclusions "
        f"has {excluded_listed}." if excluded_listed != records["excluded"] else "",
    )  # fmt: skip


# --- whether it holds -----------------------------------------------------------------------------

#: What is no count, and what to write instead.
_NO_COUNT = "not a count of records", "write a whole number of 0 or more"


@dataclass(frozen=True, slots=True)
class _Record:
    """The record of a search as read: what it says, and where that stands."""

    file: str
    lines: Sequence[str]
    tables: Mapping[str, object] | None
    problems: tuple[Finding, ...]

    def wrong(
        self,
        check: str,
        key: str,
        why: str,
        remedy: str,
        value: object = None,
        severity: Severity = "error",
    ) -> Finding:
        """Return a finding about the key of a table."""
        column = key if check == "search_form" else key.rpartition(".")[2]
        text = "" if value is None else str(value)
        line = toml_line(self.lines, key)
        return Finding(severity, check, self.file, line, column, text, why, remedy)


def _record(paths: ProjectPaths) -> _Record:
    path = paths.data / "search.toml"
    tables, lines, problems = read_toml(path, paths.relative(path))
    return _Record(paths.relative(path), lines, tables, problems)


def search_findings(
    paths: ProjectPaths, exclusions: Sequence[Row] = (), screening: Sequence[Row] = ()
) -> Iterator[Finding]:
    """Yield what is wrong with the record of the search; nothing where there is none.

    The rows of ``exclusions.csv`` hold the excluded records, those of ``screening.csv`` the counts
    of the flow.
    """
    record = _record(paths)
    yield from record.problems
    counted = flow_of(screening)
    for name, table in (record.tables or {}).items():
        if name in ("flow", "prisma"):
            yield from _flow_findings(record, name, table, counted)
        elif name == "records":
            yield from _record_findings(record, table, exclusions)
    yield from _date_findings(record, record.tables)


def flow_of(rows: Sequence[Row]) -> dict[str, int]:
    """Return the counts of the flow diagram that a screening list gives, as far as it is decided.

    A step whose records are not all decided is left out.
    """
    left = [row for row in rows if not row["duplicate_of"]]
    if not rows:
        return {}
    flow = {
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
    record, check = _record(paths), "search_form"
    if record.tables is None:
        if not record.problems:
            why = "there is no such file; a report says what was searched"
            remedy = f"write {', '.join(f'[{name}]' for name in _TABLES)} into it"
            yield file_finding(check, record.file, why, remedy, severity="warning")
        return
    for name in record.tables:
        if name not in (*_TABLES, *_FURTHER, "flow", "prisma"):
            hint = did_you_mean(name, (*_TABLES, *_FURTHER, "flow"))
            yield record.wrong(check, name, "no such table", f"rename or delete it{hint}")
    search = record.tables.get("search")
    if not isinstance(search, Mapping):
        remedy = f"write [search]: {', '.join(_SEARCH)}"
        yield record.wrong(check, "search", "the table is missing", remedy)
    else:
        for key, why, remedy in _search_problems(search):
            yield record.wrong(check, f"search.{key}", why, remedy)
        for key in search:
            if key not in _SEARCH and not key.endswith("date"):
                remedy = f"nothing is lost if it is meant for readers{did_you_mean(key, _SEARCH)}"
                where, why = f"search.{key}", "no report prints it"
                yield record.wrong(check, where, why, remedy, severity="warning")
    for name, keys in {**_LISTS, **_FURTHER}.items():
        entries = record.tables.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
            remedy = f"write [[{name}]], or {name} = []"
            yield record.wrong(check, name, "it is no list of tables", remedy)
            continue
        for place, entry in enumerate(entries, 1):
            for key in keys:
                if not _is_text(entry.get(key)):
                    why = f"entry {place} has no text under it"
                    yield record.wrong(check, f"{name}.{key}", why, "write it")


def _search_problems(search: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield key, reason and remedy of what is wrong with how and when the search was done."""
    for key in ("kind", "counts_note"):
        if not _is_text(search.get(key)):
            yield key, "a text is needed", "say it in a sentence"
    limits = search.get("limits")
    if not (isinstance(limits, list) and all(_is_text(item) for item in limits)):
        yield "limits", "a list of texts is needed", "write limits = [...]"
    closed = str(search.get("extraction_closed"))
    if closed != NOT_STATED and not (_is_date(closed) and "1950" < closed < "2200"):
        why = "the day on which the extraction was closed is needed"
        yield "extraction_closed", why, f"write YYYY-MM-DD, or {NOT_STATED!r}"
    days = search.get("due_after_days", 1)
    if isinstance(days, bool) or not isinstance(days, int) or not 0 < days < 40_000:
        yield "due_after_days", "a number of days is needed", "such as 365"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _record_findings(
    record: _Record, records: object, exclusions: Sequence[Row]
) -> Iterator[Finding]:
    """Yield each sum of the records that does not hold."""
    check, again = "search_records", "count again; each record is converted or excluded"
    sources = records.get("by_source", {}) if isinstance(records, Mapping) else None
    if not isinstance(records, Mapping) or not isinstance(sources, Mapping):
        why, remedy = (
            "[records] is not a table of counts",
            f"write {', '.join(RECORDS)}, one a line",
        )
        yield file_finding(check, record.file, why, remedy, column="records")
        return
    tables = {"records": records} | {f"records.by_source.{n}": s for n, s in sources.items()}
    totals = dict.fromkeys(RECORDS, 0)
    for name, table in tables.items():
        given = table if isinstance(table, Mapping) else {}
        counts = {key: _count(given.get(key)) for key in RECORDS}
        for key, count in counts.items():
            if count is None:
                yield record.wrong(check, f"{name}.{key}", *_NO_COUNT, given.get(key))
            elif name != "records":
                totals[key] += count
        extracted, converted, excluded = (counts[key] for key in RECORDS)
        if extracted is None or converted is None or excluded is None:
            continue
        if converted + excluded != extracted:
            why = f"converted {converted} and excluded {excluded} are {converted + excluded}"
            yield record.wrong(check, f"{name}.extracted", why, again, extracted)
    for key in RECORDS:
        count = _count(records.get(key))
        if sources and count is not None and count != totals[key]:
            why, remedy = (
                f"the sources have {totals[key]} together",
                "count again, source by source",
            )
            yield record.wrong(check, f"records.{key}", why, remedy, count)
    listed = sum(row.number("records") or 0 for row in exclusions)
    excluded = _count(records.get("excluded"))
    if exclusions and excluded is not None and excluded != listed:
        why = f"exclusions.csv lists {listed:g} records"
        remedy = "correct the count here, or the column records there"
        # A warning: whoever leaves out a study has not yet counted again.
        yield record.wrong(check, "records.excluded", why, remedy, excluded, "warning")


def _flow_findings(
    record: _Record, table: str, flow: object, counted: Mapping[str, int]
) -> Iterator[Finding]:
    """Yield each step of the flow that does not add up, or is not what the screening list gives."""
    check = "search_flow"
    if not isinstance(flow, Mapping):
        why, remedy = "[flow] is not a table", "write one count a line"
        yield file_finding(check, record.file, why, remedy)
        return
    counts: dict[str, int] = {}
    for name, value in flow.items():
        count, where = _count(value), f"{table}.{name}"
        if name not in FLOW:
            if not isinstance(value, str):
                remedy = f"use the names of the flow: {', '.join(FLOW)}{did_you_mean(name, FLOW)}"
                yield record.wrong(check, where, "no such count", remedy, severity="warning")
        elif count is None:
            yield record.wrong(check, where, *_NO_COUNT, value)
        else:
            counts[name] = count
            if counted.get(name, count) != count:
                why = f"the screening list has {counted[name]}"
                remedy = "count again, or leave the counts out: the list gives them"
                yield record.wrong(check, where, why, remedy, value)
    for start, off, rest in STEPS:
        if {start, off, rest} <= counts.keys() and counts[start] - counts[off] != counts[rest]:
            expected = counts[start] - counts[off]
            why = f"{start} {counts[start]} minus {off} {counts[off]} is {expected}"
            remedy = "count again; each record takes one way through the flow"
            yield record.wrong(check, f"{table}.{rest}", why, remedy, counts[rest])


def _count(value: object) -> int | None:
    """Return a count, or the sum of a table of counts; nothing for anything else."""
    if isinstance(value, Mapping):
        parts = [_count(item) for item in value.values()]
        return None if None in parts else sum(part for part in parts if part is not None)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def _date_findings(record: _Record, node: object) -> Iterator[Finding]:
    """Yield every text under a name that ends in date which is no date."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            is_date = name == "date" or name.endswith("_date")
            if is_date and isinstance(value, str) and not _is_date(value):
                line = _line(record.lines, name, value)
                why, remedy = "not a date", "write YYYY-MM-DD"
                yield Finding("error", "search_date", record.file, line, name, value, why, remedy)
            yield from _date_findings(record, value)
    elif isinstance(node, list):
        for item in node:
            yield from _date_findings(record, item)


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
