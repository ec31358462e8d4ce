"""Settings and fixtures of the whole test set."""

from __future__ import annotations

import gc
import itertools
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Compiled modules and tests are kept, whatever the shell says: every worker, and every command that
# a test starts, would compile them anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# As in a command: looking for garbage after every 700 objects takes longer than making them.
gc.set_threshold(100_000, 20, 100)

# Before numpy is loaded: one thread each, as commands have. Processes of tests that share a machine
# wait for each other's threads otherwise, ten times as long as they compute.
for _library in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

import pytest

# The process that hands out the tests loads this file too, and runs none of them: what takes long
# to import is imported where it is used, or the others would wait for it.
if TYPE_CHECKING:
    from helpers import Done
    from ketameta.evidence import EffectTable, Evidence
    from ketameta.paths import ProjectPaths

#: How long each test file took when all were run.
SECONDS = Path(__file__).parents[1] / "build" / "test_seconds.json"


def pytest_configure(config: pytest.Config) -> None:
    """Set, in every process that runs tests, what their libraries do."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return
    import pandas as pd
    from hypothesis import settings

    # The same examples on every machine, however busy it is, and no folder of them beside the code.
    settings.register_profile("ketameta", deadline=None, derandomize=True, database=None)
    settings.load_profile("ketameta")
    # pyarrow, which only tests need, changes how pandas holds strings. Tests hold them as users
    # without it do; commands that tests start in a process of their own hold them as users with it.
    pd.options.mode.string_storage = "python"


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder of the committed project."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def committed_evidence() -> Evidence:
    """The committed tables, corrected."""
    from helpers import ROOT
    from ketameta.evidence.checks import checked_evidence
    from ketameta.paths import project_paths

    return checked_evidence(project_paths(ROOT))[1]


@pytest.fixture(scope="session")
def committed_effects(committed_evidence: Evidence) -> EffectTable:
    """The effects of the committed tables, nothing assumed."""
    from ketameta.evidence import derive_effects

    return derive_effects(committed_evidence)


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    """Close what a test drew, so that no test finds too many figures open."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@cache
def command_line() -> Callable[..., Any]:
    """Return the command line, put together once rather than at every call."""
    import typer

    from ketameta import cli

    return typer.main.get_command(cli.app)


@pytest.fixture
def ketameta(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Return a function that runs the command in this process."""
    from helpers import Done
    from ketameta import cli

    monkeypatch.setattr(cli, "app", command_line())

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
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Put small files where figures and the PDF would be; return the figures in drawing order."""
    from helpers import without_figures

    with without_figures(monkeypatch) as drawn:
        yield drawn


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    """An invented project with its report built, figures included; not to be changed."""
    import joblib

    from helpers import TWO_ANALYSES, alone, make_project, trials
    from ketameta.build import build
    from ketameta.paths import project_paths

    folder = tmp_path_factory.getbasetemp()
    # Processes that share the tests share the project: the first that asks builds it.
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    root = folder / "built"
    with alone(folder / "built.lock"):
        if not (root / "done").exists():
            shutil.rmtree(root, ignore_errors=True)
            with joblib.parallel_config(backend="sequential"):
                build(make_project(root / "project", trials(3), TWO_ANALYSES))
            (root / "done").touch()
    return project_paths(root / "project")


@pytest.fixture(scope="session")
def quickly_built(tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    """The same project whose figures cost nothing; not to be changed."""
    from helpers import TWO_ANALYSES, make_project, trials, without_figures
    from ketameta.build import build

    paths = make_project(tmp_path_factory.mktemp("quick") / "project", trials(3), TWO_ANALYSES)
    with pytest.MonkeyPatch.context() as patch, without_figures(patch):
        build(paths)
    return paths


@pytest.fixture(scope="session")
def opened() -> Iterator[Any]:
    """A browser; without one the tests are skipped, and fail where ``CI=true``."""
    from report_pages import browser

    with browser() as found:
        yield found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of one report side by side, so that one process builds it and reads it.

    A process that has nothing left takes over tests from the end: there stand those that share
    nothing.
    """

    @cache
    def alone_here(module: pytest.Module) -> bool:
        names = vars(module.obj).values()
        return not any(getattr(name, "__module__", "") == "report_pages" for name in names)

    items.sort(key=lambda item: alone_here(item.getparent(pytest.Module)))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Note how long each file took when all were run, for those who run the nearest only."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    seconds: Counter[str] = Counter()
    for report in itertools.chain(*terminalreporter.stats.values()):
        seconds[report.nodeid.partition("::")[0]] += getattr(report, "duration", 0)
    SECONDS.parent.mkdir(exist_ok=True)
    SECONDS.write_text(json.dumps(seconds, indent=1), encoding="utf-8")
