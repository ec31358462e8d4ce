"""Figures that stand for several results: the summary of harms and the risk-of-bias lights."""

from __future__ import annotations

import math

import pytest

from figure_helpers import assert_well_set, drawn, marked, parts, words
from helpers import PROJECT
from ketameta.errors import UsageError
from ketameta.plots import find, harms, icons, risk_of_bias
from ketameta.plots.harms import Harm, Harms, Icons, People
from ketameta.plots.maps import Judgement, RiskOfBias
from ketameta.plots.scale import Estimate, Scale
from ketameta.report import harms_summary, page_plots
from ketameta.report import risk_of_bias as lights_of


def around(estimate, half):
    return Estimate(estimate, estimate - half, estimate + half)


def interval(estimate, half):
    return {"estimate": estimate, "ci_low": estimate - half, "ci_high": estimate + half}


def harm(label, ratio=2.0, more=120.0, k=4, **rest):
    given = {
        "participants": 1250,
        "baseline": 123.4,
        "ratio": None if ratio is None else around(math.log(ratio), 0.4),
        "difference": around(more, 60.0),
    } | rest
    return Harm(label, k, **given)


def several(**more):
    rows = (
        harm("Nausea", 2.4, 170.6),
        harm("Stopping because of an adverse event", 1.1, -12.0),
        harm("Blurred vision", 7.0, k=1),
        harm("Raised pressure", ratio=3.0, difference=around(100.0, 900.0)),
        harm("Confusion", k=0, participants=0, baseline=None, ratio=None, difference=None),
    )
    scale = Scale("Risk ratio", True, favours=("Less with ketamine", "More with ketamine"))
    given = {"rows": rows, "scale": scale, "title": "Harms", "note": "Other conditions."} | more
    return Harms(**given)


# --- harms ----------------------------------------------------------------------------------------


def test_harms_stay_apart_and_on_the_page():
    assert_well_set(drawn(harms, several()))


def test_both_panels_share_the_rows():
    ax = drawn(harms, several())
    ratio, difference = marked(ax, "ratio_marker"), marked(ax, "difference_marker")
    assert [y for _, y in ratio] == [y for _, y in difference]
    assert ratio[0][0] == pytest.approx(2.4)
    assert words(ax, "ratio_words")[:2] == ["2.40", "1.61 to 3.58"]
    assert words(ax, "difference_words")[:4] == ["171", "111 to 231", "−12", "−72 to 48"]
    left, right = ax.child_axes
    assert (left.get_xscale(), right.get_xscale()) == ("log", "linear")
    assert {x for x, _ in marked(ax, "null_line")} == {1.0, 0.0}
    assert difference[1][0] < 0


def test_one_trial_is_an_open_square_and_none_is_said():
    ax = drawn(harms, several())
    fills = [mark.get_color() for mark in find(ax, "ratio_marker")]
    assert len(fills) == 4 and fills[2] != fills[0]
    assert words(ax, "empty") == ["no eligible trial"] * 2
    assert "No eligible trial: confusion." in several().describe()
    assert "Open square" in " ".join(words(ax, "footnote"))


def test_wide_intervals_are_cut_with_an_arrow():
    assert marked(drawn(harms, several()), "clip_arrow")
    assert "clip_arrow" not in parts(drawn(harms, several(rows=(harm("Nausea", 2.4, 170.6),))))


def test_the_summary_says_its_numbers():
    said = several().describe()
    assert "Nausea: 4 trials, risk ratio 2.40 (95% CI 1.61 to 3.58)" in said
    assert "171 more per 1,000 (111 to 231)" in said


def test_no_harm_is_refused():
    with pytest.raises(UsageError, match="rows is empty"):
        several(rows=())


def led(found):
    empty = dict.fromkeys(("estimate", "ci_low", "ci_high", "absolute"))
    return {
        "measure": "RR",
        "interval": "confidence",
        "method": "a model" if found else "",
        "pools": 0,
        **empty,
        **(found or {}),
    }


def per_thousand(more):
    ends = {"": more, "_low": more - 40.0, "_high": more + 40.0}
    return {f"difference{end}": value for end, value in ends.items()}


def result(**more):
    return {
        "name": "harm_nausea",
        "kind": "pooled",
        "section": "harms",
        "measure": "RR",
        "measure_label": "Risk ratio",
        "is_ratio": True,
        "null": 1.0,
        "title": "Nausea with ketamine or esketamine",
        "k": 2,
        "n_participants": 100,
        "level": 0.95,
        "favours": ["Less", "More"],
        "headline": led(interval(0.7, 0.3)),
        "events": {"baseline_risk": 0.1},
        "excluded": [],
        "groups": [{"rows": [{"study_id": "alder_2014"}, {"study_id": "birch_2016"}]}],
    } | more


