"""Puts a drawn figure into the page as text and lines, a tenth of its size as a file.

The files of ``reports/figures`` hold letters as outlines, so that they look the same everywhere;
in the page the letters become letters again, set in the font that the page carries.
"""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from functools import cache
from html import escape, unescape
from importlib.util import find_spec
from pathlib import Path

from ketameta.errors import ReportError

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"
#: Coordinates in points; a hundredth is invisible.
_NUMBER = re.compile(r"-?\d+\.\d+")
_GLYPHS = re.compile(
    r"translate\((?P<x>[-\d.]+) (?P<y>[-\d.]+)\)(?: rotate\((?P<turn>[-\d.]+)\))? "
    r"scale\((?P<size>[\d.]+) -[\d.]+\)$"
)
_KEPT = ("d", "x", "y", "width", "height", "transform", "style", "clip-path", "rx", "ry")
#: Family names of the page's own font, so that an installed one cannot take its place.
FAMILY = "Ketameta Sans"


def inline_svg(text: str, prefix: str, alternative: str) -> str:
    """Return a figure as one inline ``svg`` element.

    Parameters
    ----------
    text : str
        The file that was drawn.
    prefix : str
        Makes identifiers unique in the page.
    alternative : str
        What a reader who cannot see the figure is told.

    Raises
    ------
    ReportError
        When the text is no SVG.
    """
    try:
        parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
        root = ET.fromstring(text, parser=parser)
    except ET.ParseError as error:
        raise ReportError(f"figure {prefix} is no SVG: {error}") from error
    box = root.get("viewBox", "0 0 100 100")
    width, height = (float(part) for part in box.split()[2:4])
    parts: list[str] = []
    for child in root:
        _write(child, parts, f"{prefix}-")
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {width:.6g} {height:.6g}" '
        f'style="aspect-ratio:{width:.6g}/{height:.6g}" '
        f'aria-label="{escape(alternative, quote=True)}">{"".join(parts)}</svg>'
    )


def _tag(node: ET.Element) -> str:
    return node.tag.removeprefix(_SVG) if isinstance(node.tag, str) else ""


def _write(node: ET.Element, parts: list[str], prefix: str) -> None:
    name = _tag(node)
    if name in {"metadata", "style", "title", "desc", ""}:
        return
    children = [child for child in node if _tag(child) not in {"metadata", "style"}]
    if name == "g":
        words = _letters(node, children)
        if words is not None:
            parts.append(words)
            return
    if name == "defs" and not [c for c in children if _tag(c) not in {"", "style"}]:
        return
    attributes = "".join(
        f' {key}="{escape(_short(_references(node.get(key, ""), prefix)), quote=True)}"'
        for key in _KEPT
        if node.get(key)
    )
    if node.get("id") and name in {"clipPath", "path", "defs"}:
        attributes += f' id="{escape(prefix + node.get("id", ""), quote=True)}"'
    target = node.get(f"{_XLINK}href") or node.get("href")
    if target and target.startswith("data:image/png;base64,"):
        attributes += f' href="{escape("".join(target.split()), quote=True)}"'
    elif target:
        attributes += f' href="#{escape(prefix + target.lstrip("#"), quote=True)}"'
    inside: list[str] = []
    for child in children:
        _write(child, inside, prefix)
    if name == "g" and not attributes:
        parts.extend(inside)
    elif inside:
        parts.append(f"<{name}{attributes}>{''.join(inside)}</{name}>")
    elif name != "g":
        parts.append(f"<{name}{attributes}/>")


def _references(value: str, prefix: str) -> str:
    return value.replace("url(#", f"url(#{prefix}")


def _short(value: str) -> str:
    """Return a path or style with two decimals and without line ends."""
    value = _NUMBER.sub(lambda m: f"{float(m.group()):.2f}".rstrip("0").rstrip("."), value)
    return re.sub(r"\s*\n\s*", "", value.replace(" \n", "\n").strip())


def _letters(node: ET.Element, children: list[ET.Element]) -> str | None:
    """Return a text element where the group holds a comment and the outlines of its letters."""
    comments = [child for child in children if not isinstance(child.tag, str)]
    drawn = [child for child in children if _tag(child) == "g"]
    if len(comments) != 1 or len(drawn) != 1 or len(children) != 2:
        return None
    group = drawn[0]
    place = _GLYPHS.match(group.get("transform", ""))
    uses = [child for child in group if _tag(child) == "use"]
    # The comment holds the text escaped once.
    words = unescape((comments[0].text or "").strip())
    if place is None or not uses or any(use.get("transform", "").count("scale") for use in uses):
        return None
    bold = "Bold" in (uses[0].get(f"{_XLINK}href") or "")
    size = float(place["size"]) * 100
    x, y = float(place["x"]), float(place["y"])
    turn = f' transform="rotate({float(place["turn"]):g} {x:.2f} {y:.2f})"' if place["turn"] else ""
    fill = re.search(r"fill: (#[0-9a-fA-F]+)", group.get("style", ""))
    colour = f' fill="{fill.group(1)}"' if fill else ""
    weight = ' class="b"' if bold else ""
    return (
        f'<text x="{x:.5g}" y="{y:.5g}" font-size="{size:.3g}"{colour}{weight}{turn}>'
        f"{escape(words, quote=False)}</text>"
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
        data = base64.b64encode(_subset(_font_folder() / f"{name}.ttf", letters)).decode("ascii")
        rules.append(
            f"@font-face{{font-family:'{FAMILY}';font-weight:{weight};"
            f"src:url(data:font/ttf;base64,{data}) format('truetype')}}"
        )
    return "\n".join(rules)


def _font_folder() -> Path:
    """Return the folder of the fonts that the figures are drawn with."""
    found = find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise ReportError("matplotlib, whose fonts the page carries, is not installed")
    return Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


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
