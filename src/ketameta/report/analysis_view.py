"""One result with the words, tables and cards that the page shows for it. Computes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ketameta.analyses.spec import numbers_of
from ketameta.analyses.words import agreement_words, interval_words, measure_words, written
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import format_interval, format_number, format_percent, plural
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths
from ketameta.report.companion_tables import (
    dose_check_rows,
    dose_rows,
    gosh_words,
    group_table,
    influence_rows,
    league_table,
    network_table,
    over_time_rows,
    rho_rows,
    small_study_words,
    transitivity_rows,
    two_stage_words,
    within_rows,
)
from ketameta.report.engine_data import engine_data, independent_rows
from ketameta.report.network_cards import network_cards
from ketameta.report.plots import Plot, plots_of
from ketameta.report.pooled import pooled_card
from ketameta.report.provenance import Provenance
from ketameta.report.r_code import r_blocks


def slope_words(result: dict[str, Any], project: Project = NOTHING_DECLARED) -> dict[str, str]:
    """Return sentences per continuous moderator that could be fitted, by its name."""
    measure, known = Measure(result["measure"]), numbers_of(project)
    found = {}
    for item in result.get("regressions") or ():
        if item["withheld"]:
            continue
        moderator = known[item["moderator"]]
        step = moderator.step or 1.0
        words = moderator.step_words or f"{step:g} {moderator.unit} more".replace("  ", " ")
        r2 = "" if item["r2"] is None else f"; it explains {format_percent(item['r2'])} of the"
        between = f"{r2} variance between trials" if r2 else ""
        if item.get("adjusted_for"):
            beside = " and ".join(name.replace("_", " ") for name in item["adjusted_for"])
            between = f", with {beside} in the model"
        slope = (item["slope"], item["ci_low"], item["ci_high"])
        change = _change(slope, step, measure)
        said = [f"{words[:1].upper()}{words[1:]}: the {measure_words(measure)} {change}{between}."]
        if "reading" in item:
            span = f"From {item['first']:g} to {item['last']:g}, which these trials cover, it"
            said.append(f"{span} {_change(slope, item['last'] - item['first'], measure)}.")
            turned = [
                f"\u201c{one['label']}\u201d"
                for one in item["variations"]
                if one["slope"] is not None and one["slope"] * item["slope"] < 0
            ]
            listed = ", ".join(turned)
            said.append(_READ[item["reading"]].format(turned=listed, favours=result["favours"]))
        found[item["moderator"]] = " ".join(said)
    return found


#: What can be said of a slope, in words that test nothing.
_READ = {
    "turns": "The slope turns round: it has the other sign under {turned}.",
    "flat": "The slope is flat: the whole interval is smaller than a small change.",
    "open": "The direction is open: the interval reaches to both sides of no change.",
    "rises": "With more of it the effect moves towards \u201c{favours[1]}\u201d.",
    "falls": "With more of it the effect moves towards \u201c{favours[0]}\u201d.",
}


def _change(slope: tuple[float, float, float], step: float, measure: Measure) -> str:
    """Return how the effect changes with so many units of the moderator."""
    values = [step * part for part in slope]
    how = "changes by"
    if measure.is_ratio:
        values, how = [math.exp(value) for value in values], "is multiplied by"
    return f"{how} {format_number(values[0])} ({format_interval(values[1], values[2])})"


def varied_rows(result: dict[str, Any], project: Project) -> dict[str, list[dict[str, str]]]:
    """Return, by moderator, a row per change made alone; slopes per step of the moderator."""
    measure, known = Measure(result["measure"]), numbers_of(project)
    found: dict[str, list[dict[str, str]]] = {}
    for item in result.get("regressions") or ():
        step = known[item["moderator"]].step or 1.0
        for one in item.get("variations", ()):
            words = "No value and no trial changes." if one["same"] else one["withheld"]
            if one["slope"] is not None:
                slope = (one["slope"], one["ci_low"], one["ci_high"])
                words = _change(slope, step, measure)
            row = {"label": one["label"], "k": str(one["k"]), "words": words}
            found.setdefault(item["moderator"], []).append(row)
    return found


def analysis_view(
    paths: ProjectPaths,
    result: dict[str, Any],
    provenance: Provenance,
    references: Mapping[str, int],
) -> dict[str, Any]:
    """Return one result with the words and tables that the page shows for it."""
    measure = Measure(result["measure"])
    traced = result.get("kind") != "network"
    # Doses of one trial are not joined into one effect: the curve keeps them apart.
    joined = traced and result.get("kind") != "dose_response"
    independent = independent_rows(result, provenance) if joined else []
    return {
        **result,
        "tag": provenance.project.directness.tag(result["directness"]),
        # Without a trial the first sentence says everything.
        "caveats": result["caveats"] if result["k"] else [],
        "svg": figure_text(paths, result["name"]),
        "pages": page_names(paths, result["name"]),
        "alt": _alt(result),
        "engine": engine_data(result, independent, provenance) if traced else None,
        "pooled_cards": _pooled_cards(result, independent) if traced else [],
        "r_blocks": r_blocks(result),
        "numbers": _numbers(result, measure),
        "companion_rows": [_companion_row(item, measure) for item in result["companions"]],
        "over_time_rows": over_time_rows(result),
        "rho_rows": rho_rows(result),
        "within_rows": within_rows(result),
        "dose_rows": dose_rows(result),
        "dose_check_rows": dose_check_rows(result),
        "two_stage_words": two_stage_words(result),
        "influence_rows": influence_rows(result),
        "network_rows": network_table(result),
        "league_table": league_table(result),
        "network_cards": network_cards(result, provenance, references),
        "transitivity_rows": transitivity_rows(result, provenance.project),
        "group_table": group_table(result, provenance.project),
        "slope_words": slope_words(result, provenance.project),
        "varied_rows": varied_rows(result, provenance.project),
        "gosh_words": gosh_words(result),
        "small_study_words": small_study_words(result),
        "more_figures": [
            plot_view(paths, plot) for plot in plots_of(result, provenance.project)[1:]
        ],
        "event_rows": _event_rows(result),
        "per_thousand_words": _per_thousand(result),
        "zero_words": _zero_words(result),
        "leave_one_out_words": _leave_one_out(result, measure),
        "left": _left(result, provenance.project),
        "study_rows": _traced_rows(result, measure, provenance, references) if traced else [],
    }


def _traced_rows(
    result: dict[str, Any],
    measure: Measure,
    provenance: Provenance,
    references: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return the rows of a result, each with the card that leads back to its cells."""
    rows = [row for group in result["groups"] for row in group["rows"]]
    return [
        {
            **row,
            "shown": _shown(row, measure),
            "card": provenance.card(row, result),
            "card_id": f"row-{result['name']}-{number}",
            "reference": references[row["study_id"]],
        }
        for number, row in enumerate(rows, start=1)
    ]


