"""Reads what RevMan keeps beside tables of trials: its review files, and risk of bias.

A room of its own because each format of another program has one room.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from ketameta.exchange.draft import (
    Cells,
    ImportedRow,
    ImportReport,
    Reader,
    Record,
    SourceCsv,
    plain_text,
    quoted,
)
from ketameta.exchange.metapsy import JUDGEMENTS
from ketameta.measures import ROB_DOMAINS
from ketameta.review.start import slug

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
    """Return a RevMan 5 file as its exports: data rows, judgements, what it says of each analysis.

    Lines are counted, because the file has no rows; the last part is what is wrong with it.
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


_JUDGEMENT = re.compile(r"Domain \(judgement\): ?(.+)", re.IGNORECASE)
#: Columns of a table for robvis that are no domain.
_NO_DOMAIN = ("study", "weight", "weights", "study year")
#: A table for robvis has more domains than this, its overall judgement included.
MIN_DOMAINS = 4


def is_risk_of_bias(columns: Sequence[str]) -> bool:
    """Return whether a header is that of a risk-of-bias table of RevMan, Covidence or robvis."""
    if "Study" not in columns:
        return False
    return any(_JUDGEMENT.fullmatch(name) for name in columns) or (
        "Overall" in columns and len(_domain_columns(columns)) > MIN_DOMAINS
    )


def _domain_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return the columns that hold judgements, with the domain that each names."""
    found = {column: m.group(1) for column in columns if (m := _JUDGEMENT.fullmatch(column))}
    found = found or {name: name for name in columns if name.lower() not in _NO_DOMAIN}
    return {column: name.split(": All outcomes")[0].strip() for column, name in found.items()}


class RiskOfBiasReader(Reader):
    """Reads a risk-of-bias table, one judgement per study and domain.

    The tool is ROBINS-I where a judgement is moderate, serious or critical, RoB 2 where a domain
    speaks of the randomisation process or there are five numbered ones, and its predecessor
    otherwise.
    """

    kind = "risk of bias"

    def read(self) -> ImportReport:
        """Return the report; the tool and its domains are told first."""
        columns = _domain_columns(self.source.columns)
        self.tool = self._tool(columns)
        self.domains: dict[str, str] = {}
        for column, domain in columns.items():
            if self.domains.setdefault(_domain(domain, self.tool), column) != column:
                self.problems.append(f"the domain {domain!r} stands twice; only the first is read")
        return super().read()

    def _tool(self, columns: Mapping[str, str]) -> str:
        said = {row.cells.peek(name).lower() for row in self.source.records for name in columns}
        if said & {"moderate", "serious", "critical"}:
            return "robins_i"
        numbered = sum(bool(re.fullmatch(r"D[0-9]", domain)) for domain in columns.values())
        process = any(re.search("randomi[sz]ation", domain, re.I) for domain in columns.values())
        return "rob2" if process or numbered == MIN_DOMAINS + 1 else "rob1"

    def label(self, row: Record) -> str:
        """Return the study."""
        return row["Study"]

    def notes(self, rows: Sequence[ImportedRow]) -> list[str]:
        """Return which tool was read."""
        return [
            *super().notes(rows),
            f"the tool was read as {self.tool} from its domains and judgements",
        ]

    def take(self, row: Record) -> list[str]:
        """Return the judgements that a row becomes; refusals are left in ``row``."""
        remedy = "name it under [study_id] in the words file"
        study = self.study_id(row, row["Study"], row["Study year"], remedy)
        found = []
        for domain, column in self.domains.items() if study else ():
            given = re.sub(r" risk( of bias)?$", "", row[column].strip(), flags=re.IGNORECASE)
            if not given:
                continue
            judgement = JUDGEMENTS.get(given.lower())
            if judgement is None:
                row.refusals.append(f"{domain}: {quoted(row[column])} is no judgement")
                continue
            beside = column.replace("judgement", "support")
            support = plain_text(row[beside]) if beside != column else ""
            found.append(
                {
                    "study_id": study,
                    "tool": self.tool,
                    "domain": domain,
                    "judgement": judgement,
                    "support": support or f"as judged in {self.name}, row {row.line}",
                    "judged_by": self.name,
                }
            )
        clash = [c["domain"] for c in found if self.draft.differing("risk_of_bias", c)]
        if clash:
            row.refusals.append(f"the study is judged twice, differently: {', '.join(clash)}")
        elif not found and not row.refusals:
            row.refusals.append("no domain is judged")
        if row.refusals:
            return []
        return [self.draft.add("risk_of_bias", cells, row.line) for cells in found]


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
