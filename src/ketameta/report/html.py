"""Renders the page from its context. Every text is escaped; a missing name stops the build."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from ketameta import numberformat
from ketameta.errors import ReportError, did_you_mean
from ketameta.report.glossary import gloss
from ketameta.report.inline_svg import figure_letters, font_face, inline_svg
from ketameta.report.worked import number


def words_of_code(text: object) -> str:
    """Return a code as readers see it: ``not_reported`` is ``not reported``."""
    return str(text).replace("_", " ")


def environment() -> Environment:
    """Return the template environment: escaped, strict about names, with our number formats."""
    env = Environment(
        loader=PackageLoader("ketameta.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(
        number=numberformat.format_number,
        percent=numberformat.format_percent,
        level=numberformat.format_level,
        count=numberformat.format_count,
        p=numberformat.format_p,
        significant=numberformat.format_significant,
        worked=number,
        gloss=gloss,
        words=words_of_code,
    )
    env.globals.update(plural=numberformat.plural)
    return env


def render_html(context: dict[str, Any]) -> str:
    """Return the whole page as one self-contained text.

    Raises
    ------
    ReportError
        When the template uses a name that the context does not provide.
    """
    figures = _figures(context)
    script = _script()
    sections = [
        {
            **section,
            "analyses": [
                {
                    **item,
                    "figure": Markup(figures[item["name"]]),
                    "more_figures": [
                        {**more, "image": Markup(figures[more["name"]])}
                        for more in item["more_figures"]
                    ],
                }
                for item in section["analyses"]
            ],
        }
        for section in context["sections"]
    ]
    engines = [item["engine"] for part in sections for item in part["analyses"] if item["engine"]]
    page_context = {
        **context,
        "sections": sections,
        "map_figure": Markup(figures["evidence_map"]),
        "font_css": font_face(figure_letters(figures.values())),
        "engine_json": _json_for_script(engines),
        "script": script,
        "script_hash": _script_hash(script),
    }
    try:
        page = environment().get_template("report.html.j2").render(page_context)
    except UndefinedError as error:
        found = re.search(r"'([^']+)' is undefined|no attribute '([^']+)'", str(error))
        name = next((part for part in found.groups() if part), "") if found else ""
        raise ReportError(
            f"the report's template uses a name no result provides: {error}"
            f"{did_you_mean(name, list(context)) if name else ''}"
        ) from error
    return _without_gaps(page).lstrip()


def _figures(context: dict[str, Any]) -> dict[str, str]:
    """Return every figure as an inline element, by name."""
    found = {
        figure["name"]: inline_svg(figure["svg"], figure["name"], figure["alt"])
        for section in context["sections"]
        for item in section["analyses"]
        for figure in (item, *item["more_figures"])
    }
    alternative = "Evidence map. The table below gives every number."
    found["evidence_map"] = inline_svg(context["map_svg"], "evidence_map", alternative)
    return found


def _script() -> str:
    """Return the page's script: the calculator, then the page."""
    folder = files("ketameta.report").joinpath("templates")
    text = "\n".join(
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("engine.js", "page.js")
    )
    return _without_gaps(text)


def _without_gaps(text: str) -> str:
    """Return ``text`` without empty lines."""
    return re.sub(r"\n\s*\n+", "\n", text)


def _script_hash(script: str) -> str:
    """Return the hash by which the page's policy lets this script run, and no other."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _json_for_script(value: Any) -> str:
    """Return JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
