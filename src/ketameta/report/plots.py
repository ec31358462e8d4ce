"""Which plots belong to a result, and the typed data each is drawn from. Draws nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ketameta.analyses.selection import TIME_CLASSES
from ketameta.analyses.sentences import pools_in, treatment_label, words_of
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import format_count, plural, trials_words
from ketameta.measures import Measure
from ketameta.plots.curves import (
    At,
    DoseResponse,
    OverTime,
    TimeClass,
    describe_doses,
    describe_over_time,
)
from ketameta.plots.forest import describe as say_forest
from ketameta.plots.forest_data import Forest, Group, Pool, Trial
from ketameta.plots.harms import Harm, Harms
from ketameta.plots.harms import describe as say_harms
from ketameta.plots.influence import Gosh, describe_gosh
from ketameta.plots.maps import Judgement, RiskOfBias, describe_lights, describe_map
from ketameta.plots.network import Network, Node
from ketameta.plots.network import describe as say_network
from ketameta.plots.points import Bubble, Funnel, Line, describe_bubble, describe_funnel
from ketameta.plots.scale import Estimate, Scale, finite
from ketameta.plots.specification_curve import Combination, SpecificationCurve
from ketameta.plots.specification_curve import describe as say_combinations

if TYPE_CHECKING:
    from ketameta.evidence.tables import Evidence


#: A forest plot of more rows than this is metres long; it shows the groups instead.
MOST_ROWS = 150
#: Share of the combinations of choices beyond which they agree, and need no picture.
AGREED = 0.9
#: Each kind of plot in words.
_WORDS: Mapping[str, Callable[[Any], str]] = {
    "bubble": describe_bubble,
    "dose_response": describe_doses,
    "evidence_map": describe_map,
    "forest": say_forest,
    "funnel": describe_funnel,
    "gosh": describe_gosh,
    "harms": say_harms,
    "network": say_network,
    "over_time": describe_over_time,
    "risk_of_bias": describe_lights,
    "specification_curve": say_combinations,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot of the report.

    Attributes
    ----------
    kind : str
        A function of :mod:`ketameta.plots`.
    name : str
        File name without ending.
    data : object
        The typed data that the function draws.
    """

    kind: str
    name: str
    data: Any

    @property
    def words(self) -> str:
        """What the plot shows, in numbers, for a reader who cannot see it."""
        return _WORDS[self.kind](self.data)


def plots_of(result: Mapping[str, Any], project: Project = NOTHING_DECLARED) -> list[Plot]:
    """Return the plots of one result, the forest plot first."""
    found = [Plot("forest", result["name"], forest_data(result, project))]
    for kind, data in (
        ("over_time", _over_time(result)),
        ("network", _network(result, project)),
        ("dose_response", _dose_response(result)),
        ("funnel", _funnel(result)),
        ("gosh", _gosh(result)),
        ("specification_curve", _specification_curve(result)),
    ):
        if data is not None:
            found.append(Plot(kind, f"{result['name']}-{kind}", data))
    return found + _bubbles(result)


def scale_of(result: Mapping[str, Any]) -> Scale:
    """Return in which unit a result is shown."""
    left, right = result.get("favours") or ("", "")
    return Scale(
        label=str(result.get("measure_label") or result.get("measure") or "Effect"),
        is_ratio=bool(result.get("is_ratio")),
        null=result.get("null"),
        favours=(str(left or ""), str(right or "")),
        level=float(result.get("level") or 0.95),
        measure=str(result.get("measure") or ""),
    )


# --- forest ---------------------------------------------------------------------------------------


