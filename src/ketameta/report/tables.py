"""A table of the report as one value: the page, the PDF and the CSV files are made from it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypedDict

from ketameta.analyses.claims import fact_words
from ketameta.analyses.sentences import given_in
from ketameta.evidence.schema import RECONCILIATION
from ketameta.evidence.second_extraction import (
    PARTIAL,
    CellPair,
    ColumnAgreement,
    Comparison,
    Limits,
    agreement_by_column,
    with_decisions,
)
from ketameta.formatting import csv_text, format_percent, plural, published
from ketameta.paths import ProjectPaths
from ketameta.plots.frame import OUTSIDE
from ketameta.plots.maps import EvidenceMap

if TYPE_CHECKING:
    from ketameta.analyses.claims import Judged
    from ketameta.analyses.parts import ModeratorRow
    from ketameta.analyses.result import AnalysisResult, Finding, Group
    from ketameta.effects.conversions.arms import Route
    from ketameta.evidence.checks.search import Counts, Flow
    from ketameta.evidence.corrections import Applied
    from ketameta.evidence.project import Moderator, Project
    from ketameta.evidence.tables import Evidence, Row
    from ketameta.report.provenance import Study


@dataclass(frozen=True)  # without slots thousands are read back in half of the time
class Cell:
    """A cell: its words, and what a page adds to them.

    Attributes
    ----------
    text, small : str
        Words, and words beneath them.
    href : str
        What the words lead to: an analysis, a page of the report with ``#place``, or an address.
    id : str
        Name of the row, in its first cell: where a link arrives.
    mark : str
        ``some``, ``zero``, ``gap``, ``out`` or ``b``: a kind of cell that is drawn in its own way.
    lines : tuple of Cell
        Sentences that stand below each other; ``small`` follows ``text`` after a colon.
    fold : tuple of str
        What a page shows when it is asked: its summary, and the sentences. No file holds it.
    """

    text: str = ""
    small: str = ""
    href: str = ""
    id: str = ""
    mark: str = ""
    lines: tuple[Cell, ...] = ()
    fold: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """All words of the cell, as a file has them."""
        return self.typeset.replace("\n", " ")

    @property
    def typeset(self) -> str:
        """All words of the cell; those beneath others stand on a line of their own."""
        said = (f"{line.text}: {line.small}" if line.small else line.text for line in self.lines)
        return "\n".join(part for part in (self.text, self.small, *said) if part)


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; ``kind`` is ``n`` for numbers, ``wide`` for much text."""

    label: str
    kind: str = ""


def words_of_code(text: object) -> str:
    """Return a code as readers see it: ``not_reported`` is ``not reported``."""
    return str(text).replace("_", " ")


def own_note(text: str) -> str:
    """Return a note without what it accepts, which speaks to whoever checks the row."""
    return re.sub(r";?\s*\baccept:[^;]*", "", text).strip(" ;")


#: A heading as it is given: a text, or a text with its kind.
Heading = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption; the first cell of each row says what the row is of."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(
        cls,
        caption: str,
        columns: Sequence[Heading],
        rows: Iterable[Sequence[str | Cell]],
    ) -> Table:
        """Return a table from headings (a text, or a text with its kind) and cells."""
        heads = (Column(item) if isinstance(item, str) else Column(*item) for item in columns)
        made = ([Cell(c) if isinstance(c, str) else c for c in row] for row in rows)
        return cls(caption, tuple(heads), tuple(map(tuple, made)))

    @property
    def header(self) -> list[str]:
        """The headings."""
        return [column.label for column in self.columns]

    def only(self, *headings: str) -> Table:
        """Return the table with these columns alone, for a page that is narrow."""
        at = [self.header.index(name) for name in headings]
        rows = tuple(tuple(row[place] for place in at) for row in self.rows)
        return Table(self.caption, tuple(self.columns[place] for place in at), rows)

    @property
    def texts(self) -> list[list[str]]:
        """The words of every cell, row by row: what is typeset."""
        return [[cell.typeset for cell in row] for row in self.rows]


class Listed(TypedDict):
    """What pages and files list in tables; ``study_columns`` are further ones of the studies."""

    project: Project
    results: Mapping[str, AnalysisResult]
    claims: Sequence[Judged]
    moderator_tests: list[ModeratorRow]
    routes: list[tuple[Route, int]]
    studies: list[Study]
    study_columns: Sequence[Moderator]
    risk_of_bias: Sequence[Row]
    corrections: Sequence[Applied]
    registry: Sequence[Row]
    exclusions: Sequence[Row]
    exclusion_reasons: list[tuple[str, int]]
    summary_of_findings: list[Finding]
    harm_facts: Sequence[Row]
    map: EvidenceMap | None
    flow: Flow
    repeat_reading: RepeatReading | None
    headlines: list[dict[str, str]]


