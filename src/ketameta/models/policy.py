"""The small-k policy: what is done with none, one, two or three studies, in one place.

Computes nothing; every other module asks here what it may print.
"""

from __future__ import annotations

from typing import NamedTuple

from ketameta.models.results import Caveat

#: Studies needed for a prediction interval: its t distribution has k - 2 degrees of freedom.
MIN_STUDIES_PREDICTION = 3
#: Studies needed in each level of a moderator; one study cannot show how its level varies.
MIN_STUDIES_PER_LEVEL = 2
#: Studies needed for bubble plots and small-study tests (Sterne et al. 2011, BMJ 343, d4002).
MIN_STUDIES_SMALL_STUDY = 10
#: Below this number of studies the Bayesian estimate stands beside the main result.
BAYES_COMPANION_BELOW = 10
#: Below this number of studies tau-squared and the intervals rest on very little; from it on their
#: spread carries an interval without a prior.
FEW_STUDIES = FREQUENTIST_FROM = 5


class SmallKRule(NamedTuple):
    """The rule that fired: a ``code`` for tests and templates, a ``sentence`` for the report."""

    code: str
    sentence: str


def small_k_rule(k: int, p: int = 1, *, common: bool = False) -> SmallKRule:
    """Return what the policy says about ``k`` studies and ``p`` coefficients.

    ``common`` for a model without between-study variance, which predicts nothing.
    """
    if k == 0:
        return SmallKRule("no_studies", "No eligible trials: nothing is estimated.")
    if k == 1:
        return SmallKRule(
            "single_study",
            "One study: its own result is shown; nothing is pooled and the variance between"
            " studies cannot be estimated.",
        )
    if common:
        return SmallKRule("common_effect", f"{k} studies: pooled as if all shared one true effect.")
    if k == 2:
        return SmallKRule(
            "two_studies",
            "Two studies: the Wald and the conservative Knapp–Hartung interval are shown side by"
            " side; no prediction interval.",
        )
    if k - p - 1 < 1:
        return SmallKRule(
            "no_prediction",
            f"{k} studies and {p} coefficients leave no degrees of freedom for a prediction"
            " interval.",
        )
    return SmallKRule(
        "pooled",
        f"{k} studies: pooled, with a prediction interval from t with {k - p - 1} degrees of"
        " freedom.",
    )


def small_k_caveats(k: int, p: int = 1, *, common: bool = False) -> tuple[Caveat, ...]:
    """Return the caveats that follow from the number of studies alone."""
    rule = small_k_rule(k, p, common=common)
    usual = rule.code in ("pooled", "common_effect")
    found = [] if usual else [Caveat(rule.code, rule.sentence)]
    if 2 <= k < FEW_STUDIES and not common:
        found.append(
            Caveat(
                "few_studies",
                f"{k} studies are too few to estimate the variance between studies well; the"
                " interval is only as good as that estimate.",
            )
        )
    return tuple(found)