def forest_data(result: Mapping[str, Any], project: Project = NOTHING_DECLARED) -> Forest:
    """Return the forest plot of a result; where trials are too many to draw, a row per group."""
    rows = [row for group in result["groups"] for row in group["rows"]]
    mixed = len({bool(row["direct"]) for row in rows if row.get("direct") is not None}) > 1
    groups = tuple(
        Group(
            group["label"],
            _trials(group, mixed, group["headline"] or result["headline"]),
            led_by(group["headline"], group["pooled"]),
        )
        for group in result["groups"]
    )
    test = result.get("subgroup_test")
    codes = dict.fromkeys(code for row in rows for code in (row.get("risk_of_bias") or {}))
    forest = Forest(
        groups=groups,
        scale=led_scale(result),
        pool=led_by(result["headline"], result["pooled"]),
        title=str(result.get("title") or result.get("name") or ""),
        subtitle=project.directness.subtitle(str(result.get("directness"))),
        test=(test["q"], test["df"], test["p_value"]) if test and test["q"] is not None else None,
        looked_for=str(result.get("looked_for") or ""),
        important=finite(result.get("important_difference")),
        domains=tuple(
            (code, code.replace("_", " ")) for code in sorted(codes, key=lambda c: c == "overall")
        ),
        k=result.get("k"),
        participants=finite(result.get("n_participants")),
    )
    if result.get("kind") == "network" and result.get("network"):
        return _against_reference(forest, result["network"])
    return forest if len(rows) <= MOST_ROWS else _by_group(forest)


def _against_reference(forest: Forest, network: Mapping[str, Any]) -> Forest:
    """Return the forest of a network: a row per treatment, against the one all share."""
    reference = str(network["reference"])
    direct = {
        edge["first"] if edge["second"] == reference else edge["second"]: edge["k"]
        for edge in network["edges"]
        if reference in (edge["first"], edge["second"])
    }
    groups = tuple(
        replace(
            group,
            trials=tuple(
                replace(trial, label=_short(trial.study), arms=("", ""), note="",
                        more=(format_count(direct.get(trial.study, 0)),))
                for trial in group.trials
            ),
        )
        for group in forest.groups
    )  # fmt: skip
    return replace(
        forest, groups=groups, rows_are_pools=True, header="Treatment", domains=(),
        more=("Direct trials",), description="Forest plot of a network",
        meaning=f"Square: network estimate against {treatment_label(reference)}",
    )  # fmt: skip


def _trial(row: Mapping[str, Any], mixed: bool) -> Trial:
    def pair(name: str) -> tuple[float | None, float | None]:
        return finite(row.get(f"{name}_treatment")), finite(row.get(f"{name}_control"))

    return Trial(
        str(row.get("label") or row.get("study_id") or ""),
        finite(row["estimate"]),
        finite(row.get("ci_low")),
        finite(row.get("ci_high")),
        finite(row.get("weight")),
        str(row.get("study_id") or ""),
        pair("n"),
        pair("events"),
        (str(row.get("intervention") or ""), str(row.get("comparator") or "")),
        note=str(row.get("note") or ""),
        tag=str(row.get("tag") or ("indirect" if mixed and row.get("direct") is False else "")),
        set_aside=str(row.get("reason") or "") if row.get("excluded") else None,
        risk_of_bias=dict(row.get("risk_of_bias") or {}),
        pools=pools_in([row]) > 0,
    )


#: Endings of the rules under which the counts themselves are modelled.
COUNTS = ("_sparse", "_one_sided")


def led_scale(result: Mapping[str, Any]) -> Scale:
    """Return the unit of what leads: an odds ratio where counts are sparse."""
    led = [result["headline"], *(g["headline"] for g in result["groups"] if g["headline"])]
    scale, measure = scale_of(result), Measure(led[-1]["measure"])
    if scale.measure == measure:
        return scale
    return replace(scale, label=measure.label, measure=measure.value)


def _trials(
    group: Mapping[str, Any], mixed: bool, headline: Mapping[str, Any]
) -> tuple[Trial, ...]:
    """Return the trials of a group, with their weights, on the scale of what leads.

    Where that is the exact likelihood of counts, each trial has its exact interval and no weight.
    """
    trials = tuple(_trial(row, mixed) for row in group["rows"])
    if headline["rule"]["code"].endswith(COUNTS):
        own = [item for item in headline["beside"] if item["code"] == "trial"] or [headline]
        return tuple(
            replace(trial, estimate=finite(item["estimate"]), low=finite(item["ci_low"]),
                    high=finite(item["ci_high"]), weight=None)
            for trial, item in zip(trials, own, strict=True)
        )  # fmt: skip
    shares = headline["weights"]
    if len(shares) != len(trials):
        return trials
    return tuple(replace(trial, weight=share) for trial, share in zip(trials, shares, strict=True))