def test_only_counted_harms_enter_the_summary():
    others = [
        result(section="mood"),
        result(measure="MD"),
        result(kind="dose_response", headline=led(None)),
        result(title="Confusion, not pooled together", k=2, headline=led(None), events=None),
    ]
    assert harms_summary(others) is None
    plot = harms_summary(
        [
            result(title="Vomiting", k=0, headline=led(None), events=None),
            result(headline=led({**interval(0.7, 0.3), "absolute": per_thousand(90.0)})),
            *others,
            result(title="Dizziness", headline=led({"absolute": per_thousand(300.0)})),
        ],
        PROJECT,
    )
    assert plot.kind == "harms" and plot.name == "harms_summary"
    assert [row.label for row in plot.data.rows] == ["Dizziness", "Nausea", "Vomiting"]
    assert plot.data.rows[1].baseline == pytest.approx(100)
    assert plot.data.rows[1].difference == Estimate(90.0, 50.0, 130.0)
    assert plot.data.rows[2].ratio is None
    assert plot.words.startswith("Summary of harms")
    assert "No eligible trial: vomiting." in plot.words


def test_a_harm_counted_in_other_comparisons_is_not_said_to_have_no_trial():
    counted = result(headline=led({**interval(0.7, 0.3), "absolute": per_thousand(90.0)}))
    other = {"study_id": "oak_2019", "code": "design", "design": "withdrawal_rct"}
    elsewhere = result(title="Fits", k=0, headline=led(None), events=None, excluded=[other])
    plot = harms_summary([counted, elsewhere], PROJECT)
    assert plot.data.rows[1].empty == "counted only in other comparisons"
    assert "Counted only in other comparisons: fits." in plot.words
    said = " ".join(words(drawn(harms, plot.data), "empty"))
    assert said == "counted only in other comparisons counted only in other comparisons"


# --- people as dots -------------------------------------------------------------------------------


