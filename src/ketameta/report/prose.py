"""Words of the report: prose of the project, standing paragraphs, glossary.

Every number comes from a result; words follow from where an interval lies. No number is typed here.
"""

from __future__ import annotations

import re
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from typing import TypedDict

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup, escape
from scipy.special import ndtr

from ketameta.analyses.policy import LEADING_RULES, per_thousand
from ketameta.analyses.result import AnalysisResult
from ketameta.analyses.sentences import (
    DIFFERS_BELOW,
    excess_test,
    given_in,
    lower_first,
    over_time_sentences,
    small_study_words,
)
from ketameta.errors import ReportError
from ketameta.evidence.checks.search import SearchRecord
from ketameta.evidence.findings import decode
from ketameta.evidence.project import GlossaryTerm, Project
from ketameta.evidence.tables import is_link
from ketameta.formatting import format_count, format_level, format_number, plural
from ketameta.paths import ProjectPaths
from ketameta.report.analysis_view import slope_words

Results = Mapping[str, AnalysisResult]
#: Headings with their sentences.
Parts = list[tuple[str, list[str]]]
#: Texts for a project that writes none of its own.
_STANDARD = files("ketameta.report") / "templates" / "text"

_WORDS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
)


def count_words(count: int, one: str = "", many: str | None = None) -> str:
    """Return ``two trials``: small numbers as words; the number alone where nothing is named."""
    if not one:
        return _WORDS[count] if count < len(_WORDS) else format_count(count)
    if count >= len(_WORDS):
        return plural(count, one, many)
    return f"{_WORDS[count]} {one if count == 1 else (many or one + 's')}"


def trials(result: AnalysisResult) -> str:
    """Return how many trials a result has, in words; pooled reports are none."""
    led = result["headline"]
    return led["sources"] if led["pools"] else count_words(result["k"], "trial")


def side(result: AnalysisResult) -> str:
    """Return where the whole interval of the headline lies: ``lower``, ``higher``, ``unclear``."""
    where = result["headline"]["side"]
    return where if where in ("lower", "higher") else "unclear"


class Totals(TypedDict):
    """How many studies, records and analyses there are."""

    studies_extracted: int
    studies_used: int
    records_excluded: int
    analyses: int
    empty_analyses: int
    risk_of_bias_rows: int


def abstract(
    text: Callable[[str], Parts],
    results: Results,
    search: SearchRecord,
    counts: Totals,
    project: Project,
    limits: list[str],
) -> Parts:
    """Return the structured abstract, headings with sentences; ``text`` is of :func:`texts_of`."""
    findings = [
        f"{asked_words(item.words, found)}: {lower_first(found['headline']['sentence'])}"
        for item in project.front.finding
        if (found := results.get(item.analysis))
    ]
    methods = [
        f"{search.search.kind}; search closed {search.search.extraction_closed}."
        if search.source
        else f"{search.search.kind}.",
        f"{plural(counts['studies_extracted'], 'study', 'studies')} were extracted arm by arm; "
        f"{counts['studies_used']} enter {counts['analyses'] - counts['empty_analyses']} of "
        f"{plural(counts['analyses'], 'declared analysis', 'declared analyses')}; "
        f"{counts['empty_analyses']} found no eligible trial.",
        *(words for words, _ in rules_fired(results.values(), estimated=True)),
        "Direct and indirect evidence are kept apart.",
    ]
    return [
        ("Background", sentences_in(text("background"))),
        ("Methods", methods),
        ("Results", findings),
        ("Limitations", limits),
        ("Conclusion", sentences_in(text("conclusion"))),
    ]


