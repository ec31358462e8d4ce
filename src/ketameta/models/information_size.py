"""The optimal information size: how many people one adequate trial of the question would need."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ketameta.models.power import normal_sample_size, two_proportions_sample_size

#: Two-sided alpha and power of the conventional trial of GRADE.
ALPHA, POWER = 0.05, 0.8
#: Relative change of the risk on control that GRADE suggests to look for.
RELATIVE_CHANGE = 0.25


def information_size_means(
    difference: float, sd: float = 1.0, alpha: float = ALPHA, power: float = POWER
) -> int:
    """Return the people in both arms that a trial of a difference of means would need.

    Parameters
    ----------
    difference : float
        Smallest important difference.
    sd : float
        Within arms, in the same units; 1 for a standardised difference.
    alpha, power : float

    Notes
    -----
    Twice the whole number above ``2 (z_(1 - alpha/2) + z_power)^2 (sd / difference)^2``. The
    optimal information size of GRADE is the size of one adequately powered trial: Guyatt et al.
    (2011), J. Clin. Epidemiol. 64, 1283-1293.
    """
    return 2 * math.ceil(normal_sample_size(difference, sd, alpha, power))


def information_size_risks(
    control_risk: float,
    relative_change: float = RELATIVE_CHANGE,
    alpha: float = ALPHA,
    power: float = POWER,
) -> int:
    """Return the people in both arms that a trial of a relative change of a risk would need.

    Parameters
    ----------
    control_risk : float
        Between 0 and 1.
    relative_change : float
        0.25 for a risk that is a quarter higher on treatment, -0.25 for a quarter lower.
    alpha, power : float

    Notes
    -----
    See :func:`~ketameta.models.power.two_proportions_sample_size`.
    """
    treated = control_risk * (1 + relative_change)
    return 2 * math.ceil(two_proportions_sample_size(control_risk, treated, alpha, power))


def implied_sd(variances: Sequence[float], n1: Sequence[float], n2: Sequence[float]) -> float:
    """Return the typical standard deviation behind the variances of mean differences.

    The median over trials of ``sqrt(v n1 n2 / (n1 + n2))``, the common SD of two arms whose
    difference has variance v. Standard errors from models with covariates make it smaller.
    """
    v, a, b = (np.asarray(values, dtype=np.float64) for values in (variances, n1, n2))
    return float(np.median(np.sqrt(v * a * b / (a + b))))
