"""The gate: what a model cannot use is refused by name, position, value and remedy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ketameta import common_effect, random_effects
from ketameta.errors import ImpossibleDataError, KetametaError, NotEstimableError, UsageError
from ketameta.models import checked_inputs, dependent_columns

Y, V = [0.1, 0.3, 0.5], [0.04, 0.05, 0.06]


def test_a_negative_variance_is_refused_with_its_study_and_the_rule() -> None:
    with pytest.raises(ImpossibleDataError) as refused:
        checked_inputs(Y, [0.04, -0.05, 0.06], ["alder_2014", "birch_2019", "cedar_2020"])
    text = str(refused.value)
    assert "variances[1] (birch_2019) is -0.05" in text
    assert "finite and > 0" in text


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_variance_must_be_finite_and_positive(bad: float) -> None:
    with pytest.raises(ImpossibleDataError, match=r"variances\[2\] \(study 3\) is"):
        checked_inputs(Y, [0.04, 0.05, bad])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, None])
def test_an_estimate_must_be_finite(bad: float | None) -> None:
    with pytest.raises(ImpossibleDataError, match=r"estimates\[0\] \(study 1\) is"):
        checked_inputs([bad, 0.3, 0.5], V)


def test_a_missing_value_of_pandas_is_named_like_any_other() -> None:
    with pytest.raises(ImpossibleDataError, match=r"estimates\[1\] \(study 2\) is nan"):
        checked_inputs(pd.Series([0.1, pd.NA, 0.5], dtype="Float64"), V)


def test_variances_beyond_double_precision_are_refused() -> None:
    with pytest.raises(NotEstimableError, match=r"variances\[2\] .* variances\[0\] .* units"):
        checked_inputs(Y, [1e-9, 1.0, 1e8])


def test_every_problem_is_listed_up_to_ten() -> None:
    with pytest.raises(ImpossibleDataError, match="and 2 more"):
        checked_inputs(np.zeros(12), -np.ones(12))


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(UsageError, match="estimates has 3 values and variances has 2"):
        checked_inputs(Y, V[:2])
    with pytest.raises(UsageError, match="labels has 2 values and estimates has 3"):
        checked_inputs(Y, V, ["a", "b"])


@pytest.mark.parametrize("bad", ["0.1", ["0.1", "0.3"], [True, False], [[0.1], [0.3]], 0.5])
def test_what_is_not_a_list_of_numbers_is_refused(bad: object) -> None:
    with pytest.raises(UsageError, match="estimates"):
        checked_inputs(bad, [0.04, 0.05])  # type: ignore[arg-type]


def test_a_repeated_label_is_a_study_counted_twice() -> None:
    labels = ["alder_2014", "birch_2019", "alder_2014"]
    with pytest.raises(ImpossibleDataError, match=r"'alder_2014' at \[0, 2\]"):
        checked_inputs(Y, V, labels)
    assert checked_inputs(Y, V, labels, repeated_labels="allow").labels == tuple(labels)


def test_no_studies_points_to_the_function_that_says_so() -> None:
    with pytest.raises(NotEstimableError, match=r"pool\(\)"):
        checked_inputs([], [])


def test_as_many_columns_as_studies_is_refused() -> None:
    with pytest.raises(NotEstimableError, match="3 studies cannot estimate 3 coefficients"):
        checked_inputs(Y, V, design=np.eye(3), names=["a", "b", "c"])


def test_a_redundant_column_is_named() -> None:
    y, v = np.arange(5.0), np.ones(5)
    dose = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    design = np.column_stack([np.ones(5), dose, 2 - 3 * dose])
    with pytest.raises(NotEstimableError, match="column 'half_dose' is a combination"):
        checked_inputs(y, v, design=design, names=["intercept", "dose", "half_dose"])


def test_a_constant_moderator_beside_the_intercept_is_named() -> None:
    design = np.column_stack([np.ones(5), np.full(5, 1e6)])
    assert dependent_columns(design) == (1,)


def test_raw_years_are_not_mistaken_for_a_redundant_column() -> None:
    design = np.column_stack([np.ones(6), [1948.0, 1949, 1960, 1977, 1973, 1953]])
    assert dependent_columns(design) == ()


def test_a_missing_moderator_names_the_study() -> None:
    design = np.column_stack([np.ones(3), [1.0, np.nan, 2.0]])
    with pytest.raises(ImpossibleDataError, match=r"moderator 'dose'\[1\] \(study 2\) is nan"):
        checked_inputs(Y, V, design=design, names=["intercept", "dose"])


def test_words_as_moderators_point_to_the_formula() -> None:
    with pytest.raises(UsageError, match="formula="):
        checked_inputs(Y, V, design=[["a"], ["b"], ["c"]])


def test_names_must_fit_the_design() -> None:
    with pytest.raises(UsageError, match="names has 2 values and the design has 1 columns"):
        checked_inputs(Y, V, design=np.ones((3, 1)), names=["a", "b"])


def test_the_result_shares_nothing_with_the_caller() -> None:
    y = np.array(Y)
    fit = random_effects(y, V)
    y[0] = 99.0
    assert fit.estimates[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        fit.estimates[0] = 1.0


@pytest.mark.parametrize("option", ["tau2_method", "ci_method"])
def test_an_unknown_option_lists_the_choices(option: str) -> None:
    with pytest.raises(UsageError, match=f"{option} is 'REMl'; choose one of"):
        random_effects(Y, V, **{option: "REMl"})


@pytest.mark.parametrize("level", [0, 1, 95, -0.1, "0.95"])
def test_a_level_is_a_share(level: object) -> None:
    with pytest.raises(UsageError, match="level is"):
        random_effects(Y, V, level=level)  # type: ignore[arg-type]


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_any_lists_give_a_fit_or_a_named_error(y: list[float], v: list[float]) -> None:
    usual = [x for x in y if abs(x) < 1e100]
    positive = [x for x in v if 1e-100 < x < 1e100]
    n = min(len(usual), len(positive))
    for estimates, variances in ((y, v), (usual[:n], positive[:n])):
        try:
            fit = common_effect(estimates, variances)
        except KetametaError:
            continue
        assert np.isfinite([fit.estimate, fit.se]).all()
        assert fit.se > 0
