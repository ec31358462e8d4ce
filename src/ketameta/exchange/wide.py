"""Reads any CSV of trials through a mapping, and drafts one.

The published formats of RevMan and Covidence come with their mapping.

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
    ANALYSIS_KEYS,
    MISSING,
    PAIRED,
    SIDES,
    Reader,
    Record,
    SourceCsv,
    mappable,
    plain_text,
    quoted,
    row_name,
)
from ketameta.exchange.metapsy import drug_class, ratio_cells
from ketameta.formatting import plural
from ketameta.review.start import slug

_NUMERIC = ("number", "integer")
#: Logarithms of a ratio beyond this are no ratio of people.
_LARGEST_LOG = math.log(1e12)
Columns = Mapping[str, Sequence[str]]
#: Beginnings of columns that every review names for itself.
PREFIXES = ("Char: ",)
#: Column and word of the rows that two extractors agreed on; they go before the extractors' own.
AGREED = ("Reviewer Name", "Consensus")
#: Column that numbers the studies, whatever they are called.
NUMBER = "Covidence #"
DATA_ROWS = "RevMan data rows"
#: Mappings of published formats, by the columns that tell them: our word -> their columns. Beside
#: the words of the tables there are ``log_estimate`` (a ratio stands in it as its logarithm),
#: ``ratio`` and its limits, and ``apart`` (what tells two rows of one result from each other).
TEMPLATES: Mapping[str, tuple[frozenset[str], Columns]] = {
    DATA_ROWS: (
        frozenset({"Analysis group", "Analysis number", "Study"}),
        {
            "study_id": ("Study",), "year": ("Study year",), "apart": ("Subgroup",),
            "note": ("Footnotes",), "log_estimate": ("GIV Mean",), "se": ("GIV SE",),
            "n_treatment": ("Experimental N",), "n_control": ("Control N",),
            "events_treatment": ("Experimental cases",), "events_control": ("Control cases",),
            "mean_treatment": ("Experimental mean",), "mean_control": ("Control mean",),
            "sd_treatment": ("Experimental SD",), "sd_control": ("Control SD",),
        },
    ),
    "study results of RevMan or Covidence": (
        frozenset({"Study", "Outcome", "Arm", "Sample size"}),
        {
            "study_id": ("Study",), "outcome": ("Outcome",), "arm_id": ("Arm",),
            "comparator_arm_id": ("Reference arm",), "effect_type": ("Effect measure",),
            "n": ("Sample size",), "events": ("Cases",), "mean": ("Mean",), "sd": ("SD",),
            "se": ("SE",), "ci_low": ("CI start",), "ci_high": ("CI end",),
            "ci_level": ("CI level",), "t": ("t-test",), "z": ("z-test",), "p": ("P value",),
            "log_estimate": ("Mean",), "ratio": ("Exp mean",), "ratio_low": ("Exp CI start",),
            "ratio_high": ("Exp CI end",), "note": ("Footnotes",),
        },
    ),
    "study arms of RevMan or Covidence": (
        frozenset({"Study", "Arm", "Intervention"}),
        {"study_id": ("Study",), "arm_id": ("Arm",), "intervention": ("Intervention",),
         "dose_description": ("Description",)},
    ),
    "study information of RevMan or Covidence": (
        frozenset({"Study", "Char: "}),
        {"study_id": ("Study",), "population": ("Char: Participants",), "notes": ("Char: Notes",)},
    ),
    "data extraction of Covidence": (
        frozenset({"Covidence #", "Study ID", "Title", "Reviewer Name"}),
        {"study_id": ("Study ID",), "citation": ("Title",),
         "country": ("Country in which the study conducted",)},
    ),
}  # fmt: skip
_LOGGED = ("log_estimate", "ratio", "ratio_low", "ratio_high")
#: What an analysis of the words file has to say.
_NEEDED = ("outcome", "instrument", *SIDES)


def template_of(columns: Sequence[str]) -> tuple[str, Columns]:
    """Return the published format of a header and its mapping; nothing where none is known."""
    for kind, (signature, mapping) in TEMPLATES.items():
        if all(
            mark in columns or (mark in PREFIXES and any(name.startswith(mark) for name in columns))
            for mark in signature
        ):
            return kind, mapping
    return "", {}


class MappedReader(Reader):
    """Reads any table through a mapping: the words file's own, or that of a published format.

    Data rows of RevMan say nothing of outcome and arms: ``[analysis."1.1"]`` of the words file
    does, after what the file itself says of it (``stated``).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        header = self.source.columns
        mapped = self.words.columns
        self.kind, self.columns = ("a mapped table", mapped) if mapped else template_of(header)
        self.problems = [
            f"{ours} is mapped to {quoted(theirs)}, which is no column of the file"
            f"{did_you_mean(theirs, header)}"
            for ours, found in mapped.items()
            for theirs in found
            if theirs not in header
        ]
        self.numbers = {
            *(w for w, kind in mappable(self.schema).items() if kind in _NUMERIC),
            *_LOGGED,
        }
        self.given: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.numbered: dict[str, tuple[str, int]] = {}

    def get(self, row: Record, ours: str) -> str:
        """Return what a row says under one of our words."""
        for theirs in self.columns.get(ours, ()):
            if row[theirs].lower() not in MISSING:
                if ours in self.numbers:
                    return row.number(theirs)
                text = plain_text(row[theirs]) if theirs.startswith(PREFIXES) else row[theirs]
                return " ".join(text.split())
        return self.given.get(ours, "") or self.words.values.get(ours, "")

    def ordered(self) -> Sequence[Record]:
        """Return what two extractors agreed on before the rows of each."""
        column, agreed = AGREED
        return sorted(self.source.records, key=lambda row: row[column] != agreed)

    def label(self, row: Record) -> str:
        """Return a row in words."""
        if self.kind == DATA_ROWS:
            return f"{row['Study']}, analysis {_analysis(row)}"
        parts = (self.get(row, name) for name in ("study_id", "outcome", "arm_id", "treatment"))
        return ", ".join(part for part in parts if part)

    def take(self, row: Record) -> list[str]:
        """Return the rows of the batch that a row becomes; refusals are left in ``row``."""
        if self.problems:
            row.refusals.append("the mapping names a column that the file does not have")
        if self.kind == DATA_ROWS:
            self._look_up(row)
        if row.refusals:
            return []
        given = self.get(row, "study_id")
        remedy = "name it under [study_id] in the words file"
        if "year" not in self.columns:
            remedy = "map year, or name the trial under [study_id]"
        study = self.study_id(row, given, self.get(row, "year"), remedy)
        first = self.numbered.setdefault(study, (row[NUMBER], row.line))
        if study and row[NUMBER] != first[0]:
            row.refusals.append(
                f"{study} is another study in line {first[1]}; give one of them a letter, such as "
                f"{study}b"
            )
        results = list(self._results(row, study)) if study else []
        if not row.refusals:
            group = slug(self.get(row, "apart"))
            self.set_apart(row, results, f"population={group}" if group else "")
        if row.refusals:
            return []
        cells = self._study(row, study, given)
        added = self.first_stands(row, "studies", cells)
        for arm, compared in self._arms(row, study):
            added += self.first_stands(row, "arms", arm, compared)
        added += [self.draft.add(table, result, row.line) for table, result in results]
        # A row that says nothing new stands under what an earlier one said.
        return added or [row_name("studies", cells)]

    def _look_up(self, row: Record) -> None:
        """Find what the analysis of a data row is about; refuse the row where nobody says."""
        number = _analysis(row)
        topic = self.words.analysis.get(number)
        if topic is None:
            self.missing.setdefault(number, row["Analysis name"])
            row.refusals.append(f"analysis {number} is not in the words file")
            return
        self.given = {**self.stated.get(number, {}), **topic}
        absent = [key for key in _NEEDED if not self.given.get(key)]
        if absent:
            row.refusals.append(f"the words file leaves {', '.join(absent)} of this analysis empty")
        elif slug(self.given["treatment"]) == slug(self.given["control"]):
            row.refusals.append("the words file gives both arms of this analysis the same name")

    def _study(self, row: Record, study: str, given: str) -> dict[str, str]:
        said = {c.name: self.get(row, c.name) for c in self.schema["studies"].columns}
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

    def _names(self, row: Record) -> list[tuple[str, str]]:
        """Return the arms of a row with their roles, as the source names them."""
        if self.get(row, "treatment"):
            return [(self.get(row, side), side) for side in SIDES]
        arm, other = self.get(row, "arm_id"), self.get(row, "comparator_arm_id")
        found = [(arm, self.get(row, "role") or ("treatment" if other else ""))]
        return [(name, role) for name, role in (*found, (other, "control")) if name]

    def _arms(self, row: Record, study: str) -> Iterator[tuple[dict[str, str], list[str]]]:
        """Yield the arms of a row, with the columns in which they are compared with earlier ones.

        A row of one arm is about that arm; of two, it is about their results.
        """
        names = self._names(row)
        alone = len(names) == 1
        for name, role in names:
            own = {
                column: self.get(row, column) if alone else ""
                for column in ("intervention", "drug_class", "route", "dose_description")
            }
            own["drug_class"] = own["drug_class"] or self.given.get(f"{role}_class", "")
            own["route"] = own["route"] or (self.get(row, "route") if role == "treatment" else "")
            texts = (own["intervention"] or name, name)
            word = self.words.find("drug_class", *texts) or drug_class(self.declared, *texts)
            word = own["drug_class"] or word or self.declared.classes.get(slug(texts[0]), "")
            yield (
                {
                    "study_id": study,
                    "arm_id": slug(name),
                    **{column: cell for column, cell in own.items() if cell},
                    "intervention": self.words.find("intervention", *texts) or slug(texts[0]),
                    "drug_class": word,
                    "role": role or ("control" if word in CONTROL_CLASSES else "treatment"),
                    "route": own["route"] or "not_reported",
                },
                [column for column, cell in own.items() if cell] or ["study_id"]
                if alone
                else ["intervention", "drug_class", "route"],
            )

    def _results(self, row: Record, study: str) -> Iterator[tuple[str, dict[str, str]]]:
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
        place = f"{self.name}, row {row.line}"
        note = self.get(row, "note")
        if self.kind == DATA_ROWS:
            place += f" (analysis {_analysis(row)})"
            group = self.get(row, "apart")
            note = "; ".join(text for text in (group and f"RevMan subgroup: {group}", note) if text)
        key = {
            "study_id": study,
            "outcome": outcome,
            "instrument": instrument,
            "time_days": self.get(row, "time_days") or (f"{7 * float(weeks):.6g}" if weeks else ""),
            "subgroup": self.get(row, "subgroup"),
            "analysis_set": self.get(row, "analysis_set") or "not_reported",
            "locator": self.get(row, "locator") or place,
            "note": note,
        }
        found = list(self._numbers(row, key))
        if not row.refusals:
            name = row["Analysis name"] if self.kind == DATA_ROWS else ""
            self.declare(outcome, instrument, name or said, name or scale or said)
        yield from found

    def _numbers(self, row: Record, key: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
        arms = self._names(row)
        sides = [f"_{side}" for side in SIDES] if self.get(row, "treatment") else [""]
        cells = [{n: self.get(row, f"{n}{side}") for n in PAIRED} for side in sides]
        scores = any(cell for numbers in cells for name, cell in numbers.items() if name != "n")
        if not arms or not all(slug(name) for name, _ in arms):
            row.refusals.append("the row names no arm; map arm_id, or treatment and control")
        elif len({slug(name) for name, _ in arms}) < len(arms):
            row.refusals.append("both arms of the row have the same name")
        elif not scores and not self._estimate_of(row) and len(arms) == len(sides):
            row.refusals.append(
                "an O-E and its variance have no column in the tables; enter what the report prints"
                if row["O-E"] or row["Variance"]
                else "no result: neither counts nor scores of the arms, nor an estimate"
            )
        elif row.refusals:
            return
        elif scores and len(arms) == len(sides):
            for (name, _), numbers in zip(arms, cells, strict=True):
                yield "outcomes", self._arm(row, key, name, numbers)
        else:
            yield "contrasts", self._contrast(row, key, [name for name, _ in arms])

    def _estimate_of(self, row: Record) -> str:
        return next((cell for w in ("estimate", *_LOGGED[:2]) if (cell := self.get(row, w))), "")

    def _arm(
        self, row: Record, key: Mapping[str, str], name: str, numbers: Mapping[str, str]
    ) -> dict[str, str]:
        filled = {column: cell for column, cell in numbers.items() if cell}
        counted = numbers["events"] or numbers["percent"]
        statistic = "events" if counted and self.kind == DATA_ROWS else ""
        statistic = statistic or self.get(row, "statistic").lower() or ("events" if counted else "")
        if statistic not in measures.STATISTICS:
            row.refusals.append(
                "nothing says whether the scores are endpoint or change; write statistic under "
                f"{self._where(row)} in the words file"
            )
        origin = {} if counted else {"sd_origin": self.get(row, "sd_origin") or "not_reported"}
        return {**key, "arm_id": slug(name), "statistic": statistic, **filled, **origin}

    def _where(self, row: Record) -> str:
        return f'[analysis."{_analysis(row)}"]' if self.kind == DATA_ROWS else "[values]"

    def _contrast(self, row: Record, key: Mapping[str, str], arms: Sequence[str]) -> dict[str, str]:
        kind = self.get(row, "effect_type")
        own = self.schema["contrasts"].columns
        cells = {c.name: self.get(row, c.name) for c in own if c.name not in key}
        # A published format has its estimate of a ratio as a logarithm, and the ratio beside it.
        logged, *ratio = (self.get(row, word) for word in _LOGGED)
        if kind in measures.RATIOS and ratio[0]:
            cells |= dict(zip(("estimate", "ci_low", "ci_high", "se"), (*ratio, ""), strict=True))
        elif kind not in measures.RATIOS:
            cells["estimate"] = cells.get("estimate", "") or logged
        elif logged:
            value, se = float(logged), float(cells["se"] or 0)
            if abs(value) < _LARGEST_LOG and 0 < se < _LARGEST_LOG:
                row.changes.append(
                    "the logarithm of the ratio became a ratio with its 95% interval"
                )
                cells |= {**ratio_cells(value, se), "se": ""}
            else:
                row.refusals.append(
                    "the logarithm of the ratio and its standard error are not both usable numbers"
                )
        if not kind and self._estimate_of(row):
            row.refusals.append(
                "nothing says what the estimate is; write effect_type under "
                f"{self._where(row)} in the words file"
            )
        kind = kind or ("test" if not cells.get("estimate") else "")
        if kind and kind not in measures.EFFECT_TYPES:
            row.refusals.append(f"the effect measure is {quoted(kind)}, which is none of ours"
                                f"{did_you_mean(kind, measures.EFFECT_TYPES)}")  # fmt: skip
        filled = {name: cell for name, cell in cells.items() if cell}
        first, second = (slug(name) for name in arms)
        return {**key, **filled, "arm_id": first, "comparator_arm_id": second, "effect_type": kind}

    def words_file(self) -> str:
        """Return a words file with one table per analysis that is not described."""
        if not self.missing:
            return ""
        lines = [
            "# What RevMan keeps outside this file, in words of data/outcome_words.csv and",
            "# data/instruments.csv.",
            "[study]",
            "# Cells that every study gets: design, blinding, population, diagnosis, age_group ...",
            'design = ""',
        ]
        for number, title in self.missing.items():
            lines += ["", f"# {' '.join(title.split())}", f'[analysis."{number}"]']
            said = self.stated.get(number, {})
            lines += [f'{key} = "{said.get(key, "")}"' for key in ANALYSIS_KEYS]
        return "\n".join(lines)


def _analysis(row: Record) -> str:
    return f"{row['Analysis group']}.{row['Analysis number']}"


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
