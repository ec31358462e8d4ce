"""The page's calculator gives the numbers of Python, on every committed analysis."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ketameta import effects, pool
from ketameta.formatting import published
from ketameta.models import critical_value
from report_pages import (
    committed_context,
    committed_provenance,
    committed_result,
    page_of_all,
    write_page,
)
from tolerances import BROWSER, WORKED_PUBLISHED

TAU2 = ("REML", "DL")
INTERVALS = ("wald", "knapp-hartung", "knapp-hartung-conservative")
QUANTITIES = ("estimate", "se", "ci_low", "ci_high", "tau2", "i2", "q", "pi_low", "pi_high",
              "p_value")  # fmt: skip


@pytest.fixture(scope="module")
def page(opened: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = opened.new_page()
    found.goto(write_page(tmp_path_factory.mktemp("page"), page_of_all()))
    return found


def parts() -> list[tuple[str, dict[str, Any]]]:
    """Return every part of every analysis that the page can pool again."""
    return [
        (f"{analysis['name']}/{part['key']}", part)
        for section in committed_context()["sections"]
        for analysis in section.analyses
        if analysis["engine"]
        for part in analysis["engine"]["parts"]
    ]


def in_browser(page: Any, tasks: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """Return the calculator's results."""
    found: list[dict[str, Any] | None] = page.evaluate(
        "tasks => tasks.map(t => ketameta.engine.pool(t.y, t.v, t))", tasks
    )
    return found


def agree(ours: Any, theirs: Any, tolerance: float = BROWSER) -> bool:
    if ours is None or theirs is None:
        return ours is None and theirs is None
    return math.isclose(ours, theirs, rel_tol=tolerance, abs_tol=tolerance)


def compare(page: Any, tasks: list[dict[str, Any]]) -> int:
    """Compare every task with Python; return how many numbers were compared."""
    compared = 0
    for task, found in zip(tasks, in_browser(page, tasks), strict=True):
        fit = pool(
            np.array(task["y"]), np.array(task["v"]), task["tau2"], task["ci"], task["level"]
        )
        assert found is not None
        assert found["k"] == fit.k
        for name in QUANTITIES:
            ours = getattr(fit, name)
            assert agree(ours, found[name]), (task, name, ours, found[name])
            compared += 1
    return compared


def test_every_committed_analysis_under_every_choice(page: Any) -> None:
    found = parts()
    assert len(found) >= 20, "the committed analyses are there"
    tasks = [
        {"y": [row["y"] for row in part["rows"]], "v": [row["v"] for row in part["rows"]],
         "tau2": tau2, "ci": ci, "level": 0.95}
        for (_, part), tau2, ci in product(found, TAU2, INTERVALS)
    ]  # fmt: skip
    assert compare(page, tasks) == len(tasks) * len(QUANTITIES)


def test_every_committed_analysis_without_each_trial(page: Any) -> None:
    tasks = []
    for _, part in parts():
        for left in range(len(part["rows"])):
            rows = [row for place, row in enumerate(part["rows"]) if place != left]
            tasks.append(
                {"y": [row["y"] for row in rows], "v": [row["v"] for row in rows],
                 "tau2": "REML", "ci": "knapp-hartung-conservative", "level": 0.95}
            )  # fmt: skip
    compare(page, tasks)


def test_the_published_pooled_number_is_the_first_thing_the_calculator_gives(page: Any) -> None:
    for section in committed_context()["sections"]:
        for analysis in section.analyses:
            engine = analysis["engine"]
            if not engine or engine["parts"][0]["key"] or analysis["pooled"] is None:
                continue
            rows = engine["parts"][0]["rows"]
            task = {name: engine[name] for name in ("tau2", "ci", "level")}
            task |= {name: [row[name] for row in rows] for name in ("y", "v")}
            (found,) = in_browser(page, [task])
            assert found is not None
            for name in ("estimate", "ci_low", "ci_high", "tau2", "pi_low", "pi_high"):
                where = (analysis["name"], name)
                # From rows of seven digits to results of seven digits.
                assert agree(analysis["pooled"][name], found[name], WORKED_PUBLISHED), where


def test_hard_cases_invented(page: Any) -> None:
    random = np.random.default_rng(5)
    tasks = []
    for k, scale in product((2, 3, 4, 7, 30), (1e-3, 1.0, 1e3)):
        for spread in (0.0, 0.3, 3.0):
            v = random.uniform(0.01, 0.5, k) * scale**2
            y = random.normal(0.2, math.sqrt(spread + 0.05), k) * scale
            for tau2, ci in product(TAU2, ("wald", "knapp-hartung-conservative")):
                tasks.append({"y": y.tolist(), "v": v.tolist(), "tau2": tau2, "ci": ci,
                              "level": 0.9})  # fmt: skip
    for task, found in zip(tasks, in_browser(page, tasks), strict=True):
        fit = pool(
            np.array(task["y"]), np.array(task["v"]), task["tau2"], task["ci"], task["level"]
        )
        assert found is not None
        for name in ("estimate", "ci_low", "ci_high"):
            assert math.isclose(getattr(fit, name), found[name], rel_tol=1e-7, abs_tol=1e-12)


