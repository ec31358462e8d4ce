"""How far a difference between levels of a moderator can be believed.

One entry per moderator analysis: its test, a permutation test where trials are few, differences
from the reference level, and the questions that a reader should ask, answered from the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ketameta.analyses.parts import (
    BubbleRow,
    Credibility,
    CredibilityRating,
    LevelDifference,
    MetaRegression,
    ModeratorRow,
    Permutation,
    Question,
    part,
)
from ketameta.analyses.result import AnalysisResult, StudyRow
from ketameta.analyses.rows import SHARED, in_several_levels
from ketameta.analyses.sentences import pools_in, words_of
from ketameta.errors import KetametaError
from ketameta.formatting import format_p, plural, published, trials_words
from ketameta.models.intervals import critical_value, holm, two_sided_p
from ketameta.models.regression import meta_regression
from ketameta.models.resampling.monte_carlo import permutation_test
from ketameta.models.results import plain

if TYPE_CHECKING:
    from ketameta.analyses.spec import AnalysisSpec, ModeratorCoding


#: p-values up to which chance is an unlikely explanation, may not explain, and is a likely one.
CHANCE = (0.005, 0.01, 0.05)
#: The instrument is for differences that the data suggest.
SUGGESTED = 0.1
#: Trials in the smallest level (and in all, for a continuous moderator) for the second, third and
#: fourth answer.
SMALLEST_LEVEL = (3, 5, 10)
CONTINUOUS_TRIALS = (6, 11, 16)
#: Moderators of one outcome up to which their number is small, and beyond which it is large.
FEW_MODERATORS, MANY_MODERATORS = 3, 10

QUESTIONS = (
    "Is the comparison within rather than between trials?",
    "Is the difference similar from trial to trial?",
    "Is the number of trials large?",
    "Was the direction stated before the result was known?",
    "Is chance an unlikely explanation?",
    "Were few moderators tested?",
    "Was a random-effects model used?",
    "Were arbitrary cut points avoided?",
)
_YES_NO = ("definitely no", "probably no or unclear", "probably yes", "definitely yes")
NOT_APPLICABLE = "not applicable"
UNANSWERED = "cannot be answered from data"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a question (from 1); ``place`` is 1 to 4, None where data cannot answer it."""

    question: int
    answer: str
    basis: str
    place: int | None = None


def _placed(question: int, place: int, basis: str, words: Sequence[str] = _YES_NO) -> Answer:
    return Answer(question, words[place - 1], basis, place)


def within_or_between(kind: str, trials: int, in_several: int, pools: int = 0) -> Answer:
    """Return the first answer: ``kind`` is ``within``, ``levels`` or ``continuous``."""
    words = (
        "completely between",
        "mostly between or unclear",
        "mostly within",
        "completely within",
    )
    if kind == "within":
        return _placed(1, 4, "Differences within each trial are pooled.", words)
    if kind == "continuous" or in_several == 0:
        return _placed(1, 1, "Trials are compared with other trials.", words)
    of = f"{trials} ({trials_words(trials, pools)})" if pools else plural(trials, "trial")
    basis = f"{in_several} of {of} stand in several levels."
    return _placed(1, 3 if 2 * in_several > trials else 2, basis, words)


def similar(
    kind: str, trials: int, q_p_value: float | None, same_sign: bool, pools: int = 0
) -> Answer:
    """Return the second answer, for differences within trials."""
    if kind != "within" or trials < 2:
        return Answer(2, NOT_APPLICABLE, "At most one comparison within a trial.")
    words = (
        "definitely not similar",
        "probably not similar or unclear",
        "probably similar",
        "definitely similar",
    )
    counted = trials_words(trials, pools)
    basis = f"{counted}; test for differences between them: {format_p(q_p_value)}."
    alike = same_sign and q_p_value is not None and q_p_value > SUGGESTED
    return _placed(2, 3 if alike and trials > 2 else 2, basis, words)


