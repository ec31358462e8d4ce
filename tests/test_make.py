"""What make runs, and when: a stand-in takes the place of Python, so that nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import fast
from helpers import ROOT

#: Notes how it was called; makes an environment, installs, and builds a report of two files.
STAND_IN = """#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
  "-m venv"*)
    test ! -e "{state}/no-venv" || {{ mkdir -p .venv/bin; cp "$0" .venv/bin/python; exit 1; }}
    mkdir -p .venv/bin && cp "$0" .venv/bin/python && touch .venv/pip ;;
  "-m pip --version") test -e .venv/pip ;;
  "-m pip install"*)
    test ! -e "{state}/killed" || kill -9 $PPID
    test ! -e "{state}/offline" ;;
  "-m ketameta report")
    mkdir -p reports build && echo x > reports/report.html && echo x > "reports/a table.csv"
    printf 'reports/report.html\\nreports/a table.csv\\n' > build/published.txt ;;
esac
"""


class Project:
    """A folder with the Makefile, and what its Python was asked."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root / "project", root / "state"
        self._log = self.state / "log"
        for name in ("data/extracted/demo", "analyses", "src/ketameta"):
            (self.root / name).mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copyfile(ROOT / name, self.root / name)
        for name in ("data/extracted/demo/arms.csv", "analyses/a.toml", "src/ketameta/a.py"):
            (self.root / name).write_text("x", encoding="utf-8")
        self.state.mkdir()
        python = self.state / "python"
        python.write_text(STAND_IN.format(log=self._log, state=self.state), encoding="utf-8")
        python.chmod(0o755)

    def make(self, *arguments: str) -> tuple[int, str, list[str]]:
        """Run make; return its exit code, what it printed, and what Python was asked."""
        self._log.write_text("", encoding="utf-8")
        done = subprocess.run(
            ["make", f"PYTHON={self.state / 'python'}", *arguments],
            cwd=self.root, capture_output=True, text=True, check=False,
            env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": ""},
        )  # fmt: skip
        calls = self._log.read_text(encoding="utf-8").splitlines()
        return done.returncode, done.stdout + done.stderr, [c for c in calls if c[:2] != "-c"]

    def later(self, *names: str) -> None:
        """Give files a date after the last build."""
        stamp = (self.root / "build" / "report.stamp").stat().st_mtime
        for name in names:
            os.utime(self.root / name, (stamp + 10, stamp + 10))