_POOLED = (
    "k estimate se ci_low ci_high p_value pi_low pi_high tau2 tau2_ci_low tau2_ci_high i2 q q_df "
    "tau2_method ci_method level"
)
#: Of the headline, which leads: it stands before the usual model of the same trials.
_LED = "rule method measure interval k pools estimate ci_low ci_high pi_low pi_high prior_scale"
_LEAGUE = "treatment control estimate se ci_low ci_high pi_low pi_high k_direct"
_STUDY = (
    "number study_id label citation year doi pmid registry_id source_url population n_randomised "
    "design blinding {further} access"
)
#: Said of a row that is the difference between two groups of people.
_PEOPLE = "; n_treatment and n_control count the people of these groups"
#: Files that are not written where they would be empty.
_NOT_EMPTY = ("risk_of_bias", "harm_facts", "headlines")
#: The other files with their columns.
_COLUMNS: Mapping[str, str] = {
    "pooled_results": f"analysis group {_LED} "
    f"{' '.join(f'beside_{name}' for name in _POOLED.split())} beside_measure",
    "rows_used": "analysis measure group study_id label year intervention comparator outcome "
    "instrument time_days subgroup n_treatment n_control estimate variance se ci_low ci_high "
    "weight route assumption source doi pmid registry_id",
    "sensitivity": "analysis measure code label k estimate ci_low ci_high tau2",
    "claims": "id claim made_at cites would_support rule verdict said analyses indirect",
    "slopes": "analysis measure moderator status adjusted_for change k slope ci_low ci_high "
    "reading withheld",
    "evidence_map": "measured given state trials participants",
    "risk_of_bias": "study_id label outcome tool domain judgement support judged_by",
    "summary_of_findings": "analysis title given directness k pools people effect direction "
    "absolute certainty",
    "moderators": "analysis title label kind status k p_value p_permuted p_holm rating withheld",
    "routes": "code description source count",
    "corrections": "id table column before after reason source",
    "harm_facts": "fact intervention citation locator url",
    "registry": "registry_id title intervention condition status n_planned n_enrolled "
    "results_posted study_id source_url notes",
    "exclusions": "study outcome records reason_code reason",
    "headlines": "analysis title group k before after rule change",
}


def tables_of(lists: Listed) -> dict[str, str]:
    """Return the text of every table of all analyses by its file name."""
    results = [
        ({"analysis": result["name"], "measure": result["measure"]}, result)
        for result in lists["results"].values()
    ]
    label = lists["project"].study_label
    records: dict[str, Sequence[Mapping[str, object]]] = {
        "pooled_results": [
            {**_both(part), "analysis": result["name"], "group": part.get("key", ""),
             "beside_measure": result["measure"]}
            for _, result in results
            for part in _pools(result)
        ],
        "rows_used": [
            {**head, **row, "source": ";".join(row["source"]),
             "subgroup": row["subgroup"] + (_PEOPLE if result["kind"] == "within_trial" else "")}
            for head, result in results
            for group in result["groups"]
            for row in group["rows"]
        ],
        "sensitivity": [
            {**head, **item} for head, result in results for item in result["sensitivity"]
        ],
        "claims": [
            {**row, "rule": row["rule_words"],
             "analyses": ";".join(item["name"] for item in row["analyses"]),
             "indirect": ";".join(item["name"] for item in row["indirect"])}
            for row in lists["claims"]
        ],
        "slopes": [
            {**head, **one, "change": change, "moderator": item["moderator"],
             "status": item["status"], "adjusted_for": ";".join(item.get("adjusted_for", ()))}
            for head, result in results
            for item in result.get("regressions") or ()
            for change, one in [("", item), *((v["label"], v) for v in item.get("variations", ()))]
        ],
        "evidence_map": [
            {"measured": cell.row, "given": cell.column, "state": cell.state,
             "trials": None if cell.state == OUTSIDE else cell.trials,
             "participants": None if cell.state == OUTSIDE else cell.participants}
            for cell in (lists["map"].cells if lists["map"] else ())
        ],
        "risk_of_bias": [
            {**row.texts, "label": label(row["study_id"])} for row in lists["risk_of_bias"]
        ],
        "summary_of_findings": [
            {**row, "given": "; ".join(given_in(lists["results"][row["analysis"]], row["title"]))}
            for row in lists["summary_of_findings"]
        ],
        "moderators": lists["moderator_tests"],
        "routes": [{**asdict(route), "count": count} for route, count in lists["routes"]],
        "corrections": [
            {**asdict(one), **dict(one.correction)} for one in lists["corrections"]
        ],
        "harm_facts": [
            {**row.texts, "fact": fact_words(row), "url": row["source_url"]}
            for row in lists["harm_facts"]
        ],
        "registry": [{**row.texts, **row.numbers, "notes": own_note(row["notes"])}
                     for row in lists["registry"]],
        "exclusions": [{**row.texts, **row.numbers} for row in lists["exclusions"]],
        "headlines": lists["headlines"],
    }  # fmt: skip
    studies = [{"number": one.number, "label": one.label, **one.facts} for one in lists["studies"]]
    further = " ".join(item.name for item in lists["study_columns"])
    league = [row for _, result in results for row in league_rows(result)]
    flow = lists["flow"]
    return {
        **{
            f"{name}.csv": csv_text(columns.split(), records[name])
            for name, columns in _COLUMNS.items()
            if records[name] or name not in _NOT_EMPTY
        },
        "studies.csv": csv_text(_STUDY.format(further=further).split(), studies),
        "league.csv": csv_text(["analysis", "measure", *_LEAGUE.split()], league),
        **_repeated(lists["repeat_reading"]),
        **({"flow.csv": _flow(flow.by_source, flow.counts)} if flow.counts else {}),
    }


