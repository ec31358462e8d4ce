"""The report of the committed tables, and a browser to read it in; neither tests nor fixtures.

The report is built here, from the tables as they stand: tests say whether code and data are right,
``make verify`` whether ``reports/`` has been rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT, alone
from ketameta.analyses import AnalysisSpec, load_specs
from ketameta.build import build
from ketameta.inputs import load_evidence
from ketameta.paths import ProjectPaths, project_paths
from ketameta.report import Provenance, pdf_data, render_page

#: Where the committed tables are built for the tests: kept, so that the next run builds only what
#: has changed since.
BUILT = ROOT / "build" / "tested"
#: What of the project is built there.
_PARTS = ("data", "analyses", "CITATION.cff", "LICENSE", "Makefile", "pyproject.toml",
          "constraints.txt", "project.toml", "reports/releases")  # fmt: skip


@cache
def committed_build() -> ProjectPaths:
    """Return the report built from the committed tables; not to be changed."""
    BUILT.mkdir(parents=True, exist_ok=True)
    note = BUILT / "built_from.txt"
    with alone(BUILT / "lock"):
        made_of = _made_of()
        if not note.is_file() or note.read_text(encoding="utf-8") != made_of:
            note.unlink(missing_ok=True)
            for part in _PARTS:
                _renew(ROOT / part, BUILT / part)
            build(project_paths(BUILT))
            note.write_text(made_of, encoding="utf-8")
    return project_paths(BUILT)


def _made_of() -> str:
    """Return one hash of everything that a report follows from: tables, questions, code."""
    digest = hashlib.sha256()
    for part in (*_PARTS, "src/ketameta"):
        for path in sorted([ROOT / part, *(ROOT / part).rglob("*")]):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _renew(source: Path, target: Path) -> None:
    """Put a copy of a file or folder in the place of an older one; nothing where there is none."""
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        shutil.copyfile(source, target)


@cache
def committed_specs() -> tuple[AnalysisSpec, ...]:
    """Return the committed questions, in report order."""
    return tuple(load_specs(ROOT / "analyses"))


def names_of(*kinds: str) -> list[str]:
    """Return the committed analyses of some kinds; all of them when none is given."""
    return [spec.name for spec in committed_specs() if not kinds or spec.kind in kinds]


#: A PDF for each section, and all PDFs: paths below reports/ without their ending.
PARTS = [f"supplement/{key}" for key in dict.fromkeys(spec.section for spec in committed_specs())]
DOCUMENTS = ["report", "supplement", "supplement/studies-and-search", *PARTS]


def printed_analyses() -> list[dict[str, Any]]:
    """Return the texts of every analysis in print."""
    return [item for name in PARTS for item in pdf_data(committed_context(), name)["analyses"]]


@cache
def committed_results() -> tuple[dict[str, Any], ...]:
    """Return the results of the committed tables, in report order."""
    folder = committed_build().results
    return tuple(
        json.loads((folder / f"{spec.name}.json").read_text(encoding="utf-8"))
        for spec in committed_specs()
    )


def committed_result(name: str) -> dict[str, Any]:
    """Return the results of one committed analysis."""
    return next(result for result in committed_results() if result["name"] == name)


@cache
def committed_context() -> dict[str, Any]:
    """Return what page and PDF of the committed tables are made of: a build has it once more."""
    paths, made = committed_build(), []

    def taken(_: ProjectPaths, context: Callable[[], Any], *__: object) -> list[str]:
        made.append(context())
        return []

    with alone(BUILT / "lock"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("ketameta.build._write_report", taken)
        assert build(paths).written == (), "what was built is out of date"
    return made[0]


@cache
def committed_provenance() -> Provenance:
    """Return the provenance of the committed tables."""
    return Provenance(load_evidence(project_paths(ROOT))[0])


@cache
def committed_pages() -> dict[str, str]:
    """Return every page of the committed tables by its file, as it was built."""
    reports = committed_build().reports
    files = ("report.html", *(page.file for page in committed_context()["pages"]), "methods.html")
    return {file: (reports / file).read_bytes().decode("utf-8") for file in files}


@cache
def page_of_all() -> str:
    """Return one page with every analysis and the data of every calculator."""
    context = committed_context()
    page = replace(context["pages"][0], analyses=tuple(context["views"]))
    return render_page(context, "questions/all.html", "question.html.j2", page)


def file_of(name: str) -> str:
    """Return the file of the page on which an analysis of the committed tables stands."""
    return str(committed_context()["places"][name]).partition("#")[0]


def page_of(name: str) -> str:
    """Return the page on which an analysis of the committed tables stands."""
    return committed_pages()[file_of(name)]


def write_pages(folder: Path) -> str:
    """Write every page of the committed tables and return the address of their folder."""
    for file, text in committed_pages().items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return folder.as_uri()


def chromium() -> str | None:
    """Return the browser, or nothing where none is installed."""
    for name in (os.environ.get("KETAMETA_CHROMIUM", ""), "chromium", "chromium-browser"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


@contextmanager
def browser() -> Iterator[Any]:
    """Give a headless browser; without one the tests are skipped, and fail where ``CI=true``."""
    executable = chromium()
    if executable is None:
        message = "no Chromium is installed: the page was NOT tested in a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield opened
        finally:
            opened.close()


def write_page(folder: Path, text: str) -> str:
    """Write a page and return its address."""
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


def copy_of(paths: ProjectPaths) -> ProjectPaths:
    """Return a copy of a project that a test may change."""
    root = Path(tempfile.mkdtemp(prefix="ketameta-test-"))
    shutil.copytree(paths.root, root, dirs_exist_ok=True)
    return project_paths(root)
