"""Reads the optional tables of an analysis file; every problem is noted, none raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ketameta.analyses.declarations import (
    CONCERNS,
    CONTINUOUS_MODERATORS,
    DOMAINS,
    Choices,
    Declarations,
    Expectation,
    Judgement,
    NextTrial,
    Regressions,
    TrialPrior,
)
from ketameta.analyses.moderators import CODINGS
from ketameta.analyses.spec_problems import Problems
from ketameta.errors import did_you_mean
from ketameta.vocabulary import CI_METHODS, TAU2_METHODS, Measure

#: Measures of counted outcomes.
COUNTED = (Measure.OR, Measure.RR, Measure.RD)
#: Names of the tables in an analysis file.
TABLES = ("judgements", "next_trial", "multiverse", "regressions", "expectation")
_STATUSES = ("declared", "post hoc")
_CHOICE_WORDS: Mapping[str, Sequence[str]] = {
    "tau2_method": TAU2_METHODS,
    "ci_method": CI_METHODS,
    "measure": ("RR", "OR", "RD"),
    "spread": ("all", "raw"),
    "source": ("all", "full_access"),
    "overlap": ("trials", "pools"),
}
#: Measures for which a next trial can be worked out.
_PLANNED = (Measure.SMD, Measure.MD, *COUNTED)


def read_declarations(
    file: Problems, measure: Measure, group_by: str, group_order: Sequence[str]
) -> Declarations:
    """Return the optional tables of a file.

    Parameters
    ----------
    file : Problems
        The file, which also collects what is wrong.
    measure : Measure
        Of the main model.
    group_by : str
    group_order : sequence of str
    """
    return Declarations(
        judgements=_judgements(file),
        next_trial=_next_trial(file, measure) if "next_trial" in file.raw else None,
        multiverse=_choices(file),
        regressions=_regressions(file),
        expectation=_expectation(file, group_by, group_order),
    )


def prior_problems(specs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and problem of each prior that names another analysis wrongly, over all files.

    Parameters
    ----------
    specs : mapping of str to AnalysisSpec
    """
    problems = []
    for name, spec in specs.items():
        plan = spec.declarations.next_trial
        for prior in plan.priors if plan else ():
            where = f"next_trial.prior: analysis {prior.analysis!r}"
            other = specs.get(prior.analysis)
            if other is None:
                hint = did_you_mean(prior.analysis, list(specs))
                problems.append((name, f"{where} does not exist{hint}"))
            elif other.model.measure != spec.model.measure:
                about = f"{other.model.measure}, this one about {spec.model.measure}"
                problems.append((name, f"{where} is about {about}"))
            elif other.kind != "pooled":
                problems.append((name, f"{where} pools no trials; name one that does"))
            elif prior.group and not other.model.group_by:
                problems.append((name, f"{where} has no groups; leave group out"))
    return problems


def _judgements(file: Problems) -> dict[str, Judgement]:
    table = file.table("judgements")
    file.unknown("judgements.", table, DOMAINS)
    found = {}
    for domain in DOMAINS:
        entry = table.get(domain)
        if entry is None:
            continue
        where = f"judgements.{domain}"
        if not isinstance(entry, dict):
            file.problems.append(f'{where}: write {{level = "serious", reason = "why"}}')
            continue
        file.unknown(f"{where}.", entry, ("level", "reason"))
        level, reason = entry.get("level"), entry.get("reason")
        if not isinstance(level, str) or level not in CONCERNS:
            hint = did_you_mean(str(level), CONCERNS)
            file.problems.append(
                f"{where}.level is {level!r}; choose one of {', '.join(CONCERNS)}{hint}"
            )
        if not (isinstance(reason, str) and reason.strip()):
            file.problems.append(f"{where}.reason: say why; a judgement without reason is not one")
        found[domain] = Judgement(str(level), str(reason))
    return found


def _next_trial(file: Problems, measure: Measure) -> NextTrial:
    table = file.table("next_trial")
    names = [item.name for item in fields(NextTrial) if item.name != "priors"]
    file.unknown("next_trial.", table, [*names, "prior"])
    where = "next_trial."
    if measure not in _PLANNED:
        file.problems.append(
            f"[next_trial] is for {', '.join(_PLANNED)}; this analysis is about {measure}"
        )
    difference = file.number("important_difference", table)
    if not difference:
        file.problems.append(
            f"{where}important_difference is {difference or table.get('important_difference')!r}; "
            "a number other than 0 is needed, with the sign of benefit"
        )
    source = table.get("source")
    if not (isinstance(source, str) and source.strip()):
        file.problems.append(f"{where}source: say where the important difference comes from")
    sd = file.number("sd", table)
    if sd is None and measure is Measure.MD:
        file.problems.append(f"{where}sd: the standard deviation within arms, in scale points")
    if sd is not None and sd <= 0:
        file.problems.append(f"{where}sd is {sd:g}; a number above 0 is needed")
    if sd is not None and sd != 1 and measure is Measure.SMD:
        file.problems.append(f"{where}sd is {sd:g}; in units of an SMD it is 1")
    risk = _baseline_risk(file, table, measure, difference)
    alpha = file.number("alpha", table)
    if alpha is not None and not 0 < alpha < 0.5:
        file.problems.append(f"{where}alpha is {alpha:g}; a share between 0 and 0.5 is needed")
    power = _numbers(file, where, table, "power", 0.5, 1.0)
    sizes = _numbers(file, where, table, "n_per_arm", 1.0, 1e6)
    plan = NextTrial(difference or -1.0, str(source))
    return NextTrial(
        important_difference=plan.important_difference,
        source=plan.source,
        sd=sd or plan.sd,
        unit=str(table.get("unit", plan.unit)),
        baseline_risk=risk,
        alpha=alpha or plan.alpha,
        power=power or plan.power,
        n_per_arm=tuple(int(size) for size in sizes) or plan.n_per_arm,
        priors=_priors(file, table),
        status=_status(file, where, table),
    )


