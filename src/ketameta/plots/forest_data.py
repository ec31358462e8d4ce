"""What a forest plot shows, from a fit or typed by hand: trials, pools, groups, and their words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

import numpy as np

from ketameta.errors import UsageError, check_choice
from ketameta.formatting import (
    format_count,
    format_number,
    format_p,
    format_percent,
    format_significant,
    plural,
)
from ketameta.measures import measure_entry
from ketameta.plots.scale import PLAIN, Estimate, Scale, finite

Pair = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of trials; estimates on the model's scale (logarithms of ratios).

    Attributes
    ----------
    label : str
    estimate, low, high : float or None
    weight : float or None
        Share of one.
    study : str
        Key of the study; rows of the same people share it.
    n, events : (float or None, float or None)
        Of the treatment and the control arm.
    arms : (str, str)
        What was compared.
    note, tag : str
        A footnote, and a word beside the label.
    set_aside : str or None
        Why the trial is shown in grey and not pooled; an empty text where no reason is given.
    risk_of_bias : dict of str to str
        Judgement per domain.
    more : tuple of str
        Texts of the extra columns.
    pools : bool
        Whether the row is a report that pools several trials, and so no trial.
    """

    label: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    weight: float | None = None
    study: str = ""
    n: Pair = (None, None)
    events: Pair = (None, None)
    arms: tuple[str, str] = ("", "")
    note: str = ""
    tag: str = ""
    set_aside: str | None = None
    risk_of_bias: Mapping[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    pools: bool = False

    @property
    def used(self) -> bool:
        """Whether the trial has an estimate that was pooled."""
        return self.set_aside is None and self.estimate is not None


@dataclass(frozen=True, slots=True)
class Pool:
    """A pooled estimate with its intervals and what surrounds it; ``i2`` is a share of one.

    ``df`` is of the t interval: one on a single degree of freedom is written and not drawn.
    ``credible`` says whether the interval is one.
    """

    k: int | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    pi_low: float | None = None
    pi_high: float | None = None
    tau2: float | None = None
    i2: float | None = None
    q: float | None = None
    q_df: int | None = None
    q_p_value: float | None = None
    p_value: float | None = None
    label: str = ""
    model: str = ""
    tau2_method: str | None = None
    ci_method: str | None = None
    df: float | None = None
    credible: bool = False

    @property
    def drawn(self) -> bool:
        """Whether the interval says enough to be drawn."""
        return self.df != 1

    def turned(self, back: Callable[[float | None], float | None]) -> Pool:
        """Return the pool with its numbers on another scale."""
        names = ("estimate", "low", "high", "pi_low", "pi_high")
        return replace(self, **{name: back(getattr(self, name)) for name in names})  # type: ignore[arg-type]

    @classmethod
    def of(cls, fit: Any, label: str = "") -> Pool | None:
        """Return the pool of a fitted result; None below two trials."""

        def number(name: str) -> float | None:
            return finite(getattr(fit, name, None))

        k = getattr(fit, "k", None)
        if number("estimate") is None or (k is not None and k < 2):
            return None
        return cls(
            k, number("estimate"), number("ci_low"), number("ci_high"), number("pi_low"),
            number("pi_high"), number("tau2"), number("i2"), number("q"),
            getattr(fit, "q_df", None), number("q_p_value"), number("p_value"), label,
            str(getattr(fit, "model", "")), getattr(fit, "tau2_method", None),
            getattr(fit, "ci_method", None), number("df"), bool(getattr(fit, "credible", False)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that stand together; ``label`` is None where there are no subgroups."""

    label: str | None
    trials: tuple[Trial, ...]
    pool: Pool | None = None


@dataclass(frozen=True, slots=True)
class Forest:
    """Everything a forest plot can show.

    Attributes
    ----------
    groups : tuple of Group
    scale : Scale
    pool : Pool or None
        Of all trials.
    title, subtitle : str
    test : (float, int, float) or None
        Q, degrees of freedom and p-value of the test between subgroups.
    looked_for : str
        What was searched for, printed where there are no trials.
    notes : tuple of str
        Printed under the plot.
    important : float or None
        A dashed line there, as shown: the minimal important difference.
    header, meaning, description : str
        Over the labels; what a square means; what kind of plot this is.
    heads : (str, str, str)
        Over the columns of both arms and of the effect, where trials and measure do not tell them.
    rows_are_pools : bool
        Whether rows are pooled estimates rather than single trials.
    domains : tuple of (str, str)
        Code and words of each risk-of-bias domain, in order.
    more : tuple of str
        Headings of the extra columns.
    predictions : bool
        Whether prediction intervals are drawn; under groups only where there is no overall one.
    """

    groups: tuple[Group, ...] = ()
    scale: Scale = field(default_factory=Scale)
    pool: Pool | None = None
    title: str = ""
    subtitle: str = ""
    test: tuple[float, int, float | None] | None = None
    looked_for: str = ""
    notes: tuple[str, ...] = ()
    important: float | None = None
    header: str = "Study"
    meaning: str = ""
    description: str = "Forest plot"
    heads: tuple[str, ...] = ("", "", "")
    rows_are_pools: bool = False
    domains: tuple[tuple[str, str], ...] = ()
    more: tuple[str, ...] = ()
    predictions: bool = True
    k: int | None = None
    participants: float | None = None

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All rows, group after group."""
        return tuple(trial for group in self.groups for trial in group.trials)

    @property
    def in_words(self) -> list[tuple[str, str]]:
        """Name and estimate of every row and of what is pooled, for a screen that is narrow."""
        said: list[tuple[str, Trial | Pool]] = []
        for group in self.groups:
            said += [(trial.label, trial) for trial in group.trials]
            if group.pool is not None:
                said.append((f"{group.label or ''} pooled", group.pool))
        if self.pool is not None and (len(self.groups) != 1 or self.groups[0].pool is None):
            said.append(("All pooled", self.pool))
        found = []
        for label, row in said:
            if row.estimate is not None:
                at = Estimate(row.estimate, row.low, row.high)
                credible = isinstance(row, Pool) and row.credible
                found.append((label.strip(), self.scale.estimate_words(at, credible=credible)))
        return found

    @property
    def pools(self) -> int:
        """How many reports that pool several trials are used, in however many rows."""
        return pooled_reports(trial for trial in self.trials if trial.used)


def pooled_reports(trials: Iterable[Trial | None]) -> int:
    """Return how many reports that pool several trials are among some, each counted once."""
    return len({trial.study or trial.label for trial in trials if trial and trial.pools})


# --- from fitted results --------------------------------------------------------------------------


def forest_of(result: Any, overall: bool = True) -> Forest:
    """Return what a forest plot shows of a fitted result.

    Parameters
    ----------
    result : Forest, a fitted result, or a mapping of str to fitted results
        Of ``random_effects`` and its like, ``bayes_random_effects``, ``subgroup_analysis`` or
        ``one_group``; of ``leave_one_out``, ``cumulative``, ``blup``, ``marginal_means``,
        ``linear_contrasts``, ``network_meta_analysis`` (every treatment against the reference) or
        ``selection_model``, whose rows are estimates. Results by name stand below each other, such
        as those of several scenarios.
    overall : bool
        Whether groups are pooled together too; without, weights are shares of each group.

    Raises
    ------
    UsageError
        If the result holds no estimates of trials.
    """
    if isinstance(result, Forest):
        return result
    if isinstance(result, Mapping):
        return _side_by_side(result)
    if hasattr(result, "fits"):
        return _subgroups(result, _together(result.fits) if overall else None)
    for part, rows_of in _BY_PART.items():
        if hasattr(result, part):
            return rows_of(result)
    if hasattr(result, "model_arguments"):
        result.forest()  # which says how effects are pooled
    if not all(hasattr(result, name) for name in ("estimates", "variances", "labels")):
        raise UsageError(
            f"a forest plot needs the estimates of trials; {type(result).__name__} holds none"
        )
    pool = _pool(result, "Common effect" if getattr(result, "model", "") == "common" else "")
    if hasattr(result, "tau_prior") and pool is not None:
        pool = replace(pool, model="bayes", ci_method=None, credible=True)
    return Forest((Group(None, _trials(result)),), _scale(result), pool, k=result.k)


def _way_back(fit: Any) -> Callable[[Any, Any], float | None] | None:
    """Return how values of a fit are turned back, where neither plain nor logarithms.

    A double arcsine is turned back at the people behind each value, so that values are turned
    back here, each with its variances, rather than when they are drawn.
    """
    entry = measure_entry(getattr(fit, "measure", None))
    if entry is None or entry.transformation in PLAIN:
        return None
    return lambda value, variances: (
        None if finite(value) is None else finite(entry.to_reader(value, variances))
    )


def _scale(fit: Any) -> Scale:
    entry, scale = measure_entry(getattr(fit, "measure", None)), Scale.of(fit)
    return scale if entry is None else replace(scale, label=entry.label, back=None)


def _pool(fit: Any, label: str = "") -> Pool | None:
    pool, back = Pool.of(fit, label), _way_back(fit)
    if pool is None or back is None:
        return pool
    return pool.turned(lambda value: back(value, fit.variances))


def _trials(fit: Any) -> tuple[Trial, ...]:
    from scipy.special import ndtri

    z, back = float(ndtri((1 + fit.level) / 2)), _way_back(fit)
    weights = getattr(fit, "weights", None)
    trials = []
    for i, (y, v) in enumerate(zip(fit.estimates, fit.variances, strict=True)):
        half = z * math.sqrt(float(v))
        low, middle, high = (
            value if back is None else back(value, [float(v)])
            for value in (float(y) - half, float(y), float(y) + half)
        )
        weight = None if weights is None else float(weights[i])
        label = str(fit.labels[i]) if len(fit.labels) else f"Study {i + 1}"
        trials.append(Trial(label, middle, low, high, weight, study=label))
    return tuple(trials)


def _together(fits: Sequence[Any]) -> Any:
    """Return the trials of all groups pooled as those of each were."""
    from ketameta.models.pooling import common_effect, random_effects

    if not fits:
        raise UsageError(
            "a subgroup analysis with one τ² for all groups keeps no fit of each group; plot the"
            " fit of all trials with groups="
        )
    y, v, labels = (
        np.concatenate([getattr(fit, name) for fit in fits])
        for name in ("estimates", "variances", "labels")
    )
    how = {name: getattr(fits[0], name) for name in ("ci_method", "level", "measure")}
    if (method := fits[0].tau2_method) is None:
        return common_effect(y, v, labels=labels, repeated_labels="allow", **how)
    return random_effects(y, v, method, labels=labels, repeated_labels="allow", **how)


def _subgroups(result: Any, whole: Any = None) -> Forest:
    """Return groups, and the fit of the whole where there is one, whose weights are shown."""
    weights = iter(() if whole is None else whole.weights.tolist())
    groups = tuple(
        Group(
            str(row.level),
            tuple(replace(trial, weight=next(weights, trial.weight)) for trial in _trials(fit)),
            _pool(fit),
        )
        for row, fit in zip(result.rows, result.fits, strict=True)
    )
    test = None
    if result.q_between is not None:
        test = (result.q_between, result.q_between_df, result.q_between_p_value)
    pool = None if whole is None else _pool(whole)
    return Forest(groups=groups, scale=_scale(result), pool=pool, test=test)


def pools_of(fit: Any, levels: list[object]) -> Forest:
    """Return the groups of a fit, each pooled as the whole was."""
    from ketameta.models.subgroups import subgroup_analysis

    found = subgroup_analysis(
        fit.estimates, fit.variances, levels, tau2_method=fit.tau2_method or "common",
        ci_method=fit.ci_method, level=fit.level, labels=fit.labels, measure=fit.measure,
        repeated_labels="allow",
    )  # fmt: skip
    return replace(_subgroups(found, fit), k=fit.k)


def _refits(result: Any) -> Forest:
    """Return pooled estimates as trials are added, or left out."""
    added = hasattr(result, "positions")
    sign = "+\u00a0" if added else "−\u00a0"
    rows = _rows(
        (f"{sign}{label} (k\u00a0=\u00a0{format_count(int(k))})"
         for label, k in zip(result.labels, result.studies, strict=True)),
        result.estimate, result.ci_low, result.ci_high,
    )  # fmt: skip
    rows = [replace(row, study=str(label)) for row, label in zip(rows, result.labels, strict=True)]
    if added:
        meaning = "all trials up to and including this one, by the order shown"
        found = _estimates(Scale.of(result), rows, "Trial added", meaning)
        return replace(found, description="Cumulative forest plot")
    pool = Pool(
        len(rows), result.full_estimate, result.full_ci_low, result.full_ci_high,
        label="All trials", tau2_method=result.tau2_method, ci_method=result.ci_method,
    )  # fmt: skip
    found = _estimates(Scale.of(result), rows, "Trial left out", "all trials but this one")
    return replace(found, pool=pool, description="Leave-one-out forest plot")


# --- rows that are estimates ----------------------------------------------------------------------


def _estimates(scale: Scale, rows: Sequence[Trial], head: str, meaning: str, *more: str) -> Forest:
    return Forest(
        (Group(None, tuple(rows)),), scale, header=head, meaning=f"Each square: {meaning}",
        rows_are_pools=True, more=more,
    )  # fmt: skip


def _rows(
    names: Iterable[object], estimate: Iterable[Any], low: Iterable[Any], high: Iterable[Any],
    more: Iterable[tuple[str, ...]] = repeat(()),
) -> list[Trial]:  # fmt: skip
    """Return a row per name: its estimate, the ends of its interval, and words beside."""
    return [
        Trial(str(name), finite(middle), finite(a), finite(b), more=words)
        for name, middle, a, b, words in zip(names, estimate, low, high, more, strict=False)
    ]


def _side_by_side(results: Mapping[str, Any]) -> Forest:
    """Return results of one measure below each other."""
    names = ("estimate", "ci_low", "ci_high")
    for name, result in results.items():
        if not hasattr(result, "ci_low") or np.ndim(result.estimate):
            raise UsageError(f"{name!r} is {type(result).__name__}, which is not one estimate")
    found = list(results.values())
    if len({(getattr(r, "measure", None), getattr(r, "level", None)) for r in found}) != 1:
        raise UsageError("results of one plot have the same measure and level")
    middle, low, high = ([getattr(result, name) for result in found] for name in names)
    rows = _rows(results, middle, low, high)
    return _estimates(Scale.of(found[0]), rows, "Analysis", "pooled estimate")


def _blups(found: Any) -> Forest:
    drawn = ((format_percent(share),) for share in found.shrinkage)
    rows = _rows(found.labels, found.estimate, found.ci_low, found.ci_high, drawn)
    meaning = "true effect of a study, as predicted"
    return _estimates(Scale.of(found), rows, "Study", meaning, "Drawn to the mean")


def _contrasts(found: Any) -> Forest:
    means, scale = found.kind == "marginal mean", Scale.of(found)
    if not (means or scale.back is None):  # a difference of logits is no proportion
        scale = Scale(f"Difference, {scale.label.lower()} as pooled", level=found.level)
    rows = _rows(found.table.names, found.estimate, found.ci_low, found.ci_high)
    head, meaning = ("Level", "mean effect") if means else ("Contrast", "combination of effects")
    return _estimates(scale, rows, head, meaning)


def _network(found: Any) -> Forest:
    against = [found.compare(name, found.reference) for name in found.treatments[1:]]
    rows = [
        Trial(x.treatment, x.estimate, x.ci_low, x.ci_high, more=(format_count(x.k_direct),))
        for x in against
    ]
    head, meaning = f"Against {found.reference}", f"treatment against {found.reference}, from"
    return _estimates(Scale.of(found), rows, head, f"{meaning} the whole network", "Direct trials")


def _selection(found: Any) -> Forest:
    names = ("Without selection", "With selection")
    rows = _rows(names, (found.unadjusted_ml, found.estimate), (None, found.ci_low),
                 (None, found.ci_high))  # fmt: skip
    return _estimates(Scale.of(found), rows, "Model", "mean effect by maximum likelihood")


def _one_group(fit: Any) -> Forest:
    """Return counts of studies with exact intervals, and their pool."""
    from scipy import stats

    x, n, tail = fit.study_events, fit.study_totals, (1 - fit.level) / 2
    if shares := fit.measure == "PLO":
        exact = "Clopper and Pearson 1934"
        low, high = stats.beta.ppf(tail, x, n - x + 1), stats.beta.ppf(1 - tail, x + 1, n - x)
        values = x / n, np.where(x == 0, 0.0, low), np.where(x == n, 1.0, high)
    else:
        exact = "Garwood 1936"
        low, high = stats.chi2.ppf(tail, 2 * x) / 2, stats.chi2.ppf(1 - tail, 2 * x + 2) / 2
        with np.errstate(divide="ignore"):
            values = np.log(x / n), np.log(low / n), np.log(high / n)
    entry = measure_entry(fit.measure)
    pool = Pool.of(fit)
    if pool is not None:
        pool = replace(pool, q=None, q_df=None, q_p_value=None, tau2_method="ML", ci_method="wald")
    if pool is not None and shares and entry is not None:
        pool = pool.turned(lambda v: None if v is None else float(entry.to_reader(v)))
    trials = _rows(fit.labels, *values, zip(*(map(format_count, a) for a in (x, n)), strict=True))
    return Forest(
        (Group(None, tuple(trials)),), replace(Scale.of(fit), back=None), pool, k=fit.k,
        more=("Events", "Participants" if shares else "Time at risk"),
        notes=(f"Intervals of studies are exact ({exact}).",),
    )  # fmt: skip


#: What a result has that says which kind it is -> how its rows are read.
_BY_PART: dict[str, Callable[[Any], Forest]] = {
    "full_estimate": _refits,
    "shrinkage": _blups,
    "p_adjusted": _contrasts,
    "p_scores": _network,
    "selection_weights": _selection,
    "study_events": _one_group,
}


_KEYS: dict[str, Callable[[Trial], Any]] = {
    "estimate": lambda trial: math.inf if trial.estimate is None else trial.estimate,
    "weight": lambda trial: -math.inf if trial.weight is None else trial.weight,
    "label": lambda trial: trial.label.casefold(),
}


def arranged(
    forest: Forest,
    *,
    columns: Mapping[str, Sequence[object]] | None = None,
    sort: str | Sequence[Any] | None = None,
    levels: Sequence[object] | None = None,
    pools: Forest | None = None,
) -> Forest:
    """Return the forest with extra columns, its trials in the groups of ``pools``, and sorted.

    Raises
    ------
    UsageError
        If a word is unknown, or values are not one per trial, in the order of the forest.
    """
    trials = list(forest.trials)

    def one_each(what: str, values: Sequence[Any]) -> list[Any]:
        if len(values) != len(trials):
            raise UsageError(
                f"{what} has {len(values)} values and there are {plural(len(trials), 'trial')};"
                " give one each"
            )
        return list(values)

    if columns and not isinstance(columns, Mapping):
        raise UsageError(
            f"columns is {columns!r}; give a heading and one value per trial, such as"
            " columns={'Dose': data['dose']}"
        )
    if columns:
        texts = [one_each(f"columns[{name!r}]", values) for name, values in columns.items()]
        more = [tuple("" if v is None else str(v) for v in row) for row in zip(*texts, strict=True)]
        trials = [replace(trial, more=row) for trial, row in zip(trials, more, strict=True)]
        forest = replace(forest, more=tuple(map(str, columns)))
    heads, owners = forest.groups, [i for i, g in enumerate(forest.groups) for _ in g.trials]
    if levels is not None and pools is not None:
        names = [str(group.label) for group in pools.groups]
        heads, owners = pools.groups, [names.index(str(level)) for level in levels]
        forest = replace(pools, more=forest.more)
    order = list(range(len(trials)))
    if isinstance(sort, str):
        key = _KEYS[check_choice("sort", sort.lstrip("-"), tuple(_KEYS))]
        order.sort(key=lambda i: key(trials[i]), reverse=sort.startswith("-"))
    elif sort is not None:
        keys = one_each("sort", sort)
        order.sort(key=lambda i: keys[i])
    groups = tuple(
        replace(head, trials=tuple(trials[i] for i in order if owners[i] == number))
        for number, head in enumerate(heads)
    )
    return replace(forest, groups=groups)


# --- what is said of a pool ---------------------------------------------------------------------


def cochran(q: float | None, df: int | None, p: float | None, cochrane: bool) -> str:
    """Return ``Q(4) = 11.20, p = 0.024`` with the spaces inside each item unbreakable."""
    if cochrane:
        items = [f"Chi² = {format_number(q)}", f"df = {df}"]
        items += [format_p(p).replace("p ", "P ")] if p is not None else []
    else:
        items = [f"Q({df}) = {format_number(q)}" if df is not None else f"Q = {format_number(q)}"]
        items += [format_p(p)] if p is not None else []
    return ", ".join(item.replace(" ", "\u00a0") for item in items)


def heterogeneity_words(pool: Pool, cochrane: bool = False) -> str:
    """Return ``Heterogeneity: τ² = 0.12, I² = 64%, Q(4) = 11.20, p = 0.024``; empty for nothing."""
    items = []
    if pool.tau2 is not None:
        sign = "Tau²" if cochrane else "τ²"
        items.append(f"{sign} = {format_significant(pool.tau2, 2)}".replace(" ", "\u00a0"))
        items[-1] += " (Bayesian)" if pool.credible else ""
    if pool.i2 is not None:
        items.append(f"I² = {format_percent(pool.i2)}".replace(" ", "\u00a0"))
        items[-1] += f" ({pool.tau2_method})" if pool.credible and pool.tau2_method else ""
    if pool.q is not None:
        items.append(cochran(pool.q, pool.q_df, pool.q_p_value, cochrane))
    return f"Heterogeneity: {', '.join(items)}" if items else ""
