"""Dose-response plot: each trial at its doses, the fitted curve and its band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ketameta.figures.marks import Area, Disc, Line, Mark, Point, Text, square
from ketameta.figures.numbers import ci_words, display, display_number, finite
from ketameta.figures.point_labels import label_room
from ketameta.figures.text import clean_text
from ketameta.numberformat import plural

#: Between neighbouring trials at one dose, in points; and the most that a dose may spread.
_ASIDE = 7.0
_MOST_ASIDE = 34.0
_RADIUS = 2.4
_KEY_STEP = 11.0


def lay_out_dose_response(
    data: Mapping[str, Any], *, title: str | None = None, width: float = style.PAGE_WIDTH
) -> PlotLayout:
    """Lay out effects against dose, with the fitted curve.

    Parameters
    ----------
    data : mapping
        ``points`` (each ``label, dose, estimate, ci_low, ci_high``), ``curve`` and, dashed beside
        it, ``other_curve`` (each ``dose, estimate, ci_low, ci_high``), ``curve_label`` and
        ``other_label``, ``unit``, ``is_ratio`` (estimates are then logarithms), ``measure_label``,
        ``null`` (displayed units), ``favours``, ``level``, ``title``, ``note``.
    title : str, optional
    width : float
        Of the page, in points.

    Returns
    -------
    PlotLayout
        Parts: ``null_line``, ``band``, ``curve``, ``other_curve``, ``trial_line``,
        ``trial_interval``, ``trial_point``, ``key_point``, ``key_name``.

    Raises
    ------
    UsageError
        If no point has an estimate, or a dose is below 0.
    """
    is_ratio = bool(data.get("is_ratio"))
    trials = _trials(data.get("points") or (), is_ratio)
    if not trials:
        raise UsageError("data['points'] has no point with an estimate")
    curve = _curve(data.get("curve") or (), is_ratio)
    other = _curve(data.get("other_curve") or (), is_ratio)
    scale: Scale = "log" if is_ratio else "linear"
    null = finite(data.get("null"))
    members = [point for points in trials.values() for point in points]
    y_low, y_high = choose_range(
        scale,
        [point[1] for point in members],
        [(point[2], point[3]) for point in members],
        null=null,
        extra=[value for _, *values in curve for value in values],
    )
    highest = max(point[0] for point in members)
    unit = clean_text(str(data.get("unit") or "")).replace("_", " ")
    words = str(data.get("measure_label") or "Effect")
    interval = ci_words(float(data.get("level") or 0.95))
    left, right = (str(word or "") for word in data.get("favours") or ("", ""))
    legend = f"Points: trials at each dose against control, with {interval}; doses of one trial are"
    legend += " joined. Trials at the same dose stand side by side."
    frame = make_frame(
        title=str(title if title is not None else data.get("title") or "Dose and effect"),
        x=AxisSpec(
            0.0,
            1.1 * highest,
            f"Dose ({unit})" if unit else "Dose",
            ticks=_dose_ticks(sorted({point[0] for point in members})),
        ),
        y=AxisSpec(y_low, y_high, f"{words} (log scale)" if is_ratio else words, scale),
        footnotes=[
            legend,
            _curve_words(data, curve, other, interval),
            f"Below no effect: {left}; above: {right}." if left and right else "",
            str(data.get("note") or ""),
        ],
        width=width,
        right_room=label_room(list(trials)) + 22.0,
    )
    marks = _curve_marks(frame, curve, other, null)
    marks.extend(frame_marks(frame))
    points, drawn = _trial_marks(frame, trials)
    marks.extend(drawn)
    sentences = _sentences(frame, trials, data, is_ratio, interval, unit)
    return plot_layout("dose_response", frame, points, marks, sentences)


#: dose, estimate, lower and upper limit in displayed units.
_Member = tuple[float, float, float, float]


def _trials(points: Sequence[Mapping[str, Any]], is_ratio: bool) -> dict[str, list[_Member]]:
    found: dict[str, list[_Member]] = {}
    for position, point in enumerate(points):
        dose = finite(point.get("dose"))
        if dose is None or dose < 0:
            raise UsageError(
                f"data['points'][{position}] ({point.get('label')}): dose is"
                f" {point.get('dose')!r}; a dose is 0 or more"
            )
        estimate = display(point.get("estimate"), is_ratio)
        if estimate is None:
            continue
        low, high = (display(point.get(key), is_ratio) for key in ("ci_low", "ci_high"))
        name = clean_text(str(point.get("label") or ""))
        member = (
            dose,
            estimate,
            estimate if low is None else low,
            estimate if high is None else high,
        )
        found.setdefault(name, []).append(member)
    return {name: sorted(members) for name, members in found.items()}


def _curve(items: Sequence[Mapping[str, Any]], is_ratio: bool) -> list[_Member]:
    read = []
    for item in items:
        dose = finite(item.get("dose"))
        values = [display(item.get(key), is_ratio) for key in ("estimate", "ci_low", "ci_high")]
        if dose is not None and None not in values:
            read.append((dose, *(float(value or 0.0) for value in values)))
    return [(dose, estimate, low, high) for dose, estimate, low, high in read]


def _dose_ticks(doses: Sequence[float]) -> tuple[tuple[float, str], ...]:
    """Return a tick at no dose and at each dose given, when they are few."""
    if len(doses) > 8:
        return ()
    return tuple((dose, f"{dose:g}") for dose in (0.0, *(dose for dose in doses if dose > 0)))


def _curve_words(
    data: Mapping[str, Any],
    curve: Sequence[_Member],
    other: Sequence[_Member],
    interval: str,
) -> str:
    if not curve:
        return ""
    words = f"Line and band: {data.get('curve_label') or 'fitted curve'} with {interval}"
    if other:
        words += f"; dashed: {data.get('other_label') or 'another curve'}"
    return f"{words}."


def _curve_marks(
    frame: Frame, curve: Sequence[_Member], other: Sequence[_Member], null: float | None
) -> list[Mark]:
    marks: list[Mark] = []
    if curve:
        upper = [frame.place(dose, high) for dose, _, _, high in curve]
        lower = [frame.place(dose, low) for dose, _, low, _ in reversed(curve)]
        marks.append(Area("band", (*upper, *lower), fill=style.SKY, opacity=0.25))
    if null is not None and frame.y.holds(null):
        y = frame.y.position(null)
        marks.append(Line("null_line", ((frame.left, y), (frame.right, y)), colour=style.GREY))
    if other:
        path = tuple(frame.place(dose, estimate) for dose, estimate, _, _ in other)
        marks.append(Line("other_curve", path, style.MEDIUM, style.NAVY, style.DASHED))
    if curve:
        path = tuple(frame.place(dose, estimate) for dose, estimate, _, _ in curve)
        marks.append(Line("curve", path, 1.8, style.NAVY))
    return marks


def _trial_marks(
    frame: Frame, trials: Mapping[str, Sequence[_Member]]
) -> tuple[list[PlotPoint], list[Mark]]:
    """Return the trials, side by side at each dose, and the key that names them."""
    points: list[PlotPoint] = []
    marks: list[Mark] = []
    at_dose: dict[float, list[str]] = {}
    for name, members in trials.items():
        for member in members:
            at_dose.setdefault(member[0], []).append(name)
    step = min(_ASIDE, _MOST_ASIDE / max(map(len, at_dose.values())))
    for index, (name, members) in enumerate(trials.items()):
        colour = style.SEQUENCE[index % len(style.SEQUENCE)]
        round_marker = (index // len(style.SEQUENCE)) % 2 == 0
        places = [
            _aside(frame.place(dose, y), step * _rank(name, at_dose[dose]))
            for dose, y, _, _ in members
        ]
        if len(places) > 1:
            marks.append(Line("trial_line", tuple(places), 0.7, colour, style.DOTTED))
        for (dose, estimate, low, high), place in zip(members, places, strict=True):
            ends = [(place[0], frame.y.clipped_position(value)[0]) for value in (low, high)]
            marks.append(Line("trial_interval", tuple(ends), 0.9, colour))
            marks.append(_marker("trial_point", place, colour, round_marker))
            points.append(PlotPoint(name, dose, estimate, place, group=name))
        y = frame.top + 6.0 + index * _KEY_STEP
        marks.append(_marker("key_point", (frame.right + 10.0, y), colour, round_marker))
        baseline = y + 0.36 * style.SMALL_SIZE
        marks.append(Text("key_name", frame.right + 16.0, baseline, name, style.SMALL_SIZE))
    return points, marks


def _rank(name: str, names: Sequence[str]) -> float:
    """Return a trial's place among those at one dose, counted from their middle."""
    return names.index(name) - (len(names) - 1) / 2


def _aside(place: Point, distance: float) -> Point:
    return place[0] + distance, place[1]


def _marker(part: str, place: Point, colour: str, round_marker: bool) -> Mark:
    if round_marker:
        return Disc(part, place, _RADIUS, colour, style.PAPER, 0.4)
    return Area(part, square(*place, 2 * _RADIUS), colour, style.PAPER, 0.4)


def _sentences(
    frame: Frame,
    trials: Mapping[str, Sequence[_Member]],
    data: Mapping[str, Any],
    is_ratio: bool,
    interval: str,
    unit: str,
) -> list[str]:
    def write(value: Any) -> str:
        return display_number(display(value, is_ratio), 2, is_ratio=is_ratio)

    count = sum(map(len, trials.values()))
    sentences = [
        f"Dose-response plot: {frame.title}.",
        f"{plural(len(trials), 'trial')}, {plural(count, 'contrast')} of a dose with control;"
        f" {frame.y.label}.",
    ]
    for item in data.get("at_doses") or ():
        sentences.append(
            f"At {item['dose']:g} {unit} the curve is at {write(item['estimate'])} ({interval}"
            f" {write(item.get('ci_low'))} to {write(item.get('ci_high'))})."
        )
    return sentences