def led_by(headline: Mapping[str, Any] | None, pooled: Mapping[str, Any] | None) -> Pool | None:
    """Return the estimate that leads, of two trials or more, with how much they differ."""
    if headline is None or headline["estimate"] is None:
        return None
    found = dict(pooled or {})
    sparse = headline["measure"] == "OR" and headline["rule"]["code"].endswith(COUNTS)
    spread = {} if sparse else {key: found.get(key) for key in ("i2", "q", "q_df", "q_p_value")}
    how: dict[str, Any] = {"model": "bayes"} if headline["interval"] == "credible" else {}
    if headline["rule"]["code"] == "several_trials":
        how = {key: found.get(key) for key in ("model", "tau2_method", "ci_method", "p_value")}
    tau2 = None if headline["tau"] is None else headline["tau"] ** 2
    credible = headline["interval"] == "credible"
    return Pool.of(
        SimpleNamespace(**{**headline, "tau2": tau2}, **spread, **how, credible=credible)
    )


def _by_group(forest: Forest) -> Forest:
    """Return the forest with one row per group of trials: its mean and its people."""
    groups = [group for group in forest.groups if group.trials]
    means = [group.pool for group in groups] if len(groups) > 1 else [forest.pool]
    rows = []
    for group, mean in zip(groups, means, strict=True):
        trials = trials_words(len(group.trials), sum(trial.pools for trial in group.trials))
        row = Trial(
            f"{group.label}: {trials}" if group.label else trials,
            n=(_people(group, 0), _people(group, 1)),
        )
        if mean is not None:
            row = replace(row, estimate=mean.estimate, low=mean.low, high=mean.high)
        rows.append(row)
    words = f"The {plural(len(forest.trials), 'row')} are too many to draw; each is in"
    return replace(
        forest,
        groups=(Group(None, tuple(rows)),),
        rows_are_pools=True,
        header="Trials",
        meaning="Square: mean of a group of trials",
        notes=(f"{words} tables/rows_used.csv.", *forest.notes),
        domains=(),
    )


def _people(group: Group, side: int) -> float | None:
    """Return the people of one arm of all trials of a group; None where one is not known."""
    sizes = [trial.n[side] for trial in group.trials]
    return None if None in sizes else sum(size or 0.0 for size in sizes)


# --- the others -----------------------------------------------------------------------------------


def _rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row for group in result["groups"] for row in group["rows"]]


def _mean(result: Mapping[str, Any]) -> float | None:
    return finite((result["pooled"] or {}).get("estimate"))


def estimate_of(item: Mapping[str, Any]) -> Estimate:
    """Return an estimate with its interval."""
    return Estimate(item["estimate"], item.get("ci_low"), item.get("ci_high"))


def _funnel(result: Mapping[str, Any]) -> Funnel | None:
    """Return the funnel plot, where small-study methods are not withheld."""
    found = result["small_study"]
    if found is None or found["withheld"]:
        return None
    filled = found["trim_and_fill"]
    added = ((), ()) if filled["withheld"] else (
        filled["filled_estimates"], filled["filled_variances"]
    )  # fmt: skip
    rows = [row for row in _rows(result) if finite(row["estimate"]) is not None]
    return Funnel(
        tuple(row["label"] for row in rows),
        tuple(row["estimate"] for row in rows),
        tuple(row["se"] for row in rows),
        scale_of(result),
        _mean(result),
        tuple((y, math.sqrt(v)) for y, v in zip(*added, strict=True)),
        f"{result['title']}: funnel plot",
    )


def _gosh(result: Mapping[str, Any]) -> Gosh | None:
    """Return the picture of all (or many) subsets of trials."""
    found = result["gosh"]
    if found is None:
        return None
    points = found["points"]
    return Gosh(
        tuple(points["estimate"]),
        tuple(points["i2"]),
        scale_of(result),
        _mean(result),
        title=f"{result['title']}: subsets of trials",
    )


