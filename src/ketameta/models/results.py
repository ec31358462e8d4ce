"""What every statistical result can do: print, turn into a frame, serialise, draw itself.

Holds no statistics. Result classes are frozen, slotted dataclasses that inherit from
:class:`Result`, keep full precision, and carry their caveats as data.
"""

from __future__ import annotations

import dataclasses
import html
import inspect
import json
import math
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ketameta.errors import CallError, UsageError, check_choice, did_you_mean
from ketameta.formatting import for_console, plural
from ketameta.measures import measure_entry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, slots=True)
class Caveat:
    """Something a reader must know before trusting a number: a sentence, and a ``code`` for it."""

    code: str
    message: str


def stated(*found: tuple[object, str, str]) -> tuple[Caveat, ...]:
    """Return the caveats whose condition holds, each given as condition, code and message."""
    return tuple(Caveat(code, message) for holds, code, message in found if holds)


#: What JSON can hold.
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def plain(value: Any) -> Any:
    """Return ``value`` as JSON-ready Python: arrays to lists, NaN and infinity to ``None``."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "to_dict") and not isinstance(value, (str, bytes)):
        return plain(value.to_dict())
    return value


def favours(result: object, lower_is_better: bool) -> str:
    """Return which side an estimate favours; see :meth:`Result.favours`."""
    if not isinstance(lower_is_better, bool | np.bool_):
        raise UsageError(f"lower_is_better is {lower_is_better!r}; give True or False")
    entry = measure_entry(getattr(result, "measure", None))
    if entry is not None and entry.null is None:
        raise UsageError(f"a {entry.label.lower()} of one group favours neither side")
    value = getattr(result, "estimate", None)
    if value is None or np.ndim(value):
        raise UsageError("there is not one estimate that could favour a side")
    start = f"{'lower' if lower_is_better else 'higher'} is better: favours "
    if value == 0:
        return f"{start}neither"
    side = "treatment" if (value < 0) == bool(lower_is_better) else "control"
    low, high = getattr(result, "ci_low", None), getattr(result, "ci_high", None)
    open_ = low is None or high is None or low <= 0 <= high
    return f"{start}{side}{', with no effect inside the interval' if open_ else ''}"


class Line(NamedTuple):
    """One printed line: what it is about, its cells, and the test at its end."""

    name: str
    cells: tuple[str, ...]
    test: str = ""


#: Columns of a frame by name: one value per row.
Columns: TypeAlias = Mapping[str, Sequence[object] | NDArray[Any]]
#: The least width of the names before the lines.
NAME_WIDTH = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Printed:
    """What a result prints, as data: a head, what is said beside it, lines and caveats.

    The one printer: :meth:`text` is the repr of a result, :meth:`html` what a notebook shows.
    """

    head: str
    lines: Sequence[Line] = ()
    said: str = ""
    caveats: Sequence[Caveat] = ()
    caveat_name: str = "caveat"

    @property
    def every(self) -> list[Line]:
        """The lines, those of the caveats last."""
        more = (Line(self.caveat_name, (caveat.message,)) for caveat in self.caveats)
        return [*self.lines, *more]

    def text(self) -> str:
        """Return plain text: the head in brackets, then a line each."""
        width = max([NAME_WIDTH, *(len(line.name) for line in self.lines)])
        rows = [f"<{self.head}>{self.said and ' '}{self.said}"]
        for name, cells, test in self.every:
            rows.append(f"  {name:<{width}}  {'  '.join(cells)}{test and '   '}{test}")
        return "\n".join(rows)

    def html(self) -> str:
        """Return a table: the head is its caption, every line a row, a cell each."""
        rows = []
        most = max([1, *(len(line.cells) + bool(line.test) for line in self.lines)])
        for name, cells, test in self.every:
            shown = [*cells, test] if test else [*cells]
            last = f' colspan="{most - len(shown) + 1}"' if len(shown) < most else ""
            inside = "".join(f"<td>{html.escape(cell)}</td>" for cell in shown[:-1])
            inside += f"<td{last}>{html.escape(shown[-1])}</td>"
            rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{inside}</tr>')
        said = f"<tr><td>{html.escape(self.said)}</td></tr>" if self.said else ""
        head = f"<caption>{html.escape(self.head)}</caption>"
        return f"<table>{head}<tbody>{said}{''.join(rows)}</tbody></table>"


def columns_of(rows: Sequence[object]) -> Columns:
    """Return dataclasses of one kind as columns, one row each."""
    names = [field.name for field in dataclasses.fields(rows[0])] if rows else []  # type: ignore[arg-type]
    return {name: [getattr(row, name) for row in rows] for name in names}


def _displayed(name: str, what: str) -> property:
    """Return a field of a result on the scale that is read, as :meth:`Result.display` does."""
    return property(lambda result: result.display(name), doc=f"{what} on the scale that is read.")


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Result:
    """Base of every result. Subclasses implement :meth:`printed` and may have :meth:`columns`."""

    #: Fields that :meth:`to_dict` leaves out.
    not_serialised: ClassVar[tuple[str, ...]] = ()
    #: Columns of :meth:`to_frame`: fields with a value per row or one for all, as
    #: ``estimate``, or ``label=labels`` where the column has a name of its own.
    framed: ClassVar[tuple[str, ...]] = ()

    def printed(self) -> Printed:
        """Return what is printed, as data; printing, notebooks and reports render it."""
        raise TypeError(f"{type(self).__name__} does not say how it prints")

    def columns(self) -> Columns:
        """Return the columns of :meth:`to_frame`: those framed, else rows, else single values."""
        if self.framed:
            names = dict(name.partition("=")[::2] for name in self.framed)
            found = {name: getattr(self, field or name) for name, field in names.items()}
            many = max([np.size(value) for value in found.values() if np.ndim(value)], default=1)
            return {name: value if np.ndim(value) else [value] * many
                    for name, value in found.items()}  # fmt: skip
        if rows := getattr(self, "rows", None):
            return columns_of(rows)
        single = (str, int, float, np.generic)
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: [value] for name, value in values.items() if isinstance(value, single)}

    def summary(self) -> str:
        """Return the lines that the repr prints; the first one is a sentence in brackets."""
        return self.printed().text()

    def __repr__(self) -> str:
        return for_console(self.summary())

    def _repr_html_(self) -> str:
        return self.printed().html()

    def __eq__(self, other: object) -> bool:
        """Compare by content, arrays included; subclasses are declared with ``eq=False``."""
        return type(self) is type(other) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def to_dict(self) -> dict[str, Json]:
        """Return every field as JSON-ready Python, at full precision."""
        names = (field.name for field in dataclasses.fields(self))
        return {name: plain(getattr(self, name)) for name in names
                if name not in self.not_serialised}  # fmt: skip

    def to_json(self) -> str:
        """Return the same bytes for the same result: sorted keys, shortest round-trip floats."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, allow_nan=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per estimate in the column vocabulary (``estimate, se, ci_low, ...``)."""
        import pandas as pd

        return pd.DataFrame(dict(self.columns()))

    def tidy(self) -> pd.DataFrame:
        """Return :meth:`to_frame`, by the name it has in R."""
        return self.to_frame()

    def display(self, name: str) -> Any:
        """Return a field on the scale that is read: ratios, proportions, correlations.

        ``estimate``, a bound or anything else on the pooled scale, turned back by the measure of
        the result; as it is where the measure is not known or needs nothing.
        """
        if not hasattr(self, name):
            fields = [field.name for field in dataclasses.fields(self)]
            raise UsageError(f"{type(self).__name__} has no {name!r}{did_you_mean(name, fields)}")
        value, entry = getattr(self, name), measure_entry(getattr(self, "measure", None))
        if value is None or entry is None:
            return value
        shown = entry.to_reader(value, getattr(self, "variances", None))
        return float(shown) if np.ndim(shown) == 0 else shown

    def made_of(self, effects: object) -> Self:
        """Return the result, just made, with the effects that it was made of as its source."""
        object.__setattr__(self, "source", effects)
        return self

    def with_caveat(self, code: str, message: str) -> Self:
        """Return the result with one caveat more; a lazy one, just made, stays lazy."""
        groups: Mapping[str, Group] = getattr(self, "_groups", {})
        if "caveats" not in groups:
            mine = (*getattr(self, "caveats", ()), Caveat(code, message))
            return dataclasses.replace(self, caveats=mine)  # type: ignore[call-arg]
        names, compute = groups["caveats"]
        at = names.index("caveats")

        def more() -> Sequence[object]:
            values: list[Any] = list(compute())
            values[at] = (*values[at], Caveat(code, message))
            return values

        object.__setattr__(self, "_groups", {**groups, **group(names, more)})
        return self

    def favours(self, *, lower_is_better: bool) -> str:
        """Return which side the estimate favours, where the caller says which way is better.

        Such as ``lower is better: favours treatment``, with a word where the interval holds no
        effect.

        Raises
        ------
        UsageError
            A measure of one group, which favours nobody, or a result of several estimates.
        """
        return favours(self, lower_is_better)

    display_estimate = _displayed("estimate", "The estimate")
    display_ci_low = _displayed("ci_low", "The lower end of its interval")
    display_ci_high = _displayed("ci_high", "The upper end of its interval")
    display_pi_low = _displayed("pi_low", "The lower end of the prediction interval")
    display_pi_high = _displayed("pi_high", "The upper end of the prediction interval")


