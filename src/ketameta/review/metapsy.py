"""Reads the Metapsy format: one row per comparison, semicolons, decimal commas.

The format is described in the Metapsy data standard (docs.metapsy.org/data-preparation/format).
Rows become arm rows, because the tables hold what sources print arm by arm.
"""

from __future__ import annotations

import re

from ketameta.numberformat import plural
from ketameta.review.draft import Draft
from ketameta.review.import_report import ImportedRow, ImportReport, Verdict, quoted
from ketameta.review.metapsy_recheck import recheck_note, recomputed_g
from ketameta.review.metapsy_rows import (
    PRECALCULATED,
    SourceRow,
    arm_rows,
    contrast_row,
    kind_of,
    time_of,
)
from ketameta.review.metapsy_studies import StudyFacts
from ketameta.review.metapsy_words import SIGNATURE
from ketameta.review.source_csv import MISSING, Record, SourceCsv, as_number
from ketameta.review.words_file import Declared, Words

KIND = "Metapsy"
#: What the file computes itself; checked against, never written into the tables.
_COMPUTED = (".g", ".g_se", ".log_rr", ".log_rr_se")
_FACTS = (
    *("study", "outcome_type", "multi_arm1", "multi_arm2"),
    *("primary_instrument", "primary_timepoint", "post_crossover"),
)


def is_metapsy(columns: tuple[str, ...]) -> bool:
    """Return whether a header is one of the Metapsy format."""
    return set(SIGNATURE) <= set(columns)


def read_metapsy(source: SourceCsv, name: str, words: Words, declared: Declared) -> ImportReport:
    """Return the tables that a Metapsy file becomes and the verdict on each of its rows.

    Parameters
    ----------
    source : SourceCsv
    name : str
        Name of the file, for locators and messages.
    words : Words
        Translations that the reviewer gave.
    declared : Declared
        Outcomes and instruments of the project.

    Notes
    -----
    Numbers lose the decimal comma and the zeros that pad them to a common width. A score before
    the first dose is entered at day 0 with ``period=pre_dose``; a row after a crossover gets
    ``period=after_crossover``; a second result of one day gets ``period=`` and its time point. Rows
    with a period enter an analysis only where it asks for periods.
    """
    reader = _Reader(source, name, words, declared)
    rows = tuple(reader.read(record) for record in source.records)
    recheck = recheck_note(rows, reader.recomputed)
    notes = [*source.notes, *([recheck] if recheck else []), *reader.facts.notes()]
    if source.decimal_comma:
        notes.insert(0, "numbers: decimal commas became points, padding zeros were dropped")
    undeclared = {
        table: dict(sorted(found.items())) for table, found in reader.undeclared.items() if found
    }
    return ImportReport(
        name,
        KIND,
        rows,
        source.problems,
        tuple(notes),
        reader.draft.tables(),
        undeclared,
        reader.words_template(),
    )


