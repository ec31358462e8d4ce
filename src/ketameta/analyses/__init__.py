"""Declared questions: from an analysis file to its results. Draws nothing."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
