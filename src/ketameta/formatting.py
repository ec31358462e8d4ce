"""How a number is written: one place for text, tables and figures. Computes nothing."""

from __future__ import annotations

import codecs
import io
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from unicodedata import normalize

#: Significant digits of a published number. Of the 40,000 numbers of a report seven differ between
#: processors (AVX2, AVX-512 and fused multiplication on and off, OpenBLAS for Prescott to SkylakeX)
#: when rounded to 10 digits and one to 9; none to 7, even where every effect is moved by 1e-14.
PUBLISHED_DIGITS = 7
#: Numbers are first rounded to this many digits, so that a tie (0.12345675, which one processor
#: computes as 0.1234567499999999) is one on every processor.
STEADY_DIGITS = 12
#: Whole numbers below this are counts and keep every digit; beyond it too few decimals are known.
LARGEST_COUNT = 1e10

#: What stands for a sign on a console that has none; of others the letter without its accent.
_PLAIN = {
    **{"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2192": "->", "\u2026": "...", "\u00b7": "|"},
    **{"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2248": "~", "\u221e": "inf"},
    **{"\u03c4": "tau", "\u03c7": "chi", "\u03bc": "mu", "\u03c1": "rho", "\u03b2": "beta"},
    **{"\u2264": "<=", "\u2265": ">=", "\u00d7": "x", "\u2011": "-", "\u00a0": " "},
}


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    told = []
    for sign in error.object[error.start : error.end]:
        letters = normalize("NFKD", sign).encode("ascii", "ignore").decode("ascii")
        told.append(_PLAIN.get(sign, letters) or "?")
    return "".join(told), error.end


codecs.register_error("ketameta.plain", _plain)


def speak_plainly(*streams: Any) -> None:
    """Have streams say what their encoding cannot in signs that it has, and never fail."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="ketameta.plain")


def for_console(text: str) -> str:
    """Return a text with the signs that the standard output can show."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "ketameta.plain").decode(encoding)


MINUS = "\u2212"
#: What is printed where there is no number.
MISSING = "\u2013"


