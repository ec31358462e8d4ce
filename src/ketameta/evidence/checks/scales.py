"""Checks of scores against their scale: possible values, possible and usual spreads.

A room of its own because checks are kept by what they look at, and the registry lists them all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from statistics import median
from typing import NamedTuple

from ketameta.evidence.checks.context import Context, Problem, error, warning
from ketameta.evidence.tables import Row

#: A standard deviation below this share of the usual one may be a standard error.
SE_SHARE = 1 / 3
#: ... if times the square root of n it comes within this factor of the usual one.
SE_FIT = 2.0
#: Without a usual SD: below this share of the scale's range (the golden errors have 0.5 to 1.8%,
#: scores of trial populations spread over 8 to 25% of their scale).
SE_SHARE_OF_RANGE = 0.03
#: ... if times the square root of n it comes within these shares of the range.
SE_FIT_OF_RANGE = (0.02, 0.35)
#: This many other trials with the instrument make a usual SD.
TRIALS_FOR_A_USUAL_SD = 2
#: Scores on the scale; a change is measured in differences.
_SCORE_COLUMNS = ("mean", "median", "q1", "q3", "minimum", "maximum")


def scale_range(context: Context, row: Row) -> tuple[float, float] | None:
    """Return the lowest and highest score of the row's instrument, where both are known."""
    instrument = context.instruments.get(row["instrument"])
    if instrument is None:
        return None
    low, high = instrument.number("minimum"), instrument.number("maximum")
    return (low, high) if low is not None and high is not None and low < high else None


def check_scores_are_on_the_scale(context: Context) -> Iterator[Problem]:
    """Each score lies within the range of its instrument, and a change within its width."""
    for row in context.rows("outcomes"):
        instrument = context.instruments.get(row["instrument"])
        if instrument is None or row["statistic"] not in ("endpoint", "change"):
            continue
        low, high = instrument.number("minimum"), instrument.number("maximum")
        columns = (
            ("baseline_mean",)
            if row["statistic"] == "change"
            else (*_SCORE_COLUMNS, "baseline_mean")
        )
        for column in columns:
            score = row.number(column)
            if score is None:
                continue
            if low is not None and score < low:
                hint = "; a change has statistic change" if score < 0 <= low else ""
                yield error(
                    row,
                    column,
                    f"below {low:g}, the lowest score of {row['instrument']}",
                    f"compare it with the source{hint}",
                )
            elif high is not None and score > high:
                yield error(
                    row,
                    column,
                    f"above {high:g}, the highest score of {row['instrument']}",
                    "compare it with the source; look for another version of the scale",
                )
        limits = scale_range(context, row) if row["statistic"] == "change" else None
        change = row.number("mean") if limits else None
        if limits and change is not None and abs(change) > limits[1] - limits[0]:
            width = f"{limits[1] - limits[0]:g} points"
            yield error(
                row,
                "mean",
                f"a change larger than {row['instrument']} is wide ({width})",
                "compare it with the source",
            )


def check_endpoints_are_not_changes(context: Context) -> Iterator[Problem]:
    """Each score at a time point is positive where the instrument's other scores are."""
    groups: dict[str, list[Row]] = {}
    for row in context.rows("outcomes"):
        if row["statistic"] == "endpoint" and row.number("mean") is not None:
            groups.setdefault(row["instrument"], []).append(row)
    for name, rows in groups.items():
        instrument = context.instruments.get(name)
        if instrument is not None and instrument.number("minimum") is not None:
            continue
        below = [row for row in rows if (row.number("mean") or 0.0) < 0]
        if below and len(below) < len(rows) / 2:
            for row in below:
                yield warning(
                    row,
                    "mean",
                    f"negative, where {len(rows) - len(below)} other endpoints of {name} are not",
                    "if this is a change, write statistic change",
                )


def largest_sd(low: float, high: float, mean: float, n: float | None) -> float:
    """Return the largest standard deviation that scores between two limits can have.

    The Bhatia-Davis inequality, variance <= (high - mean)(mean - low), times n / (n - 1) for the
    sample variance. Bhatia and Davis (2000), Am. Math. Mon. 107(4), 353-357.
    """
    inside = max(0.0, (high - mean) * (mean - low))
    return sqrt(inside * (n / (n - 1) if n is not None and n > 1 else 2.0))


