"""Reads any CSV of trials through a short mapping file, and drafts that file.

The published templates of RevMan and Covidence for arms and results come with their mapping.

A room of its own because each format of another program has one room.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from ketameta import measures
from ketameta.errors import did_you_mean
from ketameta.evidence.project import CONTROL_CLASSES
from ketameta.evidence.reader import OTHER_NAMES, plain_name
from ketameta.evidence.schema import Schema
from ketameta.exchange.draft import (
    MISSING,
    PAIRED,
    SIDES,
    Declared,
    Draft,
    ImportReport,
    SourceCsv,
    Words,
    mappable,
    plain_text,
    quoted,
    row_name,
)
from ketameta.exchange.metapsy import SourceRow, drug_class, ratio_cells
from ketameta.exchange.revman import first_stands, row_verdict
from ketameta.formatting import plural
from ketameta.review.start import slug, study_id_from

KIND = "a mapped table"
Columns = Mapping[str, Sequence[str]]
#: Beginnings of columns that every review names for itself.
PREFIXES = ("Char: ",)
#: Column and word of the rows that two extractors agreed on; they go before the extractors' own.
AGREED = ("Reviewer Name", "Consensus")
#: Column that numbers the studies, whatever they are called.
NUMBER = "Covidence #"
#: Mappings of published templates, by the columns that tell them.
TEMPLATES: Mapping[str, tuple[frozenset[str], Columns]] = {
    "study results of RevMan or Covidence": (
        frozenset({"Study", "Outcome", "Arm", "Sample size"}),
        {
            "study_id": ("Study",), "outcome": ("Outcome",), "arm_id": ("Arm",),
            "comparator_arm_id": ("Reference arm",), "effect_type": ("Effect measure",),
            "n": ("Sample size",), "events": ("Cases",), "mean": ("Mean",), "sd": ("SD",),
            "se": ("SE",), "ci_low": ("CI start",), "ci_high": ("CI end",),
            "ci_level": ("CI level",), "t": ("t-test",), "z": ("z-test",), "p": ("P value",),
            "note": ("Footnotes",),
        },
    ),
    "study arms of RevMan or Covidence": (
        frozenset({"Study", "Arm", "Intervention"}),
        {"study_id": ("Study",), "arm_id": ("Arm",), "intervention": ("Intervention",),
         "dose_description": ("Description",)},
    ),
    "study information of RevMan or Covidence": (
        frozenset({"Study", "Char: "}),
        {"study_id": ("Study",), "population": ("Char: Participants",),
         "notes": ("Char: Notes",)},
    ),
    "data extraction of Covidence": (
        frozenset({"Covidence #", "Study ID", "Title", "Reviewer Name"}),
        {"study_id": ("Study ID",), "citation": ("Title",),
         "country": ("Country in which the study conducted",)},
    ),
}  # fmt: skip


def mapping_of(source: SourceCsv, words: Words) -> tuple[str, Columns]:
    """Return the format of a file and the mapping for it; nothing where nobody says."""
    if words.columns:
        return KIND, words.columns
    for kind, (signature, columns) in TEMPLATES.items():
        if all(
            any(
                name == mark or (mark in PREFIXES and name.startswith(mark))
                for name in source.columns
            )
            for mark in signature
        ):
            return kind, columns
    return "", {}


def read_wide(
    source: SourceCsv, name: str, kind: str, columns: Columns, words: Words, declared: Declared
) -> ImportReport:
    """Return the tables that a file becomes through a mapping, and the verdict on each row.

    Parameters
    ----------
    source : SourceCsv
    name, kind : str
        Name of the file, and of its format.
    columns : mapping
        Our word -> their columns, the first filled of which counts.
    words : Words
        ``values`` are what every row has where no column says it.
    declared : Declared
    """
    problems = [
        f"{ours} is mapped to {quoted(theirs)}, which is no column of the file"
        f"{did_you_mean(theirs, source.columns)}"
        for ours, found in columns.items()
        if words.columns
        for theirs in found
        if theirs not in source.columns
    ]
    reader = _Reader(name, columns, words, declared)
    rows = []
    who, agreed = AGREED
    for record in sorted(source.records, key=lambda record: record.cells.get(who) != agreed):
        row = SourceRow(record.line, record.cells, source.decimal_comma)
        if record.extra or record.missing:
            row.refusals.append("the row has other cells than the header, so none can be told")
        became = [] if row.refusals or problems else reader.take(row)
        if problems:
            row.refusals.append("the mapping names a column that the file does not have")
        rows.append(row_verdict(row, reader.label(row), became))
    return ImportReport(
        name,
        kind,
        tuple(sorted(rows, key=lambda row: row.line)),
        (*source.problems, *problems),
        source.notes,
        reader.draft.tables(),
        {table: found for table, found in reader.undeclared.items() if found},
    )


class _Reader:
    """Reads row after row and fills the draft."""

    def __init__(self, name: str, columns: Columns, words: Words, declared: Declared) -> None:
        self.name, self.columns, self.words, self.declared = name, columns, words, declared
        self.kinds = mappable(declared.schema)
        self.draft = Draft()
        self.undeclared: dict[str, dict[str, str]] = {"outcome_words": {}, "instruments": {}}
        self.numbered: dict[str, tuple[str, int]] = {}

    def get(self, row: SourceRow, ours: str) -> str:
        """Return what a row says under one of our words."""
        for theirs in self.columns.get(ours, ()):
            if row[theirs].strip().lower() not in MISSING:
                number = self.kinds.get(ours) in ("number", "integer")
                return row.number(theirs) if number else plain_text(row[theirs])
        return self.words.values.get(ours, "")

    def label(self, row: SourceRow) -> str:
        """Return a row in words."""
        parts = (self.get(row, name) for name in ("study_id", "outcome", "arm_id", "treatment"))
        return ", ".join(part for part in parts if part)

    def take(self, row: SourceRow) -> list[str]:
        """Return the rows of the batch that a row becomes; refusals are left in ``row``."""
        given, year = self.get(row, "study_id"), self.get(row, "year")
        study = self.words.find("study_id", given) or study_id_from(given)
        study = study or study_id_from(f"{given} {year}")
        if not study:
            row.refusals.append(
                f"{quoted(given)} has no form of surname and year; map year, or name the trial "
                "under [study_id]"
            )
            return []
        first = self.numbered.setdefault(study, (row[NUMBER], row.line))
        if row[NUMBER] != first[0]:
            row.refusals.append(
                f"{study} is another study in line {first[1]}; give one of them a letter, such as "
                f"{study}b"
            )
        results = list(self._results(row, study))
        if row.refusals:
            return []
        for table, cells in results:
            if column := self.draft.differing(table, cells):
                line = self.draft.line(table, cells)
                row.refusals.append(
                    f"the same result stands in line {line} with another {column}; tell them apart "
                    "by subgroup, analysis_set or time_days"
                )
                return []
        cells = self._study(row, study, given)
        added = [*first_stands(row, self.draft, "studies", cells)]
        for arm in self._arms(row, study):
            added += first_stands(row, self.draft, "arms", arm)
        added += [self.draft.add(table, cells, row.line) for table, cells in results]
        # A row that says nothing new stands under what an earlier one said.
        return added or [row_name("studies", cells)]

    def _study(self, row: SourceRow, study: str, given: str) -> dict[str, str]:
        said = {c.name: self.get(row, c.name) for c in self.declared.schema["studies"].columns}
        year = said["year"] or study.rsplit("_", 1)[-1][:4]
        filled = {
            "citation": given,
            "source_type": "review",
            "access": "secondary",
            "notes": f"Read from {self.name}.",
            **self.words.study,
            **{name: cell for name, cell in said.items() if cell},
        }
        return {**filled, "study_id": study, "year": year if year.isdigit() else ""}

    def _names(self, row: SourceRow) -> list[tuple[str, str]]:
        """Return the arms of a row with their roles, as the source names them."""
        if self.get(row, "treatment"):
            return [(self.get(row, side), side) for side in SIDES]
        arm, other = self.get(row, "arm_id"), self.get(row, "comparator_arm_id")
        found = [(arm, self.get(row, "role") or ("treatment" if other else ""))]
        return [(name, role) for name, role in (*found, (other, "control")) if name]

    def _arms(self, row: SourceRow, study: str) -> Iterator[dict[str, str]]:
        alone = len(self._names(row)) == 1
        for name, role in self._names(row):
            given = (self.get(row, "intervention") if alone else "") or name
            word = self.words.find("drug_class", given, name) or drug_class(
                self.declared, given, name
            )
            word = word or self.declared.classes.get(slug(given), "")
            dose = self.get(row, "dose_description")
            arm = {"study_id": study, "arm_id": slug(name)}
            there = self.draft.find("arms", arm)
            if there is not None:
                continue
            yield {
                **arm,
                "intervention": self.words.find("intervention", given, name) or slug(given),
                "drug_class": (self.get(row, "drug_class") if alone else "") or word,
                "role": role or ("control" if word in CONTROL_CLASSES else "treatment"),
                "route": (self.get(row, "route") if alone else "") or "not_reported",
                **({"dose_description": dose} if alone and dose else {}),
            }

    def _results(self, row: SourceRow, study: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the rows of outcomes or contrasts; none where the file describes trials or arms."""
        said = self.get(row, "outcome")
        if not said:
            return
        outcome = self.words.find("outcome", said) or self.declared.outcome(said)
        scale = self.get(row, "instrument")
        instrument = self.words.find("instrument", scale or said)
        instrument = instrument or (self.declared.instrument(scale) if scale else "")
        if not instrument:
            row.refusals.append(
                f"nothing says by which instrument {quoted(said)} was measured; map instrument, or "
                f'write [instrument] "{said.lower()}" = "..." in the words file'
            )
            return
        weeks = self.get(row, "time_weeks")
        days = self.get(row, "time_days") or (f"{7 * float(weeks):.6g}" if weeks else "")
        key = {
            "study_id": study,
            "outcome": outcome,
            "instrument": instrument,
            "time_days": days,
            "subgroup": self.get(row, "subgroup"),
            "analysis_set": self.get(row, "analysis_set") or "not_reported",
            "locator": self.get(row, "locator") or f"{self.name}, row {row.line}",
            "note": self.get(row, "note"),
        }
        found = list(self._numbers(row, key))
        if not row.refusals:
            if outcome not in self.declared.outcomes:
                self.undeclared["outcome_words"][outcome] = said
            if instrument not in self.declared.instruments:
                self.undeclared["instruments"][instrument] = scale or said
        yield from found

    def _numbers(
        self, row: SourceRow, key: Mapping[str, str]
    ) -> Iterator[tuple[str, dict[str, str]]]:
        arms = self._names(row)
        if not arms or not all(name for name, _ in arms):
            row.refusals.append("the row names no arm; map arm_id, or treatment and control")
        elif self.get(row, "treatment") and self.get(row, "estimate") == "":
            cells = [{n: self.get(row, f"{n}_{side}") for n in PAIRED} for _, side in arms]
            for (name, _), numbers in zip(arms, cells, strict=True):
                yield "outcomes", self._arm(row, key, name, numbers)
        elif len(arms) > 1:
            yield "contrasts", self._contrast(row, key, [name for name, _ in arms])
        else:
            numbers = {name: self.get(row, name) for name in PAIRED}
            yield "outcomes", self._arm(row, key, arms[0][0], numbers)

    def _arm(
        self, row: SourceRow, key: Mapping[str, str], name: str, numbers: Mapping[str, str]
    ) -> dict[str, str]:
        counted = numbers["events"] or numbers["percent"]
        statistic = self.get(row, "statistic").lower() or ("events" if counted else "")
        if statistic not in measures.STATISTICS:
            row.refusals.append(
                "nothing says whether the scores are endpoint or change; write statistic under "
                "[values] in the words file"
            )
        if not any(numbers.values()):
            row.refusals.append(f"no number of the arm {quoted(name)}")
        filled = {column: cell for column, cell in numbers.items() if cell}
        origin = {} if counted else {"sd_origin": self.get(row, "sd_origin") or "not_reported"}
        return {**key, "arm_id": slug(name), "statistic": statistic, **filled, **origin}

    def _contrast(
        self, row: SourceRow, key: Mapping[str, str], arms: Sequence[str]
    ) -> dict[str, str]:
        kind = self.get(row, "effect_type")
        own = self.declared.schema["contrasts"].columns
        cells = {c.name: self.get(row, c.name) for c in own if c.name not in key}
        # The templates call the estimate a mean, that of a ratio on the scale of its logarithm.
        if not cells.get("estimate") and "Exp mean" in row.cells:
            ratio = kind in measures.RATIOS
            middle = row.number("Exp mean") if ratio else row.number("Mean")
            cells["estimate"] = middle
            if ratio and middle:
                cells |= {"ci_low": row.number("Exp CI start"), "se": "",
                          "ci_high": row.number("Exp CI end")}  # fmt: skip
            elif ratio and row.number("Mean") and row.number("SE"):
                row.changes.append("the logarithm of the ratio became a ratio with its interval")
                value, se = float(row.number("Mean")), float(row.number("SE"))
                if abs(value) < math.log(1e12) and se < math.log(1e12):
                    cells |= {**ratio_cells(value, se), "se": ""}
        kind = kind or ("test" if not cells.get("estimate") else "")
        if kind not in measures.EFFECT_TYPES:
            row.refusals.append(f"the effect measure is {quoted(kind)}, which is none of ours"
                                f"{did_you_mean(kind, measures.EFFECT_TYPES)}")  # fmt: skip
        filled = {name: cell for name, cell in cells.items() if cell}
        first, second = (slug(name) for name in arms)
        return {**key, **filled, "arm_id": first, "comparator_arm_id": second, "effect_type": kind}


