"""Two small reviews on other questions: each builds whole, says its own words and known numbers."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import pytest

from helpers import PROJECT, ROOT
from ketameta.build import build
from ketameta.inputs import read_inputs
from ketameta.paths import ProjectPaths, project_paths
from tolerances import APPROXIMATE_FACTOR, PUBLISHED

EXAMPLES = ("bcg", "psilocybin")


class Example(NamedTuple):
    """A built example: where it is, the text of its pages, and its results by name."""

    paths: ProjectPaths
    page: str
    results: dict[str, Any]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Example:
    root = tmp_path_factory.mktemp("examples") / request.param
    shutil.copytree(ROOT / "examples" / request.param, root, ignore=_built)
    paths = project_paths(root)
    with joblib.parallel_config(backend="sequential"):
        build(paths)
    found = {path.stem: json.loads(path.read_bytes()) for path in paths.results.glob("*.json")}
    pages = sorted(paths.reports.rglob("*.html"))
    return Example(paths, "\n".join(page.read_text(encoding="utf-8") for page in pages), found)


def _built(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in ("reports", "build")}


def metafor(name: str) -> dict[str, Any]:
    known = json.loads((ROOT / "tests" / "reference" / "metafor.json").read_text(encoding="utf-8"))
    return known["datasets"][name]["outputs"]


@pytest.mark.parametrize("example", EXAMPLES, indirect=True)
def test_an_example_has_every_part_and_no_word_of_another_topic(example: Example) -> None:
    report = read_inputs(example.paths).report
    assert report.errors == ()
    for part in ("claims", "moderators", "map", "studies", "bias", "registry", "glossary"):
        assert f'id="{part}"' in example.page
    for name in example.results:
        assert (example.paths.figures / f"{name}.svg").is_file()
        assert f'id="{name}"' in example.page
    assert (example.paths.reports / "report.pdf").read_bytes().startswith(b"%PDF")
    words = re.sub("ketameta", "", re.sub(r"<style.*?</style>|<script.*?</script>", "",
                                          example.page, flags=re.DOTALL).lower())  # fmt: skip
    topic = {*PROJECT.words.acronym, *PROJECT.directness.intervention, *PROJECT.directness.related}
    assert sorted(word for word in topic if word in words) == []


@pytest.mark.parametrize("example", ["bcg"], indirect=True)
def test_the_vaccine_trials_give_the_numbers_of_metafor(example: Example) -> None:
    pooled = example.results["tuberculosis"]["pooled"]
    known = metafor("bcg_RR")["re"]["REML"]["adhoc"]
    assert pooled["k"] == 13
    for ours, theirs in (("estimate", "beta"), ("ci_low", "ci.lb"), ("ci_high", "ci.ub")):
        assert pooled[ours] == pytest.approx(known[theirs], rel=PUBLISHED)
    assert pooled["tau2"] == pytest.approx(known["tau2"], rel=PUBLISHED)
    slope = example.results["tuberculosis"]["regressions"][0]
    line = metafor("bcg_RR")["mods"]["REML"]["adhoc"]
    assert slope["moderator"] == "latitude"
    assert slope["slope"] == pytest.approx(line["beta"][1], rel=PUBLISHED)
    assert [slope["ci_low"], slope["ci_high"]] == pytest.approx(
        [line["ci.lb"][1], line["ci.ub"][1]], rel=PUBLISHED
    )
    groups = example.results["tuberculosis_by_allocation"]["groups"]
    assert {group["key"]: len(group["rows"]) for group in groups} == {
        "random": 7, "alternate": 2, "systematic": 4,
    }  # fmt: skip


@pytest.mark.parametrize("example", ["psilocybin"], indirect=True)
def test_the_effects_of_the_database_are_those_it_states(example: Example) -> None:
    source = ROOT / "tests" / "golden" / "psilocybin" / "data.csv"
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    means = [row for row in rows if row["outcome_type"] in ("msd", "imsd")]
    stated = [float(row[".g"].replace(",", ".")) for row in means]
    found = [
        row
        for group in example.results["depression"]["groups"]
        for row in group["rows"]
        # Where two arms were joined, the database states none.
        if "+" not in " ".join(row["arms"])
    ]
    assert len(found) >= 10
    nearest = {row["label"]: min(abs(row["estimate"] - value) for value in stated) for row in found}
    assert {name: far for name, far in nearest.items() if far > APPROXIMATE_FACTOR} == {}
    assert len(example.results["depression_by_comparator"]["groups"]) >= 4


def test_the_database_imports_into_what_the_example_holds(ketameta, tmp_path: Path) -> None:
    root = tmp_path / "psilocybin"
    shutil.copytree(ROOT / "examples" / "psilocybin", root, ignore=_built)
    held = root / "data" / "extracted" / "metapsy"
    before = {path.name: path.read_bytes() for path in held.glob("*.csv")}
    source = ROOT / "tests" / "golden" / "psilocybin" / "data.csv"
    done = ketameta("import", source, "--batch", "metapsy", "--root", root, "--replace")
    assert done.code == 0 and "0 refused" in done.out
    after = {path.name: path.read_bytes() for path in held.glob("*.csv")}
    assert after == before
