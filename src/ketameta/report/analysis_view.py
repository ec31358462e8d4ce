"""One result with the words, tables and cards that the report shows for it. Computes nothing.

A room of its own because what one analysis shows does not depend on the page it stands on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.analyses.policy import bounds_words
from ketameta.analyses.sentences import agreement_words, interval_words, measure_words, written
from ketameta.analyses.spec import numbers_of
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import (
    format_interval,
    format_number,
    format_percent,
    plural,
    trials_heading,
)
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths
from ketameta.report import result_tables as beside
from ketameta.report.estimates import network_cards, pooled_card, r_blocks, r_numbers
from ketameta.report.plots import COUNTS, Plot, led_scale, plots_of
from ketameta.report.provenance import Provenance, row_hash
from ketameta.report.result_tables import shown
from ketameta.report.tables import Cell, Table


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


def varied_tables(result: Any, project: Project) -> dict[str, Table]:
    """Return, by moderator, a row per change made alone; slopes per step of the moderator."""
    measure, known = Measure(result["measure"]), numbers_of(project)
    found = {}
    for item in result.get("regressions") or ():
        step = known[item["moderator"]].step or 1.0
        rows = []
        for one in item.get("variations", ()):
            words = "No value and no trial changes." if one["same"] else one["withheld"]
            if one["slope"] is not None:
                slope = (one["slope"], one["ci_low"], one["ci_high"])
                words = _change(slope, step, measure)
            rows.append((one["label"], str(one["k"]), words))
        caption = f"{item['label']} with one choice changed at a time: {result['title']}"
        head = ("Change", beside.trials(result), "The effect")
        if rows:
            found[item["moderator"]] = Table.of(caption, head, rows)
    return found


def analysis_view(
    paths: ProjectPaths,
    result: Any,
    provenance: Provenance,
    references: Mapping[str, int],
) -> dict[str, Any]:
    """Return one result with the words and tables that the report shows for it.

    Returns
    -------
    dict
        The result itself; ``tables``, by name, each a :class:`Table` or a list of them; figures,
        cards, words; ``engine``, the data of the page's own calculator.
    """
    measure, project = Measure(result["measure"]), provenance.project
    traced = result.get("kind") != "network"
    # Doses of one trial are not joined into one effect: the curve keeps them apart.
    joined = traced and result.get("kind") != "dose_response"
    independent = independent_rows(result, provenance) if joined else []
    network = network_cards(result, provenance, references)
    cards = _traced_rows(result, measure, provenance, references) if traced else []
    plots = plots_of(result, project)
    return {
        **result,
        "status_words": STATUS_WORDS[result["status"]],
        "led_otherwise": led_otherwise(result["headline"]),
        "drawn_as": led_scale(result).label,
        "tag": provenance.project.directness.tag(result["directness"]),
        # Without a trial the first sentence says everything.
        "caveats": result["caveats"] if result["k"] else [],
        "svg": figure_text(paths, result["name"]),
        "in_words": plots[0].data.in_words,
        "pages": page_names(paths, result["name"]),
        "alt": f"Forest plot. {' '.join(result['sentences'])}",
        "engine": engine_data(result, independent, provenance) if traced else None,
        "pooled_cards": _pooled_cards(result, independent) if traced else [],
        "r_blocks": r_blocks(result),
        "numbers": _numbers(result, measure),
        "network_cards": network,
        "study_rows": cards,
        "tables": {
            "beside": beside.beside_table(result),
            "sensitivity": beside.sensitivity_table(result),
            "events": beside.event_table(result),
            "over_time": beside.over_time_table(result),
            "within": beside.within_table(result),
            "doses": beside.dose_table(result),
            "dose_checks": beside.dose_check_table(result),
            "influence": beside.influence_table(result),
            "groups": beside.group_tables(result, project),
            "network": beside.network_table(
                result,
                {item["treatment"]: f"#{item['card_id']}" for item in network["estimates"]}
                if network
                else {},
            ),
            "league": beside.league_table(result),
            "transitivity": beside.transitivity_table(result, project),
            "certainty": beside.certainty_tables(result),
            "choices": beside.choices_table(result),
            "next_trial": beside.next_trial_table(result),
            "credibility": {
                entry["moderator"]: beside.credibility_table(entry, result["title"])
                for entry in result.get("credibility") or ()
            },
            "varied": varied_tables(result, project),
            "rows": _rows_table(result["title"], network["contrasts"] if network else cards),
        },
        "rho_words": beside.rho_words(result),
        "two_stage_words": beside.two_stage_words(result),
        "same_words": beside.same_words(result),
        "slope_words": slope_words(result, project),
        "gosh_words": beside.gosh_words(result),
        "small_study_words": beside.small_study_words(result),
        "more_figures": [plot_view(paths, plot) for plot in plots[1:]],
        "zero_words": _zero_words(result),
        "leave_one_out_words": _leave_one_out(result, measure),
        "left": _left(result, project),
    }


def listed_tables(view: Mapping[str, Any]) -> list[Table]:
    """Return every table of an analysis that has anything to show."""
    found: list[Table] = []
    for item in view["tables"].values():
        several = item.values() if isinstance(item, dict) else item
        found += [item] if isinstance(item, Table) else [t for t in several or () if t is not None]
    cards = [card.get("table") for card in view["pooled_cards"]]
    for item in (view["network_cards"] or {}).get("estimates", ()):
        cards += item["tables"]
    return [*found, *(table for table in cards if table is not None)]


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
            "shown": shown(row, measure),
            "card": provenance.card(row, result),
            "card_id": f"row-{result['name']}-{number}",
            "reference": references[row["study_id"]],
            "hash": row_hash(row["effect_ids"], row["estimate"], row["variance"]),
        }
        for number, row in enumerate(rows, start=1)
    ]


def _rows_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """Return the rows of a forest plot or a network, each leading to its card."""
    made = []
    for row in rows:
        label = Cell(row["label"], href=f"#{row['card_id']}", mark="card")
        if "comparison" in row:
            made.append((label, row["comparison"], "", row["shown"], "", "; ".join(row["sources"])))
            continue
        time = row["time_days"]
        when = "" if time is None else f", day {format_number(time, 0 if time >= 1 else 2)}"
        group = f" ({row['subgroup']})" if row["subgroup"] else ""
        route = row["route"] + (f"; assumed: {row['assumption']}" if row["assumption"] else "")
        made.append(
            (label, f"{row['intervention']} v {row['comparator']}{group}".replace("_", " "),
             f"{row['instrument']}{when}".replace("_", " "), row["shown"], route.replace("_", " "),
             "; ".join(row["source"]))
        )  # fmt: skip
    head = (
        "Study", "Comparison", "Measured with", beside.ESTIMATE, "Route to the effect",
        "Extracted row",
    )  # fmt: skip
    return Table.of(f"Rows used: {title}", head, made) if made else None


def _pooled_cards(
    result: Mapping[str, Any], independent: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return how each pooled number of a result is made."""
    pools = [("All trials", independent, result["pooled"], result["headline"])]
    pools += [
        (str(group["label"]), group["rows"], group["pooled"], group["headline"])
        for group in result["groups"]
    ]
    cards: list[dict[str, Any]] = []
    for label, rows, pooled, headline in pools:
        if led_otherwise(headline):
            cards.append(headline_card(label, rows, headline))
        if pooled is not None:
            name = f"{label}, the usual model beside it" if led_otherwise(headline) else label
            made = pooled_card(name, rows, pooled, is_ratio=result["is_ratio"])
            head = ("Trial", "Effect", "V", "w")
            table = beside.inputs_table(
                f"Inputs of {name}: {result['title']}", head, made["rows"], ("y", "v", "w")
            )
            cards.append({"kind": "pooled", **made, "table": table if len(rows) > 1 else None})
    return cards


