"""Bayesian meta-analysis by quadrature: the model, its nodes, its priors."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