#: Fields that are computed together, and the function that returns their values.
Group: TypeAlias = tuple[tuple[str, ...], Callable[[], Sequence[object]]]


def group(names: tuple[str, ...], compute: Callable[..., Sequence[object]]) -> dict[str, Group]:
    """Return a group of fields under each of their names."""
    return dict.fromkeys(names, (names, compute))


class Lazy:
    """A result some of whose fields are computed when they are first read, and then kept.

    Values never change: what is read, compared, copied or serialised is what a result computed at
    once would hold.
    """

    __slots__ = ("_groups",)
    _groups: Mapping[str, Group]

    @classmethod
    def of(cls, known: Mapping[str, object], groups: Mapping[str, Group]) -> Self:
        """Return a result from the fields that are known and the groups of those that are not."""
        made = object.__new__(cls)
        for name, value in known.items():
            object.__setattr__(made, name, value)
        object.__setattr__(made, "_groups", groups)
        return made

    if not TYPE_CHECKING:  # or every misspelt field would pass for one

        def __getattr__(self, name):
            try:
                names, compute = object.__getattribute__(self, "_groups")[name]
            except (AttributeError, KeyError):
                message = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(message) from None
            for field, value in zip(names, compute(), strict=True):
                object.__setattr__(self, field, value)
            return object.__getattribute__(self, name)


