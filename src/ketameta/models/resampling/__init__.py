"""Many fits at once: the batched core, permutation, bootstrap, simulation."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
