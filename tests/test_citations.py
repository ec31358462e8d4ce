"""Citations become a screening list, each report once, and the list gives the flow diagram."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import make_project, trials
from ketameta.evidence.checks import flow_of, run_checks
from ketameta.exchange import import_file, read_list
from ketameta.paths import ProjectPaths

RIS = """\
TY  - JOUR
AU  - Alder, A
AU  - Birch, B
TI  - An invented trial of something, in adults
JO  - J Invented
PY  - 2014/05/01
DO  - https://doi.org/10.1000/ABC
ER  -

TY  - JOUR
T1  - Another invented report
Y1  - 2015
ER  -

TY  - JOUR
ER  -
"""
NBIB = """\
PMID- 12345678
TI  - An Invented Trial of Something in Adults.
FAU - Alder, Anna
DP  - 2014 May
LID - 10.1000/abc [doi]
JT  - Journal Invented

PMID- 2345
TI  - A third report
"""
BIBTEX = """\
@comment{kept by hand}
@article{c, title={Another {Invented} Report}, author={Cedar, C and Dune, D}, year={2015}}
@book{d, title = "A fourth report", year = 2010}
@article{broken, title={no end
"""


@pytest.fixture
def project(tmp_path: Path) -> ProjectPaths:
    return make_project(tmp_path / "project", trials(1))


def taken(paths: ProjectPaths, name: str, text: str) -> tuple[int, int, int]:
    """Import a file and return how many of its records were taken, changed and refused."""
    source = paths.root.parent / name
    source.write_text(text, encoding="utf-8")
    report, _ = import_file(paths, source)
    return report.count("taken"), report.count("changed"), report.count("refused")


def test_every_record_is_listed_once_and_duplicates_name_what_they_repeat(
    project: ProjectPaths,
) -> None:
    assert taken(project, "embase.ris", RIS) == (2, 0, 1)
    assert taken(project, "pubmed.nbib", NBIB) == (1, 1, 0)
    assert taken(project, "own.bib", BIBTEX) == (1, 1, 1)
    rows = {row["record_id"]: row for row in read_list(project)}
    assert list(rows) == ["embase_1", "embase_2", "pubmed_1", "pubmed_2", "own_1", "own_2"]
    first = rows["embase_1"]
    assert (first["doi"], first["year"], first["authors"]) == (
        "10.1000/ABC", "2014", "Alder, A; Birch, B"
    )  # fmt: skip
    assert rows["pubmed_1"]["duplicate_of"] == "embase_1", "by the DOI, whatever its letters"
    assert rows["own_1"]["duplicate_of"] == "embase_2", "by title and year"
    assert rows["pubmed_2"]["pmid"] == "2345" and not rows["pubmed_2"]["duplicate_of"]
    assert run_checks(project).errors == ()


def test_a_file_that_comes_again_adds_nothing_and_decisions_stay(project: ProjectPaths) -> None:
    taken(project, "embase.ris", RIS)
    path = project.data / "screening.csv"
    text = path.read_text(encoding="utf-8").splitlines()
    text[1] = text[1].replace(",embase.ris,,,", ",embase.ris,,include,")
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    assert taken(project, "embase.ris", RIS) == (0, 0, 3)
    assert [row["title_abstract"] for row in read_list(project)] == ["include", ""]


def test_the_list_gives_the_counts_of_the_flow_as_far_as_it_is_decided(
    project: ProjectPaths,
) -> None:
    def listed(*decisions: tuple[str, str, str]) -> dict[str, int]:
        lines = ["record_id,source,duplicate_of,title_abstract,full_text"]
        lines += [f"r{n},x,{','.join(row)}" for n, row in enumerate(decisions)]
        (project.data / "screening.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return flow_of(read_list(project))

    assert listed() == {}
    assert listed(("", "", ""), ("r0", "", "")) == {
        "identified": 2, "removed_before_screening": 1
    }  # fmt: skip
    decided = [("", "exclude", ""), ("", "include", "include"), ("", "include", "exclude")]
    assert listed(*decided, ("", "include", "not_retrieved"), ("r1", "", "")) == {
        "identified": 5, "removed_before_screening": 1, "screened": 4, "excluded": 1, "sought": 3,
        "not_retrieved": 1, "assessed": 2, "excluded_full_text": 1, "included": 1,
    }  # fmt: skip
    with (project.data / "search.toml").open("a", encoding="utf-8") as file:
        file.write("\n[flow]\nidentified = 9\n")
    found = [item for item in run_checks(project).errors if item.check == "search_flow"]
    assert [item.why for item in found] == ["the screening list has 5"]


def test_a_cell_that_is_left_out_is_a_change_and_says_why(project: ProjectPaths) -> None:
    records = [("in press", "10.1000/x"), ("abcd", "10.1/x"), ("2014", "")]
    source = project.root.parent / "lost.ris"
    source.write_text(
        "".join(
            f"TY  - JOUR\nTI  - Report {n}\nPY  - {year}\nDO  - {doi}\nUR  - https://x.org\nER  -\n"
            for n, (year, doi) in enumerate(records)
        ),
        encoding="utf-8",
    )
    report, _ = import_file(project, source)
    year = "was left out, because it is no year from 1900 to 2099"
    doi = "was left out, because it is no DOI (10., four to nine digits, a slash, a name)"
    assert [(row.verdict, row.details) for row in report.rows] == [
        ("changed", (f"year: 'in press' {year}",)),
        ("changed", (f"year: 'abcd' {year}", f"doi: '10.1/x' {doi}")),
        ("taken", ()),
    ]
    assert [(row["year"], row["doi"]) for row in read_list(project)] == [
        ("", "10.1000/x"), ("", ""), ("2014", "")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("10.1002/(SICI)1097-0258(19970815)16:15<1741::AID-X583>3.0.CO;2-C", None),
        ("https://doi.org/10.1000/a,b;c.", "10.1000/a,b;c"),
        ("10.1000/abc; 10.1000/def", "10.1000/abc"),
    ],
)
def test_a_doi_with_semicolons_is_read_whole(
    project: ProjectPaths, given: str, read: str | None
) -> None:
    source = project.root.parent / "one.ris"
    source.write_text(f"TY  - JOUR\nTI  - A report\nPY  - 2014\nDO  - {given}\nER  -\n", "utf-8")
    import_file(project, source)
    assert [row["doi"] for row in read_list(project)] == [read or given]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("@article{y, title={A b", 1, "it ends before its closing brace"),
        ("@book{x, title={A}}\n@article{y, title={A},\n", 2, "it ends before its closing brace"),
        ("@article{y title}", 1, "it is not in the form of BibTeX"),
    ],
)
def test_a_broken_record_is_refused_in_words(
    project: ProjectPaths, text: str, line: int, why: str
) -> None:
    source = project.root.parent / "cut.bib"
    source.write_text(text, encoding="utf-8")
    report, _ = import_file(project, source)
    refused = [row for row in report.rows if row.verdict == "refused"]
    assert [(row.line, row.details) for row in refused] == [
        (line, (f"the record cannot be read ({why})",))
    ]


def test_what_a_bibtex_file_abbreviates_and_brackets_in_parentheses_is_read(
    project: ProjectPaths,
) -> None:
    source = project.root.parent / "short.bib"
    source.write_text(
        '@string{jn = "Journal of Tests"}\n@string{x = " of X"}\n'
        "@article{a1, title = {{\\'E}t{\\'e} \\& one}, journal = jn # x, year = 2001,"
        "doi = {10.1000/a\\_1}}\n"
        '@article(a2, title = "Two", journal = jn, year = 2002)\n',
        encoding="utf-8",
    )
    report, _ = import_file(project, source)
    assert [row.verdict for row in report.rows] == ["taken", "taken"]
    assert [(row["journal"], row["title"], row["doi"]) for row in read_list(project)] == [
        ("Journal of Tests of X", "\u00c9t\u00e9 & one", "10.1000/a_1"),
        ("Journal of Tests", "Two", ""),
    ]
