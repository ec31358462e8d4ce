"""Effect sizes and their conversions: arrays in, arrays out."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
