"""What is wrong in project.toml is said at once, with its line, the choices and a near match."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ketameta.errors import SpecError
from ketameta.evidence import load_project
from ketameta.inputs import read_inputs
from ketameta.paths import project_paths
from ketameta.review import start_project

EXAMPLES = Path(__file__).parents[1] / "examples"
OF_A_MODERATOR = """\
[[correction]]
id = "aronson_latitude"
table = "studies"
where = { study_id = "aronson_1948", latitude = 44 }
column = "latitude"
action = "flag"
reason = "invented"
source = "invented"
date = "2020-02-02"
"""


def said(root: Path, *changes: tuple[str, str]) -> list[str]:
    """Return what the checks say of the project file after changes of a new one."""
    if not root.exists():
        start_project(root, "Tea", "Does tea help?")
    file = root / "project.toml"
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    report = read_inputs(project_paths(root)).report
    return [str(item) for item in report.findings if item.file == "project.toml"]


def line_of(root: Path, text: str) -> int:
    lines = (root / "project.toml").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


@pytest.mark.parametrize(
    ("old", "new", "words", "line"),
    [
        ('headline = "primary"', 'headline = "primari"', "did you mean primary?", "primari"),
        ('analysis = "primary"', 'analysis = "primery"', "did you mean primary?", "primery"),
        ('domain = ["harm"]', 'domain = ["harms"]', "did you mean harm?", '["harms"]'),
        ('domain = ["harm"]', "", "'Harms' names no domain", 'label = "Harms"'),
        ('intervention = ["treatment"]', "", "neither intervention nor drug_class", '"Treatment"'),
        ('section = "harms"', 'section = "harm"', "did you mean harms?", 'section = "harm"'),
        ("untested =", "untestet =", "did you mean untested?", "untestet"),
        ('key = "harms"', 'key = "main"  #', "section.key: 'main' stands twice", 'key = "main"  #'),
        (
            "[front]",
            '[front]\nstudy_columns = ["seting"]',
            "the [[moderator]] tables declare none",
            "seting",
        ),
    ],
)
def test_a_wrong_word_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, words: str, line: str
) -> None:
    root = tmp_path / "tea"
    (found,) = (item for item in said(root, (old, new)) if words in item)
    assert f"project.toml:{line_of(root, line)}: " in found


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    root = tmp_path / "tea"
    changes = (('headline = "primary"', 'headline = "x"'), ('domain = ["harm"]', 'domain = ["y"]'))
    assert len(said(root, *changes, ("title =", "titel ="))) >= 3
    with pytest.raises(SpecError, match="titel: no such key; did you mean title"):
        load_project(root)


MODERATORS = """\
[[moderator]]
name = "dose"
label = "Dose"
meaning = "Dose."
kind = "number"

[[moderator]]
name = "setting"
label = "Setting"
meaning = "Where."
[[moderator.level]]
word = "home"

[front]"""


@pytest.mark.parametrize(
    ("old", "new", "why", "line"),
    [
        ('label = "Setting"', 'lable = "Setting"', "moderator.lable: no such key", "lable"),
        ('meaning = "Where."', 'kind = "categry"', "moderator.kind is 'categry'", "categry"),
        ('word = "home"', 'wrod = "home"', "moderator.level.wrod: no such key", "wrod"),
        ('word = "home"', 'word = 3', "moderator.level.word: a text is needed", "word = 3"),
        ('meaning = "Where."', 'meaning = ""', "moderator.meaning: a text is needed", '= ""'),
    ],
)  # fmt: skip
def test_a_wrong_key_of_a_second_entry_is_named_with_its_own_line(
    tmp_path: Path, old: str, new: str, why: str, line: str
) -> None:
    root = tmp_path / "tea"
    found = said(root, ("[front]", MODERATORS.replace(old, new)))
    (told,) = (item for item in found if why in item)
    assert f"project.toml:{line_of(root, line)}: " in told


def test_a_mistake_in_words_or_moderators_is_one_error(tmp_path: Path) -> None:
    root = tmp_path / "bcg"
    shutil.copytree(EXAMPLES / "bcg", root, ignore=shutil.ignore_patterns("reports"))
    file = root / "project.toml"
    whole = file.read_text(encoding="utf-8")
    for old, new in (
        ('kind = "number"', 'kind = "numbr"'),
        ("diagnosis = ", "diagnosi = "),
    ):
        assert old in whole
        file.write_text(whole.replace(old, new, 1), encoding="utf-8")
        (found,) = read_inputs(project_paths(root)).report.findings
        assert found.file == "project.toml" and found.line == line_of(root, new)


def test_a_project_file_that_is_missing_is_one_error(tmp_path: Path) -> None:
    root = tmp_path / "bcg"
    shutil.copytree(EXAMPLES / "bcg", root, ignore=shutil.ignore_patterns("reports"))
    (root / "project.toml").unlink()
    (found,) = read_inputs(project_paths(root)).report.findings
    assert str(found).startswith("project.toml: there is no such file, and nothing else says what")
    assert "allocation" in found.why and "latitude" in found.why


def test_numbers_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    moderator = (
        '[[moderator]]\nname = "dose"\nlabel = "Dose"\nmeaning = "Dose."\nkind = "number"\n'
        "minimum = 5\nmaximum = 1\nstep = 0\n\n[front]"
    )
    found = " ".join(said(tmp_path / "tea", ("[front]", moderator)))
    assert "minimum: it lies above the maximum" in found and "step: a number above 0" in found


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        ("https://example.org/tea/base", True),
        ("https://example.org/group/tea/base/", True),
        ("http://example.org/tea/base", False),
        ("https://example.org", False),
        ("example.org/tea/base", False),
        ("https://example.org/tea/base?x=1", False),
    ],
)
def test_the_address_of_a_repository_is_whole(tmp_path: Path, address: str, fits: bool) -> None:
    change = ("[project]", f'[project]\nrepository = "{address}"')
    found = [item for item in said(tmp_path / "tea", change) if "repository" in item]
    assert (not found) == fits
    assert fits or "write the address of the repository whole" in found[0]


@pytest.mark.parametrize(
    ("slip", "why"),
    [
        (b"q = = 3\n", "the file is not valid TOML (Invalid value"),
        (b"[project]\n", "the file is not valid TOML (a name stands twice"),
        (b"# caf\xe9\n", "\xe9: the file is not UTF-8"),
    ],
)
def test_a_slip_is_one_error_with_its_line_and_nothing_follows(
    tmp_path: Path, slip: bytes, why: str
) -> None:
    root = tmp_path / "bcg"
    shutil.copytree(EXAMPLES / "bcg", root, ignore=shutil.ignore_patterns("reports"))
    (root / "data" / "corrections.toml").write_text(OF_A_MODERATOR, encoding="utf-8")
    assert read_inputs(project_paths(root)).report.findings == ()
    file = root / "project.toml"
    whole = file.read_bytes()
    file.write_bytes(whole + b"\n" + slip)
    line = whole.count(b"\n") + 2
    (found,) = read_inputs(project_paths(root)).report.findings
    assert str(found).startswith(f"project.toml:{line}: {why}") and found.is_error
    assert str(found).count("project.toml") == 1 and "docs/" not in found.remedy
    of_one = read_inputs(project_paths(root), [root / "data" / "extracted"]).report
    assert of_one.findings == ((found,) if found.check == "toml_unreadable" else ())
    with pytest.raises(SpecError, match=f"^project.toml:{line}: "):
        load_project(root)
