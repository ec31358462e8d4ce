"""Sentences about a result, written from its numbers. Knows results as plain dictionaries."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from ketameta.analyses.parts import Interval, IntervalLike, Network
from ketameta.analyses.result import AnalysisResult, Excess, Excluded, Group, StudyRow
from ketameta.errors import did_you_mean
from ketameta.evidence.findings import Finding, file_finding
from ketameta.formatting import (
    MINUS,
    first_names,
    format_count,
    format_level,
    format_number,
    format_p,
    format_percent,
    format_ratio,
    plural,
)
from ketameta.measures import FREQUENTIST_FROM, RANDOMISED, Measure
from ketameta.models.results import Caveat, stated

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, ModeratorCoding
    from ketameta.evidence.derive import Effect


#: Trials are said to differ more than chance explains below this p value of the Q test.
DIFFERS_BELOW = 0.1


def written(value: float | None, measure: Measure) -> str:
    """Return a value as readers see it: ratios exponentiated, extreme ratios as bounds."""
    if measure.is_ratio:
        return format_ratio(None if value is None else math.exp(min(value, 700.0)))
    return format_number(value)


def interval_words(low: float | None, high: float | None, measure: Measure) -> str:
    """Return ``1.20 to 3.40`` on the readers' scale."""
    return f"{written(low, measure)} to {written(high, measure)}"


def estimate_words(item: IntervalLike, measure: Measure) -> str:
    """Return ``0.50 (0.20 to 0.80)`` on the readers' scale."""
    interval = interval_words(item["ci_low"], item["ci_high"], measure)
    return f"{written(item['estimate'], measure)} ({interval})"


_MEASURE_WORDS = {
    Measure.SMD: "standardised mean difference",
    Measure.MD: "mean difference",
    Measure.ROM: "ratio of means",
    Measure.OR: "odds ratio",
    Measure.RR: "risk ratio",
    Measure.RD: "risk difference",
    Measure.SMCR: "standardised mean change",
}


def measure_words(measure: Measure) -> str:
    """Return ``risk ratio``."""
    return _MEASURE_WORDS.get(measure, measure.label.lower())


#: Codes of effects that answer another comparison than the one asked for.
_OTHER = ("comparator_class", "comparator", "design")


def compared_otherwise(result: AnalysisResult) -> list[Excluded]:
    """Return the effects in scope that answer another comparison."""
    return [row for row in result["excluded"] if row["code"] in _OTHER and not pools_in([row])]


def found_words(result: AnalysisResult) -> tuple[str, str]:
    """Return what is known where no trial enters, in few words, and the studies by name.

    Studies of the people, treatment and outcome asked about; reports that pool trials are none.
    """
    other = {}
    for row in compared_otherwise(result):
        said = f"{row['label']}: {row['reason']}"
        if row["events_treatment"] is not None and row["events_control"] is not None:
            said += f", {row['events_treatment']:g} of {row['n_treatment']:g} on treatment and"
            said += f" {row['events_control']:g} of {row['n_control']:g} on control"
        other[row["study_id"]] = said
    silent = {
        row["study_id"]: row["label"] + (f": {row['reason']}" if row in result["excluded"] else "")
        for row in (*result["unused"], *result["excluded"])
        if row["study_id"] not in other and not pools_in([row])
    }
    done = "counted" if result["is_ratio"] else "measured"
    kinds = ((other, f"{done} in other comparisons"), (silent, "no number that can be used here"))
    parts = [f"{plural(len(one), 'study', 'studies')}, {words}" for one, words in kinds if one]
    return "; ".join(parts) or "no study", _some([*other.values(), *silent.values()], "; ")


def people_words(result: AnalysisResult) -> str:
    """Return how many people took part, as far as it is printed."""
    if not result["n_participants"]:
        return "not printed"
    least = "at least " if result["n_trials_without_size"] else ""
    return f"{least}{format_count(result['n_participants'])}"


