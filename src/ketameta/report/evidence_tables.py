"""Tables of the evidence itself: claims, moderators, studies, harms known elsewhere, the map.

A room of its own because these tables list the evidence and no result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from ketameta.analyses.claims import Estimated, Judged, Tested, fact_words
from ketameta.analyses.parts import ModeratorRow
from ketameta.analyses.policy import effect_words, side_of
from ketameta.analyses.result import AnalysisResult
from ketameta.analyses.sentences import estimate_words, measure_words
from ketameta.evidence.project import MapColumn, MapRow, Moderator, Project
from ketameta.evidence.tables import Evidence, Row, StudyFacts
from ketameta.formatting import format_count, format_p, plural, trials_number
from ketameta.measures import Measure
from ketameta.plots import frame, maps
from ketameta.report.provenance import Study
from ketameta.report.tables import Cell, Heading, Listed, Table, own_note, words_of_code


def tables_of_evidence(lists: Listed) -> dict[str, Table | None]:
    """Return every table of evidence by its name; ``None`` where there is no row."""
    claims, label = lists["claims"], lists["project"].study_label
    tables = {
        "claims": _claims([row for row in claims if row["source"] != "untraceable"]),
        "untraceable": _untraceable([row for row in claims if row["source"] == "untraceable"]),
        "verdicts": _verdicts(claims),
        "moderators": _moderators(lists["moderator_tests"], lists["results"]),
        "routes": Table.of(
            "Routes from printed numbers to effect sizes",
            ("Route", ("What was done", "wide"), ("Source", "wide"), ("Rows", "n")),
            [
                (words_of_code(route.code), route.description, route.source, str(count))
                for route, count in lists["routes"]
            ],
        ),
        "studies": _studies(lists["studies"], lists["study_columns"]),
        "risk_of_bias": Table.of(
            "Risk of bias",
            ("Study", "Tool", "Domain", "Judgement", ("Why", "wide"), ("Judged by", "wide")),
            [
                (label(row["study_id"]),
                 *map(words_of_code, (row["tool"], row["domain"], row["judgement"])),
                 row["support"], row["judged_by"])
                for row in lists["risk_of_bias"]
            ],
        ),
        "corrections": Table.of(
            "Corrections",
            ("Entry", "Column", ("Printed", "n"), ("Used", "n"), ("Why", "wide")),
            [
                (item.id, f"{item.table}, {words_of_code(item.column)}", one.before, one.after,
                 item.reason)
                for one in lists["corrections"]
                for item in [one.correction]
            ],
        ),
        "registry": _registry(lists["registry"]),
        "headlines": Table.of(
            "Every headline before and after the rules",
            (("Question", "wide"), ("k", "n"), ("Before", "wide"), ("After", "wide"), "Rule",
             "Change"),
            [
                (Cell(row["title"], row["group"], "" if row["group"] else row["analysis"]),
                 row["k"], row["before"], row["after"], words_of_code(row["rule"]), row["change"])
                for row in lists["headlines"]
            ],
        ),
        "exclusions": Table.of(
            "Exclusions",
            ("Study", "Outcome", ("Records", "n"), ("Why", "wide")),
            [
                (row["study"], words_of_code(row["outcome"]), format_count(row.number("records")),
                 row["reason"])
                for row in lists["exclusions"]
            ],
        ),
        "exclusion_reasons": Table.of(
            "Reasons of the exclusions",
            ("Reason", ("Records", "n")),
            [(reason, str(count)) for reason, count in lists["exclusion_reasons"]],
        ),
    }  # fmt: skip
    return {name: table if table.rows else None for name, table in tables.items()}


def _claims(claims: Sequence[Judged]) -> Table:
    """Return each claim with its verdict, what tested it and what stands beside it."""
    rows = []
    for row in claims:
        cites = f"Cites: {row['cites']}." if row["cites"] else "Cites nothing in particular."
        judged = (
            f"Would support it: {row['would_support']}.", f"Rule: {row['rule_words']}",
            f"Made at: {row['made_at']}. {cites}",
        )  # fmt: skip
        found = row["registered"]
        entries = "; ".join(
            f"{item['registry_id']} ({words_of_code(item['status'])})"
            for item in (found["found"] if found else ())
        )
        tested = [Cell(found["words"], entries, "methods.html#registry")] if found else [
            _evidence(item) for item in row["analyses"]
        ]  # fmt: skip
        facts = [Cell("Known elsewhere", fact, "methods.html#harm_facts") for fact in row["facts"]]
        beside = [*map(_evidence, row["indirect"]), *facts]
        rows.append(
            (Cell(row["claim"], id=f"claim-{row['id']}", fold=("How it is judged", *judged)),
             Cell(row["said"], mark="b"), Cell(lines=tuple(tested)),
             Cell(lines=tuple(beside)) if beside else "none")
        )  # fmt: skip
    head = (
        ("Claim", "wide"), "Verdict", ("Tested by", "wide"),
        ("Shown beside it, never decides", "wide"),
    )  # fmt: skip
    return Table.of("Claims and verdicts", head, rows)


def _evidence(item: Tested) -> Cell:
    """Return what one analysis found: trials, people, effect and where its interval lies."""
    said = item["sentence"] or f"{'; '.join(map(_found, item['found']))}."
    return Cell(item["title"], said, item["name"])


def _found(row: Estimated) -> str:
    group = f"{row['group']}: " if row["group"] else ""
    if row["k"] == 0:
        return f"{group}no eligible trial found"
    silent = row["people"] == "not printed"
    people = "number of people not printed" if silent else f"{row['people']} people"
    return f"{group}{row['sources']}, {people}; {row['effect']}, {row['direction']}"


def _untraceable(claims: Sequence[Judged]) -> Table:
    head = (("Claim", "wide"), "Verdict", ("Made at", "wide"), ("Cites", "wide"))
    return Table.of(
        "Claims without a traceable source",
        head,
        [
            (Cell(row["claim"], id=f"claim-{row['id']}"), Cell(row["verdict"], mark="b"),
             row["made_at"], row["cites"])
            for row in claims
        ],
    )  # fmt: skip


def _verdicts(claims: Sequence[Judged]) -> Table:
    """Return each verdict with the claims it is given on."""
    found: dict[str, list[str]] = {}
    for row in claims:
        found.setdefault(row["said"], []).append(row["claim"])
    rows = [(verdict, " ".join(listed)) for verdict, listed in found.items()]
    return Table.of("Verdicts on claims", ("Verdict", ("Claims", "wide")), rows)


def _moderators(tests: Sequence[ModeratorRow], results: Mapping[str, AnalysisResult]) -> Table:
    """Return every moderator with its test, or why there is none."""
    rows: list[Sequence[str | Cell]] = []
    counts = []
    for row in tests:
        result = results[row["analysis"]]
        led = [result["headline"], *(part["headline"] for part in result["groups"])]
        counts.append(next((one["pools"] for one in led if one and one["k"] == row["k"]), 0))
        kind = "within trials" if row["kind"] == "within" else "between trials"
        head = (
            Cell(row["title"], href=row["analysis"]),
            Cell(row["label"], f"{kind}, {row['status']}"),
            trials_number(row["k"], counts[-1]),
        )
        if row["p_value"] is None:
            rows.append((*head, "not tested", "", row["withheld"]))
            continue
        permuted = row["p_permuted"]
        again = "" if permuted is None else f"permuted {format_p(permuted)}"
        rows.append(
            (*head, Cell(format_p(row["p_value"]), again), format_p(row["p_holm"]),
             Cell(row["rating"], row["withheld"]))
        )  # fmt: skip
    heading = "Trials + pooled reports" if any(counts) else "Trials"
    return Table.of(
        "All moderators tested",
        (("Analysis", "wide"), ("Moderator", "wide"), (heading, "n"), "Test", "Adjusted",
         ("Credibility", "wide")),
        rows,
    )  # fmt: skip


def _studies(studies: Sequence[Study], columns: Sequence[Moderator]) -> Table:
    head: list[Heading] = [
        "Study", ("People", "wide"), ("Randomised", "n"), "Design",
        *(item.label for item in columns), "Read as", "Source",
    ]  # fmt: skip

    def row_of(study: Study) -> list[str | Cell]:
        words = {name: words_of_code(str(value)) for name, value in study.facts.items()}
        return [
            Cell(study.label, id=f"study-{study.facts['study_id']}"),
            str(study.facts["population"]), format_count(float(study.facts["n_randomised"])),
            f"{words['design']}, {words['blinding']}", *(words[item.name] for item in columns),
            words["access"],
            Cell(f"Reference {study.number}", href=f"methods.html#ref-{study.number}"),
        ]  # fmt: skip

    return Table.of("Included studies", head, map(row_of, studies))


def _registry(registry: Sequence[Row]) -> Table:
    rows = []
    for row in registry:
        sizes = (("planned", row.number("n_planned")), ("enrolled", row.number("n_enrolled")))
        people = "; ".join(f"{format_count(n)} {word}" for word, n in sizes if n is not None)
        rows.append(
            (Cell(row["registry_id"], href=row["source_url"]),
             Cell(row["title"], f"{row['intervention']}; {row['condition']}"),
             words_of_code(row["status"]), people or "not read",
             row["results_posted"] or "not read", own_note(row["notes"]))
        )  # fmt: skip
    head = (
        "Registry", ("Trial", "wide"), "Status as read", "People", "Results posted",
        ("Remarks", "wide"),
    )  # fmt: skip
    return Table.of("Registered trials", head, rows)


#: What the rules did to a headline that left it open before.
EXCLUDES = "now excludes no difference"


def before_and_after(
    results: Mapping[str, AnalysisResult], project: Project
) -> list[dict[str, str]]:
    """Return every headline before and after the rules, where the project says what stood before.

    The usual model led before; where it gives nothing now, ``earlier`` tells what stood there.
    """
    rows = []
    for result in results.values() if project.earlier else ():
        measure, said = Measure(result["measure"]), result["sentences"]
        named = [part for part in result["groups"] if part["label"]]
        for part in (result, *named) if result["k"] else ():
            group, led, pooled = str(part.get("label") or ""), part["headline"], part["pooled"]
            if led is None:
                continue
            declared = () if group else project.earlier.get(result["name"], ())
            before, change = (*declared, "", "")[:2]
            if pooled and not declared:
                before = f"{measure_words(measure)} {estimate_words(pooled, measure)}"
                clear = side_of(pooled["ci_low"], pooled["ci_high"]) != "unclear"
                if clear != (led["side"] != "unclear"):
                    change = "now includes no difference" if clear else EXCLUDES
            after = effect_words(led) if led["method"] else led["rule"]["sentence"]
            if result["kind"] in ("network", "dose_response"):
                after = said[0] if result["network"] else " ".join(said[2:4])
            rows.append(
                {"analysis": result["name"], "title": result["title"], "group": group,
                 "k": format_count(led["k"]), "before": before, "after": after,
                 "rule": led["rule"]["code"], "change": change}
            )  # fmt: skip
    return rows


# --- harms known elsewhere ------------------------------------------------------------------------


def fact_table(evidence: Evidence, harms: Sequence[str] = ()) -> Table | None:
    """Return what sources without a comparison say of harms; of all harms where none is named."""
    rows = [
        (
            Cell(row["harm"].replace("_", " "), row["how"]),
            fact_words(row),
            row["intervention"],
            Cell(
                row["citation"],
                f"{row['locator']}. {own_note(row['note'])}".strip(" ."),
                row["source_url"],
            ),
        )
        for row in evidence.rows("harm_facts")
        if not harms or row["harm"] in harms
    ]
    head = ("Harm", ("What the source says, of whom", "wide"), "What was given",
            ("Source", "wide"))  # fmt: skip
    caption = "Known from labels and other designs; not countable here"
    return Table.of(caption, head, rows) if rows else None


def facts_by_page(evidence: Evidence) -> dict[str, Table | None]:
    """Return the facts about harms by the key of the page that shows them."""
    found: dict[str, list[str]] = {}
    for item in evidence.project.harms.known:
        if item.question and item.facts:
            found.setdefault(item.question, []).extend(item.facts)
    return {key: fact_table(evidence, names) for key, names in found.items()}


# --- the evidence map -----------------------------------------------------------------------------


def map_table(found: maps.EvidenceMap) -> Table:
    """Return the evidence map as a table: studies and people, or one of three states."""
    rows: list[list[str | Cell]] = [
        [row, *(_map_cell(cell) for cell in found.cells if cell.row == row)] for row in found.rows
    ]
    return Table.of("Evidence map", ("Measured", *found.columns), rows)


def _map_cell(cell: maps.Cell) -> Cell:
    if cell.trials:
        people = f"{format_count(cell.participants)} people" if cell.participants else ""
        return Cell(plural(cell.trials, "study", "studies"), people, mark="some")
    marks = {frame.NONE: "zero", frame.UNUSABLE: "gap", frame.OUTSIDE: "out"}
    return Cell(cell.state, mark=marks[cell.state])


def map_cells(evidence: Evidence) -> maps.EvidenceMap | None:
    """Return the map with one cell for each pair, empty ones included, where one is declared.

    An empty cell says whether no study was found, whether one was found that prints no usable
    number, or whether such studies were not looked for. A trial counts once per cell; participants
    are those randomised, where printed. A cell is direct when the people of the question were
    studied.
    """
    shown, directness = evidence.project.evidence_map, evidence.project.directness
    if not (shown.row and shown.column):
        return None
    named, measured = {word for row in shown.row for word in row.diagnosis}, _measured(evidence)

    def inside(item: StudyFacts, row: MapRow, column: MapColumn) -> bool:
        who = item["diagnosis"] in (row.diagnosis or {item["diagnosis"]} - named)
        what = (
            item["intervention"] in column.intervention or item["drug_class"] in column.drug_class
        )
        return who and what and item["domain"] in row.domain

    cells = []
    for row, column in product(shown.row, shown.column):
        here = _counted_once(item for item in measured if inside(item, row, column))
        sizes = [float(item["n_randomised"]) for item in here]
        sought = (not column.sought or {*row.diagnosis} & {*column.sought}) and (
            not column.sought_domain or {*row.domain} & {*column.sought_domain}
        )
        empty = frame.NONE if sought else frame.OUTSIDE
        if any(inside(item, row, column) for item in evidence.left_out):
            empty = frame.UNUSABLE
        people = int(sum(size for size in sizes if not math.isnan(size)))
        direct = bool(row.diagnosis) and {*row.diagnosis} <= {*directness.diagnosis}
        cells.append(maps.Cell(row.label, column.label, len(here), people, direct, empty))
    return maps.EvidenceMap(
        tuple(cells),
        tuple(row.label for row in shown.row),
        tuple(column.label for column in shown.column),
        directness=directness.people,
    )


def related_trials(evidence: Evidence, domain: str) -> int:
    """Return how many studies of the map gave a related treatment to the people asked about."""
    directness = evidence.project.directness
    here = (
        item
        for item in _measured(evidence)
        if item["diagnosis"] in directness.diagnosis
        and item["intervention"] in directness.related
        and item["domain"] == domain
    )
    return len(_counted_once(here))


def _counted_once(rows: Iterable[StudyFacts]) -> list[StudyFacts]:
    """Return each study once, without reports whose people another report here counts already."""
    studies = {str(row["study_id"]): row for row in rows}
    overlaps = {
        name: {*str(row["overlaps_with"]).split(";")} - {""} for name, row in studies.items()
    }
    kept: list[str] = []
    for study in sorted(overlaps, key=lambda name: (bool(overlaps[name]), name)):
        if not (overlaps[study] & {*kept} or any(study in overlaps[other] for other in kept)):
            kept.append(study)
    return [studies[study] for study in kept]


def _measured(evidence: Evidence) -> list[StudyFacts]:
    """Return one row per study, treatment arm and outcome with any extracted number.

    Reports that pool other trials are left out, so that nobody is counted twice.
    """
    domains = {row["outcome"]: row["domain"] for row in evidence.rows("outcome_words")}
    arms = {(row["study_id"], row["arm_id"]): row for row in evidence.rows("arms")}
    found: dict[tuple[str, str, str], StudyFacts] = {}
    for row in (*evidence.rows("outcomes"), *evidence.rows("contrasts")):
        study, domain = row["study_id"], domains.get(row["outcome"])
        arm, facts = arms.get((study, row["arm_id"])), evidence.facts.get(study)
        if arm and facts and domain and arm["role"] == "treatment":
            given = {name: arm[name] for name in ("intervention", "drug_class")}
            found[study, row["arm_id"], domain] = {**facts, **given, "domain": domain}
    return [row for row in found.values() if row["design"] != "pooled_rcts"]
