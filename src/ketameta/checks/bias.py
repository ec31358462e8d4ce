"""Checks of the risk-of-bias judgements."""

from __future__ import annotations

from collections.abc import Iterator

from ketameta.checks.context import Context, Problem, place, warning
from ketameta.evidence import Row

_RANK = {"low": 0, "some_concerns": 1, "unclear": 1, "high": 2}
_OF_TOOL = {"rob2": ("low", "some_concerns", "high"), "rob1": ("low", "unclear", "high")}
OVERALL = "overall"


def _assessments(context: Context) -> Iterator[tuple[list[Row], Row | None]]:
    """Yield the domains of each assessment and its overall judgement."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in context.rows("risk_of_bias"):
        groups.setdefault((row["study_id"], row["outcome"], row["tool"]), []).append(row)
    for rows in groups.values():
        overall = next((row for row in rows if row["domain"] == OVERALL), None)
        yield [row for row in rows if row["domain"] != OVERALL], overall


def check_overall_bias_covers_its_domains(context: Context) -> Iterator[Problem]:
    """Each overall judgement is as bad as its worst domain, unless accepted in support."""
    for domains, overall in _assessments(context):
        judged = [row for row in domains if row["judgement"] in _RANK]
        if overall is None or overall["judgement"] not in _RANK or not judged:
            continue
        worst = max(judged, key=lambda row: _RANK[row["judgement"]])
        if _RANK[overall["judgement"]] < _RANK[worst["judgement"]]:
            yield warning(
                overall,
                "judgement",
                f"better than {worst['domain']}, which is {worst['judgement']} ({place(worst)})",
                "raise it, or write 'accept: bias_overall because <reason>' in support",
                others=(worst,),
            )


def check_assessments_have_an_overall(context: Context) -> Iterator[Problem]:
    """Each assessment ends in a row with domain 'overall'."""
    for domains, overall in _assessments(context):
        if overall is None and domains:
            yield warning(
                domains[0],
                "domain",
                "no row of this assessment is 'overall'",
                "add the overall judgement",
            )


def check_judgements_fit_the_tool(context: Context) -> Iterator[Problem]:
    """Each judgement is a word of its tool: RoB 2 says some concerns, its predecessor unclear."""
    for row in context.rows("risk_of_bias"):
        allowed = _OF_TOOL.get(row["tool"])
        judged = row["judgement"] in _RANK
        if allowed and judged and row["judgement"] not in allowed:
            yield warning(
                row,
                "judgement",
                f"not a judgement of {row['tool']}",
                f"one of {', '.join(allowed)}, or not_assessed",
            )
