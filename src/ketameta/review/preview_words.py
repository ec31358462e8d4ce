"""A preview, or a comparison with a release, as a document. Computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ketameta.analyses.words import interval_words, written
from ketameta.conversions import ROUTES
from ketameta.numberformat import plural
from ketameta.review.compare import WRITTEN, AnalysisChange, change_words, count_words
from ketameta.review.document import Block, Bullets, Document, Grid, Heading, Paragraph, Picture
from ketameta.review.metapsy_rows import Z95
from ketameta.review.moments import LeftRow
from ketameta.review.preview import NewEffect, Preview, rows_words
from ketameta.vocabulary import Measure

#: Figures of one analysis, before and after.
Figures = Callable[[str], Sequence[Picture]]
_NUMBERS = frozenset(range(2, 2 + len(WRITTEN)))


def _no_figures(_: str) -> Sequence[Picture]:
    return ()


def preview_document(preview: Preview, figures: Figures = _no_figures) -> Document:
    """Return a preview for readers: what changes first, then effects, rows left, warnings."""
    checked = len(preview.changes) + len(preview.unchanged)
    turned = [change for change in preview.changes if change.new_conclusions]
    blocks: list[Block] = [
        Heading(f"What {preview.batch} would change", 1),
        Paragraph(
            f"{count_words(len(preview.changes), checked)}, and the conclusion of "
            f"{len(turned)} of them. {plural(len(preview.effects), 'new effect')} from "
            f"{rows_words(preview.rows) or 'no row'}. Nothing was written.",
            strong=True,
        ),
    ]
    blocks += changes_blocks(preview.changes, figures)
    if preview.claims:
        rows = tuple(preview.claims)
        blocks += [
            Heading("Public claims whose verdict changes"),
            Grid(("claim", "before", "after"), rows),
        ]
    blocks += _effects_blocks(preview.effects)
    blocks += _left_blocks(
        "Rows that yield no effect size",
        "Every one is kept and listed in the report.",
        preview.unused,
    )
    blocks += _left_blocks(
        "Effects that an analysis sets aside", "They stay in the effect table.", preview.set_aside
    )
    if preview.warnings:
        blocks += [
            Heading("Warnings of the checks"),
            Bullets(tuple(str(finding) for finding in preview.warnings)),
        ]
    return blocks


def changes_blocks(
    changes: Sequence[AnalysisChange], figures: Figures = _no_figures
) -> list[Block]:
    """Return one section per analysis: numbers before and after, conclusion, figures."""
    blocks: list[Block] = []
    for change in changes:
        blocks += [
            Heading(f"{change.title} ({change.directness} evidence)"),
            Paragraph(f"{change_words(change)[:1].upper()}{change_words(change)[1:]}."),
            Grid(("", "", *WRITTEN), tuple(_side_rows(change)), _NUMBERS),
        ]
        blocks += [
            Paragraph(
                f"{f'{label}: the' if label else 'The'} conclusion changes from '{one}' to "
                f"'{two}'.",
                strong=True,
            )
            for label, one, two in change.new_conclusions
        ]
        blocks += [
            Paragraph(f"{side.label} (a new group): {side.conclusion}.")
            for side in change.new_groups
        ]
        blocks += [Paragraph(f"{label}: no trial is left.") for label in change.lost_groups]
        kept = [
            f"{f'{two.label}: ' if two.label else ''}{two.conclusion}"
            for one, two in change.changed_pairs
            if one is not None and two is not None and one.conclusion == two.conclusion
        ]
        if kept:
            blocks.append(Paragraph(f"Conclusion unchanged: {'; '.join(kept)}."))
        blocks += [Paragraph(sentence) for sentence in change.new_predictions]
        blocks.extend(figures(change.name))
    return blocks


def _side_rows(change: AnalysisChange) -> Iterable[tuple[str, ...]]:
    for one, two in change.changed_pairs:
        label = (two or one).label or change.measure.label  # type: ignore[union-attr]
        for moment, side in (("before", one), ("after", two)):
            cells = side.written() if side is not None else ("not there", *[""] * 5)
            yield (label if moment == "before" else "", moment, *cells)


def _effects_blocks(effects: Sequence[NewEffect]) -> list[Block]:
    if not effects:
        return [Heading("New effect sizes"), Paragraph("None.")]
    rows = []
    for effect in effects:
        measure = Measure(effect.measure)
        reach = Z95 * effect.se
        interval = interval_words(effect.estimate - reach, effect.estimate + reach, measure)
        rows.append(
            (
                effect.comparison,
                f"{effect.outcome}, {effect.instrument}",
                "" if effect.days is None else f"{effect.days:g}",
                effect.measure,
                written(effect.estimate, measure),
                interval,
                route_words(effect.route, effect.assumption),
                "; ".join(effect.analyses) or "no analysis asks for it",
            )
        )
    columns = ("comparison", "outcome", "day", "measure", "effect", "95% CI", "route", "enters")
    return [Heading("New effect sizes"), Grid(columns, tuple(rows), frozenset({2, 4, 5}))]


def route_words(route: str, assumption: str = "") -> str:
    """Return the way to an effect in words."""
    known: Mapping[str, Any] = ROUTES
    parts = [
        known[code].description if code in known else code.replace("_", " ")
        for code in route.split("+")
        if code
    ]
    if assumption:
        parts.append(f"assumed {assumption}")
    return "; ".join(dict.fromkeys(parts))


def _left_blocks(title: str, remark: str, rows: Sequence[LeftRow]) -> list[Block]:
    """Return the rows that were left, those of one reason together."""
    if not rows:
        return []
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row.row, row.reason, row.source), []).append(row.analysis)
    has_analysis = any(row.analysis for row in rows)
    columns = ("row", "reason", *(("analysis",) if has_analysis else ()), "where")
    cells = tuple(
        (name, why, *(("; ".join(analyses),) if has_analysis else ()), source.replace(";", " "))
        for (name, why, source), analyses in groups.items()
    )
    return [Heading(title), Paragraph(remark), Grid(columns, cells)]


def diff_document(
    release: str,
    changes: Sequence[AnalysisChange],
    added: Sequence[str],
    removed: Sequence[str],
    same: int,
    figures: Figures = _no_figures,
) -> Document:
    """Return the comparison of the present data with a published release."""
    checked = len(changes) + len(added) + len(removed) + same
    blocks: list[Block] = [
        Heading(f"What changed since {release}", 1),
        Paragraph(f"{count_words(len(changes), checked)}, {same} are the same.", strong=True),
    ]
    for title, names in (("New analyses", added), ("Analyses that are gone", removed)):
        if names:
            blocks += [Heading(title), Bullets(tuple(names))]
    return [*blocks, *changes_blocks(changes, figures)]
