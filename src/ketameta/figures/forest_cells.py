"""Writes the cells of a forest plot: counts, means, effects and weights, aligned by pieces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ketameta.figures.forest_rows import Cells, RowContent
from ketameta.figures.numbers import display_number, finite
from ketameta.figures.text import NO_BREAK, clean_text
from ketameta.numberformat import MISSING, format_count, format_number, format_percent

NOT_ESTIMABLE = "not estimable"
ARMS = ("treatment", "control")
#: Weights that add up to more were given within groups; their sum says nothing.
ALL_WEIGHT = 1.005


@dataclass(frozen=True, slots=True)
class CellWriter:
    """One way of writing numbers for all rows of a plot.

    Attributes
    ----------
    is_ratio : bool
    digits : int
        Decimals of effects.
    has_events, has_means : bool
        Whether arms show ``events/n``, and whether they show ``mean (SD)``.
    names_vary : (bool, bool)
        Whether intervention and comparator differ between rows.
    """

    is_ratio: bool
    digits: int
    has_events: bool
    has_means: bool
    names_vary: tuple[bool, bool]

    @property
    def comparison_header(self) -> str:
        """The heading of the column that names what was compared."""
        words = {(True, False): "Intervention", (False, True): "Comparator"}
        return words.get(self.names_vary, "Comparison")

    def number(self, value: float | None) -> str:
        """Write an effect in displayed units."""
        return display_number(value, self.digits, is_ratio=self.is_ratio)

    def effect(self, estimate: float | None, low: float | None, high: float | None) -> Cells:
        """Return the cell ``estimate [low, high]``, or the words that there is none."""
        if estimate is None and low is None and high is None:
            return {"effect": (NOT_ESTIMABLE,)}
        middle = self.number(estimate) if estimate is not None else ""
        if low is None and high is None:
            return {"effect": (middle, "", "")}
        return {"effect": (middle, f"[{self.number(low)},", f"{self.number(high)}]")}

    def study(
        self,
        row: Mapping[str, Any],
        estimate: float | None,
        low: float | None,
        high: float | None,
        weight: float | None,
    ) -> Cells:
        """Return the cells of one trial."""
        cells = self.effect(estimate, low, high)
        cells["weight"] = (MISSING if weight is None else format_percent(weight, 1),)
        names = [
            arm_words(row.get(key))
            for key, varies in zip(("intervention", "comparator"), self.names_vary, strict=True)
            if varies
        ]
        if names:
            cells["comparison"] = (" v ".join(names),)
        for arm in ARMS:
            n = finite(row.get(f"n_{arm}"))
            events = finite(row.get(f"events_{arm}"))
            if not self.has_events:
                cells[arm] = (format_count(n),)
            elif n is None and events is None:
                cells[arm] = (MISSING, "")
            else:
                cells[arm] = (format_count(events), f"/{format_count(n)}")
            if self.has_means:
                mean, sd = finite(row.get(f"mean_{arm}")), finite(row.get(f"sd_{arm}"))
                inside = f"({format_number(sd, 1)})" if sd is not None else ""
                cells[f"mean_{arm}"] = (format_number(mean, 1), inside)
        return cells

    def pool(
        self,
        estimate: float | None,
        low: float | None,
        high: float | None,
        used: Sequence[RowContent],
    ) -> Cells:
        """Return the cells of a pooled result, with the sums over the trials it used.

        A sum that would count people twice, or add weights of different pools, is left out.
        """
        cells = self.effect(estimate, low, high)
        weights = math.fsum(row.weight for row in used if row.weight is not None)
        if 0 < weights < ALL_WEIGHT:
            cells["weight"] = (format_percent(weights, 1),)
        names = [row.study_id for row in used if row.study_id]
        if len(set(names)) < len(names):  # the same people may stand in several rows
            return cells
        for arm in ARMS:
            total, unknown = known_sum([getattr(row, f"n_{arm}") for row in used])
            if total is None:
                continue
            text = (f"≥{NO_BREAK}" if unknown else "") + format_count(total)
            if not self.has_events:
                cells[arm] = (text,)
                continue
            events, some_unknown = known_sum([getattr(row, f"events_{arm}") for row in used])
            complete = not (events is None or unknown or some_unknown)
            cells[arm] = (format_count(events), f"/{text}") if complete else ("", text)
        return cells


def arm_words(value: Any) -> str:
    """Return the name of an intervention as readers see it: words, not the data's keys."""
    return clean_text(str(value or MISSING).replace("_", " ").replace(" / ", ", "))


def known_sum(values: Sequence[float | None]) -> tuple[float | None, bool]:
    """Return the sum of what is known, and whether something is unknown."""
    known = [value for value in values if value is not None]
    return (math.fsum(known) if known else None), len(known) < len(values)
