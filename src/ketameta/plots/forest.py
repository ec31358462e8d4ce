"""Forest plots: drawn on a real axis in effect units, with the words around it; and described.

``plot(fit)`` reads a fitted result; a :class:`~ketameta.plots.forest_data.Forest` holds whatever a
plot can show beyond that. :mod:`ketameta.plots.forest_layout` turns it into placed data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ketameta.effects.table import of_fit
from ketameta.errors import UsageError
from ketameta.formatting import format_count, format_percent, plural, trials_words
from ketameta.plots import look
from ketameta.plots.forest_data import arranged, forest_of, pools_of
from ketameta.plots.forest_layout import Direction, ForestLayout, lay_out, looked_for
from ketameta.plots.forest_rows import BOLD, SMALL_KINDS, ForestColumn, ForestRow, risk_letters
from ketameta.plots.frame import Pen, arrows, centred, dress, intervals, point_transform, titled
from ketameta.plots.look import BODY, LINE, MARGIN, SMALL, themed
from ketameta.plots.scale import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Plots with more trials than this get a pale band behind every second row.
BAND_BEYOND = 16
DIAMOND, GROUP_DIAMOND, PREDICTION = 4.5, 3.8, 1.9


def plot(
    result: Any,
    *,
    ax: Axes | None = None,
    style: str = "house",
    columns: Mapping[str, Sequence[object] | str] | Sequence[str] | None = None,
    sort: str | Sequence[Any] | None = None,
    groups: Sequence[object] | str | None = None,
    overall: bool = True,
    prediction: bool = True,
    weights: bool = True,
    title: str | None = None,
    favours: tuple[str, str] | None = None,
    lower_is_better: bool | None = None,
    xlim: tuple[float, float] | None = None,
    labels: bool | None = None,
    rows_per_page: int | None = None,
    page: int = 1,
) -> Axes:
    """Draw a forest plot and return its axes, whose horizontal axis is in effect units.

    Parameters
    ----------
    result : a fitted result, a mapping of names to results of one measure, or Forest
        See :func:`forest_of`.
    ax : Axes, optional
        Draw there, scaled to fit with all columns; a figure of its own size when not given.
    style : {"house", "revman", "jama", "bmj"}
        Whose order of columns, colours and words.
    columns : mapping of str to sequence or str, or sequence of str, optional
        Extra columns: heading and one text or number per trial, or the names of columns of the
        frame that the fit was made from.
    sort : {"estimate", "weight", "label"} or sequence, optional
        What trials are sorted by within groups; with a leading ``-`` from high to low. The order
        of the result when not given.
    groups : sequence or str, optional
        The group of each trial, pooled as the whole was.
    overall : bool
        Whether the trials of all groups are pooled too; False where groups are too unlike for that.
    prediction, weights : bool
        Whether the prediction interval and the column of weights are shown.
    title : str, optional
    favours : (str, str), optional
        Words on the left and the right of no effect.
    lower_is_better : bool, optional
        Which way is better, where ``favours`` is not given: the side of the treatment is said.
    xlim : (float, float), optional
        Ends of the axis as shown; chosen from the data when not given. Intervals that run past an
        end are cut with an arrow.
    labels : bool, optional
        Write every trial in a row of its own; by default up to 200 trials, beyond which each is a
        thin line.
    rows_per_page, page : int
        Draw only so many rows, with the headings repeated, and of them the ``page``-th lot.

    Returns
    -------
    Axes
        Named parts (:func:`ketameta.plots.find`): ``study_interval``, ``study_marker``,
        ``clip_arrow``, ``subgroup_diamond``, ``pooled_diamond``, ``prediction_bar``,
        ``null_line``, ``pooled_line``, ``important_line``, ``label``, ``cell``, ``header``,
        ``direction``, ``risk_of_bias``, ``footnote`` and others.

    Raises
    ------
    UsageError
        For an unknown style, a column or group list of another length, or an empty axis range.

    Notes
    -----
    The reader should be able to say, in ten seconds, which way the trials point, how sure the
    pooled estimate is, and how different the next trial could be. Marker areas are proportional
    to the weights. Pooled intervals are drawn whole; what runs past the axis has an arrowhead, such
    as a prediction interval that would leave the trials no room.

    Examples
    --------
    >>> import ketameta as km
    >>> fit = km.random_effects([0.10, 0.30, 0.35], [0.03, 0.04, 0.05], labels=["A", "B", "C"])
    >>> ax = plot(fit, sort="-estimate", style="jama")
    >>> ax.get_xscale()
    'linear'
    """
    for name, pair, kind in (("xlim", xlim, int | float), ("favours", favours, str)):
        if pair is not None and not (
            isinstance(pair, tuple | list)
            and len(pair) == 2
            and all(isinstance(end, kind) for end in pair)
        ):
            raise UsageError(f"{name} is {pair!r}; give two of them, left and right")
    if isinstance(columns, list | tuple) and getattr(result, "source", None) is not None:
        columns = {name: name for name in columns}
    more: Any = columns
    if isinstance(columns, Mapping):
        more = {name: of_fit(f"columns[{name!r}]", values, result)
                for name, values in columns.items()}  # fmt: skip
    if sort is not None and not isinstance(sort, str):
        sort = of_fit("sort", sort, result)
    pools = None
    if groups is not None:
        groups = of_fit("groups", groups, result)
        if len(groups) != len(getattr(result, "labels", ())):
            raise UsageError(
                f"groups has {len(groups)} values and the fit has"
                f" {plural(len(getattr(result, 'labels', ())), 'trial')}; give one each"
            )
        pools = pools_of(result, list(groups))
    found = forest_of(result, overall)
    forest = arranged(found, columns=more, sort=sort, levels=groups, pools=pools)
    forest = replace(titled(forest, title), pool=forest.pool if overall else None)
    if not prediction:
        forest = replace(forest, predictions=False)
    if lower_is_better not in (None, True, False):
        raise UsageError(f"lower_is_better is {lower_is_better!r}; give True or False")
    if favours is None and lower_is_better is not None:
        sides = ("Favours treatment", "Favours control")
        favours = sides if lower_is_better else sides[::-1]
    if favours is not None:
        forest = replace(forest, scale=replace(forest.scale, favours=favours))
    layout = lay_out(forest, style=style, xlim=xlim, weights=weights, labels=labels)
    if rows_per_page is not None:
        pages = layout.pages(rows=rows_per_page)
        if not 1 <= page <= len(pages):
            raise UsageError(f"page is {page}; there are {plural(len(pages), 'page')}")
        layout = pages[page - 1]
    drawn = draw(layout, ax=ax)
    drawn.set_label(describe_layout(layout))
    return drawn


# --- drawing --------------------------------------------------------------------------------------


@themed
def draw(layout: ForestLayout, *, ax: Axes | None = None) -> Axes:
    """Draw a layout and return its axes; those given keep their place and take all columns in."""
    plot = layout.column("plot")
    assert plot is not None
    edges = (plot.left, plot.right) if layout.axis is not None else (MARGIN, layout.width - MARGIN)
    bottom = layout.axis_y if layout.axis is not None else layout.rows[-1].bottom
    if ax is None:
        figure = look.new_figure(layout.width, layout.height)
        ax, scale = figure.add_axes((0.0, 0.0, 1.0, 1.0)), 1.0
    else:
        figure = look.figure_of(ax)
        box = ax.get_window_extent()
        scale = min(box.width / layout.width, box.height / layout.height) * 72 / figure.dpi
    whole = ax.get_position()
    wide, high = (72 * length / scale for length in figure.get_size_inches())
    ax.set_position((
        whole.x0 + edges[0] / wide,
        whole.y1 - bottom / high,
        (edges[1] - edges[0]) / wide,
        (bottom - layout.body_top) / high,
    ))  # fmt: skip
    again = layout.axis_repeated
    marks = {"labelsize": scale * SMALL, "length": scale * 3.0, "top": again, "labeltop": again}
    dress(ax, layout.axis or Axis(0.0, 1.0), Axis(layout.body_top, bottom, reverse=True), **marks)
    ax.spines["top"].set_visible(again)
    if layout.axis is None:
        ax.xaxis.set_visible(False)
        ax.spines["bottom"].set_visible(False)
    _Pen(layout, ax, scale, edges[0]).everything()
    return ax


class _Pen(Pen):
    """Writes and marks at places in points of the page, on axes of any size."""

    def __init__(self, layout: ForestLayout, ax: Axes, scale: float, left: float) -> None:
        from matplotlib.transforms import blended_transform_factory

        self.layout = layout
        # Points of the page across, and points from the top of the page down.
        across = point_transform(ax, left, scale)
        super().__init__(ax, scale, blended_transform_factory(across, ax.transData))

    def everything(self) -> None:
        layout = self.layout
        self.bands()
        y = self.paragraph("title", MARGIN, MARGIN, layout.title_lines, look.TITLE, bold=True)
        self.paragraph("subtitle", MARGIN, y, layout.subtitle_lines, SMALL, colour=look.GREY)
        if layout.rows[0].lines:
            self.header()
        for direction in layout.directions:
            self.direction(direction)
        for row in layout.rows[1:]:
            self.words(row)
        if layout.axis is not None:
            self.lines(layout.axis)
            self.trials(layout.axis)
            self.pools(layout.axis)
        self.risk()
        notes = [line for note in layout.footnotes for line in note]
        self.paragraph("footnote", MARGIN, layout.footnote_top, notes, SMALL, colour=look.GREY)

    # --- words ------------------------------------------------------------------------------------

    def bands(self) -> None:
        layout = self.layout
        right = layout.width - MARGIN
        trials = layout.rows_of("study")
        if layout.labelled and (len(trials) > BAND_BEYOND or layout.style.bands):
            for row in trials[1::2]:
                self.box("band", MARGIN, row.top, right, row.bottom, look.BAND)
        header = layout.rows[0]
        if layout.style.head_fill and header.lines:
            fill = layout.style.head_fill
            self.box("head_band", MARGIN, header.top - 2.0, right, header.bottom, fill)

    def header(self) -> None:
        layout = self.layout
        rule = layout.rows[0].bottom
        self.line("header_rule", [(MARGIN, rule), (layout.width - MARGIN, rule)])
        base, step = rule - 4.2, LINE * BODY
        above = layout.style.favours_above and bool(layout.directions)
        for column in layout.columns:
            left = column.anchors[:1] == [(column.left, "left")]
            x, align = column.anchors[0] if left else (column.middle, "center")
            foot = layout.direction_top - 3.0 if above and column.name == "plot" else base
            for index, line in enumerate(reversed(column.header)):
                self.text("header", x, foot - index * step, line, align=align, bold=True)
            if column.name == "risk_of_bias" and not column.header:
                letters = risk_letters(len(column.anchors))
                for (x, _), letter in zip(column.anchors, letters, strict=True):
                    self.text("header", x, base, letter, align="center", bold=True)
        for column in layout.columns:
            for index, line in enumerate(reversed(column.over), start=1):
                y = base - index * step
                self.text("spanner", column.middle, y, line, align="center", bold=True)

    def direction(self, words: Direction) -> None:
        y = self.layout.direction_top
        align = "right" if words.side < 0 else "left"
        end = self.paragraph("direction", words.x, y, words.lines, align=align)
        reach, middle = look.widest(words.lines, BODY), (y + end) / 2 - 0.4
        start = words.x + words.side * (reach + 3.5)
        tip = start + words.side * 11.0
        self.line("direction_arrow", [(start, middle), (tip - words.side * 2.0, middle)],
                  colour=look.GREY)  # fmt: skip
        back = tip - words.side * 3.6
        head = [(tip, middle), (back, middle - 2.0), (back, middle + 2.0)]
        self.polygon("direction_arrow", head, look.GREY)

    def words(self, row: ForestRow) -> None:
        if row.kind == "empty" and not self.layout.rows_of("subgroup_header"):
            self.empty(row)
            return
        small, bold = row.kind in SMALL_KINDS, row.kind in BOLD
        size = SMALL if small else BODY
        colour = look.GREY if small or row.kind == "empty" else look.INK
        colour = look.LIGHT if row.excluded else colour
        italic = row.kind in ("subgroup_note", "single", "note", "empty")
        part = row.kind if row.kind in ("heterogeneity", "subgroup_test") else "label"
        x = MARGIN + row.indent
        above, below = len(row.lines) * LINE * size / 2, len(row.remarks) * LINE * SMALL / 2
        baseline = self.block(part, x, row.middle - below, row.lines, size, bold=bold,
                              italic=italic, colour=colour)  # fmt: skip
        x += look.text_width(row.lines[-1], size, bold=bold) if row.lines else 0.0
        if row.marker:
            self.text("note_marker", x + 1.5, baseline - 2.4, row.marker, SMALL, colour=colour)
            x += 1.5 + look.text_width(row.marker, SMALL)
        if row.tag:
            self.text("tag", x + 4.0, baseline, row.tag, SMALL, italic=True, colour=look.GREY)
        left, middle = MARGIN + row.indent, row.middle + above
        self.block("remark", left, middle, row.remarks, SMALL, italic=True, colour=look.GREY)
        for column in self.layout.columns:
            pieces = row.cells.get(column.name)
            if pieces:
                self.cell(column, row, pieces, bold, colour)

    def cell(
        self, column: ForestColumn, row: ForestRow, pieces: tuple[str, ...], bold: bool, colour: str
    ) -> None:
        if column.name == "comparison":
            self.block("cell", column.left, row.middle, row.beside, colour=colour)
            return
        baseline = centred(row.middle, BODY)
        if len(pieces) != len(column.anchors):  # one phrase instead of numbers
            self.text("cell", column.middle, baseline, pieces[0], SMALL, align="center",
                      italic=True, colour=look.GREY)  # fmt: skip
            return
        for (x, align), piece in zip(column.anchors, pieces, strict=True):
            if piece:
                self.text("cell", x, baseline, piece, align=align, bold=bold, colour=colour)

    def empty(self, row: ForestRow) -> None:
        left, right = MARGIN, self.layout.width - MARGIN
        middle = (left + right) / 2
        lines = look.wrap(looked_for(self.layout.forest), 0.8 * (right - left), BODY, most=4)
        top = row.middle - (14.0 + len(lines) * LINE * BODY) / 2
        self.box("empty_frame", left, row.top + 4.0, right, row.bottom - 2.0, look.BAND)
        self.text("empty", middle, top + 9.0, row.label, 10.0, align="center", bold=True)
        self.paragraph("looked_for", middle, top + 15.0, lines, align="center", colour=look.GREY)
        y = row.bottom + 2.0
        self.line("footer_rule", [(left, y), (right, y)], width=look.HAIRLINE, colour=look.RULE)

    # --- the plot ---------------------------------------------------------------------------------

    def lines(self, axis: Axis) -> None:
        layout, forest = self.layout, self.layout.forest
        top, bottom = layout.body_top, layout.axis_y
        marks: list[tuple[str, float, float, str, Any]] = []
        if forest.scale.has_null:
            marks.append(("null_line", forest.scale.no_effect, bottom, look.GREY, "-"))
        if forest.important is not None:
            marks.append(("important_line", forest.important, bottom, look.GREEN, look.DASHED))
        mean, overall = layout.pooled_estimate, layout.rows_of("overall")
        if mean is not None:
            ink, end = layout.style.diamond, overall[0].middle
            marks.append(("pooled_line", mean, end, ink, look.DOTTED))
        for part, value, end, colour, dash in marks:
            if axis.side(value) == 0:
                self.line(part, [(value, top), (value, end)], colour=colour, dash=dash, data=True)

    def trials(self, axis: Axis) -> None:
        rows = self.layout.rows_of("study")
        style = self.layout.style
        thin = 0.95 if self.layout.labelled else min(0.95, 0.8 * rows[0].height) if rows else 0.0
        for excluded in (False, True):
            here = [row for row in rows if row.excluded == excluded]
            intervals(
                self.ax, "x", axis, [(row.middle, row.estimate, row.low, row.high) for row in here],
                part="study_interval", colour=look.LIGHT if excluded else style.interval,
                width=thin * self.scale, head=4.4 * self.scale,
                dash=look.DASHED if excluded else "-",
            )  # fmt: skip
            marked = [
                row for row in here if row.estimate is not None and not axis.side(row.estimate)
            ]
            if marked:
                places = [(row.estimate or 0.0, row.middle) for row in marked]
                self.marks(
                    "study_marker", places, [math.sqrt(row.area) for row in marked],
                    look.PAPER if excluded else style.square,
                    look.LIGHT if excluded else style.square, width=0.4, marker="s", zorder=2.5,
                    data=True,
                )  # fmt: skip

    def pools(self, axis: Axis) -> None:
        style = self.layout.style
        for row in (row for row in self.layout.rows if row.drawn):
            y, ink = row.middle, style.diamond
            if row.kind in ("overall", "subgroup_pool") and row.estimate is not None:
                whole = row.kind == "overall"
                half = DIAMOND if whole else GROUP_DIAMOND
                low = row.estimate if row.low is None else row.low
                high = row.estimate if row.high is None else row.high
                if axis.side(high) >= 0 and axis.side(low) <= 0:
                    middle = row.estimate
                    points = [(low, y), (middle, y - half), (high, y), (middle, y + half)]
                    self.polygon(
                        "pooled_diamond" if whole else "subgroup_diamond", points,
                        ink if whole else style.group_diamond, edge=ink, data=True,
                        clip=row.cut_low or row.cut_high,
                    )  # fmt: skip
            elif row.kind == "prediction" and row.low is not None and row.high is not None:
                ends, ink = (axis.cut(row.low), axis.cut(row.high)), look.VERMILLION
                points = [(x, y + sign * PREDICTION) for x, sign in
                          ((ends[0], -1), (ends[1], -1), (ends[1], 1), (ends[0], 1))]  # fmt: skip
                self.polygon("prediction_bar", points, look.ORANGE, edge=ink, data=True)
            else:
                continue
            places = [(axis.low, y, -1)] * row.cut_low + [(axis.high, y, 1)] * row.cut_high
            arrows(self.ax, places, "x", colour=ink, size=5.0 * self.scale)

    def risk(self) -> None:
        column = self.layout.column("risk_of_bias")
        if column is not None:
            self.lights([
                (x, row.middle, judgement)
                for row in self.layout.rows_of("study")
                for (x, _), judgement in zip(column.anchors, row.risk_of_bias, strict=True)
            ])  # fmt: skip


# --- in words -------------------------------------------------------------------------------------


def describe(result: Any) -> str:
    """Return the text alternative of a forest plot: what it shows, in numbers."""
    return describe_layout(lay_out(forest_of(result)))


def describe_layout(layout: ForestLayout) -> str:
    """Return a laid-out forest plot in sentences."""
    forest, scale = layout.forest, layout.forest.scale
    name = f"{forest.description}{': ' if forest.title else ''}{forest.title}."
    if layout.rows_of("empty") and not layout.rows_of("study"):
        looked = forest.looked_for.rstrip(".")
        return f"{name} No eligible trials.{f' Looked for: {looked}.' if looked else ''}"
    people = layout.participants
    several = layout.rows_of("study")
    count = len(several) if forest.rows_are_pools else layout.k
    what = trials_words(count, forest.pools)
    if forest.rows_are_pools:
        what = plural(count, "pooled estimate")
    who = f", {format_count(people)} participants" if people is not None else ""
    sentences = [name, f"{what}{who}; {scale.label}."]

    def write(value: float | None) -> str:
        return scale.write(value, layout.digits)

    overall = layout.rows_of("overall")
    if overall:
        sentences.append(f"Pooled estimate {_interval(layout, overall[0])}.")
        sentences += [
            f"{format_percent(scale.level)} prediction interval {write(row.low)} to"
            f" {write(row.high)}."
            for row in layout.rows_of("prediction")
            if row.group is None
        ]
    elif layout.rows_of("single"):
        only = next(row for row in several if not row.excluded)
        one = trials_words(1, forest.pools, one="One trial")
        sentences.append(f"{one}, not pooled: {only.label} {_interval(layout, only)}.")
    sentences += _group_sentences(layout)
    used = [row for row in several if row.estimate is not None and not row.excluded]
    if len(used) > 1 and "network" not in forest.description:  # where the ends would be ranks
        ordered = sorted(used, key=lambda row: row.estimate or 0.0)
        ends = [f"{write(row.estimate)} ({row.label})" for row in (ordered[0], ordered[-1])]
        which = "They" if forest.rows_are_pools or forest.pools else "Single trials"
        sentences.append(f"{which} range from {ends[0]} to {ends[1]}.")
    sentences += [f"{row.label}." for row in layout.rows_of("heterogeneity") if row.group is None]
    sentences += [f"{row.label}." for row in layout.rows_of("subgroup_test")]
    null = scale.write(scale.no_effect, 0)
    for where, words in zip(("below", "above"), scale.favours, strict=True):
        if words and scale.has_null:
            sentences.append(f"Values {where} {null}: {words[:1].lower()}{words[1:]}.")
    aside = sum(row.excluded for row in layout.rows)
    if aside:
        sentences.append(f"{plural(aside, 'trial')} set aside and shown in grey.")
    return " ".join(sentences).replace("\u00a0", " ")


def _group_sentences(layout: ForestLayout) -> list[str]:
    sentences = []
    for header in layout.rows_of("subgroup_header"):
        rows = [row for row in layout.rows if row.group == header.group]
        pool = next((row for row in rows if row.kind == "subgroup_pool"), None)
        trials = [row for row in rows if row.kind == "study" and not row.excluded]
        pools = sum(row.trial is not None and row.trial.pools for row in trials)
        count = trials_words(len(trials), pools)
        if pool is not None:
            words = f"{_interval(layout, pool)}, {count}"
        elif len(trials) == 1:
            one = trials_words(1, pools, one="one trial")
            words = f"{one}, {_interval(layout, trials[0])}"
        else:
            words = f"{count}, not pooled" if trials else "no eligible trials"
        sentences.append(f"{header.label}: {words}.")
    return sentences


def _interval(layout: ForestLayout, row: ForestRow) -> str:
    ends = row.estimate, row.low, row.high
    return layout.forest.scale.interval(*ends, layout.digits, credible=row.credible)
