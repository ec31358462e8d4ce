"""Figures that stand for several results: the summary of harms and the risk-of-bias lights."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from figure_helpers import (
    POINT,
    assert_drawn_texts_inside,
    assert_texts_on_page,
    assert_texts_stay_apart,
)
from ketameta.errors import UsageError
from ketameta.figures import (
    alt_text,
    draw_plot,
    find_parts,
    lay_out_harms,
    lay_out_risk_of_bias,
)
from ketameta.report.page_plots import harms_summary, page_plots, risk_of_bias, section_plots


def interval(estimate, half):
    return {"estimate": estimate, "ci_low": estimate - half, "ci_high": estimate + half}


def harm(label, ratio=2.0, more=120.0, k=4, **rest):
    return {
        "label": label,
        "k": k,
        "participants": 1250,
        "baseline": 123.4,
        "ratio": None if ratio is None else interval(math.log(ratio), 0.4),
        "difference": interval(more, 60.0),
    } | rest


def harms(**more):
    return {
        "title": "Harms against control",
        "rows": [
            harm("Nausea", 2.4, 170.6),
            harm("Stopping because of an adverse event", 1.1, -12.0),
            harm("Blurred vision", 7.0, k=1),
            harm("Raised pressure", ratio=3.0, difference=interval(100.0, 900.0)),
            harm("Confusion", k=0, participants=0, baseline=None, ratio=None, difference=None),
        ],
        "favours": ["Less with ketamine", "More with ketamine"],
        "level": 0.95,
        "note": "Other conditions.",
    } | more


def words_of(layout, part):
    return [mark.text for mark in layout.marks_of(part)]


# --- harms ----------------------------------------------------------------------------------------


def test_harms_stay_apart_and_on_the_page():
    layout = lay_out_harms(harms())
    assert_texts_on_page(layout.marks, layout.width, layout.height)
    assert_texts_stay_apart(layout.marks)
    assert_drawn_texts_inside(draw_plot(layout))
    json.dumps(layout.to_dict(), allow_nan=False)


def test_both_panels_share_the_rows():
    layout = lay_out_harms(harms())
    ratio = [point for point in layout.points if point.group == "ratio"]
    difference = [point for point in layout.points if point.group == "difference"]
    assert [point.label for point in ratio] == [point.label for point in difference]
    assert [point.at[1] for point in ratio] == [point.at[1] for point in difference]
    assert ratio[0].x == pytest.approx(2.4)
    assert words_of(layout, "ratio_words")[:2] == ["2.40", "1.61 to 3.58"]
    assert words_of(layout, "difference_words")[:4] == [
        "171",
        "111 to 231",
        "\u221212",
        "\u221272 to 48",
    ]
    null = layout.marks_of("null_line")
    assert len(null) == 2
    assert ratio[0].at[0] > null[0].points[0][0]
    assert difference[1].at[0] < null[1].points[0][0]


def test_one_trial_is_an_open_square_and_none_is_said():
    layout = lay_out_harms(harms())
    fills = [mark.fill for mark in layout.marks_of("ratio_marker")]
    assert len(fills) == 4 and fills[2] != fills[0]
    assert words_of(layout, "empty") == ["no eligible trial"] * 2
    assert "No eligible trial: confusion." in alt_text(layout)
    assert "Open square" in " ".join(words_of(layout, "footnote"))


def test_impossible_intervals_are_cut_and_said():
    layout = lay_out_harms(harms())
    assert layout.marks_of("clip_arrow")
    assert "beyond what is possible" in " ".join(words_of(layout, "footnote"))
    calm = lay_out_harms(harms(rows=[harm("Nausea", 2.4, 170.6)]))
    assert not calm.marks_of("clip_arrow")
    assert "beyond what is possible" not in " ".join(words_of(calm, "footnote"))


def test_the_summary_says_its_numbers():
    words = alt_text(lay_out_harms(harms()))
    assert "Nausea: 4 trials, risk ratio 2.40 (95% CI 1.61 to 3.58)" in words
    assert "171 more per 1,000 (111 to 231)" in words


def test_no_harm_is_refused():
    with pytest.raises(UsageError, match="rows"):
        lay_out_harms(harms(rows=[]))


def result(**more):
    return {
        "name": "harm_nausea",
        "kind": "pooled",
        "section": "harms",
        "measure": "RR",
        "title": "Nausea with ketamine or esketamine",
        "k": 2,
        "n_participants": 100,
        "level": 0.95,
        "favours": ["Less", "More"],
        "pooled": interval(0.7, 0.3),
        "events": {"baseline_risk": 0.1, "per_thousand": interval(90.0, 40.0)},
        "groups": [{"rows": [{"study_id": "alder_2014"}, {"study_id": "birch_2016"}]}],
    } | more


def test_only_counted_harms_enter_the_summary():
    others = [
        result(section="mood"),
        result(measure="MD"),
        result(kind="dose_response", pooled=None),
        result(title="Confusion, not pooled together", k=2, pooled=None, events=None),
    ]
    assert harms_summary(others) is None
    assert section_plots(others) == {}
    plot = harms_summary(
        [result(), *others, result(title="Vomiting", k=0, pooled=None, events=None)]
    )
    assert plot.kind == "harms" and plot.name == "harms_summary"
    assert [row["label"] for row in plot.data["rows"]] == ["Nausea", "Vomiting"]
    assert plot.data["rows"][0]["baseline"] == pytest.approx(100)
    assert plot.data["rows"][1]["ratio"] is None
    lay_out_harms(plot.data)


# --- risk of bias ---------------------------------------------------------------------------------


def judgement(study="Alder 2014", domain="randomisation", word="low", outcome="", tool="rob2"):
    return {
        "study": study,
        "outcome": outcome,
        "tool": tool,
        "domain": domain,
        "judgement": word,
    }


def lights(**more):
    return {
        "title": "Risk of bias",
        "studies": ["Alder 2014", "Birch 2016", "Cedar 2017"],
        "judgements": [
            judgement(word="some_concerns", domain="overall"),
            judgement(),
            judgement(domain="missing_data", word="some_concerns"),
            judgement("Birch 2016", word="high"),
            judgement("Birch 2016", domain="overall", word="high"),
        ],
    } | more


def test_lights_stay_apart_and_on_the_page():
    layout = lay_out_risk_of_bias(lights())
    assert_texts_on_page(layout.marks, layout.width, layout.height)
    assert_texts_stay_apart(layout.marks)
    assert_drawn_texts_inside(draw_plot(layout))
    json.dumps(layout.to_dict(), allow_nan=False)


def test_every_study_has_a_light_per_domain_and_gaps_stay_gaps():
    layout = lay_out_risk_of_bias(lights())
    assert words_of(layout, "domain") == ["D1", "D2", "Overall"]
    assert len(layout.points) == 9
    assert len(layout.marks_of("light")) == 5
    assert len(layout.marks_of("not_assessed")) == 4
    by_row = [[p.group for p in layout.points if p.label == name] for name in lights()["studies"]]
    assert by_row == [
        ["low", "some_concerns", "some_concerns"],
        ["high", "not_assessed", "high"],
        ["not_assessed"] * 3,
    ]
    assert words_of(layout, "sign") == ["+", "!", "!", "\u00d7", "\u00d7"]
    lines = " ".join(words_of(layout, "footnote"))
    assert "RoB 2. D1: randomisation; D2: missing data." in lines
    assert "dashed circle: not assessed" in lines


def test_lights_sit_in_their_column():
    layout = lay_out_risk_of_bias(lights())
    heads = [mark.x for mark in layout.marks_of("domain")]
    for point in layout.points:
        assert point.at[0] == pytest.approx(heads[int(point.x)], abs=POINT)


def test_outcomes_are_rows_of_their_own():
    data = lights(
        judgements=[
            judgement(outcome="depression"),
            judgement(outcome="nausea", word="high"),
        ]
    )
    names = words_of(lay_out_risk_of_bias(data), "study_name")
    assert names[:2] == ["Alder 2014: depression", "Alder 2014: nausea"]


def test_many_unjudged_studies_share_a_row():
    data = lights(studies=[*lights()["studies"], *(f"Elm {year}" for year in range(1990, 2020))])
    layout = lay_out_risk_of_bias(data)
    names = words_of(layout, "study_name")
    assert names == ["Alder 2014", "Birch 2016", "31 other studies: not assessed"]
    assert "2 of 33 studies judged." in alt_text(layout)
    nobody = lay_out_risk_of_bias(data | {"judgements": []})
    assert words_of(nobody, "study_name") == ["33 studies: not assessed"]
    assert not nobody.marks_of("light")


def test_two_tools_keep_their_domains_apart():
    data = lights(judgements=[judgement(), judgement("Birch 2016", tool="rob1", word="unclear")])
    layout = lay_out_risk_of_bias(data)
    assert words_of(layout, "domain") == ["D1", "D2"]
    assert "D2: randomisation (RoB 1)" in " ".join(words_of(layout, "footnote"))
    assert_texts_stay_apart(layout.marks)


def test_the_lights_in_words():
    words = alt_text(lay_out_risk_of_bias(lights()))
    assert "2 of 3 studies judged." in words
    assert "Overall judgements: some concerns 1, high 1." in words
    assert "Not assessed: Cedar 2017." in words
    assert len(find_parts(draw_plot(lay_out_risk_of_bias(lights())), "light")) == 5


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lights(studies=[]), "studies"),
        (lights(judgements=[judgement("Aldr 2014")]), "did you mean|not an included study"),
        (lights(judgements=[judgement(word="fine")]), "choose one of low"),
        (lights(judgements=[judgement(), judgement()]), "a second time"),
    ],
)
def test_what_lights_refuse(data, words):
    with pytest.raises(UsageError, match=words):
        lay_out_risk_of_bias(data)


class Judged:
    """Evidence with judgements only."""

    def __init__(self, *rows):
        columns = ["study_id", "outcome", "tool", "domain", "judgement"]
        self.risk_of_bias = pd.DataFrame(list(rows), columns=columns)


def test_without_a_judgement_there_is_no_picture():
    assert risk_of_bias([result()], Judged()) is None
    silent = ("alder_2014", "", "rob2", "overall", "not_assessed")
    other = ("elm_1999", "", "rob2", "overall", "high")
    assert risk_of_bias([result()], Judged(silent, other)) is None
    assert [plot.kind for plot in page_plots([result()], Judged())] == ["harms"]


def test_one_judgement_shows_all_included_studies():
    row = ("alder_2014", "", "rob2", "overall", "low")
    plot = risk_of_bias([result()], Judged(row))
    assert plot.data["studies"] == ["Alder 2014", "Birch 2016"]
    assert [plot.kind for plot in page_plots([result()], Judged(row))] == ["harms", "risk_of_bias"]
    lay_out_risk_of_bias(plot.data)
