"""One result with the words, tables and cards that the report shows for it. Computes nothing.

A room of its own because what one analysis shows does not depend on the page it stands on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NotRequired, TypedDict

from ketameta.analyses.result import AnalysisResult, Headline, Pooled
from ketameta.analyses.sentences import (
    agreement_words,
    estimate_words,
    gosh_words,
    interval_words,
    lower_first,
    measure_words,
    people_words,
    small_study_words,
    written,
)
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
from ketameta.report.estimates import (
    Estimate,
    HeadlineCard,
    PooledCard,
    RBlock,
    headline_card,
    led_by_another,
    network_estimates,
    network_r,
    pooled_card,
    r_blocks,
)
from ketameta.report.manifest import text_hash
from ketameta.report.plots import Plot, led_scale, plots_of
from ketameta.report.provenance import (
    Card,
    Provenance,
    Study,
    Trial,
    known,
    rows_of,
    trial_of,
)
from ketameta.report.tables import Cell, Table, analysis_tables


def slope_words(result: AnalysisResult, project: Project = NOTHING_DECLARED) -> dict[str, str]:
    """Return sentences per continuous moderator that could be fitted, by its name."""
    measure, moderators = Measure(result["measure"]), numbers_of(project)
    found = {}
    for item in result.get("regressions") or ():
        if item["withheld"]:
            continue
        moderator = moderators[item["moderator"]]
        step = moderator.step or 1.0
        words = moderator.step_words or f"{step:g} {moderator.unit} more".replace("  ", " ")
        r2 = "" if item["r2"] is None else f"; it explains {format_percent(item['r2'])} of the"
        between = f"{r2} variance between trials" if r2 else ""
        if item.get("adjusted_for"):
            beside = " and ".join(name.replace("_", " ") for name in item["adjusted_for"])
            between = f", with {beside} in the model"
        slope = known(item["slope"], item["ci_low"], item["ci_high"])
        change = _change(slope, step, measure)
        said = [f"{words[:1].upper()}{words[1:]}: the {measure_words(measure)} {change}{between}."]
        if "reading" in item:
            unit = f" {moderator.unit}".rstrip()
            span = f"From {item['first']:g} to {item['last']:g}{unit}, which these trials cover, it"
            said.append(f"{span} {_change(slope, item['last'] - item['first'], measure)}.")
            turned = [
                f"\u201c{one['label']}\u201d"
                for one in item["variations"]
                if one["slope"] is not None and one["slope"] * slope[0] < 0
            ]
            listed = ", ".join(turned)
            said.append(_READ[item["reading"]].format(turned=listed, favours=result["favours"]))
            # On the scale of the model no effect is 0, of ratios too.
            sides = {value > 0 for value in item["line"]["estimate"] or ()}
            if item["reading"] in ("rises", "falls") and len(sides) == 1:
                stays = sides.pop()
                grows = "larger" if stays == (item["reading"] == "rises") else "smaller"
                side = result["favours"][stays]
                said[-1] = (
                    f"With more of it the effect gets {grows}, all on the side \u201c{side}\u201d."
                )
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


def _change(slope: Sequence[float], step: float, measure: Measure) -> str:
    """Return how the effect changes with so many units of the moderator."""
    values = [step * part for part in slope]
    how = "changes by"
    if measure.is_ratio:
        values, how = [math.exp(value) for value in values], "is multiplied by"
    return f"{how} {format_number(values[0])} ({format_interval(values[1], values[2])})"


def varied_tables(result: AnalysisResult, project: Project) -> dict[str, Table | None]:
    """Return, by moderator, a row per change made alone; slopes per step of the moderator."""
    measure, moderators = Measure(result["measure"]), numbers_of(project)
    found: dict[str, Table | None] = {}
    for item in result.get("regressions") or ():
        step = moderators[item["moderator"]].step or 1.0
        rows = []
        for one in item.get("variations", ()):
            words = "No value and no trial changes." if one["same"] else one["withheld"]
            if slope := known(one["slope"], one["ci_low"], one["ci_high"]):
                words = _change(slope, step, measure)
            rows.append((one["label"], str(one["k"]), words))
        caption = f"{item['label']} with one choice changed at a time: {result['title']}"
        head = ("Change", beside.trials(result), "The effect")
        if rows:
            found[item["moderator"]] = Table.of(caption, head, rows)
    return found


#: A table, several, or several by name; nothing where there is nothing to show.
Tables = Table | list[Table] | dict[str, Table | None] | None


class Figure(TypedDict):
    """A drawn figure: the text of its file, what it shows, and the pages it was cut into."""

    kind: str
    name: str
    svg: str
    alt: str
    pages: list[str]


class AnalysisView(AnalysisResult):
    """One result with what the report shows for it; the forest plot is the first figure.

    ``csv`` is the file of its tables, ``content`` a hash of all the rest.
    """

    status_words: str
    led_by_another: str
    drawn_as: str
    tag: str
    in_words: Sequence[tuple[str, str]]
    figures: list[Figure]
    engine: Engine | None
    pooled_cards: list[HeadlineCard | PooledCard]
    r_blocks: list[RBlock]
    numbers: list[tuple[str, str]]
    estimates: list[Estimate]
    r_code: str
    cards: list[Card]
    tables: dict[str, Tables]
    rho_words: str
    two_stage_words: str
    same_words: str
    slope_words: dict[str, str]
    gosh_words: str
    small_study_words: list[str]
    zero_words: str
    leave_one_out_words: str
    left: list[str]
    csv: str
    content: str


def analysis_view(
    paths: ProjectPaths,
    result: AnalysisResult,
    provenance: Provenance,
    studies: Mapping[str, Study],
) -> AnalysisView:
    """Return one result with the words and tables that the report shows for it."""
    measure, project = Measure(result["measure"]), provenance.project
    estimates = network_estimates(result, project)
    parts = _parts(result, provenance)
    cards = provenance.cards(result, studies)
    plots = plots_of(result, project)
    forest, *more = (plot_view(paths, plot) for plot in plots)
    view: AnalysisView = {
        **result,
        "status_words": STATUS_WORDS[result["status"]],
        "led_by_another": led_by_another(result["headline"]),
        "drawn_as": led_scale(result).label,
        "tag": provenance.project.directness.tag(result["directness"]),
        # Without a trial the first sentence says everything.
        "caveats": result["caveats"] if result["k"] else [],
        "in_words": plots[0].data.in_words,
        "figures": [{**forest, "alt": f"Forest plot. {' '.join(result['sentences'])}"}, *more],
        "engine": engine_data(result, parts, provenance),
        "pooled_cards": _pooled_cards(result, parts),
        "r_blocks": r_blocks(result),
        "numbers": _numbers(result, measure),
        "estimates": estimates,
        "r_code": network_r(result),
        "cards": cards,
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
                result, {item.treatment: f"#{item.card_id}" for item in estimates}
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
            "rows": _rows_table(result, cards),
        },
        "rho_words": beside.rho_words(result),
        "two_stage_words": beside.two_stage_words(result),
        "same_words": beside.same_words(result),
        "slope_words": slope_words(result, project),
        "gosh_words": gosh_words(result),
        "small_study_words": small_study_words(result),
        "zero_words": _zero_words(result),
        "leave_one_out_words": _leave_one_out(result, measure),
        "left": _left(result, project),
        "csv": "",
        "content": "",
    }
    return {**view, "csv": analysis_tables(listed_tables(view)), "content": text_hash(f"{view}")}


def tables_in(found: Tables) -> list[Table]:
    """Return the tables of one name."""
    several = [found] if isinstance(found, Table) else found or ()
    listed = several.values() if isinstance(several, dict) else several
    return [table for table in listed if table is not None]


def listed_tables(view: AnalysisView) -> list[Table]:
    """Return every table of an analysis that has anything to show."""
    found: list[Table | None] = []
    for item in view["tables"].values():
        found += tables_in(item)
    found += [card.table for card in view["pooled_cards"] if isinstance(card, PooledCard)]
    found += [table for item in view["estimates"] for table in item.tables]
    return [table for table in found if table is not None]


def _rows_table(result: AnalysisResult, cards: Sequence[Card]) -> Table | None:
    """Return the rows of a forest plot or a network, each leading to its card."""
    made: list[list[str | Cell]] = []
    rows = rows_of(result) if result["kind"] != "network" else [None] * len(cards)
    for card, row in zip(cards, rows, strict=True):
        compared, measured, route = card.comparison, "", ""
        if row is not None:
            time = row["time_days"]
            when = "" if time is None else f", day {format_number(time, 0 if time >= 1 else 2)}"
            group = f" ({row['subgroup']})" if row["subgroup"] else ""
            compared = f"{row['intervention']} v {row['comparator']}{group}".replace("_", " ")
            measured = f"{row['instrument']}{when}".replace("_", " ")
            assumed = f"; assumed: {row['assumption']}" if row["assumption"] else ""
            route = f"{row['route']}{assumed}".replace("_", " ")
        label = Cell(card.label, href=f"#{card.card_id}", mark="card")
        made.append([label, compared, measured, card.shown, route, "; ".join(card.sources)])
    head = (
        "Study", "Comparison", "Measured with", beside.ESTIMATE, "Route to the effect",
        "Extracted row",
    )  # fmt: skip
    return Table.of(f"Rows used: {result['title']}", head, made) if made else None


class Part(NamedTuple):
    """Trials that are pooled together: all, or those of a group."""

    key: str
    label: str | None
    trials: list[Trial]
    pooled: Pooled | None
    headline: Headline | None


def _parts(result: AnalysisResult, provenance: Provenance) -> list[Part]:
    """Return what a result pools; nothing of a network."""
    if result["kind"] == "network":
        return []
    # Doses of one trial are not joined into one effect: the curve keeps them apart.
    joined = result["kind"] != "dose_response"
    trials = provenance.trials(result) if joined else []
    return [
        Part("", f"All {lower_first(trials_heading(result['headline']['pools']))}", trials,
             result["pooled"], result["headline"]),
        *(
            Part(group["key"], group["label"], [trial_of(row) for row in group["rows"]],
                 group["pooled"], group["headline"])
            for group in result["groups"]
        ),
    ]  # fmt: skip


def _pooled_cards(result: AnalysisResult, parts: Sequence[Part]) -> list[HeadlineCard | PooledCard]:
    """Return how each pooled number of a result is made."""
    cards: list[HeadlineCard | PooledCard] = []
    for part in parts:
        label = str(part.label)
        if part.headline is not None and led_by_another(part.headline):
            cards.append(headline_card(label, part.trials, part.headline))
            label = f"{label}, the usual model beside it"
        if part.pooled is not None:
            cards.append(pooled_card(label, part.trials, part.pooled, result))
    return cards


#: When a question was written down, by its status.
STATUS_WORDS = {
    "declared": "question written down before its result was computed",
    "post hoc": "question written down after results were known",
}


def plot_view(paths: ProjectPaths, plot: Plot) -> Figure:
    """Return a figure of the page."""
    return {
        "kind": plot.kind,
        "svg": (paths.figures / f"{plot.name}.svg").read_text(encoding="utf-8"),
        "alt": plot.words,
        "name": plot.name,
        "pages": [path.stem for path in sorted(paths.pages.glob(f"{plot.name}.page-*.svg"))],
    }


def _numbers(result: AnalysisResult, measure: Measure) -> list[tuple[str, str]]:
    """Return the key numbers of a result as label and value; the headline first."""
    led, pooled = result["headline"], result["pooled"]
    numbers = []
    if led["estimate"] is not None:
        measured = Measure(led["measure"])
        trials = led["sources"] if led["pools"] else str(result["k"])
        interval = interval_words(led["ci_low"], led["ci_high"], measured)
        value = f"{written(led['estimate'], measured)} ({interval})"
        label = result["measure_label"] if measured == measure else measured.label
        numbers += [("Trials", trials), ("People", people_words(result)), (label, value)]
        if led["pi_low"] is not None:
            interval = interval_words(led["pi_low"], led["pi_high"], measured)
            numbers.append(("Prediction interval for a new trial", interval))
    if pooled is None:
        return numbers
    if pooled["tau2"] is not None:
        words = f"Random effects by {pooled['tau2_method']}"
        if led_by_another(led):
            words = f"Beside it: {lower_first(result['measure_label'])}, {lower_first(words)}"
        low, high, (i2,) = pooled["tau2_ci_low"], pooled["tau2_ci_high"], known(pooled["i2"])
        spread, ends = (
            "Between-trial variance",
            "" if low is None else f" ({format_interval(low, high, 3)})",
        )
        numbers += [
            (words, estimate_words(pooled, measure)),
            (f"{spread} (tau², {pooled['tau2_method']})", format_number(pooled["tau2"], 3) + ends),
            ("I²", f"{format_number(100 * i2, 0)}%"),
            ("Q", f"{format_number(pooled['q'])} on {pooled['q_df']} df"),
        ]
    engine = result["second_engine"]
    if engine is not None:
        words = f"{engine['engine']} {agreement_words(engine['agrees_to'])}"
        numbers.append(("Second engine", words))
    return numbers


def _zero_words(result: AnalysisResult) -> str:
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


def _leave_one_out(result: AnalysisResult, measure: Measure) -> str:
    left = result["leave_one_out"]
    if left is None:
        return ""
    interval = interval_words(left["lowest"], left["highest"], measure)
    one = "one trial or pooled report" if result["headline"]["pools"] else "one trial"
    return f"Leaving out {one} at a time, the estimate runs from {interval}."


def _left(result: AnalysisResult, project: Project) -> list[str]:
    """Return what was excluded, grouped by reason, largest group first."""
    groups: dict[str, list[str]] = {}
    for item in [*result["excluded"], *result["unused"]]:
        groups.setdefault(item["reason"], []).append(item["label"])
    return [
        f"{reason}: {plural(len(members), 'row')} ({', '.join(sorted(set(members)))})"
        for reason, members in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


# --- what the page's own calculator needs ---------------------------------------------------------


class EngineRow(TypedDict):
    """A trial: its effect, its counts, and its effect on the other measure."""

    id: str
    label: str
    y: float
    v: float
    c: list[float] | None
    a: NotRequired[list[float] | None]


class EnginePart(TypedDict):
    """All trials or a group; ``led`` is the published result where another model leads."""

    key: str
    label: str | None
    led: str
    rows: list[EngineRow]


class Engine(TypedDict):
    """One analysis as the calculator reads it."""

    name: str
    measure: str
    measure_label: str
    is_ratio: bool
    measures: list[list[str]]
    tau2: str
    ci: str
    level: float
    favours: list[str]
    counted: str
    parts: list[EnginePart]


def engine_data(
    result: AnalysisResult, parts: Sequence[Part], provenance: Provenance
) -> Engine | None:
    """Return the data of one analysis for the page's calculator; nothing below two rows."""
    other = _other_measure(result)
    # No other kind of scores than that of most rows is standardised beside it.
    kinds = Counter(row["data_kind"] for row in rows_of(result))
    usual = min(kinds, key=lambda kind: (-kinds[kind], kind), default="")

    def short(trial: Trial) -> EngineRow:
        made: EngineRow = {"id": trial.study_id, "label": trial.label, "y": trial.estimate,
                           "v": trial.variance, "c": trial.counts}  # fmt: skip
        if other is not None:
            fits = other is not Measure.SMD or trial.kinds == {usual}
            names = trial.effect_ids if fits else []
            made["a"] = provenance.on_measure(names, result, str(other))
        return made

    shown: list[EnginePart] = [
        {
            "key": part.key,
            "label": part.label,
            "led": led_by_another(part.headline),
            "rows": [short(trial) for trial in part.trials],
        }
        for part in parts
        if part.pooled is not None and len(part.trials) > 1
    ]
    if not shown:
        return None
    return {
        "name": result["name"],
        "measure": result["measure"],
        "measure_label": result["measure_label"],
        "is_ratio": result["is_ratio"],
        "measures": [[str(item), item.label] for item in _measures(result, other, shown)],
        "tau2": result["spec"]["model"]["tau2_method"],
        "ci": result["spec"]["model"]["ci_method"],
        "level": result["level"],
        "favours": result["favours"],
        "counted": trials_heading(result["headline"]["pools"]),
        "parts": shown,
    }


def _other_measure(result: AnalysisResult) -> Measure | None:
    """Return the other measure of scores where it means anything; else ``None``.

    Raw differences can be averaged on one scale only.
    """
    instruments = {row["instrument"] for row in rows_of(result)}
    if result["kind"] != "pooled" or not instruments:
        return None
    if result["measure"] == "MD":
        return Measure.SMD
    return Measure.MD if result["measure"] == "SMD" and len(instruments) == 1 else None


def _measures(
    result: AnalysisResult, other: Measure | None, parts: Sequence[EnginePart]
) -> list[Measure]:
    """Return the measures between which a reader can choose; none where there is one."""
    if all(row["c"] is not None for part in parts for row in part["rows"]):
        return [Measure.OR, Measure.RR, Measure.RD]
    if other is not None and any(
        sum(row["a"] is not None for row in part["rows"]) > 1 for part in parts
    ):
        return [Measure(result["measure"]), other]
    return []