def dots(ax, part):
    """How many dots a part has: rows of dashes one pitch apart."""
    rows = [line.get_xdata() for line in parts_of(ax, part)]
    return sum(1 + round((last - first) // 3.3) for first, last in rows)


def parts_of(ax, part):
    return find(ax, part) if parts(ax)[part] else []


def people(control=59.0, treatment=376.2, **more):
    ends = {"low": 213.0, "high": 664.0} if treatment > control else {}
    return Icons(
        "nausea", People("Placebo", control), People("Ketamine", treatment, **ends), **more
    )


def test_every_person_is_a_dot_and_every_event_is_filled():
    ax = drawn(icons, people(title="Nausea"))
    assert dots(ax, "with_event") == 2 * 59
    assert dots(ax, "more_with_event") == 376 - 59
    assert dots(ax, "people") == 2000 - 59 - 376
    assert words(ax, "group_count") == ["59 of 1,000", "376 of 1,000 (213 to 664)"]
    assert_well_set(ax)


def test_people_whom_a_treatment_spares_are_shown_where_they_would_be():
    ax = drawn(icons, people(40.0, 12.0))
    assert (dots(ax, "with_event"), dots(ax, "fewer_with_event")) == (40 + 12, 28)
    assert "28 fewer" in people(40.0, 12.0).describe()


def test_a_rare_event_is_not_printed_as_none_and_an_impossible_one_is_refused():
    assert "fewer than 1 of 1,000" in people(0.4, 59.0).describe()
    assert "no more and no fewer" in people(12.2, 11.9).describe()
    with pytest.raises(UsageError, match="treatment: events is 1001"):
        people(59.0, 1001.0)


# --- risk of bias ---------------------------------------------------------------------------------


def judgement(study="Alder 2014", domain="randomisation", word="low", outcome="", tool="rob2"):
    return Judgement(study, domain, word, outcome, tool)


STUDIES = ("Alder 2014", "Birch 2016", "Cedar 2017")


def lights(**more):
    judgements = (
        judgement(word="some_concerns", domain="overall"),
        judgement(),
        judgement(domain="missing_data", word="some_concerns"),
        judgement("Birch 2016", word="high"),
        judgement("Birch 2016", domain="overall", word="high"),
    )
    return RiskOfBias(**({"studies": STUDIES, "judgements": judgements} | more))


def test_lights_stay_apart_and_on_the_page():
    assert_well_set(drawn(risk_of_bias, lights()))


def test_every_study_has_a_light_per_domain_and_gaps_stay_gaps():
    ax = drawn(risk_of_bias, lights())
    assert words(ax, "domain") == ["randomisation", "data", "missing", "overall"]
    assert len(marked(ax, "light")) == 5
    assert len(marked(ax, "not_assessed")) == 1
    assert lights().rows("rob2") == [
        ("Alder 2014", ["low", "some_concerns", "some_concerns"]),
        ("Birch 2016", ["high", "not_assessed", "high"]),
    ]
    assert words(ax, "silent") == ["Not assessed: Cedar 2017."]
    assert sorted(words(ax, "sign")) == ["!", "!", "+", "×", "×"]
    assert words(ax, "tool") == ["Study (RoB 2)"]
    assert words(ax, "footnote") == ["+ low; ! some concerns; × high; dashed circle: not assessed."]


def test_lights_sit_in_their_column_and_row():
    ax = drawn(risk_of_bias, lights())
    heads = [text.get_position()[0] for text in find(ax, "domain")]
    places = marked(ax, "light") + marked(ax, "not_assessed")
    assert sorted({x for x, _ in places}) == pytest.approx(sorted(set(heads)))
    assert len({y for _, y in places}) == 2


def test_outcomes_are_rows_of_their_own():
    data = lights(
        judgements=(judgement(outcome="depression"), judgement(outcome="nausea", word="high"))
    )
    names = words(drawn(risk_of_bias, data), "study_name")
    assert names[:2] == ["Alder 2014, depression", "Alder 2014, nausea"]


def test_many_unjudged_studies_are_counted():
    studies = (*STUDIES, *(f"Elm {year}" for year in range(1990, 2020)))
    data = lights(studies=studies)
    names = words(drawn(risk_of_bias, data), "study_name")
    assert names == ["Alder 2014", "Birch 2016"]
    assert words(drawn(risk_of_bias, data), "silent") == ["Not assessed: 31 other studies."]
    assert "2 of 33 studies judged." in data.describe()
    nobody = drawn(risk_of_bias, RiskOfBias(studies))
    assert words(nobody, "silent") == ["Not assessed: 33 studies."]
    assert "light" not in parts(nobody)


def test_two_tools_keep_their_domains_apart():
    both = (judgement(), judgement("Birch 2016", tool="rob1", word="unclear"))
    ax = drawn(risk_of_bias, lights(judgements=both))
    assert words(ax, "domain") == ["randomisation", "randomisation"]
    assert words(ax, "tool") == ["Study (RoB 2)", "Study (RoB 1)"]
    assert len(marked(ax, "light")) == 2 and "not_assessed" not in parts(ax)


def test_the_lights_in_words():
    said = lights().describe()
    assert "2 of 3 studies judged." in said
    assert "Overall judgements: some concerns 1, high 1." in said
    assert "Not assessed: Cedar 2017." in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"studies": ()}, "studies is empty"),
        ({"judgements": (judgement("Aldr 2014"),)}, "not an included study; did you mean Alder"),
        ({"judgements": (judgement(word="fine"),)}, "choose one of low"),
        ({"judgements": (judgement(), judgement())}, "a second time"),
    ],
)
def test_what_lights_refuse(more, said):
    with pytest.raises(UsageError, match=said):
        lights(**more)


class Judged:
    """Evidence with judgements only."""

    project = PROJECT

    def __init__(self, *rows):
        columns = ("study_id", "outcome", "tool", "domain", "judgement", "judged_by")
        whole = [(*row, "a review")[: len(columns)] for row in rows]
        self.tables = {"risk_of_bias": [dict(zip(columns, row, strict=True)) for row in whole]}

    def rows(self, table):
        return self.tables[table]


def test_without_a_judgement_there_is_no_picture():
    assert lights_of([result()], Judged()) is None
    silent = ("alder_2014", "", "rob2", "overall", "not_assessed")
    other = ("elm_1999", "", "rob2", "overall", "high")
    assert lights_of([result()], Judged(silent, other)) is None
    assert [plot.kind for plot in page_plots([result()], Judged())] == ["harms"]


def test_two_reviews_that_judge_one_study_stand_side_by_side():
    first = ("alder_2014", "", "rob2", "overall", "low", "First (2020)")
    second = ("alder_2014", "", "rob2", "overall", "high", "Second (2021)")
    rows = dict(lights_of([result()], Judged(first, second)).data.rows("rob2"))
    assert rows["Alder 2014, First (2020)"] == ["low"]
    assert rows["Alder 2014, Second (2021)"] == ["high"]


def test_one_judgement_shows_all_included_studies():
    row = ("alder_2014", "", "rob2", "overall", "low")
    plot = lights_of([result()], Judged(row))
    assert plot.data.studies == ("Alder 2014", "Birch 2016")
    assert [plot.kind for plot in page_plots([result()], Judged(row))] == ["harms", "risk_of_bias"]
    assert "1 of 2 studies judged." in plot.words