def check_sds_are_possible(context: Context) -> Iterator[Problem]:
    """No standard deviation is larger than scores between the scale's ends can have."""
    for row in context.rows("outcomes"):
        limits = scale_range(context, row)
        if limits is None or row["sd_origin"] == "model":
            continue
        for column, centre in (("sd", "mean"), ("baseline_sd", "baseline_mean")):
            sd, mean = row.number(column), row.number(centre)
            if sd is None or mean is None or (column == "sd" and row["statistic"] != "endpoint"):
                continue
            if not limits[0] <= mean <= limits[1]:
                continue
            largest = largest_sd(*limits, mean, row.number("n"))
            if sd > 1.02 * largest + 0.01:
                yield error(
                    row,
                    column,
                    f"with {centre} {mean:g} no SD on {limits[0]:g} to {limits[1]:g} "
                    f"can exceed {largest:.3g}",
                    "look for a variance, an interval or another scale",
                )


class UsualSds(NamedTuple):
    """The middle printed SD of each trial, and all of them in order of size."""

    by_study: Mapping[str, float]
    ordered: Sequence[float]

    def without(self, study: str) -> tuple[int, float | None]:
        """Return how many other trials there are, and their median SD."""
        own = self.by_study.get(study)
        count = len(self.ordered) - (own is not None)
        if count == 0:
            return 0, None
        at = len(self.ordered) if own is None else bisect_left(self.ordered, own)
        low, high = ((count - 1) // 2, count // 2)
        # Beyond the place of the trial itself the others stand one place further on.
        return count, (self.ordered[low + (low >= at)] + self.ordered[high + (high >= at)]) / 2


def usual_sds(context: Context) -> Mapping[tuple[str, str], UsualSds]:
    """Return the usual SDs by instrument and kind of score."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in context.rows("outcomes"):
        sd = row.number("sd")
        if sd is not None and sd > 0 and row["sd_origin"] != "model":
            key = (row["instrument"], row["statistic"])
            found.setdefault(key, {}).setdefault(row["study_id"], []).append(sd)
    medians = {
        key: {study: median(values) for study, values in studies.items()}
        for key, studies in found.items()
    }
    return {key: UsualSds(studies, sorted(studies.values())) for key, studies in medians.items()}


def check_sds_are_not_standard_errors(context: Context) -> Iterator[Problem]:
    """Each standard deviation is of the usual size; one that fits only times root n is an SE."""
    usual = usual_sds(context)
    for row in context.rows("outcomes"):
        sd, n = row.number("sd"), row.number("n")
        if sd is None or sd <= 0 or n is None or n < 3:
            continue
        for reference, source in _references(context, row, usual):
            fits = reference / SE_FIT <= sd * sqrt(n) <= reference * SE_FIT
            if sd < SE_SHARE * reference and fits:
                yield _se_warning(row, sd, n, f"{reference:.3g}, {source}")
                break
        else:
            limits = scale_range(context, row)
            if limits is None:
                continue
            width = limits[1] - limits[0]
            share = sd * sqrt(n) / width
            if sd < SE_SHARE_OF_RANGE * width and SE_FIT_OF_RANGE[0] < share < SE_FIT_OF_RANGE[1]:
                yield _se_warning(row, sd, n, f"small on a scale {width:g} points wide")


def _references(
    context: Context, row: Row, usual: Mapping[tuple[str, str], UsualSds]
) -> Iterator[tuple[float, str]]:
    """Yield the usual standard deviations that a row can be compared with."""
    instrument = context.instruments.get(row["instrument"])
    printed = instrument.number("usual_sd") if instrument is not None else None
    if printed is not None and printed > 0 and row["statistic"] == "endpoint":
        yield printed, "the usual SD of the instrument"
    before = row.number("baseline_sd")
    if before is not None and before > 0:
        yield before, "the SD of the arm at baseline"
    studies = usual.get((row["instrument"], row["statistic"]))
    if studies is not None:
        count, middle = studies.without(row["study_id"])
        if middle is not None and count >= TRIALS_FOR_A_USUAL_SD:
            yield middle, f"the middle SD of {count} other trials"


def _se_warning(row: Row, sd: float, n: float, than: str) -> Problem:
    """Return the warning that a standard error may stand in the sd column."""
    return warning(
        row,
        "sd",
        f"far below {than}" if than[0].isdigit() else than,
        f"look whether it is a standard error ({sd:g} x root {n:g} = {sd * sqrt(n):.3g}); if so, "
        "move it to se",
    )


def check_standard_errors_are_not_sds(context: Context) -> Iterator[Problem]:
    """Each standard error is of the usual size; one as large as a usual SD is an SD."""
    usual = usual_sds(context)
    for row in context.rows("outcomes"):
        se, n = row.number("se"), row.number("n")
        if se is None or se <= 0 or n is None or n < 8:
            continue
        for reference, source in _references(context, row, usual):
            if reference / SE_FIT <= se <= reference * SE_FIT and se * sqrt(n) > 3 * reference:
                yield warning(
                    row,
                    "se",
                    f"as large as an SD ({reference:.3g}, {source})",
                    "look whether it is a standard deviation; if so, move it to sd",
                )
                break
