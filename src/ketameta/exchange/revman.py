"""Reads a RevMan data package: data rows of studies and analyses, and risk of bias.

The columns are those of the data package specification of Cochrane's RevMan knowledge base.

A room of its own because each format of another program has one room.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from xml.etree import ElementTree

from ketameta.exchange.draft import (
    ANALYSIS_KEYS,
    Cells,
    Declared,
    Draft,
    ImportedRow,
    ImportReport,
    Record,
    SourceCsv,
    Verdict,
    Words,
    plain_text,
    quoted,
)
from ketameta.exchange.metapsy import JUDGEMENTS, SourceRow, drug_class, ratio_cells
from ketameta.measures import RATIOS, ROB_DOMAINS
from ketameta.review.start import slug, study_id_from

DATA_ROWS = "RevMan data rows"
_SIGNATURE = frozenset({"Analysis group", "Analysis number", "Study"})
_ARMS = (("Experimental", "treatment"), ("Control", "control"))
#: Keys an analysis of the words file cannot do without.
_NEEDED = ("outcome", "instrument", "treatment", "control")


def is_data_rows(columns: tuple[str, ...]) -> bool:
    """Return whether a header is that of the data rows of a RevMan data package."""
    return set(columns) >= _SIGNATURE


def read_data_rows(
    source: SourceCsv,
    name: str,
    words: Words,
    declared: Declared,
    given: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> ImportReport:
    """Return the tables that data rows become and the verdict on each.

    Parameters
    ----------
    source : SourceCsv
    name : str
        Name of the file.
    words : Words
        ``[analysis."1.1"]`` says which outcome, instrument, time and arms an analysis is about:
        RevMan keeps them outside this file. Rows of other analyses are refused.
    declared : Declared
    given : mapping
        What the file itself says of an analysis; the words file goes before it.
    """
    draft = Draft()
    rows: list[ImportedRow] = []
    missing: dict[str, str] = {}
    undeclared: dict[str, dict[str, str]] = {"outcome_words": {}, "instruments": {}}
    for record in source.records:
        row = SourceRow(record.line, record.cells, source.decimal_comma)
        if record.extra or record.missing:
            row.refusals.append("the row has other cells than the header, so none can be told")
        number = f"{row['Analysis group']}.{row['Analysis number']}"
        topic = words.analysis.get(number)
        if topic is not None:
            topic = {**given.get(number, {}), **topic}
        became: list[str] = []
        if topic is None:
            missing.setdefault(number, row["Analysis name"])
            row.refusals.append(f"analysis {number} is not in the words file")
        elif not row.refusals:
            became = _take(row, topic, words, declared, draft, name)
            _declare(topic, declared, undeclared, row["Analysis name"])
        rows.append(row_verdict(row, f"{row['Study']}, analysis {number}", became))
    return ImportReport(
        name,
        DATA_ROWS,
        tuple(rows),
        source.problems,
        source.notes,
        draft.tables(),
        {table: found for table, found in undeclared.items() if found},
        _template(missing, given),
    )


def row_verdict(row: SourceRow, label: str, became: list[str]) -> ImportedRow:
    """Return the verdict on a row from what was met while it was read."""
    if row.refusals:
        return ImportedRow(row.line, label, "refused", tuple(dict.fromkeys(row.refusals)))
    verdict: Verdict = "changed" if row.changes else "taken"
    return ImportedRow(row.line, label, verdict, tuple(row.changes), tuple(became))


def _declare(
    topic: Mapping[str, str], declared: Declared, found: dict[str, dict[str, str]], said: str
) -> None:
    if topic.get("outcome") and topic["outcome"] not in declared.outcomes:
        found["outcome_words"][topic["outcome"]] = said
    if topic.get("instrument") and topic["instrument"] not in declared.instruments:
        found["instruments"][topic["instrument"]] = said


def _take(
    row: SourceRow,
    topic: Mapping[str, str],
    words: Words,
    declared: Declared,
    draft: Draft,
    source: str,
) -> list[str]:
    """Return the rows of the batch that a data row becomes; refusals are left in ``row``."""
    absent = [key for key in _NEEDED if not topic.get(key)]
    if absent:
        row.refusals.append(f"the words file leaves {', '.join(absent)} of this analysis empty")
    elif slug(topic["treatment"]) == slug(topic["control"]):
        row.refusals.append("the words file gives both arms of this analysis the same name")
    study = words.find("study_id", row["Study"]) or study_id_from(row["Study"])
    if not study and row["Study year"].isdigit():
        study = study_id_from(f"{row['Study']} {row['Study year']}")
    if not study:
        row.refusals.append(
            f"{quoted(row['Study'])} has no form of surname and year; name it under [study_id] in "
            "the words file"
        )
    if row.refusals:
        return []
    key = {
        "study_id": study,
        "outcome": topic["outcome"],
        "instrument": topic["instrument"],
        "time_days": topic.get("time_days", ""),
        "subgroup": "",
        "analysis_set": "not_reported",
        "locator": f"{source}, row {row.line} (analysis {row['Analysis group']}."
        f"{row['Analysis number']})",
        "note": _note(row),
    }
    found = _results(row, topic, key)
    if row.refusals:
        return []
    _keep_subgroups_apart(row, draft, found)
    if row.refusals:
        return []
    added = [*_study_and_arms(row, topic, words, declared, draft, study, source)]
    return [*added, *(draft.add(table, cells, row.line) for table, cells in found)]


def _note(row: SourceRow) -> str:
    parts = [f"RevMan subgroup: {row['Subgroup']}" if row["Subgroup"] else "", row["Footnotes"]]
    return "; ".join(part for part in parts if part)


def _results(
    row: SourceRow, topic: Mapping[str, str], key: Mapping[str, str]
) -> list[tuple[str, dict[str, str]]]:
    """Return the result rows: counts, scores, or an estimate with its standard error."""
    cells = {side: {"n": row.number(f"{side} N")} for side, _ in _ARMS}
    if any(row[f"{side} cases"] for side, _ in _ARMS):
        for side, _ in _ARMS:
            cells[side]["events"] = row.number(f"{side} cases")
        statistic = "events"
    elif any(row[f"{side} mean"] for side, _ in _ARMS):
        for side, _ in _ARMS:
            cells[side] |= {
                "mean": row.number(f"{side} mean"),
                "sd": row.number(f"{side} SD"),
                "sd_origin": "not_reported",
            }
        statistic = topic.get("statistic", "")
        if statistic not in ("endpoint", "change"):
            row.refusals.append(
                "the words file does not say whether the scores of this analysis are endpoint or "
                "change (statistic)"
            )
    else:
        return _estimate(row, topic, key)
    return [
        (
            "outcomes",
            {**key, **cells[side], "arm_id": slug(topic[arm]), "statistic": statistic},
        )
        for side, arm in _ARMS
    ]


def _estimate(
    row: SourceRow, topic: Mapping[str, str], key: Mapping[str, str]
) -> list[tuple[str, dict[str, str]]]:
    """Return the contrast row of a generic inverse-variance estimate."""
    estimate, se = row.number("GIV Mean"), row.number("GIV SE")
    if not (estimate and se):
        peto = row["O-E"] or row["Variance"]
        row.refusals.append(
            "an O-E and its variance have no column in the tables; enter what the report prints"
            if peto
            else "no result: neither cases, means nor GIV Mean with GIV SE"
        )
        return []
    kind = topic.get("effect_type", "")
    if not kind:
        row.refusals.append("the words file does not say what the estimate is (effect_type)")
        return []
    cells = {
        **key,
        "arm_id": slug(topic["treatment"]),
        "comparator_arm_id": slug(topic["control"]),
        "effect_type": kind,
        "n_treatment": row.number("Experimental N"),
        "n_control": row.number("Control N"),
    }
    if kind in RATIOS and abs(float(estimate)) < 50 and 0 < float(se) < 50:
        row.changes.append("the logarithm of the ratio became a ratio with its 95% interval")
        return [("contrasts", cells | ratio_cells(float(estimate), float(se)))]
    return [("contrasts", cells | {"estimate": estimate, "se": se})]


def _keep_subgroups_apart(
    row: SourceRow, draft: Draft, found: list[tuple[str, dict[str, str]]]
) -> None:
    """Give a second subgroup of a study its name as population, or refuse the row."""
    clash = next((column for t, cells in found if (column := draft.differing(t, cells))), "")
    if not clash:
        return
    line = next(
        draft.line(table, cells) for table, cells in found if draft.find(table, cells) is not None
    )
    name = slug(row["Subgroup"])
    if name:
        for _, cells in found:
            cells["subgroup"] = f"population={name}"
        if not any(draft.differing(table, cells) for table, cells in found):
            row.changes.append(
                f"another {clash} of the same study stands in line {line}: entered as "
                f"population={name}"
            )
            return
    row.refusals.append(
        f"the same study, outcome and day stands in line {line} with another {clash}"
    )


def _study_and_arms(
    row: SourceRow,
    topic: Mapping[str, str],
    words: Words,
    declared: Declared,
    draft: Draft,
    study: str,
    source: str,
) -> list[str]:
    """Add the study and its arms to the draft; return what was new."""
    added: list[str] = []
    year = row["Study year"] or study.rsplit("_", 1)[-1][:4]
    cells = {
        "study_id": study,
        "citation": row["Study"],
        "year": year if year.isdigit() else "",
        "source_type": "review",
        "access": "secondary",
        "notes": f"Read from {source}, data rows of a RevMan review.",
        **words.study,
    }
    added += first_stands(row, draft, "studies", cells)
    for _, arm in _ARMS:
        named = topic[arm]
        arm_cells = {
            "study_id": study,
            "arm_id": slug(named),
            "intervention": words.find("intervention", named) or slug(named),
            "drug_class": topic.get(f"{arm}_class", "") or drug_class(declared, named),
            "role": arm,
            "route": topic.get("route", "") if arm == "treatment" else "not_reported",
        }
        added += first_stands(row, draft, "arms", arm_cells)
    return added


def first_stands(
    row: SourceRow, draft: Draft, table: str, cells: Mapping[str, str]
) -> tuple[str, ...]:
    """Add a study or an arm that is new; of one that is not, say where it differs."""
    if draft.find(table, cells) is None:
        return (draft.add(table, cells, row.line),)
    column = draft.differing(table, cells)
    if column:
        first = draft.line(table, cells)
        row.changes.append(f"{table}: {column} differs from that of line {first}, which is kept")
    return ()


def _template(missing: Mapping[str, str], given: Mapping[str, Mapping[str, str]]) -> str:
    """Return a words file with one empty table per analysis that is not described."""
    if not missing:
        return ""
    lines = [
        "# What RevMan keeps outside this file, in words of data/outcome_words.csv and",
        "# data/instruments.csv.",
        "[study]",
        "# Cells that every study gets: design, blinding, population, diagnosis, age_group ...",
        'design = ""',
    ]
    for number, title in missing.items():
        lines += ["", f"# {' '.join(title.split())}", f'[analysis."{number}"]']
        said = given.get(number, {})
        lines += [f'{key} = "{said.get(key, "")}"' for key in ANALYSIS_KEYS]
    return "\n".join(lines)


RM5 = "RevMan 5 review"
_KINDS = ("DICH", "CONT", "IV", "IPD")
#: Columns of the data rows, by attribute of a RevMan 5 file, for each kind of outcome.
_ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "DICH": {"EVENTS_1": "Experimental cases", "TOTAL_1": "Experimental N",
             "EVENTS_2": "Control cases", "TOTAL_2": "Control N"},
    "CONT": {"MEAN_1": "Experimental mean", "SD_1": "Experimental SD", "TOTAL_1": "Experimental N",
             "MEAN_2": "Control mean", "SD_2": "Control SD", "TOTAL_2": "Control N"},
    "IV": {"ESTIMATE": "GIV Mean", "SE": "GIV SE", "TOTAL_1": "Experimental N",
           "TOTAL_2": "Control N"},
    "IPD": {"O_E": "O-E", "VAR": "Variance", "TOTAL_1": "Experimental N", "TOTAL_2": "Control N"},
}  # fmt: skip
_RESULTS = {"YES": "low risk", "NO": "high risk", "UNKNOWN": "unclear risk"}
_MEASURES = {"OR": "OR", "PETO_OR": "OR", "RR": "RR", "RD": "RD", "MD": "MD", "SMD": "SMD"}


def read_rm5(
    data: bytes, name: str
) -> tuple[SourceCsv, SourceCsv, dict[str, dict[str, str]], tuple[str, ...]]:
    """Return the data rows and the judgements of a RevMan 5 file as if they were its exports.

    Returns
    -------
    data_rows, risk_of_bias : SourceCsv
        Lines are counted, because the file has no rows.
    given : dict
        What the file says of each analysis: its arms and its measure.
    problems : tuple of str
    """
    nothing = SourceCsv()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return nothing, nothing, {}, ("the file declares entities, which RevMan never does",)
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        return nothing, nothing, {}, (f"the file is no whole XML ({error})",)
    studies = {item.get("ID", ""): item for item in root.iter("STUDY")}
    rows: list[dict[str, str]] = []
    given: dict[str, dict[str, str]] = {}
    for comparison in root.iter("COMPARISON"):
        for outcome in comparison:
            kind = outcome.tag.partition("_")[0]
            if kind not in _KINDS or not outcome.tag.endswith("_OUTCOME"):
                continue
            number = f"{comparison.get('NO', '')}.{outcome.get('NO', '')}"
            measure = outcome.get("EFFECT_MEASURE") or _text_of(outcome, "EFFECT_MEASURE")
            given[number] = {
                "treatment": slug(_text_of(outcome, "GROUP_LABEL_1")),
                "control": slug(_text_of(outcome, "GROUP_LABEL_2")),
                "effect_type": _MEASURES.get(measure, "") if kind == "IV" else "",
            }
            for part in (outcome, *outcome.findall(f"{kind}_SUBGROUP")):
                rows += [
                    {
                        "Analysis group": comparison.get("NO", ""),
                        "Analysis number": outcome.get("NO", ""),
                        "Analysis name": f"{_text_of(comparison, 'NAME')}: "
                        f"{_text_of(outcome, 'NAME')}",
                        "Subgroup": "" if part is outcome else _text_of(part, "NAME"),
                        **_study_of(studies, item),
                        **{to: item.get(of, "") for of, to in _ATTRIBUTES[kind].items()},
                    }
                    for item in part.findall(f"{kind}_DATA")
                ]
    judged: dict[str, dict[str, str]] = {}
    for quality in root.iter("QUALITY_ITEM"):
        domain = _text_of(quality, "NAME")
        for entry in quality.iter("QUALITY_ITEM_DATA_ENTRY"):
            cells = judged.setdefault(entry.get("STUDY_ID", ""), _study_of(studies, entry))
            judgement = _RESULTS.get(entry.get("RESULT", ""), entry.get("RESULT", ""))
            cells.setdefault(f"Domain (judgement): {domain}", judgement)
            support = " ".join("".join(entry.itertext()).split())
            cells.setdefault(f"Domain (support): {domain}", support)
    problems = () if rows or judged else ("the review holds no result and no judgement",)
    return _as_source(rows), _as_source(list(judged.values())), given, problems


def _text_of(element: ElementTree.Element, tag: str) -> str:
    child = element.find(tag)
    return "" if child is None else " ".join("".join(child.itertext()).split())


def _study_of(
    studies: Mapping[str, ElementTree.Element], item: ElementTree.Element
) -> dict[str, str]:
    study = studies.get(item.get("STUDY_ID", ""))
    if study is None:
        return {"Study": item.get("STUDY_ID", ""), "Study year": ""}
    return {"Study": study.get("NAME", ""), "Study year": study.get("YEAR", "").strip(".")}


def _as_source(rows: Sequence[Mapping[str, str]]) -> SourceCsv:
    """Return rows as a source whose lines are counted."""
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    asked: set[str] = set()
    records = tuple(
        Record(line, Cells({name: row.get(name, "") for name in columns}, asked))
        for line, row in enumerate(rows, 1)
    )
    return SourceCsv(columns, records, filled=len(rows), asked=asked)


RISK_OF_BIAS = "risk of bias"
_JUDGEMENT = re.compile(r"Domain \(judgement\): ?(.+)", re.IGNORECASE)
#: Columns of a table for robvis that are no domain.
_NO_DOMAIN = ("study", "weight", "weights", "study year")


def is_risk_of_bias(columns: tuple[str, ...]) -> bool:
    """Return whether a header is that of a risk-of-bias table of RevMan, Covidence or robvis."""
    if "Study" not in columns:
        return False
    return any(_JUDGEMENT.fullmatch(name) for name in columns) or (
        "Overall" in columns and len(_domain_columns(columns)) > MIN_DOMAINS
    )


#: A table for robvis has more domains than this, its overall judgement included.
MIN_DOMAINS = 4


def _domain_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return the columns that hold judgements, by the domain they name."""
    found = {column: m.group(1) for column in columns if (m := _JUDGEMENT.fullmatch(column))}
    if not found:
        found = {name: name for name in columns if name.lower() not in _NO_DOMAIN}
    return {column: name.split(": All outcomes")[0].strip() for column, name in found.items()}


