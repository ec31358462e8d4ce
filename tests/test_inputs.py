"""Every file that a report is computed from: check and report say the same, at once, in words."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batches import csv_text, table_path
from helpers import ANALYSIS, Done, make_project, trials, without_better
from ketameta.evidence import (
    LARGEST_CSV,
    MOST_ALIKE,
    MOST_LINES,
    MOST_MISTAKES,
    TABLES,
    derive_effects,
)
from ketameta.evidence.checks import checked_evidence
from ketameta.inputs import read_inputs, watch
from ketameta.paths import ProjectPaths

#: A question with most of what an analysis file can hold.
QUESTION = (
    ANALYSIS
    + """\
data_kind = ["endpoint"]
design = ["parallel_rct"]
min_days = 1
max_days = 60
exclude = { cedar_2017 = "another dose" }

[choose]
data_kind = ["endpoint"]
instrument = ["hamd"]
time = "nearest"
days = 28

[model]
measure = "MD"
tau2_method = "REML"
ci_method = "knapp-hartung-conservative"
level = 0.95
group_by = "prior_treatment_resistance"
group_order = ["resistant", "not_reported"]
important_difference = -3
important_difference_source = "invented"
tau_prior_scale = 5

[judgements]
risk_of_bias = { level = "serious", reason = "invented" }

[next_trial]
important_difference = -3
sd = 6
source = "invented"
alpha = 0.05
power = [0.8, 0.9]
n_per_arm = [20, 50]

[multiverse]
tau2_method = ["REML", "DL"]

[regressions]
moderators = ["year"]
status = "post hoc"
"""
)
CLAIMS = """\
[[claim]]
id = "helps"
claim = "Ketamine helps."
made_at = "a page"
source = "general"
would_support = "a trial"
analyses = ["mood_score"]
indirect = ["nausea"]
rule = "benefit"