def nothing_found(result: AnalysisResult) -> str:
    """Return what is said where no trial enters."""
    found, names = found_words(result)
    return f"No eligible trial was found.{names and f' Found instead: {found} ({names}).'}"


def pools_in(rows: Iterable[StudyRow | Effect | Excluded]) -> int:
    """Return how many rows are reports that pool several trials: they are no trials."""
    return sum(row.get("design") == "pooled_rcts" for row in rows)


def main_sentence(result: AnalysisResult) -> str:
    """Return the sentence that opens the section of a result."""
    k = result["k"]
    if k == 0:
        return f"{nothing_found(result)} We looked for {result['looked_for']}."
    who = f" with {people_words(result)} people" if result["n_participants"] else ""
    kind, trials = result["kind"], result["headline"]["sources"]
    if kind == "network":
        return network_sentence(result, f"{trials}{who}")
    if kind == "dose_response":
        return f"{trials}{who} compare fixed doses with a control."
    return result["headline"]["sentence"]


#: Joins a treatment and what every arm takes beside it in the name of a node.
PLUS = "_plus_"


def treatment_label(name: str) -> str:
    """Return a node as readers see it: ``x_plus_y`` is ``x + y``."""
    return name.replace(PLUS, " + ").replace("_", " ")


def network_order(network: Network) -> list[str]:
    """Return the treatments of a network, best first; by name where they are not ranked."""
    ranked = [item["treatment"] for item in network["ranking"]]
    return ranked or sorted(node["treatment"] for node in network["nodes"])


def network_sentence(result: AnalysisResult, trials: str) -> str:
    """Return how many treatments a network connects and how consistent it is."""
    net = result["network"]
    assert net is not None
    measure = Measure(result["measure"])
    tau = format_number(math.sqrt(net["tau2"] or 0.0))
    sentence = (
        f"{trials} connect {plural(len(net['nodes']), 'treatment')} (heterogeneity tau {tau}, on "
        f"the scale of the {'log ' if measure.is_ratio else ''}{_MEASURE_WORDS[measure]})."
    )
    if net.get("apart"):
        names = ", ".join(treatment_label(name) for name in net["apart"])
        sentence += f" Not connected, so that nothing is said of it here: {names}."
    between = net["q"]["between_random"]
    if between is not None:
        sentence += (
            f" Inconsistency between designs: Q {format_number(between['q'])} on "
            f"{between['df']} df, {format_p(between['p_value'])}."
        )
    if net["ranking_withheld"]:
        return f"{sentence} Treatments are not ranked: {net['ranking_withheld']}."
    first = treatment_label(net["ranking"][0]["treatment"])
    return f"{sentence} Ranked first: {first}; ranks are uncertain."


def group_sentences(result: AnalysisResult) -> list[str]:
    """Return one sentence per group where the groups are not pooled together."""
    if result["headline"]["rule"]["code"] != "groups_apart":
        return []
    return [
        f"{group['label']}: {group['headline']['sentence']}"
        for group in result["groups"]
        if group["headline"] is not None
    ]


def over_time_sentences(result: AnalysisResult) -> list[str]:
    """Return how the effect changes with time, from the joint model and within trials."""
    found = result["over_time"]
    if found is None or found["withheld"] or not found["changes"]:
        return []
    measure, last = Measure(result["measure"]), found["changes"][-1]
    parts = {group["key"]: group["headline"] for group in result["groups"]}
    first = parts.get(found["reference"])
    unit = f" {first['unit']}" if first and not measure.is_ratio else ""
    change = f"{written(last['estimate'], measure)}{unit} ({_ci(last, measure)}"
    if first and first["estimate"]:
        side = "above" if first["estimate"] < 0 else "below"
        change += f"; {side} {1 if measure.is_ratio else 0}: a smaller effect later"
    sentences = [
        f"In one model of {plural(found['effects'], 'effect')} of "
        f"{plural(found['studies'], 'trial')}, the effect at {words_of(last['name'])} minus that "
        f"at {words_of(found['reference'])} is {change})."
    ]
    within = found["within_trials"]
    if within is not None:
        sentences.append(
            f"Within {plural(within['k'], 'trial')} measured at both times the change is "
            f"{written(within['estimate'], measure)}{unit} ({_ci(within, measure)})."
        )
    return sentences


