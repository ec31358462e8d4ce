"""Finds everything wrong with the extracted data, with file, line, column, reason and remedy."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