# --- reports --------------------------------------------------------------------------------------

#: What a report cites, by the words in its text.
REFERENCES = {
    "Borenstein et al. 2009": "Introduction to Meta-Analysis, Wiley, chapter 19",
    "Crippa et al. 2019": "Stat. Methods Med. Res. 28, 1579-1596",
    "DerSimonian and Laird 1986": "Control. Clin. Trials 7, 177-188",
    "Greenland and Longnecker 1992": "Am. J. Epidemiol. 135, 1301-1309",
    "Günhan, Röver and Friede 2020": "Res. Synth. Methods 11, 74-90",
    "Higgins and Thompson 2002": "Stat. Med. 21, 1539-1558",
    "Higgins, Thompson and Spiegelhalter 2009": "J. R. Stat. Soc. A 172, 137-159",
    "Knapp and Hartung 2003": "Stat. Med. 22, 2693-2710",
    "Konstantopoulos 2011": "Res. Synth. Methods 2, 61-76",
    "Mantel and Haenszel 1959": "J. Natl. Cancer Inst. 22, 719-748",
    "Paule and Mandel 1982": "J. Res. Natl. Bur. Stand. 87, 377-385",
    "Pustejovsky and Tipton 2018": "J. Bus. Econ. Stat. 36, 672-683",
    "Pustejovsky and Tipton 2022": "Prev. Sci. 23, 425-438",
    "Raudenbush 2009": "in Cooper, Hedges and Valentine, Handbook of Research Synthesis",
    "Röver 2020": "J. Stat. Softw. 93(6), 1-51",
    "Röver, Knapp and Friede 2015": "BMC Med. Res. Methodol. 15, 99",
    "Rücker and Schwarzer 2015": "BMC Med. Res. Methodol. 15, 58",
    "Salanti et al. 2008": "Stat. Methods Med. Res. 17, 279-301",
    "Sidik and Jonkman 2005": "J. R. Stat. Soc. C 54, 367-384",
    "Stijnen, Hamza and Özdemir 2010": "Stat. Med. 29, 3046-3067",
    "Thompson and Higgins 2002": "Stat. Med. 21, 1559-1573",
    "Viechtbauer 2005": "J. Educ. Behav. Stat. 30, 261-293",
    "Viechtbauer 2007": "Stat. Med. 26, 37-52",
    "Viechtbauer et al. 2015": "Psychol. Methods 20, 360-374",
    "Yusuf et al. 1985": "Prog. Cardiovasc. Dis. 27, 335-371",
}


