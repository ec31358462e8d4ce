"""Counts of significant studies: fail-safe N."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ketameta.errors import UsageError, check_choice
from ketameta.formatting import format_count, format_p, plural
from ketameta.models.resampling.batched import fit_data
from ketameta.models.results import Caveat, Line, Printed, Result

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


def fail_safe_n(
    fit: RandomEffects,
    method: str = "Rosenthal",
    alpha: float = 0.05,
    target: float | None = None,
) -> FailSafeN:
    """Return how many unseen studies of no effect would undo a finding.

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
    if not (isinstance(alpha, (int, float)) and 0 < alpha < 1):
        raise UsageError(f"alpha is {alpha!r}; give a share between 0 and 1, such as 0.05")
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
                "Fail-safe N ignores heterogeneity and supposes that unseen studies have no effect"
                " on average; a large number does not rule out publication bias.",
            ),
        ),
    )
