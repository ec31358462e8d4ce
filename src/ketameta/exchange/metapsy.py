"""Reads the Metapsy format: one row per comparison, semicolons, decimal commas.

The format is described in the Metapsy data standard (docs.metapsy.org/data-preparation/format).
Rows become arm rows, because the tables hold what sources print arm by arm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

from ketameta import measures
from ketameta.effects.conversions.spread import Z95
from ketameta.evidence.findings import without_hidden
from ketameta.exchange.draft import (
    MISSING,
    Declared,
    ImportedRow,
    ImportReport,
    Reader,
    Record,
    as_number,
    line_ranges,
    quoted,
)
from ketameta.formatting import plural
from ketameta.review.start import slug

#: Groups of effect data: name of ours -> column of ours -> column of theirs, without the arm.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "endpoint": {"n": "n", "mean": "mean", "sd": "sd"},
    "change": {"n": "n_change", "mean": "mean_change", "sd": "sd_change"},
    "events": {"n": "totaln", "events": "event"},
}
#: Calculated effects: column of theirs -> effect type of ours.
PRECALCULATED: Mapping[str, str] = {"precalc_g": "SMD", "precalc_log_rr": "RR"}

#: Kinds that a word of ``outcome_type`` stands for, where a row holds several.
_BY_TYPE: Mapping[str, str] = {"msd": "endpoint", "imsd": "endpoint", "change": "change"}


def kind_of(row: Record) -> str:
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


def time_of(row: Record, keys: Collection[str]) -> tuple[str, str]:
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
    pairs = [part.partition("=") for part in named.split(";") if part]
    parts = [named] if pairs and all(key in keys and word for key, _, word in pairs) else []
    if named and not parts:
        parts.append(f"population={slug(named)}")
        row.changes.append(f"the subgroup {quoted(named)} was entered as {parts[0]}")
    parts += [f"period={'_'.join(periods)}"] if periods else []
    return days, ";".join(parts)


def arm_rows(
    row: Record, key: Mapping[str, str], arms: tuple[str, str], kind: str
) -> list[dict[str, str]]:
    """Return the outcome rows of both arms."""
    imputed = row["outcome_type"] == "imsd"
    if imputed:
        row.changes.append("the SD was imputed by the data set: said in the note")
    found: list[dict[str, str]] = []
    for arm, arm_id in zip("12", arms, strict=True):
        cells = {**key, "arm_id": arm_id, "statistic": kind}
        for ours, theirs in GROUPS[kind].items():
            cells[ours] = row.number(f"{theirs}_arm{arm}")
        if kind != "events":
            cells["baseline_mean"] = row.number(f"baseline_m_arm{arm}")
            cells["baseline_sd"] = row.number(f"baseline_sd_arm{arm}")
            cells["sd_origin"] = "imputed" if imputed else key.get("sd_origin", "not_reported")
        cells["note"] = "SD imputed by the data set (outcome type imsd)" if imputed else ""
        found.append(cells)
    return found


#: Words for the people of an analysis.
_PEOPLE: Mapping[str, str] = {"itt": "intention_to_treat", "completer": "completers"}


def analysis_of(row: Record) -> dict[str, str]:
    """Return which people a row is about, and from what, as far as the file says it."""
    found = {"analysis_set": _PEOPLE.get(row["completer"].lower(), "not_reported")}
    for word in row["analysis"].split(", "):
        if word in measures.SD_ORIGINS:
            found["sd_origin"] = word
        elif word in measures.ANALYSIS_SETS:
            found["analysis_set"] = word
    return found


def contrast_row(
    row: Record, key: Mapping[str, str], arms: tuple[str, str], kind: str
) -> dict[str, str]:
    """Return the contrast row of a calculated effect."""
    cells = {**key, "arm_id": arms[0], "comparator_arm_id": arms[1], "effect_type": kind}
    if kind == "SMD":
        cells["estimate"] = row.number("precalc_g")
        cells["se"] = row.number("precalc_g_se")
        if row["favours"] in measures.FAVOURS:
            cells["favours"] = row["favours"]
        else:
            row.changes.append("calculated g: which arm did better has to be said in favours")
        return cells
    effect, se = row.number("precalc_log_rr"), row.number("precalc_log_rr_se")
    if effect and se and abs(float(effect)) < 50 and 0 < float(se) < 50:
        row.changes.append("the log risk ratio became a ratio with its 95% interval")
        return cells | ratio_cells(float(effect), float(se))
    row.refusals.append("precalc_log_rr and precalc_log_rr_se are not both usable numbers")
    return cells


def ratio_cells(log_ratio: float, se: float) -> dict[str, str]:
    """Return a ratio and its 95% interval from the logarithm and its standard error."""
    return {
        "estimate": f"{math.exp(log_ratio):.10g}",
        "ci_low": f"{math.exp(log_ratio - Z95 * se):.10g}",
        "ci_high": f"{math.exp(log_ratio + Z95 * se):.10g}",
    }


#: Effects of the format are printed with 15 digits; means and SDs may be rounded for print.
_SAME = 1e-6


def recomputed_g(row: Record, kind: str) -> tuple[float, float] | None:
    """Return Hedges' g of the first minus the second arm, with both small-sample factors in use.

    The first has the approximate factor ``1 - 3 / (4 N - 9)``, which the format's own tools use,
    the second the exact one (Hedges 1981, J. Educ. Stat. 6(2), 107-128,
    doi:10.3102/10769986006002107); None where means, SDs or sizes are missing.
    """
    from ketameta.effects.means import hedges_correction, standardized_mean_difference

    if kind not in ("endpoint", "change"):
        return None
    names = [f"{GROUPS[kind][ours]}_arm{arm}" for arm in "12" for ours in ("mean", "sd", "n")]
    cells = [row.number(name) for name in names]
    if not all(cells):
        return None
    first, second = [float(cell) for cell in cells[:3]], [float(cell) for cell in cells[3:]]
    total = first[2] + second[2]
    if min(first[2], second[2]) < 2 or min(first[1], second[1]) <= 0:
        return None
    exact: float = standardized_mean_difference(*first, *second).estimate.item()
    return exact / hedges_correction(total - 2).item() * (1 - 3 / (4 * total - 9)), exact


def recheck_note(rows: Sequence[ImportedRow], ours: Mapping[int, tuple[float, float]]) -> str:
    """Return how the recomputed g compare with the file's own; empty where it has none.

    ``ours`` is the recomputed g by line, with either factor.
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