def test_critical_values_are_exact(page: Any) -> None:
    for level, df in product((0.5, 0.8, 0.9, 0.95, 0.99), (None, 1, 2, 3, 5, 10, 31, 200)):
        found = page.evaluate("([l, d]) => ketameta.engine.critical(l, d)", [level, df])
        assert math.isclose(found, critical_value(level, df), rel_tol=1e-12)


@pytest.mark.parametrize("cells", [(4, 20, 9, 21), (0, 15, 3, 15), (7, 7, 3, 9), (10, 10, 0, 8)])
def test_counts_give_the_effects_of_python(page: Any, cells: tuple[int, ...]) -> None:
    functions = {"OR": effects.log_odds_ratio, "RR": effects.log_risk_ratio,
                 "RD": effects.risk_difference}  # fmt: skip
    for measure, function in functions.items():
        found = page.evaluate(
            "([m, c]) => ketameta.engine.ofCounts(m, c)", [measure, list(map(float, cells))]
        )
        size = function(*cells)
        assert math.isclose(found["y"], float(size.estimate[0]), rel_tol=1e-12, abs_tol=1e-15)
        assert math.isclose(found["v"], float(size.variance[0]), rel_tol=1e-12)


def measured() -> list[tuple[dict[str, Any], str]]:
    """Return every analysis whose scores can be pooled on another measure, with that measure."""
    return [
        (analysis, other)
        for section in committed_context()["sections"] for analysis in section.analyses
        if analysis["engine"] for other, _ in analysis["engine"]["measures"]
        if other in ("MD", "SMD") and other != analysis["measure"]
    ]  # fmt: skip


def test_scores_on_another_measure_are_the_effects_of_the_table(page: Any) -> None:
    # The same comparisons, pooled in Python from the effect table and in the page by a click.
    found = measured()
    assert len(found) >= 3
    provenance = committed_provenance()
    for analysis, other in found:
        result = committed_context()["results"][analysis["name"]]
        known = provenance.effects_of(result)
        name = analysis["name"]
        for part in analysis["engine"]["parts"]:
            rows = [row for g in result["groups"] for row in g["rows"]
                    if not part["key"] or g["key"] == part["key"]]  # fmt: skip
            assert len(rows) == len(part["rows"])
            kinds = Counter(row["data_kind"] for g in result["groups"] for row in g["rows"])
            for row in rows:
                names = [f"{e.rpartition('/')[0]}/{other}" for e in row["effect_ids"]]
                short = [item for item in part["rows"] if item["id"] == row["study_id"]]
                if len(short) != 1 or len(names) != 1:
                    continue
                if names[0] in known and kinds[row["data_kind"]] == max(kinds.values()):
                    effect = known[names[0]]
                    assert effect["measure"] == other
                    assert short[0]["a"] == published([effect["estimate"], effect["variance"]])
                else:
                    assert short[0]["a"] is None
            given = [row for row in part["rows"] if row["a"] is not None]
            page.evaluate(
                "([n, p, m]) => ketameta.widgets.get(n).set({part: p, measure: m})",
                [name, part["key"], other],
            )
            words = page.locator(f"#try-{name}-box [data-unsaid]").text_content()
            for row in part["rows"]:
                assert (row["label"] in words) == (row["a"] is None)
            if not given:
                continue
            fit = pool(
                np.array([row["a"][0] for row in given]), np.array([row["a"][1] for row in given]),
                analysis["engine"]["tau2"], analysis["engine"]["ci"], analysis["engine"]["level"],
            )  # fmt: skip
            shown = page.evaluate("n => ketameta.widgets.get(n).fit", name)
            for quantity in QUANTITIES:
                assert agree(getattr(fit, quantity), shown[quantity]), (name, part["key"], quantity)
            page.evaluate("n => ketameta.widgets.get(n).set({})", name)


def test_every_measure_offered_is_a_choice_in_the_page(page: Any) -> None:
    for analysis, other in measured():
        options = page.locator(f"#try-{analysis['name']}-measure option")
        assert other in options.evaluate_all("all => all.map(o => o.value)")


def test_double_zeros_say_nothing_about_a_ratio(page: Any) -> None:
    assert page.evaluate("ketameta.engine.ofCounts('RR', [0, 10, 0, 12])") is None


def test_the_data_in_the_page_are_those_of_the_results(page: Any) -> None:
    assert page.evaluate("JSON.stringify(ketameta.analyses.map(a => a.name))") == json.dumps(
        [
            analysis["name"]
            for section in committed_context()["sections"]
            for analysis in section.analyses
            if analysis["engine"]
        ],
        separators=(",", ":"),
    )


def test_a_saved_page_is_one_file(page: Any, tmp_path: Path) -> None:
    # The page pools from another folder, where nothing else is.
    address = write_page(tmp_path, page_of_all())
    page.goto(f"{address}#try=nmda_adhd_symptoms")
    trials = committed_result("nmda_adhd_symptoms")["k"]
    assert page.locator("#try-nmda_adhd_symptoms-box dd").first.inner_text() == str(trials)
