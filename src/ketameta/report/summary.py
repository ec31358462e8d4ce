"""The abstract, the plain-language summary and the key findings, written from results.

Every number comes from a result; words follow from where an interval lies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from ketameta.analyses.words import interval_words, written
from ketameta.errors import ReportError
from ketameta.evidence.project import NOTHING_DECLARED, Project
from ketameta.evidence.tables import is_link
from ketameta.formatting import format_count, format_number, plural
from ketameta.measures import Measure
from ketameta.paths import ProjectPaths

Results = Mapping[str, Mapping[str, Any]]
#: Headings with their sentences.
Parts = list[tuple[str, list[str]]]
#: Texts for a project that writes none of its own.
_STANDARD = files("ketameta.report") / "templates" / "text"

_WORDS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
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


def doubts(result: Mapping[str, Any], project: Project = NOTHING_DECLARED) -> list[str]:
    """Return the reasons for less certainty that can be read from the result itself."""
    found = []
    if result["k"] == 0:
        return ["no trial at all"]
    if result["directness"] != "direct":
        found.append(
            {
                "context": "not a systematic search for these medicines",
                "related": f"not {project.directness.treatment}",
            }.get(result["directness"], f"not measured in {project.directness.people}")
        )
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


def key_findings(
    results: Results, risk_of_bias_rows: int, project: Project
) -> list[dict[str, Any]]:
    """Return the key findings: question, result, and what limits certainty."""
    unjudged = [] if risk_of_bias_rows else ["risk of bias not judged"]
    return [
        {
            "name": item.analysis,
            "question": item.words,
            "finding": short_finding(result),
            "doubts": doubts(result, project) + (unjudged if result["k"] else []),
            "directness": project.directness.tag(result["directness"]).removesuffix(" evidence"),
        }
        for item in project.front.finding
        if (result := results.get(item.analysis)) is not None
    ]


def abstract(
    text: Callable[[str], Parts],
    results: Results,
    search: Mapping[str, Any],
    counts: Mapping[str, Any],
    project: Project,
) -> Parts:
    """Return the structured abstract: headings with sentences.

    Parameters
    ----------
    text : callable
        Gives the parts of a text of the project by its name (:func:`prose`).
    results, search, counts : mapping
    project : Project
    """
    findings = [
        f"{item.words}: {_lower(short_finding(results[item.analysis]))}"
        for item in project.front.finding
        if item.analysis in results
    ]
    methods = [
        f"{search['search']['kind']}; extraction closed {search['search']['extraction_closed']}."
        if search["source"]
        else f"{search['search']['kind']}.",
        f"{plural(counts['studies_extracted'], 'study', 'studies')} were extracted arm by arm; "
        f"{counts['studies_used']} enter {plural(counts['analyses'], 'declared analysis', 'declared analyses')}.",  # noqa: E501
        "Effects are pooled in random-effects models (REML) with conservative Knapp\u2013Hartung "
        "intervals; direct and indirect evidence are kept apart.",
    ]
    limits = list(search["search"]["limits"])
    if not counts["risk_of_bias_rows"]:
        limits.append("Risk of bias has not been judged.")
    return [
        ("Background", sentences_in(text("background"))),
        ("Methods", methods),
        ("Results", findings),
        ("Limitations", limits),
        ("Conclusion", sentences_in(text("conclusion"))),
    ]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text.startswith("No ") else text


#: Texts that a project may write in ``analyses/text/``, each a Markdown file of its name. Those
#: of the second line say what is true of one project alone: without a file nothing is said.
TEXTS = (
    *("plain_summary", "not_meant", "background", "conclusion"),
    *("methods", "limitations", "risk_of_bias"),
)
_TAG = re.compile(r"{#.*?#}|{%.*?%}|{{.*?}}", re.DOTALL)


def prose(paths: ProjectPaths, results: Results, project: Project) -> Callable[[str], Parts]:
    """Return what gives the parts of a text, its numbers filled in by name from results.

    Raises
    ------
    ReportError
        Where a text types a number, or names what no result provides; with file and line.
    """
    env = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    values = {
        "results": results,
        "project": project,
        "headline": results.get(project.project.headline),
        "count_words": count_words,
        "format_count": format_count,
        "side": side,
        "told": told,
        "short_finding": short_finding,
        "more_of": more_of,
    }

    def parts(name: str) -> Parts:
        own = paths.analyses / "text" / f"{name}.md"
        file = f"analyses/text/{name}.md"
        if own.is_file() and not is_link(own):
            source = own.read_text(encoding="utf-8")
        else:
            standard = _STANDARD.joinpath(f"{name}.md")
            source = standard.read_text(encoding="utf-8") if standard.is_file() else ""
        typed = _TAG.sub(lambda found: "\n" * found[0].count("\n"), source)
        for number, line in enumerate(typed.split("\n"), start=1):
            if re.search(r"\d", line):
                raise ReportError(
                    f"{file}:{number}: a typed number; name it from its result, such as "
                    "{{ results.name.k }}, or write it as a word"
                )
        try:
            text = env.from_string(source).render(values)
        except TemplateError as error:
            line_number = getattr(error, "lineno", None)
            place = f"{file}:{line_number}" if line_number else file
            raise ReportError(
                f"{place}: {error.message}; name an analysis of this folder"
            ) from error
        return _parts(text)

    return parts


def _parts(text: str) -> Parts:
    """Return the headings of a Markdown text with their sentences, a line each."""
    found: Parts = []
    for line in filter(None, (line.strip() for line in text.split("\n"))):
        if line.startswith("#"):
            found.append((line.lstrip("# "), []))
        else:
            if not found:
                found.append(("", []))
            found[-1][1].append(line)
    return found


def sentences_in(parts: Parts) -> list[str]:
    """Return the sentences of a text, without its headings."""
    return [sentence for _, sentences in parts for sentence in sentences]


def told(result: Mapping[str, Any]) -> str:
    """Return what one result says, for a reader of twelve."""
    if result["k"] == 1:
        return "One study alone cannot settle it."
    words = {
        "lower": "People who got the drug had fewer problems than people who did not.",
        "higher": "People who got the drug had more problems than people who did not.",
        "unclear": "Their results leave it open. The drugs may help, do nothing, or do harm.",
    }
    return words[side(result)]


def more_of(pairs: Sequence[tuple[Any, str]]) -> list[str]:
    """Return a sentence for each counted result whose interval lies wholly above none.

    Parameters
    ----------
    pairs : sequence of (result, words)
        ``words`` as in "felt dizzy"; a result that does not exist is left out.

    Returns
    -------
    list of str
        How many more people of a thousand, where that is known of any result; else which.
    """
    known = [(result, words) for result, words in pairs if isinstance(result, Mapping)]
    said = []
    for result, words in known:
        more = (result["events"] or {}).get("per_thousand") or {}
        if more.get("estimate") is not None and (more.get("ci_low") or 0) > 0:
            number = format_number(more["estimate"], 0)
            said.append(
                f"Out of a thousand people who got it, about {number} more {words} than without it."
            )
    return said or [
        f"More people who got it {words}."
        for result, words in known
        if result["k"] > 1 and side(result) == "higher"
    ]
