"""Files of other programs: RevMan 5, robvis, the templates of RevMan and Covidence, any table."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from batches import SCHEMA
from helpers import ROOT
from ketameta.errors import UsageError
from ketameta.evidence import load_project
from ketameta.exchange import (
    Declared,
    ImportReport,
    Words,
    format_of,
    guess,
    load_words,
    read_citations,
    read_import,
    read_source,
    suggest,
)
from ketameta.measures import ROB_DOMAINS

KNOWN = Declared(
    frozenset({"depression", "response"}), frozenset({"madrs"}), project=load_project(ROOT)
)

#: The layout of RevMan 5.0, with the counts of MRC-1 and CDP in Fleiss (1993), Stat. Methods Med.
#: Res. 2(2), 121-145, and invented scores.
RM5 = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<COCHRANE_REVIEW REVMAN_VERSION="5"><STUDIES_AND_REFERENCES><STUDIES><INCLUDED_STUDIES>
<STUDY ID="STD-1" NAME="MRC" YEAR="1974"/><STUDY ID="STD-2" NAME="CDP" YEAR="1976"/>
</INCLUDED_STUDIES></STUDIES></STUDIES_AND_REFERENCES>
<QUALITY_ITEMS><QUALITY_ITEM ID="QIT-02" NO="2"><NAME>Allocation concealment?</NAME>
<QUALITY_ITEM_DATA><QUALITY_ITEM_DATA_ENTRY RESULT="YES" STUDY_ID="STD-1"><DESCRIPTION>
<P>central office</P></DESCRIPTION></QUALITY_ITEM_DATA_ENTRY></QUALITY_ITEM_DATA></QUALITY_ITEM>
</QUALITY_ITEMS>
<ANALYSES_AND_DATA><COMPARISON ID="CMP-001" NO="1"><NAME>Aspirin</NAME>
<DICH_OUTCOME EFFECT_MEASURE="OR" NO="1" SUBGROUPS="NO"><NAME>Death</NAME>
<GROUP_LABEL_1>Aspirin</GROUP_LABEL_1><GROUP_LABEL_2>Control</GROUP_LABEL_2>
<DICH_DATA EVENTS_1="49" EVENTS_2="67" STUDY_ID="STD-1" TOTAL_1="615" TOTAL_2="624"/>
<DICH_DATA EVENTS_1="44" EVENTS_2="64" STUDY_ID="STD-2" TOTAL_1="758" TOTAL_2="771"/>
</DICH_OUTCOME>
<CONT_OUTCOME EFFECT_MEASURE="MD" NO="2" SUBGROUPS="YES"><NAME>Days</NAME>
<GROUP_LABEL_1>Aspirin</GROUP_LABEL_1><GROUP_LABEL_2>Control</GROUP_LABEL_2>
<CONT_SUBGROUP NO="1"><NAME>Older people</NAME>
<CONT_DATA MEAN_1="5.0" MEAN_2="6.5" SD_1="4.7" SD_2="3.8" STUDY_ID="STD-1" TOTAL_1="13"
TOTAL_2="13"/></CONT_SUBGROUP></CONT_OUTCOME></COMPARISON></ANALYSES_AND_DATA></COCHRANE_REVIEW>"""


def words_of(path: Path, text: str) -> Words:
    path.write_text(text, encoding="utf-8")
    return load_words(path, SCHEMA)


def read(text: str, words: Words | None = None, name: str = "x.csv") -> ImportReport:
    return read_import(text.encode("utf-8"), name, words, KNOWN)


def test_a_revman_5_review_asks_for_what_it_does_not_say_and_names_its_arms() -> None:
    report = read(RM5, name="x.rm5")
    assert (report.rows_in, report.count("refused"), report.count("taken")) == (4, 3, 1)
    assert '[analysis."1.2"]' in report.words_file and 'treatment = "aspirin"' in report.words_file
    (judged,) = report.tables["risk_of_bias"]
    assert (judged["domain"], judged["judgement"]) == ("allocation_concealment", "low")
    assert judged["support"] == "central office"


