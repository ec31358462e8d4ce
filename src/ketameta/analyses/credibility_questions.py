"""The questions of ICEMAN that data can answer about one moderator, and the rating that follows.

After the Instrument to assess the Credibility of Effect Modification Analyses: Schandelmaier et al.
(2020), CMAJ 192, E901-E906, doi:10.1503/cmaj.200077. An answer has a place from 1 (definitely
lowers credibility) to 4 (definitely raises it). The cut points below are how this project applies
the instrument; people may answer otherwise, and the rating is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ketameta.numberformat import format_p, plural

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
    """One answer.

    Attributes
    ----------
    question : int
        From 1.
    answer, basis : str
    place : int or None
        1 to 4; None where the question does not apply or data cannot answer it.
    """

    question: int
    answer: str
    basis: str
    place: int | None = None


def _placed(question: int, place: int, basis: str, words: Sequence[str] = _YES_NO) -> Answer:
    return Answer(question, words[place - 1], basis, place)


def within_or_between(kind: str, trials: int, in_several: int) -> Answer:
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
    basis = f"{in_several} of {plural(trials, 'trial')} stand in several levels."
    return _placed(1, 3 if 2 * in_several > trials else 2, basis, words)


def similar(kind: str, trials: int, q_p_value: float | None, same_sign: bool) -> Answer:
    """Return the second answer, for differences within trials."""
    if kind != "within" or trials < 2:
        return Answer(2, NOT_APPLICABLE, "At most one comparison within a trial.")
    words = (
        "definitely not similar",
        "probably not similar or unclear",
        "probably similar",
        "definitely similar",
    )
    basis = f"{plural(trials, 'trial')}; test for differences between them: {format_p(q_p_value)}."
    alike = same_sign and q_p_value is not None and q_p_value > SUGGESTED
    return _placed(2, 3 if alike and trials > 2 else 2, basis, words)


def number_of_trials(kind: str, trials: int) -> Answer:
    """Return the third answer; ``trials`` of the smallest level, or all with the number."""
    if kind == "within":
        return Answer(3, NOT_APPLICABLE, "The comparison is within trials.")
    words = ("very small", "rather small or unclear", "rather large", "large")
    limits = CONTINUOUS_TRIALS if kind == "continuous" else SMALLEST_LEVEL
    where = "with the number" if kind == "continuous" else "in the smallest level compared"
    place = 1 + sum(trials >= limit for limit in limits)
    return _placed(3, place, f"{plural(trials, 'trial')} {where}.", words)


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


def random_effects_used(model: str) -> Answer:
    """Return the seventh answer."""
    if model == "random":
        return _placed(7, 4, "Every level is pooled by a random-effects model.")
    return _placed(7, 1, "A common effect is assumed.")


def cut_points(kind: str, moderator: str) -> Answer:
    """Return the eighth answer."""
    if kind == "continuous":
        return _placed(8, 4, "The whole range is used.")
    if moderator == "age_group":
        return _placed(8, 2, "Age is cut where the trials cut it.")
    if moderator == "time_class":
        return _placed(8, 3, "Time is cut at points fixed beforehand.")
    return Answer(8, NOT_APPLICABLE, "The moderator is a category.")


def rating(answers: Sequence[Answer], p_value: float | None) -> dict[str, str]:
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