def _pools(result: AnalysisResult) -> list[AnalysisResult | Group]:
    """Return a result where it has an estimate, and its groups that are pooled."""
    whole = result["pooled"] is not None or result["headline"]["method"]
    return [
        *([result] if whole else []),
        *(group for group in result["groups"] if group["pooled"] is not None),
    ]


def _repeated(found: RepeatReading | None) -> dict[str, str]:
    """Return the agreement of two readings and every difference, where there were two."""
    if found is None:
        return {}
    head = ("cell", "read_twice", "same", "rounded_or_turned", "kappa", "icc", *Limits._fields)
    rows = [
        (c.name, c.cells, c.agreeing, c.alike, c.kappa, c.icc, *(c.limits or [None] * 3))
        for c in found.columns
    ]
    rounded = [[*row[:4], *published(list(row[4:]))] for row in rows]
    return {
        "repeat_reading.csv": csv_text(RECONCILIATION.column_names, found.decisions),
        "repeat_reading_agreement.csv": csv_text(head, rounded),
    }


def _both(part: AnalysisResult | Group) -> dict[str, object]:
    """Return the headline of a result or group, then the usual model of the same trials."""
    led, beside = part["headline"], part["pooled"]
    found: dict[str, object] = {}
    if led is not None and led["method"]:
        found = {**led, "rule": led["rule"]["code"]}
    return found | {f"beside_{name}": value for name, value in (beside or {}).items()}


def league_rows(result: AnalysisResult) -> list[list[object]]:
    """Return every pair once as published, for a file."""
    net = result["network"]
    if net is None or net["withheld"]:
        return []
    return [
        [result["name"], result["measure"], *(item.get(name) for name in _LEAGUE.split())]
        for item in net["league"]
    ]


def _flow(by_source: Mapping[str, Counts], counts: Counts) -> str:
    rows = [
        {"records": label, **part.to_dict()}
        for label, part in [*by_source.items(), ("all", counts)]
    ]
    return csv_text(["records", "extracted", "converted", "excluded"], rows)


def analysis_tables(tables: Iterable[Table]) -> str:
    """Return the tables of one analysis as CSV, a line for each cell.

    Returns
    -------
    str
        Columns ``table`` (its caption), ``row``, ``column`` (its heading) and ``value`` (as
        printed). Seven digits stand in the results and in the tables made from them.
    """
    return csv_text(
        ("table", "row", "column", "value"),
        [
            (table.caption, number, column.label, cell.words)
            for table in tables
            for number, row in enumerate(table.rows, start=1)
            for column, cell in zip(table.columns, row, strict=True)
        ],
    )


#: Kinds of cells in the words of the page; the cells of other columns go by their column.
_CELLS = {
    "people": ("n", "n_treatment", "n_control"),
    "events": ("events", "percent"),
    "means": ("mean", "baseline_mean"),
    "standard deviations and errors": ("sd", "se", "baseline_sd"),
    "differences and ratios": ("estimate",),
    "limits of intervals": ("ci_low", "ci_high", "ci_level"),
    "p-values and test statistics": ("p", "t", "f", "df", "z", "chi2"),
    "whether p is exact": ("p_relation",),
}
_NUMBERS = ("number", "integer")
_COUNTED = ("Read twice", "The same", "Rounded or turned", "Different", "Share the same")


@dataclass(frozen=True, slots=True)
class RepeatReading:
    """What a second reading of the sources found: sentences, tables of the page, rows of files."""

    sentences: tuple[str, ...]
    kinds: Table
    unread: Table
    differences: Table
    columns: tuple[ColumnAgreement, ...]
    decisions: tuple[Mapping[str, str], ...]


