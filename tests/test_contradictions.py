"""A printed comparison that its own arms contradict is named with what the arms give."""

from __future__ import annotations

from math import exp, log
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batches import CONTRAST, EVENT, SCORE, check_tables, clean_tables
from ketameta.evidence.checks import CheckReport

ARMS = ("ketamine", "placebo")
#: 15 of 30 against 6 of 30: the case that passed before.
COUNTS = {"ketamine": ("15", "30"), "placebo": ("6", "30")}
#: What these counts give: 0.5 / 0.2, (15 x 24) / (15 x 6), 0.5 - 0.2, log 0.5 / log 0.8.
GIVEN = {"RR": 2.5, "OR": 4.0, "RD": 0.3, "HR": log(0.5) / log(0.8)}


def events(counts: dict[str, tuple[str, str]], outcome: str = "nausea") -> list[dict[str, str]]:
    return [EVENT | {"arm_id": arm, "outcome": outcome, "events": e, "n": n}
            for arm, (e, n) in counts.items()]  # fmt: skip


def reported(root: Path, rows: list[dict[str, str]], **cells: str) -> CheckReport:
    """Return what is said of arms and of one comparison of theirs."""
    tables = clean_tables()
    first = rows[0]
    same = {name: first[name] for name in ("outcome", "instrument", "time_days")}
    tables["outcomes"] = [r for r in tables["outcomes"] if r["outcome"] != first["outcome"]] + rows
    bare = dict.fromkeys(("ci_low", "ci_high", "p", "p_relation"), "")
    tables["contrasts"] = [CONTRAST | bare | same | cells]
    return check_tables(root, tables)


def said(report: CheckReport) -> list[str]:
    return [item.why for item in report.findings if item.check == "contrast_disagrees"]


@pytest.mark.parametrize("kind", GIVEN)
def test_what_the_arms_give_is_not_contradicted(tmp_path: Path, kind: str) -> None:
    report = reported(tmp_path, events(COUNTS), effect_type=kind, estimate=f"{GIVEN[kind]:.2f}")
    assert said(report) == []


@pytest.mark.parametrize(
    ("kind", "estimate", "words"),
    [
        ("RR", 0.4, "risk ratio 2.5; 0.4 is that with the groups exchanged"),
        ("OR", 0.25, "odds ratio 4; 0.25 is that with the groups exchanged"),
        ("RD", -0.3, "risk difference 0.3; -0.3 is that with the groups exchanged"),
        ("RR", 4.0, "risk ratio 2.5; 4 is their odds ratio"),
        ("OR", 2.5, "odds ratio 4; 2.5 is their risk ratio"),
        ("RR", 0.92, "risk ratio 2.5; 0.92 is its logarithm"),
        ("RR", 0.3, "risk ratio 2.5; 0.3 is their risk difference"),
        ("HR", 0.32, "hazard ratio near 3.11; 0.32 is that with the groups exchanged"),
        ("RR", 1.1, "the arms give risk ratio 2.5 ("),
    ],
)
def test_a_ratio_that_its_counts_contradict_is_named(
    tmp_path: Path, kind: str, estimate: float, words: str
) -> None:
    report = reported(tmp_path, events(COUNTS), effect_type=kind, estimate=f"{estimate:g}")
    (why,) = said(report)
    assert words in why


def scores(one: str, two: str) -> list[dict[str, str]]:
    return [SCORE | {"arm_id": arm, "mean": mean, "sd": "8", "n": "30"}
            for arm, mean in zip(ARMS, (one, two), strict=True)]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "estimate", "favours", "words"),
    [
        ("MD", "-4.0", "", ""),
        ("MD", "4.0", "treatment", ""),
        ("MD", "4.0", "", "difference in means -4; 4.0 is that with the groups exchanged"),
        ("MD", "-0.49", "", "difference in means -4; -0.49 is their standardised"),
        ("MD", "-14.0", "", "the arms give mean difference -4"),
        ("SMD", "0.49", "treatment", ""),
        ("SMD", "-4.0", "treatment", "-4.0 is their mean difference"),
        ("SMD", "1.4", "treatment", "(Hedges' g) -0.494"),
        ("SMD", "0.49", "control", "the arms say that ketamine did better"),
    ],
)
def test_a_difference_that_its_means_contradict_is_named(
    tmp_path: Path, kind: str, estimate: str, favours: str, words: str
) -> None:
    # (20 - 24) / 8 x (1 - 3 / (4 x 60 - 9)) = -0.4935, Hedges 1981.
    report = reported(
        tmp_path, scores("20.0", "24.0"), effect_type=kind, estimate=estimate, favours=favours
    )
    found = said(report)
    assert (found == []) == (words == "")
    if words:
        assert words.replace("difference in means", "mean difference") in found[0]


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    st.integers(1, 29), st.integers(1, 39), st.sampled_from(["OR", "RR", "RD"]), st.integers(2, 4)
)
def test_no_right_ratio_is_ever_called_wrong(
    tmp_path: Path, a: int, c: int, kind: str, digits: int
) -> None:
    value = {
        "OR": a * (40 - c) / ((30 - a) * c), "RR": (a / 30) / (c / 40), "RD": a / 30 - c / 40,
    }[kind]  # fmt: skip
    counts = {"ketamine": (str(a), "30"), "placebo": (str(c), "40")}
    report = reported(tmp_path, events(counts), effect_type=kind, estimate=f"{value:.{digits}f}")
    assert said(report) == []


def test_an_adjusted_ratio_may_lie_further_from_its_counts(tmp_path: Path) -> None:
    # Standard error of log RR: sqrt(1/15 - 1/30 + 1/6 - 1/30) = 0.408; 0.6 lies between 1 and 2.
    estimate = f"{2.5 * exp(-0.6):.3f}"
    crude = reported(tmp_path / "a", events(COUNTS), effect_type="RR", estimate=estimate)
    adjusted = reported(tmp_path / "b", events(COUNTS), effect_type="RR", estimate=estimate,
                        sd_origin="adjusted")  # fmt: skip
    assert len(said(crude)) == 1
    assert said(adjusted) == []


def test_people_in_remission_are_among_those_who_responded(tmp_path: Path) -> None:
    tables = clean_tables()
    tables["outcome_words"] += [
        {"outcome": name, "label": name, "kind": "event", "domain": "response",
         "direction": "higher_is_better"} for name in ("response", "remission")
    ]  # fmt: skip
    tables["instruments"].append({"instrument": "checklist_ge50", "name": "C", "measures": "d",
                                  "direction": "neither"})  # fmt: skip
    rows = events({"ketamine": ("9", "30"), "placebo": ("9", "30")}, "response")
    rows += events({"ketamine": ("12", "30"), "placebo": ("9", "30")}, "remission")
    for row in rows[:2]:
        row["instrument"] = "checklist_ge50"
    tables["outcomes"] += rows
    found = [f for f in check_tables(tmp_path, tables).findings if f.check == "includes"]
    assert [item.why.partition(" people")[0] for item in found] == ["fewer than the 12"]
