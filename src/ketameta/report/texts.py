"""Standing paragraphs and the glossary that page and PDF share. No number is typed here."""

from __future__ import annotations

import re
from functools import cache

from markupsafe import Markup, escape

from ketameta.evidence.project import GlossaryTerm, Project

#: How things were done, as paragraphs; ``{level}`` is the level of the intervals.
METHODS: tuple[str, ...] = (
    "Results are extracted arm by arm as sources print them, each with its place in the source. "
    "Effect sizes are derived by code; the route of each is recorded. Standardised mean "
    "differences are Hedges' g with the exact small-sample correction and the large-sample "
    "variance, turned so that negative favours the treatment. Arms of one intervention are "
    "combined; comparisons that share an arm are joined with their covariance; nobody is counted "
    "twice. Reports that repeat or pool other trials never stand beside them.",
    "Effects are pooled in random-effects models by restricted maximum likelihood. The interval "
    "is the wider of the Knapp\u2013Hartung and the Wald interval, at {level}. The between-trial "
    "variance has a Q-profile interval. Prediction intervals use a t distribution with two "
    "degrees of freedom fewer than trials. A single trial is shown as it is; two trials get no "
    "prediction interval. Each main result is refitted by an independent implementation and the "
    "largest difference is printed.",
    "Change scores and endpoint scores never meet in one standardised analysis. Crossover trials "
    "enter as paired effects. For counts, half an event is added to each cell of a table with an "
    "empty cell; Mantel\u2013Haenszel and Peto results without it stand beside. Moderators need "
    "two trials per level. Where an assumption is made, the analysis says so, and the same "
    "analysis without it stands beside.",
    "Certainty is described domain by domain after GRADE: facts are computed, judgements are made "
    "by people, and there is no rating until every domain is judged. Beside each main result "
    "stand all combinations of the choices that could be defended, and which of them matters. "
    "Where few or no trials exist, the size of a next trial is worked out with the noncentral t "
    "distribution, its chances are averaged over what related trials suggest, and the pooled "
    "interval is refitted for every result it may have. Levels of a moderator that share trials "
    "are not tested against each other; where trials are few a permutation test stands beside, and "
    "all moderator tests are adjusted together by the method of Holm.",
)
NO_RISK_OF_BIAS = "Risk of bias has not been judged for any study."
CHECK = (
    "Open any trial under a forest plot of the page to see the extracted cells, where they stand "
    "in the source, and the arithmetic. Every pooled number shows its formula and a line of R "
    "that repeats it. With the project at hand, one command rebuilds everything from the tables "
    "and compares it with what is published."
)
LEAD = (
    "A living meta-analysis. Every number is computed from extracted trial results that anyone "
    "can open, check and recompute."
)


def _term(key: str, name: str, meaning: str, pattern: str) -> GlossaryTerm:
    return GlossaryTerm(id=key, name=name, meaning=meaning, pattern=pattern)


#: Words of meta-analysis, in every glossary.
TERMS: tuple[GlossaryTerm, ...] = (
    _term(
        "ci",
        "Confidence interval (CI)",
        "The range of true average effects that fit the data. A wide range means little is known.",
        r"\bconfidence intervals?\b|\b[\d.]+% CI\b",
    ),
    _term(
        "pi",
        "Prediction interval",
        "The range in which the true effect of a new, similar trial is expected.",
        r"\bprediction intervals?\b",
    ),
    _term(
        "smd",
        "Standardised mean difference",
        "A difference between two groups in units of the spread of scores, so that different "
        "scales can stand side by side. Negative favours the treatment here.",
        r"\bstandardised mean differences?\b",
    ),
    _term(
        "md",
        "Mean difference",
        "The average score on treatment minus the average on control, in points of the scale.",
        r"(?<!standardised )\bmean differences?\b",
    ),
    _term(
        "rr",
        "Risk ratio",
        "How many times as often something happens on treatment as on control. One means "
        "equally often.",
        r"\brisk ratios?\b",
    ),
    _term(
        "rd",
        "Risk difference",
        "How many more people per hundred or thousand have something on treatment than on control.",
        r"\brisk differences?\b",
    ),
    _term(
        "or",
        "Odds ratio",
        "The odds of something on treatment divided by the odds on control.",
        r"\bodds ratios?\b",
    ),
    _term(
        "tau",
        "Tau, tau²",
        "How much true effects differ between trials: tau is their standard deviation.",
        r"\(tau\)|\btau²",
    ),
    _term(
        "i2",
        "I²",
        "The share of the differences between trials that is more than chance.",
        r"\bI²",
    ),
    _term(
        "knapp",
        "Knapp\u2013Hartung",
        "A way to an interval that allows for few trials; the conservative form is never "
        "narrower than the usual one.",
        r"Knapp\u2013Hartung",
    ),
    _term(
        "randomised",
        "Randomised trial",
        "A study in which chance decides who gets which treatment.",
        r"\brandomised(?: controlled)? trials?\b",
    ),
)


def glossary(project: Project) -> tuple[GlossaryTerm, ...]:
    """Return the words of the topic, then those of meta-analysis."""
    own = {term.id for term in project.glossary}
    return (*project.glossary, *(term for term in TERMS if term.id not in own))


@cache
def _finder(terms: tuple[GlossaryTerm, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{term.id}>{term.pattern})" for term in terms))


def gloss(text: str, terms: tuple[GlossaryTerm, ...] = TERMS) -> Markup:
    """Return ``text`` escaped, the first use of each term linked to the glossary."""
    known = {term.id: term for term in terms}
    seen: set[str] = set()
    parts: list[Markup] = []
    place = 0
    for found in _finder(terms).finditer(str(text)):
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
