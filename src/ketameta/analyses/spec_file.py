"""An analysis file read and checked in full, before anything is computed.

Every problem of a file is said at once, with the allowed words and the nearest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ketameta.analyses.sentences import PLUS
from ketameta.analyses.spec import (
    APART,
    COUNTED,
    PLANNED,
    AnalysisSpec,
    Choice,
    Expectation,
    Model,
    ModeratorCoding,
    NextTrial,
    Selection,
    numbers_of,
    spec_model,
)
from ketameta.declared import Known, Problem, is_number, validate
from ketameta.errors import SpecError, did_you_mean
from ketameta.evidence.findings import Finding, Lines, file_finding, key_finding, read_toml
from ketameta.evidence.project import Project, read_project
from ketameta.measures import Measure

#: Names of files in ``reports/`` and of places on the page that no analysis may take.
_TAKEN = (
    *("evidence_map", "manifest", "claims", "summary", "map", "studies", "methods", "search"),
    *("corrections", "registry", "exclusions", "harms_summary", "risk_of_bias"),
)


def load_specs(
    folder: Path, known: Known | None = None, project: Project | None = None
) -> list[AnalysisSpec]:
    """Return every analysis of a folder in report order.

    Parameters
    ----------
    folder : Path
    known : mapping, optional
        Words that the data use per column (``outcome``, ``intervention``, ``instrument``,
        ``study_id``); a word that is not among them is refused.
    project : Project, optional
        What ``project.toml`` beside the folder declares when not given.

    Raises
    ------
    SpecError
        With every problem of every file.
    """
    specs, findings = read_specs(folder, known, project)
    if any(finding.is_error for finding in findings):
        raise SpecError("", findings)
    return specs


def read_specs(
    folder: Path, known: Known | None = None, project: Project | None = None
) -> tuple[list[AnalysisSpec], tuple[Finding, ...]]:
    """Return the analyses of :func:`load_specs`, and everything wrong with the files."""
    if project is None:
        project, _ = read_project(folder.parent)
    try:
        items = sorted(folder.iterdir())
    except OSError:
        why, remedy = "there is no such folder", "make it; an analysis is a TOML file in it"
        return [], (file_finding("file_missing", folder.name, why, remedy),)
    specs: dict[str, AnalysisSpec] = {}
    findings: list[Finding] = []
    lines: dict[str, Lines] = {}
    for path in items:
        file = f"{folder.name}/{path.name}"
        if path.suffix == ".toml":
            spec, lines[path.stem], found = _read(path, known, file, project)
            findings += found
            if spec is not None:
                specs[spec.name] = spec
        elif ".toml" in path.name.lower() or (path.is_dir() and any(path.rglob("*.toml"))):
            why = "no analysis has such a name, so it is not read"
            remedy = f"call it {path.name.lower().partition('.')[0]}.toml, or move it away"
            if path.is_dir():
                why, remedy = "a folder in here is not read", "move its files up"
            findings.append(file_finding("file_unknown", file, why, remedy))
    if not any(finding.is_error for finding in findings):
        findings += [
            key_finding("analysis", text, f"{folder.name}/{name}.toml", lines[name])
            for name, text in _prior_problems(specs)
        ]
    place = {key: at for at, key in enumerate(project.sections)}
    in_order = sorted(
        specs.values(),
        key=lambda it: (place.get(it.section, len(place)), it.section, it.order, it.name),
    )
    return in_order, tuple(findings)


def load_spec(
    path: Path, known: Known | None = None, project: Project | None = None
) -> AnalysisSpec:
    """Return the analysis of one file.

    Raises
    ------
    SpecError
        With every problem of the file, each naming the key, the value and the choices.
    """
    file = f"{path.parent.name}/{path.name}"
    if project is None:
        project, _ = read_project(path.parent.parent)
    spec, _, findings = _read(path, known, file, project)
    if spec is None and not findings:
        findings = (file_finding("file_missing", file, "there is no such file", "check its name"),)
    if spec is None or any(finding.is_error for finding in findings):
        raise SpecError("", findings)
    return spec


def _read(
    path: Path, known: Known | None, file: str, project: Project
) -> tuple[AnalysisSpec | None, Lines, tuple[Finding, ...]]:
    """Return the analysis of a file, its lines, and everything that is wrong with it."""
    raw, lines, findings = read_toml(path, file)
    if raw is None:
        return None, lines, findings
    known = {
        **{name: item.words for name, item in project.categories.items()},
        **(known or {}),
        # A key that is wrong itself is said once, and not in every file that uses it.
        "section": () if "" in project.sections else tuple(dict.fromkeys(project.sections)),
        "group_by": tuple(project.categories),
        "moderators": tuple(numbers_of(project)),
    }
    written = raw.get("model", {}) if isinstance(raw.get("model", {}), dict) else {}
    default = {} if "overall" in written else {"overall": written.get("group_by") not in APART}
    given = {"select": {}, **raw, "name": path.stem}
    if isinstance(raw.get("model", {}), dict):
        given["model"] = {**written, **default}
    spec, problems = validate(spec_model(tuple(project.categories)), given, known)
    spec = spec.within(project)
    if "favours" not in raw:
        sides = _SIDES[_better_end(spec, known) or "lower"]
        spec = spec.model_copy(update={"favours": sides})
    # In place of a value that is refused stands another, which contradicts nothing.
    keys = {key for item in problems for key in item.place[-1:]}
    found = _rules(spec, raw, written, known)
    ruled = [text for text in found if not keys & {*re.findall(r"\w+", text)}]
    named = _name_problems(path.stem, project)
    told: dict[Problem | str, None] = dict.fromkeys([*named, *problems, *ruled])
    wrong = tuple(key_finding("analysis", item, file, lines) for item in told)
    return (None if wrong else spec), lines, (*findings, *wrong)


def _name_problems(name: str, project: Project) -> Iterator[str]:
    """Refuse names that cannot be names of results and figures on every machine."""
    taken = (*_TAKEN, *project.sections)
    if not re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", name) or name in taken:
        yield (
            f"the file name {name!r} is taken or not made of lower-case words joined by _; "
            "results and figures carry it"
        )


def _rules(
    spec: AnalysisSpec, raw: Mapping[str, object], written: Mapping[str, object], known: Known
) -> Iterator[str]:
    """Yield what contradicts itself across keys; what is not written contradicts nothing."""
    model, select = spec.model, spec.select
    asked = raw.get("select", {})
    if isinstance(asked, dict):
        yield from _selection_rules(spec, asked, known)
    yield from _outcome_rules(select, model, known)
    yield from _class_rules(select, known)
    yield from _choice_rules(select, spec.choose, known)
    yield from coding_problems(
        spec.coding, model.group_order, getattr(select, model.group_by or "-", ()), spec.kind
    )
    yield from _group_rules(spec, written)
    yield from _kind_rules(spec, raw, written, known)
    if spec.next_trial is not None and isinstance(raw["next_trial"], dict):
        yield from _next_trial_rules(spec.next_trial, raw["next_trial"], model.measure)
    if spec.expectation is not None:
        yield from _expectation_rules(spec.expectation, spec)
    yield from _dose_rules(spec, raw)
    yield from _side_rules(spec, known)


def _better_end(spec: AnalysisSpec, known: Known) -> str | None:
    """Return which end of the axis is better: ``lower``, ``higher``, ``neither`` or ``both``.

    None where nothing is known of the outcomes. A standardised difference is turned.
    """
    if spec.model.measure is Measure.SMD:
        return "lower"
    named = [name for name in spec.select.outcome if name in known.get("outcome", ())]
    ends = {end for end in ("lower", "higher") for name in named if name in known.get(end, ())}
    if len(ends) == 1:
        return next(iter(ends))
    return ("both" if ends else "neither") if named and {"lower", "higher"} <= set(known) else None


#: Words for the sides of the axis where a file has none, by the better end.
_SIDES = {
    "lower": ("Favours treatment", "Favours control"),
    "higher": ("Favours control", "Favours treatment"),
    "neither": ("Less on treatment", "More on treatment"),
    "both": ("Less on treatment", "More on treatment"),
}


def _side_rules(spec: AnalysisSpec, known: Known) -> Iterator[str]:
    """Refuse sides of the axis that say the opposite of what the measure and the outcome mean."""
    end = _better_end(spec, known)
    if spec.kind != "pooled" or end is None:
        return
    named = {word.replace("_", " ") for word in spec.select.comparator}
    inert = re.compile(
        r"\b(worse|" + "|".join({"control", "placebo", "comparator", *named}) + r")\b"
    )
    left, right = (inert.search(side.lower()) is not None for side in spec.favours)
    sided = left != right and any(
        word in side.lower() for side in spec.favours for word in ("favour", "better", "worse")
    )
    if end in _UNSIDED and sided:
        yield (
            f"favours: {spec.favours[0]!r} says which side is better, but {_UNSIDED[end]}; "
            f"write sides that do not, such as {_SIDES[end]!r}, or give the outcome its direction "
            "in outcome_words.csv"
        )
    wrong = {"lower": left and not right, "higher": sided and right}.get(end, False)
    if wrong:
        what = (
            "a standardised difference is turned, so that left of no effect"
            if spec.model.measure is Measure.SMD
            else f"{end} is better for this outcome, so that {_BELOW[end]} of no effect"
        )
        yield (
            f"favours: {spec.favours[0]!r} stands left and {spec.favours[1]!r} right of no effect, "
            f"but {what} favours the treatment; write the two the other way round"
        )


_BELOW = {"lower": "left", "higher": "right"}
_UNSIDED = {
    "neither": "neither the outcome nor its instrument says which way is better",
    "both": "lower is better for one of the outcomes and higher for another",
}


def _selection_rules(
    spec: AnalysisSpec, written: Mapping[str, object], known: Known
) -> Iterator[str]:
    select = spec.select
    if select.within and not written.get("subgroup_keys"):
        yield "select.within: name the subgroup_keys that it asks for"
    asked = (written.get("drug_class"), written.get("intervention"))
    if not any(isinstance(words, list) and words for words in asked):
        yield "select: name a drug_class or an intervention"
    low, high = select.min_days, select.max_days
    if low is not None and high is not None and low > high:
        yield f"select: min_days {low:g} is above max_days {high:g}"
    yield from _unknown("select.exclude: no study {!r}", select.exclude, known.get("study_id"))


def _unknown(told: str, named: Iterable[str], words: Sequence[str] | None) -> Iterator[str]:
    """Yield what is told of each name that is not among the words, with the nearest of these."""
    for name in named if words is not None else ():
        if name not in (words or ()):
            yield told.format(name) + did_you_mean(name, words or ())


def _outcome_rules(select: Selection, model: Model, known: Known) -> Iterator[str]:
    by_count = model.measure in COUNTED
    if "counted" in known:
        names = [name for name in select.outcome if name in known.get("outcome", ())]
        wrong = [name for name in names if (name in known["counted"]) != by_count]
        if wrong:
            what = "is measured, not counted" if by_count else "is counted"
            choices = "SMD or MD" if by_count else "RR, OR or RD"
            given = "is" if "measure" in model.model_fields_set else "is not written, so that it is"
            yield (
                f"model.measure {given} '{model.measure}' but the outcome {', '.join(wrong)} "
                f"{what}; use {choices}"
            )
    kinds = set(select.data_kind)
    if model.measure is Measure.SMD and {"endpoint", "change"} <= kinds:
        yield (
            "select.data_kind: endpoint and change scores are never mixed in one SMD analysis; "
            "keep one, or use measure = 'MD'"
        )
    if kinds == {"events"} and not by_count:
        yield (
            f"select.data_kind lets only events in, which give no {model.measure}; use measure = "
            "'RR', 'OR' or 'RD'"
        )
    if by_count and kinds and not kinds & {"events", "contrast"}:
        yield (
            f"select.data_kind lets {', '.join(select.data_kind)} in, which give no "
            f"{model.measure}; add 'events'"
        )


def _class_rules(select: Selection, known: Known) -> Iterator[str]:
    """Say when no named intervention belongs to a named class: nothing could be selected."""
    pairs = [text.split(" ") for text in known.get("intervention_class", ())]
    if not (select.intervention and select.drug_class and pairs):
        return
    for name in select.intervention:
        found = sorted({group for drug, group in pairs if drug == name})
        if found and not set(found) & set(select.drug_class):
            yield (
                f"select.intervention: {name!r} is of the class {' or '.join(found)}, which "
                "select.drug_class does not let in"
            )


def _choice_rules(select: Selection, choose: Choice, known: Known) -> Iterator[str]:
    told = "choose.overlap_prefer: {!r} is not known"
    yield from _unknown(told, choose.overlap_prefer, known.get("study_id"))
    for name in ("data_kind", "instrument"):
        allowed = getattr(select, name)
        for word in getattr(choose, name):
            if allowed and word not in allowed:
                yield f"choose.{name}: {word!r} cannot occur, select.{name} does not let it in"
    if choose.time == "nearest" and choose.days is None:
        yield "choose.time is 'nearest'; say to which day with days = ..."
    if choose.days is not None and choose.time != "nearest":
        yield (
            f"choose.days is {choose.days:g} but choose.time is {choose.time!r}; days go with "
            "time = 'nearest'"
        )
    low, high = select.min_days, select.max_days
    if choose.time == "nearest" and choose.days is not None:
        below = low is not None and choose.days < low
        above = high is not None and choose.days > high
        if below or above:
            yield f"choose.days is {choose.days:g}, outside select.min_days and select.max_days"


def coding_problems(
    coding: ModeratorCoding, order: Sequence[str], selected: Sequence[str], kind: str
) -> list[str]:
    """Return what is wrong with the moderator of an analysis file, before anything is computed.

    Parameters
    ----------
    coding : ModeratorCoding
        Of ``model.group_by``.
    order : sequence of str
        ``model.group_order``.
    selected : sequence of str
        The list of the same name in ``[select]``; empty where every level is eligible.
    kind : str
        Of the analysis.
    """
    problems = [
        f"model.group_order: {level!r} stands twice"
        for level in dict.fromkeys(order)
        if list(order).count(level) > 1
    ]
    name = coding.name
    if coding.levels:
        problems += [
            f"model.group_order: {level!r} is not a level of {name}"
            f"{did_you_mean(level, coding.known)} (levels: {', '.join(coding.levels)}; never "
            f"compared: {', '.join(coding.silent)})"
            for level in order
            if level not in coding.known
        ]
        eligible = [level for level in selected if level in coding.levels]
        if selected and len(eligible) < 2:
            named = f"only {eligible[0]!r}" if eligible else "no level"
            problems.append(
                f"model.group_by is {name!r} but select.{name} lets {named} in: a moderator with "
                "one level compares nothing; name at least two levels or drop group_by"
            )
        if kind == "within_trial":
            problems += [
                f"model.group_order: {level!r} is never compared; choose two of "
                f"{', '.join(coding.levels)}"
                for level in order
                if level in coding.silent
            ]
    if selected and order:
        problems += [
            f"model.group_order: {level!r} cannot occur, select.{name} does not let it in"
            for level in order
            if level not in selected
        ]
    return problems


def _group_rules(spec: AnalysisSpec, written: Mapping[str, object]) -> Iterator[str]:
    select, model, kind = spec.select, spec.model, spec.kind
    if model.group_order and not written.get("group_by"):
        yield "model.group_order: there are no groups; name the moderator in group_by"
    allowed: Sequence[str] = getattr(select, model.group_by, ()) if model.group_by else ()
    if len(allowed) == 1 and not spec.coding.levels:
        yield (
            f"model.group_by is {model.group_by!r} but select.{model.group_by} lets only "
            f"{allowed[0]!r} in: a moderator with one level compares nothing; name at least two "
            "levels or drop group_by"
        )
    if model.over_time and model.group_by != "time_class":
        yield f"model.over_time needs group_by = 'time_class'; group_by is {model.group_by!r}"
    if model.over_time and kind != "pooled":
        yield f"model.over_time is for kind = 'pooled'; kind is {kind!r}"


def _kind_rules(
    spec: AnalysisSpec, raw: Mapping[str, object], written: Mapping[str, object], known: Known
) -> Iterator[str]:
    model, kind = spec.model, spec.kind
    if kind == "within_trial" and not (written.get("group_by") and len(model.group_order) == 2):
        yield (
            "kind is 'within_trial': give model.group_by and the two levels to compare in "
            "model.group_order"
        )
    if "reference" in written and kind != "network":
        yield "model.reference: only an analysis with kind = 'network' has a reference"
    treatments = known.get("intervention")
    if kind == "network" and treatments is not None:
        name = model.reference.partition(PLUS)[0]
        if name not in treatments:
            yield (
                f"model.reference: {model.reference!r} is not known"
                f"{did_you_mean(model.reference, treatments)}"
            )
    if "rho" in written and not model.over_time:
        yield "model.rho is the correlation of over_time = true, which is not set"
    if raw.get("regressions") and kind != "pooled":
        yield f"[regressions]: regressions are for kind = 'pooled'; kind is {kind!r}"
    for change in spec.regressions.vary:
        for name, levels in change.without.items():
            found = next((m for m in spec.project.moderator if m.name == name), None)
            if found is None or found.kind != "category":
                names = [m.name for m in spec.project.moderator if m.kind == "category"]
                yield (
                    f"regressions.vary.without: {name!r} is no moderator with levels"
                    f"{did_you_mean(name, names)}"
                )
                continue
            for word in levels:
                if word not in found.words:
                    yield (
                        f"regressions.vary.without.{name}: {word!r} is not known"
                        f"{did_you_mean(word, found.words)} (choose from {', '.join(found.words)})"
                    )
    small = spec.regressions.small_change
    if small is not None and not spec.regressions.small_change_source:
        yield "regressions.small_change_source: say where the small change comes from"
    if raw.get("next_trial") and kind not in ("pooled", "within_trial"):
        yield (
            f"[next_trial]: a next trial is for kind = 'pooled' or 'within_trial'; kind is {kind!r}"
        )
    if raw.get("next_trial") and kind == "within_trial" and model.measure in COUNTED:
        yield (
            "[next_trial]: of a difference within trials only for SMD and MD; this analysis is "
            f"about {model.measure}"
        )


def _next_trial_rules(
    plan: NextTrial, written: Mapping[str, object], measure: Measure
) -> Iterator[str]:
    where = "next_trial."
    difference = plan.important_difference
    if measure not in PLANNED:
        yield f"[next_trial] is for {', '.join(PLANNED)}; this analysis is about {measure}"
    if not difference and is_number(written.get("important_difference", 0)):
        yield (
            f"{where}important_difference is {written.get('important_difference')!r}; "
            "a number other than 0 is needed, with the sign of benefit"
        )
    if "sd" not in written and measure is Measure.MD:
        yield f"{where}sd: the standard deviation within arms, in scale points"
    if plan.sd != 1 and measure is Measure.SMD:
        yield f"{where}sd is {plan.sd:g}; in units of an SMD it is 1"
    if "unit" in written and measure is not Measure.MD:
        yield f"{where}unit: the name of the unit of a mean difference"
    if measure not in COUNTED:
        if "baseline_risk" in written:
            yield (
                f"{where}baseline_risk: only a plan about counted outcomes "
                f"({', '.join(COUNTED)}) has a risk on control"
            )
        return
    for key in ("sd", "prior"):
        if key in written:
            yield f"{where}{key}: a plan about risks has none"
    risk = plan.baseline_risk
    if risk is None or not 0 < risk < 1:
        yield (
            f"{where}baseline_risk is {written.get('baseline_risk')!r}; the share of people on "
            "control, between 0 and 1, is needed"
        )
    elif difference and not 0 < risk + difference < 1:
        yield (
            f"{where}important_difference is {difference:g}: the risk on treatment would be "
            f"{risk + difference:g}; write a difference of shares, such as 0.05 for 50 more per "
            "1,000"
        )


def _prior_problems(specs: Mapping[str, AnalysisSpec]) -> list[tuple[str, str]]:
    """Return name and problem of each prior that names another analysis wrongly, over all files."""
    problems: list[tuple[str, str]] = []
    for name, spec in specs.items():
        for prior in spec.next_trial.prior if spec.next_trial else ():
            where = f"next_trial.prior: analysis {prior.analysis!r}"
            other = specs.get(prior.analysis)
            if other is None:
                problems.append(
                    (name, f"{where} does not exist{did_you_mean(prior.analysis, list(specs))}")
                )
            elif other.model.measure != spec.model.measure:
                about = f"{other.model.measure}, this one about {spec.model.measure}"
                problems.append((name, f"{where} is about {about}"))
            elif other.kind != "pooled":
                problems.append((name, f"{where} pools no trials; name one that does"))
            elif prior.group and not other.model.group_by:
                problems.append((name, f"{where} has no groups; leave group out"))
    return problems


def _expectation_rules(expected: Expectation, spec: AnalysisSpec) -> Iterator[str]:
    model = spec.model
    if not model.group_by:
        yield "[expectation]: is about a moderator; name it in model.group_by"
    level = expected.larger_effect_in
    levels = list(spec.coding.levels or model.group_order)
    if not isinstance(level, str) or (levels and level not in levels):
        choices = (
            f"choose one of {', '.join(levels)}" if levels else "name a level of the moderator"
        )
        hint = did_you_mean(str(level), levels)
        yield f"expectation.larger_effect_in is {level!r}; {choices}{hint}"


def _dose_rules(spec: AnalysisSpec, raw: Mapping[str, object]) -> Iterator[str]:
    if spec.kind != "dose_response":
        if raw.get("dose"):
            yield "dose: only an analysis with kind = 'dose_response' has doses"
        return
    if "dose" not in raw:
        yield 'dose.unit: name the dose_unit of the arms, such as unit = "mg"'
    if spec.model.tau2_method != "REML":
        yield "model.tau2_method: dose-response curves are fitted by REML only"
    if spec.dose is not None and spec.dose.equivalents and not spec.dose.equivalents_reason:
        yield "dose.equivalents: say where it comes from in equivalents_reason"
