"""The same number everywhere: analyses, summary of findings, key findings, claims, figures."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from ketameta.analyses import interval_words, summary_of_findings, written
from ketameta.formatting import format_count, format_p, trials_words
from ketameta.measures import Measure
from ketameta.plots.frame import EMPTY, OUTSIDE
from ketameta.report import analysis_tables, listed_tables, pdf_data, tables_of
from ketameta.report.prose import count_words
from report_pages import committed_context, committed_pages, committed_results


def shown(found: dict) -> tuple[str, str]:
    measure = Measure(found["measure"])
    return (
        written(found["estimate"], measure),
        f"{interval_words(found['ci_low'], found['ci_high'], measure)})",
    )


def mains(result: dict) -> list[tuple[dict, int]]:
    """Return the estimates that the summary of findings has a row for."""
    if result["over_time"] or result["kind"] == "network":
        return []
    if result["kind"] == "dose_response":
        doses = result["dose_response"]
        if doses["withheld"] or doses["linear"]["withheld"]:
            return []
        return [({**doses["linear"]["slope"], "measure": result["measure"]}, result["k"])]
    if result["headline"]["rule"]["code"] == "groups_apart":
        groups = [group for group in result["groups"] if group["headline"]]
        return [(group["headline"], len(group["rows"])) for group in groups]
    return [(result["headline"], result["k"])] if result["k"] else []


def test_the_summary_of_findings_has_the_numbers_of_the_analyses() -> None:
    compared = 0
    for result in committed_results():
        rows = [row for row in summary_of_findings([result]) if row["k"]]
        assert len(rows) == len(mains(result)), result["name"]
        for row, (led, k) in zip(rows, mains(result), strict=True):
            assert row["k"] == k
            if None in (led["estimate"], led["ci_low"], led["ci_high"]):
                continue
            estimate, interval = shown(led)
            assert f" {estimate}" in row["effect"] and interval in row["effect"], row
            crosses = led["ci_low"] <= 0 <= led["ci_high"]
            assert ("includes no difference" in row["direction"]) == crosses, row
            compared += 1
        if len(rows) == 1 and result["n_participants"] and result["pooled"]:
            assert format_count(result["n_participants"]) in rows[0]["people"]
    assert compared > 30


def test_questions_without_a_trial_are_in_the_summary_of_findings() -> None:
    empty = {result["name"] for result in committed_results() if result["k"] == 0}
    rows = summary_of_findings(committed_results())
    assert {row["analysis"] for row in rows if row["k"] == 0} == empty
    assert all(row["effect"] == "no eligible trial found" for row in rows if row["k"] == 0)


def test_the_clinicians_table_has_the_numbers_and_the_side_of_each_headline() -> None:
    by_name = {result["name"]: result for result in committed_results()}
    table = committed_context()["clinicians"]
    assert 5 <= len(table.rows) <= 10
    for row in table.rows:
        result = by_name[row[0].href]
        led, (_, _, effect, absolute, certainty) = result["headline"], row
        assert certainty.words
        if led["estimate"] is None:
            assert "no eligible trial" in effect.text
            continue
        measure = Measure(led["measure"])
        if measure.is_ratio:
            assert f" {written(led['estimate'], measure)} (" in effect.text
        else:
            sides = ("better", "worse") if measure is Measure.SMD else ("lower", "higher")
            assert effect.text.startswith(f"{abs(led['estimate']):.2f} ")
            assert sides[led["estimate"] > 0] in effect.text.partition("(")[0]
            assert "\u2212" not in effect.text, "a direction in words, never a bare minus"
        assert (led["side"] == "unclear") == ("includes no difference" in effect.small)
        if led["absolute"]:
            assert f"{led['absolute']['treated']:.0f} on treatment" in absolute.text


def test_the_certainty_table_has_the_numbers_of_the_analyses() -> None:
    for result in committed_results():
        for found in result["certainty"]["assessments"]:
            words = " ".join(s for domain in found["domains"] for s in domain["words"])
            groups = {group["label"]: group["headline"] for group in result["groups"]}
            led = groups[found["group"]] if found["group"] else result["headline"]
            if led["ci_low"] is not None and led["ci_high"] is not None:
                interval = shown(led)[1].rstrip(")")
                assert f"The interval, {interval}," in words, result["name"]


@pytest.mark.parametrize("place", ["page", "pdf", "csv"])
def test_the_claims_ledger_says_the_same_everywhere(place: str) -> None:
    context = committed_context()
    text = {
        "page": html.unescape(re.sub(r"<[^>]+>", "", committed_pages()["methods.html"])),
        "pdf": " ".join(
            cell
            for table in pdf_data(context, "supplement")["claims"]
            for row in table["rows"]
            for cell in row
        ),
        "csv": tables_of(context)["claims.csv"],
    }[place]
    for row in context["claims"]:
        assert row["claim"] in text and row["verdict"] in text
        if place == "csv" or row["source"] == "untraceable":
            continue
        for item in [*row["analyses"], *row["indirect"]]:
            for found in item["found"]:
                assert found["effect"] in text, (row["id"], found)


def test_every_claim_shows_its_rule_its_origin_and_what_would_support_it() -> None:
    page = html.unescape(committed_pages()["methods.html"])
    for row in committed_context()["claims"]:
        assert row["made_at"] in page and row["cites"] in page
        if row["source"] != "untraceable":
            assert row["would_support"] in page and row["rule_words"] in page


def test_the_evidence_map_is_a_figure_whose_alternative_counts_the_gaps() -> None:
    context = committed_context()
    cells = context["map"].cells
    empty = sum(cell.trials == 0 for cell in cells)
    words = f"{empty} of {len(cells)} cells have no study"
    assert words in context["map_figure"]["alt"]
    page = committed_pages()["methods.html"]
    section = page[page.index('<section id="map"') :]
    figure = section[: section.index("</figure>")]
    assert "<svg" in figure and words in figure
    # Every field of the map stands in the figure, the empty ones with the sign of their state,
    # and the table of the front page and the file say the same of each.
    signs = Counter(re.findall(r">\s*([\d,]+|[?–])\s*</(?:text|tspan|a)>", figure))
    states = Counter(cell.state for cell in cells)
    assert set(states) == {"studied", *EMPTY}
    assert {state: signs[sign] for state, (sign, *_) in EMPTY.items()} == {
        state: states[state] for state in EMPTY
    }
    table = [text for row in context["map_table"].texts for text in row[1:]]
    written = csv.DictReader(io.StringIO(tables_of(context)["evidence_map.csv"]))
    for cell, text, row in zip(cells, table, written, strict=True):
        assert row["state"] == cell.state and (cell.trials or text == cell.state)
        assert row["trials"] == ("" if cell.state == OUTSIDE else str(cell.trials))


def test_the_pdfs_have_the_findings_and_the_moderators() -> None:
    context = committed_context()
    results = context["results"].values()
    article, rest = (pdf_data(context, document) for document in ("report", "supplement"))
    assert article["findings"]["rows"] == context["clinicians"].texts
    titles = [row[0].partition("\n")[0] for one in article["untested"] for row in one["rows"]]
    assert sorted(titles) == sorted(result["title"] for result in results if not result["k"])
    assert rest["all_findings"]["rows"] == context["all_findings"].texts
    assert [one["rows"] for one in rest["untested"]] == [one.texts for one in context["untested"]]
    for row, made in zip(context["moderator_tests"], rest["moderators"]["rows"], strict=True):
        if row["p_value"] is None:
            assert made[3:] == ["not tested", "", row["withheld"]]
        else:
            assert made[3].startswith(format_p(row["p_value"]))
            assert made[4] == format_p(row["p_holm"])


def test_a_pooled_ratio_that_lies_outside_its_trials_says_so() -> None:
    told = []
    for result in committed_results():
        led = result["headline"]
        trials = [item for item in led["beside"] if item["code"] == "trial"]
        alone = [item["estimate"] for item in trials if item["measure"] == led["measure"]]
        alone = [estimate for estimate in alone if estimate is not None]
        exact = led["rule"]["code"] == "few_trials_sparse" and len(alone) == led["k"]
        outside = exact and not min(alone) <= led["estimate"] <= max(alone)
        said = "found alone (" in led["disagreement"]
        assert said == outside, result["name"]
        if said:
            where = "above" if led["estimate"] > max(alone) else "below"
            assert f"lies {where} what each" in " ".join(result["sentences"])
            told.append(result["name"])
    assert told


# --- pooled reports -------------------------------------------------------------------------------


def with_pools() -> dict[str, dict[int, int]]:
    """Return, by analysis, how many sets of people are counted and how many are pooled reports."""
    found: dict[str, dict[int, int]] = {}
    for result in committed_results():
        for part in (result, *result["groups"]):
            led = part["headline"]
            if led and led["pools"]:
                found.setdefault(result["name"], {})[led["k"]] = led["pools"]
    return found


def texts(value: object) -> Iterator[str]:
    """Yield every text of a result, without the trials' own notes and citations."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("spec", "note", "notes", "citation", "population", "title"):
                yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def counted_as_trials(text: str, counts: Iterable[int]) -> list[str]:
    """Return what calls so many sets of people trials."""
    said = []
    for k in counts:
        number = f"(?:{k}|{count_words(k)})"
        noun = r"trials?\b(?! and \d+ pooled)" if k > 1 else r"trial\b"
        pattern = rf"(?<!than )\b{number} {noun}"
        said += [found.group() for found in re.finditer(pattern, text, re.IGNORECASE)]
    return said


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("4 trials with 1,250 people", True),
        ("0 of 4 trials on the other side", True),
        ("3 trials and 1 pooled report of several trials", False),
        ("Two to four sets of people: Bayesian random effects lead", False),
        ("Pooled. Four trials, risk ratio", True),
    ],
)
def test_what_is_called_a_trial_is_seen(text: str, wrong: bool) -> None:
    assert bool(counted_as_trials(text, [4])) == wrong


