"""What a reviewer does: start a batch, preview it, compare two extractions, trace a study."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
