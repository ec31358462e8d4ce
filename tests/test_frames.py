"""Frames in, effects out; every model takes effects, frames or arrays; arms become contrasts."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import special

import ketameta as km
from helpers import ROOT, each
from ketameta import effect_sizes
from ketameta.effects import check_alike, check_indexes
from ketameta.errors import (
    ImpossibleDataError,
    KetametaError,
    NotEstimableError,
    UsageError,
)
from tolerances import DENSE, DIRECT, EFFECT_SIZE, METAFOR_SEARCHED, PUBLISHED_TWO_DIGITS

#: dat.bcg: trials of a vaccine; allocation and latitude are moderators.
BCG = pd.DataFrame(
    {
        "author": ["Aronson", "Ferguson", "Rosenthal 1960", "Hart", "Frimodt-Moller", "Stein",
                   "Vandiviere", "Madras", "Coetzee", "Rosenthal 1961", "Comstock 1974",
                   "Comstock 1969", "Comstock 1976"],
        "tpos": [4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27],
        "n1": [123, 306, 231, 13598, 5069, 1541, 2545, 88391, 7499, 1716, 50634, 2498, 16913],
        "cpos": [11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29],
        "n2": [139, 303, 220, 12867, 5808, 1451, 629, 88391, 7277, 1665, 27338, 2341, 17854],
        "ablat": [44, 55, 42, 52, 13, 44, 19, 13, 27, 42, 18, 33, 33],
        "alloc": ["random"] * 4 + ["alternate"] * 2 + ["random"] * 2 + ["random"]
                 + ["systematic"] * 4,
    }
)  # fmt: skip
COUNTS = {"events_treatment": "tpos", "n_treatment": "n1", "events_control": "cpos",
          "n_control": "n2"}  # fmt: skip
ES = effect_sizes(BCG, "RR", labels="author", **COUNTS)


def polars(frame: pd.DataFrame):
    """Return a frame of polars."""
    return importlib.import_module("polars").DataFrame(frame.to_dict("list"))


def arrow(frame: pd.DataFrame):
    """Return a table of pyarrow."""
    return importlib.import_module("pyarrow").table(frame.to_dict("list"))


KINDS = {
    "pandas": lambda frame: frame,
    "polars": polars,
    "pyarrow": arrow,
    "mapping": lambda frame: frame.to_dict("list"),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))

# --- what is said to a wrong call -----------------------------------------------------------------

FOUR = km.random_effects([0.1, 0.3, 0.2, 0.5], [0.01, 0.02, 0.03, 0.02], labels=list("abcd"))
MIXED_UP = pd.Series([1, 2, 3, 4], index=list("bacd"))
AB, BA = ["a", "b"], ["b", "a"]
WRONG_CALLS = {
    "labels in another order": (
        lambda: km.random_effects(pd.Series([0.1, 0.3], index=AB), [0.1, 0.2],
                                  labels=pd.Series(["B", "A"], index=BA)),
        "estimates and labels have different indexes: row 0 is 'a' in one and 'b'",
    ),
    "clusters in another order": (lambda: km.robust(FOUR, MIXED_UP), "cluster has 'b' in row 0"),
    "years in another order": (lambda: km.cumulative(FOUR, MIXED_UP), "order has 'b' in row 0"),
    "a column that no fit keeps": (lambda: km.robust(FOUR, "site"), "data['site']"),
    "groups of two indexes": (
        lambda: km.one_group(pd.Series([1, 2], index=AB), pd.Series([9, 8], index=BA)),
        "events and total have different indexes",
    ),
    "a path for axes": (lambda: FOUR.forest("x.png"), "fit.forest().figure.savefig('forest.svg')"),
    "headings without values": (lambda: FOUR.forest(columns=["x"]), "columns={'Dose': data["),
    "a word for a truth": (lambda: FOUR.forest(lower_is_better="no"), "give True or False"),
    "metafor's argument": (lambda: km.random_effects([0.1], [0.1], method="DL"), "tau2_method"),
    "metafor's function": (lambda: km.rma, "did you mean random_effects?"),
    "a frame for a measure": (lambda: effect_sizes("RR", BCG), "measure is of type DataFrame"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_wrong_call_says_what_to_write(name: str) -> None:
    call, said = WRONG_CALLS[name]
    with pytest.raises((KetametaError, AttributeError), match=re.escape(said)):
        call()


def test_labels_in_the_order_of_the_fit_are_taken() -> None:
    years = pd.Series([3, 1, 2, 4], index=list("abcd"))
    assert km.cumulative(FOUR, years).labels == ("b", "c", "a", "d")


def test_a_printed_ratio_is_pooled_from_its_interval() -> None:
    # The interval of a Wald test is symmetric on the log scale: back to the variance it came from.
    es = effect_sizes(BCG, "RR", labels="author", **COUNTS)
    half = 1.959963984540054 * np.sqrt(es.variance)
    low, high = np.exp(es.estimate - half), np.exp(es.estimate + half)
    again = effect_sizes(measure="RR", ratio=np.exp(es.estimate), ci_low=low, ci_high=high)
    assert again.estimate == pytest.approx(es.estimate, rel=1e-12)  # exp and log undo each other
    assert again.variance == pytest.approx(es.variance, rel=1e-12)
    assert again.measure == "RR"


# --- frames ---------------------------------------------------------------------------------------


@every_kind
def test_frames_of_every_kind_give_the_effects_of_the_arrays(kind):
    frame = kind(BCG)
    found = effect_sizes(frame, "RR", labels="author", **COUNTS)
    arrays = km.log_risk_ratio(BCG["tpos"], BCG["n1"], BCG["cpos"], BCG["n2"])
    np.testing.assert_array_equal(found.estimate, arrays.estimate)
    np.testing.assert_array_equal(found.variance, arrays.variance)
    assert found.labels == tuple(BCG["author"])
    assert (found.k, len(found), found.measure) == (13, 13, "RR")
    np.testing.assert_array_equal(found.raw["n_treatment"], BCG["n1"])
    back = found.to_frame()
    wanted = pd.DataFrame if isinstance(frame, dict) else type(frame)
    assert type(back) is wanted
    np.testing.assert_array_equal(np.asarray(back["estimate"]), found.estimate)
    again = km.random_effects(
        back, estimate="estimate", variance="variance", labels="label", measure="RR"
    )
    assert again == km.random_effects(ES)


@every_kind
def test_the_first_example_of_the_field_in_three_lines(kind):
    effects = effect_sizes(kind(BCG), "RR", labels="author", **COUNTS)
    fit = km.random_effects(effects)
    # Viechtbauer (2010), J. Stat. Softw. 36(3): tau-squared 0.3132, mean -0.7145.
    assert fit.tau2 == pytest.approx(0.3132432581, rel=METAFOR_SEARCHED)
    assert fit.estimate == pytest.approx(-0.7145323422, rel=METAFOR_SEARCHED)
    assert fit.display_estimate == pytest.approx(math.exp(fit.estimate), rel=DIRECT)
    assert fit.display_estimate == pytest.approx(0.49, abs=PUBLISHED_TWO_DIGITS)
    assert fit.labels == tuple(BCG["author"]) and fit.measure == "RR"


def test_effects_print_a_table_and_serialise():
    lines = repr(ES).splitlines()
    assert lines[0] == "<Effects: risk ratio, 13 studies>"
    assert lines[1].split() == ["study", "estimate", "95%", "CI", "log", "risk", "ratio",
                                "variance"]  # fmt: skip
    assert lines[2].split() == ["Aronson", "0.41", "0.13", "to", "1.26", "−0.8893", "0.3256"]
    assert len(lines) == 15
    assert ES._repr_html_().startswith("<table><caption>Effects: risk ratio, 13 studies</caption>")
    stored = json.loads(json.dumps(ES.to_dict()))
    assert stored["measure"] == "RR" and stored["estimate"] == ES.estimate.tolist()
    long = effect_sizes(measure="SMD", estimate=np.zeros(25), variance=np.ones(25))
    assert "... and 5 more" in repr(long)
    html = effect_sizes({"s": ["<b>"], "y": [0.1], "v": [1]}, estimate="y", variance="v",
                        labels="s")._repr_html_()  # fmt: skip
    assert "&lt;b&gt;" in html and "<b>" not in html


def test_labels_come_from_columns_or_from_an_index_of_words():
    indexed = BCG.set_index("author")
    assert effect_sizes(indexed, "RR", **COUNTS).labels == tuple(BCG["author"])
    both = effect_sizes(BCG, "RR", labels=["author", "ablat"], **COUNTS)
    assert both.labels[0] == "Aronson 44"
    assert effect_sizes(BCG, "RR", **COUNTS).labels[:2] == ("study 1", "study 2")
    levels = BCG.set_index(["author", "ablat"])
    assert effect_sizes(levels, "RR", **COUNTS).labels[0] == "Aronson, 44"
    nameless = pd.MultiIndex.from_product([range(13), [0]])
    assert effect_sizes(BCG.set_index(nameless), "RR", **COUNTS).labels[0] == "study 1"
    numbered = BCG.set_index(pd.Index(range(100, 113), name="trial"))
    assert effect_sizes(numbered, "RR", **COUNTS).labels[0] == "100"
    y, v = pd.Series([0.1, 0.2], index=["a", "b"]), pd.Series([0.1, 0.1], index=["a", "b"])
    assert km.random_effects(y, v).labels == ("a", "b")
    assert km.random_effects(y, v, labels=["c", "d"]).labels == ("c", "d")
    assert km.random_effects([0.1, 0.2], [1, 1]).labels == ("study 1", "study 2")


def test_indexes_that_differ_are_refused_wherever_columns_meet():
    turned = pd.Series(BCG["n1"].to_numpy()[::-1], index=BCG.index[::-1])
    with pytest.raises(UsageError, match=r"data and n_treatment have different indexes: row 0"):
        effect_sizes(BCG, "RR", **{**COUNTS, "n_treatment": turned})
    with pytest.raises(UsageError, match="effects and groups have different indexes"):
        km.subgroup_analysis(ES, BCG["alloc"].iloc[::-1])
    with pytest.raises(UsageError, match="effects and data have different indexes"):
        km.meta_regression(ES, "~ ablat", data=BCG.iloc[::-1])
    with pytest.raises(UsageError, match="data has 12 rows and the effects come from 13 rows"):
        km.meta_regression(ES, "~ ablat", data=BCG.iloc[:12])
    with pytest.raises(UsageError, match="estimates and groups have different indexes"):
        km.subgroup_analysis(
            pd.Series([1.0, 2, 3]), [1, 1, 1], pd.Series(list("aab"), index=[2, 1, 0])
        )
    check_indexes(a=pd.Series([1, 2]), b=[1, 2], c=pd.Series([3, 4]))


@every_kind
def test_missing_rows_are_named_or_dropped_by_name(kind):
    holed = BCG.assign(n1=BCG["n1"].astype(float))
    holed.loc[[2, 7], "n1"] = np.nan
    holed.loc[2, "n2"] = 220
    with pytest.raises(
        ImpossibleDataError,
        match=r"missing in row 2 \(Rosenthal 1960\): n_treatment; row 7 \(Madras\): n_treatment",
    ):
        effect_sizes(kind(holed), "RR", labels="author", **COUNTS)
    found = effect_sizes(kind(holed), "RR", labels="author", missing="drop", **COUNTS)
    assert found.dropped == ("Rosenthal 1960", "Madras") and found.k == 11
    assert "left out, a value is missing: Rosenthal 1960, Madras" in repr(found)
    rest = BCG.drop(index=[2, 7])
    wanted = effect_sizes(rest, "RR", labels="author", **COUNTS)
    np.testing.assert_array_equal(found.estimate, wanted.estimate)
    # A column of the frame, or of all rows, follows the rows that remain.
    by_name = km.subgroup_analysis(found, "alloc")
    assert by_name == km.subgroup_analysis(wanted, "alloc")
    assert by_name == km.subgroup_analysis(found, BCG["alloc"].tolist())
    assert len(found.to_frame()) == 11


def test_dropped_double_zeros_take_their_rows_along():
    frame = BCG.assign(tpos=[0, *BCG["tpos"][1:]], cpos=[0, *BCG["cpos"][1:]])
    found = effect_sizes(frame, "OR", double_zeros="drop", labels="author", **COUNTS)
    assert found.labels == tuple(BCG["author"][1:]) and found.rows == 13
    reg = km.meta_regression(found, "~ ablat")
    np.testing.assert_array_equal(reg.design[:, 1], BCG["ablat"][1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"events_treatment": "tpo"}, "events_treatment is 'tpo', .* no such column; it has "
                                      "'author', .*did you mean tpos"),
        ({"n_control": None}, "RR needs events_treatment, .*; missing: n_control"),
        ({"event_control": "cpos"}, "no argument 'event_control'.*did you mean events_control"),
        ({"sd_control": "cpos"}, "'sd_control', which belongs to other measures"),
        ({"events_treatment": "author"}, r"must be numbers, and .*\[0\] is 'Aronson'"),
        ({"n_treatment": [1, 2]}, "columns differ in length: data has 13 rows"),
        ({"labels": "authr"}, "labels is 'authr'.*did you mean author"),
        ({"labels": ["a", "b"]}, "labels has 2 values; give one for each of 13 rows"),
        ({"zero_cells": "some"}, "zero_cells is 'some'; choose one of"),
        ({"missing": "ignore"}, "missing is 'ignore'; choose one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        effect_sizes(BCG, "RR", **{**COUNTS, **arguments})


def test_values_that_cannot_be_are_named_by_row_and_label():
    wrong = BCG.assign(n1=[1, *BCG["n1"][1:]])
    with pytest.raises(ImpossibleDataError, match=r"at most n_treatment: 4 at position 0 \(Arons"):
        effect_sizes(wrong, "RR", labels="author", **COUNTS)
    with pytest.raises(ImpossibleDataError, match=r"labels\[1\] is missing"):
        effect_sizes(BCG, "RR", labels=["a", None, *"cdefghijklm"], **COUNTS)
    with pytest.raises(UsageError, match="data is a list; give a data frame"):
        effect_sizes([1, 2], "RR", **COUNTS)
    with pytest.raises(UsageError, match="a column's name needs data= a frame"):
        effect_sizes(None, "RR", **COUNTS)
    with pytest.raises(UsageError, match="data has more than one column 'author'"):
        effect_sizes(pd.concat([BCG, BCG], axis=1), "RR", **COUNTS)
    with pytest.raises(NotEstimableError, match="no row is left"):
        effect_sizes({"y": [np.nan], "v": [1.0]}, estimate="y", variance="v", missing="drop")
    with pytest.raises(UsageError, match=r"without measure= this takes .*estimate, variance"):
        effect_sizes(BCG, **COUNTS)


def test_a_lazy_frame_is_asked_to_be_collected():
    with pytest.raises(UsageError, match="data is a LazyFrame; collect"):
        effect_sizes(polars(BCG).lazy(), "RR", **COUNTS)


def test_the_public_name_is_the_function_and_no_package():
    assert km.effect_sizes is importlib.import_module("ketameta.effects.table").effect_sizes
    assert "effect_sizes" in km.__all__ and km.Effects is type(ES)


#: Public functions that take a fit and have no example of their own.
NO_EXAMPLE = {
    "baujat", "cumulative", "egger_test", "fail_safe_n", "gosh", "henmi_copas", "influence",
    "network_components", "permutation_test", "pet_peese", "peters_test", "posterior_curves",
    "prediction_interval", "rank_test", "second_engine", "selection_model",
    "trim_and_fill",
}  # fmt: skip

# --- the door of the models -----------------------------------------------------------------------

YV = (ES.estimate, ES.variance)
STUDY = [f"team {i // 2}" for i in range(13)]
FRAME = BCG.assign(yi=ES.estimate, vi=ES.variance, team=STUDY, base="none")
#: Each model called with effects, with arrays, and with a frame.
MODELS = {
    "random_effects": (lambda x, **o: km.random_effects(x, **o), {},
                       lambda **o: km.random_effects(*YV, **o)),
    "common_effect": (lambda x, **o: km.common_effect(x, **o), {},
                      lambda **o: km.common_effect(*YV, **o)),
    "pool": (lambda x, **o: km.pool(x, **o), {}, lambda **o: km.pool(*YV, **o)),
    "subgroup_analysis": (lambda x, **o: km.subgroup_analysis(x, **o), {"groups": "alloc"},
                          lambda **o: km.subgroup_analysis(*YV, BCG["alloc"], **o)),
    "meta_regression": (lambda x, **o: km.meta_regression(x, "~ ablat + alloc", **o), {},
                        lambda **o: km.meta_regression(*YV, BCG, "~ ablat + alloc", **o)),
    "numeric moderators": (lambda x, **o: km.meta_regression(x, ["ablat"], **o), {},
                           lambda **o: km.meta_regression(*YV, BCG[["ablat"]], **o)),
    "bayes_random_effects": (lambda x, **o: km.bayes_random_effects(x, **o), {},
                             lambda **o: km.bayes_random_effects(*YV, **o)),
    "multilevel": (lambda x, **o: km.multilevel(x, "team", **o), {},
                   lambda **o: km.multilevel(*YV, STUDY, BCG["author"], **o)),
    "che": (lambda x, **o: km.che(x, "team", formula="~ ablat", **o), {},
            lambda **o: km.che(*YV, STUDY, BCG["author"], BCG, formula="~ ablat", **o)),
    "che_sensitivity": (lambda x, **o: km.che_sensitivity(x, "team", rhos=[0.5], **o), {},
                        lambda **o: km.che_sensitivity(*YV, STUDY, rhos=[0.5], **o)),
    "network": (lambda x, **o: km.network_meta_analysis(x, "author", "alloc", "base", **o), {},
                lambda **o: km.network_meta_analysis(
                    *YV, BCG["author"], BCG["alloc"], ["none"] * 13, **o)),
    "dose_response": (lambda x, **o: km.dose_response(x, dose="ablat", study="author", **o), {},
                      lambda **o: km.dose_response(*YV, BCG["ablat"], BCG["author"], **o)),
}  # fmt: skip
LABELLED = ("random_effects", "common_effect", "pool", "subgroup_analysis", "meta_regression",
            "numeric moderators", "bayes_random_effects")  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_effects_frames_and_arrays(name):
    call, options, with_arrays = MODELS[name]
    labels = {"labels": list(BCG["author"])} if name in LABELLED else {}
    wanted = with_arrays(measure="RR", **labels)
    effects = effect_sizes(FRAME, "RR", estimate="yi", variance="vi", labels="author")
    assert call(effects, **options) == wanted
    named = {"estimate": "yi", "variance": "vi", "measure": "RR", "labels": "author", **options}
    assert call(FRAME, **named) == wanted
    by_se = {**named, "se": "sei"}
    del by_se["variance"]
    again = call(FRAME.assign(sei=np.sqrt(FRAME["vi"])), **by_se).to_dict()
    assert again.keys() == wanted.to_dict().keys()
    assert call(polars(FRAME), **named) == wanted


def test_models_take_what_the_array_functions_return():
    plain = km.log_risk_ratio(BCG["tpos"], BCG["n1"], BCG["cpos"], BCG["n2"])
    fit = km.random_effects(plain)
    assert fit == km.random_effects(*YV, measure="RR")


def test_counts_are_taken_from_effects_and_frames():
    columns = [BCG[name] for name in ("tpos", "n1", "cpos", "n2")]
    named = {"labels": list(BCG["author"])}
    odds = effect_sizes(BCG, "OR", labels="author", **COUNTS)
    for model, options in (
        (km.mantel_haenszel, {"measure": "OR"}),
        (km.peto, {}),
        (km.binomial_normal, {}),
    ):
        wanted = model(*columns, **named, **options)
        assert model(odds) == wanted
        assert model(BCG, labels="author", **COUNTS) == wanted
    assert km.mantel_haenszel(ES).measure == "RR"
    with pytest.raises(UsageError, match=r"peto\(\) needs the counts; these effects hold no"):
        km.peto(effect_sizes(FRAME, "OR", estimate="yi", variance="vi"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: km.random_effects(BCG), UsageError, "given a frame; name its columns with est"),
        (lambda: km.peto(BCG), UsageError, "given a frame; name its columns with events_treat"),
        (lambda: km.random_effects(ES, measure="OR"), UsageError, "measure is 'OR', and the eff"),
        (lambda: km.random_effects(FRAME, estimate="yi"), UsageError, "missing: variance|needs"),
        (lambda: km.subgroup_analysis(ES, "aloc"), UsageError, "groups is 'aloc'.*alloc"),
        (lambda: km.meta_regression(ES, "~ ablet"), UsageError, "did you mean ablat"),
        (lambda: km.meta_regression(ES, "~ ablat", formula="~ alloc"), UsageError, "twice"),
        (lambda: km.random_effects(ES, tau_method="DL"), TypeError, "did you mean tau2_method"),
        (lambda: km.random_effects(ES, "DL", tau2_method="DL"), TypeError, "multiple values"),
        (lambda: km.subgroup_analysis(effect_sizes(measure="SMD", estimate=[1, 2],
                                                   variance=[1, 1]), "g"), UsageError, "data="),
    ],
)  # fmt: skip
def test_calls_that_do_not_fit_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_unused_categories_are_dropped_and_near_namesakes_named():
    groups = pd.Categorical(BCG["alloc"], categories=["random", "alternate", "systematic", "none"])
    found = km.subgroup_analysis(*YV, groups)
    assert [row.level for row in found.rows] == ["random", "alternate", "systematic"]
    reg = km.meta_regression(*YV, pd.DataFrame({"g": groups}), "~ g")
    assert reg.names == ("intercept", "g[T.alternate]", "g[T.systematic]")
    wrong = [" Random" if i == 0 else word for i, word in enumerate(BCG["alloc"])]
    with pytest.raises(ImpossibleDataError, match="groups has names that differ only in case or"):
        km.subgroup_analysis(*YV, wrong)
    with pytest.raises(ImpossibleDataError, match=r"moderator 'g' has names .*' Random'"):
        km.meta_regression(*YV, pd.DataFrame({"g": wrong}), "~ g")
    with pytest.raises(ImpossibleDataError, match=r"treatment and control has .*'x' and 'X'"):
        km.network_meta_analysis([0.1, 0.2], [1, 1], ["a", "b"], ["x", "X"], ["p", "p"])
    check_alike("groups", ["a", "b", "a"])


def test_predictions_take_mappings_and_frames_of_every_kind():
    reg = km.meta_regression(ES, "~ ablat", data=BCG)
    one = reg.predict({"ablat": [20, 50]})
    assert one == reg.predict(pd.DataFrame({"ablat": [20, 50]}))
    assert one == reg.predict(polars(pd.DataFrame({"ablat": [20, 50]})))
    assert one.measure == "RR"
    np.testing.assert_allclose(one.display_estimate, np.exp(one.estimate), rtol=DIRECT)


# --- the scale that is read -----------------------------------------------------------------------

FIT = km.random_effects(ES)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (FIT, "pooled      0.49  95% CI 0.33 to 0.73"),
        (km.subgroup_analysis(ES, "alloc"), "(log scale −0.97)"),
        (km.meta_regression(ES, "~ ablat"), "ablat       0.97  95% CI 0.95 to 0.99 (log scale"),
        (km.meta_regression(ES, "~ ablat").predict({"ablat": [20]}), "0.72  95% CI 0.51 to 1.01"),
        (km.leave_one_out(FIT), "pooled      0.45 to 0.53 (log scale −0.79 to −0.63)"),
        (km.cumulative(FIT), "13 studies (+ Comstock 1976)  0.49  95% CI 0.33 to 0.73"),
        (km.trim_and_fill(FIT), "adjusted    0.52 [0.35, 0.77] (log scale −0.66)"),
        (km.selection_model(FIT), "adjusted    0.54 [0.32, 0.90] (log scale −0.62)"),
        (km.pet_peese(FIT), "PET         0.83 [0.51, 1.34] (log scale −0.19)"),
        (km.bayes_random_effects(ES), "mean effect  0.49  95% CrI 0.34 to 0.71 (log scale"),
        (km.multilevel(ES, STUDY), "intercept  0."),
        (km.network_meta_analysis(ES, BCG["author"], BCG["alloc"], ["none"] * 13),
         "(log scale −0.97)"),
    ],
)  # fmt: skip
def test_results_print_the_ratio_first_and_the_logarithm_beside_it(result, words):
    assert " ".join(words.split()) in " ".join(repr(result).split())
    assert "log scale" in repr(result)


@pytest.mark.parametrize(
    ("measure", "columns", "name"),
    [
        ("PLO", {"events": [3, 9, 4], "n": [20, 30, 25]}, "log odds"),
        ("PFT", {"events": [3, 9, 4], "n": [20, 30, 25]}, "2x arcsine"),
        ("PAS", {"events": [3, 9, 4], "n": [20, 30, 25]}, "arcsine"),
        ("ZCOR", {"correlation": [0.3, 0.5, 0.2], "n": [20, 30, 25]}, "Fisher's z"),
        ("IRLN", {"events": [3, 9, 4], "time": [20, 30, 25]}, "log scale"),
    ],
)  # fmt: skip
def test_proportions_rates_and_correlations_are_read_as_what_they_are(measure, columns, name):
    fit = km.random_effects(effect_sizes(measure=measure, **columns))
    values = list(columns.values())
    raw = np.divide(*values) if measure != "ZCOR" else np.array(values[0])
    assert raw.min() < fit.display_ci_low < fit.display_estimate < raw.max() < 1 or (
        raw.min() < fit.display_estimate < raw.max()
    )
    lines = repr(fit).splitlines()
    assert f"{fit.display_estimate:.2f}"[:4] in lines[1]
    assert any(line.strip().startswith(name) for line in lines)
    # A group by itself has no value of no effect, so that no test is printed.
    assert ("p = " in lines[1] or "p < " in lines[1]) == (measure == "ZCOR")


def test_a_result_without_a_measure_is_read_as_it_is():
    fit = km.random_effects(*YV)
    assert fit.display_estimate == fit.estimate and fit.display_pi_low == fit.pi_low
    assert km.random_effects([0.1, 0.2], [1, 1], measure="SMD").display_pi_low is None


# --- arms -----------------------------------------------------------------------------------------

ARMS = pd.DataFrame(
    {
        "trial": ["A", "A", "A", "B", "B", "C", "C", "D", "D"],
        "drug": ["x", "y", "p", "x", "p", "y", "p", "y", "x"],
        "events": [10, 8, 20, 5, 9, 1, 4, 7, 6],
        "n": [50, 50, 48, 30, 31, 20, 22, 40, 41],
        "mean": [11.0, 12, 13, 14, 15, 16, 17, 13, 12],
        "sd": [4.0, 5, 4, 6, 4, 5, 6, 4, 5],
        "time": [100.0, 90, 80, 70, 75, 33, 30, 51, 52],
    }
)
COLUMNS = {
    **dict.fromkeys(("SMD", "MD", "ROM"), ("mean", "sd", "n")),
    **dict.fromkeys(("OR", "RR", "RD"), ("events", "n")),
    "IRR": ("events", "time"),
}


def contrasts(measure, frame=ARMS, **options):
    named = {name: name for name in COLUMNS[measure]}
    return km.pairwise(frame, measure, study="trial", treatment="drug", **named, **options)


def arm(trial, drug):
    return ARMS[(ARMS["trial"] == trial) & (ARMS["drug"] == drug)].iloc[0]


@pytest.mark.parametrize("measure", COLUMNS)
def test_trials_of_two_arms_are_as_effect_sizes_has_them(measure):
    found = contrasts(measure)
    at = found.labels.index("B: x v p")
    sides = {"treatment": arm("B", "x"), "control": arm("B", "p")}
    single = effect_sizes(None, measure, **{
        f"{column}_{side}": [values[column]]
        for side, values in sides.items() for column in COLUMNS[measure]
    })  # fmt: skip
    assert found.estimate[at] == pytest.approx(single.estimate[0], rel=EFFECT_SIZE)
    assert found.variance[at] == pytest.approx(single.variance[0], rel=EFFECT_SIZE)


@pytest.mark.parametrize("measure", ["SMD", "MD", "ROM", "OR", "RR", "RD"])
def test_the_covariance_of_a_trial_is_that_of_its_shared_arm(measure):
    found = contrasts(measure)
    first = [arm("A", "x"), arm("A", "y")]
    base = arm("A", "p")
    columns = {
        f"{name}_{side}": [values[name] for values in rows]
        for side, rows in (("treatment", first), ("control", [base, base]))
        for name in {*COLUMNS[measure], "n"}
    }
    if measure == "SMD":
        columns = {key: columns[key] for key in ("n_treatment", "n_control")}
        columns["estimates"] = found.estimate[:2]
    shared = km.shared_arm_covariance(
        measure, ["A", "A"], ["x", "y"], ["p", "p"], pooled_sd="trial", **columns
    )
    np.testing.assert_allclose(found.covariance[0], shared.matrix, rtol=DIRECT)


def test_standardised_differences_of_a_trial_share_its_standard_deviation():
    found, rows = contrasts("SMD"), ARMS[ARMS["trial"] == "A"]
    df = (rows["n"] - 1).sum()
    pooled = math.sqrt(((rows["n"] - 1) * rows["sd"] ** 2).sum() / df)
    j = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    wanted = [j * (mean - 13) / pooled for mean in (11, 12)]
    np.testing.assert_allclose(found.estimate[:2], wanted, rtol=EFFECT_SIZE)


@pytest.mark.parametrize("measure", COLUMNS)
@pytest.mark.parametrize("reference", ["x", "y", "p"])
def test_a_network_does_not_depend_on_which_arm_is_the_base(measure, reference):
    one = km.network_meta_analysis(contrasts(measure), reference="p")
    other = km.network_meta_analysis(contrasts(measure, reference=reference), reference="p")
    assert other.measure == measure
    for pair in (("x", "p"), ("y", "p"), ("y", "x")):
        mine, theirs = one.compare(*pair), other.compare(*pair)
        # Standardised differences enter their own variance, so that only those of arms agree.
        tolerance = 0.02 if measure == "SMD" else DENSE
        assert theirs.estimate == pytest.approx(mine.estimate, rel=tolerance, abs=1e-3 * tolerance)
        assert theirs.se == pytest.approx(mine.se, rel=tolerance)


def test_zero_cells_are_mended_in_whole_trials():
    zero = ARMS.assign(events=[0, *ARMS["events"][1:]])
    found = contrasts("OR", zero)
    assert found.corrected.tolist() == [True, True, False, False, False]
    odds = [(x + 0.5) / (n - x + 0.5) for x, n in ((0, 50), (8, 50), (20, 48))]
    np.testing.assert_allclose(
        found.estimate[:2], [math.log(o / odds[2]) for o in odds[:2]], rtol=EFFECT_SIZE
    )
    with pytest.raises(NotEstimableError, match=r"position 0 \(A, x\)"):
        contrasts("OR", zero, zero_cells="none")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"drug": ["x", "y", "p", "X ", *"pypyx"]}, ImpossibleDataError, "treatment has .*'X '"),
        ({"trial": ["A", "A", "A", "b", "B", *"CCDD"]}, ImpossibleDataError, "study has names"),
        ({"drug": ["x", "x", "p", *"xpypyx"]}, ImpossibleDataError, "'A' has several arms of 'x'"),
        ({"trial": [*"AAABBCEDD"]}, ImpossibleDataError, "'C' has one arm, 'y'; 'E' has one arm"),
        ({"n": [5, *ARMS["n"][1:]]}, ImpossibleDataError, r"at most n: 10 at position 0 \(A, x\)"),
        ({"n": [np.nan, *ARMS["n"][1:]]}, ImpossibleDataError, r"row 0 \(A, x\): n"),
        ({"drug": ["x", None, *"pxpypyx"]}, ImpossibleDataError, r"treatment\[1\] is missing"),
    ],
)  # fmt: skip
def test_arms_that_cannot_be_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        contrasts("OR", ARMS.assign(**changes))


def test_arms_are_asked_for_what_the_measure_needs():
    with pytest.raises(UsageError, match="OR of arms needs events, n; missing: n"):
        km.pairwise(ARMS, "OR", study="trial", treatment="drug", events="events")
    with pytest.raises(UsageError, match="OR of arms needs events, n; no argument 'sd'"):
        km.pairwise(ARMS, "OR", study="trial", treatment="drug", events="events", n="n", sd="sd")
    with pytest.raises(UsageError, match=r"study is 'trail'.*did you mean trial"):
        km.pairwise(ARMS, "OR", study="trail", treatment="drug", events="events", n="n")
    with pytest.raises(UsageError, match="measure is 'HR'; choose one of"):
        contrasts("OR") and km.pairwise(ARMS, "HR", study="trial", treatment="drug")
    with pytest.raises(NotEstimableError, match=r"one sign.*position 0 \(A, x\)|position"):
        contrasts("ROM", ARMS.assign(mean=[-1.0, *ARMS["mean"][1:]]))
    assert contrasts("OR", ARMS.assign(n=[50, np.nan, *ARMS["n"][2:]]), missing="drop").dropped == (
        "A, y",
    )


def test_impossible_variances_of_a_trial_of_three_arms_are_named():
    with pytest.raises(ImpossibleDataError, match=r"3 independent arms \(.*b v c 0.9\)"):
        km.network_meta_analysis(
            [0.1, 0.2, 0.1], [0.1, 0.1, 0.9], ["s"] * 3, ["a", "a", "b"], ["b", "c", "c"]
        )


# --- absolute effects, exchange, examples ---------------------------------------------------------


@pytest.mark.parametrize("p", [0.001, 0.2, 0.9])
@pytest.mark.parametrize(
    ("measure", "risk"),
    [
        ("OR", lambda p, x: p * math.exp(x) / (1 - p + p * math.exp(x))),
        ("PETO", lambda p, x: p * math.exp(x) / (1 - p + p * math.exp(x))),
        ("RR", lambda p, x: p * math.exp(x)),
        ("RD", lambda p, x: max(0.0, p + x)),
        ("HR", lambda p, x: 1 - (1 - p) ** math.exp(x)),
    ],
)
def test_risks_follow_from_a_relative_effect_and_a_stated_baseline(measure, risk, p):
    fit = km.random_effects([-0.3, -0.2, -0.4], [0.002, 0.004, 0.003], measure=measure)
    found = km.absolute_effect(fit, p)
    for name, value in (("risk", fit.estimate), ("risk_low", fit.ci_low),
                        ("risk_high", fit.ci_high)):  # fmt: skip
        assert getattr(found, name) == pytest.approx(risk(p, value), rel=1e-9, abs=1e-12)
    assert found.difference == pytest.approx(found.risk - p, abs=DIRECT)
    assert found.nnt == pytest.approx(1 / abs(found.risk - p), rel=1e-9)


def test_a_number_needed_to_treat_is_said_with_its_direction():
    fewer = km.absolute_effect(km.common_effect([math.log(0.5)], [0.01], measure="RR"), 0.2)
    assert fewer.nnt == pytest.approx(10, rel=DIRECT)
    assert "one event fewer for 10 treated  95% CI 8.5 to 13" in repr(fewer)
    assert "100 per 1,000  95% CI 82 to 122" in repr(fewer)
    both = km.absolute_effect(km.common_effect([0.1], [0.04], measure="OR"), 0.1)
    assert "through no difference" in repr(both) and "one event more" in repr(both)
    none = km.absolute_effect(km.common_effect([0.0], [0.04], measure="RR"), 0.1)
    assert none.nnt is None
    for call, message in (
        (lambda: km.absolute_effect(FIT, 20), "baseline_risk is 20"),
        (lambda: km.absolute_effect(km.random_effects(*YV), 0.2), "does not say its measure"),
        (lambda: km.absolute_effect(FIT, 0.2, measure="SMD"), "measure is 'SMD'; choose one"),
    ):
        with pytest.raises(UsageError, match=message):
            call()


def test_data_sets_go_to_pymare_and_come_back():
    moderators = BCG[["ablat"]].to_numpy()
    data = km.to_pymare(ES, moderators=moderators, names=["ablat"])
    np.testing.assert_array_equal(data.y[:, 0], ES.estimate)
    np.testing.assert_array_equal(data.v[:, 0], ES.variance)
    assert list(data.X_names) == ["intercept", "ablat"]
    back = km.from_pymare(data, measure="RR", labels=list(BCG["author"]))
    assert km.meta_regression(back, "~ ablat") == km.meta_regression(ES, "~ ablat", data=BCG)
    assert km.from_pymare(km.to_pymare(*YV)).k == 13
    with pytest.raises(ImpossibleDataError, match=r"variances\[1\]"):
        km.to_pymare([0.1, 0.2], [0.1, -0.1])


def test_every_function_has_an_example():  # tests/test_docs.py runs each
    names = set(km.__all__) - {"__version__", "plots"}
    functions = {name for name in names if not inspect.isclass(getattr(km, name))}
    shown = {name for name in functions if ">>>" in (inspect.getdoc(getattr(km, name)) or "")}
    assert shown == functions - set(NO_EXAMPLE), "an example belongs here"


# --- what takes effects beside the models ---------------------------------------------------------


def test_tests_and_simulations_take_effects_for_their_arrays():
    odds = effect_sizes(BCG, "OR", labels="author", **COUNTS)
    arrays = km.peters_test(km.random_effects(odds), *(BCG[name] for name in COUNTS.values()))
    assert km.peters_test(km.random_effects(odds), odds) == arrays
    assert km.peters_test(odds) == arrays
    with pytest.raises(UsageError, match="effects hold none"):
        km.peters_test(effect_sizes(FRAME, "OR", estimate="yi", variance="vi"))
    with pytest.raises(UsageError, match="needs the counts of both arms"):
        km.peters_test(km.random_effects(odds.estimate, odds.variance, measure="OR"))
    kept = {"tau2": 0.3, "replicates": 200, "seed": 4}
    assert km.simulate_coverage(ES, **kept) == km.simulate_coverage(ES.variance, **kept)
    both = km.batched_fit(ES), km.batched_fit(*YV)
    np.testing.assert_array_equal(both[0].tau2, both[1].tau2)
    np.testing.assert_array_equal(both[0].coefficients, both[1].coefficients)
    with pytest.raises(UsageError, match="give variances beside estimates"):
        km.batched_fit(ES.estimate)


# --- misuse ---------------------------------------------------------------------------------------

FIT = km.random_effects(ES)
Y, V = [0.1, 0.2, 0.5, 0.7], [0.1, 0.2, 0.1, 0.3]
#: Calls that ask for something that does not exist, and what the error says of it.
MISUSE = [
    (lambda: km.random_effects(Y, V, "reml"), "tau2_method is 'reml'.*did you mean REML"),
    (lambda: km.random_effects(Y, V, "DerSimonian-Laird"), "did you mean DL"),
    (lambda: km.random_effects(Y, V, ci_method="HKSJ"), "did you mean knapp-hartung"),
    (lambda: km.random_effects(Y, V, ci_method=None), "ci_method is None"),
    (lambda: km.random_effects(Y, V, level="95%"), "level is '95%'"),
    (lambda: km.random_effects(Y, V, measure="odds"), "measure is 'odds'"),
    (lambda: km.random_effects(Y, V, tau_method="DL"), "did you mean tau2_method"),
    (lambda: km.random_effects(Y, V, repeated_labels="alow"), "did you mean allow"),
    (lambda: km.random_effects(Y), "missing .*variances.*effects of km.effect_sizes"),
    (lambda: km.random_effects(FIT), "missing .*variances"),
    (lambda: km.random_effects(BCG), "was given a frame; name its columns"),
    (lambda: km.common_effect(Y, V, "hksj"), "did you mean knapp-hartung"),
    (lambda: km.pool(Y, V, model="fixed"), "model is 'fixed'"),
    (lambda: km.meta_regression(ES), "missing .*moderators"),
    (lambda: km.meta_regression(ES, "~ ablt"), "did you mean ablat"),
    (lambda: km.meta_regression(ES, "~ ablat +"), "cannot be read"),
    (lambda: km.meta_regression(Y, V, np.ones((4, 2)) * [[1], [2], [3], [4]]), "combination"),
    (lambda: km.meta_regression(ES, "~ ablat").test("ablatt"), "did you mean ablat"),
    (lambda: km.meta_regression(ES, "~ ablat").predict({"ablt": [1]}), "not a column"),
    (lambda: km.meta_regression(ES, "~ ablat").bubble("ablatt"), "did you mean ablat"),
    (lambda: km.subgroup_analysis(ES), "missing .*groups"),
    (lambda: km.subgroup_analysis(ES, "aloc"), "did you mean alloc"),
    (lambda: km.subgroup_analysis(ES, "alloc", tau2_across="comon"), "did you mean common"),
    (lambda: km.bayes_random_effects(Y, V, tau_prior="half-normal"), "tau_prior"),
    (lambda: km.turner_2015("foo", "bar"), "foo"),
    (lambda: km.multilevel(Y, V, list("aabb"), method="DL"), "method is 'DL'"),
    (lambda: km.che(Y, V, list("aabb"), rho=2), "rho is 2"),
    (lambda: km.network_meta_analysis(Y, V, list("abcd"), list("xxyz"), list("pppp"),
                                      reference="q"), "reference is 'q'"),
    (lambda: km.prediction_interval(FIT, "htz"), "did you mean hts"),
    (lambda: km.bootstrap(FIT, "study"), "did you mean studies"),
    (lambda: km.bootstrap(FIT, replicates=-3), "replicates is -3"),
    (lambda: km.simulate_coverage(V, 0.1, ci_methods=["hksj"]), "hksj"),
    (lambda: km.egger_test(FIT, "sd"), "choose one of"),
    (lambda: km.trim_and_fill(FIT, side="up"), "side is 'up'"),
    (lambda: km.selection_model(FIT, steps="a"), "steps"),
    (lambda: km.absolute_effect(FIT, 20), "baseline_risk"),
    (lambda: km.mantel_haenszel(BCG["tpos"], BCG["n1"], BCG["cpos"], BCG["n2"], measure="SMD"),
     "measure is 'SMD'"),
    (lambda: km.to_pymare(3), "give effects"),
    (lambda: FIT.display("estimat"), "did you mean estimate"),
    (lambda: FIT.forest(styl="jama"), "did you mean style"),
    (lambda: FIT.forest(style="jamma"), "did you mean jama"),
    (lambda: FIT.forest(sort="weigth"), "did you mean weight"),
    (lambda: FIT.forest(xlim=3), "xlim is 3; give two"),
    (lambda: FIT.forest(favours="left"), "favours is 'left'; give two"),
    (lambda: FIT.funnel(contour=True), "did you mean contours"),
    (lambda: FIT.funnel(contours="yes"), "contours is 'yes'"),
    (lambda: km.plots.bubble(FIT), "needs a fit of meta_regression"),
    (lambda: km.plots.network(FIT), "needs a fit of network_meta_analysis"),
    (lambda: km.plots.gosh(FIT), "needs the result of gosh"),
    (lambda: km.plots.save(FIT, "plot.svg"), "needs axes or a figure"),
]  # fmt: skip


@each(MISUSE)
def test_misuse_is_answered_by_a_named_error_that_says_what_was_meant(call, words):
    with pytest.raises(KetametaError, match=words):
        call()


def test_a_name_that_the_package_does_not_have_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="no attribute 'random_effect'; did you mean random_"):
        km.random_effect  # noqa: B018


# --- the page that says how -----------------------------------------------------------------------


def test_the_five_lines_of_the_front_page_draw_its_picture(tmp_path, monkeypatch):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line and line[0] not in " i"]) <= 5
    (tmp_path / "docs" / "data").mkdir(parents=True)
    (tmp_path / "docs" / "data" / "bcg.csv").write_bytes(
        (ROOT / "docs" / "data" / "bcg.csv").read_bytes()
    )
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    fit = names["fit"]
    drawn = (tmp_path / "forest.svg").read_text(encoding="utf-8")
    assert drawn == (ROOT / "docs" / "forest.svg").read_text(encoding="utf-8")
    told = (fit.display_estimate, fit.display_ci_low, fit.display_ci_high, fit.display_pi_low,
            fit.display_pi_high)  # fmt: skip
    numbers = "risk ratio {:.2f}, 95% CI {:.2f} to {:.2f}, prediction interval {:.2f} to {:.2f}"
    assert numbers.format(*told) in page
    pd.testing.assert_frame_equal(pd.read_csv(ROOT / "docs" / "data" / "bcg.csv"), BCG)


def test_plots_are_at_hand_before_anything_was_drawn():
    code = "import ketameta as km; assert callable(km.plots.forest) and 'plots' in km.__all__"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_front_page_calls_what_exists():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    called = set(re.findall(r"km\.(\w+)\(", page)) | set(re.findall(r"km\.(\w+)\.", page))
    assert {"meta_regression", "subgroup_analysis", "leave_one_out", "egger_test"} <= called
    assert all(hasattr(km, name) for name in called)
    assert all(hasattr(FIT, name) for name in re.findall(r"fit\.(\w+)\(", page))


# --- what a fit says of the effects it was given --------------------------------------------------

ZERO = pd.DataFrame(
    {"a": [0, 3, 5, 2], "n": [20, 30, 40, 50], "c": [2, 4, 9, 0], "m": [25, 30, 40, 50],
     "trial": ["Ash", "Birch", "Cedar", "Dogwood"]}
)  # fmt: skip
COUNTED = {"events_treatment": "a", "n_treatment": "n", "events_control": "c", "n_control": "m"}
FITS_OF_EFFECTS = {
    "random_effects": km.random_effects,
    "common_effect": km.common_effect,
    "meta_regression": lambda effects: km.meta_regression(effects, [1.0, 2.0, 3.0, 5.0]),
    "bayes_random_effects": km.bayes_random_effects,
    "multilevel": lambda effects: km.multilevel(effects, study=["p", "p", "q", "q"]),
    "subgroup_analysis": lambda effects: km.subgroup_analysis(effects, ["p", "p", "q", "q"]),
}


@pytest.mark.parametrize("name", FITS_OF_EFFECTS)
def test_a_fit_names_the_trials_whose_counts_were_corrected(name):
    effects = effect_sizes(ZERO, "OR", labels="trial", **COUNTED)
    fit = FITS_OF_EFFECTS[name](effects)
    [said] = [caveat.message for caveat in fit.caveats if caveat.code == "zero_cells"]
    assert said.startswith("A constant was added to the counts of 2 of 4 studies (Ash, Dogwood),")
    assert "mantel_haenszel() or binomial_normal()" in said
    assert said in fit.summary() and "zero_cells" in fit.to_json()
    plain = effect_sizes(ZERO[1:3], "OR", labels="trial", **COUNTED)
    again = km.random_effects(plain)
    assert "zero_cells" not in [caveat.code for caveat in again.caveats]


def test_counts_models_and_long_lists_of_corrected_trials():
    effects = effect_sizes(ZERO, "OR", labels="trial", **COUNTED)
    for fit in (km.binomial_normal(effects), km.mantel_haenszel(effects)):
        assert "zero_cells" not in [caveat.code for caveat in fit.caveats]
    many = effect_sizes(pd.concat([ZERO[:1]] * 13), "PLO", events="a", n="n",
                        labels=[f"t{i}" for i in range(13)])  # fmt: skip
    said = km.random_effects(many).caveats[-1].message
    assert "13 of 13 studies (t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 3 more)" in said
    assert "one_group() takes" in said


def test_groups_that_are_many_numbers_are_pointed_to_a_regression():
    y, v = np.arange(14) / 10, np.full(14, 0.1)
    dose = np.repeat([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5], 2)
    codes = {caveat.code: caveat.message for caveat in km.subgroup_analysis(y, v, dose).caveats}
    assert "7 different numbers" in codes["numbers_as_groups"]
    assert "meta_regression(" in codes["numbers_as_groups"]
    for groups in (np.where(dose > 2, 1, 0), [f"{x} mg" for x in dose]):
        assert "numbers_as_groups" not in [
            caveat.code for caveat in km.subgroup_analysis(y, v, groups).caveats
        ]


def test_a_risk_that_was_cut_at_one_is_said():
    fit = km.random_effects([0.2, 0.5, 0.7], [0.05, 0.04, 0.08], measure="RR")
    found = km.absolute_effect(fit, 0.7)
    assert found.risk_high == 1 and [c.code for c in found.caveats] == ["risk_cut"]
    assert "risk ratio or its interval leads to a risk below 0 or above 1" in repr(found)
    assert km.absolute_effect(fit, 0.1).caveats == ()
    assert km.absolute_effect(fit, 0.7, measure="OR").caveats == ()


def framed_bcg() -> tuple[pd.DataFrame, km.Effects]:
    frame = BCG.copy()
    return frame, km.effect_sizes(
        frame, "RR", events_treatment="tpos", n_treatment="n1", events_control="cpos",
        n_control="n2", labels="author",
    )  # fmt: skip


@pytest.mark.parametrize("source", ["effects", "columns"])
@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("columns['Lat']", lambda fit, _, r: fit.forest(columns={"Lat": r.ablat})),
        ("groups", lambda fit, _, r: fit.forest(groups=r.alloc)),
        ("sort", lambda fit, _, r: fit.forest(sort=r.ablat)),
        ("order", lambda fit, _, r: km.cumulative(fit, order=r.ablat)),
        ("cluster", lambda _, reg, r: km.robust(reg, cluster=r.alloc)),
        ("sample_sizes", lambda fit, _, r: km.egger_test(fit, predictor="n", sample_sizes=r.n1)),
        ("sample_sizes", lambda fit, _, r: km.pet_peese(fit, sample_sizes=r.n1)),
    ],
)
def test_values_for_a_fit_are_not_paired_by_position(argument, call, source) -> None:
    frame, effects = framed_bcg()
    given = (effects,)
    if source == "columns":
        index = frame.index
        given = (pd.Series(effects.estimate, index), pd.Series(effects.variance, index))
    fit = km.random_effects(*given)
    regression = km.meta_regression(*given, frame[["ablat"]])
    with pytest.raises(UsageError, match=rf"effects and {re.escape(argument)} have different ind"):
        call(fit, regression, frame.iloc[::-1])


def test_a_fit_finds_columns_of_its_frame() -> None:
    frame, effects = framed_bcg()
    fit = km.random_effects(effects)
    assert km.cumulative(fit, order="ablat") == km.cumulative(fit, order=frame.ablat)
    regression = km.meta_regression(effects, "~ablat")
    by_name = km.robust(regression, cluster="author")
    assert by_name == km.robust(regression, cluster=frame.author.to_numpy())
    words = {text.get_text() for text in fit.forest(columns=["alloc"], groups="alloc").texts}
    assert {"alloc", "systematic"} <= words
    with pytest.raises(UsageError, match=r"no such column; .*did you mean alloc"):
        fit.forest(columns=["allocc"])
    with pytest.raises(UsageError, match=r"a fit of numbers .*such as data\['ablat'\]"):
        km.cumulative(km.random_effects([0.1, 0.2], [0.1, 0.1]), order="ablat")


def test_a_fit_takes_values_of_all_rows_where_rows_were_dropped() -> None:
    frame, _ = framed_bcg()
    frame.loc[2, "tpos"] = np.nan
    effects = km.effect_sizes(
        frame, "RR", events_treatment="tpos", n_treatment="n1", events_control="cpos",
        n_control="n2", labels="author", missing="drop",
    )  # fmt: skip
    fit, kept = km.random_effects(effects), frame.drop(index=2)
    wanted = km.cumulative(fit, order="ablat").labels
    assert km.cumulative(fit, order=frame.ablat).labels == wanted
    assert km.cumulative(fit, order=kept.ablat).labels == wanted
    with pytest.raises(UsageError, match="different indexes"):
        km.cumulative(fit, order=kept.ablat.iloc[::-1])


def test_a_fit_keeps_the_sizes_of_its_effects() -> None:
    effects = km.effect_sizes(
        "SMD", mean_treatment=[1.2, 2.4, 1.1, 3.0], sd_treatment=[1.0, 1.2, 0.9, 1.4],
        n_treatment=[20, 12, 44, 9], mean_control=[0.9, 1.2, 0.8, 1.1],
        sd_control=[1.1, 1.2, 1.0, 1.3], n_control=[21, 11, 40, 10],
    )  # fmt: skip
    fit = km.random_effects(effects)
    test = km.egger_test(fit)
    assert test.predictor == "null_se"
    assert test == km.egger_test(effects)
    assert km.pet_peese(fit) == km.pet_peese(effects)
    assert "se_holds_effect" not in {caveat.code for caveat in test.caveats}
    alone = km.egger_test(km.random_effects(fit.estimates, fit.variances, measure="SMD"))
    assert alone.predictor == "se"


def test_peters_test_of_a_fit_reads_its_counts() -> None:
    frame, _ = framed_bcg()
    effects = km.effect_sizes(
        frame, "OR", events_treatment="tpos", n_treatment="n1", events_control="cpos",
        n_control="n2",
    )  # fmt: skip
    fit = km.common_effect(effects)
    assert km.peters_test(fit) == km.peters_test(effects)
    counts = [frame[name] for name in ("tpos", "n1", "cpos", "n2")]
    with pytest.raises(UsageError, match="effects and events_treatment have different indexes"):
        km.peters_test(fit, *(values.iloc[::-1] for values in counts))


@pytest.mark.parametrize(
    ("measure", "remedy", "other"),
    [("OR", km.mantel_haenszel, ""), ("OR", km.binomial_normal, ""),
     ("RR", km.mantel_haenszel, "binomial_normal"), ("RD", km.mantel_haenszel, "binomial_normal"),
     ("PETO", km.peto, "mantel_haenszel"), ("PLO", km.one_group, ""),
     ("IRLN", km.one_group, ""), ("IRR", None, "()")],
)  # fmt: skip
def test_the_remedy_of_a_constant_can_be_followed(measure, remedy, other):
    counts = {
        "PLO": {"events": [0, 3, 6], "n": [20, 30, 40]},
        "IRLN": {"events": [0, 3, 6], "time": [20, 30, 40]},
        "IRR": {"events_treatment": [0, 3, 6], "time_treatment": [20, 30, 40],
                "events_control": [4, 5, 7], "time_control": [21, 30, 42]},
    }.get(measure, {"events_treatment": [0, 3, 6], "n_treatment": [20, 30, 40],
                    "events_control": [4, 5, 7], "n_control": [21, 30, 42]})  # fmt: skip
    more = {"zero_cells": "all"} if measure == "PETO" else {"correction": 0.25}
    effects = effect_sizes(measure, **counts, **more)
    fit = km.random_effects(effects)
    (said,) = (c.message for c in fit.caveats if c.code == "zero_cells")
    assert not other or other not in said
    if remedy is None:
        assert said.endswith("another correction= shows how much.")
    else:
        assert f"{remedy.__name__}()" in said
        assert remedy(effects).k == 3
    assert "t with 1 degree of freedom (Higgins" in fit.methods_sentence()
    amount, some = ("0.5", 3) if measure == "PETO" else ("0.25", 1)
    assert fit.methods_sentence().startswith(f"To the counts of {some} of 3 studies, {amount} was")


def test_a_saved_forest_plot_says_what_it_shows(tmp_path):
    fit = km.random_effects(framed_bcg()[1])
    path = km.plots.save(fit.forest(), tmp_path / "f.svg")
    said = re.search(r'aria-label="([^"]*)"', path.read_text(encoding="utf-8"))[1]
    assert "13 trials" in said and "isk ratio" in said
    assert f"{fit.display_estimate:.2f}" in said and f"{fit.display_ci_high:.2f}" in said
    own = km.plots.save(fit.forest(), tmp_path / "g.svg", description="mine")
    assert 'aria-label="mine"' in own.read_text(encoding="utf-8")


def test_names_that_are_whole_numbers_are_printed_whole() -> None:
    arms = {"study": [1, 1, 2, 2], "arm": [10, 20, 10, 20], "x": [1, 2, 3, 4], "n": [10] * 4}
    found = km.pairwise(arms, "OR", study="study", treatment="arm", events="x", n="n")
    assert found.labels == ("1: 20 v 10", "2: 20 v 10")
    assert km.random_effects([0.1, 0.2], [0.02, 0.03], labels=[1.0, 2.0]).labels == ("1", "2")
