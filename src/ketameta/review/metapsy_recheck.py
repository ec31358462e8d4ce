"""Holds the effects a Metapsy file computes itself against the numbers that were taken from it.

A column read in the wrong place would show here; nothing of it is written into the tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ketameta.numberformat import plural
from ketameta.review.import_report import ImportedRow, line_ranges
from ketameta.review.metapsy_rows import GROUPS, SourceRow

#: Effects of the format are printed with 15 digits; means and SDs may be rounded for print.
_SAME = 1e-6


def recomputed_g(row: SourceRow, kind: str) -> tuple[float, float] | None:
    """Return Hedges' g of the first minus the second arm, with both small-sample factors in use.

    Returns
    -------
    tuple of float or None
        With the approximate factor ``1 - 3 / (4 N - 9)``, which the format's own tools use, and
        with the exact one; None where means, SDs or sizes are missing.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6(2), 107-128. doi:10.3102/10769986006002107
    """
    from ketameta.effect_sizes import hedges_correction

    if kind not in ("endpoint", "change"):
        return None
    cells = {
        f"{ours}{arm}": row.number(f"{theirs}_arm{arm}")
        for ours, theirs in GROUPS[kind].items()
        for arm in "12"
    }
    if not all(cells.values()):
        return None
    n1, n2 = float(cells["n1"]), float(cells["n2"])
    sd1, sd2 = float(cells["sd1"]), float(cells["sd2"])
    total = n1 + n2
    if n1 < 2 or n2 < 2 or sd1 <= 0 or sd2 <= 0:
        return None
    pooled = math.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / (total - 2))
    d = (float(cells["mean1"]) - float(cells["mean2"])) / pooled
    return d * (1 - 3 / (4 * total - 9)), d * hedges_correction(total - 2).item()


def recheck_note(rows: Sequence[ImportedRow], ours: Mapping[int, tuple[float, float]]) -> str:
    """Return how the recomputed g compare with the file's own; empty where it has none.

    Parameters
    ----------
    rows : sequence of ImportedRow
        With the file's ``g`` among their facts.
    ours : mapping of int to (float, float)
        Recomputed g by line, with either factor.
    """
    pairs = [
        (row.line, float(row.facts["g"]), ours[row.line])
        for row in rows
        if "g" in row.facts and row.line in ours
    ]
    if not pairs:
        return ""
    # The sign is the file's own choice: it may be turned so that negative favours the first arm.
    wrong = [
        line for line, theirs, mine in pairs if min(abs(abs(theirs) - abs(g)) for g in mine) > _SAME
    ]
    said = f"g recomputed from the arms equals the file's own in {len(pairs) - len(wrong)} of "
    said += plural(len(pairs), "row")
    return f"{said}; compare line {line_ranges(wrong)} with the source" if wrong else said
