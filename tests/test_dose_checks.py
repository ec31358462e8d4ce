"""Checks of a dose-response line: two stages by another program, other choices, trials left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ketameta.errors import NotEstimableError, UsageError
from ketameta.formatting import MINUS
from ketameta.models import two_stage
from ketameta.models.diagnostics import AGREEMENTS
from ketameta.report import dose_check_table, two_stage_words
from test_dose_analysis import FOUR, dose_trial, joined, run  # noqa: F401
from test_dose_response import REFERENCE, SETS, columns, fit_doses, fit_reference, three_doses
from tolerances import DENSE, DOSE_RESPONSE, PUBLISHED, TWO_STAGE

# --- against rma.mv and against the one stage -----------------------------------------------------


@pytest.mark.parametrize("method", ["common", "REML"])
@pytest.mark.parametrize("key", SETS)
def test_two_stages_give_the_line_of_rma_mv(key: str, method: Any) -> None:
    expected = REFERENCE[key][f"linear_{method}"]
    fit = fit_reference(key, method=method)
    data = columns(key)
    found = two_stage(
        fit, np.array(data["yi"]), np.array(REFERENCE[key]["V"]), np.array(data["dose"])
    )
    tolerance = TWO_STAGE if method == "REML" else DOSE_RESPONSE
    assert found.engine == "PyMARE"
    assert found.values["estimate"] == pytest.approx(expected["beta"], rel=tolerance)
    assert found.values["se"] ** 2 == pytest.approx(expected["vcov"][0][0], rel=tolerance)
    if method == "REML":
        assert found.values["tau2"] == pytest.approx(expected["tau2"], rel=tolerance)
    assert found.largest < tolerance
    assert found.largest == found.differences[found.largest_quantity]


def test_each_slope_is_generalised_least_squares_of_its_own_study() -> None:
    data = three_doses()
    fit = fit_doses(data)
    found = two_stage(fit, data["y"], data["V"], data["dose"])
    assert found.study == ("a", "b", "c", "d")
    for place, (start, stop) in enumerate(((0, 3), (3, 6), (6, 9), (9, 10))):
        x, y = data["dose"][start:stop], data["y"][start:stop]
        inverse = np.linalg.inv(data["V"][start:stop, start:stop])
        assert found.slopes[place] == pytest.approx(x @ inverse @ y / (x @ inverse @ x), rel=DENSE)
        assert found.ses[place] == pytest.approx((x @ inverse @ x) ** -0.5, rel=DENSE)
    assert "4 slopes, pooled by PyMARE" in repr(found)


def test_a_wrong_one_stage_result_is_seen() -> None:
    data = three_doses()
    fit = fit_doses(data)
    wrong = data["y"] + np.array([0.0] * 9 + [1.0])
    assert two_stage(fit, wrong, data["V"], data["dose"]).largest > 0.1


def test_what_two_stages_cannot_check_is_refused() -> None:
    data = three_doses()
    spline = fit_doses(data, transformation="spline")
    with pytest.raises(UsageError, match="a spline has no slope in every study"):
        two_stage(spline, data["y"], data["V"], data["dose"])
    one = {name: data[name][:3] for name in ("y", "v", "dose", "study")}
    alone = fit_doses({**one, "V": data["V"][:3, :3]}, method="common")
    with pytest.raises(NotEstimableError, match="one study: its slope is the result"):
        two_stage(alone, data["y"][:3], data["V"][:3, :3], data["dose"][:3])


# --- beside an analysis ---------------------------------------------------------------------------


def test_an_analysis_carries_the_checks_of_its_line(run: Any) -> None:  # noqa: F811
    result = run(joined(*FOUR))
    found = result["dose_response"]
    checks = found["checks"]
    assert checks["withheld"] == ""
    main = found["linear"]["slope"]
    # The exact differences are held by the tests of the model above.
    assert set(checks["two_stage"]) == {"engine", "version", "slopes", "agrees_to"}
    assert checks["two_stage"]["agrees_to"] == AGREEMENTS[0]
    assert [item["code"] for item in checks["sensitivity"]] == ["common", "wald"]
    wald = checks["sensitivity"][1]
    assert wald["estimate"] == pytest.approx(main["estimate"], rel=PUBLISHED)
    assert wald["ci_high"] - wald["ci_low"] < main["ci_high"] - main["ci_low"]
    rows = dose_check_table(result).texts
    assert [row[0] for row in rows][:3] == [
        *("The line shown above", "One slope for all trials (common effect)", "Wald interval"),
    ]
    assert len(rows) == 3 + 4
    assert "Alder 2014" in two_stage_words(result) and "PyMARE" in two_stage_words(result)
    assert f"agrees to 1e{MINUS}6 of a standard error" in two_stage_words(result)


#: Trials whose slopes differ by more than chance.
APART = (
    dose_trial("alder_2014", {28: 19.5, 84: 19.0}),
    dose_trial("birch_2016", {28: 15.0, 84: 6.0}),
    dose_trial("cedar_2017", {28: 17.0, 84: 13.0}),
    dose_trial("dogwood_2018", {84: 18.0}),
)


def test_the_spread_of_slopes_is_told_per_step(run: Any) -> None:  # noqa: F811
    found = run(joined(*APART))["dose_response"]
    main, stages = found["linear"]["slope"], found["checks"]["two_stage"]
    assert main["tau"] > 0.5
    assert stages["agrees_to"] == AGREEMENTS[0]
    # 28 mg lower the score by half a point in one trial, by five in another.
    slopes = [item["estimate"] for item in stages["slopes"]]
    assert min(slopes) < -4 and max(slopes) > -1


def test_leaving_a_trial_out_is_an_analysis_without_it(run: Any) -> None:  # noqa: F811
    checks = run(joined(*FOUR))["dose_response"]["checks"]
    left = checks["leave_one_out"]
    assert [row["study_id"] for row in left["rows"]] == [
        *("alder_2014", "birch_2016", "cedar_2017", "dogwood_2018"),
    ]
    for place, row in enumerate(left["rows"]):
        rest = [trial for other, trial in enumerate(FOUR) if other != place]
        alone = run(joined(*rest))["dose_response"]["linear"]
        assert (row["k"], row["method"]) == (3, alone["method"])
        for name in ("estimate", "ci_low", "ci_high"):
            assert row[name] == pytest.approx(alone["slope"][name], rel=PUBLISHED)
    estimates = [row["estimate"] for row in left["rows"]]
    assert (left["lowest"], left["highest"]) == (min(estimates), max(estimates))


def test_few_trials_have_fewer_checks(run: Any) -> None:  # noqa: F811
    two = run(joined(*FOUR[:2]))["dose_response"]["checks"]
    assert two["leave_one_out"] is None
    assert [item["code"] for item in two["sensitivity"]] == []
    one = run(joined(dose_trial("alder_2014", {28: 18.2, 56: 16.9})))
    assert one["dose_response"]["checks"]["two_stage"] is None
    assert two_stage_words(one) == ""
    assert two_stage_words(run(joined(*FOUR), '\n[dose]\nunit = "g"\n')) == ""