def number_of_trials(kind: str, trials: int, pools: int = 0) -> Answer:
    """Return the third answer; ``trials`` of the smallest level, or all with the number."""
    if kind == "within":
        return Answer(3, NOT_APPLICABLE, "The comparison is within trials.")
    words = ("very small", "rather small or unclear", "rather large", "large")
    limits = CONTINUOUS_TRIALS if kind == "continuous" else SMALLEST_LEVEL
    where = "with the number" if kind == "continuous" else "in the smallest level compared"
    place = 1 + sum(trials >= limit for limit in limits)
    return _placed(3, place, f"{trials_words(trials, pools)} {where}.", words)


def direction(
    status: str, expected: str, expected_status: str, agrees: bool | None, registered: bool
) -> Answer:
    """Return the fourth answer; ``expected`` is empty where no direction was declared."""
    if not expected:
        if status == "post hoc":
            return _placed(4, 1, "The analysis is post hoc.")
        return _placed(4, 2, "No direction was declared.")
    if expected_status == "post hoc" or status == "post hoc":
        return _placed(4, 1, "The direction was declared after the result was known.")
    if agrees is None:
        return Answer(4, UNANSWERED, "The levels cannot be compared.")
    if not agrees:
        return _placed(4, 1, f"A larger effect was expected in {expected}; it is not there.")
    return _placed(4, 4 if registered else 3, f"A larger effect was expected in {expected}.")


def chance(p_value: float | None, p_permuted: float | None, reason: str) -> Answer:
    """Return the fifth answer, from the larger of the two p-values."""
    words = (
        "chance a very likely explanation",
        "chance a likely explanation",
        "chance may not explain",
        "chance an unlikely explanation",
    )
    if p_value is None:
        return Answer(5, UNANSWERED, reason)
    larger = p_value if p_permuted is None else max(p_value, p_permuted)
    basis = f"Test for a difference: {format_p(p_value)}"
    basis += "." if p_permuted is None else f"; by permutation {format_p(p_permuted)}."
    return _placed(5, 1 + sum(larger <= limit for limit in CHANCE), basis, words)


def few_moderators(count: int, registered: bool) -> Answer:
    """Return the sixth answer, from the moderators tested for the same outcome."""
    basis = f"{plural(count, 'moderator analysis', 'moderator analyses')} of this outcome here."
    if count > MANY_MODERATORS:
        return _placed(6, 1, basis)
    if count > FEW_MODERATORS:
        return _placed(6, 2, basis)
    return _placed(6, 4 if registered else 3, basis)


def random_effects_used(model: str, kind: str, smallest: int) -> Answer:
    """Return the seventh answer; ``smallest`` are the trials of the smallest level, or all."""
    if model != "random":
        return _placed(7, 1, "A common effect is assumed.")
    if smallest > 1:
        return _placed(7, 4, "All that is compared is estimated by a random-effects model.")
    if kind == "within":
        return Answer(7, NOT_APPLICABLE, "One set of people: nothing is pooled.")
    return _placed(7, 3, "Random effects where a level has several sets of people; one has one.")


def cut_points(kind: str, moderator: str) -> Answer:
    """Return the eighth answer."""
    if kind == "continuous":
        return _placed(8, 4, "The whole range is used.")
    if moderator == "age_group":
        return _placed(8, 2, "Age is cut where the trials cut it.")
    if moderator == "time_class":
        return _placed(8, 3, "Time is cut at points fixed beforehand.")
    return Answer(8, NOT_APPLICABLE, "The moderator is a category.")


def rating(answers: Sequence[Answer], p_value: float | None) -> CredibilityRating:
    """Return the most that the answers allow.

    Returns
    -------
    dict
        ``level`` (``very low``, ``low``, ``moderate``, ``high`` or empty) and ``words``.

    Notes
    -----
    All answers below the third: very low. Two or more at the first: low at most. One at the first,
    or two at the second: moderate at most. Otherwise high is possible. Questions that do not apply
    or that data cannot answer are left out.
    """
    if p_value is None:
        return {"level": "", "words": "not rated: there is no test"}
    if p_value > SUGGESTED:
        return {
            "level": "",
            "words": f"not rated: no sign of a difference ({format_p(p_value)})",
        }
    places = [answer.place for answer in answers if answer.place is not None]
    first, second = places.count(1), places.count(2)
    if first + second == len(places):
        return {"level": "very low", "words": "very low"}
    if first >= 2:
        return {"level": "low", "words": "low at most"}
    if first == 1 or second >= 2:
        return {"level": "moderate", "words": "moderate at most"}
    return {"level": "high", "words": "high is possible"}


