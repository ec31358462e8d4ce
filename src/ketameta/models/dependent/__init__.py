"""Effects that share people: multilevel models, sampling covariance, robust errors."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
