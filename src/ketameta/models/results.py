"""What every statistical result can do: print a sentence, tidy to a frame, serialise to JSON.

Holds no statistics. Result classes are frozen, slotted dataclasses that inherit from
:class:`Result`, keep full precision, and carry their caveats as data.
"""

from __future__ import annotations

import dataclasses
import html
import json
import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ketameta.measures import measure_entry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, slots=True)
class Caveat:
    """Something a reader must know before trusting a number.

    Attributes
    ----------
    code : str
        Stable word for tests and templates, such as ``"single_study"``.
    message : str
        One sentence for the report.
    """

    code: str
    message: str


def plain(value: Any) -> Any:
    """Return ``value`` as JSON-ready Python: arrays to lists, NaN and infinity to ``None``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "to_dict") and not isinstance(value, (str, bytes)):
        return plain(value.to_dict())
    return value


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Result:
    """Base of every result. Subclasses implement :meth:`summary` (the printed lines)."""

    def summary(self) -> str:
        """Return the lines that the repr prints; the first one is a sentence in brackets."""
        raise TypeError(f"{type(self).__name__} does not say how it prints")

    def __repr__(self) -> str:
        return self.summary()

    def __eq__(self, other: object) -> bool:
        """Compare by content, arrays included; subclasses are declared with ``eq=False``."""
        return type(self) is type(other) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON-ready Python, at full precision."""
        return {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def to_json(self) -> str:
        """Return the same bytes for the same result: sorted keys, shortest round-trip floats."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, allow_nan=False)

    def display(self, name: str) -> Any:
        """Return a field on the scale that is read: ratios, proportions, correlations.

        ``estimate``, a bound or anything else on the pooled scale, turned back by the measure of
        the result; as it is where the measure is not known or needs nothing.
        """
        value, entry = getattr(self, name), measure_entry(getattr(self, "measure", None))
        if value is None or entry is None:
            return value
        shown = entry.to_reader(value, getattr(self, "variances", None))
        return float(shown) if np.ndim(shown) == 0 else shown

    @property
    def display_estimate(self) -> Any:
        """The estimate on the scale that is read."""
        return self.display("estimate")

    @property
    def display_ci_low(self) -> Any:
        """The lower end of its interval on the scale that is read."""
        return self.display("ci_low")

    @property
    def display_ci_high(self) -> Any:
        """The upper end of its interval on the scale that is read."""
        return self.display("ci_high")

    @property
    def display_pi_low(self) -> Any:
        """The lower end of the prediction interval on the scale that is read."""
        return self.display("pi_low")

    @property
    def display_pi_high(self) -> Any:
        """The upper end of the prediction interval on the scale that is read."""
        return self.display("pi_high")

    def tidy(self) -> pd.DataFrame:
        """Return one row per estimate in the column vocabulary (``estimate, se, ci_low, ...``)."""
        import pandas as pd

        scalars = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), (str, int, float, np.generic))
        }
        return pd.DataFrame([scalars])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"


# --- the one door to the plots --------------------------------------------------------------------


def _draw(kind: str, result: object, options: dict[str, Any]) -> Axes:
    """Draw a result; the only place where a model looks up to the plots, and only when asked."""
    from ketameta import plots

    axes: Axes = getattr(plots, kind)(result, **options)
    return axes


class DrawsForest:
    """A result with a forest plot."""

    __slots__ = ()

    def forest(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw a forest plot and return its axes; options as :func:`ketameta.plots.forest`."""
        return _draw("forest", self, {"ax": ax, **options})


class DrawsFunnel:
    """A result with a funnel plot."""

    __slots__ = ()

    def funnel(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw a funnel plot and return its axes; options as :func:`ketameta.plots.funnel`."""
        return _draw("funnel", self, {"ax": ax, **options})


class DrawsBaujat:
    """A result with a Baujat plot."""

    __slots__ = ()

    def baujat(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw a Baujat plot and return its axes; options as :func:`ketameta.plots.baujat`."""
        return _draw("baujat", self, {"ax": ax, **options})


class DrawsBubble:
    """A result with bubble plots."""

    __slots__ = ()

    def bubble(
        self, moderator: str | None = None, *, ax: Axes | None = None, **options: Any
    ) -> Axes:
        """Draw effects against a moderator; options as :func:`ketameta.plots.bubble`."""
        return _draw("bubble", self, {"moderator": moderator, "ax": ax, **options})


class DrawsPlot:
    """A result with one plot of its own, whose name is ``drawn_as``."""

    __slots__ = ()
    drawn_as: ClassVar[str]

    def plot(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the result and return the axes; options as the function in ``ketameta.plots``."""
        return _draw(self.drawn_as, self, {"ax": ax, **options})


#: Seconds before a bar appears, and between two drawings.
PATIENCE, INTERVAL = 1.0, 0.1
WIDTH = 30


def terminal_bar(what: str) -> Callable[[int, int], None] | None:
    """Return a function of (done, total) that draws a bar, or None when nobody is looking.

    Nobody is looking when standard error is not a terminal.
    """
    stream = sys.stderr
    if stream is None or not stream.isatty():
        return None
    begun = time.monotonic()
    drawn = begun + PATIENCE - INTERVAL

    def draw(done: int, total: int) -> None:
        nonlocal drawn
        now = time.monotonic()
        shown = drawn > begun + PATIENCE - INTERVAL
        if now - drawn < INTERVAL and not (shown and done >= total):
            return
        drawn = now
        filled = WIDTH * done // total
        left = (now - begun) * (total - done) / max(done, 1)
        stream.write(
            f"\r{what} [{'#' * filled}{'.' * (WIDTH - filled)}] {100 * done // total:3d}%"
            f" {left:4.0f} s left"
        )
        if done >= total:
            stream.write("\r" + " " * (len(what) + WIDTH + 22) + "\r")
        stream.flush()

    return draw