REPORT = "-m ketameta report"
INSTALLED = ["-m venv .venv", "-m pip install --quiet --disable-pip-version-check -e .[test]"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def made(project: Project) -> Project:
    """The same with its environment and its report made."""
    code, said, calls = project.make("report")
    assert code == 0, said
    assert [call for call in calls if call != "-m pip --version"] == [*INSTALLED, REPORT]
    return project


def test_nothing_changed_asks_python_nothing(made: Project) -> None:
    code, said, calls = made.make("report")
    assert (code, calls) == (0, [])
    assert "up to date" in said


@pytest.mark.parametrize("name", ["reports/report.html", "reports/a table.csv"])
def test_any_published_file_that_is_missing_is_built(made: Project, name: str) -> None:
    (made.root / name).unlink()
    assert made.make("report")[2] == [REPORT]
    assert (made.root / name).exists()
    assert made.make("report")[2] == []


@pytest.mark.parametrize(
    "name",
    ["data/extracted/demo/arms.csv", "analyses/a.toml", "src/ketameta/a.py", "Makefile",
     "data/extracted/murrough 2013/arms.csv", "data/extracted/a: b/it's $x.csv",
     "analyses/my question.toml", "reports/releases/1.0/manifest.json", "data/claims.toml",
     "CITATION.cff"],
)  # fmt: skip
def test_a_changed_input_is_seen_whatever_its_name(made: Project, name: str) -> None:
    path = made.root / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    made.later(name)
    code, said, calls = made.make("report")
    assert (code, calls) == (0, [REPORT]), said


def test_a_removed_input_is_seen(made: Project) -> None:
    (made.root / "data/extracted/demo/arms.csv").unlink()
    made.later("data/extracted/demo")
    assert made.make("report")[2] == [REPORT]


def test_what_changes_while_a_report_is_built_is_built_next_time(made: Project) -> None:
    (made.root / "reports/report.html").unlink()
    python = made.root / ".venv/bin/python"
    text = python.read_text(encoding="utf-8")
    python.write_text(
        text.replace("mkdir -p reports", "sleep 0.1; touch analyses/a.toml; mkdir -p reports")
    )
    assert made.make("report")[2] == [REPORT]
    assert made.make("report")[2] == [REPORT]


def test_a_report_that_fails_is_tried_again(made: Project) -> None:
    (made.root / "reports/report.html").unlink()
    python = made.root / ".venv/bin/python"
    text = python.read_text(encoding="utf-8")
    python.write_text(text.replace('"-m ketameta report")', '"-m ketameta report") exit 1'))
    assert made.make("report")[0] != 0
    assert made.make("report")[2] == [REPORT]


# --- the environment ------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["report", "check", "forest", "verify", "release VERSION=1.0"])
def test_a_whole_environment_asks_nothing_of_the_network(made: Project, target: str) -> None:
    (made.state / "offline").touch()
    for name in ("pyproject.toml", "constraints.txt"):
        made.later(name)  # as after a change of branch
    text = (made.root / "pyproject.toml").read_text(encoding="utf-8")
    (made.root / "pyproject.toml").write_text(text + "\n[tool.other]\nx = 1\n", encoding="utf-8")
    code, said, calls = made.make(*target.split())
    assert code == 0, said
    assert calls and not any("pip" in call or "venv" in call for call in calls)


def test_other_versions_are_installed(made: Project) -> None:
    (made.root / "constraints.txt").write_text("numpy==2.0.0\n", encoding="utf-8")
    assert INSTALLED[1] in made.make("check")[2]
    assert made.make("check")[2] == ["-m ketameta check --format text"]


def test_an_environment_without_pip_is_named_and_made_anew(project: Project) -> None:
    """Debian without python3-venv leaves a folder with a Python and no pip."""
    (project.state / "no-venv").touch()
    code, said, _ = project.make("check")
    assert code != 0 and "sudo apt install python3-venv" in said
    assert not (project.root / ".venv").exists()
    (project.state / "no-venv").unlink()
    (project.root / ".venv/bin").mkdir(parents=True)
    shutil.copy(project.state / "python", project.root / ".venv/bin/python")
    code, said, calls = project.make("check")
    assert code == 0, said
    assert INSTALLED[0] in calls


def test_a_killed_installation_is_made_anew(project: Project) -> None:
    (project.state / "killed").touch()
    assert project.make("check")[0] != 0
    (project.root / ".venv/half").touch()
    (project.state / "killed").unlink()
    assert INSTALLED[0] in project.make("check")[2]
    assert not (project.root / ".venv/half").exists()
    assert project.make("check")[2] == ["-m ketameta check --format text"]


def test_an_update_that_finds_no_network_keeps_the_environment(made: Project) -> None:
    wanted = (made.root / "constraints.txt").read_text(encoding="utf-8")
    (made.root / "constraints.txt").write_text("numpy==2.0.0\n", encoding="utf-8")
    (made.state / "offline").touch()
    code, said, _ = made.make("check")
    assert code != 0 and "could not be installed" in said
    (made.root / "constraints.txt").write_text(wanted, encoding="utf-8")
    assert made.make("check")[2] == ["-m ketameta check --format text"]


def test_a_release_is_followed_by_the_report_that_names_it(made: Project) -> None:
    assert made.make("release", "VERSION=1.0")[2] == ["-m ketameta release 1.0", REPORT]
    code, said, calls = made.make("release")
    assert code != 0 and "VERSION=1.0" in said and calls == []


def test_verify_demands_the_same_bytes(made: Project) -> None:
    assert made.make("verify")[2] == ["-m ketameta verify --exact"]


def test_the_tests_nearest_to_a_change_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ROOT / "src" / "ketameta"
    monkeypatch.setattr(fast, "BUILT", ROOT / "nowhere")
    check = fast.distances([package / "evidence" / "checks" / "run.py"])
    assert check["test_checks"] == 1 and check["test_cli"] == 2
    assert "test_letters" not in check, "it would wait for the committed report"
    assert fast.distances([ROOT / "tests" / "test_gosh.py"]) == {"test_gosh": 0}
    monkeypatch.setattr(fast, "SECONDS", ROOT / "nowhere")
    names = fast.chosen([package / "report" / "front.py"])
    assert "test_project_texts" in names[:3] and len(names) < 40


def test_git_ignores_the_pictures_of_the_report_and_not_those_of_a_release() -> None:
    def ignored(name: str) -> bool:
        done = subprocess.run(
            ["git", "check-ignore", "-q", "--no-index", name], cwd=ROOT, check=False
        )
        return done.returncode == 0

    for ending in ("png", "pdf"):
        assert ignored(f"reports/figures/x.{ending}")
        assert not ignored(f"reports/releases/1.0/figures/x.{ending}")
    for name in ("reports/figures/x.svg", "reports/report.pdf", "reports/x.png", "figures/x.png"):
        assert not ignored(name)


def test_what_is_published_is_text_svg_and_the_pdf() -> None:
    """Pictures and the ZIP are drawn and packed on demand; none is committed."""
    listed = subprocess.run(
        ["git", "ls-files", "reports"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    endings = {Path(name).suffix for name in listed if not name.startswith("reports/releases/")}
    assert endings <= {".html", ".pdf", ".json", ".csv", ".svg"}
    assert [name for name in listed if name.endswith(".pdf") and "/figures/" in name
            and not name.startswith("reports/releases/")] == []  # fmt: skip