# --- the draft of a mapping -----------------------------------------------------------------------

#: What tables call a number of an arm, and the two arms of a row.
_NUMBERS: Mapping[str, str] = {
    "n": "n|total|size|sample|sample_size|ntotal|totaln",
    "mean": "mean|m|avg|average",
    "sd": "sd|std|stdev|s|standard_deviation",
    "se": "se|sem|standard_error",
    "events": "events?|cases|x|responders?|pos",
    "baseline_mean": "baseline_?m(?:ean)?|mean_?baseline|pre_?mean",
    "baseline_sd": "baseline_?sd|sd_?baseline|pre_?sd",
}
_ARMS: Mapping[str, str] = {
    "treatment": "1|t|e|i|tx|trt|treat|treatment|exp|experimental|intervention|active|arm_?1",
    "control": "2|c|p|ctl|ctrl|con|cont|control|comparator|placebo|pbo|arm_?2|group_?2",
}
_SINGLE: Mapping[str, str] = {
    "study_id": "study|study_id|trial|author|authors|first_author|study_name|name|label",
    "year": "year|study_year|publication_year|pub_year",
    "outcome": "outcome|outcome_name|endpoint|measure_name",
    "instrument": "instrument|scale|tool|questionnaire|measure",
    "time_days": "time_days|day|days",
    "time_weeks": "time_weeks|week|weeks|time_in_weeks",
    "treatment": "treatment|intervention|experimental|condition_?(?:arm_?)?1|arm_?1|group_?1|drug",
    "control": "control|comparator|comparison|placebo|condition_?(?:arm_?)?2|arm_?2|group_?2",
    "arm_id": "arm|arm_id|group|group_name",
    "effect_type": "effect_measure|measure_of_effect|effect_type",
    "estimate": "estimate|effect|effect_size|te|yi|smd|md|or|rr|hr",
    "ci_low": "ci_?l(?:ow(?:er)?)?|lower|lcl|ll|lower_ci|ci_start",
    "ci_high": "ci_?(?:u(?:pper)?|high)|upper|ucl|ul|upper_ci|ci_end",
    "p": "p|p_value|pvalue",
}


