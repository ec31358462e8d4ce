"""The tables of the page as CSV files, safe to open in a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

from ketameta.formatting import csv_text
from ketameta.report.companion_tables import league_rows


def _listed(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    return csv_text(columns, [[row[name] for name in columns] for row in records])


_POOLED = (
    *("k", "estimate", "se", "ci_low", "ci_high", "p_value", "pi_low", "pi_high", "tau2"),
    *("tau2_ci_low", "tau2_ci_high", "i2", "q", "q_df", "tau2_method", "ci_method", "level"),
)
_ROW = (
    *("study_id", "label", "year", "intervention", "comparator", "outcome", "instrument"),
    *("time_days", "subgroup", "n_treatment", "n_control", "estimate", "variance", "se"),
    *("ci_low", "ci_high", "weight", "route", "assumption"),
)


_SLOPE = ("k", "slope", "ci_low", "ci_high", "reading", "withheld")


def tables_of(context: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of every table by its file name."""
    results = list(context["results"].values())
    pooled = []
    rows = []
    companions = []
    for result in results:
        head = [result["name"], result["measure"]]
        if result["pooled"] is not None:
            pooled.append([*head, "", *(result["pooled"][name] for name in _POOLED)])
        for group in result["groups"]:
            if group["pooled"] is not None:
                pooled.append([*head, group["key"], *(group["pooled"][n] for n in _POOLED)])
            for row in group["rows"]:
                rows.append(
                    [*head, group["key"], *(row.get(name) for name in _ROW),
                     ";".join(row.get("source", [])),
                     row.get("doi"), row.get("pmid"), row.get("registry_id")]
                )  # fmt: skip
        companions += [
            [*head, item["code"], item["label"], item["k"], item["estimate"], item["ci_low"],
             item["ci_high"], item["tau2"]]
            for item in result["companions"]
        ]  # fmt: skip
    slopes = [
        [result["name"], result["measure"], item["moderator"], item["status"],
         ";".join(item.get("adjusted_for", ())), change, *(one.get(name) for name in _SLOPE)]
        for result in results
        for item in result.get("regressions") or ()
        for change, one in [
            ("", item), *((one["label"], one) for one in item.get("variations", ()))
        ]
    ]  # fmt: skip
    cells = [
        [row["label"], column, cell["trials"], cell["participants"]]
        for row in context["map"]["rows"]
        for column, cell in zip(context["map"]["columns"], row["cells"], strict=True)
    ]
    claims = [
        [row["id"], row["claim"], row["made_at"], row["cites"], row["would_support"],
         row["rule_words"], row["verdict"],
         ";".join(item["name"] for item in row["analyses"]),
         ";".join(item["name"] for item in row["indirect"])]
        for row in context["claims"]
    ]  # fmt: skip
    judged = ("study_id", "label", "outcome", "tool", "domain", "judgement", "support", "judged_by")
    bias = context["risk_of_bias"]
    return {
        **({"risk_of_bias.csv": _listed(bias, judged)} if bias else {}),
        "pooled_results.csv": csv_text(["analysis", "measure", "group", *_POOLED], pooled),
        "rows_used.csv": csv_text(
            ["analysis", "measure", "group", *_ROW, "source", "doi", "pmid", "registry_id"], rows
        ),
        "companions.csv": csv_text(
            ["analysis", "measure", "code", "label", "k", "estimate", "ci_low", "ci_high", "tau2"],
            companions,
        ),
        "claims.csv": csv_text(
            ["id", "claim", "made_at", "cites", "would_support", "rule", "verdict", "analyses",
             "indirect"],
            claims,
        ),
        "summary_of_findings.csv": _listed(
            context["summary_of_findings"],
            ["analysis", "title", "directness", "k", "people", "effect", "direction", "absolute",
             "certainty"],
        ),
        "league.csv": csv_text(
            ["analysis", "measure", "treatment", "control", "estimate", "se", "ci_low", "ci_high",
             "pi_low", "pi_high", "k_direct"],
            [row for result in results for row in league_rows(result)],
        ),
        "moderators.csv": _listed(
            context["moderator_tests"],
            ["analysis", "title", "label", "kind", "status", "k", "p_value", "p_permuted",
             "p_holm", "rating", "withheld"],
        ),
        "slopes.csv": csv_text(
            ["analysis", "measure", "moderator", "status", "adjusted_for", "change", *_SLOPE],
            slopes,
        ),
        "evidence_map.csv": csv_text(["measured", "given", "trials", "participants"], cells),
        "studies.csv": _listed(
            context["studies"],
            ["number", "study_id", "label", "citation", "year", "doi", "pmid", "registry_id",
             "source_url", "population", "n_randomised", "design", "blinding",
             *(item.name for item in context["study_columns"]), "access"],
        ),
        "routes.csv": _listed(context["routes"], ["code", "description", "source", "count"]),
        "corrections.csv": _listed(
            context["corrections"],
            ["id", "table", "column", "before", "after", "reason", "source"],
        ),
        **(
            {"harm_facts.csv": _listed(context["harm_facts"],
                                       ["fact", "intervention", "citation", "locator", "url"])}
            if context["harm_facts"]
            else {}
        ),
        "registry.csv": _listed(
            context["registry"],
            ["registry_id", "title", "intervention", "condition", "status", "n_planned",
             "n_enrolled", "results_posted", "study_id", "source_url", "notes"],
        ),
        "exclusions.csv": _listed(
            context["exclusions"], ["study", "outcome", "records", "reason_code", "reason"]
        ),
        **({"flow.csv": _flow(context["flow"])} if "extracted" in context["flow"] else {}),
    }  # fmt: skip


