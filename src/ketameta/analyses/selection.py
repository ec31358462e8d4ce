"""Chooses the effects of one analysis, and keeps the reason for every one it leaves.

Scope first (outcome, diagnosis, intervention), then eligibility, then one effect per study and
group. Rows in, rows out; no statistics.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from ketameta.analyses.sentences import lower_first, measure_words, pools_in
from ketameta.analyses.spec import AnalysisSpec, Choice, DoseRule
from ketameta.errors import SpecError
from ketameta.evidence.findings import file_finding
from ketameta.evidence.project import Project
from ketameta.measures import Measure

if TYPE_CHECKING:
    from ketameta.evidence.derive import ArmFacts, Effect, EffectTable
    from ketameta.evidence.tables import Evidence, StudyFacts


def _leave(row: Effect, code: str, reason: str) -> None:
    """Give a reason to a row that has none yet."""
    if not row["code"]:
        row["code"], row["reason"] = code, reason


def _left(rows: Iterable[Effect]) -> list[Effect]:
    """Return the rows that nothing has left out so far."""
    return [row for row in rows if not row["code"]]


def _by_study_group(rows: Iterable[Effect]) -> list[list[Effect]]:
    """Return the rows that are left, by study and group."""
    groups: dict[str, list[Effect]] = {}
    for row in _left(rows):
        groups.setdefault(row["study_group"], []).append(row)
    return list(groups.values())


#: Kinds of scores that a standardised difference divides by different SDs.
_SCORES = ("endpoint", "change")


def keep_one_kind_of_score(scoped: Sequence[Effect], spec: AnalysisSpec) -> None:
    """Keep endpoint or change scores in a standardised analysis, never both.

    The SD of a change is not that of a score (Cochrane Handbook, section 10.5.2). The kind that
    ``choose.data_kind`` names first stays, else that of more trials, else the endpoint. Differences
    printed as such are of neither kind.
    """
    if spec.model.measure is not Measure.SMD:
        return
    kinds = {(row["data_kind"], row["study_id"]) for row in _left(scoped)}
    trials = Counter(kind for kind, _ in kinds if kind in _SCORES)
    if len(trials) < 2:
        return
    order = spec.choose.data_kind

    def rank(kind: str) -> tuple[int, int, int]:
        return (_place(kind, order), -trials[kind], _SCORES.index(kind))

    kept, other = sorted(_SCORES, key=rank)
    words = f"{other} scores; standardised, they are not pooled with the {kept} scores of others"
    for row in scoped:
        if row["data_kind"] == other:
            _leave(row, "data_kind", words)


def _place(value: str, order: Sequence[str]) -> int:
    """Return the place of a word in an order of preference; the last where it is not in it."""
    return order.index(value) if value in order else len(order)


def choose_one_kind(scoped: Sequence[Effect], spec: AnalysisSpec) -> None:
    """Keep, within study and group, one outcome, time, instrument and kind of data.

    Order: outcome as the file lists them, then time by the rule, then instrument and kind of
    data by preference, then the shorter route. Rows that differ only in their arms stay together.
    """
    for members in _by_study_group(scoped):
        best = min(members, key=lambda row: _preference(row, spec))
        people = (
            f"the subgroup {best['subgroup']}" if best["subgroup"] else "the result of everybody"
        )
        reason = (
            f"the same comparison enters as {best['data_kind']} data, "
            f"{best['instrument']}, {_day(best['time_days'])}"
        )
        for row in members:
            if row["subgroup"] != best["subgroup"]:
                words = f"other people of the trial; it enters with {people}"
                _leave(row, "another_subgroup", words)
            elif _alike(row) != _alike(best):
                _leave(row, "another_form", reason)


def _alike(row: Effect) -> tuple[object, ...]:
    """Return what makes two effects of one study the same, but for their arms."""
    days = row["time_days"]
    # A missing time equals another: NaN does not equal itself.
    time = None if math.isnan(days) else days
    return (row["outcome"], time, row["instrument"], row["data_kind"], row["subgroup"])


def choose_one_analysis(scoped: Sequence[Effect], spec: AnalysisSpec) -> None:
    """Keep one printed analysis of a comparison: the one that the file names first.

    Raises
    ------
    SpecError
        A source prints several, and the file does not say which one is meant.
    """
    order = spec.choose.analysis
    undecided: dict[str, str] = {}
    for members in _by_study_group(scoped):
        same: dict[tuple[object, ...], list[Effect]] = {}
        for row in members:
            key = (_alike(row), row["arm_id"], row["comparator_arm_id"], row["printed_as"])
            same.setdefault(key, []).append(row)
        for found in (rows for rows in same.values() if len(rows) > 1):
            best, next_, *_ = ranked = sorted(found, key=lambda row: _rank(row["analysis"], order))
            if _rank(best["analysis"], order) == _rank(next_["analysis"], order):
                names = Counter(row["analysis"] or "not stated" for row in found)
                told = " and ".join(
                    f"{name} ({count} times)" if count > 1 else name
                    for name, count in names.items()
                )
                where = f"{best['outcome']}, {_day(best['time_days'])}: {told}"
                undecided[f"{best['study_id']} ({where})"] = ";".join(r["source"] for r in found)
                continue
            for row in ranked[1:]:
                words = (
                    f"the same result as {row['analysis'] or 'not stated'}; "
                    f"this analysis prefers {best['analysis'] or 'not stated'}"
                )
                _leave(row, "another_analysis", words.replace("_", " "))
    if undecided:
        why = "two printed analyses of one result, and nothing says which one is meant"
        remedy = 'write under [choose] which comes first, such as analysis = ["intention_to_treat"]'
        listed = f"{why}: {'; '.join(undecided)}"
        rows = dict.fromkeys(row for found in undecided.values() for row in found.split(";"))
        places = tuple((file, int(line)) for file, _, line in (row.rpartition(":") for row in rows))
        file = f"analyses/{spec.name}.toml"
        finding = file_finding("analysis", file, listed, remedy, column="choose.analysis")
        raise SpecError("", [replace(finding, places=places)])


def _rank(analysis: str, order: Sequence[str]) -> tuple[int, ...]:
    """Return the places of the words of an analysis in an order of preference."""
    return tuple(sorted(_place(word, order) for word in analysis.split(", ")))


#: Forms in which a source prints one comparison, best first: a difference with its precision, then
#: a standardised difference, then a bare test.
_PRINTED_ORDER = ("", "MD", "OR", "RR", "RD", "SMD", "test")


def choose_one_print(scoped: Sequence[Effect]) -> None:
    """Keep one form of a comparison that a source prints in several."""
    seen = set()
    left = _left(scoped)
    left.sort(key=lambda row: (_PRINTED_ORDER.index(row["printed_as"]), row["effect_id"]))
    for row in left:
        comparison = (row["study_group"], row["arm_id"], row["comparator_arm_id"])
        if comparison in seen:
            _leave(row, "another_form", "the source prints the same comparison in another form")
        seen.add(comparison)


def _day(days: float) -> str:
    return "time not printed" if math.isnan(days) else f"day {days:g}"


def _preference(row: Effect, spec: AnalysisSpec) -> tuple[Any, ...]:
    """Return a sort key; the smallest row stands for its study."""
    choose, days = spec.choose, row["time_days"]
    if math.isnan(days):
        time = math.inf
    elif choose.time == "latest":
        time = -days
    elif choose.time == "earliest":
        time = days
    else:
        time = abs(days - (choose.days or 0.0))
    return (
        len(row["subgroup_keys"]),
        _place(row["outcome"], spec.select.outcome),
        time,
        _place(row["instrument"], choose.instrument),
        _place(row["data_kind"], choose.data_kind),
        str(row["route"]).count("+"),
        row["effect_id"],
    )


def drop_parts_of_joined_arms(scoped: Sequence[Effect], table: EffectTable) -> None:
    """Drop comparisons whose people are all in another one; a printed joined arm wins over ours."""
    for members in _by_study_group(scoped):
        for row in members:
            for other in members:
                if row is not other and not row["code"] and _inside(row, other, table):
                    wider = "arm" if row["arm_id"] != other["arm_id"] else "comparator_arm"
                    arm = other["arm_id"] if wider == "arm" else other["comparator_arm_id"]
                    words = f"{wider} {arm}".replace("_", " ")
                    _leave(row, "part_of_joined_arm", f"its people are in the {words}")


def _inside(row: Effect, other: Effect, table: EffectTable) -> bool:
    """Return whether the people of one comparison are all in another, which is to be preferred."""

    def people(arm: str) -> frozenset[str]:
        known = table.arm_facts.get((row["study_id"], arm))
        parts = [] if known is None else [part for part in str(known.contains).split(";") if part]
        return frozenset(parts) or frozenset({arm})

    mine = people(row["arm_id"]), people(row["comparator_arm_id"])
    theirs = people(other["arm_id"]), people(other["comparator_arm_id"])
    if mine == theirs:
        ours = "+" in row["arm_id"] + row["comparator_arm_id"]
        return ours and "+" not in other["arm_id"] + other["comparator_arm_id"]
    return mine[0] <= theirs[0] and mine[1] <= theirs[1]


def drop_overlaps(scoped: Sequence[Effect], choose: Choice) -> None:
    """Keep one of any two studies that share people: the preferred, else the trial itself."""
    sizes: dict[str, list[float]] = {}
    facts: dict[str, Effect] = {}
    for row in _left(scoped):
        largest = sizes.setdefault(row["study_id"], [0.0, 0.0])
        for side, n in enumerate((row["n_treatment"], row["n_control"])):
            largest[side] = max(largest[side], n)  # a size that is not printed is no larger
        facts[row["study_id"]] = row
    overlaps = {
        study: frozenset(part for part in str(row["overlaps_with"]).split(";") if part)
        for study, row in facts.items()
    }

    def rank(study: str) -> tuple[int, bool, bool, float, str]:
        preferred = choose.overlap_prefer.index(study) if study in choose.overlap_prefer else 99
        pooled = facts[study]["design"] == "pooled_rcts"
        return (preferred, pooled, len(overlaps[study]) > 0, -sum(sizes[study]), study)

    named_by: dict[str, set[str]] = {}
    for study, others in overlaps.items():
        for other in others:
            named_by.setdefault(other, set()).add(study)
    chosen: dict[str, int] = {}
    words: dict[str, str] = {}
    for study in sorted(overlaps, key=rank):
        clash = (overlaps[study] | named_by.get(study, set())) & chosen.keys()
        if clash:
            listed = ", ".join(sorted(clash, key=chosen.__getitem__))
            words[study] = f"shares participants with {listed}, which is used"
        else:
            chosen[study] = len(chosen)
    for row in scoped:
        if row["study_id"] in words:
            _leave(row, "overlap", words[row["study_id"]])


#: Facts of every study that travel with its effects.
_STUDY_FACTS = (
    "study_id",
    "citation",
    "year",
    "doi",
    "pmid",
    "registry_id",
    "source_url",
    "source_type",
    "access",
    "design",
    "blinding",
    "population",
    "diagnosis",
    "age_group",
    "n_randomised",
    "overlaps_with",
)


def study_facts(project: Project) -> tuple[str, ...]:
    """Return the facts of a study that travel with its effects, moderators of the project last."""
    return (*_STUDY_FACTS, *project.categories)


@dataclass(frozen=True, slots=True)
class Selected:
    """What one analysis uses and leaves.

    Attributes
    ----------
    used : list of Effect
        Effects that enter the model; several per study and group only where arms share a
        control and must be joined (``study_group``).
    excluded : list of Effect
        Effects in scope that do not enter, with ``code`` and ``reason``.
    unused : list of Effect
        Extracted rows in scope that yield no effect size, with ``code`` and ``reason``; where
        nothing is used, also the studies in scope whose records were left out. ``answers`` names
        the group whose question a row answers where nothing else of its trial does, else None.
    """

    used: list[Effect]
    excluded: list[Effect]
    unused: list[Effect]


def select_effects(spec: AnalysisSpec, table: EffectTable, evidence: Evidence) -> Selected:
    """Return the effects that enter ``spec``, and all others in its scope with their reasons."""
    measure, group_by = str(spec.model.measure), spec.model.group_by
    inside = [*_in_scope(table.rows.on(spec.select.outcome), spec, evidence.facts)]
    scoped = [row for row in inside if row["measure"] == measure]
    scoped += _in_other_measures(scoped, inside, spec.model.measure, evidence)
    rules = _rules(spec)
    for row in scoped:
        row["group"] = str(row.get(group_by)) if group_by else ""
        row["study_group"] = f"{row['study_id']}|{row['group']}"
        _leave(row, *_ineligible(row, spec, rules))
        if spec.dose is not None:
            _keep_dose(row, spec.dose)
    keep_one_kind_of_score(scoped, spec)
    choose_one_kind(scoped, spec)
    choose_one_analysis(scoped, spec)
    drop_parts_of_joined_arms(scoped, table)
    choose_one_print(scoped)
    drop_overlaps(scoped, spec.choose)
    counted = spec.model.measure.is_ratio or spec.model.measure is Measure.RD
    used, asked = _left(scoped), spec.select.outcome
    silent = [] if used else [row for row in evidence.left_out if row["outcome"] in asked]
    given = (*_with_arms(table, spec), *cast("list[Effect]", silent))
    unused = [
        row
        for row in _in_scope(given, spec, evidence.facts)
        if counted or row.get("data_kind") != "events"
    ]
    _tell_what_answers(unused, scoped, spec, table)
    return Selected(
        used=used,
        excluded=[row for row in scoped if row["code"]],
        unused=unused,
    )


def _tell_what_answers(
    unused: Sequence[Effect], scoped: Sequence[Effect], spec: AnalysisSpec, table: EffectTable
) -> None:
    """Tell of rows without an effect which group they answer for where their trial has no answer.

    The rules are those of the effects; only how a number is printed is no part of the question.
    Reports that pool trials, and people of trials that are used, are no other trials.
    """
    rules = [rule for rule in _rules(spec) if rule[0] != "data_kind"]
    group_by, alone = spec.model.group_by, spec.model.measure is Measure.SMCR

    def answer(row: Effect) -> str | None:
        within = spec.kind != "within_trial" or group_by in row["subgroup_keys"]
        asked = within and not pools_in([row]) and _ineligible(row, spec, rules) == ("", "")
        return (str(row.get(group_by)) if group_by else "") if asked else None

    known = {(row["study_id"], answer(row)) for row in scoped if row["code"] not in _NO_ANSWER}
    used = {row["study_id"]: set(row["overlaps_with"].split(";")) for row in _left(scoped)}
    arms: dict[str, list[tuple[str, ArmFacts]]] = {}
    for (study, arm), facts in table.arm_facts.items():
        arms.setdefault(study, []).append((arm, facts))
    for row in unused:
        study, named = row["study_id"], row["comparator_arm_id"]
        shared = set(row["overlaps_with"].split(";")) & used.keys()
        if study not in used and (shared or any(study in others for others in used.values())):
            continue
        for arm, facts in arms.get(study, ()):
            if (arm == row["arm_id"]) == alone and named in ("", arm):
                said = {"comparator": facts.intervention, "comparator_class": facts.drug_class}
                group = answer(cast("Effect", {**row, **said}))
                if group is not None and (study, group) not in known:
                    row["answers"] = group


def _in_scope(
    rows: Iterable[Effect], spec: AnalysisSpec, studies: Mapping[str, StudyFacts]
) -> Iterator[Effect]:
    """Yield copies of the rows in scope, with the facts of their studies.

    Facts of the study are overwritten where the row is about a subgroup.
    """
    select = spec.select
    levels = (*spec.project.categories, "age_group")
    wanted = study_facts(spec.project)
    for row in rows:
        study = studies.get(row["study_id"], {"diagnosis": row.get("diagnosis", "")})
        if (
            (select.diagnosis and study.get("diagnosis") not in select.diagnosis)
            or (select.drug_class and row["drug_class"] not in select.drug_class)
            or (select.intervention and row["intervention"] not in select.intervention)
        ):
            continue
        pairs = parse_subgroup(row["subgroup"])
        found = {
            "code": "",
            "reason": "",
            "label": spec.project.study_label(row["study_id"]),
            **row,
            **{name: study.get(name, "") for name in wanted if name != "study_id"},
            **{key: word for key, word in pairs.items() if key in levels},
            "subgroup_keys": frozenset(pairs),
            "time_class": time_class(row["time_days"]),
        }
        yield cast("Effect", found)


def _with_arms(table: EffectTable, spec: AnalysisSpec) -> Iterator[Effect]:
    """Yield the extracted rows that yield no effect size, with what their arms were given."""
    for row in table.unused_rows.on(spec.select.outcome):
        arm = table.arm_facts.get((row["study_id"], row["arm_id"]))
        given = ("", "") if arm is None else (arm.intervention, arm.drug_class)
        yield {**row, "intervention": given[0], "drug_class": given[1]}


#: Classes of time since the first dose: name and last day (in days) that belongs to it.
TIME_CLASSES: tuple[tuple[str, float], ...] = (
    ("within_hours", 0.9),
    ("24_hours", 1.5),
    ("days_2_to_7", 7.0),
    ("days_8_to_21", 21.0),
    ("days_22_to_35", 35.0),
    ("later", math.inf),
)


def time_class(days: float) -> str:
    """Return the class of a time in days; ``time_not_printed`` for a missing one."""
    if math.isnan(days):
        return "time_not_printed"
    return next(name for name, last in TIME_CLASSES if days <= last)


def parse_subgroup(text: str) -> dict[str, str]:
    """Return ``{"age_group": "adults"}`` from ``age_group=adults``."""
    pairs = (part.partition("=") for part in str(text).split(";") if part)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _comparison(row: Effect) -> tuple[object, ...]:
    """Return what makes two effects the same comparison, whatever the measure."""
    return (row["study_id"], row["arm_id"], row["comparator_arm_id"], *_alike(row), row["analysis"])


_ONLY = "the source allows only: "
#: Codes of comparisons whose effects are not in the measure of the analysis.
_NO_ANSWER = ("other_measure", "no_direction")


def _in_other_measures(
    scoped: Sequence[Effect], inside: Sequence[Effect], measure: Measure, evidence: Evidence
) -> Iterator[Effect]:
    """Yield the comparisons in scope that have effects, but none in the measure of the analysis.

    Among them counts that say nothing about a ratio (no events, or nothing else, in both arms),
    and scores whose instrument has no better end, so that none is standardised.
    """
    known = {_comparison(row) for row in scoped}
    others: dict[tuple[object, ...], list[Effect]] = {}
    for row in inside:
        if (comparison := _comparison(row)) not in known:
            others.setdefault(comparison, []).append(row)
    better = {row["instrument"]: row["direction"] for row in evidence.rows("instruments")}
    for first, *more in others.values():
        row = first.copy()
        scale, counted = row["instrument"], row["data_kind"] == "events"
        if measure is Measure.SMD and not counted and better.get(scale, "neither") == "neither":
            words = f"instruments.csv gives {scale} no better end, so it yields no {measure}"
            _leave(row, "no_direction", words)
        elif counted and measure.is_ratio:
            words = "no event in either arm (or in everybody): says nothing of a ratio"
            _leave(row, "no_events", words)
        else:
            names = (measure_words(Measure(item["measure"])) for item in (first, *more))
            _leave(row, "other_measure", f"{_ONLY}{', '.join(names)}")
        yield row


#: A column, the words that are eligible there, and what is said of others.
Rule = tuple[str, tuple[str, ...], str]


def _rules(spec: AnalysisSpec) -> list[Rule]:
    """Return the rules of eligibility that a file states, in the order in which they are asked."""
    select, declared = spec.select, spec.project
    rules: list[Rule] = [
        ("comparator_class", select.comparator_class, "compared with {}"),
        ("comparator", select.comparator, "compared with {}"),
        ("design", select.design, "design is {}"),
        ("data_kind", select.data_kind, "{} data are not used in this analysis"),
        ("instrument", select.instrument, "instrument is {}"),
        ("age_group", select.age_group, "age group is {}"),
        *(
            (name, getattr(select, name), f"{declared.labels.get(name, item.label)} is {{}}")
            for name, item in declared.categories.items()
        ),
        ("source_type", select.source_type, "source is {}"),
        ("access", select.access, "source was read as {}"),
    ]
    return [rule for rule in rules if rule[1]]


def _ineligible(row: Effect, spec: AnalysisSpec, rules: Sequence[Rule]) -> tuple[str, str]:
    """Return code and reason of the first rule that a row breaks; nothing where it breaks none."""
    select, keys, days = spec.select, row["subgroup_keys"], row["time_days"]
    if row["study_id"] in select.exclude:
        return "excluded", select.exclude[row["study_id"]]
    for column, allowed, words in rules:
        value = row.get(column)
        if value not in allowed:
            if column.startswith("comparator") and row["drug_class"] == row["comparator_class"]:
                return column, "compares two treatments or doses of one class with each other"
            said = spec.project.labels.get(str(value), str(value)).replace("_", " ")
            return column, words.format(lower_first(said) or "not stated")
    if select.within and not keys & frozenset(select.subgroup_keys):
        return "whole_trial", "result of the whole trial, not of a subgroup"
    if not keys <= frozenset(select.subgroup_keys):
        return "subgroup", f"subgroup ({row['subgroup']})"
    if select.min_days is None and select.max_days is None:
        return "", ""
    if math.isnan(days):
        return "time_unknown", "time of measurement is not printed"
    low, high = select.min_days, select.max_days
    inside = (low is None or days >= low) and (high is None or days <= high)
    return ("", "") if inside else ("time", f"measured at day {days:g}")


def _keep_dose(row: Effect, rule: DoseRule) -> None:
    """Put a dose on the common scale (``common_dose``); leave what is not one fixed dose."""
    unit, printed = str(row["dose_unit"]), row["dose"]
    dose = rule.dose(printed, unit)
    row["common_dose"] = math.nan if dose is None else dose
    if row["intervention"] == row["comparator"]:
        _leave(row, "two_doses", "compares two doses; each enters against the control")
    elif math.isnan(printed):
        _leave(row, "dose_not_fixed", "not one fixed dose")
    elif dose is None or math.isnan(dose):
        _leave(row, "dose_unit", f"its dose is in {unit.replace('_', ' ') or 'no unit'}")
