"""Reads the Metapsy format: one row per comparison, semicolons, decimal commas.

The format is described in the Metapsy data standard (docs.metapsy.org/data-preparation/format).
Rows become arm rows, because the tables hold what sources print arm by arm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ketameta import measures
from ketameta.effects.conversions.uncertainty import Z95
from ketameta.evidence.textfiles import without_hidden
from ketameta.exchange.draft import (
    MISSING,
    Declared,
    Draft,
    ImportedRow,
    ImportReport,
    Record,
    SourceCsv,
    Verdict,
    Words,
    as_number,
    line_ranges,
    quoted,
)
from ketameta.formatting import plural
from ketameta.review.start import slug, study_id_from

#: Groups of effect data: name of ours -> column of ours -> column of theirs, without the arm.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "endpoint": {"n": "n", "mean": "mean", "sd": "sd"},
    "change": {"n": "n_change", "mean": "mean_change", "sd": "sd_change"},
    "events": {"n": "totaln", "events": "event"},
}
#: Calculated effects: column of theirs -> effect type of ours.
PRECALCULATED: Mapping[str, str] = {"precalc_g": "SMD", "precalc_log_rr": "RR"}

#: Note of an arm that stands again beside a contradictory one, so that the two can be compared.
_COPY = "accept: copied_row because the data set repeats this arm in another comparison"


@dataclass(slots=True)
class SourceRow:
    """A record with the changes and refusals that were met while it was read."""

    line: int
    cells: Mapping[str, str]
    decimal_comma: bool
    changes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.cells.get(name, "")

    def number(self, column: str) -> str:
        """Return a cell as a plain number; a cell that holds none refuses the row."""
        cell = self[column]
        if not cell:
            return ""
        number = as_number(cell, decimal_comma=self.decimal_comma)
        if number is None:
            self.refusals.append(f"{column} is {quoted(cell)}, which is not a number")
            return ""
        return number


#: Kinds that a word of ``outcome_type`` stands for, where a row holds several.
_BY_TYPE: Mapping[str, str] = {"msd": "endpoint", "imsd": "endpoint", "change": "change"}


def kind_of(row: SourceRow) -> str:
    """Return the kind of effect data in a row; where several are filled, outcome_type decides."""
    kinds = [
        kind
        for kind, group in GROUPS.items()
        if any(row[f"{theirs}_arm{arm}"] for theirs in group.values() for arm in "12")
    ]
    kinds += [effect for theirs, effect in PRECALCULATED.items() if row[theirs]]
    if len(kinds) == 1:
        return kinds[0]
    said = row["outcome_type"].lower()
    calculated = [kind for kind in kinds if kind in PRECALCULATED.values()]
    chosen = _BY_TYPE.get(said, "events" if said else "")
    if said.startswith("precalc") and calculated:
        chosen = calculated[0]
    if chosen in kinds:
        left = " and ".join(kind for kind in kinds if kind != chosen)
        row.changes.append(
            f"outcome_type decides: read as {chosen}; its {left} data were compared, not entered"
        )
        return chosen
    row.refusals.append(
        f"two kinds of effect data in one row ({' and '.join(kinds)}); keep one, or say in "
        "outcome_type which it is"
        if kinds
        else "no effect data: neither means, changes, events nor a calculated effect"
    )
    return ""


def time_of(row: SourceRow, keys: Collection[str]) -> tuple[str, str]:
    """Return the day and the subgroup of a row."""
    days = row.number("time_days")
    if not days and row["time_weeks"]:
        weeks = row.number("time_weeks")
        days = f"{7 * float(weeks):.6g}" if weeks else ""
        row.changes.append("time_weeks became days (times 7)")
    periods = []
    if days and float(days) < 0:
        row.changes.append(
            f"measured {days.lstrip('-')} days before the first dose: entered at day 0 as "
            "period=pre_dose"
        )
        days = "0"
        periods.append("pre_dose")
    if row["post_crossover"] == "1":
        row.changes.append("measured after the crossover: entered as period=after_crossover")
        periods.append("after_crossover")
    # The format allows no semicolons: several subgroups are joined by a vertical bar.
    named = row["subgroup"].replace("|", ";")
    parts = [named] if _is_subgroup(named, keys) else []
    if named and not parts:
        parts.append(f"population={slug(named)}")
        row.changes.append(f"the subgroup {quoted(named)} was entered as {parts[0]}")
    parts += [f"period={'_'.join(periods)}"] if periods else []
    return days, ";".join(parts)


def _is_subgroup(text: str, keys: Collection[str]) -> bool:
    """Return whether a cell names subgroups as the tables here do."""
    pairs = [part.partition("=") for part in text.split(";") if part]
    return bool(pairs) and all(key in keys and value for key, _, value in pairs)


def arm_rows(
    row: SourceRow, draft: Draft, key: Mapping[str, str], arms: tuple[str, str], kind: str
) -> list[tuple[str, dict[str, str]]]:
    """Return the outcome rows of both arms, apart from other results of the same day."""
    note = ""
    if row["outcome_type"] == "imsd":
        note = "SD imputed by the data set (outcome type imsd)"
        row.changes.append("the SD was imputed by the data set: said in the note")
    found: list[dict[str, str]] = []
    for arm, arm_id in zip("12", arms, strict=True):
        cells = {**key, "arm_id": arm_id, "statistic": kind}
        for ours, theirs in GROUPS[kind].items():
            cells[ours] = row.number(f"{theirs}_arm{arm}")
        if kind != "events":
            cells["baseline_mean"] = row.number(f"baseline_m_arm{arm}")
            cells["baseline_sd"] = row.number(f"baseline_sd_arm{arm}")
            cells["sd_origin"] = "not_reported"
        cells |= {"note": note, "extracted_by": "Metapsy", **analysis_of(row)}
        if row["outcome_type"] == "imsd":
            cells["sd_origin"] = "imputed"
        found.append(cells)
    if not row.refusals:
        _set_apart(row, draft, found, "outcomes")
    return [("outcomes", cells) for cells in found]


#: Words for the people of an analysis.
_PEOPLE: Mapping[str, str] = {"itt": "intention_to_treat", "completer": "completers"}


def analysis_of(row: SourceRow) -> dict[str, str]:
    """Return which people a row is about, and from what, as far as the file says it."""
    found = {"analysis_set": _PEOPLE.get(row["completer"].lower(), "not_reported")}
    for word in row["analysis"].split(", "):
        if word in measures.SD_ORIGINS:
            found["sd_origin"] = word
        elif word in measures.ANALYSIS_SETS:
            found["analysis_set"] = word
    return found


def _set_apart(row: SourceRow, draft: Draft, found: list[dict[str, str]], table: str) -> None:
    """Give a second result of the same key its time point as a period, or refuse it."""
    clash = _clash(draft, found, table)
    if not clash:
        return
    point = slug(row["study_time_point"] or row["time"] or row["rating"])
    if point:
        before = found[0]["subgroup"]
        subgroup = _with_period(before, point)
        for cells in found:
            is_there = draft.find(table, cells) is not None
            if is_there and not draft.differing(table, cells):
                cells["note"] = "; ".join(part for part in (cells["note"], _COPY) if part)
            cells["subgroup"] = subgroup
        if not _clash(draft, found, table):
            row.changes.append(f"{clash}: entered apart as {subgroup}")
            return
    row.refusals.append(f"{clash}; correct one of them")


def _with_period(subgroup: str, point: str) -> str:
    """Return a subgroup with a time point added to its period."""
    if "period=" in subgroup:
        return f"{subgroup}_{point}"
    return ";".join(part for part in (subgroup, f"period={point}") if part)


def _clash(draft: Draft, found: list[dict[str, str]], table: str) -> str:
    """Return how rows contradict the draft, or nothing."""
    for cells in found:
        column = draft.differing(table, cells)
        if column:
            there = (draft.find(table, cells) or {}).get(column, "")
            return (
                f"{column} of {cells['arm_id']} is {quoted(cells.get(column, ''))} and "
                f"{quoted(there)} in line {draft.line(table, cells)}, the same outcome and day"
            )
    return ""


def contrast_row(
    row: SourceRow, draft: Draft, key: Mapping[str, str], arms: tuple[str, str], kind: str
) -> list[tuple[str, dict[str, str]]]:
    """Return the contrast row of a calculated effect, apart from another of the same day."""
    cells = {
        **key,
        "arm_id": arms[0],
        "comparator_arm_id": arms[1],
        "effect_type": kind,
        "extracted_by": "Metapsy",
        **analysis_of(row),
    }
    if kind == "SMD":
        cells["estimate"] = row.number("precalc_g")
        cells["se"] = row.number("precalc_g_se")
        if row["favours"] in measures.FAVOURS:
            cells["favours"] = row["favours"]
        else:
            row.changes.append("calculated g: which arm did better has to be said in favours")
        _set_apart(row, draft, [cells], "contrasts")
        return [("contrasts", cells)]
    effect, se = row.number("precalc_log_rr"), row.number("precalc_log_rr_se")
    if effect and se and abs(float(effect)) < 50 and 0 < float(se) < 50:
        cells |= ratio_cells(float(effect), float(se))
        row.changes.append("the log risk ratio became a ratio with its 95% interval")
    else:
        row.refusals.append("precalc_log_rr and precalc_log_rr_se are not both usable numbers")
    _set_apart(row, draft, [cells], "contrasts")
    return [("contrasts", cells)]


def ratio_cells(log_ratio: float, se: float) -> dict[str, str]:
    """Return a ratio and its 95% interval from the logarithm and its standard error."""
    return {
        "estimate": f"{math.exp(log_ratio):.10g}",
        "ci_low": f"{math.exp(log_ratio - Z95 * se):.10g}",
        "ci_high": f"{math.exp(log_ratio + Z95 * se):.10g}",
    }


#: Effects of the format are printed with 15 digits; means and SDs may be rounded for print.
_SAME = 1e-6


def recomputed_g(row: SourceRow, kind: str) -> tuple[float, float] | None:
    """Return Hedges' g of the first minus the second arm, with both small-sample factors in use.

    Returns
    -------
    tuple of float or None
        With the approximate factor ``1 - 3 / (4 N - 9)``, which the format's own tools use, and
        with the exact one; None where means, SDs or sizes are missing.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6(2), 107-128. doi:10.3102/10769986006002107
    """
    from ketameta.effects.means import hedges_correction

    if kind not in ("endpoint", "change"):
        return None
    cells = {
        f"{ours}{arm}": row.number(f"{theirs}_arm{arm}")
        for ours, theirs in GROUPS[kind].items()
        for arm in "12"
    }
    if not all(cells.values()):
        return None
    n1, n2 = float(cells["n1"]), float(cells["n2"])
    sd1, sd2 = float(cells["sd1"]), float(cells["sd2"])
    total = n1 + n2
    if n1 < 2 or n2 < 2 or sd1 <= 0 or sd2 <= 0:
        return None
    pooled = math.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / (total - 2))
    d = (float(cells["mean1"]) - float(cells["mean2"])) / pooled
    return d * (1 - 3 / (4 * total - 9)), d * hedges_correction(total - 2).item()


def recheck_note(rows: Sequence[ImportedRow], ours: Mapping[int, tuple[float, float]]) -> str:
    """Return how the recomputed g compare with the file's own; empty where it has none.

    Parameters
    ----------
    rows : sequence of ImportedRow
        With the file's ``g`` among their facts.
    ours : mapping of int to (float, float)
        Recomputed g by line, with either factor.
    """
    pairs = [
        (row.line, float(row.facts["g"]), ours[row.line])
        for row in rows
        if "g" in row.facts and row.line in ours
    ]
    if not pairs:
        return ""
    # The sign is the file's own choice: it may be turned so that negative favours the first arm.
    wrong = [
        line for line, theirs, mine in pairs if min(abs(abs(theirs) - abs(g)) for g in mine) > _SAME
    ]
    said = f"g recomputed from the arms equals the file's own in {len(pairs) - len(wrong)} of "
    said += plural(len(pairs), "row")
    return f"{said}; compare line {line_ranges(wrong)} with the source" if wrong else said


#: Columns without which a file is not in the Metapsy format.
SIGNATURE = ("study", "condition_arm1", "condition_arm2", "outcome_type", "instrument")
BLINDING: Mapping[str, str] = {
    "double-blind": "double_blind",
    "triple-blind": "double_blind",
    "quadruple-blind": "double_blind",
    "single-blind": "single_blind",
    "open-label": "open_label",
    "open label": "open_label",
}
JUDGEMENTS: Mapping[str, str] = {
    "low": "low",
    "low risk": "low",
    "some concerns": "some_concerns",
    "high": "high",
    "high risk": "high",
    "unclear": "unclear",
    "unclear risk": "unclear",
    **{word.replace("_", " "): word for word in ("moderate", "serious", "critical")},
    "no information": "no_information",
}
#: The five domains of RoB 2 in the order of its columns d1 to d5.
ROB2_DOMAINS: Mapping[str, str] = {
    "d1": "randomisation",
    "d2": "deviations",
    "d3": "missing_data",
    "d4": "measurement",
    "d5": "selective_reporting",
    "rob": "overall",
}
#: Names of control arms.
_CLASSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("active_placebo", ("active_placebo",)),
    ("placebo", ("placebo", "pcb", "plac", "pbo", "saline", "mannitol", "lactose", "sham")),
    ("no_treatment", ("waitlist", "waiting_list", "wait_list", "wl", "wlc", "no_treatment")),
    ("usual_care", ("cau", "tau", "usual_care", "treatment_as_usual", "care_as_usual")),
)


def drug_class(declared: Declared, *texts: str) -> str:
    """Return the class of an intervention by its name, or nothing where the name is not known."""
    for text in texts:
        word = slug(text)
        if meaning := declared.meaning("drug_class", word):
            return meaning
        for name, members in _CLASSES:
            if word in members:
                return name
    return ""


Cells = Mapping[str, str]
_DOI = re.compile(r"10\.\d{4,9}/[^\s;,]+")
#: Columns of a row that describe the trial; a trial's first row gives them.
_STUDY_FACTS = ("year", "doi", "registration_number", "full_ref", "design", "blinding", "diagnosis")


class StudyFacts:
    """Fills studies, arms and risk_of_bias of a draft and says what it had to decide."""

    def __init__(
        self, draft: Draft, words: Words, declared: Declared, source: str, *, shares: bool = False
    ) -> None:
        self._shares = shares
        self._draft, self._words, self._declared = draft, words, declared
        self._source = source
        self._ids: dict[str, str] = {}
        self._first: dict[str, Cells] = {}
        self._arms: dict[tuple[str, ...], str] = {}
        self._notes: dict[str, list[str]] = {}

    def notes(self) -> list[str]:
        """Return what was decided for trials and arms, each with the trials it concerns."""
        return [f"{what}: {', '.join(who)}" for what, who in self._notes.items()]

    def _say(self, what: str, who: str) -> None:
        names = self._notes.setdefault(what, [])
        if who not in names:
            names.append(who)

    def study_id(self, name: str, year: str, refusals: list[str]) -> str:
        """Return our name of a study; a name that cannot be made is a refusal."""
        clean = " ".join(without_hidden(name).split())
        if not clean:
            refusals.append("the study is not named")
            return ""
        key = clean.lower()
        if key in self._ids:
            return self._ids[key]
        found = self._words.find("study_id", clean) or study_id_from(clean)
        if not found and year.isdigit() and len(year) == 4:
            found = study_id_from(f"{clean} {year}")
        if not found:
            refusals.append(
                f"{quoted(name)} has no form of surname and year; name it under [study_id] in the "
                "words file"
            )
            return ""
        if found in self._ids.values():
            other = next(text for text, value in self._ids.items() if value == found)
            found = self._free(found)
            self._say(f"another study than '{other}' under the same surname and year", found)
        if clean != name:
            self._say("invisible characters or spaces were removed from the name", found)
        self._ids[key] = found
        return found

    def _free(self, study: str) -> str:
        taken = set(self._ids.values())
        stem = study.rstrip("abcdefghijklmnopqrstuvwxyz")
        letters = (stem + letter for letter in "bcdefghijklmnopqrstuvwxyz")
        return next((name for name in letters if name not in taken), f"{stem}z")

    def arms(self, study: str, row: Cells) -> tuple[str, str]:
        """Return the names of both arms of a row."""
        first, second = (self._arm_id(study, row, arm) for arm in "12")
        if first == second:
            parts = [
                slug(row.get(f"name_arm{arm}", "") or row.get(f"dose_arm{arm}", "")) for arm in "12"
            ]
            if parts[0] == parts[1] or not all(parts):
                parts = ["1", "2"]
            self._say("both arms have the same condition; told apart by name or number", study)
            first, second = f"{first}_{parts[0]}", f"{second}_{parts[1]}"
        return first, second

    def _arm_id(self, study: str, row: Cells, arm: str) -> str:
        named = " ".join(
            row.get(f"{column}_arm{arm}", "") for column in ("condition", "multi")
        ).strip()
        return slug(named) or slug(row.get(f"name_arm{arm}", "")) or f"arm_{arm}"

    def take(self, study: str, row: Cells, line: int, changes: list[str]) -> list[str]:
        """Add the study, its arms and its judgements to the draft; return what was new."""
        added: list[str] = []
        if study not in self._first:
            self._first[study] = row
            added.append(self._draft.add("studies", self._study(study, row), line))
        else:
            before = self._first[study]
            changes.extend(
                f"{column} differs from the first row of the study; the first is kept"
                for column in _STUDY_FACTS
                if row.get(column, "") != before.get(column, "")
            )
        for arm, arm_id in zip("12", self.arms(study, row), strict=True):
            cells = {"study_id": study, "arm_id": arm_id}
            there = self._draft.find("arms", cells)
            cells |= self._arm(row, arm, arm_id)
            if there is None:
                added.append(self._draft.add("arms", cells, line))
                continue
            first = self._draft.line("arms", cells)
            changes.extend(
                f"{column} of {arm_id} differs from that of line {first}, which is kept"
                for column in ("intervention", "drug_class", "dose_description")
                if cells[column] != there.get(column, "")
            )
            if arm == "1" and there.get("role") == "control":
                there["role"] = "treatment"
                self._say("compared with one arm and the comparator of another: treatment", arm_id)
        added.extend(self._judgements(study, row, line))
        return added

    def _study(self, study: str, row: Cells) -> dict[str, str]:
        doi = _DOI.search(row.get("doi", ""))
        given = row.get("diagnosis", "").lower()
        diagnosis = self._words.find("diagnosis", given) or self._declared.meaning(
            "diagnosis", given
        )
        if not diagnosis and given in self._declared.project.words.diagnosis:
            diagnosis = given
        if not diagnosis:
            diagnosis = "other"
            self._say(f"diagnosis {quoted(given)} was entered as other", study)
        elif diagnosis != given:
            self._say(f"diagnosis {quoted(given)} was entered as {diagnosis}", study)
        group = row.get("target_group", "")
        age = as_number(row.get("mean_age", ""), decimal_comma="," in row.get("mean_age", ""))
        women = _women(row)
        year = row.get("year", "") or study.rsplit("_", 1)[-1][:4]
        cells = {
            "study_id": study,
            "citation": row.get("full_ref", "") or row.get("study", ""),
            "year": year if year.isdigit() else "",
            "doi": doi.group(0).rstrip(".") if doi else "",
            "registry_id": row.get("registration_number", "").replace(",", ";"),
            "source_url": f"https://doi.org/{doi.group(0).rstrip('.')}" if doi else "",
            "source_type": "dataset",
            "access": "secondary",
            "design": self._design(study, row),
            "blinding": BLINDING.get(row.get("blinding", "").lower(), "not_reported"),
            "population": group or given,
            "diagnosis": diagnosis,
            "age_group": self._age_group(age),
            "age_mean_years": age or "",
            "female_percent": _percent(women, times=100 if self._shares else 1),
            **{
                name: self._declared.meaning(name, given, *group.split()) or "not_reported"
                for name in self._declared.project.categories
            },
            "notes": f"Read from {self._source}, a data set in the Metapsy format.",
        }
        return {**cells, **{key: cell for key, cell in self._words.study.items() if cell}}

    def _design(self, study: str, row: Cells) -> str:
        given = row.get("design", "").lower()
        if given in measures.DESIGNS:
            return given
        if "cross" not in given:
            return "parallel_rct"
        if row.get("post_crossover", ""):
            self._say(
                "a crossover or delayed-treatment trial, entered as parallel groups by sequence; "
                "rows after the crossover carry period=after_crossover",
                study,
            )
            return "parallel_rct"
        return "crossover_rct"

    @staticmethod
    def _age_group(age: str | None) -> str:
        if not age:
            return "not_reported"
        years = float(age)
        return "adults" if years >= 21 else "adolescents" if years >= 13 else "children"

    def _arm(self, row: Cells, arm: str, arm_id: str) -> dict[str, str]:
        drug = row.get(f"drug_arm{arm}", "")
        condition = row.get(f"condition_arm{arm}", "")
        given = (drug, condition)
        word = self._words.find("drug_class", *given) or drug_class(self._declared, *given)
        word = word or self._declared.classes.get(slug(drug or condition), "")
        if not word:
            word = "other"
            self._say("the class of the intervention is not known here: other", drug or condition)
        named = self._words.find("intervention", *given) or slug(drug) or slug(condition) or arm_id
        return {
            "intervention": named,
            "drug_class": word,
            "role": "treatment" if arm == "1" else "control",
            "dose_description": row.get(f"dose_arm{arm}", ""),
            "route": "not_reported",
            "notes": row.get(f"name_arm{arm}", ""),
        }

    def _judgements(self, study: str, row: Cells, line: int) -> list[str]:
        """Add the judgements of a row; where rows of a study differ, the worse stands."""
        added = []
        for column, domain in ROB2_DOMAINS.items():
            given = row.get(column, "")
            judgement = JUDGEMENTS.get(given.lower())
            if not given:
                continue
            if judgement is None:
                self._say(f"risk of bias {column} is {quoted(given)}, which is no judgement", study)
                continue
            cells = {
                "study_id": study,
                "tool": "rob2",
                "domain": domain,
                "judgement": judgement,
                "support": f"as judged in {self._source} (column {column})",
                "judged_by": "Metapsy",
            }
            there = self._draft.find("risk_of_bias", cells)
            if there is None:
                added.append(self._draft.add("risk_of_bias", cells, line))
            elif there["judgement"] != judgement:
                self._say("risk of bias differs between rows; the worse judgement stands", study)
                if measures.ROB_RANK[judgement] > measures.ROB_RANK[there["judgement"]]:
                    there["judgement"] = judgement
        return added


def _women(row: Cells) -> str:
    """Return the cell with the share of women, whatever its column is called."""
    names = ("percent_women", "female_percent", "percent_female")
    return next((row.get(name, "") for name in names if row.get(name, "") not in MISSING), "")


def _percent(cell: str, times: int) -> str:
    number = as_number(cell, decimal_comma="," in cell)
    return "" if number is None else f"{times * float(number):.10g}"


def _holds_shares(source: SourceCsv) -> bool:
    """Return whether the percentages of women of a file are shares of one."""
    cells = [_women(record.cells) for record in source.records]
    found = [as_number(cell, decimal_comma="," in cell) for cell in cells]
    numbers = [float(number) for number in found if number]
    return bool(numbers) and max(numbers) <= 1 and any(0 < number < 1 for number in numbers)


KIND = "Metapsy"
#: What the file computes itself; checked against, never written into the tables.
_COMPUTED = (".g", ".g_se", ".log_rr", ".log_rr_se")
_ROW_FACTS = (
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
    if reader.shares:
        notes.append("shares of women lie between 0 and 1 in the file: they became percentages")
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
        self.shares = _holds_shares(source)
        self.facts = StudyFacts(self.draft, words, declared, name, shares=self.shares)
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
        named = self.words.find("instrument", given)
        instrument = named or self.declared.instrument(given)
        counted = kind in ("events", "RR")
        if not instrument and counted:
            instrument = "not_reported"
            row.changes.append("how the events were found is not said: instrument not_reported")
        elif not instrument:
            row.refusals.append("the instrument is not named")
        said = row["outcome_type"] if counted else row["instrument_symptom"] or row["symptom"]
        # What an instrument measures is the outcome of its scores, never of the people counted.
        asked = (said,) if counted else (said, given)
        outcome = self.words.find("outcome", *asked) or self.declared.outcome(said)
        if not outcome and instrument:
            self.silent.add(given.lower())
            row.refusals.append(
                f"the file does not say what {quoted(given)} measures; name it in the words file"
            )
        measured = self.declared.measured.get(instrument, frozenset())
        if measured and outcome and not (named or counted or outcome in measured):
            row.refusals.append(
                f"{quoted(given)} is the {self.declared.names.get(instrument, instrument)} here, "
                f"which gives {', '.join(sorted(measured))} and not {outcome}; if that is meant, "
                f'say so under [instrument] in the words file ("{given.lower()}" = "{instrument}"),'
                " else give it a name of its own"
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
        facts: dict[str, str | float] = {name: row[name] for name in _ROW_FACTS if row[name]}
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
