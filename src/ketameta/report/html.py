"""Renders the page from its context. Every text is escaped; a missing name stops the build."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape, unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from ketameta import formatting
from ketameta.errors import ReportError, did_you_mean
from ketameta.report.texts import gloss
from ketameta.report.worked import number
from ketameta.typesetter import font_folder


def words_of_code(text: object) -> str:
    """Return a code as readers see it: ``not_reported`` is ``not reported``."""
    return str(text).replace("_", " ")


@pass_context
def _glossed(context: Context, text: str) -> Markup:
    return gloss(text, context["glossary"])


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
        number=formatting.format_number,
        percent=formatting.format_percent,
        level=formatting.format_level,
        count=formatting.format_count,
        p=formatting.format_p,
        significant=formatting.format_significant,
        worked=number,
        gloss=_glossed,
        words=words_of_code,
    )
    env.globals.update(plural=formatting.plural)
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


_ROOT = re.compile(r"<svg\b([^>]*)>")
_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
#: Family names of the page's own font, so that an installed one cannot take its place.
FAMILY = "Ketameta Sans"


def inline_svg(text: str, alternative: str) -> str:
    """Return a figure as one inline ``svg`` element.

    Parameters
    ----------
    text : str
        The file that was drawn; its identifiers are those of this figure alone.
    alternative : str
        What a reader who cannot see the figure is told.

    Raises
    ------
    ReportError
        When the text is no SVG.
    """
    root = _ROOT.search(text)
    if root is None:
        raise ReportError("a figure is no SVG; delete it and build again")
    box = _BOX.search(root.group(1))
    width, height = box.groups() if box else ("100", "100")
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {width} {height}"'
        f' style="aspect-ratio:{width}/{height}"'
        f' aria-label="{escape(alternative, quote=True)}">{text[root.end() :].rstrip()}'
    )


def figure_letters(svgs: Iterable[str]) -> str:
    """Return every character that inline figures print, sorted."""
    used: set[str] = set()
    for svg in svgs:
        for words in re.findall(r"<text[^>]*>([^<]*)</text>", svg):
            used.update(unescape(words))
    # The plots that the page draws itself use these as well.
    used.update("0123456789.,%+-()[] =<>ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                "\u2212\u2013\u00b2\u03c4")  # fmt: skip
    return "".join(sorted(used))


@cache
def font_face(letters: str) -> str:
    """Return style rules that carry DejaVu Sans, regular and bold, cut to ``letters``."""
    rules = []
    for name, weight in (("DejaVuSans", "400"), ("DejaVuSans-Bold", "700")):
        data = base64.b64encode(_subset(font_folder() / f"{name}.ttf", letters)).decode("ascii")
        rules.append(
            f"@font-face{{font-family:'{FAMILY}';font-weight:{weight};"
            f"src:url(data:font/ttf;base64,{data}) format('truetype')}}"
        )
    return "\n".join(rules)


def _subset(path: Path, letters: str) -> bytes:
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options(hinting=False, recalc_timestamp=False, name_IDs=[1, 2, 13])
    options.drop_tables += ["FFTM"]
    options.layout_features = ["kern"]
    options.notdef_outline = True
    font = TTFont(path, recalcTimestamp=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=letters)
    subsetter.subset(font)
    stream = io.BytesIO()
    font.save(stream, reorderTables=False)
    return stream.getvalue()


def with_pictures(sections: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the sections with every figure as an inline element beside its file's text."""
    return [
        {
            **section,
            "figures": [{**figure, "image": _inline(figure)} for figure in section["figures"]],
            "analyses": [
                {
                    **item,
                    "figure": _inline(item),
                    "more_figures": [
                        {**more, "image": _inline(more)} for more in item["more_figures"]
                    ],
                }
                for item in section["analyses"]
            ],
        }
        for section in sections
    ]


def _inline(figure: dict[str, Any]) -> Markup:
    return Markup(inline_svg(figure["svg"], figure["alt"]))


def page_parts(
    sections: Sequence[dict[str, Any]],
    evidence_map: dict[str, Any],
    bias: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the parts of the page that are not text, by name.

    Parameters
    ----------
    sections : sequence of dict
        Of :func:`with_pictures`.
    evidence_map : dict
        The evidence map with ``svg, name, alt``.
    bias : dict, optional
        The risk-of-bias figure with ``svg, name, alt``, where there is one.
    """
    picture = _inline(evidence_map) if evidence_map["svg"] else Markup("")
    lights = _inline(bias) if bias is not None else Markup("")
    analyses = [item for section in sections for item in section["analyses"]]
    drawn = [figure for item in analyses for figure in _pictures(item)]
    drawn += [figure["image"] for section in sections for figure in section["figures"]]
    script = _script()
    return {
        "map_figure": picture,
        "bias_figure": lights,
        "font_css": font_face(figure_letters([picture, lights, *drawn])),
        "engine_json": _json_for_script([item["engine"] for item in analyses if item["engine"]]),
        "script": script,
        "script_hash": _script_hash(script),
    }


def _pictures(item: dict[str, Any]) -> Iterable[str]:
    return [item["figure"], *(more["image"] for more in item["more_figures"])]


def _script() -> str:
    """Return the page's script: the calculator, then the page."""
    folder = files("ketameta.report").joinpath("templates")
    text = "\n".join(
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("engine.js", "page.js")
    )
    return without_gaps(text)


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
