"""What a result rests on: influence, leave-one-out, order, subsets, a second engine."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