def interval_sentence(fit: Any, what: str) -> str:
    """Return how the intervals of a fit were made, such as those of ``the mean``."""
    share = f"{100 * fit.level:g}%"
    if fit.ci_method == "wald":
        return f"The {share} confidence interval of {what} is Wald's, from the normal distribution."
    floor = (
        ", with a factor of the variance of at least 1 (Röver, Knapp and Friede 2015)"
        if fit.ci_method == "knapp-hartung-conservative"
        else ""
    )
    return (
        f"The {share} confidence interval of {what} is Knapp–Hartung's (Knapp and Hartung 2003),"
        f" from t with {plural(fit.df, 'degree')} of freedom{floor}."
    )


def computed(words: Sequence[str]) -> str:
    """Return sentences of a method as a paragraph that ends with the program."""
    from ketameta import __version__

    return " ".join([*words, f"Computed with ketameta {__version__}."])


@dataclasses.dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a report: paragraphs, a table (its first row the headings), a list."""

    title: str
    paragraphs: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    items: Sequence[str] = ()

    def markdown(self) -> str:
        """Return the chapter as Markdown."""
        rows = [f"| {' | '.join(map(_plain_mark, row))} |" for row in self.table]
        rows[1:1] = [f"|{' --- |' * len(self.table[0])}"] if rows else []
        parts = [f"## {self.title}", *map(_plain_mark, self.paragraphs), "\n".join(rows)]
        parts.append("\n".join(f"- {_plain_mark(item)}" for item in self.items))
        return "\n\n".join(part for part in parts if part)

    def html(self) -> str:
        """Return the chapter as HTML."""
        parts = [f"<h2>{self.title}</h2>", *(f"<p>{html.escape(x)}</p>" for x in self.paragraphs)]
        for at, row in enumerate(self.table):
            cell = "td" if at else "th"
            cells = "".join(f"<{cell}>{html.escape(text)}</{cell}>" for text in row)
            parts.append(f"{'' if at else '<table>'}<tr>{cells}</tr>")
        parts += ["</table>"] if self.table else []
        listed = "".join(f"<li>{html.escape(item)}</li>" for item in self.items)
        return "\n".join([*parts, *([f"<ul>{listed}</ul>"] if listed else [])])


def _plain_mark(text: str) -> str:
    """Return a text in which Markdown finds no mark."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


class Reports:
    """A result that says what was done, as one paragraph and as a short report."""

    __slots__ = ()

    def methods_sentence(self) -> str:
        """Return what was done, in sentences with authors and years, for a methods section."""
        raise TypeError(f"{type(self).__name__} does not say how it was made")

    def findings(self) -> Chapter:
        """Return what was found, in numbers: what is printed, as a table."""
        lines = self.printed().lines if isinstance(self, Result) else ()
        rows = [(line.name, ", ".join(line.cells), line.test) for line in lines]
        return Chapter("Results", table=[("", "Result", "Test"), *rows])

    def report(
        self,
        format: str = "markdown",
        *,
        title: str | None = None,
        lower_is_better: bool | None = None,
    ) -> str:
        """Return what was done and found, with numbers and references.

        Parameters
        ----------
        format : {"markdown", "html"}
            HTML is a fragment (an ``article``) for a page of one's own.
        title : str, optional
        lower_is_better : bool, optional
            Says which side the estimate favours, where it is known which way is better.

        Returns
        -------
        str
        """
        check_choice("format", format, ("markdown", "html"))
        found, method = self.findings(), self.methods_sentence()
        if lower_is_better is not None:
            words = favours(self, lower_is_better)
            more = f"{words[0].upper()}{words[1:]}."
            found = dataclasses.replace(found, paragraphs=[*found.paragraphs, more])
        caveats = [caveat.message for caveat in getattr(self, "caveats", ())]
        cited = [f"{who}, {where}" for who, where in REFERENCES.items() if who in method]
        parts = [Chapter("Methods", [method]), found]
        parts += [Chapter("Caveats", items=caveats)] if caveats else []
        parts += [Chapter("References", items=cited)] if cited else []
        head = title or "Meta-analysis"
        if format == "markdown":
            return "\n\n".join([f"# {_plain_mark(head)}", *(x.markdown() for x in parts)]) + "\n"
        body = "\n".join(part.html() for part in parts)
        return f"<article>\n<h1>{html.escape(head)}</h1>\n{body}\n</article>\n"


