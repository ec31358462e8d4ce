"""How every plot looks and how it becomes a file: seaborn's theme, sizes, colours, letters, SVG.

Colours are from Okabe and Ito's palette (Color Universal Design, 2008) with neutral greys; no
meaning is carried by colour alone. Sizes are in points (1/72 inch).
"""

from __future__ import annotations

import gc
import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache, wraps
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from ketameta.errors import UsageError, check_choice
from ketameta.paths import write_atomically
from ketameta.typesetter import PNG_DPI, picture

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

#: A full journal page is 180 mm wide; a plot that reads well in a column is narrower.
PAGE_WIDTH: Final = 180 * 72 / 25.4
PLOT_WIDTH: Final = 140 * 72 / 25.4
MARGIN: Final = 8.0

FONT: Final = "DejaVu Sans"
TITLE: Final = 9.4
BODY: Final = 7.6
#: The smallest letters, at the size of print.
SMALL: Final = 7.5
#: Distance between baselines, and height of capitals, relative to the font size.
LINE: Final = 1.26
CAPITAL: Final = 0.729

INK: Final = "#1A1A1A"
GREY: Final = "#5F5F5F"
LIGHT: Final = "#9A9A9A"
RULE: Final = "#BDBDBD"
BAND: Final = "#F1F3F6"
PAPER: Final = "#FFFFFF"

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
YELLOW: Final = "#F0E442"
NAVY: Final = "#12354F"
#: Order in which categories take colours.
PALETTE: Final = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

HAIRLINE: Final = 0.5
THIN: Final = 0.8
MEDIUM: Final = 1.2
#: On and off lengths in points, for a line of width 0.8.
DOTTED: Final = (0, (1.2, 2.2))
DASHED: Final = (0, (4.0, 2.4))

#: judgement -> (sign, fill, colour of the sign, words)
RISK_OF_BIAS: Final = {
    "low": ("+", GREEN, PAPER, "low"),
    "some_concerns": ("!", YELLOW, INK, "some concerns"),
    "high": ("×", VERMILLION, PAPER, "high"),
    "moderate": ("!", YELLOW, INK, "moderate"),
    "serious": ("×", VERMILLION, PAPER, "serious"),
    "critical": ("××", VERMILLION, PAPER, "critical"),
    "no_information": ("?", "#C9C9C9", INK, "no information"),
    "unclear": ("?", "#C9C9C9", INK, "unclear"),
    "not_assessed": ("", PAPER, GREY, "not assessed"),
}

FORMATS: Final = ("svg", "png", "pdf")

#: How matplotlib warns of one letter.
NO_GLYPH: Final = r"Glyph \d+ .* missing from font"

_DETACHED: ContextVar[bool] = ContextVar("ketameta_detached_figures", default=False)


# --- settings -------------------------------------------------------------------------------------

#: What seaborn's style "ticks" and context "paper" set beside what every plot sets itself: as data,
#: because seaborn takes longer to import than a plot to draw.
_SEABORN: Final[Mapping[str, float | str]] = {
    "axes.axisbelow": True,
    "grid.color": ".8",
    "legend.fontsize": 8.8,
    "legend.title_fontsize": 12 * 0.8,
    "lines.linewidth": 1.5 * 0.8,
    "lines.markersize": 6 * 0.8,
    "patch.force_edgecolor": True,
    "patch.linewidth": 0.8,
    **dict.fromkeys(("xtick.minor.width", "ytick.minor.width"), 0.8),
    **dict.fromkeys(("xtick.minor.size", "ytick.minor.size"), 3.2),
}


