"""The flow of records, from what was found to what is used, with its sums checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ketameta.errors import ReportError

NOT_KEPT = "number not kept"
#: Counts of a PRISMA 2020 diagram that come before extraction, in the words of the page.
_BEFORE = (
    ("identified", "Records identified"),
    ("screened", "Records screened"),
    ("assessed", "Reports assessed in full"),
)


def record_flow(search: Mapping[str, Any], excluded_listed: int, used: int) -> dict[str, Any]:
    """Return the boxes of the flow diagram.

    Parameters
    ----------
    search : mapping
        ``data/search.toml``.
    excluded_listed : int
        Records that ``data/exclusions.csv`` lists.
    used : int
        Studies that enter an analysis.

    Returns
    -------
    dict
        ``mismatch`` (words, where the list of exclusions has another count), ``before`` (label,
        count or None), ``extracted``, ``converted``, ``excluded``, ``by_source`` and
        ``studies_used``.

    Raises
    ------
    ReportError
        With every sum that does not hold.
    """
    records = search["records"]
    flow = search.get("flow", search.get("prisma", {}))
    problems = []
    extracted, converted = records["extracted"], records["converted"]
    excluded = records["excluded"]
    if extracted != converted + excluded:
        problems.append(
            f"extracted is {extracted}; converted and excluded add up to {converted + excluded}"
        )
    sources = records.get("by_source", {})
    for name, part in sources.items():
        if part["extracted"] != part["converted"] + part["excluded"]:
            total = part["converted"] + part["excluded"]
            problems.append(
                f"by_source.{name}: extracted is {part['extracted']}; converted and excluded add "
                f"up to {total}"
            )
    for key in ("extracted", "converted", "excluded"):
        total = sum(part[key] for part in sources.values())
        if sources and total != records[key]:
            problems.append(f"by_source: {key} adds up to {total}, not {records[key]}")
    if problems:
        raise ReportError(
            "data/search.toml [records] does not add up:\n"
            + "\n".join(f"  {line}" for line in problems)
        )
    mismatch = ""
    if excluded_listed != excluded:
        mismatch = (
            f"The record of the search counts {excluded} exclusions; the list of exclusions has "
            f"{excluded_listed}."
        )
    return {
        "mismatch": mismatch,
        "before": [
            {"label": label, "count": flow.get(key) if isinstance(flow.get(key), int) else None}
            for key, label in _BEFORE
        ],
        "extracted": extracted,
        "converted": converted,
        "excluded": excluded,
        "by_source": [{"label": name.replace("_", " "), **part} for name, part in sources.items()],
        "studies_used": used,
    }