def texts_of(
    paths: ProjectPaths,
    results: Results,
    project: Project,
    more: Mapping[str, object] | None = None,
) -> Callable[[str], Parts]:
    """Return what gives the parts of a text, its numbers filled in by name from results.

    ``more`` are further names that a text may use.

    Raises
    ------
    ReportError
        Where a text names what no result provides; with file and line.
    """
    env = _texts()
    values = {
        **(more or {}),
        "results": results,
        "project": project,
        "headline": results.get(project.project.headline),
        "count_words": count_words,
        "trials": trials,
        "format_count": format_count,
        "side": side,
        "told": told,
        "significant": significant,
        "small_study": small_study_words,
        "excess": excess_of,
        "fading": fading,
        "times": over_time_sentences,
        "slopes": partial(_slopes, project),
        "more_of": more_of,
        "people_passed": people_passed,
        "given_words": given_words,
    }

    def parts(name: str) -> Parts:
        own = paths.analyses / "text" / f"{name}.md"
        file = f"analyses/text/{name}.md"
        if own.is_file() and not is_link(own):
            source, _ = decode(own.read_bytes())
        else:
            standard = _STANDARD.joinpath(f"{name}.md")
            source = standard.read_text(encoding="utf-8") if standard.is_file() else ""
        try:
            text = env.from_string(source).render(values)
        except Exception as error:  # an expression in a text can fail in any way
            frames = traceback.extract_tb(error.__traceback__)
            lines = [at.lineno for at in frames if at.filename == "<template>"]
            place = getattr(error, "lineno", None) or (lines[-1] if lines else 1)
            is_name = isinstance(error, UndefinedError) and "object'" not in str(error)
            remedy = "name an analysis of this folder" if is_name else "see what the result holds"
            raise ReportError(f"{file}:{place}: {error}; {remedy}") from error
        return _parts(text)

    return parts


def _slopes(project: Project, result: AnalysisResult) -> list[str]:
    """Return a sentence per slope, and one of the slopes that cannot be identified."""
    withheld = [
        f"{lower_first(item['label'])} ({item['withheld'].rstrip('.')})"
        for item in result["regressions"] or ()
        if item["withheld"]
    ]
    said = [*slope_words(result, project).values()]
    return [*said, f"No slope can be identified of {'; '.join(withheld)}."] if withheld else said


def _texts() -> SandboxedEnvironment:
    """Return what fills names into a text of Markdown."""
    return SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


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


def excess_of(result: AnalysisResult) -> bool:
    """Return whether the test of excess significance finds more trials than their power gives."""
    found = excess_test(result)
    return found is not None and found["p_value"] < DIFFERS_BELOW


def fading(over_time: AnalysisResult, early: AnalysisResult) -> str:
    """Return whether the difference from control fades, from the change between first and last.

    ``early`` is the result at the first time of the model ``over_time``.
    """
    found, start = over_time["over_time"], early["headline"]["estimate"]
    if not start or found is None or found["withheld"] or not found["changes"]:
        return ""
    low, high = found["changes"][-1]["ci_low"], found["changes"][-1]["ci_high"]
    if low is None or high is None or low <= 0 <= high:
        return "Whether the difference from control is smaller later is not clear."
    word = "smaller" if low * start < 0 else "larger"
    return f"The difference from control is {word} later."


def significant(result: AnalysisResult) -> int:
    """Return how many trials have an interval wholly on the side on which the pool lies."""
    sign = -1 if side(result) == "lower" else 1
    rows = [row for group in result["groups"] for row in group["rows"]]
    ends = [row["ci_high"] if sign < 0 else row["ci_low"] for row in rows]
    return len({row["study_id"] for row, end in zip(rows, ends, strict=True)
                if end is not None and sign * end > 0})  # fmt: skip


def told(result: AnalysisResult) -> str:
    """Return what one result says, for a reader of twelve."""
    if result["k"] == 1:
        return "One study alone cannot settle it."
    words = {
        "lower": "People who got the drug had fewer problems than people who did not.",
        "higher": "People who got the drug had more problems than people who did not.",
        "unclear": "Their results leave it open. The drugs may help, do nothing, or do harm.",
    }
    return words[side(result)]


def people_passed(result: AnalysisResult) -> list[str]:
    """Return of a hundred people on control how many the average treated person passes, with ends.

    Empty where another measure than a standardised difference leads or its side is unclear.

    Notes
    -----
    The share is ``Phi(d)`` where scores are normal and spread alike: U3 of Cohen (1988),
    Statistical power analysis for the behavioral sciences, 2nd edition, section 2.2.
    """
    led = result["headline"]
    if led["estimate"] is None or led["measure"] != "SMD" or side(result) == "unclear":
        return []
    ends = (led["estimate"], led["ci_high"], led["ci_low"])
    return [format_number(100 * float(ndtr(-end)), 0) for end in ends if end is not None]


def given_words(result: AnalysisResult, most: int = 8, title: str = "") -> str:
    """Return what :func:`given_in` names, the first so many."""
    named = given_in(result, title)
    more = [f"and {count_words(len(named) - most)} more"] if len(named) > most else []
    return ", ".join([*named[:most], *more])


