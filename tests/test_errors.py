"""Errors name the argument, the value, the choices and the nearest one."""

from __future__ import annotations

import pytest

from ketameta import errors
from ketameta.errors import check_choice, did_you_mean, near_matches

CHOICES = ("REML", "DL", "ML", "HE")


def test_every_named_error_is_one_that_the_command_catches() -> None:
    named = [
        item for item in vars(errors).values() if isinstance(item, type) and item.__name__ != "ABC"
    ]
    raised = [item for item in named if issubclass(item, Exception)]
    assert len(raised) == 9
    assert all(issubclass(item, errors.KetametaError) for item in raised)
    assert all(item.__doc__ for item in raised)


def test_an_extraction_error_keeps_its_findings() -> None:
    error = errors.ExtractionError("two problems", ["first", "second"])
    assert (str(error), error.findings) == ("two problems", ("first", "second"))
    assert errors.ExtractionError("none").findings == ()


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("REMl", ["REML"]), ("reml", ["REML"]), ("placbo", []), ("", [])],
)
def test_near_matches_ignore_case_and_stay_empty_for_strangers(
    word: str, nearest: list[str]
) -> None:
    assert near_matches(word, CHOICES)[:1] == nearest


def test_near_matches_are_at_most_as_many_as_asked() -> None:
    words = ["ketamine", "esketamine", "ketamine_iv", "ketamines"]
    assert near_matches("ketamin", words, most=2) == ["ketamine", "ketamines"]
    assert did_you_mean("ketamin", words) == "; did you mean ketamine?"
    assert did_you_mean("oak", words) == ""


def test_a_choice_passes_through() -> None:
    assert check_choice("tau2_method", "DL", CHOICES) == "DL"


@pytest.mark.parametrize("value", ["REMl", "", None, 3, ["REML"]])
def test_a_wrong_choice_is_refused_with_everything_needed_to_mend_it(value: object) -> None:
    with pytest.raises(errors.UsageError) as caught:
        check_choice("tau2_method", value, CHOICES)
    text = str(caught.value)
    assert text.startswith(f"tau2_method is {value!r}; choose one of 'REML', 'DL', 'ML', 'HE'")
    assert text.endswith("did you mean REML?") == (value == "REMl")


def test_the_start_of_a_name_is_enough_for_a_hint() -> None:
    assert did_you_mean("ame", ["amezcua_gutierrez_2024", "birch_2016"]).endswith("_2024?")
    assert did_you_mean("am", ["amezcua_gutierrez_2024"]) == ""
