"""The report: every number of the prose by name, from results; HTML and manifest."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
