"""A table of the report as one value: the page, the PDF and the CSV files are made from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ketameta.evidence.schema import RECONCILIATION
from ketameta.evidence.second_extraction import (
    PARTIAL,
    CellPair,
    ColumnAgreement,
    Limits,
    agreement,
    agreement_by_column,
)
from ketameta.evidence.tables import Evidence
from ketameta.formatting import csv_text, format_percent, plural, published
from ketameta.paths import ProjectPaths


@dataclass(frozen=True, slots=True)
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
        ``some``, ``zero``, ``gap`` or ``chip``: a kind of cell that is drawn in its own way.
    """

    text: str
    small: str = ""
    href: str = ""
    id: str = ""
    mark: str = ""

    @property
    def words(self) -> str:
        """All words of the cell, as a file or a typesetter has them."""
        return " ".join(part for part in (self.text, self.small) if part)


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; ``kind`` is ``n`` for numbers, ``wide`` for much text."""

    label: str
    kind: str = ""


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

    @property
    def texts(self) -> list[list[str]]:
        """The words of every cell, row by row: what is typeset."""
        return [[cell.words for cell in row] for row in self.rows]


def _listed(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    return csv_text(columns, [[row[name] for name in columns] for row in records])


_POOLED = (
    *("k", "estimate", "se", "ci_low", "ci_high", "p_value", "pi_low", "pi_high", "tau2"),
    *("tau2_ci_low", "tau2_ci_high", "i2", "q", "q_df", "tau2_method", "ci_method", "level"),
)
#: Of the headline, which leads: it stands before the usual model of the same trials.
_LED = (
    *("rule", "method", "measure", "interval", "k", "estimate", "ci_low", "ci_high", "pi_low"),
    *("pi_high", "prior_scale"),
)
_ROW = (
    *("study_id", "label", "year", "intervention", "comparator", "outcome", "instrument"),
    *("time_days", "subgroup", "n_treatment", "n_control", "estimate", "variance", "se"),
    *("ci_low", "ci_high", "weight", "route", "assumption"),
)


_SLOPE = ("k", "slope", "ci_low", "ci_high", "reading", "withheld")


def tables_of(context: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of every table of all analyses by its file name."""
    results = list(context["results"].values())
    pooled = []
    rows = []
    companions = []
    for result in results:
        head = [result["name"], result["measure"]]
        if result["pooled"] is not None or _leads(result["headline"]):
            pooled.append([result["name"], "", *_both(result), result["measure"]])
        for group in result["groups"]:
            if group["pooled"] is not None:
                pooled.append([result["name"], group["key"], *_both(group), result["measure"]])
            for row in group["rows"]:
                rows.append(
                    [*head, group["key"], *(row.get(name) for name in _ROW),
                     ";".join(row.get("source", [])),
                     row.get("doi"), row.get("pmid"), row.get("registry_id")]
                )  # fmt: skip
        companions += [
            [*head, item["code"], item["label"], item["k"], item["estimate"], item["ci_low"],
             item["ci_high"], item["tau2"]]
            for item in result["sensitivity"]
        ]  # fmt: skip
    slopes = [
        [result["name"], result["measure"], item["moderator"], item["status"],
         ";".join(item.get("adjusted_for", ())), change, *(one.get(name) for name in _SLOPE)]
        for result in results
        for item in result.get("regressions") or ()
        for change, one in [
            ("", item), *((one["label"], one) for one in item.get("variations", ()))
        ]
    ]  # fmt: skip
    cells = [
        [row["label"], column, cell["trials"], cell["participants"]]
        for row in context["map"]["rows"]
        for column, cell in zip(context["map"]["columns"], row["cells"], strict=True)
    ]
    claims = [
        [row["id"], row["claim"], row["made_at"], row["cites"], row["would_support"],
         row["rule_words"], row["verdict"],
         ";".join(item["name"] for item in row["analyses"]),
         ";".join(item["name"] for item in row["indirect"])]
        for row in context["claims"]
    ]  # fmt: skip
    judged = ("study_id", "label", "outcome", "tool", "domain", "judgement", "support", "judged_by")
    bias = context["risk_of_bias"]
    return {
        **({"risk_of_bias.csv": _listed(bias, judged)} if bias else {}),
        "pooled_results.csv": csv_text(
            ["analysis", "group", *_LED, *(f"beside_{name}" for name in _POOLED), "beside_measure"],
            pooled,
        ),
        "rows_used.csv": csv_text(
            ["analysis", "measure", "group", *_ROW, "source", "doi", "pmid", "registry_id"], rows
        ),
        "companions.csv": csv_text(
            ["analysis", "measure", "code", "label", "k", "estimate", "ci_low", "ci_high", "tau2"],
            companions,
        ),
        "claims.csv": csv_text(
            ["id", "claim", "made_at", "cites", "would_support", "rule", "verdict", "analyses",
             "indirect"],
            claims,
        ),
        "summary_of_findings.csv": _listed(
            context["summary_of_findings"],
            ["analysis", "title", "directness", "k", "people", "effect", "direction", "absolute",
             "certainty"],
        ),
        "league.csv": csv_text(
            ["analysis", "measure", "treatment", "control", "estimate", "se", "ci_low", "ci_high",
             "pi_low", "pi_high", "k_direct"],
            [row for result in results for row in league_rows(result)],
        ),
        "moderators.csv": _listed(
            context["moderator_tests"],
            ["analysis", "title", "label", "kind", "status", "k", "p_value", "p_permuted",
             "p_holm", "rating", "withheld"],
        ),
        "slopes.csv": csv_text(
            ["analysis", "measure", "moderator", "status", "adjusted_for", "change", *_SLOPE],
            slopes,
        ),
        "evidence_map.csv": csv_text(["measured", "given", "trials", "participants"], cells),
        "studies.csv": _listed(
            context["studies"],
            ["number", "study_id", "label", "citation", "year", "doi", "pmid", "registry_id",
             "source_url", "population", "n_randomised", "design", "blinding",
             *(item.name for item in context["study_columns"]), "access"],
        ),
        "routes.csv": _listed(context["routes"], ["code", "description", "source", "count"]),
        "corrections.csv": _listed(
            context["corrections"],
            ["id", "table", "column", "before", "after", "reason", "source"],
        ),
        **_repeated(context["repeat_reading"]),
        **(
            {"harm_facts.csv": _listed(context["harm_facts"],
                                       ["fact", "intervention", "citation", "locator", "url"])}
            if context["harm_facts"]
            else {}
        ),
        "registry.csv": _listed(
            context["registry"],
            ["registry_id", "title", "intervention", "condition", "status", "n_planned",
             "n_enrolled", "results_posted", "study_id", "source_url", "notes"],
        ),
        "exclusions.csv": _listed(
            context["exclusions"], ["study", "outcome", "records", "reason_code", "reason"]
        ),
        **({"flow.csv": _flow(context["flow"])} if "extracted" in context["flow"] else {}),
    }  # fmt: skip


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