def test_a_revman_5_review_becomes_arms_with_their_counts_and_scores(tmp_path: Path) -> None:
    text = """
[analysis."1.1"]
outcome = "response"
instrument = "madrs"
[analysis."1.2"]
outcome = "depression"
instrument = "madrs"
statistic = "endpoint"
"""
    report = read(RM5, words_of(tmp_path / "w.toml", text), "x.rm5")
    assert report.is_whole and report.rows_in == 4
    rows = report.tables["outcomes"]
    assert [(row["events"], row["n"]) for row in rows if "events" in row] == [
        ("49", "615"), ("67", "624"), ("44", "758"), ("64", "771")
    ]  # fmt: skip
    assert [(row["mean"], row["sd"], row["n"]) for row in rows if "mean" in row] == [
        ("5", "4.7", "13"), ("6.5", "3.8", "13")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (RM5[:900], "the file is no whole XML"),
        (RM5.replace("<COCHRANE", '<!DOCTYPE a [<!ENTITY b "c">]><COCHRANE', 1), "entities"),
        ("<?xml version='1.0'?><COCHRANE_REVIEW/>", "holds no result and no judgement"),
    ],
)
def test_a_broken_review_is_said_to_be_one(text: str, why: str) -> None:
    report = read(text, name="x.rm5")
    assert why in " ".join(report.problems) and not report.tables


@pytest.mark.parametrize(
    ("header", "row", "tool", "first"),
    [
        ("Study,D1,D2,D3,D4,D5,Overall", "A 2011,Low,Low,Low,Low,Some concerns,High",
         "rob2", ("randomisation", "low")),
        ("Study,D1,D2,D3,D4,D5,D6,D7,Overall", "A 2011,Critical,Low,Low,Low,Low,Low,Low,Critical",
         "robins_i", ("confounding", "critical")),
        ("Study,Random.sequence.generation,Allocation.concealment,Blinding.of.participants.and."
         "personnel,Blinding.of.outcome.assessment,Incomplete.outcome.data,Selective.reporting,"
         "Other.sources.of.bias,Overall", "A 2011,Unclear,Low,Low,Low,Low,Low,High,High",
         "rob1", ("random_sequence_generation", "unclear")),
    ],
)  # fmt: skip
def test_a_table_for_robvis_becomes_judgements_of_its_tool(
    header: str, row: str, tool: str, first: tuple[str, str]
) -> None:
    report = read(f"{header}\n{row}\n")
    found = report.tables["risk_of_bias"]
    assert report.is_whole and len(found) == header.count(",")
    assert {item["tool"] for item in found} == {tool}
    assert (found[0]["domain"], found[0]["judgement"]) == first
    assert all(item["domain"] in (*ROB_DOMAINS[tool], "overall") for item in found)


RESULTS = """\
Study,Outcome,Data type,Effect measure,Arm,Reference arm,Sample size,Cases,Mean,SD,SE,Footnotes
Alder 2011,Response,Dichotomous,,Ketamine,,40,22,,,,
Alder 2011,Response,Dichotomous,,Placebo,,41,11,,,,as printed
Birch 2012,Depression,Continuous,MD,Ketamine,Placebo,,,-3.5,,1.2,
"""


def test_the_results_template_becomes_arms_and_comparisons(tmp_path: Path) -> None:
    words = words_of(
        tmp_path / "w.toml", '[instrument]\n"Response" = "madrs"\n"Depression" = "madrs"\n'
    )
    report = read(RESULTS.replace("SE,Footnotes", "SE,Exp mean").replace(",as printed", ","), words)
    assert report.is_whole
    assert [row["events"] for row in report.tables["outcomes"]] == ["22", "11"]
    (contrast,) = report.tables["contrasts"]
    assert (contrast["effect_type"], contrast["estimate"], contrast["se"]) == ("MD", "-3.5", "1.2")
    roles = {(row["study_id"], row["arm_id"]): row["role"] for row in report.tables["arms"]}
    assert roles["alder_2011", "placebo"] == roles["birch_2012", "placebo"] == "control"


