"""The abstract, the plain-language summary and the key findings, written from results.

Every number comes from a result; words follow from where an interval lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ketameta.analyses.words import interval_words, written
from ketameta.formatting import format_number, plural
from ketameta.measures import Measure

Results = Mapping[str, Mapping[str, Any]]

_WORDS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
)
#: Analyses that the abstract and the key findings go through, with the question in few words.
_FINDINGS: tuple[tuple[str, str], ...] = (
    ("ketamine_adhd", "Ketamine as a treatment for ADHD"),
    ("nmda_adhd_symptoms", "Related medicines (NMDA-receptor antagonists) in ADHD"),
    ("ketamine_working_memory", "Ketamine and working memory, without ADHD"),
    ("ketamine_depression_24h", "Ketamine one day after the first dose, in depression"),
    ("ketamine_depression_day28", "Ketamine about four weeks after the first dose, in depression"),
    ("harm_dissociation", "Dissociation"),
    ("harm_blood_pressure_increased", "Raised blood pressure"),
    ("harm_serious_adverse_event", "Serious adverse events"),
    ("adhd_medicines_by_class", "The usual ADHD medicines"),
)


def count_words(count: int, one: str, many: str | None = None) -> str:
    """Return ``two trials``: small numbers as words."""
    if count >= len(_WORDS):
        return plural(count, one, many)
    return f"{_WORDS[count]} {one if count == 1 else (many or one + 's')}"


def side(result: Mapping[str, Any]) -> str:
    """Return ``lower``, ``higher`` or ``unclear``: where the whole pooled interval lies."""
    pooled = result["pooled"]
    if pooled is None or pooled["ci_low"] is None:
        return "unclear"
    if pooled["ci_high"] < 0:
        return "lower"
    return "higher" if pooled["ci_low"] > 0 else "unclear"


def short_finding(result: Mapping[str, Any]) -> str:
    """Return trials, estimate and interval in one phrase; what is missing where there is none."""
    if result["k"] == 0:
        return "No eligible trial was found."
    measure = Measure(result["measure"])
    pooled = result["pooled"]
    trials = plural(result["k"], "trial")
    if pooled is None:
        return f"{trials}; not pooled."
    name = measure.label.lower().replace("hedges' g", "Hedges' g")
    value = written(pooled["estimate"], measure)
    interval = interval_words(pooled["ci_low"], pooled["ci_high"], measure)
    return f"{trials}; {name} {value} ({interval})."


def doubts(result: Mapping[str, Any]) -> list[str]:
    """Return the reasons for less certainty that can be read from the result itself."""
    found = []
    if result["k"] == 0:
        return ["no trial at all"]
    if result["directness"] != "direct":
        found.append("not measured in people with ADHD" if result["section"] != "usual_medicines"
                     else "not a systematic search for these medicines")  # fmt: skip
    if result["k"] < 5:
        found.append(count_words(result["k"], "trial"))
    pooled = result["pooled"]
    if pooled is not None:
        if result["k"] > 1 and side(result) == "unclear":
            found.append("the interval includes no difference")
        elif pooled["pi_low"] is not None and pooled["pi_low"] < 0 < pooled["pi_high"]:
            found.append("a new trial could show no difference or the reverse")
        if pooled["i2"] is not None and pooled["i2"] > 0.5:
            found.append("trials differ more than chance explains")
    codes = {caveat["code"] for caveat in result["caveats"]}
    if "assumption" in codes:
        found.append("some numbers rest on an assumption")
    if "model_based_spread" in codes:
        found.append("some spreads come from models")
    return found


def key_findings(results: Results, risk_of_bias_rows: int) -> list[dict[str, Any]]:
    """Return the key findings: question, result, and what limits certainty."""
    unjudged = [] if risk_of_bias_rows else ["risk of bias not judged"]
    return [
        {
            "name": name,
            "question": words,
            "finding": short_finding(results[name]),
            "doubts": doubts(results[name]) + (unjudged if results[name]["k"] else []),
            "directness": results[name]["directness"],
        }
        for name, words in _FINDINGS
        if name in results
    ]


def abstract(
    results: Results, search: Mapping[str, Any], counts: Mapping[str, Any]
) -> list[tuple[str, list[str]]]:
    """Return the structured abstract: headings with sentences."""
    direct = results.get("ketamine_adhd")
    tested = direct is not None and direct["k"] > 0
    findings = [
        f"{words}: {_lower(short_finding(results[name]))}"
        for name, words in _FINDINGS
        if name in results
    ]
    background = [
        "People are offered ketamine for attention-deficit/hyperactivity disorder (ADHD).",
        "We asked whether it helps, whom, how fast, for how long, at what risk, and compared "
        "with what.",
    ]
    methods = [
        f"{search['search']['kind']}; extraction closed {search['search']['extraction_closed']}.",
        f"{plural(counts['studies_extracted'], 'study', 'studies')} were extracted arm by arm; "
        f"{counts['studies_used']} enter {plural(counts['analyses'], 'declared analysis', 'declared analyses')}.",  # noqa: E501
        "Effects are pooled in random-effects models (REML) with conservative Knapp\u2013Hartung "
        "intervals; evidence from other conditions is kept apart.",
    ]
    limits = list(search["search"]["limits"])
    if not counts["risk_of_bias_rows"]:
        limits.append("Risk of bias has not been judged.")
    conclusion = [
        "Trials of ketamine in ADHD exist; their results are given above."
        if tested
        else "Whether ketamine helps ADHD is unknown: no eligible trial has tested it.",
        "Results in depression, or of related medicines, do not answer the question.",
    ]
    return [
        ("Background", background),
        ("Methods", methods),
        ("Results", findings),
        ("Limitations", limits),
        ("Conclusion", conclusion),
    ]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text.startswith("No ") else text


def plain_summary(results: Results) -> list[tuple[str, list[str]]]:
    """Return the summary in plain words: short headings with short sentences."""
    parts: list[tuple[str, list[str]]] = []
    direct = results.get("ketamine_adhd")
    if direct is None or direct["k"] == 0:
        parts.append(
            (
                "Has ketamine been tested for ADHD?",
                [
                    "No. We looked for studies that gave ketamine to people to treat their ADHD.",
                    "We did not find a single one.",
                    "So no one can know if it helps, or if it does harm.",
                ],
            )
        )
    else:
        words = count_words(direct["k"], "study", "studies").capitalize()
        parts.append(
            ("Has ketamine been tested for ADHD?", [f"Yes. {words} did this.", _told(direct)])
        )
    related = results.get("nmda_adhd_symptoms")
    if related is not None and related["k"] > 0:
        words = count_words(related["k"], "study", "studies").capitalize()
        people = related["n_participants"]
        parts.append(
            (
                "What about drugs that work in a similar way?",
                [
                    f"{words} tested such drugs in people with ADHD."
                    + (f" In all, {people:,} people took part." if people else ""),
                    _told(related),
                    "These drugs are not ketamine.",
                ],
            )
        )
    mood = results.get("ketamine_depression_24h")
    if mood is not None and mood["k"] > 0:
        words = count_words(mood["k"], "study", "studies")
        better = side(mood) == "lower"
        parts.append(
            (
                "Does ketamine work for something else?",
                [
                    f"Ketamine has been tested against low mood. In {words}, we could add up "
                    "how people felt one day after the first dose.",
                    "On average, they felt better than people who did not get it."
                    if better
                    else "We cannot tell if they felt better than people who did not get it.",
                    "That is about low mood. It tells us nothing about ADHD.",
                ],
            )
        )
    harms = _harm_sentences(results)
    if harms:
        parts.append(("Is it safe?", harms))
    usual = results.get("adhd_medicines_by_class")
    if usual is not None and usual["k"] > 0:
        words = count_words(usual["k"], "study", "studies")
        parts.append(
            (
                "What has been tested?",
                [
                    f"Other drugs have been tested in people with ADHD. We used {words}.",
                    "On average, these drugs helped more than a dummy pill."
                    if side(usual) == "lower"
                    else "We cannot tell from them if these drugs help more than a dummy pill.",
                ],
            )
        )
    return parts


def _told(result: Mapping[str, Any]) -> str:
    """Return what one result says, for a reader of twelve."""
    if result["k"] == 1:
        return "One study alone cannot settle it."
    words = {
        "lower": "People who got the drug had fewer problems than people who did not.",
        "higher": "People who got the drug had more problems than people who did not.",
        "unclear": "Their results leave it open. The drugs may help, do nothing, or do harm.",
    }
    return words[side(result)]


_HARMS: tuple[tuple[str, str], ...] = (
    ("harm_dissociation", "felt cut off from themselves or the world"),
    ("harm_dizziness", "felt dizzy"),
    ("harm_blood_pressure_increased", "had a rise in blood pressure"),
)


def _harm_sentences(results: Results) -> list[str]:
    """Return the absolute effects of harms whose interval lies wholly above none."""
    said = []
    for name, words in _HARMS:
        events = results[name]["events"] if name in results else None
        if not events or events["per_thousand"]["estimate"] is None:
            continue
        if events["per_thousand"]["ci_low"] is None or events["per_thousand"]["ci_low"] <= 0:
            continue
        more = format_number(events["per_thousand"]["estimate"], 0)
        said.append(f"about {more} more {words}")
    clear = [
        words for name, words in _HARMS
        if name in results and results[name]["k"] > 1 and side(results[name]) == "higher"
    ]  # fmt: skip
    if said:
        return [
            "Ketamine has side effects. They were counted in people with other illnesses.",
            *(f"Out of a thousand people who got it, {text} than without it." for text in said),
            "How often this would happen in people with ADHD is not known.",
        ]
    if clear:
        return [
            "Ketamine has side effects. They were counted in people with other illnesses.",
            *(f"More people who got it {text}." for text in clear),
            "How often this would happen in people with ADHD is not known.",
        ]
    return []


def not_meant() -> Sequence[str]:
    """Return what readers might take from the page, and should not."""
    return (
        "That there is no study does not show that ketamine fails. It shows that no one knows.",
        "A result in people with low mood is not a result in people with ADHD.",
        "A result of a drug that works in a similar way is not a result of ketamine.",
        "An average says what happened in a group. It does not say what will happen to you.",
        "Please talk to a doctor before you start, stop or change a drug.",
    )