#: From this many trials the test's own distribution is good enough.
PERMUTED_BELOW = 20
Rows = Sequence[StudyRow]


def compared_levels(coding: ModeratorCoding, groups: Mapping[str, int]) -> tuple[str, ...]:
    """Return the levels with enough trials to be compared, in the order given.

    Parameters
    ----------
    coding : ModeratorCoding
    groups : mapping of str to int
        Trials per level.
    """
    return tuple(
        level
        for level, trials in groups.items()
        if level not in coding.silent and trials >= coding.least_per_level
    )


def reference_level(coding: ModeratorCoding, levels: Sequence[str]) -> str:
    """Return the level that the others are compared with."""
    return next((level for level in coding.reference if level in levels), levels[0])


def level_differences(
    spec: AnalysisSpec, result: AnalysisResult, levels: Sequence[str]
) -> list[LevelDifference]:
    """Return each level's mean less that of the reference level, with a Wald interval.

    Means of different trials are independent, so that the squares of their Wald standard errors
    add, as in the test between levels.
    """
    reference = reference_level(spec.coding, levels)
    pooled = {group["key"]: group["pooled"] for group in result["groups"] if group["pooled"]}
    z = critical_value(spec.model.level, None)

    def variance(level: str) -> float:
        rows = next(group["rows"] for group in result["groups"] if group["key"] == level)
        tau2 = pooled[level]["tau2"] or 0.0
        return 1 / sum(1 / (row["variance"] + tau2) for row in rows)

    found: list[LevelDifference] = []
    for level in levels:
        if level == reference:
            continue
        estimate = (pooled[level]["estimate"] or 0.0) - (pooled[reference]["estimate"] or 0.0)
        se = float(np.sqrt(variance(level) + variance(reference)))
        found.append(
            {
                "level": level,
                "reference": reference,
                "estimate": estimate,
                "ci_low": estimate - z * se,
                "ci_high": estimate + z * se,
                "p_value": float(two_sided_p(np.array(estimate / se), None)),
            }
        )
    return found


def permuted_levels(
    spec: AnalysisSpec, rows: Rows, levels: Sequence[str], withheld: str
) -> Permutation:
    """Return the permutation test of the levels that are compared."""
    if withheld:
        return {"p_value": None, "withheld": withheld}
    reference = reference_level(spec.coding, levels)
    others = [level for level in levels if level != reference]
    design = np.array([[row["group"] == level for level in others] for row in rows], dtype=float)
    return permuted(spec, rows, design)


def permuted(
    spec: AnalysisSpec,
    rows: Sequence[StudyRow | BubbleRow],
    design: np.ndarray,
    *,
    first: bool = False,
) -> Permutation:
    """Return the permutation test of a meta-regression, where trials are few.

    With ``first`` it is the test of the first column; rows of the design are dealt out whole.
    """
    if len(rows) >= PERMUTED_BELOW:
        return {
            "p_value": None,
            "withheld": f"{plural(len(rows), 'trial')}: enough for the test itself.",
        }
    try:
        fit = meta_regression(
            [row["estimate"] for row in rows],
            [row["variance"] for row in rows],
            design,
            tau2_method=spec.model.tau2_method,
            ci_method=spec.model.ci_method,
            labels=[row["label"] for row in rows],
            repeated_labels="allow",
        )
        found = permutation_test(fit)
    except KetametaError as error:
        return {"p_value": None, "withheld": str(error)}
    return part(
        Permutation,
        found,
        p_value=found.p_value[1] if first else found.qm_p_value,
        caveats=[caveat.message for caveat in found.caveats],
        withheld="",
    )


def has_levels(spec: AnalysisSpec) -> bool:
    """Return whether an analysis compares levels of a moderator between trials."""
    return (
        spec.kind == "pooled"
        and bool(spec.model.group_by)
        and spec.model.overall
        and not spec.model.over_time
    )