# --- the one door to the plots --------------------------------------------------------------------


def _draw(kind: str, result: object, /, **options: Any) -> Axes:
    """Draw a result; the only place where a model looks up to the plots, and only when asked."""
    from ketameta import plots

    drawn = getattr(plots, kind)
    known = list(inspect.signature(drawn).parameters)
    for name in options:
        if name not in known:
            raise CallError(f"{kind}() has no option {name!r}{did_you_mean(name, known)}")
    ax = options.get("ax")
    if ax is not None and not hasattr(ax, "get_figure"):
        raise UsageError(
            f"ax is {ax!r}; give axes of matplotlib. A picture is saved by"
            f" fit.{kind}().figure.savefig('{kind}.svg')"
        )
    axes: Axes = drawn(result, **options)
    return axes


class DrawsForest:
    """A result with a forest plot."""

    __slots__ = ()

    def forest(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw a forest plot and return its axes; options as :func:`ketameta.plots.forest`."""
        return _draw("forest", self, ax=ax, **options)


class DrawsFunnel:
    """A result with a funnel plot."""

    __slots__ = ()

    def funnel(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw a funnel plot and return its axes; options as :func:`ketameta.plots.funnel`."""
        return _draw("funnel", self, ax=ax, **options)


class DrawsBaujat:
    """A result with a Baujat plot."""

    __slots__ = ()

    def baujat(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw a Baujat plot and return its axes; options as :func:`ketameta.plots.baujat`."""
        return _draw("baujat", self, ax=ax, **options)


class DrawsBubble:
    """A result with bubble plots."""

    __slots__ = ()

    def bubble(
        self, moderator: str | None = None, *, ax: Axes | None = None, **options: Any
    ) -> Axes:
        """Draw effects against a moderator; options as :func:`ketameta.plots.bubble`."""
        return _draw("bubble", self, moderator=moderator, ax=ax, **options)

    def forest(self, *_: Any, **__: Any) -> NoReturn:
        """Say which plots there are instead: one line of a forest plot cannot show moderators."""
        raise CallError(
            "a meta-regression has no forest plot: its studies stand around the fitted line in"
            " .bubble(moderator), and marginal_means(fit, category).forest() draws a category"
        )

    def funnel(self, *_: Any, **__: Any) -> NoReturn:
        """Say which plots there are instead: a funnel stands around one mean."""
        raise CallError(
            "a meta-regression has no funnel plot, which stands around one mean:"
            " random_effects(effects).funnel() draws the studies without moderators, and"
            " .bubble(moderator) this fit"
        )


class DrawsPlot:
    """A result with one plot of its own, whose name is ``drawn_as``."""

    __slots__ = ()
    drawn_as: ClassVar[str]

    def plot(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the result and return the axes; options as the function in ``ketameta.plots``."""
        return _draw(self.drawn_as, self, ax=ax, **options)


#: Seconds before a bar appears, and between two drawings.
PATIENCE, INTERVAL = 1.0, 0.1
WIDTH = 30


def terminal_bar(what: str) -> Callable[[int, int], None] | None:
    """Return a function of (done, total) that draws a bar, or None when nobody is looking.

    Nobody is looking when standard error is not a terminal.
    """
    stream = sys.stderr
    if stream is None or not stream.isatty():
        return None
    begun = time.monotonic()
    drawn = begun + PATIENCE - INTERVAL

    def draw(done: int, total: int) -> None:
        nonlocal drawn
        now = time.monotonic()
        shown = drawn > begun + PATIENCE - INTERVAL
        if now - drawn < INTERVAL and not (shown and done >= total):
            return
        drawn = now
        filled = WIDTH * done // total
        left = (now - begun) * (total - done) / max(done, 1)
        stream.write(
            f"\r{what} [{'#' * filled}{'.' * (WIDTH - filled)}] {100 * done // total:3d}%"
            f" {left:4.0f} s left"
        )
        if done >= total:
            stream.write("\r" + " " * (len(what) + WIDTH + 22) + "\r")
        stream.flush()

    return draw