#: When a question was written down, by its status.
STATUS_WORDS = {
    "declared": "question written down before its result was computed",
    "post hoc": "question written down after results were known",
}


def led_otherwise(headline: Mapping[str, Any] | None) -> bool:
    """Return whether another model than the usual one leads, so that its number is not shown."""
    if headline is None or not headline["method"]:
        return False
    return headline["rule"]["code"] not in ("single_trial", "several_trials")


def headline_card(
    label: str, rows: Sequence[Mapping[str, Any]], headline: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how a headline that is no weighted mean is made: its inputs, and lines that repeat it.

    Parameters
    ----------
    label : str
    rows : sequence of mapping
        One per trial: ``estimate, variance``, and its counts where there are any.
    headline : mapping
        As stored in the result.

    Returns
    -------
    dict
        ``label, rule, value``; ``python_line``; ``r_line`` and ``r_note``, empty where R has no
        function for it. The line of Python is empty where several comparisons of one trial are
        joined, because counts cannot be joined.
    """
    level = "" if headline["level"] == 0.95 else f", level={headline['level']:g}"
    counts = [_counts_of(row) for row in rows]
    counted = all(counts) and headline["rule"]["code"].endswith(COUNTS) and not headline["weights"]
    columns: list[list[float]] = [[], [], [], []]
    if counted:
        columns = [list(column) for column in zip(*counts, strict=True)]
    e1, n1, e2, n2 = columns
    given = f"{e1}, {n1}, {e2}, {n2}"
    prior = f"ketameta.HalfNormal({headline['prior_scale']})"
    python = r_line = r_note = ""
    if headline["interval"] == "credible" and counted:
        python = f"ketameta.bayes_event_counts({given}, {prior}{level})"
    elif headline["interval"] == "credible" and headline["weights"]:
        y, v = ([row[name] for row in rows] for name in ("estimate", "variance"))
        python = f"ketameta.bayes_random_effects({y}, {v}, {prior}{level})"
        if not level:
            r_line = (
                f"bayesmeta::bayesmeta(y={r_numbers(y)}, sigma=sqrt({r_numbers(v)}), "
                'interval.type="central", tau.prior=function(t) '
                f"bayesmeta::dhalfnormal(t, scale={headline['prior_scale']}))"
            )
            r_note = "It computes on a coarser grid: the third decimal may differ."
    elif headline["interval"] == "exact" and counted:
        cells = [e1[0], n1[0] - e1[0], e2[0], n2[0] - e2[0]]
        share = "" if not level else f", conf.level={headline['level']:g}"
        r_line = f"fisher.test(matrix({r_numbers(cells)}, 2){share})"
    elif headline["interval"] == "confidence" and counted:
        python = f"ketameta.binomial_normal({given}{level})"
        r_line = (
            f'metafor::rma.glmm(measure="OR", ai={r_numbers(e1)}, n1i={r_numbers(n1)}, '
            f'ci={r_numbers(e2)}, n2i={r_numbers(n2)}, model="CM.EL")'
        )
        r_note = "Its search stops earlier: the fourth digit may differ."
    return {
        "kind": "headline",
        "label": label,
        "rule": headline["rule"]["sentence"],
        "value": f"{headline['method']}: {_led_words(headline)}",
        "is_ratio": headline["is_ratio"],
        "python_line": python,
        "r_line": r_line,
        "r_note": r_note,
    }


def _led_words(headline: Any) -> str:
    """Return measure, estimate and interval of a headline."""
    measure = Measure(headline["measure"])
    if None in (headline["estimate"], headline["ci_low"], headline["ci_high"]):
        return bounds_words(headline["ci_low"], headline["ci_high"], measure)
    return f"{headline['effect']} {shown(headline, measure)}"


def _counts_of(row: Mapping[str, Any]) -> list[float]:
    values = row.get("counts") or [row.get(name) for name in _COUNTS]
    return [] if any(value is None for value in values) else [float(value) for value in values]


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


def _numbers(result: dict[str, Any], measure: Measure) -> list[tuple[str, str]]:
    """Return the key numbers of a result as label and value; the headline first."""
    led, pooled = result["headline"], result["pooled"]
    numbers = []
    if led["estimate"] is not None:
        measured = Measure(led["measure"])
        trials = led["sources"] if led["pools"] else str(result["k"])
        people = f"{result['n_participants']:,}" if result["n_participants"] else "not printed"
        interval = interval_words(led["ci_low"], led["ci_high"], measured)
        value = f"{written(led['estimate'], measured)} ({interval})"
        numbers += [("Trials", trials), ("People", people), (measured.label, value)]
        if led["pi_low"] is not None:
            interval = interval_words(led["pi_low"], led["pi_high"], measured)
            numbers.append(("Prediction interval for a new trial", interval))
    if pooled is None:
        return numbers
    if pooled["tau2"] is not None:
        words = f"Random effects by {pooled['tau2_method']}"
        if led_otherwise(led):
            words = (
                f"Beside it: {measure_words(measure)}, random effects by {pooled['tau2_method']}"
            )
        numbers.append((words, shown(pooled, measure)))
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


def _left(result: dict[str, Any], project: Project) -> list[str]:
    """Return what was excluded, grouped by reason, largest group first."""
    groups: dict[str, list[str]] = {}
    for item in [*result["excluded"], *result["unused"]]:
        groups.setdefault(item["reason"], []).append(project.study_label(item["study_id"]))
    return [
        f"{reason}: {plural(len(members), 'row')} ({', '.join(sorted(set(members)))})"
        for reason, members in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


# --- what the page's own calculator needs ---------------------------------------------------------

_COUNTS = ("events_treatment", "n_treatment", "events_control", "n_control")


def independent_rows(result: Mapping[str, Any], provenance: Provenance) -> list[dict[str, Any]]:
    """Return one row per study: its effect, or its effects of several groups joined.

    The same rows as the overall model of an analysis saw.
    """
    by_study: dict[str, list[Mapping[str, Any]]] = {}
    for group in result["groups"]:
        for row in group["rows"]:
            by_study.setdefault(row["study_id"], []).append(row)
    rows = []
    for study, members in by_study.items():
        estimate, variance = members[0]["estimate"], members[0]["variance"]
        if len(members) > 1:
            estimate, variance = provenance.joined(members, result)
        rows.append(
            {
                "study_id": study,
                "label": members[0]["label"],
                "estimate": estimate,
                "variance": variance,
                "year": members[0]["year"],
                "counts": _counts(members[0]) if len(members) == 1 else None,
                "effect_ids": [name for row in members for name in row["effect_ids"]],
                "kinds": {row["data_kind"] for row in members},
            }
        )
    return sorted(rows, key=lambda row: (row["year"] or 9999, row["study_id"]))


def _counts(row: Mapping[str, Any]) -> list[float] | None:
    """Return the four numbers of a row that comes from one table of counts."""
    if row["data_kind"] != "events" or len(row["effect_ids"]) > 1:
        return None
    values = [row[name] for name in _COUNTS]
    return None if any(value is None for value in values) else [float(value) for value in values]


def engine_data(
    result: Mapping[str, Any], rows: list[dict[str, Any]], provenance: Provenance
) -> dict[str, Any] | None:
    """Return the data of one analysis for the page's calculator; nothing below two rows.

    Parameters
    ----------
    result : mapping
    rows : list of dict
        Of :func:`independent_rows`.
    provenance : Provenance
        For the same comparisons on another measure.
    """
    other, usual = _other_measure(result), _usual_kind(result)

    def short(row: Mapping[str, Any]) -> dict[str, Any]:
        made = {"id": row["study_id"], "label": row["label"], "y": row["estimate"],
                "v": row["variance"], "c": row["counts"]}  # fmt: skip
        if other is not None:
            fits = other is not Measure.SMD or row["kinds"] == {usual}
            names = row["effect_ids"] if fits else []
            made["a"] = provenance.on_measure(names, result, str(other))
        return made

    groups = [
        (group["key"], group["label"], group,
         [{**row, "counts": _counts(row), "kinds": {row["data_kind"]}} for row in group["rows"]])
        for group in result["groups"]
    ]  # fmt: skip
    parts: list[dict[str, Any]] = [
        {"key": key, "label": label, "led": _led_by_another(part["headline"]),
         "rows": [short(row) for row in members]}
        for key, label, part, members in (("", "All trials", result, rows), *groups)
        if part["pooled"] is not None and len(members) > 1
    ]  # fmt: skip
    if not parts:
        return None
    return {
        "name": result["name"],
        "measure": result["measure"],
        "measure_label": result["measure_label"],
        "is_ratio": result["is_ratio"],
        "measures": [[str(item), item.label] for item in _measures(result, other, parts)],
        "tau2": result["spec"]["model"]["tau2_method"],
        "ci": result["spec"]["model"]["ci_method"],
        "level": result["level"],
        "favours": result["favours"],
        "counted": trials_heading(result["headline"]["pools"]),
        "parts": parts,
    }


def _led_by_another(headline: Mapping[str, Any] | None) -> str:
    """Return the published result where this calculator's model does not lead; else nothing."""
    if headline is None or not led_otherwise(headline):
        return ""
    return f"{headline['method']}: {_led_words(headline)}"


def _other_measure(result: Mapping[str, Any]) -> Measure | None:
    """Return the other measure of scores where it means anything; else ``None``.

    Raw differences can be averaged on one scale only.
    """
    rows = [row for group in result["groups"] for row in group["rows"]]
    if result["kind"] != "pooled" or not rows:
        return None
    if result["measure"] == "MD":
        return Measure.SMD
    if result["measure"] == "SMD" and len({row["instrument"] for row in rows}) == 1:
        return Measure.MD
    return None


def _usual_kind(result: Mapping[str, Any]) -> str:
    """Return the kind of scores most rows have: no other kind is standardised beside it."""
    kinds = Counter(row["data_kind"] for group in result["groups"] for row in group["rows"])
    return min(kinds, key=lambda kind: (-kinds[kind], kind), default="")


def _measures(
    result: Mapping[str, Any], other: Measure | None, parts: list[dict[str, Any]]
) -> list[Measure]:
    """Return the measures between which a reader can choose; none where there is one."""
    rows = [row for part in parts for row in part["rows"]]
    if all(row["c"] is not None for row in rows):
        return [Measure.OR, Measure.RR, Measure.RD]
    if other is not None and any(
        sum(row["a"] is not None for row in part["rows"]) > 1 for part in parts
    ):
        return [Measure(result["measure"]), other]
    return []
