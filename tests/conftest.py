"""Settings and fixtures of the whole test set."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from hypothesis import settings

from helpers import ROOT, TWO_ANALYSES, Done, make_project, trials
from ketameta import cli
from ketameta.build import build
from ketameta.evidence import EffectTable, Evidence, derive_effects
from ketameta.evidence.checks import checked_evidence
from ketameta.paths import ProjectPaths, project_paths
from ketameta.report import Plot

# The same examples on every machine, however busy it is, and no folder of examples beside the code.
settings.register_profile("ketameta", deadline=None, derandomize=True, database=None)
settings.load_profile("ketameta")

# pyarrow, which only tests need, changes how pandas holds strings. Tests hold them as users without
# it do; commands that tests start in a process of their own hold them as users with it.
pd.options.mode.string_storage = "python"


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder of the committed project."""
    return ROOT


@pytest.fixture(scope="session")
def committed_evidence() -> Evidence:
    """The committed tables, corrected."""
    return checked_evidence(project_paths(ROOT))[1]


@pytest.fixture(scope="session")
def committed_effects(committed_evidence: Evidence) -> EffectTable:
    """The effects of the committed tables, nothing assumed."""
    return derive_effects(committed_evidence)


@pytest.fixture
def ketameta(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Return a function that runs the command in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["ketameta", *(str(item) for item in arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        code = stopped.value.code
        return Done(0 if code is None else int(code), out, err)

    return run


@pytest.fixture
def here_and_now() -> Iterator[None]:
    """Run what would run in parallel processes one after the other, in this one."""
    with joblib.parallel_config(backend="sequential"):
        yield


@pytest.fixture
def quick_figures(here_and_now: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put small files where figures and the PDF would be; return the figures in drawing order."""
    drawn: list[str] = []

    def draw(plot: Plot, path: Path, _: Path) -> None:
        drawn.append(path.stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<svg><title>{plot.kind}</title></svg>", encoding="utf-8")

    def bind(context: Any, _: ProjectPaths, attachments: dict[str, str], document: str) -> bytes:
        return f"{document} {context['stamp']} {sorted(attachments.items())}".encode()

    monkeypatch.setattr("ketameta.build.draw_figure", draw)
    monkeypatch.setattr("ketameta.report.pdf.render_pdf", bind)
    return drawn


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    """An invented project with its report built, figures included; not to be changed."""
    paths = make_project(tmp_path_factory.mktemp("built"), trials(3), TWO_ANALYSES)
    with joblib.parallel_config(backend="sequential"):
        build(paths)
    return paths