_DOI = re.compile(r"10\.\d{4,9}/[^\s;,]+")
#: Columns of a row that describe the trial; a trial's first row gives them.
_STUDY_FACTS = ("year", "doi", "registration_number", "full_ref", "design", "blinding", "diagnosis")
#: What the file computes itself; checked against, never written into the tables.
_COMPUTED = (".g", ".g_se", ".log_rr", ".log_rr_se")
_ROW_FACTS = (
    *("study", "outcome_type", "multi_arm1", "multi_arm2"),
    *("primary_instrument", "primary_timepoint", "post_crossover"),
)


class MetapsyReader(Reader):
    """Reads a Metapsy database, one comparison a row.

    Numbers lose the decimal comma and the zeros that pad them to a common width. A score before
    the first dose is entered at day 0 with ``period=pre_dose``; a row after a crossover gets
    ``period=after_crossover``; a second result of one day gets ``period=`` and its time point. Rows
    with a period enter an analysis only where it asks for periods.
    """

    kind = "Metapsy"

    def read(self) -> ImportReport:
        """Return the report; the rows of a study are about the one that its first row names."""
        for row in self.source.records:
            row.cells = row.cells.mapped(lambda cell: "" if cell.lower() in MISSING else cell)
        cells = [_women(row) for row in self.source.records]
        found = [as_number(cell, decimal_comma="," in cell) for cell in cells]
        numbers = [float(number) for number in found if number]
        #: Whether the percentages of women of the file are shares of one.
        self.shares = (
            bool(numbers) and max(numbers) <= 1 and any(0 < number < 1 for number in numbers)
        )
        self.ids: dict[str, str] = {}
        self.first: dict[str, Record] = {}
        self.decided: dict[str, list[str]] = {}
        self.silent: set[str] = set()
        self.recomputed: dict[int, tuple[float, float]] = {}
        return super().read()

    def label(self, row: Record) -> str:
        """Return a row in words."""
        arms = (f"{row[f'condition_arm{arm}']} {row[f'multi_arm{arm}']}".strip() for arm in "12")
        point = row["study_time_point"] or row["time"]
        parts = (row["study"], row["outcome_type"], row["instrument"], point, " v ".join(arms))
        return ", ".join(part for part in parts if part)

    def facts(self, row: Record) -> dict[str, str | float]:
        """Return what the file computes for the row, and its flags."""
        facts: dict[str, str | float] = {name: row[name] for name in _ROW_FACTS if row[name]}
        for name in _COMPUTED:
            number = as_number(row[name], decimal_comma=row.decimal_comma) if row[name] else None
            if number is not None:
                facts[name.lstrip(".")] = float(number)
        return facts

    def notes(self, rows: Sequence[ImportedRow]) -> list[str]:
        """Return what was done to numbers, and decided for trials and arms."""
        notes = [
            "numbers: decimal commas became points, padding zeros were dropped"
            if self.source.decimal_comma
            else "",
            *super().notes(rows),
            recheck_note(rows, self.recomputed),
            *(f"{what}: {', '.join(who)}" for what, who in self.decided.items()),
        ]
        if self.shares:
            notes.append("shares of women lie between 0 and 1 in the file: they became percentages")
        return notes

    def words_file(self) -> str:
        """Return a words file for the instruments of which the file does not say the outcome."""
        if not self.silent:
            return ""
        lines = [f"# {plural(len(self.silent), 'instrument')}: what do they measure?", "[outcome]"]
        lines += [f'"{re.sub(r"[^a-z0-9 _-]", " ", key)}" = ""' for key in sorted(self.silent)]
        return "\n".join(lines)

    def take(self, row: Record) -> list[str]:
        """Return the rows of the batch that a record becomes; refusals are left in ``row``."""
        kind = kind_of(row)
        study = self._study_id(row)
        arms = self._arm_ids(study, row) if study else ("", "")
        outcome, instrument = self._measured(row, kind)
        days, subgroup = time_of(row, self.schema.subgroups)
        if row.refusals:
            return []
        key = {
            "study_id": study,
            "outcome": outcome,
            "instrument": instrument,
            "time_days": days,
            "subgroup": subgroup,
            "locator": f"{self.name}, row {row.line}",
            "extracted_by": "Metapsy",
            **analysis_of(row),
        }
        if kind in PRECALCULATED.values():
            found = [("contrasts", contrast_row(row, key, arms, kind))]
        else:
            found = [("outcomes", cells) for cells in arm_rows(row, key, arms, kind)]
        if not row.refusals:
            self.set_apart(row, found, _with_point(row, subgroup))
        if row.refusals:
            return []
        self.declare(outcome, instrument, row["instrument_symptom"] or row["outcome_type"],
                     row["instrument"])  # fmt: skip
        again = recomputed_g(row, kind)
        if again is not None:
            self.recomputed[row.line] = again
        became = self._described(study, arms, row)
        return [*became, *(self.draft.add(table, cells, row.line) for table, cells in found)]

    def _measured(self, row: Record, kind: str) -> tuple[str, str]:
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

    def _say(self, what: str, who: str) -> None:
        names = self.decided.setdefault(what, [])
        if who not in names:
            names.append(who)

    def _study_id(self, row: Record) -> str:
        """Return our name of a study; two that share surname and year get letters."""
        name, year = row["study"], row["year"]
        clean = " ".join(without_hidden(name).split())
        if not clean:
            row.refusals.append("the study is not named")
            return ""
        key = clean.lower()
        if key in self.ids:
            return self.ids[key]
        year = year if year.isdigit() and len(year) == 4 else ""
        found = self.study_id(row, clean, year, "name it under [study_id] in the words file")
        if not found:
            return ""
        taken = {value: text for text, value in self.ids.items()}
        if found in taken:
            told = f"another study than '{taken[found]}' under the same surname and year"
            stem = found.rstrip("abcdefghijklmnopqrstuvwxyz")
            letters = (stem + letter for letter in "bcdefghijklmnopqrstuvwxyz")
            found = next((name for name in letters if name not in taken), f"{stem}z")
            self._say(told, found)
        if clean != name:
            self._say("invisible characters or spaces were removed from the name", found)
        self.ids[key] = found
        return found

    def _arm_ids(self, study: str, row: Record) -> tuple[str, str]:
        """Return the names of both arms of a row."""
        first, second = (
            slug(f"{row[f'condition_arm{arm}']} {row[f'multi_arm{arm}']}")
            or slug(row[f"name_arm{arm}"])
            or f"arm_{arm}"
            for arm in "12"
        )
        if first == second:
            parts = [slug(row[f"name_arm{arm}"] or row[f"dose_arm{arm}"]) for arm in "12"]
            if parts[0] == parts[1] or not all(parts):
                parts = ["1", "2"]
            self._say("both arms have the same condition; told apart by name or number", study)
            first, second = f"{first}_{parts[0]}", f"{second}_{parts[1]}"
        return first, second

    def _described(self, study: str, arms: tuple[str, str], row: Record) -> list[str]:
        """Add the study, its arms and its judgements to the draft; return what was new."""
        added: list[str] = []
        before = self.first.setdefault(study, row)
        if before is row:
            added.append(self.draft.add("studies", self._study(study, row), row.line))
        row.changes += [
            f"{column} differs from the first row of the study; the first is kept"
            for column in _STUDY_FACTS
            if row[column] != before[column]
        ]
        compared = ("intervention", "drug_class", "dose_description")
        for arm, arm_id in zip("12", arms, strict=True):
            cells = {"study_id": study, "arm_id": arm_id, **self._arm(row, arm, arm_id)}
            there = self.draft.find("arms", cells)
            added += self.first_stands(row, "arms", cells, compared)
            if arm == "1" and there is not None and there.get("role") == "control":
                there["role"] = "treatment"
                self._say("compared with one arm and the comparator of another: treatment", arm_id)
        return [*added, *self._judgements(study, row)]

    def _study(self, study: str, row: Record) -> dict[str, str]:
        doi = _DOI.search(row["doi"])
        link = doi.group(0).rstrip(".") if doi else ""
        project = self.declared.project
        given = row["diagnosis"].lower()
        diagnosis = self.words.find("diagnosis", given) or self.declared.meaning("diagnosis", given)
        if not diagnosis and given in project.words.diagnosis:
            diagnosis = given
        if not diagnosis:
            diagnosis = "other"
            self._say(f"diagnosis {quoted(given)} was entered as other", study)
        elif diagnosis != given:
            self._say(f"diagnosis {quoted(given)} was entered as {diagnosis}", study)
        group = row["target_group"]
        age = as_number(row["mean_age"], decimal_comma="," in row["mean_age"]) or ""
        women = _women(row)
        share = as_number(women, decimal_comma="," in women)
        year = row["year"] or study.rsplit("_", 1)[-1][:4]
        cells = {
            "study_id": study,
            "citation": row["full_ref"] or row["study"],
            "year": year if year.isdigit() else "",
            "doi": link,
            "registry_id": row["registration_number"].replace(",", ";"),
            "source_url": f"https://doi.org/{link}" if link else "",
            "source_type": "dataset",
            "access": "secondary",
            "design": self._design(study, row),
            "blinding": BLINDING.get(row["blinding"].lower(), "not_reported"),
            "population": group or given,
            "diagnosis": diagnosis,
            "age_group": _age_group(age),
            "age_mean_years": age,
            "female_percent": f"{(100 if self.shares else 1) * float(share):.10g}" if share else "",
            **{
                name: self.declared.meaning(name, given, *group.split()) or "not_reported"
                for name in project.categories
            },
            "notes": f"Read from {self.name}, a data set in the Metapsy format.",
        }
        return {**cells, **{key: cell for key, cell in self.words.study.items() if cell}}

    def _design(self, study: str, row: Record) -> str:
        given = row["design"].lower()
        if given in measures.DESIGNS:
            return given
        if "cross" not in given:
            return "parallel_rct"
        if row["post_crossover"]:
            self._say(
                "a crossover or delayed-treatment trial, entered as parallel groups by sequence; "
                "rows after the crossover carry period=after_crossover",
                study,
            )
            return "parallel_rct"
        return "crossover_rct"

    def _arm(self, row: Record, arm: str, arm_id: str) -> dict[str, str]:
        drug, condition = row[f"drug_arm{arm}"], row[f"condition_arm{arm}"]
        given = (drug, condition)
        word = self.words.find("drug_class", *given) or drug_class(self.declared, *given)
        word = word or self.declared.classes.get(slug(drug or condition), "")
        if not word:
            word = "other"
            self._say("the class of the intervention is not known here: other", drug or condition)
        named = self.words.find("intervention", *given) or slug(drug) or slug(condition) or arm_id
        return {
            "intervention": named,
            "drug_class": word,
            "role": "treatment" if arm == "1" else "control",
            "dose_description": row[f"dose_arm{arm}"],
            "route": "not_reported",
            "notes": row[f"name_arm{arm}"],
        }

    def _judgements(self, study: str, row: Record) -> list[str]:
        """Add the judgements of a row; where rows of a study differ, the worse stands."""
        added = []
        for column, domain in ROB2_DOMAINS.items():
            given = row[column]
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
                "support": f"as judged in {self.name} (column {column})",
                "judged_by": "Metapsy",
            }
            there = self.draft.find("risk_of_bias", cells)
            if there is None:
                added.append(self.draft.add("risk_of_bias", cells, row.line))
            elif there["judgement"] != judgement:
                self._say("risk of bias differs between rows; the worse judgement stands", study)
                if measures.ROB_RANK[judgement] > measures.ROB_RANK[there["judgement"]]:
                    there["judgement"] = judgement
        return added


def _with_point(row: Record, subgroup: str) -> str:
    """Return the subgroup of a row with its time point in the period; nothing without one."""
    point = slug(row["study_time_point"] or row["time"] or row["rating"])
    if not point or "period=" in subgroup:
        return point and f"{subgroup}_{point}"
    return ";".join(part for part in (subgroup, f"period={point}") if part)


def _age_group(age: str) -> str:
    if not age:
        return "not_reported"
    return "adults" if float(age) >= 21 else "adolescents" if float(age) >= 13 else "children"


def _women(row: Record) -> str:
    """Return the cell with the share of women, whatever its column is called."""
    names = ("percent_women", "female_percent", "percent_female")
    return next((row[name] for name in names if row[name] not in MISSING), "")