def _pooled_cards(
    result: Mapping[str, Any], independent: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return how each pooled number of a result is made."""
    card = partial(pooled_card, is_ratio=result["is_ratio"])
    cards = []
    if result["pooled"] is not None:
        cards.append(card("All trials", independent, result["pooled"]))
    for group in result["groups"]:
        if group["pooled"] is not None:
            cards.append(card(str(group["label"]), group["rows"], group["pooled"]))
    return cards


def _alt(result: dict[str, Any]) -> str:
    return f"Forest plot. {' '.join(result['sentences'])}"


def plot_view(paths: ProjectPaths, plot: Plot) -> dict[str, Any]:
    """Return a figure of the page: its file's text, and what it shows in words."""
    return {
        "kind": plot.kind,
        "svg": figure_text(paths, plot.name),
        "alt": plot.words,
        "name": plot.name,
        "pages": page_names(paths, plot.name),
    }


def page_names(paths: ProjectPaths, name: str) -> list[str]:
    """Return the names of the pages that a figure too tall for paper was cut into."""
    found = sorted(paths.pages.glob(f"{name}.page-*.svg"))
    return [path.stem for path in found]


def figure_text(paths: ProjectPaths, name: str) -> str:
    """Return the text of a drawn figure."""
    return (paths.figures / f"{name}.svg").read_text(encoding="utf-8")


def _shown(row: Mapping[str, Any], measure: Measure) -> str:
    interval = interval_words(row["ci_low"], row["ci_high"], measure)
    return f"{written(row['estimate'], measure)} ({interval})"


def _numbers(result: dict[str, Any], measure: Measure) -> list[tuple[str, str]]:
    """Return the key numbers of a result as label and value."""
    pooled = result["pooled"]
    if pooled is None:
        return []
    numbers = [
        ("Trials", str(result["k"])),
        ("People", f"{result['n_participants']:,}" if result["n_participants"] else "not printed"),
        (measure.label, _shown(pooled, measure)),
    ]
    if pooled["pi_low"] is not None:
        interval = interval_words(pooled["pi_low"], pooled["pi_high"], measure)
        numbers.append(("Prediction interval for a new trial", interval))
    if pooled["tau2"] is not None:
        numbers.append(("Between-trial variance (tau²)", _tau2(pooled)))
        numbers.append(("I²", f"{format_number(100 * pooled['i2'], 0)}%"))
        numbers.append(("Q", f"{format_number(pooled['q'])} on {pooled['q_df']} df"))
    engine = result["second_engine"]
    if engine is not None:
        words = f"{engine['engine']} {agreement_words(engine['agrees_to'])}"
        numbers.append(("Second engine", words))
    return numbers


def _tau2(pooled: Mapping[str, Any]) -> str:
    text = format_number(pooled["tau2"], 3)
    if pooled["tau2_ci_low"] is None:
        return text
    return f"{text} ({format_interval(pooled['tau2_ci_low'], pooled['tau2_ci_high'], 3)})"


def _companion_row(item: Mapping[str, Any], measure: Measure) -> dict[str, Any]:
    estimate = "no trial left" if item["k"] == 0 else _shown(item, measure)
    return {"label": item["label"], "k": item["k"], "shown": estimate}


def _event_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the other ways to pool counts, each with its estimate or why there is none."""
    events = result["events"]
    if events is None:
        return []
    return [
        {
            "method": item["method"],
            "measure": Measure(item["measure"]).label.lower(),
            "k": events["k"],
            "shown": item["withheld"] or _shown(item, Measure(item["measure"])),
        }
        for item in events["methods"]
    ]


def _per_thousand(result: dict[str, Any]) -> str:
    """Return the absolute effect in people per thousand, with the risk it starts from."""
    events = result["events"]
    if events is None or events["per_thousand"]["estimate"] is None:
        return ""
    baseline = format_number(1000 * events["baseline_risk"], 0)
    change = events["per_thousand"]
    words = f"{format_number(change['estimate'], 0)} more people"
    if change["ci_low"] is not None:
        words += f" (interval {format_interval(change['ci_low'], change['ci_high'], 0)})"
    return (
        f"Per 1,000 people: {baseline} have it on control in these trials; {words} on treatment, "
        "by the pooled risk difference."
    )


def _zero_words(result: dict[str, Any]) -> str:
    """Return how trials with empty cells were handled."""
    events = result["events"]
    if events is None:
        return ""
    one = ", ".join(events["zero_cells"]["one_arm"]) or "none"
    both = ", ".join(events["zero_cells"]["both_arms"]) or "none"
    return (
        f"Trials without events in one arm: {one} (half an event is added to each cell for the "
        f"main ratio, none for Mantel–Haenszel and Peto). Without events in both arms: {both}."
    )


def _leave_one_out(result: dict[str, Any], measure: Measure) -> str:
    left = result["leave_one_out"]
    if left is None:
        return ""
    interval = interval_words(left["lowest"], left["highest"], measure)
    return f"Leaving out one trial at a time, the estimate runs from {interval}."


def _left(result: dict[str, Any], project: Project) -> list[dict[str, Any]]:
    """Return what was set aside, grouped by reason, largest group first."""
    items = [*result["set_aside"], *result["unused"]]
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault(item["reason"], []).append(item)
    return [
        {
            "reason": reason,
            "count": plural(len(members), "row"),
            "studies": ", ".join(
                sorted({project.study_label(item["study_id"]) for item in members})
            ),
        }
        for reason, members in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]
