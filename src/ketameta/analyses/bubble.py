"""Meta-regressions on continuous moderators, with what their bubble plots need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ketameta.analyses.parts import BubbleRow, MetaRegression, part
from ketameta.analyses.parts import Variation as Varied
from ketameta.analyses.result import StudyRow
from ketameta.analyses.rows import effects_of
from ketameta.analyses.spec import Variation, numbers_of
from ketameta.errors import NotEstimableError
from ketameta.evidence.project import Project
from ketameta.formatting import format_count, plural, published, published_together
from ketameta.measures import BASES, COVERS, MIN_STUDIES_SMALL_STUDY
from ketameta.models.regression import meta_regression
from ketameta.models.results import plain

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import Effect
    from ketameta.evidence.tables import Evidence
    from ketameta.models.regression import MetaRegression as Fit
    from ketameta.models.regression import Predictions

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


def regressions_of(
    spec: AnalysisSpec,
    rows: Sequence[StudyRow],
    used: Sequence[Effect],
    evidence: Evidence,
) -> list[MetaRegression]:
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
        without a line needs); else ``slope, se, ci_low, ci_high, p_value, df, tau2, r2``,
        ``rows`` (``study_id, label, moderator, estimate, variance, weight, by_rule``) and
        ``line`` (``moderator, estimate, ci_low, ci_high, pi_low, pi_high``), on the analysis scale.
        Where the file adjusts or varies also ``adjusted_for``, ``design`` (without the intercept,
        the moderator first), ``variations`` and ``reading``.

    Notes
    -----
    Between trials only: an association with a number of the trial may come from anything else in
    which the trials differ. A column such as the class of the medicine enters as the share of a
    trial's comparisons in each level; the level with most trials is the reference. Below ten trials
    there is no line; from three on there are the rows that a picture without one needs.
    """
    declared = spec.regressions
    if not declared.moderators or spec.kind != "pooled" or not spec.model.overall:
        return []
    labels = numbers_of(spec.project)
    asked = _Trials(spec, rows, used, evidence)
    found: list[MetaRegression] = []
    for name in declared.moderators:
        item = _main(asked, name, labels[name].label)
        if declared.adjust_for or declared.vary:
            varied = [_varied(asked, name, change, item["withheld"]) for change in declared.vary]
            others = [one["slope"] for one in varied if one["slope"] is not None]
            item["adjusted_for"] = list(declared.adjust_for)
            item["variations"] = varied
            item["reading"] = reading(item, others, declared.small_change)
        found.append(item)
    return plain(found)


