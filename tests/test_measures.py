"""Every measure of the registry against metafor's escalc, and what the registry says of it."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import ketameta as km
from ketameta import effect_sizes
from ketameta.effects import conversions
from ketameta.errors import ImpossibleDataError, NotEstimableError, UsageError
from ketameta.measures import (
    EVIDENCE_MEASURES,
    MEASURES,
    TRANSFORMATIONS,
    Measure,
    find_measure,
    measure_code,
)
from tolerances import DIRECT, EFFECT_SIZE

HERE = Path(__file__).parent
MORE = json.loads((HERE / "reference" / "escalc_more.json").read_text(encoding="utf-8"))
FIRST = {
    name: json.loads((HERE / "reference" / f"escalc_{name}.json").read_text(encoding="utf-8"))
    for name in ("means", "events", "paired")
}
TWO = ("events_treatment", "n_treatment", "events_control", "n_control")
MEANS = ("mean_treatment", "sd_treatment", "n_treatment", "mean_control", "sd_control",
         "n_control")  # fmt: skip
PAIRED = ("mean_before", "mean_after", "sd_before", "sd_after", "n", "correlation")


def column(values):
    return np.array([math.nan if v is None else v for v in values], dtype=float)


def grid(block, names, arguments):
    return {a: column(block[name]) for name, a in zip(names, arguments, strict=True)}


def inputs(measure):
    """Return the stored columns of a measure by our argument names."""
    if measure in ("SMD", "MD", "ROM"):
        return grid(FIRST["means"]["inputs"], ("m1", "sd1", "n1", "m2", "sd2", "n2"), MEANS)
    if measure in ("OR", "RR", "RD", "PETO"):
        source = MORE["events"] if measure == "PETO" else FIRST["events"]["inputs"]
        return grid(source, ("ai", "n1", "ci", "n2"), TWO)
    if measure == "IRR":
        arguments = [name.replace("n_", "time_") for name in TWO]
        return grid(MORE["rates"], ("x1i", "t1i", "x2i", "t2i"), arguments)
    if measure in ("SMCR", "SMCC"):
        source = MORE["paired"] if measure == "SMCC" else FIRST["paired"]["inputs"]
        return grid(source, ("before", "after", "sd_before", "sd_after", "n", "r"), PAIRED)
    if measure in ("COR", "ZCOR"):
        return grid(MORE["pairs"], ("ri", "ni"), ("correlation", "n"))
    if measure == "IRLN":
        return grid(MORE["times"], ("xi", "ti"), ("events", "time"))
    if measure == "MN":
        return grid(MORE["means"], ("mi", "sdi", "ni"), ("mean", "sd", "n"))
    return grid(MORE["ones"], ("xi", "ni"), ("events", "n"))


def stored(measure, suffix=""):
    for source in (MORE, *FIRST.values()):
        if (block := source.get(f"{measure}{suffix}")) is not None:
            return column(block["yi"]), column(block["vi"])
    raise LookupError(measure)


#: Measures with a zero-cell rule, and those without.
WITH_ZEROS = ("OR", "RR", "RD", "PETO", "IRR", "PR", "PLO", "IRLN")
WITHOUT = ("SMD", "MD", "ROM", "SMCR", "SMCC", "COR", "ZCOR", "PAS", "PFT", "MN")


def assert_equal_escalc(ours, wanted):
    """Compare relative to the value, and to 1e-2 of the tolerance where that is near 0."""
    for mine, theirs in zip((ours.estimate, ours.variance), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=EFFECT_SIZE, atol=EFFECT_SIZE * 1e-2)


# --- numbers --------------------------------------------------------------------------------------


def test_every_measure_but_the_hazard_ratio_has_stored_values():
    assert {*WITH_ZEROS, *WITHOUT, "HR"} == {m.value for m in Measure}


@pytest.mark.parametrize("measure", WITHOUT)
def test_measures_equal_escalc(measure):
    ours = effect_sizes(None, measure, **inputs(measure))
    assert ours.measure == measure and ours.k > 20
    assert_equal_escalc(ours, stored(measure))


@pytest.mark.parametrize("measure", WITH_ZEROS)
@pytest.mark.parametrize("rule", ["only0", "all", "none"])
def test_measures_of_events_equal_escalc_under_every_zero_cell_rule(measure, rule):
    y, v = stored(measure, f"_{rule}")
    defined = np.isfinite(y) & np.isfinite(v) & (v > 0)
    assert defined.all() == (rule != "none")
    columns = {name: values[defined] for name, values in inputs(measure).items()}
    ours = effect_sizes(None, measure, zero_cells=rule, **columns)
    assert_equal_escalc(ours, (y[defined], v[defined]))
    undefined = {name: values[~defined] for name, values in inputs(measure).items()}
    for at in range((~defined).sum()):
        with pytest.raises(NotEstimableError, match=r"position 0 \(study 1\)"):
            effect_sizes(
                None, measure, zero_cells=rule, **{n: x[[at]] for n, x in undefined.items()}
            )


@pytest.mark.parametrize("measure", ["PETO", "IRR"])
def test_double_zeros_are_dropped_as_escalc_drops_them(measure):
    y, v = stored(measure, "_drop00")
    kept = np.flatnonzero(np.isfinite(y))
    assert 0 < kept.size < y.size
    ours = effect_sizes(None, measure, double_zeros="drop", **inputs(measure))
    np.testing.assert_array_equal(ours.positions, kept)
    assert_equal_escalc(ours, (y[kept], v[kept]))


def test_the_grids_hold_what_makes_trouble():
    ones, rates, pairs = MORE["ones"], MORE["rates"], MORE["pairs"]
    assert min(ones["ni"]) == 1 and {0, 1} <= set(ones["xi"])
    assert any(x == n > 3 for x, n in zip(ones["xi"], ones["ni"], strict=True))
    assert min(rates["x1i"]) == min(rates["x2i"]) == 0
    assert max(np.abs(pairs["ri"])) > 0.99999 and min(pairs["ni"]) == 4
    assert min(MORE["paired"]["n"]) == 3 and max(np.abs(MORE["paired"]["r"])) > 0.99


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_hazard_ratios_follow_from_what_is_printed(level):
    hr = np.array([0.01, 0.7, 1.0, 25.0])
    se = np.array([2.0, 0.17, 1e-3, 0.4])
    z = special.ndtri(0.5 + level / 2)
    low, high = hr * np.exp(-z * se), hr * np.exp(z * se)
    printed = effect_sizes(None, "HR", hr=hr, ci_low=low, ci_high=high, level=level)
    modelled = effect_sizes(None, "HR", log_hr=np.log(hr), se=se)
    ranks = effect_sizes(None, "HR", observed_minus_expected=np.log(hr) / se**2, variance=1 / se**2)
    for found in (printed, modelled, ranks):
        np.testing.assert_allclose(found.estimate, np.log(hr), rtol=DIRECT, atol=DIRECT)
        # The bounds are printed; their difference loses digits where the interval is narrow.
        np.testing.assert_allclose(found.variance, se**2, rtol=1e3 * DIRECT)


def test_peto_is_also_had_from_the_log_rank_statistic():
    found = effect_sizes(None, "PETO", observed_minus_expected=[-6.0], variance=[15.0])
    assert found.measure == "PETO"
    assert found.estimate[0] == -0.4 and found.variance[0] == pytest.approx(1 / 15, rel=DIRECT)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "columns", "message"),
    [
        ("PR", {"events": [3, 21], "n": [20, 20]}, r"events must be at most n: 21 at position 1"),
        ("PLO", {"events": [3, -1], "n": [20, 20]}, r"events must be 0 or more: -1 at position 1"),
        ("PFT", {"events": [0], "n": [0]}, r"n must be > 0: 0 at position 0"),
        ("IRLN", {"events": [3], "time": [0]}, r"time must be > 0: 0 at position 0"),
        ("COR", {"correlation": [0.2, 1.0], "n": [9, 9]}, "strictly between -1 and 1: 1 at"),
        ("ZCOR", {"correlation": [0.2], "n": [3]}, "n must be 4 or more: 3 at position 0"),
        ("MN", {"mean": [1.0], "sd": [0.0], "n": [9]}, "sd must be > 0: 0 at position 0"),
        ("MN", {"mean": [1.0], "sd": [2.0], "n": [1]}, "n must be 2 or more: 1 at position 0"),
        ("HR", {"hr": [0.4], "ci_low": [0.5], "ci_high": [0.9]}, "hr must be between ci_low and"),
        ("HR", {"hr": [-1], "ci_low": [0.5], "ci_high": [0.9]}, "hr must be > 0"),
        ("HR", {"hr": [0.7], "ci_low": [0.9], "ci_high": [0.5]}, "hr must be between ci_low and"),
        ("HR", {"log_hr": [0.7], "se": [0.0]}, "se must be > 0"),
        ("HR", {"observed_minus_expected": [0.7], "variance": [0.0]}, "variance must be > 0"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_named(measure, columns, message):
    with pytest.raises(ImpossibleDataError, match=message):
        effect_sizes(None, measure, labels=[f"trial {i}" for i in range(9)][: len(
            next(iter(columns.values())))], **columns)  # fmt: skip


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("rr", "RR"), ("relative risk", "RR"), ("Risk ratio", "RR"), ("log odds ratio", "OR"),
        ("Hedges' g", "SMD"), ("smd", "SMD"), ("hazard ratio", "HR"), ("Zcor", "ZCOR"),
        ("proportion", "PLO"), ("Fisher's z", "ZCOR"), ("IIRR", "IRR"),
    ],
)  # fmt: skip
def test_an_unknown_measure_gets_the_choices_and_the_nearest(word, code):
    with pytest.raises(UsageError, match=f"measure is .*did you mean '?{code}'?") as refused:
        find_measure(word)
    assert all(measure.value in str(refused.value) for measure in Measure)


def test_what_is_no_word_is_no_measure():
    for value in (None, 3, ["RR"]):
        with pytest.raises(UsageError, match="measure is"):
            find_measure(value)
    assert measure_code(None) is None and measure_code(Measure.RR) == "RR"
    with pytest.raises(UsageError, match=r"measure is 'rr'.*did you mean RR"):
        km.random_effects([0.1, 0.2], [0.1, 0.1], measure="rr")


@pytest.mark.parametrize(
    ("argument", "word", "hint"),
    [
        ("tau2_method", "DerSimonian-Laird", "did you mean DL"),
        ("tau2_method", "paule_mandel", "did you mean PM"),
        ("tau2_method", "HKSJ", "that is ci_method='knapp-hartung'"),
        ("tau2_method", "fixed", "use common_effect"),
        ("ci_method", "HKSJ", "did you mean knapp-hartung"),
        ("ci_method", "knha", "did you mean knapp-hartung"),
        ("ci_method", "z", "did you mean wald"),
        ("ci_method", "DL", "choose one of"),
    ],
)
def test_names_of_methods_elsewhere_get_a_hint(argument, word, hint):
    with pytest.raises(UsageError, match=f"{argument} is '{word}'.*{hint}"):
        km.random_effects([0.1, 0.2], [0.1, 0.1], **{argument: word})


# --- the registry ---------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", list(Measure))
def test_every_entry_is_complete_and_its_functions_take_its_columns(measure):
    from ketameta.effects.table import _ROOMS

    entry = MEASURES[measure]
    assert entry.name is measure and entry.ways
    assert entry.transformation in TRANSFORMATIONS
    assert entry.label[0].isupper() and entry.pooled_label
    assert (entry.pooled_label == entry.label) == (entry.transformation == "identity")
    for way in entry.ways:
        room, _, name = way.function.partition(".")
        parameters = inspect.signature(getattr(_ROOMS[room], name)).parameters
        positional = [
            p for p in parameters if parameters[p].kind is not inspect.Parameter.KEYWORD_ONLY
        ]
        taken = [
            column.replace("d", "estimate", 1) if column == "d" else column
            for column in way.columns
        ]
        assert positional == taken
        assert set(way.options) <= set(parameters)


def test_every_transformation_is_used_and_evidence_has_measures_of_two_groups():
    assert {entry.transformation for entry in MEASURES.values()} == set(TRANSFORMATIONS)
    assert set(EVIDENCE_MEASURES) < set(Measure)


BACK = MORE["back"]


@pytest.mark.parametrize(
    ("measure", "key"), [("PLO", "ilogit"), ("ZCOR", "ztor"), ("PAS", "iarcsin"), ("PFT", "ipft")]
)
def test_values_turn_back_as_metafor_turns_them(measure, key):
    x, people = column(BACK["x"]), column(BACK["people"])
    shown = MEASURES[Measure(measure)].to_reader(x, 1 / (4 * people + 2))
    np.testing.assert_allclose(shown, column(BACK[key]), rtol=DIRECT, atol=DIRECT)


@pytest.mark.parametrize("measure", ["PLO", "PAS", "PFT", "ZCOR", "PR", "COR"])
def test_the_scale_that_is_read_is_where_the_data_came_from(measure):
    columns = inputs(measure)
    kept = {name: values[5:6] for name, values in columns.items()}
    found = effect_sizes(None, measure, **kept)
    share = kept["correlation"] if "correlation" in kept else kept["events"] / kept["n"]
    shown = MEASURES[Measure(measure)].to_reader(found.estimate, found.variance)
    if not found.corrected.any():
        np.testing.assert_allclose(shown, share, rtol=1e-9, atol=1e-12)


def test_a_double_arcsine_without_people_is_not_turned_back():
    assert np.isnan(MEASURES[Measure.PFT].to_reader(0.3))


def test_conversions_are_public():
    functions = [n for n in conversions.__all__ if inspect.isfunction(getattr(conversions, n))]
    assert len(functions) > 20
    for name in functions:
        assert getattr(km, name) is getattr(conversions, name)
        assert name in km.__all__
    assert km.sd_from_se(2.0, 16)[0] == 8.0
    assert callable(km.dose_response)
