"""An analysis file (TOML) as a frozen value, checked in full before anything is computed.

Every problem of a file is said at once, with the allowed words and the nearest one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ketameta import vocabulary as words
from ketameta.effect_rows import ArmSize, Assumptions
from ketameta.errors import SpecError, did_you_mean

#: What an analysis does with its effects: pool them, pool the difference of two groups that each
#: trial prints, or connect treatments through the comparisons of all trials.
KINDS = ("pooled", "within_trial", "network")
STATUSES = ("declared", "post hoc")
DIRECTNESS = ("direct", "indirect", "context")
SECTIONS = ("adhd", "cognition", "mood", "harms", "usual_medicines")
DATA_KINDS = ("endpoint", "change", "events", "contrast", "before_after")
TIME_RULES = ("latest", "earliest", "nearest")
#: Columns that may divide an analysis into groups.
MODERATORS = (
    "adhd_subtype",
    "prior_treatment_resistance",
    "drug_class",
    "intervention",
    "comparator_class",
    "comparator",
    "age_group",
    "diagnosis",
    "design",
    "blinding",
    "administration",
    "outcome",
    "instrument",
    "access",
    "source_type",
    "time_class",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which effects are eligible. An empty list asks nothing.

    The first four lists are the *scope*: every row inside them is accounted for in the results,
    used or set aside with a reason. The others are eligibility rules. ``within`` asks for results
    printed for a subgroup named in ``subgroup_keys`` and refuses those of whole trials.
    """

    outcome: tuple[str, ...] = ()
    diagnosis: tuple[str, ...] = ()
    drug_class: tuple[str, ...] = ()
    intervention: tuple[str, ...] = ()
    comparator_class: tuple[str, ...] = ()
    comparator: tuple[str, ...] = ()
    instrument: tuple[str, ...] = ()
    data_kind: tuple[str, ...] = ()
    design: tuple[str, ...] = ()
    age_group: tuple[str, ...] = ()
    adhd_subtype: tuple[str, ...] = ()
    prior_treatment_resistance: tuple[str, ...] = ()
    source_type: tuple[str, ...] = ()
    access: tuple[str, ...] = ()
    subgroup_keys: tuple[str, ...] = ()
    within: bool = False
    min_days: float | None = None
    max_days: float | None = None
    exclude: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of a study's eligible effects stands for it.

    Attributes
    ----------
    data_kind, instrument : tuple of str
        Order of preference; what is not listed comes last.
    time : str
        ``latest``, ``earliest`` or ``nearest`` (to ``days``).
    days : float or None
    overlap_prefer : tuple of str
        Studies kept where people overlap (a pool instead of its trials, for example).
    """

    data_kind: tuple[str, ...] = ()
    instrument: tuple[str, ...] = ()
    time: str = "latest"
    days: float | None = None
    overlap_prefer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """The main model; the others stand beside it as companions.

    ``overall`` is false where the groups are different measurements of the same people, which are
    not pooled together. ``over_time`` fits all of them in one correlated-and-hierarchical model
    with the groups as moderator and ``rho`` as the assumed within-trial correlation.
    """

    measure: words.Measure = words.Measure.SMD
    tau2_method: str = words.DEFAULT_TAU2_METHOD
    ci_method: str = words.DEFAULT_CI_METHOD
    level: float = 0.95
    group_by: str = ""
    group_order: tuple[str, ...] = ()
    overall: bool = True
    over_time: bool = False
    rho: float = 0.6
    reference: str = "placebo"
    important_difference: float | None = None
    important_difference_source: str = ""
    tau_prior_scale: float = 0.5


@dataclass(frozen=True, slots=True)
class AnalysisSpec:
    """One declared question.

    Attributes
    ----------
    name : str
        File name without ``.toml``; also the name of the results.
    title, question : str
        For readers.
    section : str
        Part of the report.
    order : int
        Place within the report.
    directness : str
        ``direct`` (ketamine or its class in ADHD), ``indirect`` (another condition) or
        ``context`` (the usual medicines).
    status : str
        ``declared`` when the file was committed before its result was computed.
    favours : tuple of str
        Words for the two sides of the axis.
    looked_for : str
        What an eligible trial would have been, for an empty result.
    kind : str
        ``pooled``; ``within_trial``, the first group of ``model.group_order`` minus the second,
        within each trial that has both; or ``network``, treatments against ``model.reference``.
    """

    name: str
    title: str
    question: str
    section: str
    order: int
    directness: str
    status: str
    select: Selection
    choose: Choice
    assume: Assumptions
    model: Model
    favours: tuple[str, str]
    looked_for: str = ""
    registration: str = ""
    note: str = ""
    kind: str = "pooled"


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
    if not folder.is_dir():
        raise SpecError(f"{folder.name}/: no such folder; an analysis is a TOML file in it")
    specs: list[AnalysisSpec] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            specs.append(load_spec(path, known))
        except SpecError as error:
            problems.append(str(error))
    if problems:
        raise SpecError("\n".join(problems))
    return sorted(specs, key=lambda spec: (SECTIONS.index(spec.section), spec.order, spec.name))


def load_spec(path: Path, known: Mapping[str, Sequence[str]] | None = None) -> AnalysisSpec:
    """Return the analysis of one file.

    Raises
    ------
    SpecError
        With every problem of the file, each naming the key, the value and the choices.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path.name}: cannot be read as TOML: {error}") from error
    reader = _Reader(path.name, raw)
    spec = reader.spec(path.stem, known or {})
    if reader.problems:
        listed = "\n".join(f"  {problem}" for problem in reader.problems)
        raise SpecError(f"analyses/{path.name}:\n{listed}")
    return spec


