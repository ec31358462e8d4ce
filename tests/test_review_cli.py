"""The reviewers' commands: exit codes, what they print, and quiet pipes."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from batches import write_project
from helpers import ROOT, Done, make_project, trials
from ketameta.errors import NotEstimableError
from test_review_agreement import decide, some_differences, twice
from test_review_preview import MD, NEW, new_trial, publish
from test_review_start import shared_lists


@pytest.fixture
def project(tmp_path: Path):
    """A project of three trials with a fourth in a batch of its own."""
    paths = make_project(tmp_path / "project", trials(3), {"demo": MD})
    write_project(paths.root, new_trial(), "new")
    return paths


def test_a_batch_is_started_and_says_what_comes_next(ketameta, tmp_path):
    paths = shared_lists(tmp_path, ROOT)
    done = ketameta("new", "alder_2014", "--root", paths.root)
    assert done.code == 0 and done.err == ""
    assert "wrote data/extracted/alder_2014/outcomes.csv" in done.out
    assert done.out.endswith("ketameta check data/extracted/alder_2014\n")
    again = ketameta("new", "alder_2014", "--root", paths.root)
    assert again.code == 2 and "already exists" in again.err
    wrong = ketameta("new", "Alder 2014", "--root", paths.root)
    assert wrong.code == 2 and "did you mean alder_2014?" in wrong.err


def test_a_workbook_is_written_filled_and_imported(ketameta, tmp_path, monkeypatch):
    paths = shared_lists(tmp_path / "project", ROOT)
    monkeypatch.chdir(tmp_path)
    done = ketameta("new", "alder_2014", "--workbook", "--root", paths.root)
    assert done.code == 0 and (tmp_path / "alder_2014.xlsx").is_file()
    assert ketameta("new", "alder_2014", "--workbook", "--root", paths.root).code == 2
    empty = ketameta("import", "alder_2014.xlsx", "--root", paths.root)
    assert empty.code == 1 and "no sheet holds a row" in empty.out
    assert not (paths.extracted / "alder_2014").exists()


def test_an_import_says_what_became_of_every_row(ketameta, tmp_path):
    paths = shared_lists(tmp_path, ROOT)
    source = Path(__file__).parent / "golden" / "psilocybin" / "data.csv"
    dry = ketameta("import", source, "--dry-run", "--root", paths.root)
    assert dry.code == 0 and dry.out.endswith("\n220 rows in: 158 taken, 62 changed, 0 refused.\n")
    assert list(paths.extracted.iterdir()) == []
    done = ketameta("import", source, "--batch", "psilocybin", "--root", paths.root)
    assert done.code == 0 and done.err == ""
    assert "wrote data/extracted/psilocybin/import/rows.csv" in done.out
    assert "data/instruments.csv has no bdi, bdi_1a" in done.out
    again = ketameta("import", source, "--batch", "psilocybin", "--root", paths.root)
    assert again.code == 2 and "already holds rows" in again.err


def test_a_file_of_no_known_format_ends_with_one(ketameta, tmp_path):
    paths = shared_lists(tmp_path, ROOT)
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    done = ketameta("import", path, "--root", paths.root)
    assert done.code == 1 and "the format is not recognised" in done.out


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"%PDF-1.7 rest", "this is a PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "this is a picture"),
        (b"\xd0\xcf\x11\xe0", "the old format (.xls)"),
    ],
)
def test_a_file_of_another_kind_is_named_and_not_read_line_by_line(
    ketameta, tmp_path, start, words
):
    paths = shared_lists(tmp_path, ROOT)
    path = tmp_path / "x.csv"
    path.write_bytes(start + b"\n1,2" * 2000)
    done = ketameta("import", path, "--root", paths.root)
    assert done.code == 1 and words in done.out
    assert len(done.out.splitlines()) < 12


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "(.ods); save it as .xlsx"),
        (b"anything", "save it again as .xlsx"),
    ],
)
def test_a_workbook_that_cannot_be_opened_says_what_to_do(ketameta, tmp_path, content, words):
    paths = shared_lists(tmp_path, ROOT)
    path = tmp_path / "x.ods"
    path.write_bytes(b"PK\x03\x04" + bytes(26) + content)
    done = ketameta("import", path, "--root", paths.root)
    assert done.code == 1 and words in done.out


def test_a_table_of_our_own_is_told_where_it_belongs(ketameta, tmp_path):
    paths = shared_lists(tmp_path, ROOT)
    path = tmp_path / "mine.csv"
    path.write_text("study_id,arm_id,intervention\na_2031,b,c\n", encoding="utf-8")
    done = ketameta("import", path, "--root", paths.root)
    assert done.code == 1 and "these are the columns of arms.csv" in done.out


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("metafor", "--output", "a_file"), "a_file: this is a file; metafor needs a folder"),
        (("ris", "--output", "a_folder"), "a_folder: this is a folder; name a file in it"),
        (("metapsy", "--output", "x", "--analysis", "demo"), "goes with revman and metafor"),
    ],
)
def test_an_export_that_cannot_end_well_does_not_begin(
    ketameta, project, tmp_path, monkeypatch, call, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("x", encoding="utf-8")
    (tmp_path / "a_folder").mkdir()
    monkeypatch.setattr("ketameta.inputs.load_evidence", None)
    done = ketameta("export", *call, "--root", project.root)
    assert done.code == 2 and words in done.err


def test_a_words_file_that_is_not_there_is_said(ketameta, tmp_path):
    paths = shared_lists(tmp_path, ROOT)
    source = Path(__file__).parent / "golden" / "psilocybin" / "data.csv"
    done = ketameta("import", source, "--words", "no.toml", "--root", paths.root)
    assert done.code == 2 and "no.toml: the words file cannot be read (no such file" in done.err


def test_a_folder_is_no_file_to_import(ketameta, tmp_path):
    paths = shared_lists(tmp_path, ROOT)
    done = ketameta("import", tmp_path, "--root", paths.root)
    assert done == Done(2, "", f"{tmp_path}: this is a folder; name the file in it\n")


@pytest.mark.parametrize("command", ["preview", "agreement"])
def test_a_folder_without_tables_is_no_batch(ketameta, project, command):
    done = ketameta(command, project.extracted, "--root", project.root)
    assert done.code == 2 and "the folder holds no table" in done.err
    assert "the batches are demo, new" in done.err


def test_a_preview_is_printed_or_written_in_three_styles(ketameta, project, tmp_path):
    done = ketameta("preview", project.extracted / "new", "--root", project.root)
    assert done.code == 0 and done.err == ""
    assert "Enters with Oak 2024." in done.out
    page = tmp_path / "page.html"
    wrote = ketameta("preview", "new", "--root", project.root, "--format", "html", "--output", page)
    assert wrote.out == f"wrote {page}\n"
    assert page.read_text(encoding="utf-8").count("<img ") == 2
    markdown = ketameta("preview", "new", "--root", project.root, "--format", "markdown")
    assert markdown.out.startswith("## What data/extracted/new would change\n")


@pytest.mark.parametrize(
    "command", [("preview", "new"), ("diff", "v1"), ("agreement",), ("trace",)]
)
def test_an_unknown_style_names_the_choices(ketameta, project, command):
    done = ketameta(*command, "--format", "htm", "--root", project.root)
    assert done.code == 2 and "choose one of 'text', 'markdown', 'html'" in done.err
    assert "did you mean html?" in done.err


def test_a_preview_of_a_bad_batch_shows_every_error(ketameta, project):
    path = project.extracted / "new" / "outcomes.csv"
    text = path.read_text(encoding="utf-8").replace("5.1", "5,1").replace("7,,", "70,,")
    path.write_text(text, encoding="utf-8")
    done = ketameta("preview", "new", "--root", project.root)
    assert done.code == 1 and "cannot be previewed" in done.err
    assert "5 errors" in done.err or "errors" in done.err
    assert "Traceback" not in done.err


def test_an_analysis_that_cannot_be_computed_is_named(ketameta, project, monkeypatch):
    def refuse(*_):
        raise NotEstimableError("the units differ")

    monkeypatch.setattr("ketameta.analyses.run.run_analysis", refuse)
    done = ketameta("preview", "new", "--root", project.root)
    assert done.code == 1
    assert done.err.endswith("(demo) cannot be computed: the units differ\n")


def test_a_release_is_compared(ketameta, project):
    publish(project)
    done = ketameta("diff", "v1", "--root", project.root)
    assert done.code == 0 and "0 of 1 analysis change, 1 are the same." in done.out
    none = ketameta("diff", "v9", "--root", project.root)
    assert none.code == 2 and "the releases are v1" in none.err


def test_open_differences_end_with_one_and_decided_ones_with_zero(ketameta, tmp_path):
    paths, folder = twice(tmp_path, some_differences)
    done = ketameta("agreement", "demo", "--root", paths.root)
    assert done.code == 1 and "4 differences still to be decided" in done.out
    decide(folder, mean="12.7", n="29", judgement="high", row="keep")
    done = ketameta("agreement", "--root", paths.root)
    assert done.code == 0 and "Every difference is decided" in done.out


def test_a_study_is_traced(ketameta, project):
    done = ketameta("trace", NEW, "--root", project.root)
    assert done.code == 0 and "5 result rows" in done.out
    unknown = ketameta("trace", "oak_2025", "--root", project.root)
    assert unknown.code == 2 and f"did you mean {NEW}?" in unknown.err


@pytest.mark.parametrize(
    ("kind", "name"),
    [("metapsy", "m.csv"), ("revman", "r.csv"), ("ris", "x.ris"), ("metafor", "f")],
)
def test_every_export_says_what_it_wrote(ketameta, project, tmp_path, kind, name):
    done = ketameta("export", kind, "--output", tmp_path / name, "--root", project.root)
    assert done.code == 0 and done.err == "" and str(tmp_path / name) in done.out
    assert (tmp_path / name).exists()


def test_make_names_the_variable_that_is_missing():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make new STUDY=surname_year" in text and "make preview BATCH=" in text


def test_the_workflow_runs_the_make_targets_and_can_write_nothing():
    text = workflow("check")
    asked, _, after = text.partition("\n  verify:\n")
    for command in ("make check FORMAT=github", "make test", "sh .github/preview.sh"):
        assert command in asked
    # The report is built and verified on main alone.
    assert "make report" not in text and "make verify" not in asked and "make verify" in after
    assert "contents: read" in text and ": write" not in text
    # What can write runs no code of a pull request.
    poster = workflow("preview")
    assert "workflow_run" in poster and "checkout" not in poster and "make " not in poster
    assert "grep -q -v -E '^(data|analyses)/' files" in poster
    publisher = workflow("publish").partition("jobs:")[0]
    assert "pull_request" not in publisher and "branches: [main]" in publisher


def workflow(name: str) -> str:
    return (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")


def test_forms_use_labels_that_exist_and_owners_are_asked_where_something_is() -> None:
    folder = ROOT / ".github"
    labels = re.findall(r"^- name: (.+)$", (folder / "labels.yml").read_text("utf-8"), re.M)
    forms = [path.read_text("utf-8") for path in sorted((folder / "ISSUE_TEMPLATE").glob("*.yml"))]
    used = [text for form in forms for text in re.findall(r"^labels: \[(.+)\]$", form, re.M)]
    assert len(used) == len(forms) - 1 and {text.strip('"') for text in used} <= {*labels}
    assert any(form.startswith("name: Add a trial without git\n") for form in forms)
    for line in (folder / "CODEOWNERS").read_text("utf-8").splitlines():
        pattern, *owners = line.partition("#")[0].split() or [""]
        assert not pattern or (owners and (ROOT / pattern.strip("/*")).exists()), line


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=str)
def test_actions_are_pinned_by_commit_and_no_text_of_strangers_is_run(path):
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: *(\S+)(.*)", text)
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", name) for name, _ in used)
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", version) for _, version in used)
    assert "pull_request_target" not in text
    # Expressions stand in settings, never in the lines of a shell.
    for line in text.splitlines():
        assert "${{" not in line or re.match(r"\s*(?:- )?[\w-]+: ", line), line
    assert re.search(r"^permissions:", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("changed", "posted"),
    [
        (["data/extracted/alder_2014/arms.csv", "analyses/mine.toml"], True),
        (["data/extracted/alder_2014/arms.csv", "src/ketameta/review/document.py"], False),
        (["data/x\n.github/preview.sh"], False),
        (["database.csv"], False),
    ],
)
def test_a_preview_is_posted_where_the_code_of_main_wrote_it(tmp_path, changed, posted):
    script = textwrap.dedent(workflow("preview").partition("        run: |\n")[2])
    (tmp_path / "gh").write_text(
        '#!/bin/sh\ncase "$*" in\n'
        "  *download*) mkdir preview; echo 7 > preview/number\n"
        "    echo '## Mine' > preview/preview.md;;\n"
        f"  *changed_files*) printf 'abc\\tmain\\t{len(changed)}\\n';;\n"
        "  *files*) cat listed;;\n"
        "  *POST*) cat comment.md > sent;;\n"
        "esac\n",
        encoding="utf-8",
    )
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "listed").write_text("\n".join(changed) + "\n", encoding="utf-8")
    names = {"GH_REPO": "a/b", "HEAD_SHA": "abc", "RUN_ID": "1", "MAIN": "main"}
    subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, check=True,
        env={**os.environ, **names, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert ("## Mine" in (tmp_path / "sent").read_text(encoding="utf-8")) == posted


def test_contributing_is_one_page_with_pictures_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.split()) < 700
    for step in ("**1. Start.**", "**2. Fill.**", "**3. Check.**", "**4. Preview.**", "**5. "):
        assert step in text
    for picture in ("docs/row_good.svg", "docs/row_bad.svg"):
        assert picture in text and (ROOT / picture).is_file()