def _ci(item: Interval, measure: Measure) -> str:
    return f"interval {interval_words(item['ci_low'], item['ci_high'], measure)}"


# Methods of small-study effects as their sentences read them.


class _Egger(TypedDict):
    withheld: str
    predictor: str
    statistic: float
    df: int
    p_value: float


class _TrimAndFill(Interval):
    withheld: str
    side: str
    missing: int


class _PetPeese(TypedDict):
    withheld: str
    chosen: Literal["PET", "PEESE"]
    pet: Interval
    peese: Interval


class _Selection(Interval):
    withheld: str
    maxima: int


def excess_test(result: AnalysisResult) -> Excess | None:
    """Return the test of excess significance, where there is one."""
    small = result["small_study"]
    found = small.get("excess") if small else None
    return None if found is None or found["withheld"] else found


def _limit(p: float | None) -> str:
    """Return the limit of p where readers who know another would take it for none."""
    return f", limit {DIFFERS_BELOW:.2f}" if p is not None and 0.05 <= p < DIFFERS_BELOW else ""


def excess_words(result: AnalysisResult) -> str:
    """Return what the test of excess significance says; empty where there is none."""
    found = excess_test(result)
    if found is None:
        return ""
    more = found["p_value"] < DIFFERS_BELOW
    meaning = "more than chance allows"
    meaning = f"{meaning}, so that the average may be too large" if more else f"not {meaning}"
    return (
        f"{plural(found['observed'], 'trial')} of {format_count(result['k'])} have p below "
        f"{found['alpha']:g}, where {format_number(found['expected'], 1)} are expected if their "
        f"mean is true ({format_p(found['p_value'])}{_limit(found['p_value'])}): {meaning}."
    )


def small_study_words(result: AnalysisResult) -> list[str]:
    """Return what small-study methods say, one sentence each, or why they are withheld."""
    found = result["small_study"]
    if found is None:
        return []
    if found["withheld"]:
        return [f"Small-study methods are withheld: {found['withheld']}"]
    measure = Measure(result["measure"])
    egger, trim = cast("_Egger", found["egger"]), cast("_TrimAndFill", found["trim_and_fill"])
    pet, selection = cast("_PetPeese", found["pet_peese"]), cast("_Selection", found["selection"])
    words = [excess_words(result)] if excess_words(result) else []
    if not egger["withheld"]:
        free = egger["predictor"] == "null_se"
        on = " on the standard error without the effect in it" if free else ""
        words.append(
            f"Regression test for funnel asymmetry{on}: t = {format_number(egger['statistic'])} on "
            f"{egger['df']} df, {format_p(egger['p_value'])}."
        )
    if not trim["withheld"]:
        words.append(
            f"Trim and fill adds {plural(trim['missing'], 'trial')} on the {trim['side']}; the "
            f"estimate becomes {estimate_words(trim, measure)}."
        )
    if not pet["withheld"]:
        chosen = pet["pet"] if pet["chosen"] == "PET" else pet["peese"]
        words.append(
            f"{pet['chosen']} puts the effect of a very large trial at "
            f"{estimate_words(chosen, measure)}."
        )
    if not selection["withheld"]:
        words.append(
            "A selection model, in which trials that are not significant in one direction are "
            f"published less often, gives {estimate_words(selection, measure)} "
            f"({plural(selection['maxima'], 'maximum', 'maxima')} of the likelihood found, the "
            "highest taken)."
        )
    words += [
        f"{name} is withheld: {tried['withheld']}."
        for name, tried in (
            ("The regression test", egger),
            ("Trim and fill", trim),
            ("PET-PEESE", pet),
            ("The selection model", selection),
        )
        if tried["withheld"]
    ]
    return [*words, "None of these can tell selective publication from real differences."]