def read_risk_of_bias(source: SourceCsv, name: str, words: Words) -> ImportReport:
    """Return the judgements of a risk-of-bias table, one row per study and domain.

    The tool is ROBINS-I where a judgement is moderate, serious or critical, RoB 2 where a domain
    speaks of the randomisation process or there are five numbered ones, and its predecessor
    otherwise.
    """
    draft = Draft()
    problems = list(source.problems)
    columns = _domain_columns(source.columns)
    tool = _tool(columns, source)
    domains: dict[str, str] = {}
    for column, domain in columns.items():
        word = _domain(domain, tool)
        if word in domains:
            problems.append(f"the domain {domain!r} stands twice; only the first is read")
        else:
            domains[word] = column
    rows = []
    for record in source.records:
        row = SourceRow(record.line, record.cells, source.decimal_comma)
        if record.extra or record.missing:
            row.refusals.append("the row has other cells than the header, so none can be told")
        study = words.find("study_id", row["Study"]) or study_id_from(row["Study"])
        study = study or study_id_from(f"{row['Study']} {row['Study year']}")
        if not study:
            row.refusals.append(f"{quoted(row['Study'])} has no form of surname and year")
        became = [] if row.refusals else _judgements(row, record, study, tool, domains, draft, name)
        rows.append(row_verdict(row, row["Study"], became))
    notes = (*source.notes, f"the tool was read as {tool} from its domains and judgements")
    return ImportReport(name, RISK_OF_BIAS, tuple(rows), tuple(problems), notes, draft.tables())


