"""ketameta: what is known about ketamine for ADHD, from extracted trial results to a report."""

from __future__ import annotations

__version__ = "0.1.0"
