"""Effects over time against rma.mv and clubSandwich, and what stops them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers import ANALYSIS, spec_of
from ketameta.analyses import AnalysisSpec, over_time
from tolerances import THREE_LEVEL, THREE_LEVEL_VARIANCE

REFERENCE = json.loads((Path(__file__).parent / "reference" / "over_time.json").read_text("utf-8"))
CLASSES = ("within_hours", "24_hours", "days_22_to_35")


@pytest.fixture
def spec(tmp_path: Path) -> AnalysisSpec:
    declared = spec_of(tmp_path, "", ANALYSIS)
    model = declared.model.model_copy(
        update={
            "group_by": "time_class",
            "group_order": CLASSES,
            "over_time": True,
            "rho": 0.6,
        }
    )
    return declared.model_copy(update={"model": model})


def rows() -> list[dict[str, Any]]:
    return [
        {
            **row,
            "study_id": row["study"],
            "label": row["study"].upper(),
            "se": row["variance"] ** 0.5,
        }
        for row in REFERENCE["data"]
    ]


def test_means_and_changes_equal_rma_mv_with_club_sandwich(spec: AnalysisSpec) -> None:
    found = over_time(spec, rows())
    assert found is not None and found["withheld"] == ""
    assert (found["reference"], tuple(found["classes"])) == ("24_hours", CLASSES)
    assert (found["effects"], found["studies"]) == (11, 7)
    sigma2 = [found["sigma2_study"], found["sigma2_effect"]]
    assert sigma2 == pytest.approx(REFERENCE["sigma2"], rel=10 * THREE_LEVEL_VARIANCE)
    for kind in ("means", "changes"):
        assert len(found[kind]) == len(REFERENCE[kind])
        for ours, theirs in zip(found[kind], REFERENCE[kind], strict=True):
            assert ours["name"] == theirs["name"]
            for name in theirs.keys() - {"name"}:
                assert ours[name] == pytest.approx(theirs[name], rel=10 * THREE_LEVEL)
    assert [item["effects"] for item in found["means"]] == [2, 5, 4]


def test_changes_within_trials_know_that_the_same_people_were_measured(spec: AnalysisSpec) -> None:
    found = over_time(spec, rows())
    assert found is not None
    within, theirs = found["within_trials"], REFERENCE["within"]
    assert [row["study_id"] for row in within["rows"]] == ["a", "b", "c"]
    assert [row["se"] for row in within["rows"]] == pytest.approx(theirs["se"], rel=THREE_LEVEL)
    for name in ("estimate", "ci_low", "ci_high", "tau2"):
        assert within[name] == pytest.approx(theirs[name], rel=THREE_LEVEL)
    assert within["enough"] and within["k"] == 3


def test_the_followed_change_is_in_the_sensitivity_at_the_declared_correlation(
    spec: AnalysisSpec,
) -> None:
    found = over_time(spec, rows())
    assert found is not None
    (at,) = [item for item in found["sensitivity"] if item["rho"] == spec.model.rho]
    assert at["estimate"] == pytest.approx(found["changes"][-1]["estimate"], rel=THREE_LEVEL)
    assert [item["rho"] for item in found["sensitivity"]] == [0.0, 0.2, 0.4, 0.6, 0.8]


def test_a_class_of_one_trial_is_no_robust_mean(spec: AnalysisSpec) -> None:
    alone = {**rows()[-1], "study_id": "h", "group": "later"}
    found = over_time(spec, [*rows(), alone])
    assert found is not None and found["means"] == []
    assert "Cluster 'h' alone identifies later" in found["withheld"]


def test_nothing_is_returned_where_it_was_not_asked_for(spec: AnalysisSpec) -> None:
    plain = spec.model_copy(update={"model": spec.model.model_copy(update={"over_time": False})})
    assert over_time(plain, rows()) is None
