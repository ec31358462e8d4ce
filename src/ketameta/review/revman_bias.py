"""Reads the risk-of-bias table of RevMan, which Covidence exports for RevMan in the same form.

Columns: ``Study``, and ``Domain (judgement): ...`` with ``Domain (support): ...`` per domain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ketameta.review.draft import Draft
from ketameta.review.import_report import ImportReport, quoted
from ketameta.review.metapsy_rows import SourceRow
from ketameta.review.metapsy_words import JUDGEMENTS
from ketameta.review.revman import row_verdict
from ketameta.review.source_csv import Record, SourceCsv
from ketameta.review.start import slug, study_id_from
from ketameta.review.words_file import Words

RISK_OF_BIAS = "RevMan risk of bias"
_JUDGEMENT = re.compile(r"Domain \(judgement\): ?(.+)", re.IGNORECASE)


def is_risk_of_bias(columns: tuple[str, ...]) -> bool:
    """Return whether a header is that of a risk-of-bias table of RevMan or Covidence."""
    return "Study" in columns and any(_JUDGEMENT.fullmatch(name) for name in columns)


def read_risk_of_bias(source: SourceCsv, name: str, words: Words) -> ImportReport:
    """Return the judgements of a risk-of-bias table, one row per study and domain.

    The tool is RoB 2 where a domain speaks of the randomisation process or of selection of the
    reported result, and its predecessor otherwise.
    """
    draft = Draft()
    domains: dict[str, str] = {}
    problems = list(source.problems)
    for column in source.columns:
        found = _JUDGEMENT.fullmatch(column)
        if found is None:
            continue
        domain = found.group(1).split(": All outcomes")[0].strip()
        if any(_word(domain) == _word(other) for other in domains):
            problems.append(f"the domain {domain!r} stands twice; only the first is read")
        else:
            domains[domain] = column
    tool = (
        "rob2" if any(re.search("randomi[sz]ation process", d, re.I) for d in domains) else "rob1"
    )
    rows = []
    for record in source.records:
        row = SourceRow(record.line, record.cells, source.decimal_comma)
        if record.extra or record.missing:
            row.refusals.append("the row has other cells than the header, so none can be told")
        study = words.find("study_id", row["Study"]) or study_id_from(row["Study"])
        if not study:
            row.refusals.append(f"{quoted(row['Study'])} has no form of surname and year")
        became = [] if row.refusals else _judgements(row, record, study, tool, domains, draft, name)
        rows.append(row_verdict(row, row["Study"], became))
    notes = (*source.notes, f"the tool was read as {tool} from the names of its domains")
    return ImportReport(name, RISK_OF_BIAS, tuple(rows), tuple(problems), notes, draft.tables())


def _word(domain: str) -> str:
    """Return the word of a domain in the tables."""
    return "overall" if "overall" in domain.lower() else slug(domain)


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
                "domain": _word(domain),
                "judgement": judgement,
                "support": " ".join(re.sub(r"<[^>]*>", " ", support).split())
                or f"as judged in {source}, row {row.line}",
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