def asked_words(words: str, result: AnalysisResult) -> str:
    """Return a question in few words with what its trials gave, where the words do not name it."""
    named = {*re.findall(r"\w+", words.lower())} >= {*given_in(result)}
    return words if named else f"{words} ({given_words(result, 2)})"


def more_of(pairs: Sequence[tuple[AnalysisResult | Undefined, str]]) -> list[str]:
    """Return a sentence for each counted result whose interval lies wholly above none.

    Words as in "felt dizzy"; a result that does not exist is left out. Largest difference first;
    which were more frequent where no number can be given.
    """
    clear = [
        (r, words) for r, words in pairs if not isinstance(r, Undefined) and side(r) == "higher"
    ]
    said = [
        (found["difference"], f"Of a thousand people, about {per_thousand(found['treated'])} "
         f"({per_thousand(found['treated_low'])} to {per_thousand(found['treated_high'])}) {words} "
         f"on treatment and {per_thousand(found['control'])} on control.")
        for result, words in clear
        if (found := result["headline"]["absolute"]) is not None
    ]  # fmt: skip
    if said:
        return [sentence for _, sentence in sorted(said, reverse=True)]
    return [f"More people who got it {words}." for result, words in clear if result["k"] > 1]


# --- standing paragraphs and the glossary ---------------------------------------------------------


def rules_fired(
    results: Iterable[AnalysisResult], *, estimated: bool = False
) -> list[tuple[str, int]]:
    """Return each rule of the policy that led a result or a group, in its order, and how many.

    Where ``estimated``, only rules under which something was estimated.
    """
    # A group without a name is the whole result.
    led = (
        headline
        for result in results
        for headline in (
            result["headline"], *(part.get("headline") for part in result["groups"] if part["key"])
        )
    )  # fmt: skip
    codes = Counter(
        item["rule"]["code"] for item in led if item and (item["method"] or not estimated)
    )
    return [(words, codes[code]) for code, words in LEADING_RULES.items() if codes[code]]


def methods(results: Sequence[AnalysisResult]) -> list[str]:
    """Return how things were done: the rules are those of the policy that fired here."""
    rules = [
        f"{words.removesuffix('.')} ({plural(count, 'result')})."
        for words, count in rules_fired(results)
    ]
    level = format_level(results[0]["level"]) if results else ""
    source = _STANDARD.joinpath("how.md").read_text(encoding="utf-8")
    return sentences_in(_parts(_texts().from_string(source).render(rules=rules, level=level)))


NO_RISK_OF_BIAS = "Risk of bias has not been judged for any study."
LEAD = (
    "A living meta-analysis. Every number is computed from extracted trial results that anyone "
    "can open, check and recompute."
)


#: Words of meta-analysis, in every glossary.
TERMS: tuple[GlossaryTerm, ...] = tuple(
    GlossaryTerm(**term)
    for term in tomllib.loads(_STANDARD.joinpath("glossary.toml").read_text("utf-8"))["term"]
)


def glossary(project: Project) -> tuple[GlossaryTerm, ...]:
    """Return the words of the topic, then those of meta-analysis."""
    own = {term.id for term in project.glossary}
    return (*project.glossary, *(term for term in TERMS if term.id not in own))


@cache
def _finder(terms: tuple[GlossaryTerm, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{term.id}>{term.pattern})" for term in terms))


def gloss(
    text: str, terms: tuple[GlossaryTerm, ...] = TERMS, page: str = "", seen: set[str] | None = None
) -> Markup:
    """Return ``text`` escaped, the first use of each term linked to the glossary.

    Parameters
    ----------
    text : str
    terms : tuple of GlossaryTerm
    page : str
        Address of the page that holds the glossary; the same page where empty.
    seen : set of str, optional
        Terms that were linked before; those of this text are added.
    """
    known = {term.id: term for term in terms}
    seen = set() if seen is None else seen
    parts: list[Markup] = []
    place = 0
    for found in _finder(terms).finditer(str(text)):
        name = str(found.lastgroup)
        if name in seen:
            continue
        seen.add(name)
        parts.append(escape(text[place : found.start()]))
        parts.append(
            Markup('<a class="term" href="{}#term-{}" data-tip="{}">{}</a>').format(
                page, name, known[name].meaning, found.group()
            )
        )
        place = found.end()
    parts.append(escape(text[place:]))
    return Markup("").join(parts)
