"""The committed report rendered anew, and a browser to read it in; neither tests nor fixtures."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT
from ketameta.analyses.spec_file import load_specs
from ketameta.paths import ProjectPaths, project_paths
from ketameta.pipeline import load_evidence, package_versions
from ketameta.report.context import report_context
from ketameta.report.html import render_html
from ketameta.report.provenance import Provenance


@cache
def committed_results() -> tuple[dict[str, Any], ...]:
    """Return the committed results, in report order."""
    paths = project_paths(ROOT)
    return tuple(
        json.loads((paths.results / f"{spec.name}.json").read_text(encoding="utf-8"))
        for spec in load_specs(paths.analyses)
    )


@cache
def committed_context() -> dict[str, Any]:
    """Return the context of the committed results."""
    paths = project_paths(ROOT)
    evidence, applied = load_evidence(paths)
    claims = json.loads((paths.reports / "claims.json").read_text(encoding="utf-8"))
    return report_context(paths, evidence, committed_results(), applied, claims, package_versions())


@cache
def committed_provenance() -> Provenance:
    """Return the provenance of the committed tables."""
    return Provenance(load_evidence(project_paths(ROOT))[0])


@cache
def committed_page() -> str:
    """Return the page of the committed results."""
    return render_html(committed_context())


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
