"""What two extractions of the same trials agree on, for readers of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ketameta.evidence.second_extraction import (
    WHOLE_ROW,
    BatchAgreement,
    ColumnAgreement,
    likely_matches,
)
from ketameta.formatting import (
    MISSING,
    format_number,
    format_percent,
    format_significant,
    plural,
)
from ketameta.paths import ProjectPaths
from ketameta.review.document import Block, Bullets, Document, Grid, Heading, Paragraph

_COLUMNS = ("table.column", "cells", "agree", "kappa", "weighted kappa", "ICC", "bias", "limits")


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
        if comparison.matched
        else "No row was typed a second time yet."
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
    limits = column.limits
    return (
        column.name,
        str(column.cells),
        format_percent(column.agreeing / column.cells),
        format_number(column.kappa),
        format_number(column.weighted_kappa),
        format_number(column.icc, 3),
        MISSING if limits is None else format_significant(limits.bias),
        MISSING
        if limits is None
        else f"{format_significant(limits.low)} to {format_significant(limits.high)}",
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
