"""What a next trial would need, and what it would do to the pooled interval."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import tolerances as tol
from helpers import ANALYSIS, ROOT, spec_of, write_analysis
from ketameta import bayes_random_effects, random_effects
from ketameta.analyses import PriorTrials, load_specs, next_trial_of
from ketameta.errors import ImpossibleDataError, NotEstimableError, SpecError, UsageError
from ketameta.formatting import published
from ketameta.models import md_variance, new_trial, smd_variance
from ketameta.models.bayes import predictive_effect
from report_pages import committed_results

REFERENCE = json.loads((Path(__file__).parent / "reference" / "planning.json").read_text("utf-8"))
FIVE = ([-0.4, -0.2, -0.5, -0.1, -0.3], [0.1] * 5)
TWO = ([-0.29, -1.0911], [0.1564, 0.1276])
FOUR = ([-0.5, -0.6, -0.35, -0.2], [0.05, 0.08, 0.04, 0.06])


def pooled_with(data, result, n):
    """Refit with one more trial, one fit at a time."""
    variance = 2 / n + result**2 / (4 * n)
    return random_effects([*data[0], result], [*data[1], variance])


# --- one more trial: the numbers ------------------------------------------------------------------


@pytest.mark.parametrize("stored", REFERENCE["updates"], ids=str)
def test_ranges_end_where_metafor_says(stored):
    data = REFERENCE["sets"][stored["set"]]
    found = new_trial(data["yi"], data["vi"], stored["n"], [-0.5])
    assert len(found.below) == 1
    assert found.below[0] == pytest.approx(stored["ends"], abs=tol.RANGE_END)
    assert found.above == ()


@pytest.mark.parametrize(("data", "n"), [(TWO, 60), (TWO, 400), (FOUR, 30)])
def test_inside_a_range_the_refitted_interval_excludes_no_effect(data, n):
    (low, high), *_ = new_trial(*data, n, [-0.5]).below
    step = 1e-4
    for inside in (low + step, (low + high) / 2, high - step):
        assert pooled_with(data, inside, n).ci_high < 0
    for outside in (low - step, high + step):
        assert pooled_with(data, outside, n).ci_high > 0


def test_probability_and_width_equal_a_fine_sum():
    n, truth, tau2 = 80, -0.6, 0.05
    found = new_trial(*TWO, n, [truth], tau2_new=tau2).outlooks[0]
    spread = math.sqrt(smd_variance(np.array(truth), n) + tau2)
    results = np.linspace(truth - 8 * spread, truth + 8 * spread, 1201)
    weights = np.exp(-0.5 * ((results - truth) / spread) ** 2)
    weights /= weights.sum()
    fits = [pooled_with(TWO, float(result), n) for result in results]
    below = np.array([fit.ci_high < 0 for fit in fits])
    width = np.array([fit.ci_high - fit.ci_low for fit in fits])
    assert found.p_below == pytest.approx(float(weights @ below), abs=tol.SUMMED_INDICATOR)
    assert found.expected_width == pytest.approx(float(weights @ width), rel=tol.MEAN_WIDTH)


def test_a_wald_interval_with_known_variance_has_a_closed_form():
    # With a common effect, no variance between trials: the weighted mean of old and new is normal.
    y, v, n, sd, truth = [-0.2, -0.4], [0.09, 0.04], 50, 10.0, -3.0
    y, v = [10 * value for value in y], [100 * value for value in v]
    found = new_trial(y, v, n, [truth], md_variance(sd), tau2_method="common", ci_method="wald")
    weights, own = 1 / np.array(v), n / (2 * sd**2)
    total = weights.sum() + own
    needed = -(special.ndtri(0.975) * math.sqrt(total) + weights @ y) / own
    closed = special.ndtr((needed - truth) / math.sqrt(1 / own))
    outlook = found.outlooks[0]
    assert found.below == ((-math.inf, pytest.approx(needed, abs=tol.RANGE_END)),)
    assert outlook.p_below == pytest.approx(closed, abs=tol.RANGE_END)
    assert outlook.expected_width == pytest.approx(
        2 * special.ndtri(0.975) / math.sqrt(total), rel=1e-12
    )


def test_a_trial_turned_round_turns_the_answer_round():
    there = new_trial(*TWO, 100, [-0.5, 0.0], tau2_new=0.1)
    back = new_trial([-value for value in TWO[0]], TWO[1], 100, [0.5, 0.0], tau2_new=0.1)
    (low, high), *_ = there.below
    assert back.above[0] == pytest.approx((-high, -low), abs=tol.RANGE_END)
    for one, other in zip(there.outlooks, back.outlooks, strict=True):
        assert other.p_above == pytest.approx(one.p_below, abs=tol.RANGE_END)
        assert other.expected_width == pytest.approx(one.expected_width, rel=1e-9)


def test_two_trials_that_disagree_cannot_be_settled_by_one():
    # The point of the exercise: with two small trials that differ, even an enormous third one
    # leaves the conservative interval uncertain, as the variance between trials is not known.
    enormous = new_trial(*TWO, 100_000, [-0.5]).outlooks[0]
    assert enormous.p_below < 0.9
    assert new_trial(*TWO, 10, [-0.5]).outlooks[0].p_below == 0.0


def test_a_range_narrower_than_the_grid_is_found():
    sizes = range(20, 60)
    opened = [bool(new_trial(*TWO, n, [0.0, -3.0]).below) for n in sizes]
    assert opened == sorted(opened)
    first = sizes[opened.index(True)]
    ((low, high),) = new_trial(*TWO, first, [0.0, -3.0]).below
    assert 0 < high - low < 0.1
    assert pooled_with(TWO, (low + high) / 2, first).ci_high < 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([], [], 10, [0.0]), NotEstimableError, "no stud"),
        (([0.1], [0.0], 10, [0.0]), ImpossibleDataError, "varianc"),
        (([0.1], [0.1], 1, [0.0]), UsageError, "n_per_arm is 1"),
        (([0.1], [0.1], 10, []), NotEstimableError, "scenario"),
        (([0.1], [0.1], 10, [0.0], smd_variance, -1.0), UsageError, "tau2_new"),
    ],
)
def test_impossible_trials_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        new_trial(*arguments)


# --- the prior from related trials ----------------------------------------------------------------


@pytest.mark.parametrize("data", [TWO, FOUR, ([-0.4], [0.05])])
def test_the_prior_is_what_the_bayesian_companion_predicts(data):
    mixture, fit = predictive_effect(*data), bayes_random_effects(*data, measure="SMD")
    told = fit.new_effect
    found = mixture.quantiles((0.5, 0.025, 0.975))
    assert found == pytest.approx([told.median, told.ci_low, told.ci_high], abs=tol.PREDICTIVE)
    assert float(mixture.cdf(0.0)) == pytest.approx(fit.p_new_below_zero, abs=tol.PREDICTIVE)


# --- what an analysis file asks for ---------------------------------------------------------------

PLAN = """
[next_trial]
important_difference = -0.5
source = "an invented reason"
n_per_arm = [20, 64, 200]

