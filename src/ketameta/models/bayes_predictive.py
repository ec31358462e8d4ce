"""What trials say of the true effect in a new, similar one, as a distribution that can be used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ketameta.models.bayes_mixture import Mixture
from ketameta.models.bayes_quadrature import conditional_on_tau, tau_posterior
from ketameta.models.gate import checked_inputs
from ketameta.models.priors import HalfNormal, Normal, TauPrior

#: Nodes with less posterior probability than this change nothing that is averaged over them.
_NEGLIGIBLE_WEIGHT = 1e-12


def predictive_effect(
    estimates: ArrayLike,
    variances: ArrayLike,
    tau_prior: TauPrior | None = None,
    mean_prior: Normal | None = None,
    labels: Sequence[object] | None = None,
) -> Mixture:
    """Return the posterior predictive distribution of the true effect in a new trial.

    Parameters
    ----------
    estimates, variances : array_like of shape (k,)
        At least one trial.
    tau_prior : TauPrior, default: HalfNormal(0.5)
    mean_prior : Normal, optional
        ``None`` is the improper uniform prior.
    labels : sequence, optional

    Returns
    -------
    Mixture
        Of normal distributions, one per node of the between-trial standard deviation.

    Notes
    -----
    The distribution whose median and interval
    :func:`~ketameta.models.bayes.bayes_random_effects` gives as ``new_effect``.
    """
    y, v, _, _, _ = checked_inputs(estimates, variances, labels, repeated_labels="allow")
    prior = HalfNormal(0.5) if tau_prior is None else tau_prior
    posterior = tau_posterior(y, v, prior, mean_prior)
    seen = posterior.weights > _NEGLIGIBLE_WEIGHT
    weights, tau = posterior.weights[seen], posterior.tau[seen]
    given = conditional_on_tau(y, v, tau, mean_prior)
    return Mixture(weights / weights.sum(), given.mu_mean, np.hypot(given.mu_sd, tau))
