"""One analysis at two moments: its numbers, what it concludes, and which trials came or went.

Reads results as plain dictionaries, so that a published file and a fresh result compare alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ketameta.analyses.words import direction_words, interval_words, written
from ketameta.numberformat import MISSING, format_count, format_number, plural
from ketameta.vocabulary import Measure

Result = Mapping[str, Any]
#: Two builds of the same data may differ by so much, relative to the number: another library
#: version adds in another order.
SAME = 1e-9
#: Numbers of a pooled result that are compared.
_POOLED = ("estimate", "ci_low", "ci_high", "tau2", "pi_low", "pi_high")


@dataclass(frozen=True, slots=True)
class Side:
    """An analysis, or one of its groups, at one moment.

    Attributes
    ----------
    label : str
        Name of the group; empty for the whole analysis.
    k : int
    people : int or None
    measure : Measure
    numbers : mapping of str to float or None
        ``estimate, ci_low, ci_high, tau2, pi_low, pi_high`` on the analysis scale.
    conclusion : str
        What the interval says about the direction, in words.
    """

    label: str
    k: int
    people: int | None
    measure: Measure
    numbers: Mapping[str, float | None]
    conclusion: str

    @property
    def prediction_includes_null(self) -> bool | None:
        """Whether the prediction interval includes no difference; None where there is none."""
        low, high = self.numbers["pi_low"], self.numbers["pi_high"]
        return None if low is None or high is None else low <= 0 <= high

    def written(self) -> tuple[str, ...]:
        """Return k, people, estimate, interval, tau-squared and prediction interval as printed."""
        if self.k == 0:
            return ("0", "0", *([MISSING] * 4))
        value = self.numbers
        interval = prediction = MISSING
        if value["ci_low"] is not None and value["ci_high"] is not None:
            interval = interval_words(value["ci_low"], value["ci_high"], self.measure)
        if value["pi_low"] is not None and value["pi_high"] is not None:
            prediction = interval_words(value["pi_low"], value["pi_high"], self.measure)
        return (
            str(self.k),
            format_count(self.people),
            MISSING if value["estimate"] is None else written(value["estimate"], self.measure),
            interval,
            format_number(value["tau2"], 3),
            prediction,
        )


#: Column names of :meth:`Side.written`.
WRITTEN = ("k", "people", "estimate", "95% CI", "τ²", "95% PI")


@dataclass(frozen=True, slots=True)
class AnalysisChange:
    """One analysis before and after.

    Attributes
    ----------
    name, title, directness : str
    measure : Measure
    before, after : tuple of Side
        The whole analysis first, where it pools everything; then its groups.
    entered, left, altered : tuple of str
        Trials by label.
    """

    name: str
    title: str
    directness: str
    measure: Measure
    before: tuple[Side, ...]
    after: tuple[Side, ...]
    entered: tuple[str, ...]
    left: tuple[str, ...]
    altered: tuple[str, ...]

    @property
    def pairs(self) -> tuple[tuple[Side | None, Side | None], ...]:
        """The sides of the same label, before and after."""
        before = {side.label: side for side in self.before}
        after = {side.label: side for side in self.after}
        labels = dict.fromkeys((*after, *before))
        return tuple((before.get(label), after.get(label)) for label in labels)

    @property
    def changed_pairs(self) -> tuple[tuple[Side | None, Side | None], ...]:
        """The sides that differ; all of them where only trials came or went."""
        found = tuple(
            (one, two)
            for one, two in self.pairs
            if one is None or two is None or not _same_side(one, two)
        )
        return found or self.pairs

    @property
    def is_changed(self) -> bool:
        """Whether any number, trial or conclusion differs."""
        if self.entered or self.left or self.altered:
            return True
        return any(
            one is None or two is None or not _same_side(one, two) for one, two in self.pairs
        )

    @property
    def new_predictions(self) -> tuple[str, ...]:
        """Sentences on prediction intervals that now include no difference, or no longer do."""
        sentences = []
        for one, two in self.pairs:
            if one is None or two is None:
                continue
            was, now = one.prediction_includes_null, two.prediction_includes_null
            if was is not None and now is not None and was != now:
                verb = "now includes" if now else "no longer includes"
                about = f"{two.label}: the" if two.label else "The"
                sentences.append(
                    f"{about} prediction interval for a new trial {verb} no difference."
                )
        return tuple(sentences)

    @property
    def new_conclusions(self) -> tuple[tuple[str, str, str], ...]:
        """Label, conclusion before and after, where both are there and differ."""
        return tuple(
            (two.label, one.conclusion, two.conclusion)
            for one, two in self.pairs
            if one is not None and two is not None and one.conclusion != two.conclusion
        )

    @property
    def new_groups(self) -> tuple[Side, ...]:
        """Groups that were not there before."""
        return tuple(two for one, two in self.pairs if one is None and two is not None)

    @property
    def lost_groups(self) -> tuple[str, ...]:
        """Labels of groups that are no longer there."""
        return tuple(one.label for one, two in self.pairs if two is None and one is not None)


def compare_results(before: Result | None, after: Result | None) -> AnalysisChange:
    """Return one analysis before and after; either may be missing, not both."""
    there = after if after is not None else before
    if there is None:
        raise ValueError("one of the two results is needed")
    rows_before = dict(_rows(before)) if before is not None else {}
    rows_after = dict(_rows(after)) if after is not None else {}
    labels = _labels(before) | _labels(after)

    def named(keys: list[tuple[str, str]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(labels[study] for study, _ in keys))

    return AnalysisChange(
        name=there["name"],
        title=there["title"],
        directness=there["directness"],
        measure=Measure(there["measure"]),
        before=tuple(sides(before)) if before is not None else (),
        after=tuple(sides(after)) if after is not None else (),
        entered=named([key for key in rows_after if key not in rows_before]),
        left=named([key for key in rows_before if key not in rows_after]),
        altered=named(
            [
                key
                for key, row in rows_after.items()
                if key in rows_before and not _same_numbers(row, rows_before[key])
            ]
        ),
    )


def sides(result: Result) -> Iterator[Side]:
    """Yield the whole analysis and its groups; only groups where they are not pooled together."""
    measure = Measure(result["measure"])
    favours = list(result["favours"])
    if result["pooled"] is not None or result["k"] == 0 or not _grouped(result):
        yield _side("", result["k"], result["n_participants"], result["pooled"], measure, favours)
    for group in result["groups"] if _grouped(result) else ():
        rows = group["rows"]
        sizes = [row["n_participants"] for row in rows if row["n_participants"] is not None]
        yield _side(group["label"], len(rows), sum(sizes), group["pooled"], measure, favours)


def _grouped(result: Result) -> bool:
    return any(group["label"] for group in result["groups"])


def _side(
    label: str,
    k: int,
    people: int | None,
    pooled: Result | None,
    measure: Measure,
    favours: list[str],
) -> Side:
    numbers = {name: pooled.get(name) if pooled is not None else None for name in _POOLED}
    # Trials of unknown size are not trials without people.
    people = people or (None if k else 0)
    return Side(label, k, people, measure, numbers, conclusion(k, pooled, measure, favours))


def conclusion(k: int, pooled: Result | None, measure: Measure, favours: list[str]) -> str:
    """Return what a result says about the direction, in words."""
    if k == 0:
        return "no eligible trial"
    if pooled is None:
        return "different measurements, not pooled together"
    words = direction_words(dict(pooled), measure, favours)
    return f"one trial; {words}" if k == 1 else words


def _rows(result: Result) -> Iterator[tuple[tuple[str, str], Result]]:
    for group in result["groups"]:
        for row in group["rows"]:
            yield (row["study_id"], row["group"]), row


def _labels(result: Result | None) -> dict[str, str]:
    if result is None:
        return {}
    return {study: row["label"] for (study, _), row in _rows(result)}


def _same_side(one: Side, two: Side) -> bool:
    if (one.k, one.people, one.conclusion) != (two.k, two.people, two.conclusion):
        return False
    return all(close(one.numbers[name], two.numbers[name]) for name in _POOLED)


def _same_numbers(one: Result, two: Result) -> bool:
    return all(close(one.get(name), two.get(name)) for name in ("estimate", "se"))


def close(one: float | None, two: float | None) -> bool:
    """Return whether two numbers, or two missing ones, are the same."""
    if one is None or two is None:
        return one is two
    return math.isclose(one, two, rel_tol=SAME, abs_tol=SAME)


def change_words(change: AnalysisChange) -> str:
    """Return which trials came and went, in words."""
    parts = [
        f"{verb} {', '.join(labels)}"
        for verb, labels in (
            ("enters with", change.entered),
            ("loses", change.left),
            ("with other numbers:", change.altered),
        )
        if labels
    ]
    return "; ".join(parts) or "the same trials"


def count_words(changes: int, checked: int) -> str:
    """Return ``2 of 35 analyses change``."""
    verb = "changes" if changes == 1 else "change"
    return f"{changes} of {plural(checked, 'analysis', 'analyses')} {verb}"