def _leads(headline: Mapping[str, Any] | None) -> bool:
    """Return whether a headline has an estimate or an interval of its own."""
    return headline is not None and headline["method"] != ""


def _both(part: Mapping[str, Any]) -> list[Any]:
    """Return the headline of a result or group, then the usual model of the same trials."""
    led = part["headline"] if _leads(part["headline"]) else {}
    rule = led["rule"]["code"] if led else None
    beside = part["pooled"] or {}
    return [rule, *(led.get(name) for name in _LED[1:]), *(beside.get(name) for name in _POOLED)]


def league_rows(result: Mapping[str, Any]) -> list[list[Any]]:
    """Return every pair once as published, for a file."""
    net = result["network"]
    if net is None or net["withheld"]:
        return []
    columns = ("treatment", "control", "estimate", "se", "ci_low", "ci_high", "pi_low", "pi_high",
               "k_direct")  # fmt: skip
    return [
        [result["name"], result["measure"], *(item[name] for name in columns)]
        for item in net["league"]
    ]


def _flow(flow: Mapping[str, Any]) -> str:
    counts = ("extracted", "converted", "excluded")
    rows = [*flow["by_source"], {"label": "all", **flow}]
    return csv_text(
        ["records", *counts], [[row["label"], *(row[name] for name in counts)] for row in rows]
    )


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
    paths: ProjectPaths, evidence: Evidence, used: Collection[str], own: Sequence[str] = ()
) -> RepeatReading | None:
    """Return what a second reading of the sources found; nothing where there was none.

    Parameters
    ----------
    paths : ProjectPaths
    evidence : Evidence
    used : collection of str
        The rows that enter an analysis, as ``file:line``.
    own : sequence of str
        What the project says of it.
    """
    found = agreement(paths, write=False)
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
        where = ", ".join(part for part in rest if part != "-")
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
            (
                "Kind of cell",
                ("Read twice", "n"),
                ("The same", "n"),
                ("Rounded or turned", "n"),
                ("Different", "n"),
                ("Share the same", "n"),
            ),
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