def guess(column: str) -> str:
    """Return which of our words a column of another table may be; nothing where none is near."""
    plain = plain_name(column).replace(".", "_")
    for ours, theirs in _SINGLE.items():
        if re.fullmatch(theirs, plain):
            return ours
    for number, words in _NUMBERS.items():
        for side, arms in _ARMS.items():
            if re.fullmatch(rf"(?:{words})_?(?:{arms})|(?:{arms})_?(?:{words})", plain):
                return f"{number}_{side}"
    return OTHER_NAMES.get(plain, "")


def suggest(source: SourceCsv, schema: Schema) -> str:
    """Return the draft of a mapping file for a CSV, to be read and mended by a person."""
    known = mappable(schema)
    found: dict[str, str] = {}
    left = []
    for column in source.columns:
        plain = plain_name(column).replace(".", "_")
        word = plain if plain in known else guess(column)
        if word in known and word not in found:
            found[word] = column
        else:
            left.append(column)
    lines = [
        "# A draft: compare each line with the file before you use it.",
        "# our word = their column",
        "[columns]",
        *(f"{ours} = {_toml(theirs)}" for ours, theirs in found.items()),
    ]
    if left:
        lines += [f"# {plural(len(left), 'column')} not used:", *(f"#  {_toml(c)}" for c in left)]
    wanted = {
        "outcome": "a word of data/outcome_words.csv",
        "instrument": "a word of data/instruments.csv",
        "time_days": "days since the first dose",
        "statistic": "endpoint or change (counts need none)",
    }
    if "time_weeks" in found:
        del wanted["time_days"]
    if "arm_id" not in found:
        wanted |= {"treatment": "name of the first arm", "control": "name of the second"}
    lines += ["", "# what every row has, where no column says it", "[values]"]
    lines += [f'{ours} = ""  # {what}' for ours, what in wanted.items() if ours not in found]
    lines += ["", "# what every trial has", "[study]", 'design = ""', 'source_url = ""']
    return "\n".join(lines) + "\n"


def _toml(text: str) -> str:
    cut = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{cut}"'
