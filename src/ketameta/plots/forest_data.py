"""What a forest plot shows, from a fit or typed by hand: trials, pools, groups, and their words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
from ketameta.plots.scale import PLAIN, Scale, finite

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
    n, events, means, sds : (float or None, float or None)
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
    url : str
        Where the label leads to in an SVG, such as a card of the same page.
    """

    label: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    weight: float | None = None
    study: str = ""
    n: Pair = (None, None)
    events: Pair = (None, None)
    means: Pair = (None, None)
    sds: Pair = (None, None)
    arms: tuple[str, str] = ("", "")
    note: str = ""
    tag: str = ""
    set_aside: str | None = None
    risk_of_bias: Mapping[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    url: str = ""

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
    rows_are_pools : bool
        Whether rows are pooled estimates rather than single trials.
    domains : tuple of (str, str)
        Code and words of each risk-of-bias domain, in order.
    more : tuple of str
        Headings of the extra columns.
    predictions, group_predictions : bool or None
        Whether prediction intervals are drawn; under groups, by default, only where there is no
        overall one.
    show_means : bool
        Mean and standard deviation of each arm.
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
    rows_are_pools: bool = False
    domains: tuple[tuple[str, str], ...] = ()
    more: tuple[str, ...] = ()
    predictions: bool = True
    group_predictions: bool | None = None
    show_means: bool = False
    k: int | None = None
    participants: float | None = None

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All rows, group after group."""
        return tuple(trial for group in self.groups for trial in group.trials)


# --- from fitted results --------------------------------------------------------------------------


def forest_of(result: Any) -> Forest:
    """Return what a forest plot shows of a fitted result.

    Parameters
    ----------
    result : Forest or a fitted result
        Of ``random_effects`` and its like, ``subgroup_analysis``, ``leave_one_out``,
        ``cumulative`` or ``bayes_random_effects``.

    Raises
    ------
    UsageError
        If the result holds no estimates of trials.
    """
    if isinstance(result, Forest):
        return result
    if hasattr(result, "full_estimate") and hasattr(result, "studies"):
        return _refits(result)
    if hasattr(result, "fits") and hasattr(result, "rows"):
        return _subgroups(result, result.fits)
    if not all(hasattr(result, name) for name in ("estimates", "variances", "labels")):
        raise UsageError(
            f"a forest plot needs the estimates of trials; {type(result).__name__} holds none"
        )
    words = "Common effect" if getattr(result, "model", "") == "common" else ""
    pool = _pool(result, words)
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
    return replace(
        pool,
        estimate=back(pool.estimate, fit.variances),
        low=back(pool.low, fit.variances),
        high=back(pool.high, fit.variances),
        pi_low=back(pool.pi_low, fit.variances),
        pi_high=back(pool.pi_high, fit.variances),
    )


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


def _subgroups(result: Any, fits: Sequence[Any], pool: Pool | None = None) -> Forest:
    if not fits:
        raise UsageError(
            "a subgroup analysis with one τ² for all groups keeps no fit of each group; plot the"
            " fit of all trials with groups="
        )
    groups = tuple(
        Group(str(row.level), _trials(fit), _pool(fit))
        for row, fit in zip(result.rows, fits, strict=True)
    )
    test = None
    if result.q_between is not None:
        test = (result.q_between, result.q_between_df, result.q_between_p_value)
    return Forest(groups=groups, scale=_scale(result), pool=pool, test=test)


def pools_of(fit: Any, levels: list[object]) -> Forest:
    """Return the groups of a fit, each pooled as the whole was."""
    from ketameta.models.subgroups import subgroup_analysis

    found = subgroup_analysis(
        fit.estimates, fit.variances, levels, tau2_method=fit.tau2_method or "common",
        ci_method=fit.ci_method, level=fit.level, labels=fit.labels, measure=fit.measure,
        repeated_labels="allow",
    )  # fmt: skip
    return replace(_subgroups(found, found.fits, _pool(fit)), k=fit.k)


def _refits(result: Any) -> Forest:
    added = hasattr(result, "positions")
    sign = "+\u00a0" if added else "−\u00a0"
    rows = tuple(
        Trial(
            f"{sign}{label} (k\u00a0=\u00a0{format_count(int(k))})", finite(estimate), finite(low),
            finite(high), study=str(label),
        )
        for label, k, estimate, low, high in zip(
            result.labels, result.studies, result.estimate, result.ci_low, result.ci_high,
            strict=True,
        )
    )  # fmt: skip
    pool = None
    if not added:
        pool = Pool(
            len(rows), result.full_estimate, result.full_ci_low, result.full_ci_high,
            label="All trials", tau2_method=result.tau2_method, ci_method=result.ci_method,
        )  # fmt: skip
    return pooled_rows(rows, Scale.of(result), pool, added=added)


def pooled_rows(
    rows: Sequence[Trial],
    scale: Scale,
    pool: Pool | None,
    *,
    added: bool,
    order: str = "the order shown",
    title: str = "",
) -> Forest:
    """Return a forest whose rows are pooled estimates as trials are added, or left out.

    Raises
    ------
    UsageError
        If there are no rows.
    """
    if not rows:
        raise UsageError("rows is empty; give one pooled estimate per trial")
    return Forest(
        groups=(Group(None, tuple(rows)),),
        scale=scale,
        pool=pool,
        title=title,
        header="Trial added" if added else "Trial left out",
        meaning=(
            f"Each square: all trials up to and including this one, by {order}"
            if added
            else "Each square: all trials but this one"
        ),
        description="Cumulative forest plot" if added else "Leave-one-out forest plot",
        rows_are_pools=True,
    )


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
    if pool.i2 is not None:
        items.append(f"I² = {format_percent(pool.i2)}".replace(" ", "\u00a0"))
    if pool.q is not None:
        items.append(cochran(pool.q, pool.q_df, pool.q_p_value, cochrane))
    return f"Heterogeneity: {', '.join(items)}" if items else ""


CI_METHODS = {
    "wald": "Wald",
    "knapp-hartung": "Knapp–Hartung",
    "knapp-hartung-conservative": "Knapp–Hartung, never narrower than Wald",
}


def method_words(forest: Forest) -> str:
    """Return how the pool was made, where it says so."""
    for pool in (forest.pool, *(group.pool for group in forest.groups)):
        if pool is None or (pool.k or 0) < 2:
            continue
        words = []
        if pool.model == "common":
            words.append("Common effect, inverse variance")
        elif pool.model == "bayes":
            words.append("Bayesian random effects; credible intervals")
        elif pool.tau2_method:
            words.append(f"Random effects, τ² by {pool.tau2_method}")
        method = CI_METHODS.get(str(pool.ci_method))
        if method:
            words.append(f"{forest.scale.interval_words} by {method}")
        return f"{'; '.join(words)}." if words else ""
    return ""
