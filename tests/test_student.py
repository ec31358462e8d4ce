"""The tail of Student's t without scipy equals scipy's."""

from __future__ import annotations

import itertools

import pytest
from scipy.special import stdtr

from ketameta.evidence.checks import t_two_sided
from tolerances import STUDENT


@pytest.mark.parametrize("df", [0.5, 1, 2, 3.7, 10, 58, 120, 999, 1e5])
def test_it_equals_scipy_from_the_middle_to_the_tail(df: float) -> None:
    for size, sign in itertools.product((1e-9, 0.01, 0.5, 1, 1.96, 3, 8, 30), (-1, 1)):
        expected = 2 * float(stdtr(df, -size))
        assert t_two_sided(sign * size, df) == pytest.approx(expected, rel=STUDENT)


def test_no_difference_has_p_of_one() -> None:
    assert t_two_sided(0.0, 12) == 1.0
