"""What the page carries besides text: figures, fonts, the script and the data it works on."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from ketameta.report.html import without_gaps
from ketameta.report.inline_svg import figure_letters, font_face, inline_svg


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
    picture = _inline(evidence_map)
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