def gosh_words(result: AnalysisResult) -> str:
    """Return what the subsets of trials show."""
    found = result["gosh"]
    if found is None:
        return ""
    measure = Measure(result["measure"])
    quantiles = dict(zip(found["shares"], found["quantiles"], strict=True))
    middle = interval_words(quantiles[0.025], quantiles[0.975], measure)
    how = "every subset" if found["exact"] else f"{plural(found['subsets'], 'random subset')}"
    return (
        f"In {how} of the trials the pooled estimate runs from "
        f"{interval_words(quantiles[0.0], quantiles[1.0], measure)}; the middle "
        f"{format_percent(0.95)} from {middle}."
    )


def agreement_words(bound: float | None) -> str:
    """Return to what a second engine agrees: ``agrees to 1e-6``."""
    if bound is None:
        return "does not agree"
    return f"agrees to {bound:.0e}".replace("e-0", f"e{MINUS}")


def lower_first(text: str) -> str:
    """Return a text as it goes on within a sentence; an acronym stays."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def words_of(key: str) -> str:
    """Return a word of the data as readers see it: ``days_22_to_35`` is ``days 22 to 35``."""
    return key.replace("_", " ")


def given_in(result: AnalysisResult, title: str = "") -> list[str]:
    """Return what the trials of a result gave, or those of the group that its ``title`` names."""
    group = title.removeprefix(result["title"]).removeprefix(": ")
    own = [item for item in result["groups"] if group and (item["label"] or "").lower() == group]
    found = Counter(
        name
        for item in own or result["groups"]
        for row in item["rows"]
        for name in words_of(row["intervention"]).split(" / ")
    )
    return sorted(found, key=lambda name: (-found[name], name))


def prediction_sentence(result: AnalysisResult) -> str:
    """Return what a new study would show, or why that is not said."""
    headline = result["headline"]
    if headline["k"] < 2 or headline["estimate"] is None:
        return ""
    if headline["pi_low"] is None:
        return headline["prediction"]
    measure = Measure(headline["measure"])
    interval = interval_words(headline["pi_low"], headline["pi_high"], measure)
    level = format_level(headline["level"])
    return (
        f"The {level} prediction interval for the true effect in a new, similar trial runs "
        f"from {interval}."
    )


def heterogeneity_sentence(result: AnalysisResult) -> str:
    """Return how much the trials differ."""
    headline, pooled = result["headline"], result["pooled"]
    if headline["k"] < 2 or pooled is None or headline["tau"] is None:
        return ""
    number, bayes = format_number(headline["tau"]), headline["interval"] == "credible"
    tau = f"The standard deviation of true effects (tau) is estimated as {number}"
    tau += " by the Bayesian model that leads" if bayes else ""
    if headline["measure"] != result["measure"]:
        return f"{tau}, on the scale of the log {measure_words(Measure(headline['measure']))}."
    if bayes:
        usual = format_number(math.sqrt(pooled["tau2"] or 0.0))
        tau += f" and as {usual} by the usual model ({pooled['tau2_method']})"
    p = pooled["q_p_value"]
    shown = p is not None and p < DIFFERS_BELOW
    words = "trials differ more than chance explains"
    said = words if shown else f"that {words} is not shown"
    i2 = f"{'there ' if bayes else ''}I² is {format_percent(pooled['i2'])}"
    return f"{tau}; {i2}, and {said} ({format_p(p)} of the Q test{_limit(p)})."


def is_pooled(spec: AnalysisSpec) -> bool:
    """Return whether all rows stand for one effect; doses do not."""
    return spec.model.overall and spec.kind != "dose_response"


#: Caveats of the frequentist fit, which does not lead where trials are few.
_OF_THE_FIT = ("few_studies", "two_studies", "knapp_hartung_floored", "tau2_zero")


def caveats_of(
    spec: AnalysisSpec,
    pooled: Any,
    groups: list[Group],
    rows: list[StudyRow],
    independent: list[StudyRow],
) -> tuple[Caveat, ...]:
    """Return everything a reader must know, once each."""
    overall = is_pooled(spec) or not rows
    beside = _OF_THE_FIT if 2 <= len(independent) < FREQUENTIST_FROM else ()
    second_hand = [row["label"] for row in rows if row["access"] == "secondary"]
    by_choice = [row["label"] for row in rows if row["design"] not in RANDOMISED]
    standardised = str(spec.model.measure) == "SMD"
    sizes = {group["key"]: len(group["rows"]) for group in groups}
    with_levels = spec.kind == "pooled" and spec.model.overall
    alone = [group["label"] for group in groups if group["label"] and len(group["rows"]) == 1]
    return (
        *(item for item in (pooled.caveats if overall else ()) if item.code not in beside),
        *stated(
            (
                overall and len(rows) != len(independent),
                "study_in_several_groups",
                "Some trials stand in several groups. For the overall result their effects are "
                "joined first, so that nobody is counted twice.",
            ),
            (
                any(row["assumption"] for row in rows),
                "assumption",
                f"Some effects rest on what is assumed, not printed: {_assumed_words(rows)}.",
            ),
            (
                by_choice,
                "not_randomised",
                f"Not randomised: {_some(by_choice)}. What else differed, such as the order in "
                "which treatments were given, cannot be told from the treatment.",
            ),
            (
                second_hand,
                "second_hand",
                "Numbers read in a secondary source, not in the trial's own report: "
                f"{_some(second_hand)}.",
            ),
            (
                standardised and any("model_based" in row["route"] for row in rows),
                "model_based_spread",
                "Some standard deviations come from models with covariates and are smaller than "
                "those of the raw scores; standardised effects are then larger.",
            ),
        ),
        *(level_caveats(spec.coding, sizes) if with_levels else ()),
        *stated((alone, "group_of_one", f"Only one trial: {', '.join(map(str, alone))}.")),
    )


def level_caveats(coding: ModeratorCoding, groups: Mapping[str, int]) -> tuple[Caveat, ...]:
    """Return what a reader must know when a moderator cannot be tested, or not wholly.

    Parameters
    ----------
    coding : ModeratorCoding
        Nothing is said of one without a name.
    groups : mapping of str to int
        Trials per level found.
    """
    if not coding.name or not groups:
        return ()
    words = {level: words_of(level) or "not stated" for level in groups}
    told = [words[level] for level in groups if level not in coding.silent]
    silent = [
        f"{words[level]} ({plural(trials, 'trial')})"
        for level, trials in groups.items()
        if level in coding.silent
    ]
    label = coding.label if coding.label[:2].isupper() else lower_first(coding.label)
    return stated(
        (
            len(told) == 1,
            "moderator_with_one_level",
            f"{coding.label} has one level in these trials, {''.join(told[:1])}: there is nothing "
            "to compare it with.",
        ),
        (not told, "moderator_without_level", f"No trial here tells its level of {label}."),
        (
            silent and told,
            "level_never_compared",
            f"Shown but not compared, as it says nothing of {label}: {', '.join(silent)}.",
        ),
    )


def _some(names: list[str], joint: str = ", ") -> str:
    """Return names, each once, the first few of many."""
    return first_names([*dict.fromkeys(names)], joint, most=_MOST_NAMES)


_MOST_NAMES = 6


def _assumed_words(rows: list[StudyRow]) -> str:
    """Return each assumption in words with the trials it is made for."""
    trials: dict[str, list[str]] = {}
    for row in rows:
        if row["assumption"]:
            trials.setdefault(assumption_words(row["assumption"]), []).append(row["label"])
    return "; ".join(
        f"{words} ({', '.join(dict.fromkeys(names))})" for words, names in sorted(trials.items())
    )


def assumption_words(assumption: str) -> str:
    """Return what a row takes for granted, as a reader would say it."""
    return ", ".join(_part_words(part) for part in dict.fromkeys(assumption.split("; ")))


def _part_words(part: str) -> str:
    """Return ``correlation=0.5`` or ``n of placebo = 37`` as a reader would say it."""
    name, _, value = (piece.strip() for piece in part.partition("="))
    if name == "correlation":
        return f"a within-person correlation of {value}"
    return f"{value} people on {name.removeprefix('n of ')}"


# --- texts of a project ---------------------------------------------------------------------------

#: Texts that a project may write in ``analyses/text/``, each a Markdown file of its name. Those
#: of the second line say what is true of one project alone: without a file nothing is said.
TEXTS = (
    *("background", "conclusion"),
    *("methods", "limitations", "risk_of_bias", "repeat_reading"),
)
#: Names that a text may use: what the page knows, and what makes words of it.
TEXT_NAMES = {
    *("results", "project", "headline", "headlines", "claims", "near_misses", "searched"),
    *("count_words", "trials", "format_count", "side", "told", "significant", "small_study"),
    *("excess", "fading", "times", "slopes", "more_of", "people_passed", "given_words"),
    "related_trials",
}
_TAG = re.compile(r"{#.*?#}|{%.*?%}|{{.*?}}", re.DOTALL)
_TYPED = "name it from its result, such as {{ results.name.k }}, or write it as a word"
_NAMES = "name an analysis of this folder, or see what the result holds"


def text_problems(source: str, file: str, analyses: Collection[str]) -> Iterator[Finding]:
    """Yield what a build refuses of a text, as far as it can be told without results."""
    from jinja2 import Environment, TemplateSyntaxError, nodes
    from jinja2.meta import find_undeclared_variables

    typed = _TAG.sub(lambda found: "\n" * found[0].count("\n"), source)
    for number, line in enumerate(typed.split("\n"), start=1):
        if re.search(r"\d", line):
            yield file_finding("text", file, "a typed number", _TYPED, line=number)
    try:
        tree = Environment().parse(source)
        unknown = find_undeclared_variables(tree) - TEXT_NAMES
    except TemplateSyntaxError as error:
        remedy = "mend what stands in braces"
        yield file_finding("text", file, str(error.message), remedy, line=error.lineno)
        return
    # A name may be set in a branch; where a text asks whether there is an analysis, and in lists,
    # a missing one is left out.
    unknown -= {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}
    given, keys = tree.find_all(nodes.Assign), AnalysisResult.__annotations__
    held = {getattr(node.target, "name", "") for node in given if _analysis(node.node)}
    asking = tree.find_all((nodes.Test, nodes.Assign, nodes.List))
    spared = {id(part) for node in asking for part in node.find_all(nodes.Getattr)}
    for node in tree.find_all((nodes.Getattr, nodes.Name)):
        name, of = getattr(node, "attr", "get"), getattr(node, "node", None)
        is_of_result = getattr(of, "name", "") in {"headline", *held} or _analysis(of)
        if isinstance(node, nodes.Name) and node.name in unknown:
            why = f"{node.name!r} is no name here{did_you_mean(node.name, TEXT_NAMES)}"
        elif (key := _analysis(node)) and key not in analyses and id(node) not in spared:
            why = f"there is no analysis {key!r}{did_you_mean(key, analyses)}"
        elif is_of_result and not hasattr(dict, name) and name not in keys:
            why = f"a result has no {name!r}{did_you_mean(name, keys)}"
        else:
            continue
        yield file_finding("text", file, why, _NAMES, line=node.lineno)


def _analysis(node: object) -> str:
    """Return the analysis of ``results.name``, nothing for anything else."""
    name = getattr(node, "attr", "")
    of = getattr(getattr(node, "node", None), "name", "")
    return name if of == "results" and not hasattr(dict, name) else ""