@cache
def _settings() -> dict[str, Any]:
    """Return matplotlib's defaults under seaborn's theme for paper, and what every plot adds.

    They are checked once, as a plot is made under them in far less time than that takes.
    """
    import matplotlib as mpl
    from cycler import cycler

    settings = {
        key: value
        for key, value in mpl.rcParamsDefault.items()
        if not key.startswith(("backend", "interactive", "toolbar", "webagg", "tk.", "savefig.dir"))
    }
    own = {
        "font.family": [FONT],
        "font.size": BODY,
        "axes.labelsize": BODY,
        "axes.titlesize": TITLE,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.linewidth": THIN,
        "axes.labelpad": 3.0,
        "axes.prop_cycle": cycler(color=PALETTE),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), SMALL),
        **dict.fromkeys(("xtick.color", "ytick.color"), INK),
        **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 3.0),
        **dict.fromkeys(("xtick.major.width", "ytick.major.width"), THIN),
        **dict.fromkeys(("xtick.major.pad", "ytick.major.pad"), 2.5),
        "lines.solid_capstyle": "butt",
        "lines.scale_dashes": False,
        "patch.edgecolor": NAVY,
        # A label is text, never a formula; hinted letters have other widths at each resolution.
        "text.parse_math": False,
        "text.hinting": "none",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }
    checked: Any = mpl.RcParams(cast("Any", {**settings, **_SEABORN, **own}))
    return dict(checked)


