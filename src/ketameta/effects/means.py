"""Two independent arms with means: standardised and raw differences, ratios of means."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ketameta.effects.arrays import SMALLEST, EffectSize, Floats, Problems, columns, effect
from ketameta.errors import NotEstimableError
from ketameta.measures import Measure

#: Without the Python call around it that ``min`` makes.
_least = np.minimum.reduce


def _two_arms(
    mean_treatment: ArrayLike,
    sd_treatment: ArrayLike,
    n_treatment: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> tuple[Floats, ...]:
    arms = columns(
        mean_treatment=mean_treatment,
        sd_treatment=sd_treatment,
        n_treatment=n_treatment,
        mean_control=mean_control,
        sd_control=sd_control,
        n_control=n_control,
    )
    _, s1, n1, _, s2, n2 = arms
    if s1.size and _least(np.minimum(s1, s2)) >= SMALLEST and _least(np.minimum(n1, n2)) >= 2:
        return arms
    problems = Problems()
    for name, sd in (("sd_treatment", s1), ("sd_control", s2)):
        problems.add(name, sd, sd <= 0, "> 0")
        problems.add_tiny(name, sd)
    need_two(problems, n1, n2)
    problems.check()
    return arms


def need_two(problems: Problems, n1: Floats, n2: Floats) -> None:
    """Note every arm with fewer than two participants."""
    problems.add("n_treatment", n1, n1 < 2, "2 or more")
    problems.add("n_control", n2, n2 < 2, "2 or more")


def smd_variance(g: Floats, n1: Floats, n2: Floats) -> Floats:
    """Return the large-sample variance of g for two independent arms."""
    return 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))


def standardized_mean_difference(
    mean_treatment: ArrayLike,
    sd_treatment: ArrayLike,
    n_treatment: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> EffectSize:
    """Hedges' g and its sampling variance, for two independent arms.

    Parameters
    ----------
    mean_treatment, mean_control : array_like of shape (k,)
        Arm means, in points of the same scale within a comparison.
    sd_treatment, sd_control : array_like of shape (k,)
        Standard deviations of the scores, in scale points, > 0. Not standard errors; see
        :func:`ketameta.effects.conversions.sd_from_se`.
    n_treatment, n_control : array_like of shape (k,)
        Participants analysed, >= 2; need not be whole where a shared arm is divided.

    Returns
    -------
    EffectSize
        ``estimate`` is unitless, negative where the treatment mean is lower.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive or an arm has fewer than two participants;
        every argument and position is listed.

    Notes
    -----
    The difference over the pooled SD, times the exact correction ``J(n1 + n2 - 2)``
    (:func:`~ketameta.effects.hedges_correction`); the large-sample variance is
    ``1/n1 + 1/n2 + g**2 / (2 (n1 + n2))``. Same as metafor ``escalc(measure="SMD", vtype="LS")``.
    PyMARE 0.0.13 uses the approximate J and ``J**2`` times the variance of d, which is smaller.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6(2), 107-128. doi:10.3102/10769986006002107;
    Hedges (1982), Psychol. Bull. 92(2), 490-499 (variance). doi:10.1037/0033-2909.92.2.490

    Examples
    --------
    >>> g = standardized_mean_difference(12, 8, 20, 18, 7, 22)
    >>> print(g.estimate.round(6), g.variance.round(6))
    [-0.785763] [0.102805]
    """
    m1, s1, n1, m2, s2, n2 = _two_arms(
        mean_treatment, sd_treatment, n_treatment, mean_control, sd_control, n_control
    )
    df = n1 + n2 - 2
    pooled = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    g = hedges_j(df) * (m1 - m2) / pooled
    return effect(Measure.SMD, g, smd_variance(g, n1, n2))


def mean_difference(
    mean_treatment: ArrayLike,
    sd_treatment: ArrayLike,
    n_treatment: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> EffectSize:
    """Difference of two independent means, in scale points, and its variance.

    Parameters
    ----------
    mean_treatment, sd_treatment, n_treatment, mean_control, sd_control, n_control
        As in :func:`standardized_mean_difference`.

    Returns
    -------
    EffectSize
        ``estimate`` is treatment minus control.

    Raises
    ------
    ImpossibleDataError
        As in :func:`standardized_mean_difference`.

    Notes
    -----
    The variance ``s1**2/n1 + s2**2/n2`` does not assume equal variances. Same as metafor
    ``escalc(measure="MD")``.

    Examples
    --------
    >>> md = mean_difference(12, 8, 20, 18, 7, 22)
    >>> print(md.estimate.round(4), md.variance.round(4))
    [-6.] [5.4273]
    """
    m1, s1, n1, m2, s2, n2 = _two_arms(
        mean_treatment, sd_treatment, n_treatment, mean_control, sd_control, n_control
    )
    return effect(Measure.MD, m1 - m2, s1**2 / n1 + s2**2 / n2)


def log_ratio_of_means(
    mean_treatment: ArrayLike,
    sd_treatment: ArrayLike,
    n_treatment: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> EffectSize:
    """Logarithm of the ratio of two independent means, and its variance.

    Parameters
    ----------
    mean_treatment, sd_treatment, n_treatment, mean_control, sd_control, n_control
        As in :func:`standardized_mean_difference`; the means of a comparison have the same sign
        and are not zero, on a scale with a true zero.

    Returns
    -------
    EffectSize
        ``estimate`` is ``log(mean_treatment / mean_control)``.

    Raises
    ------
    ImpossibleDataError
        As in :func:`standardized_mean_difference`.
    NotEstimableError
        If the means of a comparison differ in sign or one of them is zero.

    Notes
    -----
    Variance ``s1**2/(n1 m1**2) + s2**2/(n2 m2**2)``. Same as metafor 3.8 ``escalc(measure="ROM",
    vtype="LS")``; metafor 5.1 adds a bias correction by default, this does not.

    References
    ----------
    Hedges, Gurevitch & Curtis (1999), Ecology 80(4), 1150-1156.
    doi:10.1890/0012-9658(1999)080[1150:TMAORR]2.0.CO;2

    Examples
    --------
    >>> rom = log_ratio_of_means(12, 8, 20, 18, 7, 22)
    >>> print(rom.estimate.round(4), rom.variance.round(4))
    [-0.4055] [0.0291]
    """
    m1, s1, n1, m2, s2, n2 = _two_arms(
        mean_treatment, sd_treatment, n_treatment, mean_control, sd_control, n_control
    )
    problems = Problems()
    problems.add_tiny("mean_treatment", m1)
    problems.add_tiny("mean_control", m2)
    problems.check()
    bad = np.sign(m1) * np.sign(m2) <= 0
    problems.add("mean_treatment", m1, bad, "of the same sign as mean_control, and not zero")
    problems.add("mean_control", m2, bad, "of the same sign as mean_treatment, and not zero")
    problems.check(NotEstimableError)
    return effect(Measure.ROM, np.log(m1 / m2), s1**2 / (n1 * m1**2) + s2**2 / (n2 * m2**2))


def smd_from_t(t: ArrayLike, n_treatment: ArrayLike, n_control: ArrayLike) -> EffectSize:
    """Hedges' g from an independent-samples t statistic.

    Parameters
    ----------
    t : array_like of shape (k,)
        Student's t with pooled variance, negative where the treatment mean is lower. Not Welch's
        t, not the t of a covariate-adjusted model, not a paired t.
    n_treatment, n_control : array_like of shape (k,)
        Participants analysed, >= 2.

    Returns
    -------
    EffectSize
        ``J * t * sqrt(1/n1 + 1/n2)`` with the variance of
        :func:`standardized_mean_difference`.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite or an arm has fewer than two participants.

    Notes
    -----
    Exact, because t is the standardised difference over ``sqrt(1/n1 + 1/n2)``. Same as metafor
    ``escalc(measure="SMD", ti=, n1i=, n2i=)``.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6(2), 107-128. doi:10.3102/10769986006002107

    Examples
    --------
    >>> print(smd_from_t(-2.5, 20, 22).estimate.round(4))
    [-0.7578]
    """
    t_values, n1, n2 = columns(t=t, n_treatment=n_treatment, n_control=n_control)
    problems = Problems()
    need_two(problems, n1, n2)
    problems.check()
    g = hedges_j(n1 + n2 - 2) * t_values * np.sqrt(1 / n1 + 1 / n2)
    return effect(Measure.SMD, g, smd_variance(g, n1, n2))


def smd_from_estimate(
    estimate: ArrayLike,
    n_treatment: ArrayLike,
    n_control: ArrayLike,
    *,
    already_corrected: bool = False,
) -> EffectSize:
    """Hedges' g from a printed standardised mean difference of two independent arms.

    Parameters
    ----------
    estimate : array_like of shape (k,)
        Cohen's d over the pooled SD, or Hedges' g.
    n_treatment, n_control : array_like of shape (k,)
        Participants analysed, >= 2.
    already_corrected : bool
        Whether ``estimate`` is a g that carries the small-sample correction; otherwise it is
        multiplied by J.

    Returns
    -------
    EffectSize
        With the variance of :func:`standardized_mean_difference`.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite or an arm has fewer than two participants.

    Notes
    -----
    Same as metafor ``escalc(measure="SMD", di=, n1i=, n2i=)`` where ``already_corrected`` is false.

    References
    ----------
    Hedges (1982), Psychol. Bull. 92(2), 490-499. doi:10.1037/0033-2909.92.2.490

    Examples
    --------
    >>> g = smd_from_estimate(-0.8, 20, 22)
    >>> print(g.estimate.round(4), g.variance.round(4))
    [-0.7849] [0.1028]
    """
    d, n1, n2 = columns(estimate=estimate, n_treatment=n_treatment, n_control=n_control)
    problems = Problems()
    need_two(problems, n1, n2)
    problems.check()
    g = d if already_corrected else hedges_j(n1 + n2 - 2) * d
    return effect(Measure.SMD, g, smd_variance(g, n1, n2))


def single_mean(mean: ArrayLike, sd: ArrayLike, n: ArrayLike) -> EffectSize:
    """Mean of one group, in points of its scale, and its variance.

    Parameters
    ----------
    mean : array_like of shape (k,)
    sd : array_like of shape (k,)
        Standard deviation of the scores, > 0.
    n : array_like of shape (k,)
        Participants analysed, >= 2.

    Returns
    -------
    EffectSize
        Variance ``sd**2 / n``.

    Raises
    ------
    ImpossibleDataError
        If a value is not finite, an SD is not positive or a group has fewer than two participants.

    Notes
    -----
    Same as metafor ``escalc(measure="MN")``.

    Examples
    --------
    >>> print(single_mean(12.0, 4.0, 16).variance)
    [1.]
    """
    m, s, size = columns(mean=mean, sd=sd, n=n)
    problems = Problems()
    problems.add("sd", s, s <= 0, "> 0")
    problems.add_tiny("sd", s)
    problems.add("n", size, size < 2, "2 or more")
    problems.check()
    return effect(Measure.MN, m, s**2 / size)


# --- the exact small-sample correction ------------------------------------------------------------


def hedges_correction(df: ArrayLike) -> Floats:
    r"""Exact small-sample factor J that makes a standardised difference unbiased.

    Parameters
    ----------
    df : array_like of shape (k,)
        Degrees of freedom of the standard deviation, > 1; need not be whole.

    Returns
    -------
    ndarray of shape (k,)
        Between 0 and 1, close to ``1 - 3 / (4 df - 1)``.

    Raises
    ------
    ImpossibleDataError
        If a value is not above 1.

    Notes
    -----
    :math:`J(m) = \Gamma(m/2) / (\sqrt{m/2}\, \Gamma((m-1)/2))`; beyond 300 ``df``, where the gamma
    function leaves double precision, from the asymptotic series. metafor's ``escalc`` uses the same
    factor; PyMARE, statsmodels and RevMan use the approximation.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6(2), 107-128. doi:10.3102/10769986006002107

    Examples
    --------
    >>> print(hedges_correction([10, 40]).round(6))
    [0.922746 0.981112]
    """
    (m,) = columns(df=df)
    problems = Problems()
    problems.add("df", m, m <= 1, "> 1")
    problems.check()
    return hedges_j(m)


#: Largest half of the degrees of freedom whose gamma function is taken; it overflows at 171.
#: Beyond, the first term that the series leaves out is below 1e-17.
_GAMMA_TO = 150.0


def _by_gamma(half: Floats) -> Floats:
    return np.asarray(special.gamma(half) / (special.gamma(half - 0.5) * np.sqrt(half)))


def hedges_j(m: Floats) -> Floats:
    """Return J without checking its argument."""
    half = np.asarray(m / 2, dtype=np.float64)
    if not half.size or np.maximum.reduce(half, axis=None) <= _GAMMA_TO:
        return _by_gamma(half)
    x = np.maximum(half, _GAMMA_TO) - 0.5
    square = x * x
    series = (1 / 8 - (1 / 192 - 1 / (640 * square)) / square) / x
    large = np.exp(-series) * np.sqrt(x / (x + 0.5))
    return np.where(half <= _GAMMA_TO, _by_gamma(np.minimum(half, _GAMMA_TO)), large)
