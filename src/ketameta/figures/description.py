"""The text alternative of any figure: what it shows, in numbers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Describable(Protocol):
    """A layout that can say what it shows."""

    def describe(self) -> str:
        """Return the figure in sentences."""
        ...


def alt_text(layout: Describable) -> str:
    """Return the text alternative of a laid-out figure.

    Parameters
    ----------
    layout : Describable
        Any layout of this package.

    Returns
    -------
    str
        One paragraph: what kind of figure, how many trials, the estimates and intervals in
        numbers, and what is missing.
    """
    return layout.describe()
