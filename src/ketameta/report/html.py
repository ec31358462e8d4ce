"""Renders the page from its context. Every text is escaped; a missing name stops the build."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError

from ketameta import numberformat
from ketameta.errors import ReportError, did_you_mean
from ketameta.report.glossary import gloss
from ketameta.report.worked import number


def words_of_code(text: object) -> str:
    """Return a code as readers see it: ``not_reported`` is ``not reported``."""
    return str(text).replace("_", " ")


@cache
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
    try:
        page = environment().get_template("report.html.j2").render(context)
    except UndefinedError as error:
        found = re.search(r"'([^']+)' is undefined|no attribute '([^']+)'", str(error))
        name = next((part for part in found.groups() if part), "") if found else ""
        raise ReportError(
            f"the report's template uses a name no result provides: {error}"
            f"{did_you_mean(name, list(context)) if name else ''}"
        ) from error
    return without_gaps(page).lstrip()


def without_gaps(text: str) -> str:
    """Return ``text`` without empty lines."""
    return re.sub(r"\n\s*\n+", "\n", text)
