"""Agreement between two extractors: statistics per column, every difference, what is left to do.

Writes ``second/reconciliation.csv``, keeping what was decided already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ketameta.errors import UsageError
from ketameta.evidence.second_extraction import (
    RECONCILIATION,
    WHOLE_ROW,
    CellPair,
    Comparison,
    Decision,
    compare_batch,
    likely_matches,
    open_rows,
    read_decisions,
    second_folders,
)
from ketameta.evidence.tables import DECISIONS, SECOND
from ketameta.formatting import (
    MISSING,
    csv_text,
    format_number,
    format_percent,
    format_significant,
    plural,
)
from ketameta.measures import ROB_RANK
from ketameta.paths import ProjectPaths, write_atomically
from ketameta.review.document import Block, Bullets, Document, Grid, Heading, Paragraph

#: Normal quantile of the limits of agreement.
_Z95 = 1.96
IccForm = Literal["1,1", "2,1", "3,1"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bland-Altman limits of agreement, in the unit of the numbers.

    Attributes
    ----------
    bias : float
        Mean of first minus second.
    low, high : float
        Bias minus and plus 1.96 standard deviations of the differences.
    """

    bias: float
    low: float
    high: float


def cohens_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return Cohen's kappa of two raters on unordered words.

    Returns
    -------
    float or None
        None where both raters used a single and the same word, so that chance explains everything.

    Notes
    -----
    By ``statsmodels.stats.inter_rater.cohens_kappa``.

    References
    ----------
    Cohen (1960), Educ. Psychol. Meas. 20(1), 37-46. doi:10.1177/001316446002000104
    """
    words = sorted({*first, *second})
    return _kappa(first, second, words, None)


def weighted_kappa(
    first: Sequence[str], second: Sequence[str], order: Sequence[Sequence[str]]
) -> float | None:
    """Return Cohen's kappa with linear weights on ordered words.

    Parameters
    ----------
    first, second : sequence of str
    order : sequence of sequence of str
        The words from best to worst; words in one place count as equal. Pairs with another word
        are left out.

    References
    ----------
    Cohen (1968), Psychol. Bull. 70(4), 213-220. doi:10.1037/h0026256
    """
    rank = {word: place for place, words in enumerate(order) for word in words}
    pairs = [
        (str(rank[one]), str(rank[two]))
        for one, two in zip(first, second, strict=True)
        if one in rank and two in rank
    ]
    levels = [str(place) for place in range(len(order))]
    return _kappa([one for one, _ in pairs], [two for _, two in pairs], levels, "linear")


def _kappa(
    first: Sequence[str], second: Sequence[str], words: Sequence[str], weights: str | None
) -> float | None:
    from statsmodels.stats.inter_rater import cohens_kappa as kappa_of

    place = {word: index for index, word in enumerate(words)}
    table = np.zeros((len(words), len(words)))
    for one, two in zip(first, second, strict=True):
        table[place[one], place[two]] += 1
    used = int(((table.sum(axis=0) + table.sum(axis=1)) > 0).sum())
    if used < 2:
        return None
    value = float(kappa_of(table, wt=weights, return_results=False))
    return value if math.isfinite(value) else None


def intraclass_correlation(ratings: ArrayLike, form: IccForm = "2,1") -> float | None:
    """Return the intraclass correlation of single ratings.

    Parameters
    ----------
    ratings : array_like of shape (n, k)
        n targets, each rated by the same k raters.
    form : {"1,1", "2,1", "3,1"}
        One-way random; two-way random, absolute agreement; two-way mixed, consistency.

    Returns
    -------
    float or None
        None for fewer than two targets, or where all ratings are equal.

    Notes
    -----
    With the mean squares between targets (BMS), within targets (WMS), between raters (JMS) and of
    the residual (EMS)::

        ICC(1,1) = (BMS - WMS) / (BMS + (k - 1) WMS)
        ICC(2,1) = (BMS - EMS) / (BMS + (k - 1) EMS + k (JMS - EMS) / n)
        ICC(3,1) = (BMS - EMS) / (BMS + (k - 1) EMS)

    Two extractors of the same papers are compared by ICC(2,1): another pair could have done it, and
    a constant difference between them is disagreement.

    References
    ----------
    Shrout and Fleiss (1979), Psychol. Bull. 86(2), 420-428. doi:10.1037/0033-2909.86.2.420

    Examples
    --------
    >>> round(intraclass_correlation([[10, 11], [14, 15], [20, 21]]), 4)
    0.9808
    """
    x = np.asarray(ratings, dtype=float)
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 2:
        return None
    # Agreement does not depend on the unit or the origin, rounding does.
    scale = float(np.abs(x - x.mean()).max())
    if scale == 0:
        return None
    x = (x - x.mean()) / scale
    n, k = x.shape
    targets, raters, grand = x.mean(axis=1), x.mean(axis=0), x.mean()
    between = k * float(((targets - grand) ** 2).sum())
    judges = n * float(((raters - grand) ** 2).sum())
    within = float(((x - targets[:, None]) ** 2).sum())
    bms, wms = between / (n - 1), within / (n * (k - 1))
    jms, ems = judges / (k - 1), max(0.0, within - judges) / ((n - 1) * (k - 1))
    if form == "1,1":
        top, bottom = bms - wms, bms + (k - 1) * wms
    elif form == "3,1":
        top, bottom = bms - ems, bms + (k - 1) * ems
    else:
        top, bottom = bms - ems, bms + (k - 1) * ems + k * (jms - ems) / n
    return top / bottom if bottom > 0 else None


def limits_of_agreement(first: ArrayLike, second: ArrayLike) -> Limits | None:
    """Return the limits between which 95% of the differences of two extractors lie.

    Returns
    -------
    Limits or None
        None for fewer than two pairs.

    Notes
    -----
    Mean difference plus and minus 1.96 standard deviations; the paper rounds 1.96 to 2.

    References
    ----------
    Bland and Altman (1986), Lancet 327(8476), 307-310. doi:10.1016/S0140-6736(86)90837-8
    """
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if differences.size < 2:
        return None
    bias, spread = float(differences.mean()), float(differences.std(ddof=1))
    return Limits(bias, bias - _Z95 * spread, bias + _Z95 * spread)


#: Words with an order, from best to worst; words in one place count as equal.
ORDERED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "judgement": tuple(
        tuple(word for word, place in ROB_RANK.items() if place == rank)
        for rank in sorted(set(ROB_RANK.values()))
    ),
}
_COLUMNS = ("table.column", "cells", "agree", "kappa", "weighted kappa", "ICC", "bias", "limits")


@dataclass(frozen=True, slots=True)
class ColumnAgreement:
    """How the two agree in one column.

    Attributes
    ----------
    name : str
        ``table.column``.
    cells, agreeing : int
        Cells that at least one extractor filled, in rows that both have; and those that are equal.
    kappa, weighted_kappa : float or None
        For words; a cell that one left empty counts as a word of its own.
    icc : float or None
        ICC(2,1) of the cells that both filled with a number.
    bias, low, high : float or None
        Mean difference (first minus second) and limits of agreement.
    """

    name: str
    cells: int
    agreeing: int
    kappa: float | None = None
    weighted_kappa: float | None = None
    icc: float | None = None
    bias: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class BatchAgreement:
    """Everything about the two extractions of one batch.

    Attributes
    ----------
    comparison : Comparison
    columns : tuple of ColumnAgreement
    lines : tuple of mapping of str to str
        The reconciliation table, decided and open differences.
    path : Path
        Where it stands.
    """

    comparison: Comparison
    columns: tuple[ColumnAgreement, ...]
    lines: tuple[Mapping[str, str], ...]
    path: Path

    @property
    def open(self) -> int:
        """Number of differences without a decision."""
        return sum(not line.get("agreed") for line in self.lines)


def agreement(
    paths: ProjectPaths, batch: Path | None = None, *, write: bool = True
) -> tuple[BatchAgreement, ...]:
    """Compare the extractions of every batch that has two, or of one.

    Parameters
    ----------
    paths : ProjectPaths
    batch : Path, optional
        Folder of one batch.
    write : bool
        Write the reconciliation tables; False only reports.

    Raises
    ------
    UsageError
        If the batch has no second extraction.
    """
    from ketameta.evidence.tables import load_tables

    folders = second_folders(paths) if batch is None else (batch,)
    for folder in folders:
        if not (folder / SECOND).is_dir():
            raise UsageError(
                f"{paths.relative(folder)} has no second extraction; it starts with: ketameta new "
                f"{folder.name} --second"
            )
    found = []
    for folder in folders:
        evidence, _ = load_tables(paths, [folder])
        comparison = compare_batch(paths, folder, evidence)
        made, _ = read_decisions(paths, folder)
        path = folder / SECOND / DECISIONS
        lines = tuple(_with_decisions(open_rows(comparison), made))
        if write:
            write_atomically(path, csv_text(RECONCILIATION.column_names, lines))
        found.append(BatchAgreement(comparison, tuple(_columns(comparison)), lines, path))
    return tuple(found)


def _with_decisions(
    lines: Sequence[dict[str, str]], made: Sequence[Decision]
) -> list[dict[str, str]]:
    """Return the lines with the decisions that still fit them."""
    known = {
        (*decision.place, decision["first"], decision["second"]): decision for decision in made
    }
    for line in lines:
        key = (line["table"], line["row"], line["column"], line["first"], line["second"])
        decision = known.get(key)
        if decision is not None:
            for name in ("agreed", "decided_by", "reason"):
                line[name] = decision[name]
    return list(lines)


def _columns(comparison: Comparison) -> list[ColumnAgreement]:
    """Return the agreement of every column, tables in order."""
    groups: dict[str, list[CellPair]] = {}
    for pair in comparison.cells:
        groups.setdefault(f"{pair.table}.{pair.column.name}", []).append(pair)
    return [_column(name, pairs) for name, pairs in groups.items()]


def _column(name: str, pairs: Sequence[CellPair]) -> ColumnAgreement:
    column = pairs[0].column
    agreeing = sum(pair.agrees for pair in pairs)
    if column.kind == "words":
        first = [pair.first[column.name].lower() for pair in pairs]
        second = [pair.second[column.name].lower() for pair in pairs]
        order = ORDERED.get(column.name)
        return ColumnAgreement(
            name,
            len(pairs),
            agreeing,
            kappa=cohens_kappa(first, second),
            weighted_kappa=weighted_kappa(first, second, order) if order else None,
        )
    if column.kind not in ("number", "integer"):
        return ColumnAgreement(name, len(pairs), agreeing)
    numbers = [(pair.first.number(column.name), pair.second.number(column.name)) for pair in pairs]
    both = [(one, two) for one, two in numbers if one is not None and two is not None]
    limits = limits_of_agreement([one for one, _ in both], [two for _, two in both])
    return ColumnAgreement(
        name,
        len(pairs),
        agreeing,
        icc=intraclass_correlation(both) if both else None,
        bias=limits.bias if limits else None,
        low=limits.low if limits else None,
        high=limits.high if limits else None,
    )


def agreement_document(paths: ProjectPaths, found: Sequence[BatchAgreement]) -> Document:
    """Return the agreement of every batch for readers."""
    blocks: list[Block] = [Heading("Agreement of two extractors", 1)]
    if not found:
        blocks.append(
            Paragraph(
                "No batch has a second extraction. It starts with: ketameta new BATCH --second"
            )
        )
    for item in found:
        blocks.extend(_batch_blocks(paths, item))
    return blocks


def _batch_blocks(paths: ProjectPaths, item: BatchAgreement) -> list[Block]:
    comparison = item.comparison
    cells, agreeing = len(comparison.cells), len(comparison.cells) - len(comparison.differences)
    share = f" ({format_percent(agreeing / cells)})" if cells else ""
    alone = len(comparison.only_first) + len(comparison.only_second)
    file = paths.relative(item.path)
    state = (
        f"{plural(item.open, 'difference')} still to be decided: fill 'agreed' in {file}."
        if item.open
        else f"Every difference is decided ({file})."
        if item.lines
        else "The two extractions do not differ."
    )
    blocks: list[Block] = [
        Heading(comparison.batch),
        Paragraph(
            f"{plural(comparison.matched, 'row')} in both, {agreeing:,} of {plural(cells, 'cell')} "
            f"agree{share}; {plural(alone, 'row')} in one only. {state}",
            strong=True,
        ),
    ]
    if comparison.findings:
        blocks.append(Bullets(tuple(str(finding) for finding in comparison.findings)))
    if item.columns:
        rows = tuple(_column_cells(column) for column in item.columns)
        blocks.append(Grid(_COLUMNS, rows, frozenset(range(1, len(_COLUMNS)))))
        blocks.append(
            Paragraph(
                "Cells filled by at least one extractor. Kappa is Cohen's, weighted linearly for "
                "ordered words; ICC(2,1) and Bland-Altman limits are over the cells both filled."
            )
        )
    matches = tuple(
        f"{one.in_words} (first) and {two.in_words} (second), in {one.table}"
        for one, two in likely_matches(comparison)
    )
    if matches:
        blocks += [
            Heading("Rows that may be one row under other names", 3),
            Paragraph("Use the words of the first extraction in the second, and compare again."),
            Bullets(matches),
        ]
    if item.lines:
        blocks += [
            Heading("Differences", 3),
            Grid(
                ("row", "column", "first", "where", "second", "where", "agreed"),
                tuple(_difference(line) for line in item.lines),
            ),
        ]
    return blocks


def _column_cells(column: ColumnAgreement) -> tuple[str, ...]:
    limits = MISSING
    if column.low is not None and column.high is not None:
        limits = f"{format_significant(column.low)} to {format_significant(column.high)}"
    return (
        column.name,
        str(column.cells),
        format_percent(column.agreeing / column.cells),
        format_number(column.kappa),
        format_number(column.weighted_kappa),
        format_number(column.icc, 3),
        MISSING if column.bias is None else format_significant(column.bias),
        limits,
    )


def _difference(line: Mapping[str, str]) -> tuple[str, ...]:
    name = "whole row" if line["column"] == WHOLE_ROW else line["column"]
    return (
        f"{line['table']}: {line['row']}",
        name,
        line["first"] or "empty",
        line["first_locator"],
        line["second"] or "empty",
        line["second_locator"],
        line.get("agreed", "") or "open",
    )
