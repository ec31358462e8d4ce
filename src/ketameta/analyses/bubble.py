"""Meta-regressions on continuous moderators, with what their bubble plots need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ketameta.analyses.parts import MetaRegression as RegressionResult
from ketameta.analyses.result import StudyRow
from ketameta.analyses.spec import Variation, numbers_of
from ketameta.errors import NotEstimableError
from ketameta.evidence.project import Project
from ketameta.formatting import format_count, plural, published, published_together
from ketameta.measures import BASES, COVERS
from ketameta.models.mixed_model import MIN_STUDIES_SMALL_STUDY
from ketameta.models.regression import meta_regression
from ketameta.models.results import plain

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import Effect
    from ketameta.evidence.tables import Evidence
    from ketameta.models.regression import MetaRegression, Predictions

#: Points at which the fitted line and its bands are drawn.
_LINE_POINTS = 41
#: Numbers of a study that do not travel with its rows.
_STUDY_NUMBERS = ("age_mean_years", "female_percent")
#: Trials from which a change is tried: it shows only whether a slope turns.
MIN_TRIALS_VARIED = 6
#: Of a change to a regression that is not there.
NOT_TRIED = "Not tried, as the main regression is withheld."
#: Residual degrees of freedom that a slope needs.
MIN_DF = 3
#: Share of the spread of a moderator that the columns beside it, or one trial, may not take away.
LEAST_OWN_SPREAD = 0.1
#: How a slope is read; see :func:`reading`.
READINGS = ("not identifiable", "turns", "flat", "open", "rises", "falls")


def study_numbers(project: Project) -> tuple[str, ...]:
    """Return the columns of ``studies`` with numbers that a meta-regression may use."""
    return (*_STUDY_NUMBERS, *project.numbers)


@dataclass(frozen=True, slots=True)
class Varied:
    """A slope with one choice changed.

    Attributes
    ----------
    label : str
        What is changed.
    same : bool
        Whether it changes neither trials nor values, so that nothing was fitted again.
    k : int
        Trials.
    withheld : str
        Why there is no slope; empty where there is one.
    slope, ci_low, ci_high : float or None
        Per unit of the moderator, on the analysis scale.
    """

    label: str
    same: bool
    k: int
    withheld: str = ""
    slope: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A trial as the main model saw it; ``numbers`` are those that are no columns of studies."""

    study_id: str
    label: str
    estimate: float
    variance: float
    outcome: str
    background: str
    numbers: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of a bubble plot: its moderator, effect and, of a fit, its share of the weight.

    ``by_rule`` says that who could take part sets the moderator, and that no source prints it.
    """

    study_id: str
    label: str
    moderator: float
    estimate: float
    variance: float
    weight: float
    by_rule: bool


@dataclass(frozen=True, slots=True)
class Regression:
    """One meta-regression as it is stored; see :func:`regressions_of`."""

    k: int
    withheld: str = ""
    slope: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    df: int | None = None
    tau2: float | None = None
    r2: float | None = None
    first: float = 0.0
    last: float = 0.0
    rows: tuple[Trial, ...] = ()
    line: Mapping[str, Sequence[float] | None] = field(default_factory=dict)
    design: tuple[tuple[float, ...], ...] = ()


def _number_of(row: StudyRow, name: str) -> float | None:
    """Return a number of a row that is no column of studies."""
    value = row.get(name)
    return value if isinstance(value, (int, float)) else None


def regressions_of(
    spec: AnalysisSpec,
    rows: Sequence[StudyRow],
    used: Sequence[Effect],
    evidence: Evidence,
) -> list[RegressionResult]:
    """Return one meta-regression per continuous moderator that the file declares.

    Parameters
    ----------
    spec : AnalysisSpec
    rows : sequence of mapping
        One per trial, as the main model saw them.
    used : sequence of Effect
        Their effects: arms, and the columns of ``regressions.adjust_for``.
    evidence : Evidence

    Returns
    -------
    list of dict
        ``moderator, label, status``; ``k`` trials that print it; ``withheld``, the reason when
        there is no regression, as below ten trials (from three on with the ``rows`` that a picture
        without a line needs); else ``slope, se, ci_low, ci_high, p_value,
        df, tau2, r2``, ``rows`` (``study_id, label, moderator, estimate, variance, weight``) and
        ``line`` (``moderator, estimate, ci_low, ci_high, pi_low, pi_high``), on the analysis scale.
        Where the file adjusts or varies also ``adjusted_for``, ``design`` (without the intercept,
        the moderator first), ``variations`` (:class:`Varied`) and ``reading``.

    Notes
    -----
    Between trials only: an association with a number of the trial may come from anything else in
    which the trials differ. A column such as the class of the medicine enters as the share of a
    trial's comparisons in each level; the level with most trials is the reference.
    """
    declared = spec.regressions
    if not declared.moderators or spec.kind != "pooled" or not spec.model.overall:
        return []
    labels, of_study = numbers_of(spec.project), study_numbers(spec.project)
    seen = [
        _Seen(
            row["study_id"],
            row["label"],
            row["estimate"],
            row["variance"],
            row["outcome"],
            row["background_treatment"],
            {name: _number_of(row, name) for name in declared.moderators if name not in of_study},
        )
        for row in rows
    ]
    asked = _Trials(spec, seen, used, evidence)
    found = []
    for name in declared.moderators:
        head = {"moderator": name, "label": labels[name].label, "status": declared.status}
        main = _main(asked, name)
        item = {**head, "k": main.k, "withheld": main.withheld, "rows": plain(main.rows)}
        if not main.withheld:
            item = {**head, **plain(main)}
        if declared.adjust_for or declared.vary:
            varied = [_varied(asked, name, change, main.withheld) for change in declared.vary]
            others = [one.slope for one in varied if one.slope is not None]
            item["adjusted_for"] = list(declared.adjust_for)
            item["variations"] = plain(varied)
            item["reading"] = reading(main, others, declared.small_change)
        found.append(item)
    return plain(found)


def reading(
    main: Regression, others: Sequence[float] = (), small_change: float | None = None
) -> str:
    """Return how a slope is read, one of :data:`READINGS`.

    Parameters
    ----------
    main : Regression
    others : sequence of float
        The slope under each change made alone.
    small_change : float, optional
        Change of the effect over the whole range below which a slope is flat.

    Notes
    -----
    No test decides. A slope turns when a change made alone gives it the other sign; it is flat when
    the whole interval of the change over the range is smaller than ``small_change``, and open when
    that interval reaches to both sides of no change. All is read of numbers as published.
    """
    slope, low, high = (published(part) for part in (main.slope, main.ci_low, main.ci_high))
    if slope is None or low is None or high is None:
        return "not identifiable"
    if any(published(other) * slope < 0 for other in others):
        return "turns"
    if max(abs(low), abs(high)) * (main.last - main.first) < (small_change or 0.0):
        return "flat"
    if low < 0 < high:
        return "open"
    return "rises" if slope > 0 else "falls"


class _Trials:
    """The trials of one analysis, with what a meta-regression asks of them."""

    def __init__(
        self,
        spec: AnalysisSpec,
        rows: Sequence[_Seen],
        used: Sequence[Effect],
        evidence: Evidence,
    ) -> None:
        self.spec, self.rows, self.evidence = spec, rows, evidence
        self._numbers = evidence.studies.drop_duplicates("study_id").set_index("study_id")
        self._raw = evidence.frame("studies").drop_duplicates("study_id").set_index("study_id")
        self._of_study = study_numbers(spec.project)
        self._arms: dict[str, set[str]] = {}
        self._shares: dict[tuple[str, str], Counter[str]] = {}
        for effect in used:
            study = effect["study_id"]
            arms = {effect["arm_id"], effect["comparator_arm_id"]}
            self._arms.setdefault(study, set()).update(arms)
            for column in spec.regressions.adjust_for:
                self._shares.setdefault((column, study), Counter())[str(effect.get(column))] += 1

    def values(self, name: str, change: Variation | None = None) -> dict[str, float]:
        """Return the moderator of each trial that has it, under a change."""
        if name not in self._of_study:
            found = {row.study_id: row.numbers[name] for row in self.rows}
        elif change is None or not (change.basis or change.covers or change.naive_to):
            found = self._numbers[name].to_dict()
        else:
            bases, covers = change.basis or BASES, change.covers or COVERS[:2]
            known = self.evidence.moderator_values(name, bases, change.naive_to, covers)
            found = {study: row.number("value") for study, row in known.items()}
            if name in self._raw and "printed" in bases and COVERS[0] in covers:
                found |= {study: x for study, x in self._raw[name].items() if np.isfinite(x)}
        if change is not None and change.arms:
            of_arms = self._of_arms(name)
            found |= {study: x for study, x in of_arms.items() if found.get(study) is None}
        return {
            str(study): float(x) for study, x in found.items() if x is not None and np.isfinite(x)
        }

    def by_rule(self, name: str) -> set[str]:
        """Return the trials whose moderator is set by the rule on who could take part."""
        known = self.evidence.moderator_values(name)
        printed = self._raw[name].dropna().index if name in self._raw else ()
        return {
            study for study, row in known.items()
            if row["basis"] == BASES[-1] and study not in printed
        }  # fmt: skip

    def _of_arms(self, name: str) -> dict[str, float]:
        """Return the mean over the compared arms of each trial that have a value of their own."""
        by_study: dict[str, list[float]] = {}
        for row in self.evidence.rows("moderators"):
            value, study = row.number("value"), row["study_id"]
            compared = row["arm_id"] in self._arms.get(study, ())
            if row["moderator"] == name and value is not None and row["arm_id"] and compared:
                by_study.setdefault(study, []).append(value)
        return {study: float(np.mean(values)) for study, values in by_study.items()}

    def kept(self, change: Variation | None = None) -> list[_Seen]:
        """Return the trials that stay under a change."""
        if change is None:
            return list(self.rows)
        out = set()
        for name, levels in change.without.items():
            words = self.evidence.moderator_values(name)
            out |= {study for study, row in words.items() if row["word"] in levels}
        return [
            row
            for row in self.rows
            if row.study_id not in out
            and not (change.alone and row.background)
            and (not change.outcome or row.outcome in change.outcome)
        ]

    def beside(self, rows: Sequence[_Seen]) -> np.ndarray:
        """Return the columns beside the moderator, shape (k, c)."""
        columns: list[list[float]] = []
        for name in self.spec.regressions.adjust_for:
            shares = [self._shares[name, row.study_id] for row in rows]
            trials = Counter(level for share in shares for level in share)
            ordered = sorted(trials, key=lambda level: (-trials[level], level))
            columns += [[share[level] / share.total() for share in shares] for level in ordered[1:]]
        return np.array(columns, dtype=float).reshape(len(columns), len(rows)).T


def _reason(x: np.ndarray, beside: np.ndarray, labels: Sequence[str], least: int) -> str:
    """Return why there is no regression; nothing where there is one."""
    if len(x) < least:
        trials, needed = plural(len(x), "trial"), format_count(least)
        return f"{trials} with this number; a meta-regression needs {needed}."
    if np.ptp(x) == 0:
        return "The number is the same in all trials."
    others = np.column_stack([np.ones(len(x)), beside])
    left = len(x) - 1 - int(np.linalg.matrix_rank(others))
    if left < MIN_DF and beside.size:
        return f"{plural(len(x), 'trial')} are too few for this number and the columns beside it."
    own = x - others @ np.linalg.lstsq(others, x, rcond=None)[0]
    spread = float(np.sum((x - x.mean()) ** 2))
    if own @ own < LEAST_OWN_SPREAD * spread:
        return "The columns beside it tell nearly all of this number: it has no slope of its own."
    for at, label in enumerate(labels):
        rest, mine = np.delete(others, at, 0), np.delete(x, at)
        alone = mine - rest @ np.linalg.lstsq(rest, mine, rcond=None)[0]
        if alone @ alone < LEAST_OWN_SPREAD * (own @ own):
            return f"Without {label} the number hardly varies: one trial would decide the slope."
    return ""


def _fitted(asked: _Trials, rows: Sequence[_Seen], design: np.ndarray, name: str) -> MetaRegression:
    model = asked.spec.model
    return meta_regression(
        [row.estimate for row in rows],
        [row.variance for row in rows],
        design,
        names=[name, *(f"beside_{at}" for at in range(1, design.shape[1]))],
        tau2_method=model.tau2_method,
        ci_method=model.ci_method,
        level=model.level,
        labels=[row.label for row in rows],
        measure=model.measure,
        repeated_labels="allow",
    )


def _main(asked: _Trials, name: str) -> Regression:
    values = asked.values(name)
    rows = [row for row in asked.kept() if row.study_id in values]
    x = np.array([values[row.study_id] for row in rows], dtype=float)
    beside = asked.beside(rows) if rows else np.empty((0, 0))
    reason = _reason(x, beside, [row.label for row in rows], MIN_STUDIES_SMALL_STUDY)
    if reason:
        precise = np.array([1 / row.variance for row in rows])
        drawn = zip(rows, x, precise / precise.sum(), strict=True) if len(rows) > 2 else ()
        return Regression(len(rows), reason, rows=_points(drawn, asked.by_rule(name)))
    design = np.column_stack([x, beside])
    fit = _fitted(asked, rows, design, name)
    at = fit.names.index(name)
    first, last = float(x.min()), float(x.max())
    grid = np.linspace(first, last, _LINE_POINTS)
    means = np.tile(beside.mean(axis=0), (_LINE_POINTS, 1))
    weights = fit.weights / fit.weights.sum()
    return Regression(
        len(rows),
        slope=float(fit.estimate[at]),
        se=float(fit.se[at]),
        ci_low=float(fit.ci_low[at]),
        ci_high=float(fit.ci_high[at]),
        p_value=float(fit.p_value[at]),
        df=fit.df,
        tau2=fit.tau2,
        r2=fit.r2,
        first=first,
        last=last,
        rows=_points(zip(rows, x, weights, strict=True), asked.by_rule(name)),
        line={"moderator": grid.tolist(), **_drawn(fit.predict(np.column_stack([grid, means])))},
        design=tuple(map(tuple, design.tolist())) if beside.size else (),
    )


def _points(trials: Iterable[tuple[_Seen, float, float]], by_rule: set[str]) -> tuple[Trial, ...]:
    return tuple(
        Trial(one.study_id, one.label, float(value), one.estimate, one.variance, float(weight),
              one.study_id in by_rule)
        for one, value, weight in trials
    )  # fmt: skip


def _varied(asked: _Trials, name: str, change: Variation, withheld: str) -> Varied:
    """Return the slope of one moderator with one choice changed; none where the main one is not."""
    values, before = asked.values(name, change), asked.values(name)
    rows = [row for row in asked.kept(change) if row.study_id in values]
    kept = {row.study_id for row in rows}
    main = {row.study_id for row in asked.rows if row.study_id in before}
    if not change.unadjusted and kept == main and all(values[s] == before[s] for s in kept):
        return Varied(change.label, True, len(rows))
    x = np.array([values[row.study_id] for row in rows], dtype=float)
    beside = asked.beside(rows) if rows and not change.unadjusted else np.empty((len(rows), 0))
    reason = NOT_TRIED
    if not withheld:
        reason = _reason(x, beside, [row.label for row in rows], MIN_TRIALS_VARIED)
    if reason:
        return Varied(change.label, False, len(rows), reason)
    try:
        fit = _fitted(asked, rows, np.column_stack([x, beside]), name)
    except NotEstimableError as error:
        return Varied(change.label, False, len(rows), str(error))
    at = fit.names.index(name)
    slope, low, high = (float(part[at]) for part in (fit.estimate, fit.ci_low, fit.ci_high))
    return Varied(change.label, False, len(rows), "", slope, low, high)


def _drawn(line: Predictions) -> dict[str, list[float] | None]:
    """Return the line and its bands; they may cross zero, so that all have the same decimals."""
    names = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
    given = {name: getattr(line, name) for name in names}
    bands = {name: values for name, values in given.items() if values is not None}
    rounded = np.array(published_together(np.concatenate(list(bands.values())).tolist()))
    found = dict(zip(bands, rounded.reshape(len(bands), -1).tolist(), strict=True))
    return {name: found.get(name) for name in names}