@contextmanager
def theme(settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Draw in the look of these plots inside a ``with`` block; settings come back afterwards.

    Parameters
    ----------
    settings : mapping, optional
        More settings of matplotlib, such as ``{"axes.grid": True}``.

    Examples
    --------
    >>> import matplotlib as mpl
    >>> with theme({"lines.linewidth": 3}):
    ...     mpl.rcParams["font.family"], mpl.rcParams["lines.linewidth"]
    (['DejaVu Sans'], 3.0)
    """
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # Text in SVG keeps letters that the font lacks; a browser finds them elsewhere.
        warnings.filterwarnings("ignore", NO_GLYPH)
        dict.update(cast("Any", mpl.rcParams), _settings())
        mpl.rcParams.update(cast("Any", settings or {}))
        yield


@contextmanager
def _making() -> Iterator[None]:
    """Draw under :func:`theme`, and look for garbage later: nothing of a new plot is."""
    looking = gc.isenabled()
    gc.disable()
    try:
        with theme():
            yield
    finally:
        if looking:
            gc.enable()


def themed(plot: Callable[P, T]) -> Callable[P, T]:
    """Have a function draw under :func:`theme`."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with _making():
            made = plot(*args, **kwargs)
            lacking = stand_in(figure_of(cast("Any", made)))[1]
        if lacking and not _DETACHED.get():
            warn_of(lacking)
        return made

    return drawn


@contextmanager
def detached() -> Iterator[None]:
    """Keep figures made inside the ``with`` block out of pyplot's list; for making many files."""
    token = _DETACHED.set(True)
    try:
        yield
    finally:
        _DETACHED.reset(token)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many points, shown by notebooks like any other."""
    size = (width / 72, height / 72)
    if _DETACHED.get():
        from matplotlib.figure import Figure

        return Figure(figsize=size, facecolor=PAPER)
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, facecolor=PAPER)


# --- letters --------------------------------------------------------------------------------------


#: Letters that the font of the plots is known to have.
_KNOWN: set[str] = set()


@cache
def _font(bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    return FT2Font(findfont(FontProperties(family=FONT, weight="bold" if bold else "normal")))


@cache
def _advance(letter: str, bold: bool) -> float:
    """Return the width of a letter in ems, as the font says; a guess where it lacks the letter."""
    from matplotlib.ft2font import LoadFlags

    font = _font(bold)
    if not font.get_char_index(ord(letter)):
        if unicodedata.combining(letter):
            return 0.0
        return 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.65
    glyph = font.load_char(ord(letter), flags=LoadFlags.NO_SCALE)
    return float(glyph.horiAdvance / font.units_per_EM)


@cache
def _standing_in(letter: str) -> tuple[str, str] | None:
    """Return name and file of a font of this computer that has a letter, plain ones first."""
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    fonts = (font for font in fontManager.ttflist if "last resort" not in font.name.lower())
    for font in sorted(fonts, key=lambda font: (font.style != "normal", font.name, font.fname)):
        try:
            opened = FT2Font(font.fname)
        except (OSError, RuntimeError):
            continue
        if opened.scalable and opened.get_char_index(ord(letter)):
            return font.name, font.fname
    return None


def stand_in(figure: Figure) -> tuple[tuple[str, ...], str]:
    """Have other fonts draw the letters that the font of the plots lacks.

    Returns
    -------
    tuple of str
        Files of the fonts that stand in.
    str
        Letters that no font has.
    """
    from matplotlib.text import Text

    files: dict[str, None] = {}
    lacking: dict[str, None] = {}
    for text in figure.findobj(Text):
        families = [FONT]
        for letter in {*text.get_text()} - _KNOWN:
            if _font(False).get_char_index(ord(letter)) or not letter.isprintable():
                _KNOWN.add(letter)
            elif (found := _standing_in(letter)) is None:
                lacking[letter] = None
            else:
                families.append(found[0])
                files[found[1]] = None
        if len(families) > 1:
            text.set_fontfamily([FONT, *sorted({*families[1:]})])
    return tuple(sorted(files)), "".join(sorted(lacking))


def warn_of(lacking: str) -> None:
    """Warn of letters that no font of this computer has."""
    named = ", ".join(f"{letter} (U+{ord(letter):04X})" for letter in lacking)
    warnings.warn(
        f"no font of this computer has {named}: pictures show boxes instead. Install a font that"
        " has them, such as one of the Noto family, or save as SVG, which keeps the letters.",
        stacklevel=3,
    )


def text_width(text: str, size: float = BODY, *, bold: bool = False) -> float:
    """Return the width of ``text`` in points."""
    return size * _ems(text, bold)


@lru_cache(10_000)
def _ems(text: str, bold: bool) -> float:
    return sum(_advance(letter, bold) for letter in text)


def widest(texts: Iterable[str], size: float = BODY, *, bold: bool = False) -> float:
    """Return the width of the widest of ``texts``; 0 for none."""
    return max((text_width(text, size, bold=bold) for text in texts), default=0.0)


def clean(text: object) -> str:
    """Return ``text`` in one line, accents composed; a space that must not break stays."""
    composed = unicodedata.normalize("NFC", str(text or "")).replace("\ufeff", "")
    kept = composed.replace("\u202f", "\u00a0").replace("\u00a0", "\0")
    return " ".join(kept.split()).replace("\0", "\u00a0")


def shorten(text: str, width: float, size: float = BODY, *, bold: bool = False) -> str:
    """Return ``text``, or its beginning and an ellipsis, no wider than ``width`` points."""
    if text_width(text, size, bold=bold) <= width + 1e-6:
        return text
    for stop in range(len(text) - 1, 0, -1):
        candidate = text[:stop].rstrip(" ,;:(") + "…"
        if text_width(candidate, size, bold=bold) <= width:
            return candidate
    return "…"


def wrap(
    text: str, width: float, size: float = BODY, *, bold: bool = False, most: int | None = None
) -> tuple[str, ...]:
    """Return ``text`` in lines no wider than ``width`` points.

    A word that is wider is broken inside; with ``most``, the last line allowed ends in an ellipsis
    when words are left over. An empty text gives no lines.
    """
    room = width + 1e-6
    lines: list[str] = []
    line, reach = "", 0.0
    space = _advance(" ", bold) * size
    for word in text.split(" "):
        wide = text_width(word, size, bold=bold)
        if line and reach + space + wide <= room:
            line, reach = f"{line} {word}", reach + space + wide
            continue
        if line:
            lines.append(line)
        while wide > room and len(word) > 1:
            stop = len(word) - 1
            while stop > 1 and text_width(word[:stop], size, bold=bold) > room:
                stop -= 1
            lines.append(word[:stop])
            word = word[stop:]
        line, reach = word, wide
    if line:
        lines.append(line)
    if most is not None and len(lines) > most:
        rest = " ".join(lines[most - 1 :])
        lines = [*lines[: most - 1], shorten(rest, width, size, bold=bold)]
    return tuple(lines)


# --- files ----------------------------------------------------------------------------------------


def find(plot: Axes | Figure, part: str) -> list[Artist]:
    """Return the artists of a named part, such as ``pooled_diamond``, to restyle or to test.

    Raises
    ------
    UsageError
        If the plot has no such part; the message lists those it has.
    """
    found: dict[str, list[Artist]] = {}
    for artist in plot.findobj():
        if artist.get_gid():
            found.setdefault(str(artist.get_gid()), []).append(artist)
    if part not in found:
        raise UsageError(f"part is {part!r}; this plot has the parts {', '.join(sorted(found))}")
    return found[part]


def check_shown(result: object, what: str, needed: str, *names: str) -> None:
    """Refuse to draw what does not hold the parts that a plot shows."""
    if not all(hasattr(result, name) for name in names):
        raise UsageError(f"{what} needs {needed}; {type(result).__name__} is none")


def figure_of(plot: Axes | Figure) -> Figure:
    """Return the figure that ``plot`` is or stands in."""
    check_shown(plot, "a file", "axes or a figure, such as fit.forest()", "get_figure")
    found = plot.get_figure(root=True)
    if found is None or not hasattr(found, "savefig"):
        raise UsageError("plot belongs to no figure; pass axes made by figure.add_axes")
    return found


def save(
    plot: Axes | Figure, path: str | Path, *, description: str = "", dpi: int = PNG_DPI
) -> Path:
    """Write a plot to ``path`` in one step and return the path.

    Parameters
    ----------
    plot : Axes or Figure
    path : str or Path
        The ending says the format: ``.svg``, ``.png`` or ``.pdf``.
    description : str
        What a reader who cannot see the plot is told; stored in the file. The label of the axes
        when not given, which a forest plot fills with its estimates in words.
    dpi : int
        Pixels per inch of a PNG.

    Raises
    ------
    UsageError
        If the ending is not one of the three.
    """
    target = Path(path)
    ending = target.suffix.lstrip(".").lower()
    check_choice("the ending of path", ending, FORMATS)
    labels = [str(axes.get_label()) for axes in figure_of(plot).axes]
    description = description or " ".join(x for x in labels if x and not x.startswith("<"))
    content = file_bytes(plot, ending, name=target.stem, description=description, dpi=dpi)
    write_atomically(target, content)
    return target


def file_bytes(
    plot: Axes | Figure,
    ending: str,
    *,
    name: str = "plot",
    description: str = "",
    dpi: int = PNG_DPI,
) -> bytes:
    """Return a plot as a file; the same bytes on every run, without date, host or version.

    ``name`` makes the identifiers inside an SVG unique, so that several can stand in one page.
    """
    import matplotlib as mpl

    figure = figure_of(plot)
    with _making():
        mpl.rcParams["svg.hashsalt"] = name
        svg = _svg(figure, description)
    if ending == "svg":
        return svg.encode("utf-8")
    files, lacking = stand_in(figure)
    if lacking and figure.canvas.manager is None:
        warn_of(lacking)
    return picture(svg, ending, description, dpi, files)


def _svg(figure: Figure, description: str) -> str:
    """Return a figure as matplotlib draws an SVG, with tags as a page can carry them."""
    from matplotlib.backends import backend_svg

    backend: Any = backend_svg
    size, dpi, tags = figure.get_size_inches(), figure.dpi, Tags()
    wide, high = 72 * size
    vector = backend.RendererSVG(wide, high, io.StringIO(), image_dpi=dpi)
    vector.writer, vector.get_text_width_height_descent = tags, _measured
    figure.dpi = 72
    try:
        figure.draw(backend.MixedModeRenderer(figure, *size, dpi, vector))
    finally:
        figure.dpi = dpi
    vector.finalize()
    width, height = short(wide), short(high)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg"'
        f' class="plot" role="img" viewBox="0 0 {width} {height}" width="{width}pt"'
        f' height="{height}pt" font-family="{FONT}, Verdana, sans-serif"'
        f' stroke-linejoin="round" aria-label="{escape(description, quote=True)}">'
    )
    return f"{head}{''.join(tags.written)}</svg>\n"


@lru_cache(10_000)
def _measured(*words: Any) -> Any:
    """Return how large matplotlib takes words in an SVG to be, such as those at ticks."""
    from matplotlib.textpath import text_to_path

    return text_to_path.get_text_width_height_descent(*words)


class Tags:
    """Takes what matplotlib writes into an SVG, tag by tag, in place of its own writer.

    Named parts become classes, styles attributes, and numbers short.
    """

    def __init__(self) -> None:
        self.written: list[str] = []
        self._open: list[str] = []
        self._begun = 0  # pieces, when the last tag was opened

    def start(self, tag: str, attrib: Mapping[str, str] | None = None, **more: str) -> None:
        """Open a tag."""
        self.written.append(f"<{tag}{_attributes(tag, {**(attrib or {}), **more})}>")
        self._open.append(tag)
        self._begun = len(self.written)

    def data(self, text: str) -> None:
        """Write words."""
        self.written.append(escape(text, quote=False))

    def end(self, *_: Any, **__: Any) -> None:
        """Close the tag that was opened last."""
        tag, empty = self._open.pop(), self._begun == len(self.written)
        if empty:
            self.written[-1] = self.written[-1].removesuffix(">")
        self.written.append("/>" if empty else f"</{tag}>")

    def element(
        self, tag: str, text: str = "", attrib: Mapping[str, str] | None = None, **more: str
    ) -> None:
        """Write a tag and the words in it."""
        self.start(tag, attrib, **more)
        if text:
            self.data(text)
        self.end()

    def words(self, part: str | None, text: str, style: str, x: float, y: float) -> None:
        """Write a line of words in the group of its part."""
        named = f' class="{escape(part)}"' if part else ""
        place = f' x="{short(round(x, 6))}" y="{short(round(y, 6))}"'
        line = f"<text{style}{place}>{escape(text, quote=False)}</text>"
        self.written.append(f"<g{named}>{line}</g>")

    def close(self, *_: Any) -> None:
        """Leave the whole open: what matplotlib writes at its end stays inside."""

    comment = flush = close


_NUMBER = re.compile(r"-?\d+\.\d+(?:e-\d+)?")
#: Identifiers that matplotlib counts itself say nothing; ours have no number.
_COUNTED = re.compile(r".*_\d+$")


def _attributes(tag: str, attributes: Mapping[str, str]) -> str:
    written: list[str] = []
    for key, value in attributes.items():
        if key == "style":
            written.append(_styled(value))
        elif key == "id" and tag == "g":
            written.append("" if _COUNTED.match(value) else f' class="{escape(value)}"')
        elif value and not (key == "transform" and value.startswith("rotate(-0 ")):
            written.append(f' {key.removeprefix("xlink:")}="{escape(_rounded(value))}"')
    return "".join(written)


@cache
def _styled(style: str) -> str:
    """Return a style as attributes; the family stands in the head."""
    items = (item.strip().partition(": ") for item in style.split(";"))
    return "".join(
        f' {what}="{_rounded(how.removesuffix("px"))}"'
        for what, _, how in items
        if what and what != "font-family"
    )


def _rounded(value: str) -> str:
    """Return a value with two decimals in every number and no spare blanks."""
    rounded = _NUMBER.sub(lambda match: short(float(match.group())), value)
    return re.sub(r"\s*\n\s*|(?<=[MLQCz])\s+", "", rounded)


@lru_cache(10_000)
def short(number: float) -> str:
    """Return a number with at most two decimals; a hundredth of a point cannot be seen."""
    text = f"{number:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
