"""Which plots belong to a result, and the typed data each is drawn from. Draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ketameta.analyses import parts
from ketameta.analyses.claims import COUNTED_ELSEWHERE
from ketameta.analyses.result import AnalysisResult, Headline, Pooled, StudyRow
from ketameta.analyses.result import Group as ResultGroup
from ketameta.analyses.run import group_label
from ketameta.analyses.selection import TIME_CLASSES
from ketameta.analyses.sentences import (
    assumption_words,
    compared_otherwise,
    measure_words,
    pools_in,
    treatment_label,
    words_of,
)
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.formatting import format_count, plural, trials_words
from ketameta.measures import Measure
from ketameta.plots.curves import At, DoseResponse, OverTime, TimeClass
from ketameta.plots.forest import describe
from ketameta.plots.forest_data import Forest, Group, Pool, Trial
from ketameta.plots.forest_rows import SHORT_LABELS
from ketameta.plots.harms import Harm, Harms
from ketameta.plots.maps import Judgement, Network, Node, RiskOfBias
from ketameta.plots.points import Bubble, Funnel, Line
from ketameta.plots.scale import Estimate, Scale, finite
from ketameta.plots.sensitivity import Combination, Gosh, SpecificationCurve
from ketameta.report.provenance import rows_of, studies_of

if TYPE_CHECKING:
    from ketameta.evidence.tables import Evidence


#: A forest plot of more rows than this is metres long; it shows the groups instead.
MOST_ROWS = 150
#: Share of the combinations of choices beyond which they agree, and need no picture.
AGREED = 0.9


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
        said: str = describe(self.data) if self.kind == "forest" else self.data.describe()
        return said


def plots_of(result: AnalysisResult, project: Project = NOTHING_DECLARED) -> list[Plot]:
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


def scale_of(result: AnalysisResult) -> Scale:
    """Return in which unit a result is shown."""
    left, right = result["favours"] or ("", "")
    return Scale(
        label=result["measure_label"],
        is_ratio=result["is_ratio"],
        null=result["null"],
        favours=(left, right),
        level=result["level"],
        measure=result["measure"],
    )


# --- forest ---------------------------------------------------------------------------------------


def forest_data(result: AnalysisResult, project: Project = NOTHING_DECLARED) -> Forest:
    """Return the forest plot of a result; where trials are too many to draw, a row per group."""
    rows = rows_of(result)
    mixed = len(led_measures(result)) > 1
    groups = tuple(
        Group(
            group["label"],
            _trials(group, group["headline"] or result["headline"], named=mixed),
            led_by(group["headline"], group["pooled"]),
        )
        for group in result["groups"]
    )
    heads: tuple[str, ...] = ("", "", led_scale(result).label if mixed else "")
    if result.get("kind") == "within_trial":  # the columns count the people of two groups
        pair = [group_label(key, project) for key in result["spec"]["model"]["group_order"][:2]]
        short = SHORT_LABELS.get(result["measure"], result["measure"])
        heads = (*pair, f"{'Ratio of' if result['is_ratio'] else 'Difference in'} {short}")
    test, net = result["subgroup_test"], result.get("network")
    codes = dict.fromkeys(code for row in rows for code in (row.get("risk_of_bias") or {}))
    forest = Forest(
        groups=groups,
        scale=led_scale(result),
        pool=led_by(result["headline"], result["pooled"]),
        title=result["title"],
        subtitle=project.directness.subtitle(str(result.get("directness"))),
        test=(test["q"], test["df"] or 0, test["p_value"])
        if test and test["q"] is not None
        else None,
        looked_for=result["looked_for"],
        heads=heads,
        important=finite(result.get("important_difference")),
        domains=tuple(
            (code, code.replace("_", " ")) for code in sorted(codes, key=lambda c: c == "overall")
        ),
        k=result.get("k"),
        participants=finite(result.get("n_participants")),
    )
    if net and result["kind"] == "network":
        return _against_reference(forest, net)
    return forest if len(rows) <= MOST_ROWS else _by_group(forest)


def _against_reference(forest: Forest, network: parts.Network) -> Forest:
    """Return the forest of a network: a row per treatment, against the one all share."""
    reference = network["reference"]
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


#: Endings of the rules under which the counts themselves are modelled.
COUNTS = ("_sparse", "_one_sided")


def led_scale(result: AnalysisResult) -> Scale:
    """Return the unit of what leads: an odds ratio where counts are sparse.

    Groups may have either; each row then names its own.
    """
    led = [result["headline"], *(g["headline"] for g in result["groups"] if g["headline"])]
    scale, measures = scale_of(result), led_measures(result)
    if len(measures) > 1:
        return replace(scale, label=" or ".join([measures[0].label, measures[1].label.lower()]))
    measure = Measure(led[-1]["measure"])
    if scale.measure == measure:
        return scale
    return replace(scale, label=measure.label, measure=measure.value)


def led_measures(result: AnalysisResult) -> list[Measure]:
    """Return the measures of what leads in the groups of a result, one or two."""
    led = [group["headline"] for group in result["groups"] if group["headline"] and group["rows"]]
    led += [result["headline"]] if result["headline"]["estimate"] is not None else []
    return [Measure(name) for name in dict.fromkeys(one["measure"] for one in led)]


def _trials(group: ResultGroup, headline: Headline, *, named: bool = False) -> tuple[Trial, ...]:
    """Return the trials of a group, with their weights, on the scale of what leads.

    Where that is the exact likelihood of counts, each trial has its exact interval and no weight.
    ``named`` says the measure beside each.
    """
    measure = measure_words(Measure(headline["measure"])) if named else ""
    trials = tuple(
        Trial(
            row["label"],
            row["estimate"],
            row["ci_low"],
            row["ci_high"],
            row.get("weight"),
            row["study_id"],
            (finite(row["n_treatment"]), finite(row["n_control"])),
            (finite(row.get("events_treatment")), finite(row.get("events_control"))),
            (row["intervention"], row["comparator"]),
            note="; ".join(filter(None, (row.get("note"), _assumed(row)))),
            tag=measure,
            risk_of_bias=row.get("risk_of_bias") or {},
            pools=pools_in([row]) > 0,
        )
        for row in group["rows"]
    )
    if headline["rule"]["code"].endswith(COUNTS):
        own: list[parts.Interval] = [i for i in headline["beside"] if i["code"] == "trial"]
        own = own or [headline]
        return tuple(
            replace(trial, estimate=item["estimate"], low=item["ci_low"], high=item["ci_high"],
                    weight=None)
            for trial, item in zip(trials, own, strict=True)
        )  # fmt: skip
    shares = headline["weights"]
    if len(shares) != len(trials):
        return trials
    return tuple(replace(trial, weight=share) for trial, share in zip(trials, shares, strict=True))


def _assumed(row: StudyRow) -> str:
    assumed = row.get("assumption")
    return f"assumed: {assumption_words(assumed)}" if assumed else ""


def led_by(headline: Headline | None, pooled: Pooled | None) -> Pool | None:
    """Return the estimate that leads, of two trials or more, with how much they differ."""
    if headline is None or headline["estimate"] is None or headline["k"] < 2:
        return None
    code, tau, credible = (
        headline["rule"]["code"], headline["tau"], headline["interval"] == "credible"
    )  # fmt: skip
    found = Pool(
        headline["k"],
        headline["estimate"],
        headline["ci_low"],
        headline["ci_high"],
        headline["pi_low"],
        headline["pi_high"],
        None if tau is None else tau**2,
        model="bayes" if credible else "",
        credible=credible,
    )
    if pooled and not (headline["measure"] == "OR" and code.endswith(COUNTS)):
        found = replace(
            found, i2=pooled["i2"], q=pooled["q"], q_df=pooled["q_df"],
            q_p_value=pooled["q_p_value"], tau2_method=pooled["tau2_method"],
        )  # fmt: skip
    if pooled and code == "several_trials":
        found = replace(
            found, model=pooled["model"],
            ci_method=pooled["ci_method"], p_value=pooled.get("p_value"),
        )  # fmt: skip
    return found


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


def estimate_of(item: parts.IntervalLike) -> Estimate | None:
    """Return an estimate with its interval, where there is one."""
    found = item["estimate"]
    return None if found is None else Estimate(found, item["ci_low"], item["ci_high"])


def _funnel(result: AnalysisResult) -> Funnel | None:
    """Return the funnel plot, where small-study methods are not withheld."""
    if (found := parts.kept(result["small_study"])) is None:
        return None
    filled = found["trim_and_fill"]
    added: tuple[list[float], list[float]] = ([], [])
    if not filled["withheld"]:
        added = filled["filled_estimates"], filled["filled_variances"]
    rows = rows_of(result)
    return Funnel(
        tuple(row["label"] for row in rows),
        tuple(row["estimate"] for row in rows),
        tuple(row["se"] for row in rows),
        scale_of(result),
        result["pooled"]["estimate"] if result["pooled"] else None,
        tuple((y, math.sqrt(v)) for y, v in zip(*added, strict=True)),
        f"{result['title']}: funnel plot",
    )


def _gosh(result: AnalysisResult) -> Gosh | None:
    """Return the picture of all (or many) subsets of trials."""
    found = result["gosh"]
    if found is None:
        return None
    points = found["points"]
    return Gosh(
        tuple(points["estimate"]),
        tuple(points["i2"]),
        scale_of(result),
        result["pooled"]["estimate"] if result["pooled"] else None,
        title=f"{result['title']}: subsets of trials",
    )


def _specification_curve(result: AnalysisResult) -> SpecificationCurve | None:
    """Return all combinations of choices, where they disagree or the evidence is direct."""
    if (found := parts.kept(result.get("multiverse"))) is None:
        return None
    sides = found["excludes"]
    agreed = max(sides["below"], sides["above"], sides["neither"]) / found["n_pooled"]
    if agreed > AGREED and result["directness"] not in ("direct", "related"):
        return None
    table, choices = found["combinations"], found["choices"]
    options = [table["options"][choice["name"]] for choice in choices]
    columns = zip(
        table["estimate"], table["ci_low"], table["ci_high"], table["excludes"], table["k"],
        strict=True,
    )  # fmt: skip
    return SpecificationCurve(
        tuple(
            Combination(estimate, low, high, side, k, tuple(taken[at] for taken in options))
            for at, (estimate, low, high, side, k) in enumerate(columns)
        ),
        tuple((choice["label"], tuple(map(str, choice["options"]))) for choice in choices),
        found["main"],
        scale_of(result),
        f"{result['title']}: all combinations of choices",
    )


def _bubbles(result: AnalysisResult) -> list[Plot]:
    """Return a bubble plot per continuous moderator of three trials, with its line if any."""
    found = []
    for item in result.get("regressions") or ():
        if not item.get("rows"):
            continue
        label = item["label"]
        beside = " and ".join(item.get("adjusted_for", ())).replace("_", " ")
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
            held=f"at the mix of {beside} of these trials" if item.get("design") else "",
        )
        found.append(Plot("bubble", f"{result['name']}-bubble-{item['moderator']}", data))
    return found


def _network(result: AnalysisResult, project: Project) -> Network | None:
    """Return the network of treatments; those the project asks about stand out."""
    if (net := parts.kept(result["network"])) is None:
        return None
    asked = {*project.directness.intervention, *project.directness.related}
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


def _dose_response(result: AnalysisResult) -> DoseResponse | None:
    """Return effects against dose, the declared curve and, dashed, the other one."""
    if (found := parts.kept(result["dose_response"])) is None:
        return None
    other = "linear" if found["main"] == "spline" else "spline"

    def curve(items: Sequence[parts.AtDose]) -> tuple[At, ...]:
        return tuple(At(item["dose"], at) for item in items if (at := estimate_of(item)))

    return DoseResponse(
        tuple(
            (point["label"], At(point["dose"], at))
            for point in found["points"]
            if (at := estimate_of(point))
        ),
        curve(found["curve"]),
        curve((found["linear"] if other == "linear" else found["spline"]).get("curve", [])),
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


def _over_time(result: AnalysisResult) -> OverTime | None:
    """Return effects against time, one line per trial, and the pools of the forest plot."""
    if parts.kept(result["over_time"]) is None:
        return None
    trials: dict[str, list[At]] = {}
    for row in rows_of(result):
        if row["time_days"] is not None and (at := estimate_of(row)):
            trials.setdefault(row["label"], []).append(At(row["time_days"], at))
    names = [name for name, _ in TIME_CLASSES]
    ends = [last for _, last in TIME_CLASSES]
    spans = dict(zip(names, zip([_FIRST_DAY, *ends[:-1]], ends, strict=True), strict=True))
    return OverTime(
        tuple((label, tuple(points)) for label, points in trials.items()),
        tuple(
            TimeClass(
                _SHORT_TIMES.get(group["key"], words_of(group["key"])),
                *spans[group["key"]],
                led["k"],
                mean,
                led["interval"] == "credible",
            )
            for group in result["groups"]
            if group["key"] in spans
            and (led := group["headline"])
            and led["k"] > 1
            and (mean := estimate_of(led))
        ),
        scale_of(result),
        result["title"],
    )


def page_plots(results: Sequence[AnalysisResult], evidence: Evidence) -> list[Plot]:
    """Return every figure that stands for several results."""
    plots = (harms_summary(results, evidence.project), risk_of_bias(results, evidence))
    return [plot for plot in plots if plot is not None]


def harms_summary(
    results: Sequence[AnalysisResult], project: Project = NOTHING_DECLARED
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
    rows = [_harm(result, project) for result in found]
    rows.sort(key=lambda row: -row.difference.estimate if row.difference else math.inf)
    data = Harms(
        tuple(rows), replace(scale_of(found[0]), level=max(levels)), project.harms.title, note
    )
    return Plot("harms", "harms_summary", data)


def _harm(result: AnalysisResult, project: Project) -> Harm:
    headline, events, shared = result["headline"], result["events"], project.harms.shared_ending
    more, ratio, converted = headline["absolute"], estimate_of(headline), False
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
        _without_a_trial(result, project),
    )


def _without_a_trial(result: AnalysisResult, project: Project) -> str:
    """Return what is said of a harm that no trial counts."""
    if compared_otherwise(result):
        return COUNTED_ELSEWHERE
    told = project.harms.tells_of(result["name"])
    return "known from labels; not counted here" if told else "no eligible trial"


def risk_of_bias(results: Sequence[AnalysisResult], evidence: Evidence) -> Plot | None:
    """Return the traffic lights of the included studies, where at least one was judged."""
    used = sorted({name for item in results for name in studies_of(item)})
    judged = tuple(
        Judgement(
            evidence.project.study_label(row["study_id"]),
            row["domain"],
            row["judgement"],
            row["outcome"],
            row["tool"],
            row["judged_by"],
        )
        for row in evidence.rows("risk_of_bias")
        if row["study_id"] in used and row["judgement"] != "not_assessed"
    )
    if not judged:
        return None
    names = tuple(evidence.project.study_label(name) for name in used)
    title = "Risk of bias of the included studies"
    return Plot("risk_of_bias", "risk_of_bias", RiskOfBias(names, judged, title))
