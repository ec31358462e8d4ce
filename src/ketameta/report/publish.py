"""Every file of the report that is written from the context: pages, PDF, tables, schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.analyses.result import schema_text
from ketameta.evidence.textfiles import harmless
from ketameta.paths import ProjectPaths
from ketameta.report.analysis_view import listed_tables
from ketameta.report.html import render_pages
from ketameta.report.manifest import inputs_text, results_text
from ketameta.report.pdf import DOCUMENTS, render_pdf
from ketameta.report.tables import analysis_tables, tables_of


def report_files(
    context: Mapping[str, Any],
    paths: ProjectPaths,
    results: Sequence[Mapping[str, Any]],
    effects_text: str,
) -> dict[str, str | bytes]:
    """Return the content of each file by its path below ``reports/``.

    Parameters
    ----------
    context : mapping
        Of :func:`ketameta.report.context.report_context`.
    paths : ProjectPaths
        Where the drawn figures are.
    results : sequence of mapping
        As published, for the file attached to the PDF.
    effects_text : str
        As published, likewise.
    """
    attachments = {
        "effects.csv": effects_text,
        "results.json": results_text(results),
        "inputs.json": inputs_text(paths, context["versions"]),
    }
    listed = {
        **tables_of(context),
        **{
            f"analysis-{name}.csv": analysis_tables(listed_tables(view))
            for name, view in context["views"].items()
        },
    }
    # Words of a declaration may hold what no cell can: control characters, halves of pairs.
    tables = {f"tables/{name}": harmless(text) for name, text in listed.items()}
    return {
        **render_pages(context),
        **{f"{name}.pdf": render_pdf(context, paths, attachments, name) for name in DOCUMENTS},
        "results.schema.json": schema_text(),
        **tables,
    }