[[next_trial.prior]]
analysis = "demo"
"""
PRIOR = PriorTrials("demo", "", "Depression after ketamine", *map(tuple, FOUR), 0.5)
NO_PRIOR = PriorTrials("demo", "", "Depression after ketamine", (), (), 0.5)


def planned(folder, data=((), ()), tau2=None, more=PLAN, prior=PRIOR):
    return next_trial_of(spec_of(folder, more), *data, tau2, [prior])


def test_without_a_trial_its_own_power_is_what_counts(tmp_path):
    found = planned(tmp_path)
    assert [item["exact"] for item in found["sample_size"]] == [64, 86]
    assert found["sample_size"][0]["normal"] == pytest.approx(62.79, abs=0.005)
    assert found["power"]["power"][1] == pytest.approx(0.8015, abs=5e-5)
    assert found["after"] is None
    assert "64 people per arm (128 in all) for 80% power" in found["sentences"][0]
    assert "no trial to add to" in found["sentences"][-1]


def test_assurance_grows_to_the_chance_of_benefit_and_its_size_is_the_smallest(tmp_path):
    prior = planned(tmp_path)["priors"][0]
    chances = prior["assurance"]["assurance"]
    assert chances == sorted(chances) and chances[-1] < prior["limit"] == prior["p_benefit"]
    assert prior["p_important"] < prior["p_benefit"]
    first = prior["sizes"][0]
    more = PLAN.replace("[20, 64, 200]", f"[{first['n_per_arm'] - 1}, {first['n_per_arm']}]")
    before, at = planned(tmp_path, more=more)["priors"][0]["assurance"]["assurance"]
    assert before < 0.8 <= at


def test_an_assurance_that_no_size_reaches_is_said_to_be_so(tmp_path):
    doubtful = PriorTrials("demo", "", "Doubtful trials", (-0.3, 0.4), (0.05, 0.05), 0.5)
    found = planned(tmp_path, prior=doubtful)
    prior = found["priors"][0]
    assert prior["limit"] < 0.8
    assert [item["n_per_arm"] for item in prior["sizes"]] == [None, None]
    assert "no size gives 80%" in found["sentences"][1]
    assert "no trial that could say" in planned(tmp_path, prior=NO_PRIOR)["sentences"][1]


def test_added_to_the_trials_there_are(tmp_path):
    found = planned(tmp_path, TWO, 0.1)
    after = found["after"]
    assert [item["label"] for item in after["scenarios"]] == [
        "no effect",
        "the important difference",
        "the pooled estimate",
    ]
    weights = 1 / (np.array(TWO[1]) + 0.1)
    mean = float(weights @ np.array(TWO[0]) / weights.sum())
    assert after["scenarios"][2]["true_effect"] == pytest.approx(mean)
    row = after["rows"][2]
    direct = new_trial(*TWO, 200, [0.0, -0.5, mean], tau2_new=0.1)
    assert row["benefit_if_between"] == published([list(ends) for ends in direct.below])
    for stored, fresh in zip(row["outlooks"], direct.outlooks, strict=True):
        assert stored["p_benefit"] == published(fresh.p_below)
    said = " ".join(found["sentences"])
    assert "Added to the 2 trials there are" in said and "on the side of benefit" in said
    assert "interval of the usual model (REML, Knapp–Hartung)" in said
    assert "This model leads from 5 sets of people on." in said
    assert "This model leads" not in " ".join(planned(tmp_path, FIVE, 0.1)["sentences"])
    single = planned(tmp_path, ([-0.4], [0.1]))
    assert len(single["after"]["scenarios"]) == 2
    assert "its chance to do so is not given" in single["sentences"][-1]


def test_what_is_expected_has_unit_interval_and_direction(tmp_path):
    said = planned(tmp_path, TWO, 0.1)["sentences"][1]
    assert re.search(
        r"its true effect is expected at .\d\.\d\d standard deviations, with 95% probability"
        r" within .+ to .+ by its Bayesian model; below zero is benefit\)",
        said,
    )


def test_benefit_may_lie_above(tmp_path):
    turned = PLAN.replace("-0.5", "0.5")
    up = planned(tmp_path, ([0.29, 1.0911], TWO[1]), 0.1, turned)
    down = planned(tmp_path, TWO, 0.1)
    for one, other in zip(up["after"]["rows"], down["after"]["rows"], strict=True):
        for scenario in (0, 1):
            assert one["outlooks"][scenario]["p_benefit"] == pytest.approx(
                other["outlooks"][scenario]["p_benefit"], abs=tol.RANGE_END
            )
    chance = up["priors"][0]["p_benefit"]
    assert chance == pytest.approx(1 - down["priors"][0]["p_benefit"])


def test_mean_differences_have_their_own_spread(tmp_path):
    more = '\n[model]\nmeasure = "MD"\n' + PLAN.replace("-0.5", "-3\nsd = 9")
    found = planned(tmp_path, ([-4.0, -6.0], [4.0, 5.0]), 1.0, more, NO_PRIOR)
    assert found["sample_size"][0]["exact"] == 143  # power.t.test(delta = 3, sd = 9, power = 0.8)
    assert "3.00 points" in found["sentences"][0]


def test_questions_with_few_trials_and_no_plan_say_so(tmp_path):
    assert "No important difference" in planned(tmp_path, TWO, more="")["withheld"]
    assert planned(tmp_path, FOUR, more="") is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "important_difference: it is None: a number other than 0"),
        ("important_difference = -0.5\n", "say where the important difference comes from"),
        ('important_difference = 0\nsource = "x"', "a number other than 0"),
        ('important_difference = -0.5\nsource = "x"\nsd = 2', "in units of an SMD it is 1"),
        ('important_difference = -0.5\nsource = "x"\npower = [0.8, 1.2]', "power: it is"),
        ('important_difference = -0.5\nsource = "x"\npower = []', "power: it is"),
        ('important_difference = -0.5\nsource = "x"\nalpha = 0.7', "alpha: it is 0.7"),
        ('important_difference = -0.5\nsource = "x"\nn_per_arm = [1]', "n_per_arm: it is"),
        ('important_difference = -0.5\nsource = "x"\nstatus = "declard"', "did you mean declared"),
        ('important_diference = -0.5\nsource = "x"', "did you mean important_difference"),
        ('important_difference = -0.5\nsource = "x"\nprior = "demo"', r"\[\[next_trial.prior\]\]"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(tmp_path, more, words):
    with pytest.raises(SpecError, match=words):
        spec_of(tmp_path, f"\n[next_trial]\n{more}\n")


def test_plans_have_what_their_measure_needs(tmp_path):
    with pytest.raises(SpecError, match="is for SMD, MD, OR, RR, RD: this analysis is about SMCR"):
        spec_of(tmp_path, '\n[model]\nmeasure = "SMCR"\n' + PLAN)
    more = '\n[model]\nmeasure = "MD"\n' + PLAN
    with pytest.raises(SpecError, match=r"next_trial\.sd: the standard deviation"):
        spec_of(tmp_path, more)
    with pytest.raises(SpecError, match="unit: the name of the unit of a mean difference"):
        spec_of(tmp_path, PLAN.replace("[[", 'unit = "points"\n[['))
    with pytest.raises(SpecError, match="only a plan about counted outcomes"):
        spec_of(tmp_path, PLAN.replace("[[", "baseline_risk = 0.1\n[["))


RISKS = """
[model]
measure = "RR"

