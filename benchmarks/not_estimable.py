"""What the present data cannot answer, and how the report says so: from the results files.

``python benchmarks/not_estimable.py`` writes ``docs/not_estimable.md``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages import wrapped

from ketameta.formatting import plural
from ketameta.paths import write_atomically

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "not_estimable.md"
#: Caveats that say something does not exist or rests on almost nothing.
WITHHELD = {
    "no_studies": "any estimate",
    "single_study": "pooling, τ², prediction",
    "two_studies": "prediction interval",
    "no_prediction": "prediction interval",
    "group_of_one": "a subgroup with one trial, in the test between subgroups",
    "tau2_interval_empty": "an interval of τ² (no value fits)",
    "tau2_zero": "τ² above its bound 0",
    "heterogeneity_not_estimable": "τ² of a network",
}


def rows(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is withheld in an analysis, and the sentence the report prints."""
    found = [
        (WITHHELD[item["code"]], item["message"])
        for item in results["caveats"]
        if item["code"] in WITHHELD
    ]
    test = results.get("subgroup_test") or {}
    if test.get("withheld"):
        found.append(("test between subgroups", test["withheld"]))
    if not results["k"] and results["sentences"]:
        found = [(WITHHELD["no_studies"], results["sentences"][0])]
    return found


def page(folder: Path) -> str:
    """Return the page as Markdown."""
    results = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    results = [item for item in results if "caveats" in item]
    counts = [item["k"] for item in results]
    lines = ["# What cannot be estimated", ""]
    lines += wrapped(
        f"""Of {plural(len(results), "declared analysis", "declared analyses")}
        {sum(k == 0 for k in counts)} have no eligible trial, {sum(k == 1 for k in counts)} have
        one, {sum(k == 2 for k in counts)} two, {sum(3 <= k < 10 for k in counts)} three to nine,
        and {sum(k >= 10 for k in counts)} ten or more. Small-study tests, selection models and
        bubble plots exist for the last kind only; a moderator needs two trials in each level.""",
        """The table gives, for each analysis, what is withheld or rests on the edge of its range,
        and the words of the report.""",
    )
    lines += [
        "| analysis | trials | not estimated | what the report says |",
        "| --- | --: | --- | --- |",
    ]
    for item in results:
        for n, (what, words) in enumerate(rows(item)):
            first = (item["title"], str(item["k"])) if n == 0 else ("", "")
            lines.append(f"| {first[0]} | {first[1]} | {what} | {words.replace('|', '/')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = page(ROOT / "reports" / "results")
    write_atomically(PAGE, text)
    print(text)
