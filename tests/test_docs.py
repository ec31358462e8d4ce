"""The guide: pages are those that the code gives, examples run, links lead somewhere."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ketameta as km
from helpers import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"), key=str)
PAGES = [page for page in PAGES if not {"_build", "generated"} & set(page.parts)]
EXECUTED = [page for page in PAGES if "{code-cell}" in page.read_text(encoding="utf-8")]
NAMES = [name for name in km.__all__ if name not in ("plots", "__version__")]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITTEN = ["commands.md", "analysis_file.md", "project_file.md", "columns.md", "api.md"]


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_written_from_the_code_is_what_the_code_says(page: str) -> None:
    made = script("generate").PAGES[page]()
    assert (DOCS / page).read_text(encoding="utf-8") == made, "run python docs/generate.py"


def test_the_picture_of_the_package_shows_its_parts() -> None:
    now, shown = (
        set(re.findall(r'font-weight="bold">(\w+)', text))
        for text in (
            script("draw_architecture").picture(),
            (DOCS / "architecture.svg").read_text(encoding="utf-8"),
        )
    )
    assert shown == now and {"effects", "models", "evidence", "report"} <= now


def test_what_the_architecture_names_is_there() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    names = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(names) > 20
    roots = (ROOT, ROOT / "src" / "ketameta")
    assert [name for name in names if not any((root / name).exists() for root in roots)] == []


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.stem)
def test_every_block_of_the_guide_runs(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(page.parent)
    names: dict[str, Any] = {}
    cells = re.findall(r"```{code-cell} python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    for cell in cells:
        exec(compile(cell, page.name, "exec"), names)
    assert len(cells) >= 2 and "<" in capsys.readouterr().out


def test_every_link_of_a_page_leads_to_a_file() -> None:
    lost = []
    for page in [*PAGES, ROOT / "README.md"]:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            target = link.partition("#")[0]
            # What is published is built apart from the guide.
            if not target or "://" in target or "reports/" in target:
                continue
            if not (page.parent / target).exists():
                lost.append(f"{page.relative_to(ROOT)}: {link}")
    assert lost == []


def test_every_page_can_be_reached_from_the_first() -> None:
    listed = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for tree in re.findall(r"```{toctree}(.*?)```", text, re.DOTALL):
            for line in tree.splitlines():
                name = re.sub(r".*<(.*)>", r"\1", line.strip())
                if name and not name.startswith(":"):
                    listed.add((page.parent / f"{name}.md").resolve())
    assert {page.resolve() for page in PAGES} - listed == {(DOCS / "index.md").resolve()}


def test_the_read_me_stays_under_two_screens() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name: str) -> None:
    value = getattr(km, name)
    module = sys.modules[value.__module__]
    finder = doctest.DocTestFinder(recurse=inspect.isclass(value))
    for test in finder.find(value, name, module=module):
        found = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert found.failed == 0


def test_every_public_name_is_shown_at_work_somewhere() -> None:
    guide = "".join(page.read_text(encoding="utf-8") for page in EXECUTED)
    shown = {name for name in NAMES if f"km.{name}(" in guide}
    shown |= {name for name in NAMES if ">>>" in (inspect.getdoc(getattr(km, name)) or "")}
    assert sorted(set(NAMES) - shown - NOT_CALLED) == []


#: Results and priors that other functions return or take; they are shown in those.
NOT_CALLED = {"Contrasts", "EffectSize", "Effects"}
