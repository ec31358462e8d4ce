"""Which figures belong to a result, and the data each is laid out from. Draws nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ketameta.analyses.network import treatment_label
from ketameta.analyses.selection import TIME_CLASSES
from ketameta.analyses.words import words_of
from ketameta.numberformat import plural

#: A forest plot of more rows than this is metres long; it shows the groups instead.
MOST_ROWS = 150
#: Share of the combinations of choices beyond which they agree, and need no picture.
AGREED = 0.9


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure of the report.

    Attributes
    ----------
    kind : str
        ``forest``, ``funnel``, ``gosh``, ``network``, ``over_time``, ``baujat``,
        ``dose_response``, ``specification_curve``, ``bubble`` or ``evidence_map``.
    name : str
        File name without ending.
    data : dict
        What the layout reads.
    """

    kind: str
    name: str
    data: dict[str, Any]


def plots_of(result: dict[str, Any]) -> list[Plot]:
    """Return the figures of one result, the forest plot first."""
    plots = [Plot("forest", result["name"], _forest(result))]
    for kind, data in (
        ("over_time", _over_time(result)),
        ("network", _network(result)),
        ("dose_response", _dose_response(result)),
        ("funnel", _funnel(result)),
        ("gosh", _gosh(result)),
        ("specification_curve", _specification_curve(result)),
    ):
        if data is not None:
            plots.append(Plot(kind, f"{result['name']}-{kind}", data))
    return plots + _bubbles(result)


