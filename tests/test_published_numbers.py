"""Published numbers are rounded once, and every word is made from what is published.

Results are computed anew, with one digit instead of seven: a sentence, a flag or an order that
reads any other number than the published one then says something else.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from helpers import PROJECT, ROOT
from ketameta import formatting
from ketameta.analyses import (
    AnalysisSpec,
    Related,
    effect_words,
    load_specs,
    multiverse_sentences,
    next_trial_sentences,
    regions,
    run_analysis,
    sentences_of,
    short_absolute,
)
from ketameta.analyses import credibility as ask
from ketameta.analyses.certainty import (
    _bias_words,
    _imprecision_words,
    _inconsistency_words,
    _indirectness_words,
    _publication_words,
)
from ketameta.build import effects_csv
from ketameta.evidence import EffectTable, Evidence
from ketameta.formatting import format_p, published
from ketameta.inputs import InputTables
from ketameta.measures import Measure
from ketameta.models.diagnostics import AGREEMENTS, agrees_to
from ketameta.paths import project_paths
from ketameta.report import csv_text

DIGITS = 1
#: One analysis or more of every kind, with all that stands beside any.
ANALYSES = (
    *("adhd_medicines_by_class", "adhd_network_tolerability", "dose_depression_24h"),
    *("adhd_presentation_within_trials", "harm_blood_pressure_increased", "harm_nausea"),
    *("ketamine_cognition_by_prior_treatment", "ketamine_depression_24h", "nmda_adhd_symptoms"),
    *("ketamine_depression_over_time", "ketamine_adhd", "nmda_adhd_before_after"),
)
Found = tuple[AnalysisSpec, dict[str, Any]]


@pytest.fixture(scope="module")
def coarse(committed_evidence: Evidence) -> dict[str, Found]:
    """Results of committed data with one digit."""
    specs = {spec.name: spec for spec in load_specs(project_paths(ROOT).analyses)}
    tables = InputTables(committed_evidence)
    related = Related(specs, tables.get)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formatting, "PUBLISHED_DIGITS", DIGITS)
        return {
            name: (
                specs[name],
                run_analysis(
                    specs[name], tables.get(specs[name].assume), committed_evidence, related
                ),
            )
            for name in ANALYSES
        }


@pytest.fixture(params=ANALYSES)
def found(
    coarse: dict[str, Found], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Found:
    """One analysis and its result, read back from the text of its file."""
    monkeypatch.setattr(formatting, "PUBLISHED_DIGITS", DIGITS)
    spec, result = coarse[request.param]
    return spec, json.loads(json.dumps(result, allow_nan=False))


def test_every_number_of_a_result_is_published_as_it_is(found: Found) -> None:
    _, result = found
    assert published(result) == result


def test_sentences_follow_from_the_published_numbers(found: Found) -> None:
    spec, result = found
    assert sentences_of(result) == result["sentences"]
    tried, planned = result["multiverse"], result["next_trial"]
    if tried and not tried["withheld"]:
        assert multiverse_sentences(tried, spec) == tried["sentences"]
    if planned and not planned["withheld"]:
        assert next_trial_sentences(planned) == planned["sentences"]


def test_conclusions_of_all_combinations_follow_from_the_published_intervals(found: Found) -> None:
    spec, result = found
    tried = result["multiverse"]
    if not tried or tried["withheld"]:
        return
    rows = tried["combinations"]
    main = next((c["options"][0] for c in tried["choices"] if c["name"] == "measure"), None)
    column = rows["options"].get("measure") or [0] * tried["n"]
    assert main is None or Measure(spec.model.measure).label.lower() == main
    for measure, k, low, high, side in zip(
        column, rows["k"], rows["ci_low"], rows["ci_high"], rows["excludes"], strict=True
    ):
        if measure == 0:
            assert side == (0 if k < 2 else -1 if high < 0 else 1 if low > 0 else 0)


#: What makes the words of a domain, from its facts as published alone.
WORDS: dict[str, Callable[[Any], list[str]]] = {
    "risk_of_bias": _bias_words,
    "inconsistency": _inconsistency_words,
    "indirectness": partial(_indirectness_words, direct=PROJECT.directness),
    "imprecision": _imprecision_words,
    "publication_bias": _publication_words,
}


def test_certainty_follows_from_the_published_facts(found: Found) -> None:
    spec, result = found
    led = {group["label"]: group["headline"] for group in result["groups"]}
    for item in result["certainty"]["assessments"]:
        for domain in item["domains"]:
            facts = domain["facts"]
            assert WORDS[domain["code"]](facts) == domain["words"], domain["code"]
            for name in ("ci", "pi"):
                if f"{name}_includes" in facts:
                    low, high = facts[f"{name}_low"], facts[f"{name}_high"]
                    assert facts[f"{name}_includes"] == regions(spec, low, high)
        main = led[item["group"]] if item["group"] else result["headline"]
        summary = item["summary"]
        assert summary["effect"] == effect_words(main)
        assert summary["direction"] == main["direction"]
        assert summary["absolute"] == short_absolute(main)


def test_credibility_follows_from_the_published_p_values(found: Found) -> None:
    _, result = found
    for entry in result["credibility"]:
        permuted = entry["permutation"]["p_value"]
        answers = [
            ask.Answer(q["question"], q["answer"], q["basis"], q["place"])
            for q in entry["questions"]
        ]
        if not answers:
            continue
        chance = ask.chance(entry["p_value"], permuted, entry["withheld"])
        assert answers[4] == chance
        if entry["kind"] == "within":
            signs = {row["estimate"] > 0 for row in result["groups"][0]["rows"]}
            p_value = result["pooled"]["q_p_value"]
            assert answers[1] == ask.similar(
                "within", result["k"], p_value, len(signs) == 1, result["headline"]["pools"]
            )
        larger = None if entry["p_value"] is None else max(entry["p_value"], permuted or 0.0)
        assert entry["rating"] == ask.rating(answers, larger)


def test_orders_and_caveats_follow_from_the_published_numbers(found: Found) -> None:
    _, result = found
    net, doses = result["network"], result["dose_response"]
    if net:
        order = [(-item["p_score"], item["treatment"]) for item in net["ranking"]]
        assert order == sorted(order)
        assert bool(order) != bool(net["ranking_withheld"])
        listed = [name for _, name in order] or sorted(item["treatment"] for item in net["nodes"])
        shown = [row["study_id"] for row in result["groups"][0]["rows"]]
        assert shown == [name for name in listed if name != net["reference"]]
    if doses:
        p_value = doses["nonlinearity"]["p_value"]
        bent = [c["message"] for c in result["caveats"] if c["code"] == "not_a_line"]
        assert bool(bent) == (p_value < 0.05)
        assert all(format_p(p_value) in message for message in bent)


def test_no_variance_of_zero_is_said_beside_another_model_that_leads(found: Found) -> None:
    _, result = found
    codes, pooled = {one["code"] for one in result["caveats"]}, result["pooled"]
    assert ("tau2_zero" in codes) == bool(pooled and pooled["tau2"] == 0 and result["k"] >= 5)
    if result["name"] == "harm_blood_pressure_increased":
        assert pooled["tau2"] == 0
        assert "and as 0.00 by the usual model (REML)" in " ".join(result["sentences"])


def test_engines_agree_to_a_bound_and_publish_no_noise(found: Found) -> None:
    _, result = found
    doses = result["dose_response"]
    engines = [result["second_engine"], doses and doses["checks"]["two_stage"]]
    for engine in engines:
        if engine is not None:
            assert engine["agrees_to"] == AGREEMENTS[0]
            assert not set(engine) & {"largest", "largest_quantity", "differences", "values"}


@pytest.mark.parametrize(
    ("largest", "bound"),
    [(0.0, 1e-6), (4e-7, 1e-6), (6e-7, 1e-5), (4.9e-2, 1e-1), (0.06, None), (float("nan"), None)],
)
def test_a_bound_leaves_room_for_rounding(largest: float, bound: float | None) -> None:
    assert agrees_to(largest) == bound


def test_the_effect_table_is_published_with_seven_digits(committed_effects: EffectTable) -> None:
    text = effects_csv(committed_effects)
    numbers = 0
    for row in csv.DictReader(io.StringIO(text)):
        for name in ("estimate", "variance", "mean_treatment", "sd_treatment", "sd_control"):
            if row[name]:
                numbers += 1
                assert repr(published(float(row[name]))) == row[name]
    assert numbers > 5000
    # The table that models read keeps its digits.
    assert published(committed_effects.effects["estimate"].tolist()) != (
        committed_effects.effects["estimate"].tolist()
    )


def test_tables_write_numbers_as_published() -> None:
    text = csv_text(["a", "b"], [[0.1234567891, 12345678], [None, "0.1234567891"]])
    assert text == "a,b\n0.1234568,12345678\n,0.1234567891\n"


def test_every_declared_kind_of_analysis_is_among_them(coarse: dict[str, Found]) -> None:
    specs = load_specs(project_paths(ROOT).analyses)
    assert {spec.kind for spec in specs} == {spec.kind for spec, _ in coarse.values()}
    results = [result for _, result in coarse.values()]
    for key in ("multiverse", "next_trial", "regressions", "credibility", "events", "influence",
                "gosh", "small_study", "network", "dose_response", "over_time"):  # fmt: skip
        assert any(result[key] for result in results), key
    assert any(spec.dose for spec, _ in coarse.values())
