"""An analysis file (TOML) as a frozen value, checked in full before anything is computed.

Every problem of a file is said at once, with the allowed words and the nearest one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ketameta import vocabulary as words
from ketameta.analyses.declarations_file import TABLES, prior_problems, read_declarations
from ketameta.analyses.dose_rule import read_dose
from ketameta.analyses.moderators import coding_problems
from ketameta.analyses.spec import (
    DATA_KINDS,
    DIRECTNESS,
    KINDS,
    MODERATORS,
    SECTIONS,
    STATUSES,
    TIME_RULES,
    AnalysisSpec,
    Choice,
    Model,
    Selection,
)
from ketameta.analyses.spec_problems import Problems
from ketameta.analyses.spec_rules import contradictions
from ketameta.errors import SpecError, did_you_mean
from ketameta.findings import Finding, file_finding
from ketameta.study_facts import ArmSize, Assumptions
from ketameta.textfiles import read_toml, toml_line

#: Names of files in ``reports/`` and of places on the page that no analysis may take.
_TAKEN = (
    *("evidence_map", "manifest", "claims", "summary", "map", "studies", "methods", "search"),
    *("corrections", "registry", "exclusions", "harms_summary", "risk_of_bias", *SECTIONS),
)

#: Moderators whose groups measure different things on the same people: not pooled together.
_APART = ("outcome", "instrument")

#: Allowed words of each list in ``[select]``; ``None`` means any word that the data use.
_SELECT_WORDS: dict[str, Sequence[str] | None] = {
    "outcome": None,
    "intervention": None,
    "comparator": None,
    "instrument": None,
    "diagnosis": words.DIAGNOSES,
    "drug_class": words.DRUG_CLASSES,
    "comparator_class": words.DRUG_CLASSES,
    "data_kind": DATA_KINDS,
    "design": words.DESIGNS,
    "age_group": words.AGE_GROUPS,
    "adhd_subtype": words.ADHD_SUBTYPES,
    "prior_treatment_resistance": words.TREATMENT_RESISTANCE,
    "source_type": words.SOURCE_TYPES,
    "access": words.ACCESS,
    "subgroup_keys": words.SUBGROUP_KEYS,
}


def load_specs(
    folder: Path, known: Mapping[str, Sequence[str]] | None = None
) -> list[AnalysisSpec]:
    """Return every analysis of a folder in report order.

    Parameters
    ----------
    folder : Path
    known : mapping, optional
        Words that the data use per column (``outcome``, ``intervention``, ``instrument``,
        ``study_id``); a word that is not among them is refused.

    Raises
    ------
    SpecError
        With every problem of every file.
    """
    specs, findings = read_specs(folder, known)
    if any(finding.is_error for finding in findings):
        raise SpecError("", findings)
    return specs


def read_specs(
    folder: Path, known: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[AnalysisSpec], tuple[Finding, ...]]:
    """Return the analyses of a folder in report order, and everything wrong with its files.

    Parameters
    ----------
    folder : Path
    known : mapping, optional
        As for :func:`load_specs`.
    """
    try:
        items = sorted(folder.iterdir())
    except OSError:
        why, remedy = "there is no such folder", "make it; an analysis is a TOML file in it"
        return [], (file_finding("file_missing", folder.name, why, remedy),)
    specs: dict[str, AnalysisSpec] = {}
    findings: list[Finding] = []
    lines: dict[str, list[str]] = {}
    for path in items:
        file = f"{folder.name}/{path.name}"
        if path.suffix == ".toml":
            spec, lines[path.stem], found = _read(path, known, file)
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
            _finding(text, f"{folder.name}/{name}.toml", lines[name])
            for name, text in prior_problems(specs)
        ]
    in_order = sorted(
        specs.values(), key=lambda spec: (SECTIONS.index(spec.section), spec.order, spec.name)
    )
    return in_order, tuple(findings)


def load_spec(path: Path, known: Mapping[str, Sequence[str]] | None = None) -> AnalysisSpec:
    """Return the analysis of one file.

    Raises
    ------
    SpecError
        With every problem of the file, each naming the key, the value and the choices.
    """
    file = f"{path.parent.name}/{path.name}"
    spec, _, findings = _read(path, known, file)
    if spec is None and not findings:
        findings = (file_finding("file_missing", file, "there is no such file", "check its name"),)
    if spec is None or any(finding.is_error for finding in findings):
        raise SpecError("", findings)
    return spec


def _read(
    path: Path, known: Mapping[str, Sequence[str]] | None, file: str
) -> tuple[AnalysisSpec | None, list[str], tuple[Finding, ...]]:
    """Return the analysis of a file, its lines, and everything that is wrong with it."""
    raw, lines, findings = read_toml(path, file)
    if raw is None:
        return None, lines, findings
    reader = _SpecReader(raw)
    spec = reader.spec(path.stem, known or {})
    wrong = tuple(_finding(text, file, lines) for text in reader.problems)
    return (None if wrong else spec), lines, (*findings, *wrong)


#: How a problem starts: with its key, in brackets where that is a table.
_KEY = re.compile(r"\[?(?P<key>[a-z0-9_]+(?:\.[a-z0-9_]+)*)\]?(?P<what>:| is| of) ", re.DOTALL)


def _finding(problem: str, file: str, lines: Sequence[str]) -> Finding:
    """Return a problem with the line of its key, what is wrong parted from what to do."""
    key, text = "", problem
    found = _KEY.match(problem)
    if found is not None:
        key, text = found["key"], problem[found.end() :]
        text = {":": "", " is": "it is ", " of": "of "}[found["what"]] + text
    why, _, remedy = text.partition("; ")
    line = toml_line(lines, key) if key else 0
    return file_finding("analysis", file, why, remedy, line=line, column=key)


class _SpecReader(Problems):
    """Reads the parts of an analysis file."""

    def spec(self, name: str, known: Mapping[str, Sequence[str]]) -> AnalysisSpec:
        top = {
            "title", "question", "section", "order", "directness", "status", "favours",
            "looked_for", "registration", "note", "kind", "select", "choose", "assume", "model",
            "dose", *TABLES,
        }  # fmt: skip
        self.unknown("", self.raw, top)
        self._name(name)
        select = self._select(known)
        choose = self._choose(known)
        model = self._model(select)
        kind = self._kind(model)
        self.problems += coding_problems(
            model.group_by, model.group_order, getattr(select, model.group_by, ()), kind
        )
        self.problems += contradictions(self.raw, kind, (select, choose, model), known)
        favours = self.raw.get("favours", ["Favours treatment", "Favours control"])
        texts = isinstance(favours, list) and all(isinstance(text, str) for text in favours)
        if not (texts and len(favours) == 2):
            self.problems.append("favours: two texts, for the left and the right of no effect")
            favours = ["", ""]
        return AnalysisSpec(
            name=name,
            title=self.text("title", required=True),
            question=self.text("question", required=True),
            section=self.word("section", SECTIONS),
            order=int(self.number("order", self.raw) or 0),
            directness=self.word("directness", DIRECTNESS),
            status=self.word("status", STATUSES),
            select=select,
            choose=choose,
            assume=self._assume(known),
            model=model,
            favours=(str(favours[0]), str(favours[1])),
            looked_for=self.text("looked_for", required=True),
            registration=self.text("registration"),
            note=self.text("note"),
            kind=kind,
            declarations=read_declarations(self, model.measure, model.group_by, model.group_order),
            dose=read_dose(self, kind),
        )

    def _name(self, name: str) -> None:
        """Refuse names that cannot be names of results and figures on every machine."""
        if not re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", name) or name in _TAKEN:
            self.problems.append(
                f"the file name {name!r} is taken or not made of lower-case words joined by _; "
                "results and figures carry it"
            )

    def _kind(self, model: Model) -> str:
        kind = self.raw.get("kind", "pooled")
        if kind not in KINDS:
            hint = did_you_mean(str(kind), KINDS)
            self.problems.append(f"kind is {kind!r}; choose one of {', '.join(KINDS)}{hint}")
        elif kind == "within_trial" and not (model.group_by and len(model.group_order) == 2):
            self.problems.append(
                "kind is 'within_trial': give model.group_by and the two levels to compare in "
                "model.group_order"
            )
        return str(kind)

    def _select(self, known: Mapping[str, Sequence[str]]) -> Selection:
        table = self.table("select")
        allowed = {item.name for item in fields(Selection)}
        self.unknown("select.", table, allowed)
        lists = {
            key: self.list("select.", table, key, known.get(key) if choices is None else choices)
            for key, choices in _SELECT_WORDS.items()
        }
        exclude = self._exclude(table, known.get("study_id"))
        within = self.flag("select.", table, "within", False)
        if within and not lists["subgroup_keys"]:
            self.problems.append("select.within: name the subgroup_keys that it asks for")
        if not lists["outcome"]:
            self.problems.append("select.outcome: name at least one outcome")
        if not (lists["drug_class"] or lists["intervention"]):
            self.problems.append("select: name a drug_class or an intervention")
        low, high = self.number("min_days", table), self.number("max_days", table)
        if low is not None and high is not None and low > high:
            self.problems.append(f"select: min_days {low:g} is above max_days {high:g}")
        return Selection(
            **lists,
            within=within,
            min_days=low,
            max_days=high,
            exclude=exclude,
        )

    def _exclude(self, table: Mapping[str, Any], studies: Sequence[str] | None) -> dict[str, str]:
        exclude = table.get("exclude", {})
        if not isinstance(exclude, dict):
            self.problems.append('select.exclude: a table such as {study_id = "why"} is needed')
            return {}
        for study, reason in exclude.items():
            if studies is not None and study not in studies:
                self.problems.append(
                    f"select.exclude: no study {study!r}{did_you_mean(study, studies)}"
                )
            if not (isinstance(reason, str) and reason.strip()):
                self.problems.append(f"select.exclude: say why {study} is left out")
        return {str(key): str(value) for key, value in exclude.items()}

    def _choose(self, known: Mapping[str, Sequence[str]]) -> Choice:
        table = self.table("choose")
        self.unknown("choose.", table, {item.name for item in fields(Choice)})
        time = table.get("time", "latest")
        if time not in TIME_RULES:
            self.problems.append(
                f"choose.time is {time!r}; choose one of {', '.join(TIME_RULES)}"
                f"{did_you_mean(str(time), TIME_RULES)}"
            )
        days = self.number("days", table)
        if time == "nearest" and days is None:
            self.problems.append("choose.time is 'nearest'; say to which day with days = ...")
        return Choice(
            data_kind=self.list("choose.", table, "data_kind", DATA_KINDS),
            instrument=self.list("choose.", table, "instrument", known.get("instrument")),
            time=str(time),
            days=days,
            overlap_prefer=self.list("choose.", table, "overlap_prefer", known.get("study_id")),
        )

    def _assume(self, known: Mapping[str, Sequence[str]]) -> Assumptions:
        table = self.table("assume")
        self.unknown("assume.", table, {"correlation", "arm_size"})
        correlation = self.number("correlation", table)
        if correlation is not None and not -1 < correlation < 1:
            self.problems.append(f"assume.correlation is {correlation:g}; it lies between -1 and 1")
        sizes = table.get("arm_size", [])
        if not (isinstance(sizes, list) and all(isinstance(size, dict) for size in sizes)):
            self.problems.append("assume.arm_size: write [[assume.arm_size]] tables")
            sizes = []
        return Assumptions(correlation, tuple(self._arm_size(size, known) for size in sizes))

    def _arm_size(self, table: Mapping[str, Any], known: Mapping[str, Sequence[str]]) -> ArmSize:
        self.unknown("assume.arm_size.", table, {item.name for item in fields(ArmSize)})
        study, n = str(table.get("study_id", "")), table.get("n")
        studies = known.get("study_id")
        if studies is not None and study not in studies:
            self.problems.append(
                f"assume.arm_size: no study {study!r}{did_you_mean(study, studies)}"
            )
        if isinstance(n, bool) or not isinstance(n, int) or n < 2:
            self.problems.append(f"assume.arm_size: n is {n!r}; a whole number from 2 is needed")
            n = 2
        for key in ("arm_id", "reason"):
            if not table.get(key):
                self.problems.append(f"assume.arm_size of {study}: {key} is missing")
        return ArmSize(
            study,
            str(table.get("arm_id", "")),
            str(table.get("subgroup", "")),
            n,
            str(table.get("reason", "")),
        )

    def _model(self, select: Selection) -> Model:
        table = self.table("model")
        self.unknown("model.", table, {item.name for item in fields(Model)})
        measure = self.model_word(table, "measure", tuple(words.Measure), "SMD")
        tau2 = self.model_word(table, "tau2_method", words.TAU2_METHODS, "REML")
        interval = self.model_word(table, "ci_method", words.CI_METHODS, words.DEFAULT_CI_METHOD)
        group_by = table.get("group_by", "")
        if group_by and group_by not in MODERATORS:
            self.problems.append(
                f"model.group_by: {group_by!r} is not a moderator"
                f"{did_you_mean(str(group_by), MODERATORS)} "
                f"(choose from {', '.join(MODERATORS)})"
            )
        if measure == "SMD" and {"endpoint", "change"} <= set(select.data_kind):
            self.problems.append(
                "select.data_kind: endpoint and change scores are never mixed in one SMD analysis; "
                "keep one, or use measure = 'MD'"
            )
        level = self.number("level", table)
        if level is not None and not 0.5 < level < 1:
            self.problems.append(f"model.level is {level:g}; a share between 0.5 and 1 is needed")
        return Model(
            measure=words.Measure(measure),
            tau2_method=tau2,
            ci_method=interval,
            level=level if level is not None else 0.95,
            group_by=str(group_by),
            group_order=self.list("model.", table, "group_order", None),
            overall=self.flag("model.", table, "overall", group_by not in _APART),
            over_time=self.flag("model.", table, "over_time", False),
            rho=self.share("rho", table, 0.6),
            reference=str(table.get("reference", "placebo")),
            important_difference=self.number("important_difference", table),
            important_difference_source=str(table.get("important_difference_source", "")),
            tau_prior_scale=self.positive("tau_prior_scale", table, 0.5),
        )