def _specification_curve(result: Mapping[str, Any]) -> SpecificationCurve | None:
    """Return all combinations of choices, where they disagree or the evidence is direct."""
    found = result.get("multiverse")
    if not found or found["withheld"]:
        return None
    agreed = max(found["excludes"].values()) / found["n_pooled"]
    if agreed > AGREED and result["directness"] not in ("direct", "related"):
        return None
    table, choices = found["combinations"], found["choices"]
    options = [table["options"][choice["name"]] for choice in choices]
    columns = (table[name] for name in ("estimate", "ci_low", "ci_high", "excludes", "k"))
    return SpecificationCurve(
        tuple(
            Combination(estimate, low, high, side, k, tuple(taken[at] for taken in options))
            for at, (estimate, low, high, side, k) in enumerate(zip(*columns, strict=True))
        ),
        tuple((choice["label"], tuple(map(str, choice["options"]))) for choice in choices),
        found["main"],
        scale_of(result),
        f"{result['title']}: all combinations of choices",
    )


def _bubbles(result: Mapping[str, Any]) -> list[Plot]:
    """Return a bubble plot per continuous moderator of three trials, with its line if any."""
    found = []
    for item in result.get("regressions") or ():
        if not item.get("rows"):
            continue
        label = item["label"]
        line = {
            name: tuple(values) for name, values in (item.get("line") or {}).items() if values
        }  # fmt: skip
        data = Bubble(
            tuple(
                (row["label"], row["moderator"], row["estimate"], row.get("weight"))
                for row in item["rows"]
            ),
            label,
            Line(**line) if line else None,
            scale_of(result),
            f"{result['title']}: {label[:1].lower()}{label[1:]}",
            tuple(row.get("by_rule", False) for row in item["rows"]),
        )
        found.append(Plot("bubble", f"{result['name']}-bubble-{item['moderator']}", data))
    return found


def _network(result: Mapping[str, Any], project: Project) -> Network | None:
    """Return the network of treatments; those the project asks about stand out."""
    net, direct = result["network"], project.directness
    asked = {*direct.intervention, *direct.related}
    if net is None or net["withheld"]:
        return None
    return Network(
        tuple(
            Node(
                _short(node["treatment"]), node["n"],
                node["treatment"].partition("_plus_")[0] in asked,
            )
            for node in net["nodes"]
        ),
        tuple((_short(edge["first"]), _short(edge["second"]), edge["k"]) for edge in net["edges"]),
        result["title"],
    )  # fmt: skip


def _short(name: str) -> str:
    return treatment_label(name).replace(" (added to another treatment)", " (added)")


_CURVES = {"linear": "a line through no effect", "spline": "a restricted cubic spline"}


def _dose_response(result: Mapping[str, Any]) -> DoseResponse | None:
    """Return effects against dose, the declared curve and, dashed, the other one."""
    found = result["dose_response"]
    if found is None or found["withheld"]:
        return None
    other = "linear" if found["main"] == "spline" else "spline"

    def curve(items: Sequence[Mapping[str, Any]]) -> tuple[At, ...]:
        return tuple(
            At(item["dose"], estimate_of(item))
            for item in items
            if finite(item["estimate"]) is not None
        )

    return DoseResponse(
        tuple(
            (point["label"], At(point["dose"], estimate_of(point)))
            for point in found["points"]
            if finite(point["estimate"]) is not None
        ),
        curve(found["curve"]),
        curve(found[other].get("curve", [])),
        _CURVES[found["main"]],
        _CURVES[other],
        found["unit"].replace("_", " "),
        curve(found["at_doses"]),
        scale_of(result),
        result["title"],
        " ".join(
            caveat["message"]
            for caveat in found["caveats"]
            if caveat["code"] in ("not_a_line", "common_curve")
        ),
        result["headline"]["pools"],
    )


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


def _over_time(result: Mapping[str, Any]) -> OverTime | None:
    """Return effects against time, one line per trial, and the pools of the forest plot."""
    found = result["over_time"]
    if found is None or found["withheld"]:
        return None
    trials: dict[str, list[At]] = {}
    for row in _rows(result):
        if row["time_days"] is not None and finite(row["estimate"]) is not None:
            trials.setdefault(row["label"], []).append(At(row["time_days"], estimate_of(row)))
    names = [name for name, _ in TIME_CLASSES]
    ends = [last for _, last in TIME_CLASSES]
    spans = dict(zip(names, zip([_FIRST_DAY, *ends[:-1]], ends, strict=True), strict=True))
    return OverTime(
        tuple((label, tuple(points)) for label, points in trials.items()),
        tuple(
            TimeClass(
                _SHORT_TIMES.get(group["key"], words_of(group["key"])),
                *spans[group["key"]],
                group["headline"]["k"],
                estimate_of(group["headline"]),
            )
            for group in result["groups"]
            if group["key"] in spans and led_by(group["headline"], None) is not None
        ),
        scale_of(result),
        result["title"],
    )