def _forest(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result itself or, where trials are too many to draw, a row per group of them."""
    count = len(_rows(result))
    if count <= MOST_ROWS:
        return result
    groups = [group for group in result["groups"] if group["rows"]]
    means = [group["pooled"] for group in groups] if len(groups) > 1 else [result["pooled"]]
    words = f"The {plural(count, 'row')} are too many to draw; each is in tables/rows_used.csv."
    return {
        **result,
        "groups": [
            {
                "key": "",
                "label": None,
                "rows": [_group_row(*pair) for pair in zip(groups, means, strict=True)],
                "pooled": None,
            }
        ],
        "rows_are_pools": True,
        "row_header": "Trials",
        "row_meaning": "Square: mean of a group of trials",
        "caveats": [{"code": "too_many_rows", "message": words}, *result["caveats"]],
    }


def _group_row(group: dict[str, Any], mean: dict[str, Any] | None) -> dict[str, Any]:
    """Return a group of trials as one row: its mean and its people."""
    trials = plural(len(group["rows"]), "trial")
    row: dict[str, Any] = {"label": f"{group['label']}: {trials}" if group["label"] else trials}
    for side in ("n_treatment", "n_control"):
        sizes = [trial[side] for trial in group["rows"]]
        row[side] = None if None in sizes else sum(sizes)
    return row | {key: (mean or {}).get(key) for key in ("estimate", "ci_low", "ci_high")}


def _common(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("is_ratio", "measure_label", "null", "favours", "level")
    return {key: result[key] for key in keys}


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for group in result["groups"] for row in group["rows"]]


def _funnel(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return the funnel plot, where small-study methods are not withheld."""
    found = result["small_study"]
    if found is None or found["withheld"]:
        return None
    filled = found["trim_and_fill"]
    return {
        **_common(result),
        "title": f"{result['title']}: funnel plot",
        "rows": _rows(result),
        "pooled": result["pooled"],
        "filled": []
        if filled["withheld"]
        else [
            {"label": "", "estimate": estimate, "se": math.sqrt(variance)}
            for estimate, variance in zip(
                filled["filled_estimates"], filled["filled_variances"], strict=True
            )
        ],
    }


def _gosh(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return the picture of all (or many) subsets of trials."""
    found = result["gosh"]
    if found is None:
        return None
    return {
        **_common(result),
        "title": f"{result['title']}: subsets of trials",
        "estimates": found["points"]["estimate"],
        "i2": found["points"]["i2"],
        "pooled": result["pooled"],
        "k": result["k"],
    }


def _specification_curve(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return all combinations of choices, where the answer hangs on them or is about ADHD."""
    found = result.get("multiverse")
    if not found or found["withheld"]:
        return None
    agreed = max(found["excludes"].values()) / found["n_pooled"]
    if agreed > AGREED and result["directness"] != "direct":
        return None
    return {
        **_common(result),
        "title": f"{result['title']}: all combinations of choices",
        "multiverse": found,
    }


def _bubbles(result: dict[str, Any]) -> list[Plot]:
    """Return one bubble plot per continuous moderator that could be fitted."""
    return [
        Plot(
            "bubble",
            f"{result['name']}-bubble-{item['moderator']}",
            {
                **_common(result),
                "title": f"{result['title']}: {item['label'][:1].lower()}{item['label'][1:]}",
                "rows": item["rows"],
                "line": item["line"],
                "moderator_label": item["label"],
            },
        )
        for item in result.get("regressions") or ()
        if not item["withheld"]
    ]


def _network(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return the network of treatments; NMDA-receptor antagonists stand out."""
    net = result["network"]
    if net is None or net["withheld"]:
        return None
    return {
        "title": result["title"],
        "nodes": [
            {
                "name": _short(node["treatment"]),
                "participants": node["n"],
                "highlight": node["treatment"].removesuffix("_added") in _NMDA,
            }
            for node in net["nodes"]
        ],
        "edges": [
            {"from": _short(edge["first"]), "to": _short(edge["second"]), "trials": edge["k"]}
            for edge in net["edges"]
        ],
    }


_NMDA = frozenset({"ketamine", "esketamine", "memantine", "amantadine", "dextromethorphan"})


def _short(name: str) -> str:
    return treatment_label(name).replace(" (added to another treatment)", " (added)")


def _dose_response(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return effects against dose, the declared curve and, dashed, the other one."""
    found = result["dose_response"]
    if found is None or found["withheld"]:
        return None
    other = "linear" if found["main"] == "spline" else "spline"
    return {
        **_common(result),
        "title": result["title"],
        "unit": found["unit"],
        "points": found["points"],
        "curve": found["curve"],
        "curve_label": _CURVES[found["main"]],
        "other_curve": found[other].get("curve", []),
        "other_label": _CURVES[other],
        "at_doses": found["at_doses"],
        "note": " ".join(
            caveat["message"]
            for caveat in found["caveats"]
            if caveat["code"] in ("not_a_line", "common_curve")
        ),
    }


_CURVES = {"linear": "a line through no effect", "spline": "a restricted cubic spline"}


def _over_time(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return effects against time, one line per trial, and the means per time class."""
    found = result["over_time"]
    if found is None or found["withheld"]:
        return None
    series: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(result):
        if row["time_days"] is not None:
            series.setdefault(row["label"], []).append(
                {
                    "days": row["time_days"],
                    **{key: row[key] for key in ("estimate", "ci_low", "ci_high")},
                }
            )
    starts = dict(
        zip(
            [name for name, _ in TIME_CLASSES],
            [_FIRST_DAY, *(last for _, last in TIME_CLASSES)],
            strict=False,
        )
    )
    ends = dict(TIME_CLASSES)
    return {
        **_common(result),
        "title": result["title"],
        "series": [
            {"label": label, "points": sorted(points, key=lambda point: point["days"])}
            for label, points in series.items()
        ],
        "pooled": [
            {
                "from_days": starts[item["name"]],
                "to_days": ends[item["name"]],
                "estimate": item["estimate"],
                "ci_low": item["ci_low"],
                "ci_high": item["ci_high"],
                "k": item["effects"],
                "label": _SHORT_TIMES.get(item["name"], words_of(item["name"])),
            }
            for item in found["means"]
        ],
    }


#: Time classes in few letters, so that neighbours fit side by side above the axis.
_SHORT_TIMES = {
    "within_hours": "hours",
    "24_hours": "1 day",
    "days_2_to_7": "week 1",
    "days_8_to_21": "weeks 2\u20133",
    "days_22_to_35": "weeks 4\u20135",
}
#: Where the first time class begins on the axis: about half an hour.
_FIRST_DAY = 0.02