class _Reader:
    """Reads record after record and fills the draft."""

    def __init__(self, source: SourceCsv, name: str, words: Words, declared: Declared) -> None:
        self.comma = source.decimal_comma
        self.name, self.words, self.declared = name, words, declared
        self.draft = Draft()
        self.facts = StudyFacts(self.draft, words, declared, name)
        self.undeclared: dict[str, dict[str, str]] = {"outcome_words": {}, "instruments": {}}
        self.silent: set[str] = set()
        self.recomputed: dict[int, tuple[float, float]] = {}

    def read(self, record: Record) -> ImportedRow:
        """Return what became of one record; the draft holds the rest."""
        cells = record.cells.mapped(lambda cell: "" if cell.lower() in MISSING else cell)
        row = SourceRow(record.line, cells, self.comma)
        if record.extra or record.missing:
            row.refusals.append("the row has other cells than the header, so none can be told")
        became = [] if row.refusals else self._take(row)
        if row.refusals:
            return ImportedRow(record.line, _label(row), "refused", tuple(row.refusals))
        verdict: Verdict = "changed" if row.changes else "taken"
        changes = tuple(dict.fromkeys(row.changes))
        facts = self._computed(row)
        return ImportedRow(record.line, _label(row), verdict, changes, tuple(became), facts=facts)

    def _take(self, row: SourceRow) -> list[str]:
        """Return the rows of the batch that a record becomes; refusals are left in ``row``."""
        kind = kind_of(row)
        study = self.facts.study_id(row["study"], row["year"], row.refusals)
        arms = self.facts.arms(study, row.cells) if study else ("", "")
        outcome, instrument = self._measured(row, kind)
        days, subgroup = time_of(row, self.declared.schema.subgroups)
        if row.refusals:
            return []
        key = {
            "study_id": study,
            "outcome": outcome,
            "instrument": instrument,
            "time_days": days,
            "subgroup": subgroup,
            "locator": f"{self.name}, row {row.line}",
        }
        if kind in PRECALCULATED.values():
            found = contrast_row(row, self.draft, key, arms, kind)
        else:
            found = arm_rows(row, self.draft, key, arms, kind)
        if row.refusals:
            return []
        self._declare(outcome, instrument, row)
        again = recomputed_g(row, kind)
        if again is not None:
            self.recomputed[row.line] = again
        became = self.facts.take(study, row.cells, row.line, row.changes)
        return [*became, *(self.draft.add(table, cells, row.line) for table, cells in found)]

    def _measured(self, row: SourceRow, kind: str) -> tuple[str, str]:
        """Return our words for the outcome and the instrument of a row."""
        given = row["instrument"]
        instrument = self.words.find("instrument", given) or self.declared.instrument(given)
        if not instrument:
            row.refusals.append("the instrument is not named")
        counted = kind in ("events", "RR")
        said = row["outcome_type"] if counted else row["instrument_symptom"] or row["symptom"]
        # What an instrument measures is the outcome of its scores, never of the people counted.
        asked = (said,) if counted else (said, given)
        outcome = self.words.find("outcome", *asked) or self.declared.outcome(said)
        if not outcome and instrument:
            self.silent.add(given.lower())
            row.refusals.append(
                f"the file does not say what {quoted(given)} measures; name it in the words file"
            )
        return outcome, instrument

    def _declare(self, outcome: str, instrument: str, row: SourceRow) -> None:
        """Remember the words that the project does not declare."""
        if outcome not in self.declared.outcomes:
            said = row["instrument_symptom"] or row["outcome_type"]
            self.undeclared["outcome_words"][outcome] = said
        if instrument not in self.declared.instruments:
            self.undeclared["instruments"][instrument] = row["instrument"]

    def _computed(self, row: SourceRow) -> dict[str, str | float]:
        """Return what the file computes for the row, and its flags."""
        facts: dict[str, str | float] = {name: row[name] for name in _FACTS if row[name]}
        for name in _COMPUTED:
            number = as_number(row[name], decimal_comma=self.comma) if row[name] else None
            if number is not None:
                facts[name.lstrip(".")] = float(number)
        return facts

    def words_template(self) -> str:
        """Return a words file for what the file does not say; empty where nothing is missing."""
        if not self.silent:
            return ""
        lines = [f"# {plural(len(self.silent), 'instrument')}: what do they measure?", "[outcome]"]
        lines += [f'"{re.sub(r"[^a-z0-9 _-]", " ", key)}" = ""' for key in sorted(self.silent)]
        return "\n".join(lines)


def _label(row: SourceRow) -> str:
    """Return a row in words."""
    arms = (f"{row[f'condition_arm{arm}']} {row[f'multi_arm{arm}']}".strip() for arm in "12")
    point = row["study_time_point"] or row["time"]
    parts = (row["study"], row["outcome_type"], row["instrument"], point, " v ".join(arms))
    return ", ".join(part for part in parts if part)