def section_plots(
    results: Sequence[dict[str, Any]], project: Project = NOTHING_DECLARED
) -> dict[str, list[Plot]]:
    """Return the figures at the start of a section, by its key."""
    harms = harms_summary(results, project)
    return {project.harms.section: [harms]} if harms is not None else {}


def page_plots(results: Sequence[dict[str, Any]], evidence: Evidence) -> list[Plot]:
    """Return every figure that stands for several results."""
    plots = [
        plot for listed in section_plots(results, evidence.project).values() for plot in listed
    ]
    bias = risk_of_bias(results, evidence)
    return plots if bias is None else [*plots, bias]


def harms_summary(
    results: Sequence[dict[str, Any]], project: Project = NOTHING_DECLARED
) -> Plot | None:
    """Return ratio and people per 1,000 of every harm that is counted, the most frequent first.

    Questions whose trials are not pooled together have no row; those without a trial have one.
    """
    found = [
        result
        for result in results
        if result["section"] == project.harms.section != ""
        and result["kind"] == "pooled"
        and result["measure"] == "RR"
        and (result["headline"]["method"] or result["k"] == 0)
    ]
    if not any(result["k"] for result in found):
        return None
    levels = {result["level"] for result in found}
    several = "Intervals have the levels of their analyses." if len(levels) > 1 else ""
    note = f"{project.harms.note} {several}".strip()
    shared = project.harms.shared_ending
    rows = [_harm(result, shared) for result in found]
    rows.sort(key=lambda row: -row.difference.estimate if row.difference else math.inf)
    data = Harms(
        tuple(rows), replace(scale_of(found[0]), level=max(levels)), project.harms.title, note
    )
    return Plot("harms", "harms_summary", data)


def _harm(result: Mapping[str, Any], shared: Sequence[str]) -> Harm:
    headline, events = result["headline"], result["events"]
    more, ratio, converted = headline["absolute"], None, False
    if headline["estimate"] is not None:
        ratio = estimate_of(headline)
    if more is not None and headline["measure"] != "RR":  # at the risk that the row states
        risks = (more["treated"], more["treated_low"], more["treated_high"])
        ratio, converted = Estimate(*(math.log(risk / more["control"]) for risk in risks)), True
    return Harm(
        next(
            (title.removesuffix(end) for end in shared if (title := result["title"]).endswith(end)),
            result["title"],
        ),
        result["k"],
        result["n_participants"],
        1000 * events["baseline_risk"] if events else None,
        ratio,
        None
        if more is None
        else Estimate(more["difference"], more["difference_low"], more["difference_high"]),
        converted,
        ratio is not None and headline["interval"] == "credible",
        headline["pools"],
    )


def risk_of_bias(results: Sequence[dict[str, Any]], evidence: Evidence) -> Plot | None:
    """Return the traffic lights of the included studies, where at least one was judged."""
    used = sorted(
        {
            row["study_id"]
            for result in results
            if result["kind"] != "network"
            for group in result["groups"]
            for row in group["rows"]
        }
    )
    told = [
        row
        for row in evidence.risk_of_bias.to_dict("records")
        if row["study_id"] in used and row["judgement"] != "not_assessed"
    ]
    judged = tuple(
        Judgement(
            evidence.project.study_label(row["study_id"]),
            row["domain"],
            row["judgement"],
            row["outcome"],
            row["tool"],
            str(row.get("judged_by") or ""),
        )
        for row in told
    )
    if not judged:
        return None
    names = tuple(evidence.project.study_label(name) for name in used)
    title = "Risk of bias of the included studies"
    return Plot("risk_of_bias", "risk_of_bias", RiskOfBias(names, judged, title))