def test_the_arms_template_describes_arms_only() -> None:
    report = read("Study,Arm,Description,Intervention\nAlder 2011,High,0.5 mg/kg,ketamine\n")
    assert report.is_whole and set(report.tables) == {"studies", "arms"}
    assert report.tables["arms"][0]["intervention"] == "ketamine"


def test_the_study_information_of_revman_and_covidence_is_told_by_its_columns() -> None:
    text = (
        "Study,Data source,Char: Methods,Char: Participants,Char: Notes\n"
        "Alder 2011,Published,x,<p>Adults &amp; <b>others</b></p>,<p>none</p>\n"
        "ENVISION,Published,x,y,\n"
    )
    report = read(text)
    assert report.kind == "study information of RevMan or Covidence"
    (study,) = report.tables["studies"]
    assert (study["study_id"], study["population"], study["notes"]) == (
        "alder_2011", "Adults & others", "none",
    )  # fmt: skip
    assert "surname and year" in report.rows[1].details[0]
    assert report.notes == ("2 columns that no row needed, not read: Data source, Char: Methods",)


def test_what_two_extractors_agreed_on_goes_before_their_own_rows() -> None:
    head = "Covidence #,Study ID,Title,Reviewer Name,Country in which the study conducted\n"
    rows = (
        "12,Alder 2011,Of tea,Ann,UK\n12,Alder 2011,Of tea,Consensus,Spain\n"
        "13,Birch 2012,Of milk,Ann,\n14,Alder 2011,Of rum,Ann,\n"
    )
    report = read(head + rows)
    assert [row["country"] for row in report.tables["studies"] if "country" in row] == ["Spain"]
    assert [row.verdict for row in report.rows] == ["changed", "taken", "taken", "refused"]
    assert report.rows[0].details == (
        "country of the study differs from that of line 3, which is kept",
    )
    assert "another study in line 3" in report.rows[3].details[0]


def test_an_arm_that_is_described_otherwise_is_said_and_two_arms_of_one_name_are_refused() -> None:
    told = read("Study,Arm,Intervention\nAlder 2011,High,ketamine\nAlder 2011,High,saline\n")
    assert told.rows[1].details == (
        "intervention of high differs from that of line 2, which is kept",
    )
    words = Words(
        columns={"study_id": ("who",), "mean_treatment": ("a",), "mean_control": ("b",)},
        values={"outcome": "depression", "instrument": "madrs", "statistic": "endpoint",
                "treatment": "High", "control": "high"},
    )  # fmt: skip
    refused = read("who,a,b\nAlder 2011,1,2\n", words)
    assert refused.rows[0].details == ("both arms of the row have the same name",)


def test_a_row_that_says_nothing_new_is_entered_once() -> None:
    row = "Alder 2011,High,ketamine\n"
    report = read(f"Study,Arm,Intervention\n{row}{row}")
    assert [item.verdict for item in report.rows] == ["taken", "changed"]
    assert len(report.tables["arms"]) == 1


WIDE = """\
Author,Year,N1,Mean1,SD1,N2,Mean2,SD2,week,remark
"Alder, et al.",2011,40,8.1,4.2,41,11.2,4.4,8,x
Birch,2012,22,9.1,4.0,20,12.0,5.1,8,
Birch,2012,22,9.9,4.0,20,12.0,5.1,8,
Cedar,,22,9.1,4.0,20,12.0,5.1,8,
Dune,2013,22,nine,4.0,20,12.0,5.1,8,
"""