[[claim]]
id = "trials"
claim = "Trials are under way."
made_at = "a page"
source = "general"
would_support = "a registered trial"
rule = "registered"
registered = { intervention = ["ketamine"], condition = "depression" }
"""
CORRECTION = """\
[[correction]]
id = "mean_of_elm"
table = "outcomes"
where = { study_id = "alder_2014", arm_id = "ketamine", time_days = 28 }
column = "mean"
action = "override"
value = 12.0
expect = 12.1
reason = "a misprint"
source = "the erratum"
date = "2020-02-02"
status = "active"
"""
NAUSEA = (
    without_better(ANALYSIS).replace("depression", "nausea").replace('"mood"', '"harms"')
    + '\n[model]\nmeasure = "RR"\n'
)


def whole_project(root: Path) -> ProjectPaths:
    """Return an invented project that has every file a report can be computed from."""
    tables = trials(4)
    tables["registry"] = [
        {
            "registry_id": "NCT00000001", "title": "An invented trial", "intervention": "ketamine",
            "condition": "depression; adults", "status": "recruiting", "n_planned": "40",
        }
    ]  # fmt: skip
    tables["exclusions"] = [
        {
            "study": "maple_2010", "outcome": "all", "records": "2", "reason_code": "no_number",
            "reason": "no number is printed", "date": "2020-02-02", "decided_by": "AB",
        }
    ]  # fmt: skip
    paths = make_project(root, tables, {"mood_score": QUESTION, "nausea": NAUSEA})
    text = (paths.data / "search.toml").read_text(encoding="utf-8")
    text = text.replace("converted = 12\nexcluded = 0", "converted = 10\nexcluded = 2")
    (paths.data / "search.toml").write_text(text, encoding="utf-8")
    (paths.data / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    (paths.data / "corrections.toml").write_text(CORRECTION, encoding="utf-8")
    return paths


@pytest.fixture
def project(tmp_path: Path) -> ProjectPaths:
    return whole_project(tmp_path / "project")


def words_of(done: Done) -> list[str]:
    """Return the lines of a command that say what is wrong."""
    return [line.strip() for line in (done.out + done.err).splitlines() if line.startswith("  e")]


def both(ketameta: Callable[..., Done], paths: ProjectPaths) -> tuple[Done, Done]:
    """Return what check and report say of a project; what one refuses, the other refuses."""
    checked = ketameta("check", "--root", paths.root)
    built = ketameta("report", "--root", paths.root)
    for done in (checked, built):
        assert done.code in (0, 1) and "Traceback" not in done.out + done.err
    assert checked.code == built.code, checked.out + built.err
    if checked.code:
        assert words_of(checked) == words_of(built) != []
        assert not paths.reports.exists(), "nothing is written"
    return checked, built


def test_the_whole_project_is_sound(ketameta, project: ProjectPaths, quick_figures) -> None:
    checked, _ = both(ketameta, project)
    assert checked.code == 0 and ": 0 errors, 0 warnings." in checked.out


# --- one file at a time ---------------------------------------------------------------------------

#: What is done to a file of the sound project, and what must be said of it, with its line.
BROKEN: dict[str, tuple[str, str, str, str]] = {
    "no kind": ("data/search.toml", 'kind = "Invented search"\n', "",
                "data/search.toml:1 search.kind: a text is needed"),
    "a misspelt kind": ("data/search.toml", "kind =", "knid =",
                        "data/search.toml:1 search.kind: a text is needed"),
    "a number for a text": ("data/search.toml", '"Invented."', "3",
                            "data/search.toml:4 search.counts_note: a text is needed"),
    "one limit": ("data/search.toml", '["Invented trials only."]', '"none"',
                  "data/search.toml:5 search.limits: a list of texts is needed"),
    "no day": ("data/search.toml", '"2020-02-02"', '"2020-02-30"',
               "data/search.toml:2 search.extraction_closed: the day on which"),
    "a day beyond calendars": ("data/search.toml", '"2020-02-02"', "9999-12-31",
                               "data/search.toml:2 search.extraction_closed: the day on which"),
    "a due day beyond calendars": ("data/search.toml", "[search]", "[search]\ndue_after_days = 9e9",
                                   "data/search.toml:2 search.due_after_days: it is 9e+09"),
    "a source without a name": ("data/search.toml", 'name = "Nowhere"\n', "",
                                "data/search.toml:7 source.name: a text is needed: write it"),
    "a second source without a name": (
        "data/search.toml", "[[nothing_found]]", '[[source]]\nnane = "x"\n\n[[nothing_found]]',
        "data/search.toml:11 source.name: a text is needed"),
    "a second claim about nothing": (
        "data/claims.toml", CLAIMS,
        CLAIMS + CLAIMS.replace("mood_score", "mood_scor").replace('id = "', 'id = "b'),
        f"data/claims.toml:{CLAIMS.count(chr(10)) + 7} analyses: 'mood_scor' is not known"),
    "a word of a registered trial": (
        "data/claims.toml", 'rule = "benefit"',
        'rule = "benefit"\n[claim.registered]\nintervention = ["x"]\nconditio = "depression"',
        "data/claims.toml:12 registered.conditio: no such key: did you mean condition?"),
    "no records": ("data/search.toml", "[records]", "[recordz]",
                   "data/search.toml:14 recordz: no such key: did you mean records?"),
    "a claim of a list": ("data/claims.toml", 'rule = "benefit"', 'rule = ["benefit"]',
                          "data/claims.toml:9 rule: it is ['benefit']: choose one of benefit"),
    "a claim about nothing": ("data/claims.toml", '["mood_score"]', '["mood_scor"]',
                              "data/claims.toml:7 analyses: 'mood_scor' is not known: did"),
    "a claim of a text": ("data/claims.toml", "[[claim]]", "[claim]",
                          "data/claims.toml:11: the file is not valid TOML"),
    "a judgement of a list": ("analyses/mood_score.toml", '"serious"', '["serious"]',
                              "analyses/mood_score.toml:37 judgements.risk_of_bias.level: it is"),
    "a measure of a list": ("analyses/mood_score.toml", '"MD"', '["MD"]',
                            "analyses/mood_score.toml:26 model.measure: it is ['MD']: choose"),
    "an unknown word": ("analyses/mood_score.toml", '["hamd"]', '["hamdd"]',
                        "analyses/mood_score.toml:21 choose.instrument: 'hamdd' is not known"),
    "a time of a word": ("analyses/mood_score.toml", "min_days = 1", 'min_days = "seven"',
                         "analyses/mood_score.toml:15 select.min_days: it is 'seven': a number"),
    "claims that are none": ("data/claims.toml", CLAIMS, "\nclaim = 3\n",
                             "data/claims.toml:2: claims are a list: write [[claim]]"),
    "an unknown study": ("analyses/mood_score.toml", "cedar_2017 =", "cedar_2018 =",
                         "analyses/mood_score.toml:17 select.exclude: no study 'cedar_2018'"),
    "a name twice": ("analyses/mood_score.toml", "level = 0.95", "level = 0.95\nlevel = 0.9",
                     "analyses/mood_score.toml:30: the file is not valid TOML"),
    "an unclosed text": ("analyses/nausea.toml", '"harms"', '"harms',
                         "analyses/nausea.toml:3: the file is not valid TOML"),
    "a near miss of which nothing is told": (
        "data/search.toml", "[[nothing_found]]",
        '[[near_miss]]\nstudy = "Maple 2010"\n\n[[nothing_found]]',
        "data/search.toml:11 near_miss.told: a text is needed: write it"),
    "a harm of which no fact is known": (
        "data/claims.toml", 'indirect = ["nausea"]', 'indirect = ["nausea"]\nfacts = ["misuse"]',
        "data/claims.toml:9 facts: 'misuse' is not known (the tables in data/ use none)"),
    "a correction of another kind": ("data/corrections.toml", "value = 12.0", "value = [12.0]",
                                     "data/corrections.toml:7 value: it is [12.0]: write a text"),
    "a correction on no day": ("data/corrections.toml", 'date = "2020-02-02"', 'date = "today"',
                               "data/corrections.toml:11 date: it is 'today': write a day of the"),
    "a correction in vain": ("data/corrections.toml", "expect = 12.1", "expect = 12.2",
                             "data/corrections.toml:8 expect: mean_of_elm: it expects mean"),
    "a registry without a status": ("data/registry.csv", "recruiting", "recruting",
                                    "data/registry.csv:2 status: recruting: "),
    "records that are no count": ("data/exclusions.csv", ",2,", ",two,",
                                  "data/exclusions.csv:2 records: two: this cannot be read"),
    "records left empty": ("data/exclusions.csv", ",2,", ",,", "data/exclusions.csv:2 records: "),
    "another kind of outcome": ("data/outcome_words.csv", "depression,depression,continuous",
                                "depression,depression,number",
                                "data/outcome_words.csv:2 kind: number: "),
    "a scale without direction": ("data/instruments.csv", "hamd,hamd,symptoms,lower_is_better",
                                  "hamd,hamd,symptoms,down",
                                  "data/instruments.csv:2 direction: down: "),
}  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "said"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    ketameta, project: ProjectPaths, file: str, old: str, new: str, said: str
) -> None:
    path = project.root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    checked, _ = both(ketameta, project)
    assert checked.code == 1
    assert [line for line in words_of(checked) if line.partition("error    ")[2].startswith(said)]


INPUTS = (
    *("data/search.toml", "data/claims.toml", "data/corrections.toml", "analyses/nausea.toml"),
    *("data/registry.csv", "data/exclusions.csv", "data/outcome_words.csv"),
    *("data/instruments.csv", "data/extracted/demo/arms.csv"),
)
CONTENTS = {
    "Latin-1": "# caf\xe9\n".encode("latin-1"),
    "UTF-16": "a = 1\n".encode("utf-16"),
    "nothing but zeros": bytes(200),
    "deep": b"a = " + b"[" * 5000,
    "a name of many parts": b".".join([b"a"] * 5000) + b" = 1\n",
    "a number of 5,000 digits": b"a = " + b"9" * 5000,
    "a workbook": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("file", INPUTS)
@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
def test_what_cannot_be_read_is_named(
    ketameta, project: ProjectPaths, file: str, content: bytes
) -> None:
    (project.root / file).write_bytes(content)
    checked, _ = both(ketameta, project)
    assert checked.code == 1 and f"  error    {file}" in checked.out


@pytest.mark.parametrize("file", INPUTS)
def test_a_folder_or_a_link_to_itself_is_no_file(
    ketameta, project: ProjectPaths, file: str
) -> None:
    path = project.root / file
    path.unlink()
    path.mkdir()
    checked, _ = both(ketameta, project)
    assert f"error    {file}: this is a folder, where a file belongs" in checked.out
    path.rmdir()
    path.symlink_to(path.name)
    checked, _ = both(ketameta, project)
    whys = ("the file cannot be opened", "this is a link")
    assert any(f"  error    {file}: {why}" in checked.out for why in whys)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Other.TOML", "no analysis has such a name, so it is not read"),
        ("other.toml.txt", "no analysis has such a name, so it is not read"),
        ("inner/other.toml", "a folder in here is not read"),
        ("my question.toml", "the file name 'my question' is taken or not made of lower-case"),
    ],
)
def test_no_question_is_passed_over(ketameta, project: ProjectPaths, name: str, said: str) -> None:
    path = project.analyses / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(NAUSEA, encoding="utf-8")
    checked, _ = both(ketameta, project)
    assert said in checked.out


def test_the_problems_of_all_files_are_said_at_once(ketameta, project: ProjectPaths) -> None:
    for file, old, new, _ in list(BROKEN.values()):
        path = project.root / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    checked, _ = both(ketameta, project)
    files = {line.split()[1].partition(":")[0] for line in words_of(checked)}
    assert files == {file for file, *_ in BROKEN.values()}


def test_a_missing_folder_or_record_is_said(ketameta, project: ProjectPaths) -> None:
    (project.data / "search.toml").unlink()
    for path in project.analyses.iterdir():
        path.unlink()
    project.analyses.rmdir()
    checked, _ = both(ketameta, project)
    assert "data/search.toml: there is no such file" in checked.out
    assert "analyses: there is no such folder" in checked.out


def test_a_text_of_a_page_is_checked_before_anything_is_written(
    ketameta, project: ProjectPaths
) -> None:
    text = project.analyses / "text" / "conclusion.md"
    text.parent.mkdir()
    text.write_text("So it is.\n{{ results.mood_scor.k }} of 4 trials.\n", encoding="utf-8")
    checked, _ = both(ketameta, project)
    assert [line.partition("error    ")[2][:60] for line in words_of(checked)] == [
        "analyses/text/conclusion.md:2: a typed number: name it from ",
        "analyses/text/conclusion.md:2: there is no analysis 'mood_sc",
    ]
    assert ketameta("check", text, "--root", project.root).code == 1
    text.write_bytes(b"caf\xe9\n")
    checked, _ = both(ketameta, project)
    assert "analyses/text/conclusion.md:1: \xe9: the file is not UTF-8" in checked.out
    text.write_text("So it is.\n", encoding="utf-8")
    alone = ketameta("check", text, "--root", project.root)
    assert alone.code == 0 and "no table" not in alone.out


def test_one_question_can_be_checked_alone(ketameta, project: ProjectPaths) -> None:
    path = project.analyses / "nausea.toml"
    assert ketameta("check", path, "--root", project.root).code == 0
    path.write_text(NAUSEA.replace('"harms"', '"harm"'), encoding="utf-8")
    (project.data / "claims.toml").write_text("claim = 3", encoding="utf-8")
    done = ketameta("check", path, "--root", project.root)
    assert done.code == 1 and "claims.toml" not in done.out
    (line,) = words_of(done)
    assert "analyses/nausea.toml:3 section: it is 'harm': choose one of" in line
    assert "did you mean harms?" in line


def test_words_of_a_table_that_was_not_read_are_not_missed(project: ProjectPaths) -> None:
    table_path(project.root, "arms").write_bytes(b"\xff\xfe")
    found = read_inputs(project).report.errors
    assert not [item for item in found if item.check in ("analysis", "claim")]


# --- line ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["Windows", "CR alone"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_tables_of_any_line_end_give_the_same_effects(
    project: ProjectPaths, end: bytes, mark: bytes
) -> None:
    def effects() -> str:
        report, evidence = checked_evidence(project)
        assert report.errors == ()
        assert {item.check for item in report.warnings} <= {"byte_order_mark"}
        return derive_effects(evidence).effects.to_csv()

    before = effects()
    for path in project.data.rglob("*.csv"):
        path.write_bytes(mark + path.read_bytes().replace(b"\n", end))
    assert effects() == before


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_questions_and_lists_may_end_their_lines_as_on_windows(
    ketameta, project: ProjectPaths, quick_figures, mark: bytes
) -> None:
    for path in [*project.data.glob("*.toml"), *project.analyses.glob("*.toml")]:
        path.write_bytes(mark + path.read_bytes().replace(b"\n", b"\r\n"))
    assert both(ketameta, project)[0].code == 0


# --- too much -------------------------------------------------------------------------------------


def _outcomes(project: ProjectPaths) -> Path:
    return table_path(project.root, "outcomes")


def _line_of(cell: str) -> str:
    return ",".join([cell] * len(TABLES["outcomes"].columns)) + "\n"


HEADER = csv_text("outcomes", [])
#: What stands in ``outcomes.csv``, and what is said of it.
TOO_MUCH: dict[str, tuple[Callable[[], str], str]] = {
    "lines": (lambda: HEADER + "\n" * (MOST_LINES + 10), f"the file has {MOST_LINES + 11:,} lines"),
    "columns": (lambda: ",".join(f"c{i}" for i in range(10**6)) + "\n1\n",
                ":1: the line has 1,000,000 cells, so it is not read"),
    "a line": (lambda: "a" * 3_000_000, ":1: the line has 3,000,000 characters, so it is not read"),
    "digits": (lambda: HEADER + _line_of("1" * 4999) * 20, "4,999 characters, more than any"),
    "digits and a letter": (lambda: HEADER + _line_of("1" * 4998 + "x") * 20, "more than any"),
    "mistakes": (lambda: HEADER + _line_of("x") * 3_000,
                 f"more than {MOST_MISTAKES:,} mistakes above, so nothing from here on was read"),
    "ragged lines": (lambda: HEADER + "x\n" * 50_000,
                     f"{MOST_MISTAKES + 1 - MOST_ALIKE:,} more lines of this kind are not listed"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), TOO_MUCH.values(), ids=list(TOO_MUCH))
def test_too_much_of_anything_is_said_within_seconds(
    project: ProjectPaths, text: Callable[[], str], said: str
) -> None:
    _outcomes(project).write_text(text(), encoding="utf-8")
    start = time.process_time()
    report = read_inputs(project).report
    # Measured below 1 s each on a quiet machine; what is quadratic takes minutes.
    assert time.process_time() - start < 15
    assert any(said in str(item) for item in report.errors)
    assert len(report.findings) < MOST_ALIKE * HEADER.count(",")


def test_a_table_of_190_megabytes_is_not_read(project: ProjectPaths) -> None:
    with _outcomes(project).open("ab") as stream:
        stream.truncate(190_000_000)
    start = time.process_time()
    found = read_inputs(project).report.errors
    assert time.process_time() - start < 5
    assert any("the file has 190,000,000 bytes, so it is not read" in str(item) for item in found)
    assert LARGEST_CSV < 190_000_000


# --- files broken at random -----------------------------------------------------------------------

VALUES = (
    *("1", "-1", "0.5", '"x"', '""', "true", "[]", "{}", "[1]", '[["a"]]', '["x"]', "[{}]", "nan"),
    *("2020-01-01", "12:00:00", "inf", "1e308", "100000000000000", '"\\u0007"', "{ a = 1 }"),
    *('{ level = ["x"] }', "[true]", '"\\n::error::x"'),
)
CELLS = (
    *("x", "-1", "0", "1e400", "nan", "", "=1+1", "9" * 5000, "1,5", "1e9", "a;b", "a\x00b"),
    *("2020-01-01", "#REF!", "a\nb", '"', "placebo", "\u202e", "::error::"),
)


def broken_toml(chance: random.Random, text: str) -> str:
    """Return a TOML text with one key of another value, name or place, or without its end."""
    lines = text.splitlines()
    keys = [place for place, line in enumerate(lines) if re.match(r"\w+ =", line)]
    place = chance.choice(keys)
    name, _, value = lines[place].partition(" = ")
    match chance.randrange(8):
        case 0:
            del lines[place]
        case 1:
            lines[place] = f"{name[:-1]} = {value}"
        case 2:
            lines.insert(chance.choice(keys), lines[place])
        case 3:
            return text[: chance.randrange(len(text))]
        case _:
            lines[place] = f"{name} = {chance.choice(VALUES)}"
    return "\n".join(lines)


def broken_csv(chance: random.Random, text: str) -> str:
    """Return a CSV text with one cell, column or line changed."""
    rows = [line.split(",") for line in text.splitlines()]
    row = chance.randrange(len(rows))
    column = chance.randrange(len(rows[0]))
    match chance.randrange(6):
        case 0:
            rows = [[*cells[:column], *cells[column + 1 :]] for cells in rows]
        case 1:
            del rows[row]
        case 2:
            rows.append(rows[row])
        case 3:
            return text[: chance.randrange(len(text))]
        case _:
            rows[row][column] = chance.choice(CELLS)
    return "\n".join(",".join(cells) for cells in rows) + "\n"


@pytest.mark.parametrize("number", range(60))
def test_a_broken_file_ends_in_words_whatever_was_broken(
    ketameta, project: ProjectPaths, quick_figures, number: int
) -> None:
    chance = random.Random(number)
    files = sorted([*project.data.rglob("*.*"), *project.analyses.glob("*.toml")])
    files = [path for path in files if path.is_file()]
    path = chance.choice([item for item in files if (item.suffix == ".toml") == (number % 3 > 0)])
    text = path.read_text(encoding="utf-8")
    broken = broken_toml if path.suffix == ".toml" else broken_csv
    path.write_text(broken(chance, text), encoding="utf-8")
    both(ketameta, project)


def test_watching_shows_the_newest_finding_first_and_counts_what_was_mended(tmp_path: Path) -> None:
    paths = make_project(tmp_path, trials(2))
    folder = paths.extracted / "demo"
    path = folder / "outcomes.csv"
    clean = path.read_text(encoding="utf-8")

    def saves() -> Iterator[None]:
        for old, new in ((",hamd,", ",hmad,"), (",endpoint,", ",endpiont,")):
            path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
            yield
        path.write_text(clean, encoding="utf-8")
        yield

    first, second, third, last = watch(paths, folder, saves())
    assert "0 errors, 0 warnings." in first.splitlines()[0]
    assert second.startswith("New since the last save") and "hmad" in second
    fresh, _, still = third.partition("Still there:")
    assert "endpiont: not" in fresh and "hmad: ins" not in fresh and "hmad: ins" in still
    assert "mended." in last and "0 errors" in last and "New since" not in last


def test_a_saved_file_is_seen(tmp_path: Path) -> None:
    paths = make_project(tmp_path, trials(1))
    found = watch(paths, paths.extracted / "demo", further=lambda: "more")
    assert "Left" not in next(found) and next(found) == "\nmore"
    path = paths.extracted / "demo" / "outcomes.csv"
    text = path.read_text(encoding="utf-8")

    def save() -> None:
        path.write_text(text.replace(",hamd,", ",hmad,"), encoding="utf-8")

    timer = threading.Timer(0.5, save)
    timer.start()
    assert "hmad" in next(found)
