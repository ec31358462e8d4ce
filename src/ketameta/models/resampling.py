"""Bootstrap of a fit: intervals from refits to simulated, or to resampled, studies.

Permutation tests are in ``permutation``, simulated coverage in ``simulation``; where blocks of
replicates run is in ``replicates``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import NotEstimableError, check_choice
from ketameta.models.batched import DEFAULT_BUDGET, batched_fit
from ketameta.models.fit_words import decimals_for
from ketameta.models.influence_inputs import FitData, fit_data, frozen
from ketameta.models.intervals import check_level
from ketameta.models.progress import terminal_bar
from ketameta.models.replicates import Progress, check_replicates, check_seed, run_blocks
from ketameta.models.results import Caveat, Result, plain
from ketameta.models.tau2 import COMMON
from ketameta.numberformat import format_count, format_interval, plural

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    from ketameta.models.pooled_effect import RandomEffects
    from ketameta.models.regression_result import MetaRegression

FloatArray = NDArray[np.float64]
#: Ways to a replicate; the first is the default.
KINDS = ("parametric", "studies")
#: Replicates when none are asked for: the Monte Carlo error of a 95% bound is then about 2% of a
#: standard error.
DEFAULT_REPLICATES = 10_000
#: Replicates that percentile bounds need at least.
LEAST_REPLICATES = 100
#: Below this number, resampled studies repeat each other so often that intervals are too short.
FEW_FOR_RESAMPLING = 10
#: The share of replicates that may be lost (a design that is singular in them) without a caveat.
LOST = 0.01


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class Bootstrap(Result):
    """Percentile intervals from refits to random data.

    Attributes
    ----------
    kind : {"parametric", "studies"}
    names : tuple of str
        Of the p coefficients.
    estimate, bias, se, ci_low, ci_high : ndarray of shape (p,)
        The fit's own estimate; mean of the replicates less that; their standard deviation; and
        their percentiles.
    tau2, tau2_ci_low, tau2_ci_high : float or None
        None for the common-effect model.
    coefficients : ndarray of shape (p, R)
        Of the replicates that could be fitted, in order.
    tau2_values : ndarray of shape (R,)
    replicates, used : int
        Drawn, and fitted: resampled studies may leave a design singular.
    seed : int
    level : float
    tau2_method, measure
        How the fit was made.
    caveats : tuple of Caveat
    """

    kind: str
    names: tuple[str, ...]
    estimate: FloatArray
    bias: FloatArray
    se: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    tau2: float | None
    tau2_ci_low: float | None
    tau2_ci_high: float | None
    coefficients: FloatArray
    tau2_values: FloatArray
    replicates: int
    used: int
    seed: int
    level: float
    tau2_method: str | None
    measure: str | None
    caveats: tuple[Caveat, ...]

    def summary(self) -> str:
        """Return the interval of each coefficient and of tau-squared."""
        how = "parametric" if self.kind == "parametric" else "resampled studies"
        lines = [
            f"<Bootstrap: {how}, {format_count(self.used)} replicates, seed {self.seed},"
            f" {100 * self.level:g}% intervals>"
        ]
        width = max(len(name) for name in (*self.names, "tau2"))
        for j, name in enumerate(self.names):
            digits = decimals_for(float(self.se[j]))
            bounds = format_interval(float(self.ci_low[j]), float(self.ci_high[j]), digits)
            lines.append(f"  {name:<{width}}  {bounds}")
        if self.tau2_ci_low is not None and self.tau2_ci_high is not None:
            bounds = format_interval(self.tau2_ci_low, self.tau2_ci_high, 3)
            lines.append(f"  {'tau2':<{width}}  {bounds}")
        lines += [f"  caveat  {caveat.message}" for caveat in self.caveats]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-ready Python; the replicates themselves are left out."""
        skipped = ("coefficients", "tau2_values")
        return {
            field.name: plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name not in skipped
        }

    def tidy(self) -> pd.DataFrame:
        """Return one row per coefficient."""
        import pandas as pd

        columns = ("estimate", "bias", "se", "ci_low", "ci_high")
        return pd.DataFrame(
            {"term": list(self.names), **{name: getattr(self, name) for name in columns}}
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Draws:
    """Draws and refits a block; returns coefficients (p, size) and tau-squared (size,)."""

    data: FitData
    kind: str
    fitted: FloatArray
    spread: FloatArray
    budget_bytes: int

    def __call__(
        self, start: int, size: int, random: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        k = len(self.data.y)
        y, v, design = self.data.y, self.data.v, self.data.design
        if self.kind == "parametric":
            y = self.fitted[:, None] + self.spread[:, None] * random.standard_normal((k, size))
        else:
            chosen = random.integers(0, k, (k, size))
            y, v = y[chosen], v[chosen]
            if design is not None:
                design = np.ascontiguousarray(np.moveaxis(design[chosen], 2, 1))
        fits = batched_fit(
            y, v, design, tau2_method=self.data.tau2_method, budget_bytes=self.budget_bytes
        )
        return fits.coefficients, fits.tau2


def bootstrap(
    fit: RandomEffects | MetaRegression,
    kind: str = "parametric",
    replicates: int = DEFAULT_REPLICATES,
    seed: int | None = None,
    *,
    level: float | None = None,
    backend: str = "serial",
    workers: int | None = None,
    client: Client | str | None = None,
    budget_bytes: int = DEFAULT_BUDGET,
    progress: Progress | None = None,
) -> Bootstrap:
    """Refit a model to random data that resemble the observed ones.

    Parameters
    ----------
    fit : RandomEffects or MetaRegression
        At least two studies, three for ``"studies"``.
    kind : {"parametric", "studies"}
        ``parametric``: new estimates from the fitted model, ``N(x_i b, v_i + tau2)``, with the
        variances as they are. ``studies``: as many studies, drawn with replacement.
    replicates : int
        At least 100.
    seed : int, optional
        Drawn and stored when not given.
    level : float, optional
        The fit's own when not given.
    backend, workers, client
        See :func:`ketameta.models.replicates.run_blocks`; they change no number.
    budget_bytes : int
        Working memory of each worker; it changes no number.
    progress : callable, optional
        Of (done, total); a bar on a terminal when not given.

    Returns
    -------
    Bootstrap

    Raises
    ------
    NotEstimableError
        With too few studies, or when fewer than 100 replicates can be fitted.
    UsageError
        For settings that cannot work.

    Notes
    -----
    Percentile intervals. With few studies both kinds give intervals that are too short: the
    parametric one takes tau-squared as known, and resampled studies repeat each other. They check
    the shape of the other intervals and do not replace them. metafor has no bootstrap; its authors
    show one through R's package boot.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap. Turner, Spiegelhalter, Smith and
    Thompson (2000), Stat. Med. 19, 3417-3432 (parametric bootstrap in meta-analysis).

    Examples
    --------
    >>> from ketameta.models.random_effects import random_effects
    >>> fit = random_effects([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> found = bootstrap(fit, replicates=1000, seed=1)
    >>> bool(found.ci_low[0] < fit.estimate < found.ci_high[0])
    True
    """
    check_choice("kind", kind, KINDS)
    least = 2 if kind == "parametric" else 3
    data = fit_data(fit, f"a bootstrap ({kind})", minimum=least, regression=True)
    level = data.level if level is None else check_level(level)
    replicates = check_replicates(replicates, LEAST_REPLICATES)
    seed = check_seed(seed)
    estimate = np.atleast_1d(np.asarray(fit.estimate, dtype=float))
    design = np.ones((len(data.y), 1)) if data.design is None else data.design
    draws = _Draws(data, kind, design @ estimate, np.sqrt(data.v + (fit.tau2 or 0.0)), budget_bytes)
    parts = run_blocks(
        draws,
        replicates,
        seed,
        backend=backend,
        workers=workers,
        client=client,
        progress=progress or terminal_bar("bootstrap replicates"),
    )
    coefficients = np.concatenate([part[0] for part in parts], axis=1)
    tau2 = np.concatenate([part[1] for part in parts])
    kept = ~np.isnan(tau2)
    coefficients, tau2 = coefficients[:, kept], tau2[kept]
    used = int(np.count_nonzero(kept))
    if used < LEAST_REPLICATES:
        raise NotEstimableError(
            f"only {used} of {replicates} resamples have a design that can be fitted; use"
            ' kind="parametric"'
        )
    shares = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(coefficients, shares, axis=1)
    common = data.tau2_method == COMMON
    tau2_low, tau2_high = (None, None) if common else np.quantile(tau2, shares).tolist()
    return Bootstrap(
        kind=kind,
        names=tuple(getattr(fit, "names", ("mean",))),
        estimate=frozen(estimate),
        bias=frozen(coefficients.mean(1) - estimate),
        se=frozen(coefficients.std(1, ddof=1)),
        ci_low=frozen(low),
        ci_high=frozen(high),
        tau2=fit.tau2,
        tau2_ci_low=tau2_low,
        tau2_ci_high=tau2_high,
        coefficients=frozen(coefficients),
        tau2_values=frozen(tau2),
        replicates=replicates,
        used=used,
        seed=seed,
        level=level,
        tau2_method=None if common else data.tau2_method,
        measure=data.measure,
        caveats=_caveats(kind, len(data.y), replicates, used),
    )


def _caveats(kind: str, k: int, replicates: int, used: int) -> tuple[Caveat, ...]:
    found = []
    if kind == "studies" and k < FEW_FOR_RESAMPLING:
        found.append(
            Caveat(
                "few_to_resample",
                f"{plural(k, 'study', 'studies')}, resampled, repeat each other; the intervals are"
                " too short.",
            )
        )
    if used < (1 - LOST) * replicates:
        found.append(
            Caveat(
                "singular_resamples",
                f"In {format_count(replicates - used)} of {format_count(replicates)} resamples the"
                " design could not be fitted; they are left out.",
            )
        )
    return tuple(found)
