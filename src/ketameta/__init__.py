"""ketameta: living meta-analyses, from extracted trial results to a report.

The names below are the public interface. Each is imported when first used, so that
``import ketameta`` costs next to nothing.
"""

from __future__ import annotations

from ketameta.errors import face

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = face(__name__)
__all__ += ["__version__"]
