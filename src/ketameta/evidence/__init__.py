"""The evidence base: reads, corrects, checks, pairs and derives what was extracted."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
