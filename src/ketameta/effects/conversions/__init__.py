"""From what a source prints to what an effect size needs: arrays in, arrays out.

Knows nothing of tables. ``ROUTES`` names every way, so that the effect table can record it.
"""

from __future__ import annotations

from ketameta.errors import face

__getattr__, __dir__, __all__ = face(__name__)