[next_trial]
important_difference = 0.25
baseline_risk = 0.5
source = "an example of R"
n_per_arm = [50]
power = [0.9]
"""


def test_a_plan_about_risks_is_that_of_r(tmp_path):
    found = next_trial_of(spec_of(tmp_path, RISKS), [], [], None, [])
    # power.prop.test(p1 = .50, p2 = .75, power = .90) gives n = 76.7; with n = 50 power = 0.740.
    (size,) = found["sample_size"]
    assert size["normal"] == pytest.approx(76.7, abs=0.05)
    assert (size["exact"], size["total"]) == (77, 154)
    assert found["power"]["power"][0] == pytest.approx(0.740, abs=5e-4)
    assert "250 more people per 1,000 than the 500 on control" in found["sentences"][0]
    assert (found["priors"], found["after"]) == ([], None)
    there = next_trial_of(spec_of(tmp_path, RISKS), [0.1], [0.2], None, [])
    assert not any("no trial to add to" in sentence for sentence in there["sentences"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("baseline_risk = 0.5\n", ""), "baseline_risk: it is None: the share of people on c"),
        (("= 0.5\n", "= 12\n"), "baseline_risk: it is 12"),
        (("= 0.25", "= 250"), "the risk on treatment would be 250.5"),
        (("n_per_arm", "sd = 1\nn_per_arm"), "next_trial.sd: a plan about risks has none"),
    ],
)
def test_what_is_wrong_with_a_plan_about_risks_is_said(tmp_path, change, words):
    with pytest.raises(SpecError, match=words):
        spec_of(tmp_path, RISKS.replace(*change))


WITHIN = """
[model]
group_by = "adhd_subtype"
group_order = ["inattentive", "combined"]
"""


def test_a_difference_between_groups_needs_four_times_the_people(tmp_path):
    text = ANALYSIS.replace("looked_for", 'kind = "within_trial"\nlooked_for')
    plan = PLAN[: PLAN.index("[[")]
    found = next_trial_of(spec_of(tmp_path, WITHIN + plan, text), [], [], None, [])
    alone = planned(tmp_path)["sample_size"]
    for group, arms in zip(found["sample_size"], alone, strict=True):
        assert group["normal"] == pytest.approx(4 * arms["normal"])
        assert group["exact"] >= group["normal"] and group["exact"] % 2 == 0
    assert "between the effects in two groups" in found["sentences"][0]
    # At the size for 80% the power is 80%: by simulation of nothing, by the same normal curve.
    shift = 0.5 * math.sqrt(found["sample_size"][0]["normal"] / 8)
    power = special.ndtr(shift - special.ndtri(0.975)) + special.ndtr(-shift - special.ndtri(0.975))
    assert power == pytest.approx(0.8, abs=1e-5)
    sizes = found["power"]
    for n, stored in zip(sizes["n_per_arm"], sizes["power"], strict=True):
        shift = 0.5 * math.sqrt(n / 8)
        assert stored == pytest.approx(
            special.ndtr(shift - special.ndtri(0.975)) + special.ndtr(-shift - special.ndtri(0.975))
        )


def test_priors_name_analyses_of_the_same_measure(tmp_path):
    write_analysis(tmp_path, "demo", ANALYSIS, PLAN)
    other = ANALYSIS + '\n[model]\nmeasure = "MD"\n'
    write_analysis(tmp_path, "points", other)
    assert len(load_specs(tmp_path)) == 2
    write_analysis(tmp_path, "demo", ANALYSIS, PLAN.replace('"demo"', '"points"'))
    with pytest.raises(SpecError, match="is about MD, this one about SMD"):
        load_specs(tmp_path)
    write_analysis(tmp_path, "demo", ANALYSIS, PLAN.replace('"demo"', '"dema"'))
    with pytest.raises(SpecError, match="'dema' does not exist: did you mean demo"):
        load_specs(tmp_path)
    write_analysis(tmp_path, "demo", ANALYSIS, PLAN + 'group = "stimulant"\n')
    with pytest.raises(SpecError, match="has no groups"):
        load_specs(tmp_path)


def test_the_questions_without_trials_are_planned():
    plans = {
        spec.name: spec.next_trial for spec in load_specs(ROOT / "analyses") if spec.next_trial
    }
    assert {"ketamine_adhd", "nmda_adhd_symptoms"} <= set(plans)
    assert all("Convention" in plan.source or "doi:" in plan.source for plan in plans.values())


def test_every_question_with_two_trials_or_fewer_says_what_a_next_trial_needs():
    for result in committed_results():
        if result["k"] > 2 or result["kind"] not in ("pooled", "within_trial"):
            continue
        if result["pooled"] is None and result["k"]:
            continue  # different measurements, each with a question of its own
        found = result["next_trial"]
        assert found is not None, result["name"]
        if result["measure"] not in ("SMCR", "OR"):
            assert not found["withheld"], result["name"]
            assert found["sample_size"][0]["total"] > 0
