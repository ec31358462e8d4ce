"""Other programs' files: batches imported from them, the evidence exported to them."""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