def published(value: Any) -> Any:
    """Return numbers as they are published: floats with seven significant digits.

    In dicts, lists and tuples too. Integers, floats that are whole and below ``LARGEST_COUNT``, and
    everything else stay as they are; rounding what is rounded changes nothing, and there is no
    negative zero.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if isinstance(value, float):
        return _rounded(value, PUBLISHED_DIGITS)
    if isinstance(value, dict):
        return {key: published(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [published(item) for item in value]
    return value


@lru_cache(100_000)
def _rounded(value: float, digits: int) -> float:
    whole = steady(value)
    if whole.is_integer() and abs(whole) < LARGEST_COUNT:
        return whole + 0.0
    return float(f"{whole:.{digits - 1}e}")


def steady(value: float) -> float:
    """Return a number without the last digits, in which processors differ."""
    return float(f"{value:.{STEADY_DIGITS - 1}e}")


def published_together(values: Sequence[float | None]) -> list[float | None]:
    """Return numbers of one scale, all rounded where the largest has its last published digit.

    A line that passes through zero, or a difference of near-equal numbers, has as many certain
    decimals as the numbers it is made from, and not as many digits.
    """
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = published(max(known, default=0.0))
    if not largest:
        return [None if value is None else value + 0.0 for value in values]
    decimals = PUBLISHED_DIGITS - 1 - int(f"{largest:e}".partition("e")[2])
    more = decimals + STEADY_DIGITS - PUBLISHED_DIGITS
    return [
        None if value is None else published(round(round(value, more), decimals)) + 0.0
        for value in values
    ]


def format_number(value: float | None, digits: int = 2) -> str:
    """Return ``value`` with ``digits`` decimals and a true minus sign; an en dash for nothing.

    A value that rounds to zero is written without a sign.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{steady(value):.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def format_significant(value: float | None, figures: int = 3) -> str:
    """Return ``value`` with ``figures`` significant figures, in plain notation where readable."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    value = steady(value)
    # The exponent after rounding: 0.9996 with three figures is 1.00.
    magnitude = int(f"{value:.{figures - 1}e}".partition("e")[2])
    if -4 <= magnitude < 7:
        return format_number(value, max(0, figures - 1 - magnitude))
    return f"{value:.{figures - 1}e}".replace("-", MINUS)


def format_interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return ``low to high``."""
    return f"{format_number(low, digits)} to {format_number(high, digits)}"


def format_estimate(
    estimate: float | None, low: float | None, high: float | None, digits: int = 2
) -> str:
    """Return ``estimate [low, high]`` as forest plots print it."""
    inside = f"{format_number(low, digits)}, {format_number(high, digits)}"
    return f"{format_number(estimate, digits)} [{inside}]"


def format_p(p: float | None) -> str:
    """Return ``p = 0.012`` or ``p < 0.001``."""
    if p is None or not math.isfinite(p):
        return f"p {MISSING}"
    p = steady(p)
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def format_percent(share: float | None, digits: int = 0) -> str:
    """Return a share of one as a percentage: ``0.42`` is ``42%``."""
    return MISSING if share is None else f"{format_number(100 * share, digits)}%"


def format_level(level: float) -> str:
    """Return a confidence level with the decimals it has: ``95%``, ``97.5%``."""
    return f"{100 * level:.10g}%"


def format_count(count: float | None) -> str:
    """Return a whole number with thousands separated by a comma."""
    if count is None or not math.isfinite(count):
        return MISSING
    return f"{round(count):,}".replace("-", MINUS)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return ``1 trial`` or ``3 trials``."""
    return f"{count:,} {one if count == 1 else (many or one + 's')}"


#: Studies that one sentence names; more are counted.
NAMED = 10


def first_names(names: Sequence[str], between: str = ", ", most: int = NAMED) -> str:
    """Return the first names, ten where nothing else is asked, and how many more there are."""
    more = len(names) - most
    return between.join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def alternatives(names: Sequence[object]) -> str:
    """Return names to choose from, as ``a, b or c``; the first ten of many."""
    words = [str(name) for name in names]
    if len(words) > NAMED:
        return first_names(words)
    return " or ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def trials_words(k: int, pools: int = 0, *, one: str = "1 trial", short: bool = False) -> str:
    """Return ``2 trials and 1 pooled report of several trials``: a pooled report is no trial.

    Parameters
    ----------
    k : int
        Independent sets of people: trials and pooled reports.
    pools : int, default: 0
        How many of them are reports that pool several trials.
    one : str, default: "1 trial"
        How a single trial is said.
    short : bool, default: False
        Return ``2 trials + 1 pooled report``.

    Examples
    --------
    >>> print(trials_words(3), trials_words(3, 1), sep="; ")
    3 trials; 2 trials and 1 pooled report of several trials
    """
    trials = one if k - pools == 1 else plural(k - pools, "trial")
    if not pools:
        return trials
    pooled = plural(pools, "pooled report") + ("" if short else " of several trials")
    return f"{trials} {'+' if short else 'and'} {pooled}" if k > pools else pooled


def trials_number(k: int, pools: int = 0) -> str:
    """Return ``3 + 1`` for a column of numbers: trials, and after a plus the pooled reports."""
    return f"{k - pools} + {pools}" if pools else str(k)


def trials_heading(pools: int = 0) -> str:
    """Return ``Trials``, or what is counted where some of them are pooled reports."""
    return "Trials and pooled reports" if pools else "Trials"


#: Ratios beyond these bounds carry no information but their size, and are written as bounds.
RATIO_BOUNDS = (0.01, 1000.0)


def format_ratio(value: float | None, digits: int = 2) -> str:
    """Return a ratio with ``digits`` decimals; ``< 0.01`` and ``> 1,000`` beyond these bounds."""
    if value is None or math.isnan(value):
        return MISSING
    low, high = RATIO_BOUNDS
    if value < low:
        return f"< {low:g}"
    return f"> {high:,.0f}" if value > high else format_number(value, digits)


#: A spreadsheet runs what starts with one of these, spaces and marks of direction before it or not.
_RUN = re.compile(
    "[ \u00a0\u200e\u200f\u202a\u202b\u202d\u202e\u2066\u2067\u2068\ufeff]*[=+@\t\r-]"
)
_PLAIN_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")


def _would_run(cell: str) -> bool:
    return _RUN.match(cell) is not None


def guarded(value: Any) -> str:
    """Return a cell that no spreadsheet runs: numbers and single signs stay, other text is quoted.

    The apostrophe before the text is what spreadsheets themselves use; :func:`unguarded` takes it
    off again.

    Examples
    --------
    >>> guarded("=1+1"), guarded("-1.5"), guarded("-1,5"), guarded("=")
    ("'=1+1", '-1.5', '-1,5', '=')
    """
    if value is None or value != value:
        return ""
    text = repr(published(value)) if isinstance(value, float) else str(value)
    if len(text) < 2 or not _would_run(text) or _PLAIN_NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def unguarded(cell: str) -> str:
    """Return a cell as it was before :func:`guarded`."""
    return cell[1:] if cell[:1] == "'" and _would_run(cell[1:]) else cell


def csv_text(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, object] | Sequence[object]],
    *,
    separator: str = ",",
    guard: bool = True,
) -> str:
    """Return rows as CSV text with a header: by column (missing cells are empty), or in order."""
    import csv

    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = [row.get(name, "") for name in columns] if isinstance(row, Mapping) else row
        writer.writerow([guarded(cell) for cell in cells] if guard else cells)
    return stream.getvalue()