def moderator_analyses(specs: Sequence[AnalysisSpec], outcomes: Sequence[str]) -> int:
    """Return how many moderator analyses of any of these outcomes there are."""
    return sum(
        has_levels(spec) + (spec.kind == "within_trial") + len(spec.regressions.moderators)
        for spec in specs
        if set(spec.select.outcome) & set(outcomes)
    )


def credibility(
    spec: AnalysisSpec,
    result: AnalysisResult,
    regressions: Sequence[MetaRegression],
    specs: Sequence[AnalysisSpec],
) -> list[Credibility]:
    """Return what can be said of every moderator of an analysis.

    ``specs`` are all analyses, to count the moderators tested. There are no questions where nothing
    can be compared.
    """
    rows = [row for group in result["groups"] for row in group["rows"]]
    entry = partial(_entry, spec, moderator_analyses(specs, spec.select.outcome))
    found = [_continuous(spec, item, entry) for item in regressions]
    if spec.kind == "within_trial":
        found.insert(0, _within(spec, result, rows, entry))
    elif has_levels(spec):
        found.insert(0, _levels(spec, result, rows, entry))
    shown: list[Credibility] = published(plain(found))
    return shown


def _entry(
    spec: AnalysisSpec,
    count: int,
    kind: str,
    moderator: str,
    *,
    k: int,
    p_value: float | None,
    withheld: str,
    permutation: Permutation,
    comparable: bool,
    trials: int,
    smallest: int,
    label: str = "",
    status: str = "",
    differences: Sequence[LevelDifference] = (),
    shared: int = 0,
    alike: tuple[float | None, bool] = (None, False),
    pools: tuple[int, int] = (0, 0),
    agrees: bool | None = None,
) -> Credibility:
    """Return what can be said of one moderator.

    ``trials`` are compared, ``smallest`` is what the third question counts, ``shared`` stand in
    several levels; ``alike`` is the test of the trials and whether all lie on one side; ``pools``
    are the pooled reports among those that are compared and in the smallest level.
    """
    permuted_p, status = permutation["p_value"], status or spec.status
    expected = None if kind == "continuous" else spec.expectation
    registered = bool(spec.registration)
    answers = [
        within_or_between(kind, trials, shared, pools[0]),
        similar(kind, trials, *alike, pools[0]),
        number_of_trials(kind, smallest, pools[1]),
        direction(
            status,
            "" if expected is None else words_of(expected.larger_effect_in),
            "" if expected is None else expected.status,
            agrees,
            registered,
        ),
        chance(p_value, permuted_p, withheld),
        few_moderators(count, registered),
        random_effects_used("random", kind, smallest),
        cut_points(kind, moderator),
    ]
    return {
        "analysis": spec.name,
        "title": spec.title,
        "moderator": moderator,
        "label": label or spec.coding.label,
        "kind": kind,
        "status": status,
        "k": k,
        "p_value": p_value,
        "withheld": withheld,
        "permutation": permutation,
        "differences": list(differences),
        "questions": [
            part(Question, answer, text=QUESTIONS[answer.question - 1])
            for answer in (answers if comparable else ())
        ],
        "rating": rating(
            answers,
            p_value if p_value is None or permuted_p is None else max(p_value, permuted_p),
        ),
    }


def _levels(
    spec: AnalysisSpec, result: AnalysisResult, rows: Rows, entry: Callable[..., Credibility]
) -> Credibility:
    sizes = Counter(row["group"] for row in rows)
    ordered = {group["key"]: sizes[group["key"]] for group in result["groups"]}
    levels = compared_levels(spec.coding, ordered)
    compared = [row for row in rows if row["group"] in levels]
    shared = in_several_levels(rows, levels)
    reports = [row for row in compared if pools_in([row])]
    least = min((sizes[level] for level in levels), default=0)
    per_level = {
        level: sum(row["group"] == level for row in reports)
        for level in levels if sizes[level] == least
    }  # fmt: skip
    test = published(result["subgroup_test"])
    p_value, withheld = None, ""
    if len(levels) < 2:
        withheld = (
            f"Fewer than two levels have {spec.coding.least_per_level} trials: there is "
            "nothing to compare."
        )
    elif shared:
        withheld = SHARED
    elif test is not None:
        p_value, withheld = test["p_value"], test["withheld"]
    expected = spec.expectation
    return entry(
        "levels",
        spec.model.group_by,
        k=len({row["study_id"] for row in rows}),
        p_value=p_value,
        withheld=withheld,
        permutation=published(permuted_levels(spec, compared, levels, withheld)),
        differences=level_differences(spec, result, levels) if p_value is not None else [],
        trials=len({row["study_id"] for row in compared}),
        smallest=least,
        pools=(len({row["study_id"] for row in reports}), min(per_level.values(), default=0)),
        shared=shared,
        agrees=expected and _agrees(result, levels, expected.larger_effect_in),
        comparable=len(levels) >= 2,
    )


