"""Every file of the report that is written from the context: pages, PDF, tables, schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from ketameta.analyses.policy import Headline
from ketameta.evidence.textfiles import harmless
from ketameta.measures import CI_METHODS, EVIDENCE_MEASURES, TAU2_METHODS
from ketameta.paths import ProjectPaths
from ketameta.report.analysis_view import listed_tables
from ketameta.report.html import render_pages
from ketameta.report.manifest import inputs_text, results_text
from ketameta.report.pdf import render_pdf
from ketameta.report.tables import analysis_tables, tables_of

_NUMBER = {"type": ["number", "null"]}
_COUNT = {"type": ["integer", "null"], "minimum": 0}
_TEXT = {"type": "string"}
_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_NOT_NEGATIVE = {"type": ["number", "null"], "minimum": 0}


def _object(
    properties: dict[str, Any], *, optional: tuple[str, ...] = (), closed: bool = False
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": sorted(name for name in properties if name not in optional),
    }
    if closed:
        made["additionalProperties"] = False
    return made


def _or_null(reference: str) -> dict[str, Any]:
    return {"anyOf": [{"type": "null"}, {"$ref": f"#/$defs/{reference}"}]}


_POOLED = _object(
    {
        "model": {"enum": ["random", "common"]},
        "k": {"type": "integer", "minimum": 1},
        "estimate": {"type": "number"},
        "se": {"type": "number", "minimum": 0},
        "statistic": _NUMBER,
        "df": _NUMBER,
        "p_value": _SHARE,
        "ci_low": _NUMBER,
        "ci_high": _NUMBER,
        "pi_low": _NUMBER,
        "pi_high": _NUMBER,
        "pi_df": _NUMBER,
        "tau2": _NOT_NEGATIVE,
        "tau2_se": _NOT_NEGATIVE,
        "tau2_ci_low": _NOT_NEGATIVE,
        "tau2_ci_high": _NOT_NEGATIVE,
        "i2": _SHARE,
        "h2": _NOT_NEGATIVE,
        "i2_ci_low": _SHARE,
        "i2_ci_high": _SHARE,
        "i2_q": _SHARE,
        "h2_q": _NOT_NEGATIVE,
        "q": _NOT_NEGATIVE,
        "q_df": _COUNT,
        "q_p_value": _SHARE,
        "tau2_method": {"enum": [*TAU2_METHODS, None]},
        "ci_method": {"enum": list(CI_METHODS)},
        "level": {"type": "number", "minimum": 0, "maximum": 1},
        "rule": _TEXT,
    },
    closed=True,
)
_ROW = _object(
    {
        "study_id": {"type": "string", "pattern": "^[a-z0-9_]+$"},
        "label": _TEXT,
        "year": {"type": ["integer", "null"]},
        "estimate": _NUMBER,
        "variance": _NOT_NEGATIVE,
        "se": _NOT_NEGATIVE,
        "ci_low": _NUMBER,
        "ci_high": _NUMBER,
        "weight": _SHARE,
        "effect_ids": {"type": "array", "items": _TEXT},
        "source": {"type": "array", "items": _TEXT},
        "route": _TEXT,
        "doi": _TEXT,
        "pmid": _TEXT,
    },
    optional=("study_id", "weight", "effect_ids", "source", "route", "doi", "pmid", "year",
              "estimate", "variance", "se"),
)  # fmt: skip
_GROUP = _object(
    {
        "key": _TEXT,
        "label": {"type": ["string", "null"]},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
        "pooled": _or_null("pooled"),
        "headline": _or_null("Headline"),
    },
    closed=True,
)
_COMPANION = _object(
    {
        "code": _TEXT,
        "label": _TEXT,
        "k": {"type": "integer", "minimum": 0},
        "estimate": _NUMBER,
        "ci_low": _NUMBER,
        "ci_high": _NUMBER,
        "tau2": _NOT_NEGATIVE,
    }
)
_RESULT: dict[str, Any] = {
    "name": {"type": "string", "pattern": "^[a-z0-9_]+$"},
    "kind": _TEXT,
    "title": _TEXT,
    "question": _TEXT,
    "section": _TEXT,
    "order": {"type": "integer"},
    "directness": _TEXT,
    "status": _TEXT,
    "note": _TEXT,
    "favours": {"type": "array", "items": _TEXT},
    "looked_for": _TEXT,
    "measure": {"enum": [str(measure) for measure in EVIDENCE_MEASURES]},
    "measure_label": _TEXT,
    "is_ratio": {"type": "boolean"},
    "null": {"type": "number"},
    "level": {"type": "number", "minimum": 0, "maximum": 1},
    "group_by": _TEXT,
    "k": {"type": "integer", "minimum": 0},
    "n_participants": {"type": "integer", "minimum": 0},
    "headline": {"$ref": "#/$defs/Headline"},
    "groups": {"type": "array", "items": {"$ref": "#/$defs/group"}},
    "pooled": _or_null("pooled"),
    "companions": {"type": "array", "items": {"$ref": "#/$defs/companion"}},
    "caveats": {"type": "array", "items": _object({"code": _TEXT, "message": _TEXT})},
    "sentences": {"type": "array", "items": _TEXT},
    "set_aside": {"type": "array", "items": {"type": "object"}},
    "unused": {"type": "array", "items": {"type": "object"}},
    "spec": {"type": "object"},
}


def _headline_schemas() -> dict[str, Any]:
    """Return the schema of a headline and its parts, from their types."""
    made = TypeAdapter(Headline).json_schema(ref_template="#/$defs/{model}", mode="serialization")
    return {**made.pop("$defs"), "Headline": made}


def results_schema() -> dict[str, Any]:
    """Return the schema of one results file (JSON Schema, draft 2020-12).

    Ratios are stored as logarithms; shares are of one; what does not exist is ``null``. Keys that
    the schema does not name may be added by a later version; named ones keep their meaning.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Result of one ketameta analysis",
        "description": "Ratios are stored as natural logarithms. Negative favours the treatment "
        "for standardised differences. Shares are of one. What does not exist is null. "
        "Numbers have seven significant digits.",
        **_object(_RESULT),
        "$defs": {
            "pooled": _POOLED,
            "row": _ROW,
            "group": _GROUP,
            "companion": _COMPANION,
            **_headline_schemas(),
        },
    }


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(results_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


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
        "report.pdf": render_pdf(context, paths, attachments),
        "results.schema.json": schema_text(),
        **tables,
    }
