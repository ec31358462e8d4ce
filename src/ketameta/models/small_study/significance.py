"""Counts of significant studies: the test of excess significance, and fail-safe N (historical)."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import special

from ketameta.effects.arrays import Floats, check_share, frozen
from ketameta.errors import UsageError, check_choice
from ketameta.formatting import format_count, format_number, format_p, plural
from ketameta.models.resampling.batched import fit_data
from ketameta.models.results import Caveat, Line, Printed, Result
from ketameta.models.small_study.asymmetry import few_studies_caveats, takes_fit

if TYPE_CHECKING:
    from ketameta.models.pooling import RandomEffects


METHODS = ("Rosenthal", "Orwin", "Rosenberg")
#: A count this close to a whole number is that number (R's ``.Machine$double.eps^0.5``).
WHOLE = 1.5e-8


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class FailSafeN(Result):
    """A number of unseen studies.

    Attributes
    ----------
    method : {"Rosenthal", "Orwin", "Rosenberg"}
    number : int
    p_value : float or None
        Of the combined test that those studies would make insignificant: one-sided Stouffer for
        Rosenthal, two-sided common effect for Rosenberg, None for Orwin.
    alpha : float or None
        Level it is compared with.
    target : float or None
        Mean effect that Orwin's studies would reduce the mean to.
    k : int
    caveats : tuple of Caveat
        Always one: the number assumes no heterogeneity and unseen studies of exactly no effect.
    """

    method: str
    number: int
    p_value: float | None
    alpha: float | None
    target: float | None
    k: int
    caveats: tuple[Caveat, ...]

    def printed(self) -> Printed:
        """Return the number."""
        test = "" if self.p_value is None else f" (combined {format_p(self.p_value)})"
        lines = [Line("number", (f"{format_count(self.number)}{test}",))]
        head = f"FailSafeN: {self.method}, {plural(self.k, 'study', 'studies')}"
        return Printed(head, lines, caveats=self.caveats)


@takes_fit
def fail_safe_n(
    fit: RandomEffects,
    method: str = "Rosenthal",
    alpha: float = 0.05,
    target: float | None = None,
) -> FailSafeN:
    """Return how many unseen studies of no effect would undo a finding: historical, not evidence.

    Parameters
    ----------
    fit : RandomEffects
        At least two studies.
    method : {"Rosenthal", "Orwin", "Rosenberg"}
    alpha : float
        Level of significance, for Rosenthal (one-sided) and Rosenberg (two-sided).
    target : float, optional
        For Orwin: a negligible mean, of the sign of the unweighted mean; half of it when not given.

    Raises
    ------
    UsageError
        An unknown method, an alpha outside 0 to 1, a target of 0 or of the other sign.

    Notes
    -----
    Equal to metafor's ``fsn``, which flips the sign of a target where ours refuses it. The number
    is not evidence against publication bias: Becker (2005), in Rothstein, Sutton and Borenstein,
    Publication Bias in Meta-Analysis, advises against it; it is here because readers ask.

    References
    ----------
    Rosenthal (1979), Psychol. Bull. 86, 638-641. Orwin (1983), J. Educ. Stat. 8, 157-159.
    Rosenberg (2005), Evolution 59, 464-468.
    """
    check_choice("method", method, METHODS)
    check_share("alpha", alpha)
    data = fit_data(fit, "fail-safe N")
    y, w, k = data.y, 1 / data.v, fit.k
    p_value: float | None = None
    if method == "Rosenthal":
        z = abs(float((y * np.sqrt(w)).sum())) / math.sqrt(k)
        p_value = float(special.ndtr(-z))
        number = k * (z / float(special.ndtri(1 - alpha))) ** 2 - k
    elif method == "Rosenberg":
        total = float(w.sum())
        z = float(w @ y) / math.sqrt(total)
        p_value = 2 * float(special.ndtr(-abs(z)))
        critical = float(special.ndtri(1 - alpha / 2))
        number = k * ((float(w @ y) / critical) ** 2 - total) / total
    else:
        mean = float(y.mean())
        target = mean / 2 if target is None else float(target)
        if target == 0 or target * mean < 0:
            raise UsageError(
                f"target is {target:g} and the mean {mean:g}; give a target between the two that is"
                " not 0"
            )
        number = k * (mean - target) / target
    number = max(0.0, number)
    nearest = round(number)
    return FailSafeN(
        method=method,
        number=nearest if abs(number - nearest) < WHOLE else math.ceil(number),
        p_value=p_value,
        alpha=None if method == "Orwin" else float(alpha),
        target=target if method == "Orwin" else None,
        k=k,
        caveats=(
            Caveat(
                "fail_safe_n",
                "Fail-safe N is historical: it ignores heterogeneity and supposes that unseen"
                " studies have no effect on average; a large number does not rule out publication"
                " bias.",
            ),
        ),
    )


# --- the test of excess significance --------------------------------------------------------------

#: Nodes of the normal distribution of true effects, over six standard deviations to each side.
NODES, REACH = 201, 6.0


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class ExcessSignificance(Result):
    """Significant studies against those that their power would give.

    Attributes
    ----------
    observed : int
        Studies with a p-value below ``alpha``.
    expected : float
        Sum of the powers.
    power : ndarray of shape (k,)
        Chance of each study to be significant if the fit is true.
    p_value : float
        That as many or more are significant, one-sided.
    alternative : {"two-sided", "greater", "less"}
        Which studies count as significant.
    alpha : float
    k : int
    labels : tuple of str
    caveats : tuple of Caveat
    measure : str or None
    """

    framed: ClassVar[tuple[str, ...]] = ("label=labels", "power")

    observed: int
    expected: float
    power: Floats
    p_value: float
    alternative: str
    alpha: float
    k: int
    labels: tuple[str, ...]
    caveats: tuple[Caveat, ...]
    measure: str | None = None

    def printed(self) -> Printed:
        """Return the two numbers and the test."""
        test = f"ratio {format_number(self.observed / self.expected)}"
        words = f"{self.observed} significant, {format_number(self.expected, 1)} expected"
        lines = [Line("studies", (words, test), format_p(self.p_value))]
        head = f"ExcessSignificance: {plural(self.k, 'study', 'studies')}, p < {self.alpha:g}"
        return Printed(f"{head} ({self.alternative})", lines, caveats=self.caveats)


@takes_fit
def excess_significance(
    fit: RandomEffects, alpha: float = 0.05, alternative: str = "two-sided"
) -> ExcessSignificance:
    """Test whether more studies are significant than their power would give.

    Parameters
    ----------
    fit : RandomEffects
        At least two studies; its mean (and tau-squared) are taken as true.
    alpha : float
        Level at which a study counts as significant.
    alternative : {"two-sided", "greater", "less"}
        Of the tests of the studies.

    Returns
    -------
    ExcessSignificance
        With a caveat below ten studies.

    Raises
    ------
    UsageError
        An alpha outside 0 to 1, an unknown alternative.

    Notes
    -----
    Power is that of the z-test of each study at the mean of the fit, averaged over the normal
    distribution of true effects where tau-squared is not 0. The number of significant studies is
    then a sum of unequal coins, whose exact distribution is multiplied out for any number of
    studies. Equal to metafor's ``tes(fit, test="exact")``, which lists combinations and falls back
    to chi-squared beyond a million. A surplus may come from selective reporting or from a mean that
    is too small; it says nothing of any single study.

    References
    ----------
    Ioannidis and Trikalinos (2007), Clin. Trials 4(3), 245-253. doi:10.1177/1740774507079441

    Examples
    --------
    >>> from ketameta import random_effects
    >>> fit = random_effects([0.10, 0.30, 0.35, 0.65], [0.03, 0.04, 0.05, 0.02])
    >>> found = excess_significance(fit)
    >>> found.observed, round(found.expected, 2)
    (1, 2.06)
    """
    check_choice("alternative", alternative, ("two-sided", "greater", "less"))
    check_share("alpha", alpha)
    data = fit_data(fit, "a test of excess significance")
    root = np.sqrt(data.v)
    tails = 2 if alternative == "two-sided" else 1
    critical = float(special.ndtri(1 - alpha / tails))
    nodes = np.linspace(-REACH, REACH, NODES)
    shares = np.exp(-0.5 * nodes**2)
    tau = math.sqrt(fit.tau2 or 0.0)
    if tau == 0:
        nodes, shares = np.zeros(1), np.ones(1)
    z = (fit.estimate + tau * nodes)[None, :] / root[:, None]
    above, below = special.ndtr(z - critical), special.ndtr(-critical - z)
    chance = {"two-sided": above + below, "greater": above, "less": below}[alternative]
    power = chance @ (shares / shares.sum())
    own = data.y / root
    seen = {"two-sided": np.abs(own), "greater": own, "less": -own}[alternative] >= critical
    counts = np.array([1.0])
    for p in power:
        counts = np.convolve(counts, [1 - p, p])
    observed = int(seen.sum())
    return ExcessSignificance(
        observed=observed,
        expected=float(power.sum()),
        power=frozen(power),
        p_value=float(min(1.0, counts[observed:].sum())),
        alternative=alternative,
        alpha=float(alpha),
        k=fit.k,
        labels=data.labels,
        caveats=few_studies_caveats(fit.k),
        measure=data.measure,
    )