def _baseline_risk(
    file: Problems, table: Mapping[str, Any], measure: Measure, difference: float | None
) -> float | None:
    """Return the risk on control of a plan about counted outcomes; the others have none."""
    where = "next_trial."
    risk = file.number("baseline_risk", table)
    if "unit" in table and (measure is not Measure.MD or not isinstance(table["unit"], str)):
        file.problems.append(f"{where}unit: the name of the unit of a mean difference")
    if measure not in COUNTED:
        if "baseline_risk" in table:
            file.problems.append(
                f"{where}baseline_risk: only a plan about counted outcomes "
                f"({', '.join(COUNTED)}) has a risk on control"
            )
        return None
    file.problems += [
        f"{where}{key}: a plan about risks has none" for key in ("sd", "prior") if key in table
    ]
    if risk is None or not 0 < risk < 1:
        given = table.get("baseline_risk")
        file.problems.append(
            f"{where}baseline_risk is {given!r}; the share of people on control, between 0 and 1, "
            "is needed"
        )
    elif difference and not 0 < risk + difference < 1:
        file.problems.append(
            f"{where}important_difference is {difference:g}: the risk on treatment would be "
            f"{risk + difference:g}; write a difference of shares, such as 0.05 for 50 more per "
            "1,000"
        )
    return risk


def _priors(file: Problems, table: Mapping[str, Any]) -> tuple[TrialPrior, ...]:
    entries = table.get("prior", [])
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        file.problems.append("next_trial.prior: write [[next_trial.prior]] tables")
        return ()
    for entry in entries:
        file.unknown("next_trial.prior.", entry, ("analysis", "group"))
        if not isinstance(entry.get("analysis"), str):
            file.problems.append("next_trial.prior: name an analysis")
    return tuple(TrialPrior(str(e.get("analysis")), str(e.get("group", ""))) for e in entries)


def _choices(file: Problems) -> Choices:
    table = file.table("multiverse")
    file.unknown("multiverse.", table, [item.name for item in fields(Choices)])
    given: dict[str, Any] = {}
    for key, allowed in _CHOICE_WORDS.items():
        if key in table:
            given[key] = file.list("multiverse.", table, key, allowed)
            if not given[key]:
                file.problems.append(f"multiverse.{key}: name at least one")
    if "correlation" in table:
        given["correlation"] = _numbers(file, "multiverse.", table, "correlation", -1.0, 1.0)
    return Choices(**given)


def _regressions(file: Problems) -> Regressions:
    table = file.table("regressions")
    file.unknown("regressions.", table, ("moderators", "status"))
    names = file.list("regressions.", table, "moderators", tuple(CONTINUOUS_MODERATORS))
    return Regressions(names, _status(file, "regressions.", table))


def _expectation(file: Problems, group_by: str, order: Sequence[str]) -> Expectation | None:
    if "expectation" not in file.raw:
        return None
    table = file.table("expectation")
    where = "expectation."
    file.unknown(where, table, ("larger_effect_in", "reason", "status"))
    if not group_by:
        file.problems.append("[expectation]: is about a moderator; name it in model.group_by")
    level = table.get("larger_effect_in")
    coding = CODINGS.get(group_by)
    levels = list(coding.levels) if coding else list(order)
    if not isinstance(level, str) or (levels and level not in levels):
        choices = (
            f"choose one of {', '.join(levels)}" if levels else "name a level of the moderator"
        )
        file.problems.append(
            f"{where}larger_effect_in is {level!r}; {choices}{did_you_mean(str(level), levels)}"
        )
    reason = table.get("reason")
    if not (isinstance(reason, str) and reason.strip()):
        file.problems.append(f"{where}reason: say why the effect was expected to be larger there")
    return Expectation(str(level), str(reason), _status(file, where, table))


def _status(file: Problems, where: str, table: Mapping[str, Any]) -> str:
    value = table.get("status", "declared")
    if value not in _STATUSES:
        file.problems.append(
            f"{where}status is {value!r}; choose {' or '.join(_STATUSES)}"
            f"{did_you_mean(str(value), _STATUSES)}"
        )
        return _STATUSES[0]
    return str(value)


def _numbers(
    file: Problems, where: str, table: Mapping[str, Any], key: str, low: float, high: float
) -> tuple[float, ...]:
    """Return a list of numbers strictly between two bounds."""
    values = table.get(key, [])
    if not isinstance(values, list):
        values = [values]
    sound = [
        value
        for value in values
        if isinstance(value, (int, float)) and not isinstance(value, bool) and low < value < high
    ]
    if len(sound) != len(values) or (key in table and not values):
        file.problems.append(
            f"{where}{key} is {table[key]!r}; a list of numbers between {low:g} and {high:g} "
            "is needed"
        )
    return tuple(float(value) for value in sound)