def test_no_published_text_counts_a_pooled_report_as_a_trial() -> None:
    known, pages, context = with_pools(), committed_pages(), committed_context()
    assert len(known) > 10
    for name, counts in known.items():
        page = pages[context["places"][name].partition("#")[0]]
        (article,) = re.findall(rf'<article id="{name}".*?</article>', page, flags=re.DOTALL)
        said = [html.unescape(found) for found in re.findall(r'aria-label="([^"]*)"', article)]
        said += [html.unescape(found) for found in re.findall(r">([^<>]+)<", article)]
        said += texts(context["results"][name])
        view = context["views"][name]
        said += [cell for row in csv.reader(io.StringIO(analysis_tables(listed_tables(view))))
                 for cell in row]  # fmt: skip
        title = context["results"][name]["title"]
        for row in context["claims"]:
            said += [words for item in [*row["analyses"], *row["indirect"]]
                     if item["name"] == name for words in texts(item["found"])]  # fmt: skip
        said += [cell.words for row in context["listed"]["claims"].rows for cell in row
                 if title in cell.words]  # fmt: skip
        for text in said:
            assert not counted_as_trials(text, counts), (name, text)
        for table in listed_tables(view):
            assert "Trials" not in table.header, (name, table.caption)
        if context["results"][name]["section"] == context["project"].harms.section:
            harms = context["page_figures"]["common_harms"][0]["alt"]
            short = title.removesuffix(" with ketamine or esketamine")
            for k, pools in counts.items():
                assert f"{short}: {trials_words(k, pools)}" in harms or short not in harms


def test_tables_of_all_results_tell_trials_from_pooled_reports() -> None:
    known, context = with_pools(), committed_context()
    at = context["all_findings"].header.index("Trials + pooled reports")
    seen = 0
    for row in context["all_findings"].rows:
        pools = known.get(row[0].href, {}).get(sum(map(int, row[at].text.split(" + "))), 0)
        assert ("+" in row[at].text) == bool(pools)
        seen += bool(pools)
    assert seen > 10