def _flow(flow: Mapping[str, Any]) -> str:
    counts = ("extracted", "converted", "excluded")
    rows = [*flow["by_source"], {"label": "all", **flow}]
    return csv_text(
        ["records", *counts], [[row["label"], *(row[name] for name in counts)] for row in rows]
    )


_HEADER = ("table", "row", "column", "value")


class _Tables(HTMLParser):
    """Collects the cells of the tables of each article: table, row, column, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: dict[str, list[tuple[str, int, str, str]]] = {}
        self.article = ""
        self.label = ""
        self.headings: list[str] = []
        self.row = 0
        self.place = 0
        self.in_head = False
        self.text: list[str] | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "article":
            self.article = given["id"]
            self.cells[self.article] = []
        elif given.get("role") == "region":
            self.label = given.get("aria-label", "")
        elif tag == "table":
            self.headings, self.row = [], 0
        elif tag == "thead":
            self.in_head = True
        elif tag == "tr":
            self.place = 0
            self.row += not self.in_head
        elif tag in ("td", "th"):
            self.text = []
        elif self.text is not None and tag not in ("a", "strong", "span", "em"):
            self.text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self.article = ""
        elif tag == "thead":
            self.in_head = False
        elif tag in ("td", "th") and self.text is not None:
            words = " ".join("".join(self.text).split())
            self.text = None
            if self.in_head:
                self.headings.append(words)
            elif self.article:
                known = self.place < len(self.headings)
                heading = self.headings[self.place] if known else str(self.place + 1)
                self.cells[self.article].append((self.label, self.row, heading, words))
            self.place += 1

    def handle_data(self, data: str) -> None:
        if self.text is not None:
            self.text.append(data)


def analysis_tables(page: str) -> dict[str, str]:
    """Return one CSV per analysis of a page by its file name, a line for each cell of its tables.

    Parameters
    ----------
    page : str
        The rendered page.

    Returns
    -------
    dict of str to str
        Columns ``table`` (its name on the page), ``row``, ``column`` (its heading) and ``value``
        (as printed). Seven digits stand in the results and in the tables made from them.
    """
    return {
        f"analysis-{name}.csv": csv_text(_HEADER, cells)
        for name, cells in _Tables(page).cells.items()
    }