class _Reader:
    """Collects problems while a file is read, instead of stopping at the first."""

    def __init__(self, file: str, raw: dict[str, Any]) -> None:
        self.file = file
        self.raw = raw
        self.problems: list[str] = []

    def spec(self, name: str, known: Mapping[str, Sequence[str]]) -> AnalysisSpec:
        top = {
            "title", "question", "section", "order", "directness", "status", "favours",
            "looked_for", "registration", "note", "kind", "select", "choose", "assume", "model",
        }  # fmt: skip
        self._unknown("", self.raw, top)
        select = self._select(known)
        choose = self._choose(known)
        model = self._model(select)
        favours = self.raw.get("favours", ["Favours treatment", "Favours control"])
        if not (isinstance(favours, list) and len(favours) == 2):
            self.problems.append("favours: two texts, for the left and the right of no effect")
            favours = ["", ""]
        return AnalysisSpec(
            name=name,
            title=self._text("title", required=True),
            question=self._text("question", required=True),
            section=self._word("section", SECTIONS),
            order=int(self._number("order", self.raw) or 0),
            directness=self._word("directness", DIRECTNESS),
            status=self._word("status", STATUSES),
            select=select,
            choose=choose,
            assume=self._assume(known),
            model=model,
            favours=(str(favours[0]), str(favours[1])),
            looked_for=self._text("looked_for"),
            registration=self._text("registration"),
            note=self._text("note"),
            kind=self._kind(model),
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

    def _unknown(
        self, where: str, table: Mapping[str, Any], allowed: Sequence[str] | set[str]
    ) -> None:
        for key in table:
            if key not in allowed:
                self.problems.append(
                    f"{where}{key}: no such key{did_you_mean(key, allowed)} "
                    f"(allowed: {', '.join(sorted(allowed))})"
                )

    def _text(self, key: str, *, required: bool = False) -> str:
        value = self.raw.get(key, "")
        if not isinstance(value, str) or (required and not value.strip()):
            self.problems.append(f"{key}: a text is needed")
            return ""
        return value

    def _word(self, key: str, allowed: Sequence[str]) -> str:
        value = self.raw.get(key)
        if value not in allowed:
            hint = did_you_mean(str(value), allowed)
            self.problems.append(f"{key} is {value!r}; choose one of {', '.join(allowed)}{hint}")
            return allowed[0]
        return str(value)

    def _number(self, key: str, table: Mapping[str, Any]) -> float | None:
        value = table.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.problems.append(f"{key} is {value!r}; a number is needed")
            return None
        return float(value)

    def _list(
        self, where: str, table: Mapping[str, Any], key: str, allowed: Sequence[str] | None
    ) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problems.append(f"{where}{key}: a list of words is needed")
            return ()
        if allowed is not None:
            for item in value:
                if item not in allowed:
                    self.problems.append(
                        f"{where}{key}: {item!r} is not known{did_you_mean(item, allowed)} "
                        f"({_choices(allowed)})"
                    )
        return tuple(value)

    def _table(self, key: str) -> dict[str, Any]:
        value = self.raw.get(key, {})
        if not isinstance(value, dict):
            self.problems.append(f"[{key}]: a table is needed")
            return {}
        return value

    def _select(self, known: Mapping[str, Sequence[str]]) -> Selection:
        table = self._table("select")
        allowed = {item.name for item in fields(Selection)}
        self._unknown("select.", table, allowed)
        lists = {
            key: self._list("select.", table, key, known.get(key) if choices is None else choices)
            for key, choices in _SELECT_WORDS.items()
        }
        exclude = table.get("exclude", {})
        if not isinstance(exclude, dict):
            self.problems.append('select.exclude: a table such as {study_id = "why"} is needed')
            exclude = {}
        if not lists["outcome"]:
            self.problems.append("select.outcome: name at least one outcome")
        if not (lists["drug_class"] or lists["intervention"]):
            self.problems.append("select: name a drug_class or an intervention")
        low, high = self._number("min_days", table), self._number("max_days", table)
        if low is not None and high is not None and low > high:
            self.problems.append(f"select: min_days {low:g} is above max_days {high:g}")
        return Selection(
            **lists,
            within=table.get("within", False) is True,
            min_days=low,
            max_days=high,
            exclude={str(key): str(value) for key, value in exclude.items()},
        )

    def _choose(self, known: Mapping[str, Sequence[str]]) -> Choice:
        table = self._table("choose")
        self._unknown("choose.", table, {item.name for item in fields(Choice)})
        time = table.get("time", "latest")
        if time not in TIME_RULES:
            self.problems.append(f"choose.time is {time!r}; choose one of {', '.join(TIME_RULES)}")
        days = self._number("days", table)
        if time == "nearest" and days is None:
            self.problems.append("choose.time is 'nearest'; say to which day with days = ...")
        return Choice(
            data_kind=self._list("choose.", table, "data_kind", DATA_KINDS),
            instrument=self._list("choose.", table, "instrument", known.get("instrument")),
            time=str(time),
            days=days,
            overlap_prefer=self._list("choose.", table, "overlap_prefer", known.get("study_id")),
        )

    def _assume(self, known: Mapping[str, Sequence[str]]) -> Assumptions:
        table = self._table("assume")
        self._unknown("assume.", table, {"correlation", "arm_size"})
        correlation = self._number("correlation", table)
        if correlation is not None and not -1 < correlation < 1:
            self.problems.append(f"assume.correlation is {correlation:g}; it lies between -1 and 1")
        sizes = table.get("arm_size", [])
        if not (isinstance(sizes, list) and all(isinstance(size, dict) for size in sizes)):
            self.problems.append("assume.arm_size: write [[assume.arm_size]] tables")
            sizes = []
        return Assumptions(correlation, tuple(self._arm_size(size, known) for size in sizes))

    def _arm_size(self, table: Mapping[str, Any], known: Mapping[str, Sequence[str]]) -> ArmSize:
        self._unknown("assume.arm_size.", table, {item.name for item in fields(ArmSize)})
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
        table = self._table("model")
        self._unknown("model.", table, {item.name for item in fields(Model)})
        measure = self._model_word(table, "measure", tuple(words.Measure), "SMD")
        tau2 = self._model_word(table, "tau2_method", words.TAU2_METHODS, "REML")
        interval = self._model_word(table, "ci_method", words.CI_METHODS, words.DEFAULT_CI_METHOD)
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
        level = self._number("level", table)
        if level is not None and not 0.5 < level < 1:
            self.problems.append(f"model.level is {level:g}; a share between 0.5 and 1 is needed")
        return Model(
            measure=words.Measure(measure),
            tau2_method=tau2,
            ci_method=interval,
            level=level if level is not None else 0.95,
            group_by=str(group_by),
            group_order=self._list("model.", table, "group_order", None),
            overall=table.get("overall", group_by not in _APART) is True,
            over_time=table.get("over_time", False) is True,
            rho=self._share("rho", table, 0.6),
            reference=str(table.get("reference", "placebo")),
            important_difference=self._number("important_difference", table),
            important_difference_source=str(table.get("important_difference_source", "")),
            tau_prior_scale=self._number("tau_prior_scale", table) or 0.5,
        )

    def _share(self, key: str, table: Mapping[str, Any], default: float) -> float:
        value = self._number(key, table)
        if value is None:
            return default
        if not 0 <= value < 1:
            self.problems.append(f"model.{key} is {value:g}; a value from 0 to below 1 is needed")
            return default
        return value

    def _model_word(
        self, table: Mapping[str, Any], key: str, allowed: Sequence[str], default: str
    ) -> str:
        value = table.get(key, default)
        if value not in allowed:
            hint = did_you_mean(str(value), allowed)
            self.problems.append(
                f"model.{key} is {value!r}; choose one of {', '.join(allowed)}{hint}"
            )
            return default
        return str(value)


#: Longer lists of words are not printed in a message; the near match and the place are enough.
_MOST_CHOICES = 20


def _choices(allowed: Sequence[str]) -> str:
    """Return the allowed words, or where to read them when they are many."""
    if len(allowed) <= _MOST_CHOICES:
        return f"choose from {', '.join(sorted(allowed))}"
    return f"one of the {len(allowed)} words that the tables in data/ use"