def reading(
    main: MetaRegression, others: Sequence[float] = (), small_change: float | None = None
) -> str:
    """Return how a slope is read, one of :data:`READINGS`.

    Parameters
    ----------
    main : mapping
        Of :func:`regressions_of`.
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
    slope, low, high = (published(main.get(part)) for part in ("slope", "ci_low", "ci_high"))
    if slope is None or low is None or high is None:
        return "not identifiable"
    if any(published(other) * slope < 0 for other in others):
        return "turns"
    if max(abs(low), abs(high)) * (main["last"] - main["first"]) < (small_change or 0.0):
        return "flat"
    if low < 0 < high:
        return "open"
    return "rises" if slope > 0 else "falls"


class _Trials:
    """The trials of one analysis, with what a meta-regression asks of them."""

    def __init__(
        self,
        spec: AnalysisSpec,
        rows: Sequence[StudyRow],
        used: Sequence[Effect],
        evidence: Evidence,
    ) -> None:
        self.spec, self.rows, self.evidence = spec, rows, evidence
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
            told = ((row["study_id"], row.get(name)) for row in self.rows)
            found = {study: x if isinstance(x, int | float) else None for study, x in told}
        elif change is None or not (change.basis or change.covers or change.naive_to):
            every = self.evidence.facts.items()
            found = {study: x for study, facts in every if isinstance(x := facts[name], float)}
        else:
            bases, covers = change.basis or BASES, change.covers or COVERS[:2]
            known = self.evidence.moderator_values(name, bases, change.naive_to, covers)
            found = {study: row.number("value") for study, row in known.items()}
            if "printed" in bases and COVERS[0] in covers:
                found |= self._printed(name)
        if change is not None and change.arms:
            of_arms = self._of_arms(name)
            found |= {study: x for study, x in of_arms.items() if found.get(study) is None}
        return {
            str(study): float(x) for study, x in found.items() if x is not None and np.isfinite(x)
        }

    def _printed(self, name: str) -> dict[str, float]:
        """Return the numbers that stand in the table of studies."""
        rows = self.evidence.rows("studies")
        return {row["study_id"]: x for row in rows if (x := row.number(name)) is not None}

    def by_rule(self, name: str) -> set[str]:
        """Return the trials whose moderator is set by the rule on who could take part."""
        known = self.evidence.moderator_values(name)
        printed = self._printed(name)
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

    def kept(self, change: Variation | None = None) -> list[StudyRow]:
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
            if row["study_id"] not in out
            and not (change.alone and row["background_treatment"])
            and (not change.outcome or row["outcome"] in change.outcome)
        ]

    def beside(self, rows: Sequence[StudyRow]) -> np.ndarray:
        """Return the columns beside the moderator, shape (k, c)."""
        columns: list[list[float]] = []
        for name in self.spec.regressions.adjust_for:
            shares = [self._shares[name, row["study_id"]] for row in rows]
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


def _fitted(asked: _Trials, rows: Sequence[StudyRow], design: np.ndarray, name: str) -> Fit:
    model = asked.spec.model
    return meta_regression(
        *effects_of(rows),
        design,
        names=[name, *(f"beside_{at}" for at in range(1, design.shape[1]))],
        tau2_method=model.tau2_method,
        ci_method=model.ci_method,
        level=model.level,
        labels=[row["label"] for row in rows],
        measure=model.measure,
        repeated_labels="allow",
    )


def _main(asked: _Trials, name: str, label: str) -> MetaRegression:
    """Return the regression on one moderator, or why there is none."""
    values, set_so = asked.values(name), asked.by_rule(name)
    rows = [row for row in asked.kept() if row["study_id"] in values]
    x = np.array([values[row["study_id"]] for row in rows], dtype=float)
    beside = asked.beside(rows) if rows else np.empty((0, 0))
    reason = _reason(x, beside, [row["label"] for row in rows], MIN_STUDIES_SMALL_STUDY)
    found: MetaRegression = {
        "moderator": name,
        "label": label,
        "status": asked.spec.regressions.status,
        "k": len(rows),
        "withheld": reason,
        "rows": [],
    }
    weights = np.array([1 / row["variance"] for row in rows])
    if not reason:
        fit = _fitted(asked, rows, np.column_stack([x, beside]), name)
        weights = fit.weights
        grid = np.linspace(x.min(), x.max(), _LINE_POINTS)
        means = np.tile(beside.mean(axis=0), (_LINE_POINTS, 1))
        found = part(
            MetaRegression,
            found,
            _slope(fit, name),
            fit,
            first=x.min(),
            last=x.max(),
            line={"moderator": grid, **_drawn(fit.predict(np.column_stack([grid, means])))},
            design=np.column_stack([x, beside]) if beside.size else [],
        )
    if not reason or len(rows) > 2:
        found["rows"] = [
            part(
                BubbleRow,
                row,
                moderator=value,
                weight=weight,
                by_rule=row["study_id"] in set_so,
            )
            for row, value, weight in zip(rows, x, weights / weights.sum(), strict=True)
        ]
    return found


def _slope(fit: Fit, name: str) -> dict[str, float]:
    """Return one coefficient with its test."""
    at, names = fit.names.index(name), ("se", "ci_low", "ci_high", "p_value")
    return {"slope": fit.estimate[at], **{key: getattr(fit, key)[at] for key in names}}


def _varied(asked: _Trials, name: str, change: Variation, withheld: str) -> Varied:
    """Return the slope of one moderator with one choice changed; none where the main one is not."""
    values, before = asked.values(name, change), asked.values(name)
    rows = [row for row in asked.kept(change) if row["study_id"] in values]
    kept = {row["study_id"] for row in rows}
    main = {row["study_id"] for row in asked.rows if row["study_id"] in before}
    found: Varied = {
        "label": change.label,
        "same": False,
        "k": len(rows),
        "withheld": withheld and NOT_TRIED,
        "slope": None,
        "ci_low": None,
        "ci_high": None,
    }
    if not change.unadjusted and kept == main and all(values[s] == before[s] for s in kept):
        return {**found, "same": True, "withheld": ""}
    x = np.array([values[row["study_id"]] for row in rows], dtype=float)
    beside = asked.beside(rows) if rows and not change.unadjusted else np.empty((len(rows), 0))
    if not withheld:
        labels = [row["label"] for row in rows]
        found["withheld"] = _reason(x, beside, labels, MIN_TRIALS_VARIED)
    if found["withheld"]:
        return found
    try:
        fit = _fitted(asked, rows, np.column_stack([x, beside]), name)
    except NotEstimableError as error:
        return {**found, "withheld": str(error)}
    return part(Varied, _slope(fit, name), found)


def _drawn(line: Predictions) -> dict[str, list[float] | None]:
    """Return the line and its bands; they may cross zero, so that all have the same decimals."""
    names = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
    given = {name: getattr(line, name) for name in names}
    bands = {name: values for name, values in given.items() if values is not None}
    rounded = np.array(published_together(np.concatenate(list(bands.values())).tolist()))
    found = dict(zip(bands, rounded.reshape(len(bands), -1).tolist(), strict=True))
    return {name: found.get(name) for name in names}
