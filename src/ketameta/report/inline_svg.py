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
from pathlib import Path

from ketameta.errors import ReportError
from ketameta.figures.text import font_file

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"
#: Coordinates in points; a hundredth is invisible.
_NUMBER = re.compile(r"-?\d+\.\d+")
_GLYPHS = re.compile(
    r"translate\((?P<x>[-\d.]+) (?P<y>[-\d.]+)\)(?: rotate\((?P<turn>[-\d.]+)\))? "
    r"scale\((?P<size>[\d.]+) -[\d.]+\)$"
)
_KEPT = ("d", "x", "y", "width", "height", "transform", "style", "clip-path", "rx", "ry")
#: What the style of a text says of its letters.
_STYLE = {
    "size": r"([\d.]+)px",
    "weight": r"\b(?:700|bold)\b",
    "anchor": r"text-anchor: (\w+)",
}
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
    if name == "text":
        parts.append(_words(node))
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
    return _text(
        words,
        *(float(place[key] or 0) for key in ("x", "y")),
        size=float(place["size"]) * 100,
        turn=float(place["turn"] or 0),
        bold="Bold" in (uses[0].get(f"{_XLINK}href") or ""),
        style=group.get("style", ""),
    )


def _words(node: ET.Element) -> str:
    """Return a text element that the figure holds as words already."""
    style = node.get("style", "")
    found = {key: re.search(pattern, style) for key, pattern in _STYLE.items()}
    turn = re.match(r"rotate\((-?[\d.]+)", node.get("transform", ""))
    return _text(
        node.text or "",
        *(float(node.get(key, "0")) for key in ("x", "y")),
        size=float(found["size"][1]) if found["size"] else 7.0,
        turn=float(turn[1]) if turn else 0.0,
        bold=bool(found["weight"]),
        style=style,
        anchor=found["anchor"][1] if found["anchor"] else "start",
    )


def _text(
    words: str, x: float, y: float, *, size: float, turn: float, bold: bool, style: str,
    anchor: str = "start",
) -> str:  # fmt: skip
    turned = f' transform="rotate({turn:g} {x:.2f} {y:.2f})"' if turn else ""
    fill = re.search(r"fill: (#[0-9a-fA-F]+)", style)
    colour = f' fill="{fill.group(1)}"' if fill else ""
    weight = ' class="b"' if bold else ""
    held = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return (
        f'<text x="{x:.5g}" y="{y:.5g}" font-size="{size:.3g}"{colour}{weight}{held}{turned}>'
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
    for bold, weight in ((False, "400"), (True, "700")):
        data = base64.b64encode(_subset(font_file(bold=bold), letters)).decode("ascii")
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
