"""Effect over time: each trial at its time points, and the pooled effect per class of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ketameta.errors import UsageError
from ketameta.figures import style
from ketameta.figures.axis import Scale, choose_range
from ketameta.figures.frame import (
    AxisSpec,
    Frame,
    PlotLayout,
    PlotPoint,
    frame_marks,
    make_frame,
    plot_layout,
)
from ketameta.figures.marks import (
    Area,
    Disc,
    Line,
    Mark,
    Point,
    Text,
    diamond_upright,
    rectangle,
)
from ketameta.figures.numbers import ci_words, display, display_number, finite
from ketameta.figures.text import clean_text, text_width
from ketameta.numberformat import plural

#: Ticks of a time axis in days, from hours to a year.
TIME_TICKS = (
    (1 / 24, "1 h"),
    (2 / 24, "2 h"),
    (4 / 24, "4 h"),
    (8 / 24, "8 h"),
    (1.0, "1 day"),
    (3.0, "3 days"),
    (7.0, "1 week"),
    (14.0, "2 weeks"),
    (28.0, "4 weeks"),
    (84.0, "12 weeks"),
    (182.0, "26 weeks"),
    (364.0, "52 weeks"),
)
_RADIUS = 2.2


def lay_out_over_time(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PAGE_WIDTH
) -> PlotLayout:
    """Lay out effects against time since the first dose, on a logarithmic time axis.

    Parameters
    ----------
    data : mapping
        ``series`` (each ``label`` and ``points``: ``days, estimate, ci_low, ci_high``), ``pooled``
        (each ``from_days, to_days, estimate, ci_low, ci_high, k`` and, where wanted, ``label``),
        ``is_ratio`` (estimates are then logarithms), ``measure_label``, ``null`` (displayed
        units), ``favours``, ``level``, ``title``, ``note``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``class_band``, ``class_name``, ``null_line``, ``trial_line``, ``trial_interval``,
        ``trial_point``, ``pooled_interval``, ``pooled_diamond``.

    Raises
    ------
    UsageError
        If no point has an estimate, or a time is not above 0.
    """
    is_ratio = bool(data.get("is_ratio"))
    series = _series(data.get("series") or (), is_ratio)
    pooled = [
        entry for entry in data.get("pooled") or () if finite(entry.get("estimate")) is not None
    ]
    if not any(points for _, points in series):
        raise UsageError("data['series'] has no point with an estimate")
    days = [point[0] for _, points in series for point in points]
    days += [float(entry[key]) for entry in pooled for key in ("from_days", "to_days")]
    bounds = [
        (low, high)
        for _, points in series
        for _, _, low, high in points
        if low is not None and high is not None
    ]
    estimates = [point[1] for _, points in series for point in points]
    estimates += [display(entry["estimate"], is_ratio) or 0.0 for entry in pooled]
    null = finite(data.get("null"))
    scale: Scale = "log" if is_ratio else "linear"
    y_low, y_high = choose_range(scale, estimates, bounds, null=null)
    words = str(data.get("measure_label") or "Effect")
    interval = ci_words(float(data.get("level") or 0.95))
    left, right = (str(word or "") for word in data.get("favours") or ("", ""))
    legend = f"Circles: trials, joined where one trial has several times; lines: {interval}."
    legend += " Trials at the same time stand side by side."
    if pooled:
        legend += f" Diamonds: pooled estimates with {interval}."
    frame = make_frame(
        title=str(title if title is not None else data.get("title") or "Effect over time"),
        x=AxisSpec(
            min(days) / 1.5, max(days) * 1.5, "Time since the first dose", "log", ticks=TIME_TICKS
        ),
        y=AxisSpec(y_low, y_high, f"{words} (log scale)" if is_ratio else words, scale),
        footnotes=[
            legend,
            f"Below no effect: {left}; above: {right}." if left and right else "",
            str(data.get("note") or ""),
        ],
        width=width,
        top_room=12.0 if pooled else 0.0,
    )
    frame = _thin_ticks(frame)
    marks = _class_bands(frame, pooled)
    marks.extend(frame_marks(frame))
    if null is not None and frame.y.holds(null):
        y = frame.y.position(null)
        marks.append(Line("null_line", ((frame.left, y), (frame.right, y)), colour=style.GREY))
    points: list[PlotPoint] = []
    for index, (label, members) in enumerate(series):
        aside = (index - (len(series) - 1) / 2) * min(2.4, 14.0 / len(series))
        places = [_aside(frame.place(day, y), aside) for day, y, _, _ in members]
        if len(places) > 1:
            marks.append(Line("trial_line", tuple(places), 0.7, style.SKY))
        for (day, estimate, low, high), place in zip(members, places, strict=True):
            if low is not None and high is not None:
                marks.append(_interval("trial_interval", frame, place[0], low, high, 0.6))
            marks.append(Disc("trial_point", place, _RADIUS, style.SKY, style.NAVY, 0.4))
            points.append(PlotPoint(label, day, estimate, place))
    marks.extend(_pooled_marks(frame, pooled, is_ratio))
    sentences = _sentences(frame, series, pooled, is_ratio, interval)
    return plot_layout("over_time", frame, points, marks, sentences)


_Member = tuple[float, float, float | None, float | None]


def _series(series: Sequence[Mapping[str, Any]], is_ratio: bool) -> list[tuple[str, list[_Member]]]:
    read = []
    for position, one in enumerate(series):
        members: list[_Member] = []
        for number, point in enumerate(one.get("points") or ()):
            day = finite(point.get("days"))
            if day is None or day <= 0:
                raise UsageError(
                    f"data['series'][{position}]['points'][{number}] ({one.get('label')}): days is"
                    f" {point.get('days')!r}; a logarithmic time axis needs a time above 0"
                )
            estimate = display(point.get("estimate"), is_ratio)
            if estimate is not None:
                low, high = (display(point.get(key), is_ratio) for key in ("ci_low", "ci_high"))
                members.append((day, estimate, low, high))
        read.append((clean_text(str(one.get("label") or "")), sorted(members)))
    return read


def _aside(place: Point, distance: float) -> Point:
    """Move a point sideways, so that trials at the same time do not hide each other."""
    return place[0] + distance, place[1]


def _thin_ticks(frame: Frame) -> Frame:
    """Leave out time labels that would touch the one before."""
    kept: list[int] = []
    right = float("-inf")
    for index, (x, label) in enumerate(
        zip(frame.x.tick_positions, frame.x.tick_labels, strict=True)
    ):
        half = text_width(label, style.SMALL_SIZE) / 2
        if x - half > right + 4.0:
            kept.append(index)
            right = x + half
    axis = replace(
        frame.x,
        ticks=tuple(frame.x.ticks[index] for index in kept),
        tick_labels=tuple(frame.x.tick_labels[index] for index in kept),
    )
    return replace(frame, x=axis)


def _class_bands(frame: Frame, pooled: Sequence[Mapping[str, Any]]) -> list[Mark]:
    marks: list[Mark] = []
    for entry in pooled:
        left = frame.x.clipped_position(float(entry["from_days"]) / 1.12)[0]
        right = frame.x.clipped_position(float(entry["to_days"]) * 1.12)[0]
        corners = rectangle(left, frame.top, right, frame.bottom)
        marks.append(Area("class_band", corners, fill=style.BAND))
        label = clean_text(str(entry.get("label") or ""))
        k = finite(entry.get("k"))
        words = f"{label} (k\u00a0=\u00a0{k:.0f})" if label and k is not None else label
        if words:
            half = text_width(words, style.SMALL_SIZE) / 2
            middle = min(max((left + right) / 2, frame.left + half), frame.right - half)
            marks.append(
                Text("class_name", middle, frame.top - 4.0, words, style.SMALL_SIZE, "center")
            )
    return marks


def _interval(
    part: str,
    frame: Frame,
    x: float,
    low: float,
    high: float,
    width: float,
    colour: str = style.GREY,
) -> Line:
    bottom, top = frame.y.clipped_position(low)[0], frame.y.clipped_position(high)[0]
    return Line(part, ((x, bottom), (x, top)), width, colour)


def _pooled_marks(frame: Frame, pooled: Sequence[Mapping[str, Any]], is_ratio: bool) -> list[Mark]:
    marks: list[Mark] = []
    for entry in pooled:
        start, stop = float(entry["from_days"]), float(entry["to_days"])
        estimate = display(entry["estimate"], is_ratio) or 0.0
        x, y = frame.place((start * stop) ** 0.5, estimate)
        low, high = (display(entry.get(key), is_ratio) for key in ("ci_low", "ci_high"))
        if low is not None and high is not None:
            marks.append(_interval("pooled_interval", frame, x, low, high, 1.8, style.NAVY))
        marks.append(Area("pooled_diamond", diamond_upright(x, y, 4.6), style.NAVY, style.PAPER))
    return marks


def _sentences(
    frame: Frame,
    series: Sequence[tuple[str, Sequence[_Member]]],
    pooled: Sequence[Mapping[str, Any]],
    is_ratio: bool,
    interval: str,
) -> list[str]:
    def write(value: Any) -> str:
        return display_number(display(value, is_ratio), 2, is_ratio=is_ratio)

    count = sum(len(points) for _, points in series)
    sentences = [
        f"Effect over time: {frame.title}.",
        f"{plural(len(series), 'trial')}, {plural(count, 'time point')}; {frame.y.label}.",
    ]
    for entry in pooled:
        name = clean_text(str(entry.get("label") or f"{entry['from_days']} days"))
        k = finite(entry.get("k"))
        trials = f", {plural(round(k), 'trial')}" if k is not None else ""
        sentences.append(
            f"{name}: {write(entry['estimate'])} ({interval} {write(entry.get('ci_low'))} to"
            f" {write(entry.get('ci_high'))}){trials}."
        )
    return sentences
