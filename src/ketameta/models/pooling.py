"""One door for any number of studies, none included. The rules are in ``policy``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from numpy.typing import ArrayLike

from ketameta.arrays import as_numbers
from ketameta.effects.door import takes_effects
from ketameta.errors import UsageError, check_choice
from ketameta.models.policy import small_k_caveats, small_k_rule
from ketameta.models.random_effects import RandomEffects, common_effect, random_effects
from ketameta.models.results import Caveat, Result
from ketameta.vocabulary import Measure, measure_code


@dataclasses.dataclass(frozen=True, slots=True, repr=False, eq=False)
class NoEvidence(Result):
    """What is said when no trial is eligible; prints "no eligible trials".

    Attributes
    ----------
    k : int
        Always 0.
    measure : str or None
    looked_for : str
        What a trial would have to be; empty when not given.
    rule : str
        The sentence of the small-k policy.
    caveats : tuple of Caveat
        One, with code ``"no_studies"``.
    estimate, ci_low, ci_high, pi_low, pi_high, p_value, tau2 : None
        Present so that a table can ask every result the same questions.
    """

    measure: str | None = None
    looked_for: str = ""
    k: int = 0
    rule: str = small_k_rule(0).sentence
    caveats: tuple[Caveat, ...] = small_k_caveats(0)
    estimate: None = None
    ci_low: None = None
    ci_high: None = None
    pi_low: None = None
    pi_high: None = None
    p_value: None = None
    tau2: None = None

    def summary(self) -> str:
        """Return the one line that is printed."""
        wanted = f" Looked for: {self.looked_for}." if self.looked_for else ""
        return f"<NoEvidence: no eligible trials>{wanted}"


@takes_effects()
def pool(
    estimates: ArrayLike,
    variances: ArrayLike,
    tau2_method: str = "REML",
    ci_method: str = "knapp-hartung-conservative",
    level: float = 0.95,
    labels: Sequence[object] | ArrayLike | None = None,
    measure: Measure | str | None = None,
    *,
    model: str = "random",
    looked_for: str = "",
    repeated_labels: str = "refuse",
) -> RandomEffects | NoEvidence:
    """Pool any number of studies by the small-k policy.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        ``k`` may be 0.
    tau2_method, ci_method, level, labels, measure, repeated_labels
        As in :func:`~ketameta.models.random_effects.random_effects`.
    model : {"random", "common"}
    looked_for : str
        Said by the result when there is no study.

    Returns
    -------
    RandomEffects or NoEvidence
        No study: :class:`NoEvidence`. One: the study itself. Two: pooled, without a prediction
        interval, with ``intervals()`` showing Wald and Knapp-Hartung side by side. Three or more:
        with a prediction interval.

    Examples
    --------
    >>> pool([], [], looked_for="trials of x")
    <NoEvidence: no eligible trials> Looked for: trials of x.
    """
    check_choice("model", model, ("random", "common"))
    sizes = (
        as_numbers("estimates", estimates).size,
        as_numbers("variances", variances).size,
    )
    if sizes == (0, 0):
        return NoEvidence(measure_code(measure), looked_for)
    if 0 in sizes:
        raise UsageError(
            f"estimates has {sizes[0]} values and variances has {sizes[1]}; give one each"
        )
    if model == "common":
        return common_effect(
            estimates,
            variances,
            "wald" if ci_method == "knapp-hartung-conservative" else ci_method,
            level,
            labels,
            measure,
            repeated_labels=repeated_labels,
        )
    return random_effects(
        estimates,
        variances,
        tau2_method,
        ci_method,
        level,
        labels,
        measure,
        repeated_labels=repeated_labels,
    )