def _within(
    spec: AnalysisSpec, result: AnalysisResult, rows: Rows, entry: Callable[..., Credibility]
) -> Credibility:
    pooled, k = published(result["pooled"]), len(rows)
    p_value = None if pooled is None else pooled["p_value"]
    first, second = spec.model.group_order
    agrees = None
    if spec.expectation is not None and pooled is not None:
        # The difference is first minus second; benefit has the sign of the first word of favours.
        agrees = (pooled["estimate"] < 0) == (spec.expectation.larger_effect_in == first)
    signs = {row["estimate"] > 0 for row in published(rows)}
    names = ("estimate", "ci_low", "ci_high", "p_value")
    shown = [] if pooled is None else [{name: pooled[name] for name in names}]
    return entry(
        "within",
        spec.model.group_by,
        k=k,
        p_value=p_value,
        withheld="" if p_value is not None else "No trial has both levels.",
        permutation={"p_value": None, "withheld": "A difference within trials is tested as it is."},
        differences=[{"level": first, "reference": second, **item} for item in shown],
        trials=k,
        smallest=k,
        alike=(None if pooled is None else pooled["q_p_value"], len(signs) == 1),
        pools=(pools_in(rows), 0),
        agrees=agrees,
        comparable=k > 0,
    )


def _continuous(
    spec: AnalysisSpec, item: MetaRegression, entry: Callable[..., Credibility]
) -> Credibility:
    permutation: Permutation = {"p_value": None, "withheld": item["withheld"]}
    if not item["withheld"]:
        x = np.array(item.get("design") or [[row["moderator"]] for row in item["rows"]])
        permutation = published(permuted(spec, item["rows"], x, first=True))
    return entry(
        "continuous",
        item["moderator"],
        label=item["label"],
        status=item["status"],
        k=item["k"],
        p_value=published(item.get("p_value")),
        withheld=item["withheld"],
        permutation=permutation,
        trials=item["k"],
        smallest=item["k"],
        comparable=not item["withheld"],
    )


def _agrees(result: AnalysisResult, levels: Sequence[str], expected: str) -> bool | None:
    """Return whether the expected level has the largest effect in the pooled direction."""
    if expected not in levels or len(levels) < 2:
        return None
    means = {
        group["key"]: published(group["pooled"]["estimate"])
        for group in result["groups"]
        if group["key"] in levels and group["pooled"] is not None
    }
    whole = result["pooled"]
    side = -1.0 if whole is not None and (whole["estimate"] or 0.0) < 0 else 1.0
    return max(means, key=lambda level: side * means[level]) == expected


def moderator_table(results: Sequence[AnalysisResult]) -> list[ModeratorRow]:
    """Return every moderator test of the project with its Holm-adjusted p-value.

    The family of the adjustment is all tests of ``results`` that have a p-value, the larger of the
    two where there are two.
    """
    entries = [entry for result in results for entry in result.get("credibility") or ()]
    table: list[ModeratorRow] = []
    for entry in entries:
        permuted, words = entry["permutation"]["p_value"], entry["rating"]["words"]
        table.append(part(ModeratorRow, entry, p_permuted=permuted, rating=words, p_holm=None))
    tested = [row for row in table if row["p_value"] is not None]
    larger = [max(row["p_value"] or 0.0, row["p_permuted"] or 0.0) for row in tested]
    for row, adjusted in zip(tested, holm(larger), strict=True):
        row["p_holm"] = published(float(adjusted))
    return table
