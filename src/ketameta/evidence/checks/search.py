"""The record of the search, ``data/search.toml``: what it holds, and whether its sums add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo

from ketameta.declared import (
    Day,
    Number,
    Place,
    Table,
    Text,
    Words,
    as_written,
    is_day,
    is_lenient,
    needed,
    number_where,
    problem,
    validate,
    words_of,
)
from ketameta.errors import ReportError, did_you_mean
from ketameta.evidence.findings import (
    Finding,
    Lines,
    Severity,
    file_finding,
    key_finding,
    read_toml,
)
from ketameta.evidence.project import NOT_STATED
from ketameta.evidence.tables import Row
from ketameta.paths import ProjectPaths

# --- what it holds --------------------------------------------------------------------------------


def _closed(value: Any, info: ValidationInfo) -> str:
    day = str(value)
    known = day == NOT_STATED or (is_day(day) and "1950" < day < "2200")
    if not known and not is_lenient(info):
        why = ": the day on which the extraction was closed is needed"
        raise problem(f"{why}; write YYYY-MM-DD, or {NOT_STATED!r}")
    return day


def _count(value: Any) -> int | None:
    """Return a count, or the sum of a table of counts."""
    if isinstance(value, Mapping):
        return sum(_count(item) or 0 for item in value.values())
    if isinstance(value, bool) or not isinstance(value, int | None) or (value or 0) < 0:
        what = "a count of records is a whole number of 0 or more"
        raise problem(f" is {as_written(value)}; {what}")
    return value


_Sentence = Annotated[str, needed(": a text is needed; say it in a sentence")]
_Written = Annotated[str, needed(": a text is needed; write it")]
_DAYS = "a number of days is needed, such as 365"
#: Records, or reasons with a count each; nothing where it was not kept.
Count = Annotated[int | None, BeforeValidator(_count)]


class Searched(Table):
    """How and until when was searched, and after how many days that is due again."""

    model_config = ConfigDict(extra="allow")
    question: Text = ""
    kind: _Sentence = ""
    counts_note: _Sentence = ""
    limits: Annotated[Words, words_of(least="say in a text each what it could not show")] = ()
    extraction_closed: Annotated[str, BeforeValidator(_closed)] = ""
    due_after_days: Annotated[Number, number_where(lambda days: 0 < days < 40_000, _DAYS)] = 183


class _Entry(Table):
    """An entry of a list; what else stands in it is for readers of the file."""

    model_config = ConfigDict(extra="ignore")


class Source(_Entry):
    """Where was searched, and for what."""

    name: _Written = ""
    searched_for: _Written = ""


class Sought(_Entry):
    """What was looked for and not found."""

    looked_for: _Written = ""


class NearMiss(_Entry):
    """A study that comes near the question and does not answer it."""

    study: _Written = ""
    told: _Written = ""
    source_url: Text = ""


class NotReached(_Entry):
    """A source that could not be read, and what was found of it all the same."""

    looked_for: _Written = ""
    where: _Written = ""
    date: Day = ""
    found: Text = ""


class Counts(Table):
    """Records extracted: each is converted or excluded."""

    extracted: Count = None
    converted: Count = None
    excluded: Count = None


class Records(Counts):
    """All records, and those of each source: the first are the sum of the rest."""

    by_source: Mapping[str, Counts] = Field(default_factory=dict)


class Steps(Table):
    """Counts of the flow, in the order of a PRISMA 2020 diagram."""

    model_config = ConfigDict(extra="allow")
    identified: Count = None
    removed_before_screening: Count = None
    screened: Count = None
    excluded: Count = None
    sought: Count = None
    not_retrieved: Count = None
    assessed: Count = None
    excluded_full_text: Count = None
    included: Count = None


#: What is said of the search where nobody recorded one.
_NO_SEARCH = Searched.model_construct(
    kind="What was searched is not recorded",
    counts_note="That no trial stands here does not show that there is none.",
    limits=("What was searched, where and until when is not recorded.",),
    extraction_closed=NOT_STATED,
)


class SearchRecord(Table):
    """The record as a report reads it."""

    search: Searched = _NO_SEARCH
    source: tuple[Source, ...] = ()
    nothing_found: tuple[Sought, ...] = ()
    near_miss: tuple[NearMiss, ...] = ()
    not_reached: tuple[NotReached, ...] = ()
    records: Records | None = None
    flow: Steps | None = None


def read_search(paths: ProjectPaths) -> SearchRecord:
    """Return the record of the search, or what is said where there is none.

    Raises
    ------
    ReportError
        If the file cannot be read.
    """
    read = _read(paths)
    if read.written is None and read.findings:
        raise ReportError("\n".join(str(finding) for finding in read.findings))
    return read.record


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
    """Return the boxes of the flow diagram; counts of the screening list where it has none.

    ``excluded_listed`` are records that ``exclusions.csv`` lists, ``used`` studies in an analysis.
    """
    records = search.records
    if records is None:
        return Flow(used)
    known = screening if search.flow is None else search.flow.to_dict()
    return Flow(
        used,
        records,
        {name.replace("_", " "): part for name, part in records.by_source.items()},
        [(label, known.get(key)) for key, label in _BEFORE],
        f"The record of the search counts {records.excluded} exclusions; the list of exclusions "
        f"has {excluded_listed}." if excluded_listed != records.excluded else "",
    )  # fmt: skip


# --- whether it holds -----------------------------------------------------------------------------

#: What is said of the parts that are counts, by the name of their table; of all others, of forms.
_OF_COUNTS = {"records": "search_records", "flow": "search_flow"}


@dataclass(frozen=True, slots=True)
class _Read:
    """The record of a search as written and as read, and what is wrong with it."""

    file: str
    lines: Lines
    written: Mapping[str, Any] | None
    record: SearchRecord
    findings: tuple[Finding, ...]

    def wrong(
        self,
        check: str,
        place: Place,
        why: str,
        remedy: str,
        value: object = "",
        severity: Severity = "error",
    ) -> Finding:
        """Return a finding about the key of a table."""
        column, line = ".".join(map(str, place)), self.lines.line_of(place)
        return Finding(severity, check, self.file, line, column, str(value), why, remedy)


def _read(paths: ProjectPaths) -> _Read:
    path = paths.data / "search.toml"
    file = paths.relative(path)
    written, lines, findings = read_toml(path, file)
    record, problems = validate(SearchRecord, written or {})
    wrong = [
        key_finding(_OF_COUNTS.get(str(item.place[0]), "search_form"), item, file, lines)
        for item in problems
    ]
    return _Read(file, lines, written, record, (*findings, *wrong))


def search_findings(
    paths: ProjectPaths, exclusions: Sequence[Row] = (), screening: Sequence[Row] = ()
) -> Iterator[Finding]:
    """Yield what is wrong with the record of the search; nothing where there is none.

    The rows of ``exclusions.csv`` hold the excluded records, those of ``screening.csv`` the counts
    of the flow.
    """
    read = _read(paths)
    yield from (item for item in read.findings if item.check != "search_form")
    whole = all(item.check != "search_records" for item in read.findings)
    if whole and read.record.records is not None:
        yield from _record_findings(read, read.record.records, exclusions)
    if read.record.flow is not None:
        yield from _flow_findings(read, read.record.flow, flow_of(screening))
    yield from _date_findings(read, read.written)


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
    read, check, keys = _read(paths), "search_form", [*Searched.model_fields]
    if read.written is None:
        if not read.findings:
            why = "there is no such file; a report says what was searched"
            remedy = "write [search], [source], [nothing_found], [records] into it"
            yield file_finding(check, read.file, why, remedy, severity="warning")
        return
    yield from (item for item in read.findings if item.check == check)
    if "search" not in read.written:
        remedy = f"write [search]: {', '.join(keys)}"
        yield read.wrong(check, ("search",), "the table is missing", remedy)
    for key in read.record.search.model_extra or ():
        if not key.endswith("date"):
            remedy = f"nothing is lost if it is meant for readers{did_you_mean(key, keys)}"
            why = "no report prints it"
            yield read.wrong(check, ("search", key), why, remedy, severity="warning")


def _record_findings(read: _Read, records: Records, exclusions: Sequence[Row]) -> Iterator[Finding]:
    """Yield each sum of the records that does not hold."""
    check, again = "search_records", "count again; each record is converted or excluded"
    parts: list[tuple[Place, Counts]] = [(("records",), records)]
    parts += [(("records", "by_source", name), one) for name, one in records.by_source.items()]
    for place, counts in parts:
        for key in Counts.model_fields:
            if getattr(counts, key) is None:
                why, remedy = "is missing", "write a whole number of 0 or more"
                yield read.wrong(check, (*place, key), why, remedy)
        extracted, converted, excluded = counts.extracted, counts.converted, counts.excluded
        if extracted is None or converted is None or excluded is None:
            continue
        if converted + excluded != extracted:
            why = f"converted {converted} and excluded {excluded} are {converted + excluded}"
            yield read.wrong(check, (*place, "extracted"), why, again, extracted)
    for key in Counts.model_fields:
        count = getattr(records, key)
        total = sum(getattr(one, key) or 0 for one in records.by_source.values())
        if records.by_source and count is not None and count != total:
            why, remedy = f"the sources have {total} together", "count again, source by source"
            yield read.wrong(check, ("records", key), why, remedy, count)
    listed = sum(row.number("records") or 0 for row in exclusions)
    if exclusions and records.excluded is not None and records.excluded != listed:
        why = f"exclusions.csv lists {listed:g} records"
        remedy = "correct the count here, or the column records there"
        # A warning: whoever leaves out a study has not yet counted again.
        place = ("records", "excluded")
        yield read.wrong(check, place, why, remedy, records.excluded, "warning")


def _flow_findings(read: _Read, flow: Steps, counted: Mapping[str, int]) -> Iterator[Finding]:
    """Yield each step of the flow that does not add up, or is not what the screening list gives."""
    check, names = "search_flow", [*Steps.model_fields]
    for name, value in (flow.model_extra or {}).items():
        if not isinstance(value, str):
            remedy = f"use the names of the flow: {', '.join(names)}{did_you_mean(name, names)}"
            why = "no such count"
            yield read.wrong(check, ("flow", name), why, remedy, severity="warning")
    counts = {name: count for name in names if (count := getattr(flow, name)) is not None}
    for name, count in counts.items():
        if counted.get(name, count) != count:
            why = f"the screening list has {counted[name]}"
            remedy = "count again, or leave the counts out: the list gives them"
            yield read.wrong(check, ("flow", name), why, remedy, count)
    # A count, what is taken off it, and what remains, in turns.
    for start, off, rest in zip(names[::2], names[1::2], names[2::2], strict=False):
        if {start, off, rest} <= counts.keys() and counts[start] - counts[off] != counts[rest]:
            expected = counts[start] - counts[off]
            why = f"{start} {counts[start]} minus {off} {counts[off]} is {expected}"
            remedy = "count again; each record takes one way through the flow"
            yield read.wrong(check, ("flow", rest), why, remedy, counts[rest])


def _date_findings(read: _Read, node: object, place: Place = ()) -> Iterator[Finding]:
    """Yield every text under a name that ends in date which is no date."""
    parts = node.items() if isinstance(node, Mapping) else ()
    for name, value in enumerate(node) if isinstance(node, list) else parts:
        at, key = (*place, name), str(name)
        is_date = key == "date" or key.endswith("_date")
        if is_date and isinstance(value, str) and not is_day(value) and at[0] != "not_reached":
            yield read.wrong("search_date", at, "not a date", "write YYYY-MM-DD", value)
        yield from _date_findings(read, value, at)
