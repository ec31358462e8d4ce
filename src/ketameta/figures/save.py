"""Writes figures so that the same figure gives the same bytes, on every run."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from ketameta.errors import check_choice
from ketameta.figures.canvas import drawing_settings
from ketameta.figures.pdf_fonts import light_subsets
from ketameta.paths import write_atomically
from ketameta.textfiles import harmless

FORMATS = ("svg", "png", "pdf")
#: Sharp on a phone and in print at 180 mm (about 1,420 pixels wide).
PNG_DPI = 200
#: A palette this large cannot be told from full colour in these figures, at a quarter of the size.
PNG_COLOURS = 256
#: More (zlib's level 9) takes ten times as long for files one twentieth smaller.
PNG_EFFORT = 6
#: What matplotlib would write of itself and of the clock.
_SILENCED: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
#: Decimals of a coordinate in an SVG: a hundredth of a point is invisible, and far from the digits
#: in which processors differ.
SVG_DECIMALS = 2
_PLACES = re.compile(
    r' (?:d|x|y|width|height|viewBox|points)="[^"]*"|(?:translate|rotate)\([^)]*\)'
)
_COORDINATE = re.compile(r"-?\d+\.\d+")
_DESCRIPTION = {"svg": "Description", "png": "Description", "pdf": "Subject"}


def figure_bytes(
    figure: Figure,
    file_format: str,
    *,
    title: str | None = None,
    description: str | None = None,
    dpi: int = PNG_DPI,
) -> bytes:
    """Return ``figure`` as a file of ``file_format``: ``"svg"``, ``"png"`` or ``"pdf"``.

    SVG text is drawn as outlines, so that it looks the same where DejaVu Sans is not installed;
    ``title`` and ``description`` (the alternative text) are stored in the file as words. No date,
    host or software version is written.

    Raises
    ------
    UsageError
        If ``file_format`` is not one of the three.
    """
    check_choice("file_format", file_format, FORMATS)
    given = {"Title": title, _DESCRIPTION[file_format]: description}
    words = {key: harmless(value) for key, value in given.items() if value is not None}
    metadata: dict[str, Any] = {**_SILENCED[file_format], **words}
    stream = io.BytesIO()
    with drawing_settings(), light_subsets():
        if file_format == "png":
            figure.savefig(stream, format="rgba", dpi=dpi)
            width = int(figure.bbox_inches.width * dpi)
            return _small_png(stream.getvalue(), width, words, dpi)
        figure.savefig(stream, format=file_format, dpi=dpi, metadata=metadata)
    content = stream.getvalue()
    return rounded_svg(content.decode("utf-8")).encode() if file_format == "svg" else content


def rounded_svg(text: str) -> str:
    """Return an SVG with two decimals in every coordinate; sizes of letters and lines stay."""

    def short(number: re.Match[str]) -> str:
        digits = f"{float(number.group()):.{SVG_DECIMALS}f}".rstrip("0").rstrip(".")
        return "0" if digits == "-0" else digits

    return _PLACES.sub(lambda place: _COORDINATE.sub(short, place.group()), text)


def _small_png(content: bytes, width: int, texts: Mapping[str, str], dpi: int) -> bytes:
    """Return a PNG with a palette of ``PNG_COLOURS`` from opaque pixels of four bytes (RGBA)."""
    image = Image.frombytes("RGBA", (width, len(content) // 4 // width), content)
    table: list[Any] = image.getcolors(image.width * image.height) or []
    found = np.array([r << 16 | g << 8 | b for _, (r, g, b, _) in table])
    counts = np.array([count for count, _ in table])
    # The commonest colours exactly (a palette of averages would shift the colours that mean
    # something); each of the others, from the edges of letters, as the nearest of these.
    palette = found[np.lexsort((found, -counts))[:PNG_COLOURS]]
    red, green, blue = (found >> shift & 255 for shift in (16, 8, 0))
    distances = sum(
        ((band[:, None] - (palette[None, :] >> shift & 255)) ** 2)
        for band, shift in ((red, 16), (green, 8), (blue, 0))
    )
    lookup = np.zeros(1 << 24, dtype=np.uint8)
    lookup[red | green << 8 | blue << 16] = np.argmin(distances, axis=1)
    codes = np.frombuffer(content, dtype="<u4") & 0xFFFFFF
    small = Image.fromarray(lookup[codes].reshape(image.height, image.width))
    small.putpalette([int(code >> shift) & 255 for code in palette for shift in (16, 8, 0)])
    words = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        words.add_itxt(key, text)
    stream = io.BytesIO()
    small.save(stream, "PNG", compress_level=PNG_EFFORT, dpi=(dpi, dpi), pnginfo=words)
    return stream.getvalue()


def save_figure(
    figure: Figure,
    path: str | Path,
    *,
    title: str | None = None,
    description: str | None = None,
    dpi: int = PNG_DPI,
) -> Path:
    """Write ``figure`` to ``path`` in one step and return the path.

    Parameters
    ----------
    figure : Figure
    path : str or Path
        The ending says the format: ``.svg``, ``.png`` or ``.pdf``.
    title, description : str, optional
        Stored in the file; the description is the alternative text.
    dpi : int
        Pixels per inch of a PNG; the other formats have no pixels.

    Raises
    ------
    UsageError
        If the ending is not one of the three.
    """
    target = Path(path)
    file_format = target.suffix.lstrip(".").lower()
    check_choice("the ending of path", file_format, FORMATS)
    content = figure_bytes(figure, file_format, title=title, description=description, dpi=dpi)
    write_atomically(target, content)
    return target
