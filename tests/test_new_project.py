"""A new review: a folder that builds at once, in its own words, and says what it lacks."""

from __future__ import annotations

import csv
import re
from html import unescape
from pathlib import Path

import pytest

from helpers import PROJECT, ROOT, Done
from ketameta.paths import ProjectPaths, project_paths
from ketameta.review import start_project
from ketameta.review.start import worked_words

TITLE, QUESTION = 'Tea "green" for sleep', "Does tea help people who sleep badly?"


@pytest.fixture
def started(tmp_path: Path, quick_figures: list[str]) -> ProjectPaths:
    start_project(tmp_path / "tea", TITLE, QUESTION)
    return project_paths(tmp_path / "tea")


def page_of(paths: ProjectPaths) -> str:
    """Return the text of every page."""
    pages = sorted(paths.reports.rglob("*.html"))
    return unescape("\n".join(page.read_text(encoding="utf-8") for page in pages))


def test_a_new_project_is_clean_and_builds_in_its_own_words(
    ketameta, started: ProjectPaths
) -> None:
    checked = ketameta("check", "--root", started.root)
    assert checked.code == 0 and checked.out.endswith("0 errors, 0 warnings.\n")
    assert ketameta("report", "--root", started.root).code == 0
    page = page_of(started)
    assert "No eligible trial has been found yet." in page
    assert TITLE in page and QUESTION in page
    assert not any(term.name.split()[0] in page for term in PROJECT.glossary)
    assert ketameta("verify", "--root", started.root).code == 0


def test_its_first_trial_is_named_by_the_checks_until_the_question_asks_for_it(
    ketameta, started: ProjectPaths
) -> None:
    assert ketameta("new", "alder_2014", "--root", started.root).code == 0
    folder = started.extracted / "alder_2014"
    with (folder / "arms.csv").open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    cells = {"study_id": "alder_2014", "arm_id": "tea", "intervention": "tea", "role": "treatment"}
    with (folder / "arms.csv").open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, header, restval="").writerow(cells)
    said = ketameta("check", "--root", started.root)
    assert said.code == 1
    assert "analyses/primary.toml" in said.out and "'treatment' is not known" in said.out


def test_the_trial_of_the_guide_goes_from_its_rows_to_an_answer(
    ketameta, started: ProjectPaths
) -> None:
    page = (ROOT / "docs" / "add_trial.md").read_text(encoding="utf-8")
    assert ketameta("new", "ames_2019", "--root", started.root).code == 0
    blocks = re.findall(r"Into `(\S+)`:\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    for name, rows in blocks:
        with (started.root / name).open("a", encoding="utf-8") as file:
            file.write(rows)
    first = ketameta("check", "ames_2019", "--root", started.root)
    assert first.code == 0 and "3.5: 5.3 times apart from caffeine" in first.out
    outcomes = started.extracted / "ames_2019" / "outcomes.csv"
    outcomes.write_text(outcomes.read_text("utf-8").replace("44.9,3.5,,", "44.9,,3.5,"), "utf-8")
    second = ketameta("check", "ames_2019", "--root", started.root)
    assert second.code == 0 and "0 errors, 0 warnings" in second.out
    for path in (started.analyses / "primary.toml", started.root / "project.toml"):
        path.write_text(path.read_text("utf-8").replace('["treatment"]', '["caffeine"]'), "utf-8")
    assert ketameta("check", "--root", started.root).out.endswith("0 errors, 0 warnings.\n")
    shown = "−0.72 (95% CI −1.25 to −0.19)"
    assert shown in page
    preview = ketameta("preview", "ames_2019", "--root", started.root)
    assert preview.code == 0 and re.search(r"−0\.72 +−1\.25 to −0\.19", preview.out)


def test_words_of_the_template_that_no_arm_uses_are_named(ketameta, started: ProjectPaths) -> None:
    assert ketameta("new", "alder_2014", "--root", started.root).code == 0
    folder = started.extracted / "alder_2014"
    header = (folder / "arms.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    cells = {"study_id": "alder_2014", "arm_id": "tea", "intervention": "tea", "role": "treatment"}
    with (folder / "arms.csv").open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, header, restval="").writerow(cells)
    said = ketameta("check", "--root", started.root).out
    assert "project.toml" in said and "no arm has the intervention 'treatment'" in said
    assert worked_words(started)["instrument"] == (), "a scale of counts holds no worked mean"


def test_a_source_is_added_to_the_record_of_the_search_at_its_end(
    ketameta, started: ProjectPaths
) -> None:
    path = started.data / "search.toml"
    more = '\n[[source]]\nname = "PubMed"\nsearched_for = "trials of tea"\n'
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert ketameta("check", "--root", started.root).code == 0
    path.write_text("source = []\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    said = ketameta("check", "--root", started.root).out
    assert "a name stands twice" in said and "namespace" not in said


def test_a_page_of_a_new_project_is_written_alone_by_its_name(
    ketameta, started: ProjectPaths
) -> None:
    assert ketameta("report", "--only", "main", "--root", started.root).code == 0
    refused = ketameta("report", "--only", "zzz", "--root", started.root)
    assert refused.code == 2 and "there are main" in refused.err


def test_the_title_is_asked_for_only_where_somebody_can_answer(
    ketameta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ketameta("init", tmp_path / "tea")
    assert refused == Done(2, "", "init needs --title and --question where nobody can be asked\n")
    assert not (tmp_path / "tea").exists()
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda text: asked.append(text) or QUESTION)
    assert ketameta("init", tmp_path / "tea", "--title", TITLE).code == 0
    assert asked == ["The main question, in a sentence"]


def test_nothing_that_is_there_is_written_over(ketameta, started: ProjectPaths) -> None:
    options = ("--title", "T", "--question", "Q?")
    again = ketameta("init", started.root, *options)
    assert again.code == 2 and "project.toml" in again.err and "are there already" in again.err
    file = started.root / "README.md"
    assert "this is a file" in ketameta("init", file, *options).err
    two_lines = ketameta("init", started.root / "x", "--title", "a\nb", "--question", "Q?")
    assert two_lines.code == 2 and "one line of text is needed" in two_lines.err


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("claims.toml", "No public claim has been collected."),
        ("registry.csv", "No registered trial has been recorded"),
        ("search.toml", "What was searched is not recorded"),
        ("exclusions.csv", "No record was left out before effects were computed."),
        ("harm_facts.csv", "No moderator was tested"),
    ],
)
def test_a_part_that_is_absent_is_said_where_it_would_stand(
    ketameta, started: ProjectPaths, lacking: str, said: str
) -> None:
    (started.data / lacking).unlink()
    assert ketameta("check", "--root", started.root).code == 0
    assert ketameta("report", "--root", started.root).code == 0
    assert said in page_of(started)


def test_a_headline_analysis_that_is_missing_is_an_error_and_no_empty_answer(
    ketameta, started: ProjectPaths
) -> None:
    (started.analyses / "primary.toml").rename(started.analyses / "primary_two.toml")
    done = ketameta("report", "--root", started.root)
    assert done.code == 1 and not started.reports.exists()
    assert "project.headline: 'primary' is not known; did you mean primary_two?" in done.err