def repeat_reading(
    paths: ProjectPaths,
    evidence: Evidence,
    compared: Iterable[Comparison],
    used: Collection[str],
    own: Sequence[str] = (),
) -> RepeatReading | None:
    """Return what a second reading of the sources found; nothing where there was none.

    Parameters
    ----------
    paths : ProjectPaths
    evidence : Evidence
    compared : iterable of Comparison
        Both readings of every batch that was read twice.
    used : collection of str
        The rows that enter an analysis, as ``file:line``.
    own : sequence of str
        What the project says of it.
    """
    found = [with_decisions(paths, comparison) for comparison in compared]
    pairs = [pair for item in found for pair in item.comparison.cells]
    if not pairs:
        return None
    kinds: dict[str, list[CellPair]] = {}
    for pair in pairs:
        name = pair.column.name
        kind = next((kind for kind, names in _CELLS.items() if name in names), name)
        kinds.setdefault(kind, []).append(pair)
    order = [*(kind for kind in _CELLS if kind in kinds), *(k for k in kinds if k not in _CELLS)]

    def counts(cells: Sequence[CellPair]) -> list[str]:
        same, alike = sum(pair.agrees for pair in cells), sum(pair.is_alike for pair in cells)
        parts = (len(cells), same, alike, len(cells) - same - alike)
        return [*map(str, parts), format_percent(same / max(len(cells), 1), 1)]

    numbers = [pair for pair in pairs if pair.column.kind in _NUMBERS]
    read, same, alike, apart, _ = counts(numbers)
    rows = [pair.second for pair in pairs]
    how = {row["note"].removeprefix(PARTIAL).partition(";")[0].strip() for row in rows
           if row["note"].lower().startswith(PARTIAL)}  # fmt: skip
    first, second = (
        ", ".join(sorted({row["extracted_by"] for row in side} - {""})) or "nobody named"
        for side in ([pair.first for pair in pairs], rows)
    )
    seen = sum(not pair.is_blind for pair in pairs)
    again = {(pair.first.file, pair.first.line, pair.column.name) for pair in numbers}
    unread: list[list[str]] = []
    totals: dict[str, list[int]] = {}
    for table in evidence.schema.batch:
        cells = [
            (f"{row.file}:{row.line}" in used, (row.file, row.line, column.name) in again)
            for row in evidence.rows(table.name)
            for column in table.columns
            if column.kind in _NUMBERS and column.name not in table.core
            and row.number(column.name) is not None
        ]  # fmt: skip
        name = table.name.replace("_", " ")
        entered = [cell for cell in cells if cell[0]]
        for words, some in (("", cells), (", rows that enter an analysis", entered)):
            n, twice = len(some), sum(is_again for _, is_again in some)
            total = totals.setdefault(words, [0, 0])
            total[0], total[1] = total[0] + n, total[1] + twice
            if n:
                share = format_percent(1 - twice / n)
                unread.append([name + words, f"{n:,}", f"{twice:,}", f"{n - twice:,}", share])
    once = [
        f"{n - twice:,} of {n:,} ({format_percent(1 - twice / max(n, 1))})"
        for n, twice in totals.values()
    ]
    lines = [line for item in found for line in item.lines]
    project = evidence.project
    shown = []
    for line in lines:
        study, *rest = line["row"].split(" / ")
        where = ", ".join(part for part in rest if part != "-").replace("_", " ")
        cell = f"{line['table']}, {line['column'].replace('_', ' ')}"
        shown.append(
            [project.study_label(study), f"{cell}: {where}", line["first"] or "empty",
             line["second"] or "empty", line.get("agreed") or "open", line.get("reason", "")]
        )  # fmt: skip
    return RepeatReading(
        (
            *own,
            f"First reading: {first}. Second reading: {'; '.join(sorted(how)) or second}.",
            f"{read} numbers were read twice: {same} are the same, {alike} are the same but for "
            f"rounding or for the side on which a benefit is counted, and {apart} differ.",
            *(
                [f"With the first value in sight: {plural(seen, 'cell')}; the others without."]
                if seen
                else []
            ),
            f"Read once only: {once[0]} numbers in the tables; {once[1]} numbers in rows "
            "that enter an analysis.",
        ),
        Table.of(
            "Agreement of the two readings",
            ("Kind of cell", *((words, "n") for words in _COUNTED)),
            [[kind, *counts(kinds[kind])] for kind in order],
        ),
        Table.of(
            "Numbers read once and twice",
            ("Table", ("Numbers", "n"), ("Read twice", "n"), ("Read once", "n"), ("Share", "n")),
            unread,
        ),
        Table.of(
            "Every difference between the two readings",
            ("Study", "Cell", ("First", "n"), ("Second", "n"), ("Used", "n"), ("Why", "wide")),
            shown,
        ),
        agreement_by_column(pairs),
        tuple(lines),
    )