def _tool(columns: Mapping[str, str], source: SourceCsv) -> str:
    """Return which tool was used, by its domains and its words."""
    said = {record.cells.peek(column).lower() for record in source.records for column in columns}
    if said & {"moderate", "serious", "critical"}:
        return "robins_i"
    numbered = sum(bool(re.fullmatch(r"D[0-9]", domain)) for domain in columns.values())
    process = any(re.search("randomi[sz]ation", domain, re.I) for domain in columns.values())
    return "rob2" if process or numbered == MIN_DOMAINS + 1 else "rob1"


def _domain(name: str, tool: str) -> str:
    """Return the word of a domain in the tables: one of its tool where it can be told."""
    known = [word for word in ROB_DOMAINS[tool] if word != "overall"]
    if numbered := re.fullmatch(r"D([0-9])", name):
        place = int(numbered.group(1)) - 1
        return known[place] if place < len(known) else slug(name)
    plain = slug(name).replace("_of_", "_").replace("randomiz", "randomis")
    plain = plain.replace("missing_outcome_data", "missing_data")
    if "overall" in plain:
        return "overall"
    if "reported_result" in plain or "selective" in plain:
        return "selective_reporting"
    if "sequence_generation" in plain:
        plain = "random_sequence_generation"
    return next((word for word in known if word in plain), slug(name))


def _judgements(
    row: SourceRow,
    record: Record,
    study: str,
    tool: str,
    domains: Mapping[str, str],
    draft: Draft,
    source: str,
) -> list[str]:
    """Add the judgements of one study; return what was added."""
    found = []
    for domain, column in domains.items():
        given = re.sub(r" risk( of bias)?$", "", row[column].strip(), flags=re.IGNORECASE)
        if not given:
            continue
        judgement = JUDGEMENTS.get(given.lower())
        if judgement is None:
            row.refusals.append(f"{domain}: {quoted(row[column])} is no judgement")
            continue
        support = record.cells.get(column.replace("judgement", "support"), "")
        found.append(
            {
                "study_id": study,
                "tool": tool,
                "domain": domain,
                "judgement": judgement,
                "support": plain_text(support) or f"as judged in {source}, row {row.line}",
                "judged_by": source,
            }
        )
    if row.refusals:
        return []
    clash = [cells["domain"] for cells in found if draft.differing("risk_of_bias", cells)]
    if clash:
        row.refusals.append(f"the study is judged twice, differently: {', '.join(clash)}")
        return []
    if not found:
        row.refusals.append("no domain is judged")
    return [draft.add("risk_of_bias", cells, row.line) for cells in found]