def test_a_mapping_is_drafted_and_then_reads_the_table(tmp_path: Path) -> None:
    draft = suggest(read_source(WIDE.encode()), SCHEMA)
    assert 'mean_treatment = "Mean1"' in draft and '#  "remark"' in draft
    for name, word in (("outcome", "depression"), ("instrument", "madrs"),
                       ("statistic", "endpoint"), ("treatment", "ketamine"),
                       ("control", "placebo")):  # fmt: skip
        draft = draft.replace(f'{name} = ""', f'{name} = "{word}"')
    report = read(WIDE, words_of(tmp_path / "w.toml", draft))
    assert [row.verdict for row in report.rows] == ["taken", "taken", *["refused"] * 3]
    assert report.rows[2].details[0].startswith("mean of ")
    assert "in line 3, the same outcome and day; correct one of them" in report.rows[2].details[0]
    assert "no form of surname and year" in report.rows[3].details[0]
    assert "'nine', which is not a number" in report.rows[4].details[0]
    assert "not read: remark" in report.notes[-1]
    first = report.tables["outcomes"][0]
    assert (first["arm_id"], first["mean"], first["time_days"]) == ("ketamine", "8.1", "56")


@pytest.mark.parametrize(
    ("column", "word"),
    [
        ("n.e", "n_treatment"), ("mean.c", "mean_control"), ("ctrl_events", "events_control"),
        ("SD Placebo", "sd_control"), ("First Author", "study_id"), ("lower.CI", "ci_low"),
        ("tpos", "events_treatment"), ("colour", ""),
    ],
)  # fmt: skip
def test_columns_are_guessed_by_their_usual_names(column: str, word: str) -> None:
    assert guess(column) == word


def test_a_mapping_that_names_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"columns.maen: .*did you mean mean"):
        words_of(tmp_path / "w.toml", '[columns]\nmaen = "M"\n')
    report = read(WIDE, words_of(tmp_path / "v.toml", '[columns]\nstudy_id = "Autor"\n'))
    assert "study_id is mapped to 'Autor'" in report.problems[0]
    assert report.count("refused") == 5


CITATIONS = "TY  - JOUR\nTI  - A title\nDO  - 10.1000/a\nER  -\n\nTY  - JOUR\nTI  - B\nER  -\n"
SOURCES = {
    "a.rm5": RM5, "b.csv": RESULTS, "c.csv": WIDE, "d.ris": CITATIONS,
    "e.csv": "Study,D1,D2,D3,D4,D5,Overall\nA 2011,Low,Low,Low,Low,Low,Low\n",
    "f.nbib": "PMID- 1\nTI  - A title\n\nPMID- 2\nTI  - Another\n",
    "g.bib": "@article{a, title={A}, year={2011}}\n@book{b, title={B}}\n",
}  # fmt: skip


def spoilt(text: str, random: Random) -> bytes:
    """Return a file with one of the things that happen to files."""
    data = text.encode("utf-8")
    place = random.randrange(len(data))
    other = random.choice(
        [b'"', b"<", b"\x00", b"\xff", b"\r", b"{", b";", b"\n\n", b"=1+1", b"&x;"]
    )
    ways = [
        data[:place], data[:place] + other + data[place + 1 :], data.replace(b"\n", b"\r"),
        data[:place] + data[place // 2 :], data.decode().encode("utf-16"), data * 2,
        data.replace(b"1", other), data[:place] + bytes(random.randbytes(40)) + data[place:],
    ]  # fmt: skip
    return random.choice(ways)


@pytest.mark.parametrize("name", SOURCES)
def test_a_spoilt_file_is_reported_row_by_row_and_never_breaks(name: str, tmp_path: Path) -> None:
    words = words_of(
        tmp_path / "w.toml",
        '[columns]\nstudy_id = "Author"\nmean_treatment = "Mean1"\nyear = "Year"\n'
        '[values]\noutcome = "depression"\ninstrument = "madrs"\nstatistic = "endpoint"\n'
        'treatment = "ketamine"\ncontrol = "placebo"\n',
    )
    random = Random(name)
    for _ in range(40):
        data = spoilt(SOURCES[name], random)
        if format_of(data):
            report = read_citations(data, name)
            report.account()
        else:
            report = read_import(data, name, words if name == "c.csv" else None, KNOWN)
        assert len(report.rows) == report.rows_in
        assert report.problems or report.rows
