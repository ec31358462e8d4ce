"""The arithmetic of a printed comparison: from estimate, interval or test to an effect size.

A room of its own because printed comparisons are worked by other formulas than arms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import special

from ketameta.report.worked import (
    Worked,
    _g,
    _g_variance,
    _has,
    _paired_g,
    _Sheet,
    _signed,
    number,
)


def worked_contrast(
    cells: Mapping[str, Any],
    effect: Mapping[str, Any],
    *,
    direction: str,
    paired: bool,
    correlation: float | None,
) -> Worked | None:
    """Return the calculation of an effect from one row of ``contrasts``.

    Parameters
    ----------
    cells : mapping
        The row: numbers as floats, empty cells as ``None`` or ``""``.
    effect : mapping
        The row of the effect table: its measure and route say which way was taken.
    direction : str
        Of the instrument.
    paired : bool
        Whether both arms are the same people.
    correlation : float or None
        Printed or assumed, for paired comparisons.
    """
    parts = str(effect["route"]).split("+")
    sheet = _Sheet()
    if "ratio_printed" in parts:
        return _ratio(sheet, cells)
    if "smd_printed" in parts:
        return _printed_smd(sheet, cells, parts)
    if "means_printed" in parts:
        return _means(sheet, cells, effect, parts)
    if "md_printed" in parts:
        return _difference(sheet, cells, effect, parts, direction, paired, correlation)
    return _test(sheet, cells, parts, paired, correlation)


def _level(cells: Mapping[str, Any]) -> float:
    return (float(cells["ci_level"]) if _has(cells.get("ci_level")) else 95.0) / 100


def _side(cells: Mapping[str, Any]) -> int:
    return {"treatment": -1, "control": 1}.get(str(cells.get("favours", "")), 0)


def _ratio(sheet: _Sheet, cells: Mapping[str, Any]) -> Worked:
    printed, low, high = (float(cells[key]) for key in ("estimate", "ci_low", "ci_high"))
    z = float(special.ndtri(0.5 + _level(cells) / 2))
    estimate = sheet.add("y", "ln(printed ratio)", f"ln {number(printed)}", math.log(printed))
    se = sheet.add(
        "SE", "(ln high − ln low) / (2 z)",
        f"(ln {number(high)} − ln {number(low)}) / (2 × {number(z)})",
        (math.log(high) - math.log(low)) / (2 * z),
    )  # fmt: skip
    return sheet.done(estimate, sheet.add("V", "SE²", f"{number(se)}²", se**2))


def _printed_smd(sheet: _Sheet, cells: Mapping[str, Any], parts: Sequence[str]) -> Worked:
    printed = float(cells["estimate"])
    g = sheet.add(
        "g", "size as printed; sign from the source's statement which arm did better",
        number(printed), _side(cells) * abs(printed),
    )  # fmt: skip
    if "smd_variance_from_n" in parts:
        n1, n2 = float(cells["n_treatment"]), float(cells["n_control"])
        return sheet.done(g, _g_variance(sheet, g, n1, n2))
    se = _se(sheet, cells, parts, g, None)
    return sheet.done(g, sheet.add("V", "SE²", f"{number(se)}²", se**2))


def _df(cells: Mapping[str, Any], paired: bool) -> float | None:
    if _has(cells.get("df")):
        return float(cells["df"])
    if paired and _has(cells.get("n_treatment")):
        return float(cells["n_treatment"]) - 1
    if _has(cells.get("n_treatment")) and _has(cells.get("n_control")):
        return float(cells["n_treatment"]) + float(cells["n_control"]) - 2
    return None


def _t(sheet: _Sheet, cells: Mapping[str, Any], parts: Sequence[str], df: float | None) -> float:
    """Add the size of t."""
    if "t_printed" in parts:
        return sheet.add("t", "as printed, without its sign", number(cells["t"]), abs(cells["t"]))
    if "f_to_t" in parts:
        f = float(cells["f"])
        return sheet.add("t", "√F", f"√{number(f)}", math.sqrt(f))
    p = float(cells["p"])
    assert df is not None
    return sheet.add(
        "t", "the t that has the printed two-sided p with this many degrees of freedom",
        f"p = {number(p)}, {number(df)} df", -float(special.stdtrit(df, p / 2)),
    )  # fmt: skip


def _se(
    sheet: _Sheet,
    cells: Mapping[str, Any],
    parts: Sequence[str],
    estimate: float,
    df: float | None,
) -> float:
    """Add the standard error of a printed difference."""
    if "se_printed" in parts:
        return sheet.add("SE", "as printed", number(cells["se"]), float(cells["se"]))
    if "ci_to_se" in parts:
        upper = 0.5 + _level(cells) / 2
        low, high = float(cells["ci_low"]), float(cells["ci_high"])
        q = float(special.ndtri(upper) if df is None else special.stdtrit(df, upper))
        word = "z" if df is None else f"t with {number(df)} df"
        return sheet.add(
            "SE", f"(high − low) / (2 q), q = {word}",
            f"({number(high)} − {_signed(low)}) / (2 × {number(q)})", (high - low) / (2 * q),
        )  # fmt: skip
    if "paired_printed" in parts:
        sd, n = float(cells["sd_difference"]), float(cells["n_treatment"])
        return sheet.add("SE", "SD of differences / √n", f"{number(sd)}/√{number(n)}",
                         sd / math.sqrt(n))  # fmt: skip
    t = _t(sheet, cells, parts, df)
    return sheet.add("SE", "|D| / t", f"{number(abs(estimate))}/{number(t)}", abs(estimate) / t)


def _means(
    sheet: _Sheet, cells: Mapping[str, Any], effect: Mapping[str, Any], parts: Sequence[str]
) -> Worked:
    estimate = sheet.add(
        "D", "difference of the printed means", number(effect["estimate"]), effect["estimate"]
    )
    t = _t(sheet, cells, parts, _df(cells, False))
    se = sheet.add("SE", "|D| / t", f"{number(abs(estimate))}/{number(t)}", abs(estimate) / t)
    return sheet.done(estimate, sheet.add("V", "SE²", f"{number(se)}²", se**2))


def _difference(
    sheet: _Sheet,
    cells: Mapping[str, Any],
    effect: Mapping[str, Any],
    parts: Sequence[str],
    direction: str,
    paired: bool,
    correlation: float | None,
) -> Worked | None:
    printed = float(cells["estimate"])
    words = "as printed"
    difference = printed
    if "sign_from_words" in parts:
        words, difference = "size as printed; sign from which arm did better", -printed
    difference = sheet.add("D", words, number(printed), difference)
    risk = effect["measure"] == "RD"
    se = _se(sheet, cells, parts, printed, None if risk else _df(cells, paired))
    if effect["measure"] != "SMD":
        return sheet.done(difference, sheet.add("V", "SE²", f"{number(se)}²", se**2))
    n1 = float(cells["n_treatment"])
    if direction == "higher_is_better":
        difference = sheet.add(
            "D", "−D, because higher scores are better", f"−{_signed(difference)}", -difference
        )
    if paired:
        if correlation is None:
            return None
        r = sheet.add("r", "correlation within persons", "as printed or assumed", correlation)
        sd = sheet.add(
            "SD", "SE √n / √(2 (1 − r))",
            f"{number(se)} × √{number(n1)} / √(2 × (1 − {_signed(r)}))",
            se * math.sqrt(n1) / math.sqrt(2 * (1 - r)),
        )  # fmt: skip
        d = sheet.add("d", "D / SD", f"{number(difference)} / {number(sd)}", difference / sd)
        return _paired_g(sheet, d, n1, r, flipped=False)
    n2 = float(cells["n_control"])
    sd = sheet.add(
        "SD", "SE / √(1/n₁ + 1/n₂)", f"{number(se)} / √(1/{number(n1)} + 1/{number(n2)})",
        se / math.sqrt(1 / n1 + 1 / n2),
    )  # fmt: skip
    return _g(sheet, difference / sd, "D / SD", f"{number(difference)} / {number(sd)}", n1, n2,
              flipped=False)  # fmt: skip


def _test(
    sheet: _Sheet,
    cells: Mapping[str, Any],
    parts: Sequence[str],
    paired: bool,
    correlation: float | None,
) -> Worked | None:
    t = _t(sheet, cells, parts, _df(cells, paired))
    t = sheet.add("t", "sign: negative where the treatment did better", number(t),
                  _side(cells) * t)  # fmt: skip
    n1 = float(cells["n_treatment"])
    if paired:
        if correlation is None:
            return None
        r = sheet.add("r", "correlation within persons", "as printed or assumed", correlation)
        d = sheet.add(
            "d", "t × √(2 (1 − r)/n)", f"{_signed(t)} × √(2 × (1 − {_signed(r)})/{number(n1)})",
            t * math.sqrt(2 * (1 - r) / n1),
        )  # fmt: skip
        return _paired_g(sheet, d, n1, r, flipped=False)
    n2 = float(cells["n_control"])
    return _g(
        sheet, t * math.sqrt(1 / n1 + 1 / n2), "t × √(1/n₁ + 1/n₂)",
        f"{_signed(t)} × √(1/{number(n1)} + 1/{number(n2)})", n1, n2, flipped=False,
    )  # fmt: skip
