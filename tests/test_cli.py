"""The command: exit codes, messages without tracebacks, and a start that costs little."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ketameta as km
from helpers import ANALYSIS, TWO_ANALYSES, Done, make_project, trials, write_analysis
from ketameta import cli
from ketameta.build import build
from ketameta.measures import MEASURES
from ketameta.models import RandomEffects
from ketameta.paths import ProjectPaths
from tolerances import DIRECT


@pytest.fixture
def project(tmp_path: Path, quick_figures: list[str]) -> ProjectPaths:
    return make_project(tmp_path / "project", trials(3), TWO_ANALYSES)


def spoil(paths: ProjectPaths) -> None:
    path = next(paths.data.rglob("outcomes.csv"))
    path.write_text(path.read_text(encoding="utf-8").replace("6.4", "-6.4"), encoding="utf-8")


COMMANDS = sorted(
    command.name or command.callback.__name__
    for command in cli.app.registered_commands
    if command.callback is not None
)


# --- help -----------------------------------------------------------------------------------------


def test_no_command_and_help_show_every_command(ketameta) -> None:
    shown = ketameta("--help")
    assert shown.code == 0
    assert {"check", "report", "effects", "run", "verify", "dictionary"} <= set(COMMANDS)
    assert all(f"\n  {name}" in shown.out for name in COMMANDS)
    alone = ketameta()
    assert "Usage:" in alone.out + alone.err
    assert alone.code in (0, 2)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(ketameta, command: str) -> None:
    shown = ketameta(command, "--help")
    assert shown.code == 0
    text = " ".join(shown.out.split())
    assert f"Usage: ketameta {command}" in text
    assert len(text.split("Options:")[0]) > 60, "a sentence says what it does"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["report", "--onlyy", "figures"], "No such option: --onlyy"),
        (["run"], "Missing argument"),
    ],
)
def test_a_wrong_call_is_a_usage_error(ketameta, arguments: list[str], words: str) -> None:
    done = ketameta(*arguments)
    assert done.code == 2
    assert words in done.err


# --- check ----------------------------------------------------------------------------------------


def test_clean_data_pass_with_zero(ketameta, project: ProjectPaths) -> None:
    done = ketameta("check", "--root", project.root)
    assert done.code == 0
    assert done.out.strip().endswith("0 errors, 0 warnings.")


def test_errors_end_with_one_and_name_file_line_and_column(ketameta, project: ProjectPaths) -> None:
    spoil(project)
    done = ketameta("check", "--root", project.root)
    assert done.code == 1
    assert "outcomes.csv:2 sd: -6.4" in done.out


def test_warnings_end_with_zero(ketameta, tmp_path: Path) -> None:
    tables = trials(2)
    tables["outcomes"][0]["sd"] = "2.1"
    done = ketameta("check", "--root", make_project(tmp_path, tables).root)
    assert (done.code, "warning" in done.out) == (0, True)


@pytest.mark.parametrize("style", ["json", "github"])
def test_machines_can_read_the_checks(ketameta, project: ProjectPaths, style: str) -> None:
    spoil(project)
    done = ketameta("check", "--root", project.root, "--format", style)
    assert done.code == 1
    if style == "json":
        assert json.loads(done.out)["errors"] > 0
    else:
        assert done.out.startswith("::error file=data/extracted/demo/outcomes.csv,line=2")


def test_a_batch_that_does_not_exist_is_an_error(ketameta, project: ProjectPaths) -> None:
    done = ketameta("check", "demmo", "--root", project.root)
    assert done.code == 1
    assert "did you mean demo?" in done.out


# --- report, effects, run -------------------------------------------------------------------------


def test_report_says_what_it_did(ketameta, project: ProjectPaths) -> None:
    first = ketameta("report", "--root", project.root)
    assert first.code == 0
    assert first.out.startswith("2 analyses computed, 0 unchanged;")
    assert (project.reports / "report.html").is_file()
    again = ketameta("report", "--root", project.root)
    assert again.out.startswith("0 analyses computed, 2 unchanged; 0 files written")


def test_report_only_figures(ketameta, project: ProjectPaths) -> None:
    assert ketameta("report", "--only", "figures", "--root", project.root).code == 0
    assert not (project.reports / "report.html").exists()
    wrong = ketameta("report", "--only", "pdf", "--root", project.root)
    assert wrong.code == 2 and "--only is 'pdf': no question or analysis; there are" in wrong.err


def test_report_of_one_question_is_one_page(ketameta, project: ProjectPaths) -> None:
    done = ketameta("report", "--only", "rapid", "--root", project.root)
    assert done == Done(0, "wrote build/questions/rapid.html\n", "")
    page = (project.build / "questions" / "rapid.html").read_text(encoding="utf-8")
    assert "Does ketamine lower depression scores?" in page and "<img" in page
    assert not project.reports.exists()
    wrong = ketameta("report", "--only", "rapit", "--root", project.root)
    assert wrong.code == 2 and "did you mean rapid?" in wrong.err


def test_effects_are_printed_or_written(ketameta, project: ProjectPaths, tmp_path: Path) -> None:
    printed = ketameta("effects", "--root", project.root)
    assert printed.code == 0
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert {row["measure"] for row in rows} == {"MD", "SMD"} and len(rows) == 6
    target = tmp_path / "out" / "effects.csv"
    wrote = ketameta("effects", "--root", project.root, "--output", target)
    assert wrote == Done(0, f"wrote {target}\n", "")
    assert target.read_text(encoding="utf-8") == printed.out


def test_run_prints_results_and_writes_nothing(ketameta, project: ProjectPaths) -> None:
    before = sorted(project.root.rglob("*"))
    call = ("run", project.analyses / "rapid.toml", "--root", project.root)
    done = ketameta(*call, "--format", "json")
    assert done.code == 0
    result = json.loads(done.out)
    assert result["k"] == 3
    told = ketameta(*call).out
    assert result["title"] in told and " ".join(result["sentences"]) in told
    assert all(row["label"] in told for group in result["groups"] for row in group["rows"])
    assert sorted(project.root.rglob("*")) == before


def test_run_draws_the_forest_plot(ketameta, project: ProjectPaths, tmp_path: Path) -> None:
    picture = tmp_path / "forest.svg"
    done = ketameta("run", "rapid", "--root", project.root, "--plot", picture)
    assert (done.code, done.err) == (0, f"wrote {picture}\n")
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert_said(ketameta("run", "rapid", "--root", project.root, "--plot", "x.doc"), ".svg", 2)


def test_run_gives_what_report_publishes(ketameta, project: ProjectPaths) -> None:
    build(project)
    path = project.analyses / "rapid.toml"
    done = ketameta("run", path, "--root", project.root, "--format", "json")
    assert done.out == (project.results / "rapid.json").read_text(encoding="utf-8")


def test_dictionary_writes_what_the_schema_says(ketameta, project: ProjectPaths) -> None:
    done = ketameta("dictionary", "--root", project.root)
    assert done.code == 0
    for line in done.out.splitlines():
        assert (project.root / line.removeprefix("wrote ")).is_file()


# --- what goes wrong ------------------------------------------------------------------------------


def assert_said(done: Done, words: str, code: int = 1) -> None:
    assert done.code == code
    assert words in done.err + done.out
    assert "Traceback" not in done.err + done.out


#: A call of every command that needs a project, without it.
CALLS = [
    ["check"], ["report"], ["effects"], ["run", "rapid"], ["verify"], ["dictionary"],
    ["new", "alder_2014"], ["new", "alder_2014", "--workbook"], ["import", __file__],
    ["export", "ris", "--output", "x"], ["preview", "demo"], ["diff", "1.0"], ["agreement"],
    ["trace"], ["release", "1.0"],
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_outside_a_project_nothing_is_written_and_all_say_the_same(
    ketameta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_said(ketameta(*call), "there is no data/ folder here", 2)
    assert_said(ketameta(*call, "--root", "nowhere"), "there is no data/ folder in nowhere", 2)
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_tried_outside_a_project() -> None:
    assert {call[0] for call in CALLS} | {"fit", "init"} == set(COMMANDS)


def test_the_list_of_commands_breaks_no_sentence_off(ketameta) -> None:
    listed = ketameta("--help").out.partition("Commands:")[2].splitlines()
    lines = [line for line in listed if line.strip()]
    assert len(lines) == len(COMMANDS)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_shows_how_a_command_is_called(ketameta, command: str) -> None:
    text = ketameta(command, "--help").out
    calls = [line.split() for line in text.splitlines() if line.startswith("    ketameta ")]
    assert calls and all(call[1] == command for call in calls)


def test_the_help_names_the_exit_codes(ketameta) -> None:
    text = " ".join(ketameta("--help").out.split())
    assert "0 when all is well, 1 when something is to be mended" in text
    assert "2 when the command itself was not understood, 130 when it was stopped" in text


def test_an_analysis_is_found_by_its_name(ketameta, project: ProjectPaths) -> None:
    named = ketameta("run", "rapid", "--root", project.root)
    assert named == ketameta("run", project.analyses / "rapid.toml", "--root", project.root)
    assert_said(ketameta("run", "rapit", "--root", project.root), "did you mean rapid?", 2)
    assert_said(ketameta("run", project.analyses, "--root", project.root), "this is a folder", 2)


def test_a_report_that_is_not_there_is_not_rebuilt_first(
    ketameta, project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ketameta.verify.verify", None)
    done = ketameta("verify", "--report", "nowhere", "--root", project.root)
    assert_said(done, "nowhere: there is no published folder to verify", 2)


def test_bad_data_are_said_by_every_command_that_needs_them(
    ketameta, project: ProjectPaths
) -> None:
    spoil(project)
    for arguments in (["report"], ["effects"], ["run", project.analyses / "rapid.toml"]):
        done = ketameta(*arguments, "--root", project.root)
        assert_said(done, "outcomes.csv:2 sd: -6.4")
        assert done.out == ""


def test_a_bad_analysis_is_said_in_full(ketameta, project: ProjectPaths) -> None:
    path = write_analysis(
        project.analyses, "bad", ANALYSIS.replace('"mood"', '"mod"') + 'design = ["paralel_rct"]\n'
    )
    for arguments in (["report"], ["run", path]):
        done = ketameta(*arguments, "--root", project.root)
        assert_said(done, "did you mean mood?")
        assert "did you mean parallel_rct?" in done.err


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("broken", "title =", "the file is not valid TOML"),
        ("empty", "", "title: a text is needed"),
    ],
)
def test_an_analysis_file_that_cannot_be_used_is_said(
    ketameta, project: ProjectPaths, name: str, text: str, words: str
) -> None:
    path = project.analyses / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    assert_said(ketameta("run", path, "--root", project.root), words)


def test_a_place_that_cannot_be_written_is_said(
    ketameta, project: ProjectPaths, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    done = ketameta("effects", "--root", project.root, "--output", file / "effects.csv")
    assert_said(done, str(file))


def test_stopping_is_not_an_error_of_the_program(
    ketameta, project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ketameta.build.build", stop)
    done = ketameta("report", "--root", project.root)
    assert done == Done(130, "", "Stopped; files already written are whole.\n")


# --- processes ------------------------------------------------------------------------------------


def test_the_version_is_said(ketameta) -> None:
    assert ketameta("--version") == Done(0, f"ketameta {km.__version__}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands(shell: str) -> None:
    name = f"_KETAMETA_COMPLETE=source_{shell}".split("=")
    done = subprocess.run(
        [sys.executable, "-m", "ketameta"], env={**os.environ, name[0]: name[1]},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "ketameta" in done.stdout and "complete" in done.stdout.lower()


def test_any_console_can_show_a_fit_and_a_question(built: ProjectPaths) -> None:
    encodings = ("ascii", "cp1252", "utf-8")
    code = (
        "import sys, ketameta as km\n"
        "from ketameta.cli import main\n"
        f"sys.argv = {['ketameta', 'run', 'rapid', '--root', str(built.root)]!r}\n"
        f"for encoding in {encodings!r}:\n"
        "    sys.stdout = open(1, 'w', encoding=encoding, closefd=False)\n"
        "    print(km.random_effects([0.1, 0.2, -0.4], [0.1, 0.1, 0.2]), flush=True)\n"
        "    print('NEXT')\n"
        "    try:\n        main()\n"
        "    except SystemExit as end:\n        assert not end.code\n"
        "    print('LAST', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=120, check=True
    )
    *shown, rest = done.stdout.split(b"LAST\n")
    assert rest == b""
    for encoding, said in zip(encodings, shown, strict=True):
        fit, question = said.decode(encoding).split("NEXT\n")
        sign = "\u2212" if encoding == "utf-8" else "-"
        for text in (fit, question):
            assert sign in text and "?" not in text.split("\n")[0], encoding


def heavy_modules(*arguments: object) -> list[str]:
    """Return the heavy libraries that a command imports, in a process of its own."""
    code = (
        "import sys\n"
        f"sys.argv = {['ketameta', *(str(item) for item in arguments)]!r}\n"
        "from ketameta.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'matplotlib', 'statsmodels', 'pymare', 'seaborn', 'jinja2', 'joblib', 'scipy'}\n"
        "print('HEAVY', *sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.rpartition("HEAVY")[2].split()


def test_help_imports_nothing_heavy() -> None:
    assert heavy_modules("--help") == []


def test_check_imports_no_models_and_no_figures(built: ProjectPaths) -> None:
    used = set(heavy_modules("check", "--root", built.root))
    assert used == set()


def test_the_command_runs_as_a_module_and_a_closed_pipe_is_no_accident(
    built: ProjectPaths,
) -> None:
    command = [sys.executable, "-m", "ketameta", "run", str(built.analyses / "rapid.toml"),
               "--root", str(built.root)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    complaint = process.stderr.read().decode()
    process.stderr.close()
    process.wait(timeout=120)
    assert "Traceback" not in complaint


# --- a CSV of trials ------------------------------------------------------------------------------

TRIALS = """author;a;n1;c;n2;dose;arm
Aronson 1948;4;123;11;139;4,4;x
Ferguson 1949;6;306;29;303;5,5;y
Hart 1977;62;13598;248;12867;5,2;x
Madras 1980;505;88391;499;88391;1,3;y
"""
COUNTS = ("--events-treatment", "a", "--n-treatment", "n1", "--events-control", "c",
          "--n-control=n2")  # fmt: skip


@pytest.fixture
def trials_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "trials.csv"
    path.write_text(TRIALS, encoding="utf-8")
    return path


def fitted(**options: object) -> RandomEffects:
    effects = km.log_odds_ratio(
        [4, 6, 62, 505], [123, 306, 13598, 88391], [11, 29, 248, 499], [139, 303, 12867, 88391]
    )
    return km.random_effects(effects.estimate, effects.variance, **options)


def test_a_csv_without_a_project_is_fitted_as_at_the_prompt(ketameta, trials_csv: Path) -> None:
    call = ("fit", trials_csv.name, "--measure", "OR", *COUNTS, "--labels", "author")
    done = ketameta(*call)
    names = ["Aronson 1948", "Ferguson 1949", "Hart 1977", "Madras 1980"]
    wanted = fitted(measure="OR", labels=names)
    assert (done.code, done.err) == (0, "")
    assert "<Effects: odds ratio, 4 studies>" in done.out and wanted.summary() in done.out
    assert done.out.endswith(f"{wanted.methods_sentence()}\n") and "is better" not in done.out
    assert "lower is better: favours treatment" in ketameta(*call, "--better", "lower").out
    stored = json.loads(ketameta(*call, "--output", "json").out)
    assert stored["fit"] == wanted.to_dict()
    assert stored["effects"]["labels"] == names
    row = next(csv.DictReader(io.StringIO(ketameta(*call, "--output", "csv").out)))
    assert float(row["estimate"]) == wanted.estimate
    other = ketameta(*call, "--model", "common", "--level", "0.9", "--output", "json")
    assert json.loads(other.out)["fit"]["estimate"] == pytest.approx(
        km.common_effect(wanted.estimates, wanted.variances).estimate, rel=DIRECT
    )
    assert sorted(path.name for path in trials_csv.parent.iterdir()) == ["trials.csv"]


def test_columns_of_effects_a_number_for_all_and_moderators_are_taken(
    ketameta, trials_csv: Path
) -> None:
    call = ("fit", "trials.csv", "--estimate", "dose", "--variance", "0.5", "--labels", "author")
    regressed = json.loads(ketameta(*call, "--moderators", "~ arm", "--output=json").out)["fit"]
    wanted = km.meta_regression([4.4, 5.5, 5.2, 1.3], [0.5] * 4, {"arm": list("xyxy")}, "~ arm")
    assert regressed["estimate"] == pytest.approx(wanted.estimate.tolist(), rel=DIRECT)
    assert regressed["names"] == ["intercept", "arm[T.y]"]
    assert regressed["labels"][0] == "Aronson 1948"


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_picture_is_a_forest_plot_or_the_bubbles_of_a_moderator(
    ketameta, trials_csv: Path, ending: str
) -> None:
    picture = trials_csv.with_name(f"plot.{ending}")
    call = ("fit", "trials.csv", "--measure", "OR", *COUNTS, "--plot", picture.name)
    done = ketameta(*call)
    assert (done.code, done.err) == (0, f"wrote plot.{ending}\n")
    first = picture.read_bytes()
    marks = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}
    assert first.startswith(marks[ending])
    assert ending != "svg" or b'class="pooled_diamond"' in first
    for formula in ("~ dose", "~ arm + dose"):
        assert ketameta(*call, "--moderators", formula).code == 0
        assert ending != "svg" or b'class="bubble"' in picture.read_bytes()
        assert ending != "svg" or b">dose</text>" in picture.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--measure", "rr", *COUNTS], 2, "--measure is 'rr'.*did you mean RR?"),
        (["--measure", "OR", *COUNTS, "--events", "a"], 2, "OR takes no argument 'events'"),
        (["--measure", "OR", *COUNTS[:-1]], 2, "missing: --n-control"),
        (["--measure", "OR", *COUNTS[:-1], "--n-control", "armm"], 2,
         r"no column 'armm' \(--n-control\); did you mean arm\?"),
        (["--measure", "OR", *COUNTS, "--events-tretment", "a"], 2,
         "no option --events-tretment; did you mean --events-treatment?"),
        (["--measure", "OR", *COUNTS, "--n-treatment", "n2"], 2, "--n-treatment is given twice"),
        (["--measure", "OR", "--n-treatment"], 2, "--n-treatment needs a value"),
        (["--measure", "OR", *COUNTS, "--tau2-method", "DerSimonian-Laird"], 2,
         "--tau2-method is .*did you mean DL?"),
        (["--measure", "OR", *COUNTS, "--ci-method", "HKSJ"], 2, "did you mean knapp-hartung?"),
        (["--measure", "OR", *COUNTS, "--moderators", "~ dos"], 2, "did you mean dose?"),
        (["--measure", "OR", *COUNTS, "--labels", "autor"], 2, "did you mean author?"),
        (["--measure", "OR", *COUNTS, "--plot", "plot.jpg"], 2, "ends in .svg, .png, .pdf"),
        (["--measure", "OR", *COUNTS, "--plot", "p.svg", "--moderators", "~ arm + C(dose > 5)"],
         2, "the formula .* has none; leave --plot out"),
        (["--measure", "OR", *COUNTS, "--level", "95"], 2, "level is 95"),
        (["--measure", "OR", *COUNTS, "--correction", "x"], 2,
         "--correction is 'x'; give a number"),
        (["--measure", "OR", *COUNTS, "--better", "low"], 2,
         "--better is 'low'.*did you mean lower"),
        (["--measure", "PLO", "--events", "a", "--n", "n1", "--better", "lower"], 2, "one group"),
        (["--measure", "OR", *COUNTS, "--output", "xml"], 2, "--output is 'xml'"),
        (["--measure", "OR", *COUNTS, "more.csv"], 2, "one CSV file; 2 were given"),
        (["--estimate", "author", "--variance", "dose"], 1,
         r"column 'author' \(--estimate\): every cell is a word"),
        (["--measure", "OR", "--events-treatment", "n1", "--n-treatment", "a",
          "--events-control", "c", "--n-control", "n2"], 1,
         "123 in line 2, 306 in line 3"),
        (["--measure", "OR", *COUNTS, "--plot", "trials.csv/p.svg"], 1, "trials.csv"),
    ],
)  # fmt: skip
def test_a_misspelt_fit_is_told_what_was_meant_and_writes_nothing(
    ketameta, trials_csv: Path, arguments: list[str], code: int, words: str
) -> None:
    done = ketameta("fit", "trials.csv", *arguments)
    assert (done.code, done.out) == (code, "")
    assert re.search(words, done.err, re.S), done.err
    assert "Traceback" not in done.err
    assert [path.name for path in trials_csv.parent.iterdir()] == ["trials.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--estimate", "y", "--variance", "v"), "variance must be > 0: -0.05 in line 4"),
        (("--estimate", "y", "--variance", "v", "--labels", "trial", "--missing", "drop"),
         "variance must be > 0: -0.05 in line 4 (B)"),
        (("--estimate", "y", "--se", "v", "--labels", "trial"),
         "se must be > 0: -0.05 in line 4 (B)"),
        (("--measure", "PLO", "--events", "a", "--n", "n", "--labels", "trial",
          "--zero-cells", "none"), "not defined in line 2 (A), 4 (B), where nobody"),
        (("--measure", "COR", "--correlation", "v", "--n", "20", "--labels", "n"),
         "labels repeat: '4' at lines 3, 4. A study enters once; join columns that tell them apart"
         " (--labels again), or combine the rows\n"),
    ],
)  # fmt: skip
def test_numbers_that_no_trial_has_are_named_by_line_and_label(
    ketameta, trials_csv: Path, arguments: tuple[str, ...], words: str
) -> None:
    rows = ["trial,y,v,a,n", "A,0.1,0.04,0,3", "C,0.3,0.1,2,4", "B,0.2,-0.05,4,4"]
    trials_csv.write_text("\n".join(rows), encoding="utf-8")
    done = ketameta("fit", "trials.csv", *arguments)
    assert done.code == 1
    assert words in done.err


def test_every_wrong_cell_of_the_csv_is_named_at_once(ketameta, trials_csv: Path) -> None:
    spoilt = TRIALS.replace("4;123", "x;123").replace("248", "").replace("5,5;y", "5,5;y;z")
    trials_csv.write_text(spoilt, encoding="utf-8")
    call = ("fit", "trials.csv", "--measure", "OR", *COUNTS)
    done = ketameta(*call)
    assert done.code == 1
    assert done.err.splitlines() == [
        "trials.csv, line 3: more cells than the header has; a separator is in a cell, or missing",
        "trials.csv, line 2, column 'a' (--events-treatment): 'x' is no number",
        "trials.csv, line 4, column 'c' (--events-control): the cell is empty; fill it in, or add"
        " --missing drop",
    ]
    rows = "trial,y,v\nA,0.1,x\nB,0.2,-0.05\nC,1e16,0\n"
    trials_csv.write_text(rows, encoding="utf-8")
    both = ketameta("fit", "trials.csv", "--estimate", "y", "--variance", "v", "--labels", "trial")
    assert both.err.splitlines() == [
        "trials.csv, line 2, column 'v' (--variance): 'x' is no number",
        "trials.csv: variance must be > 0: -0.05 in line 3 (B), 0 in line 4 (C)",
    ]
    trials_csv.write_text(TRIALS.replace("248", "NA"), encoding="utf-8")
    dropped = ketameta(*call, "--missing", "drop", "--labels", "author")
    assert dropped.code == 0 and "left out, a value is missing: Hart 1977" in dropped.out
    assert ketameta("fit", "none.csv", "--measure", "OR", *COUNTS).code == 2
    trials_csv.write_text("", encoding="utf-8")
    assert "the file is empty" in ketameta(*call).err


def test_the_help_of_fit_lists_the_columns_of_every_measure(ketameta) -> None:
    shown = ketameta("fit", "--help").out
    for entry in MEASURES.values():
        for way in entry.ways:
            words = " ".join(f"--{name.replace('_', '-')}" for name in way.columns)
            assert re.search(rf"\b{entry.name}\b[^:]*: {words}\n", shown), (entry.name, words)


def test_hints_of_fit_are_written_as_options(ketameta, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    path.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    assert "(--estimate, --variance), or (--estimate, --se)" in ketameta("fit", path).err
    assert "did you mean --moderators?" in ketameta("fit", path, "--subgroup", "a").err
