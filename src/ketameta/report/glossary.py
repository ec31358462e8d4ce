"""Words a reader may not know, explained once, and marked where they stand in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup, escape


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the glossary.

    Attributes
    ----------
    id : str
        Part of its address in the page.
    name : str
        As listed.
    meaning : str
        One or two sentences without other terms.
    pattern : str
        Regular expression of its forms in running text.
    """

    id: str
    name: str
    meaning: str
    pattern: str


TERMS: tuple[Term, ...] = (
    Term("adhd", "ADHD", "Attention-deficit/hyperactivity disorder.", r"\bADHD\b"),
    Term(
        "ci",
        "Confidence interval (CI)",
        "The range of true average effects that fit the data. A wide range means little is known.",
        r"\bconfidence intervals?\b|\b[\d.]+% CI\b",
    ),
    Term(
        "pi",
        "Prediction interval",
        "The range in which the true effect of a new, similar trial is expected.",
        r"\bprediction intervals?\b",
    ),
    Term(
        "smd",
        "Standardised mean difference",
        "A difference between two groups in units of the spread of scores, so that different "
        "scales can stand side by side. Negative favours the treatment here.",
        r"\bstandardised mean differences?\b",
    ),
    Term(
        "md",
        "Mean difference",
        "The average score on treatment minus the average on control, in points of the scale.",
        r"(?<!standardised )\bmean differences?\b",
    ),
    Term(
        "rr",
        "Risk ratio",
        "How many times as often something happens on treatment as on control. One means "
        "equally often.",
        r"\brisk ratios?\b",
    ),
    Term(
        "rd",
        "Risk difference",
        "How many more people per hundred or thousand have something on treatment than on control.",
        r"\brisk differences?\b",
    ),
    Term(
        "or",
        "Odds ratio",
        "The odds of something on treatment divided by the odds on control.",
        r"\bodds ratios?\b",
    ),
    Term(
        "tau",
        "Tau, tau²",
        "How much true effects differ between trials: tau is their standard deviation.",
        r"\(tau\)|\btau²",
    ),
    Term(
        "i2",
        "I²",
        "The share of the differences between trials that is more than chance.",
        r"\bI²",
    ),
    Term(
        "nmda",
        "NMDA-receptor antagonist",
        "A medicine that blocks a receptor for glutamate in the brain. Ketamine and memantine "
        "are examples.",
        r"\bNMDA(?:-receptor)? antagonists?\b",
    ),
    Term(
        "dissociation",
        "Dissociation",
        "Feeling cut off from oneself or from the surroundings for a while.",
        r"\b[Dd]issociation\b",
    ),
    Term(
        "knapp",
        "Knapp\u2013Hartung",
        "A way to an interval that allows for few trials; the conservative form is never "
        "narrower than the usual one.",
        r"Knapp\u2013Hartung",
    ),
    Term(
        "randomised",
        "Randomised trial",
        "A study in which chance decides who gets which treatment.",
        r"\brandomised(?: controlled)? trials?\b",
    ),
)


@cache
def _finder() -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{term.id}>{term.pattern})" for term in TERMS))


def gloss(text: str) -> Markup:
    """Return ``text`` escaped, the first use of each term linked to the glossary."""
    known = {term.id: term for term in TERMS}
    seen: set[str] = set()
    parts: list[Markup] = []
    place = 0
    for found in _finder().finditer(str(text)):
        name = str(found.lastgroup)
        if name in seen:
            continue
        seen.add(name)
        parts.append(escape(text[place : found.start()]))
        parts.append(
            Markup('<a class="term" href="#term-{}" data-tip="{}">{}</a>').format(
                name, known[name].meaning, found.group()
            )
        )
        place = found.end()
    parts.append(escape(text[place:]))
    return Markup("").join(parts)
