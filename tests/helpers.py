"""Invented trials, from rows to a whole project; neither tests nor fixtures.

Every trial here has the name of a tree and invented numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import pytest

from batches import (
    BIAS,
    CONTRAST,
    CONTROL,
    EVENT,
    SCORE,
    STUDY,
    TABLES,
    TREATMENT,
    Tables,
    clean_tables,
    table_path,
    write_project,
)
from ketameta.analyses import AnalysisSpec, Headline, load_spec, side_of
from ketameta.errors import SpecError
from ketameta.evidence import (
    ArmSize,
    Assumptions,
    EffectTable,
    Evidence,
    Finding,
    Row,
    derive_effects,
    load_project,
)
from ketameta.paths import ProjectPaths, project_paths

ROOT = Path(__file__).parents[1]
PROJECT = load_project(ROOT)

#: A scale where more is better, one where less is, and one without a better end.
SCALES = {
    "hamd": "lower_is_better",
    "hama": "lower_is_better",
    "recall": "higher_is_better",
    "heart": "neither",
    "checklist": "lower_is_better",
}

SEARCH = """\
[search]
extraction_closed = "2020-02-02"
kind = "Invented search"
counts_note = "Invented."
limits = ["Invented trials only."]

[[source]]
name = "Nowhere"
searched_for = "invented trials"

[[nothing_found]]
looked_for = "a real trial"

[records]
extracted = 12
converted = 12
excluded = 0
"""

#: The head and the required tables of an analysis; tests replace or add to its parts.
ANALYSIS = """\
title = "Depression after ketamine"
question = "Does ketamine lower depression scores?"
section = "mood"
order = 1
directness = "indirect"
status = "declared"
favours = ["Favours ketamine", "Favours control"]
looked_for = "a trial of ketamine in depression"

[select]
outcome = ["depression"]
intervention = ["ketamine"]
"""


def without_better(analysis: str) -> str:
    """Return an analysis of an outcome of which nobody says which way is better."""
    return analysis.replace("Favours ketamine", "Less on treatment").replace(
        "Favours control", "More on treatment"
    )


#: Two questions about the invented trials: one with an answer, one without a trial.
TWO_ANALYSES = {
    "rapid": ANALYSIS,
    "nausea": without_better(ANALYSIS).replace("depression", "nausea").replace('"mood"', '"harms"')
    + '\n[model]\nmeasure = "RR"\n',
}


# --- rows -----------------------------------------------------------------------------------------


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def study(study_id: str = "alder_2014", **cells: str) -> dict[str, str]:
    """Return a row of ``studies``."""
    name = study_id.split("_")[0].capitalize()
    own = {
        "study_id": study_id,
        "citation": f"{name} A. An invented trial of the {name}. J Invented.",
        "source_url": f"https://example.org/{study_id}",
    }
    return STUDY | own | cells


def arm(
    arm_id: str = "ketamine", study_id: str = "alder_2014", *, control: bool = False, **cells: str
) -> dict[str, str]:
    """Return a row of ``arms``."""
    return (CONTROL if control else TREATMENT) | {"study_id": study_id, "arm_id": arm_id} | cells


def score(arm_id: str = "ketamine", study_id: str = "alder_2014", **cells: str) -> dict[str, str]:
    """Return a row of ``outcomes`` with a mean and an SD."""
    return SCORE | {"study_id": study_id, "arm_id": arm_id} | cells


def event(arm_id: str = "ketamine", study_id: str = "alder_2014", **cells: str) -> dict[str, str]:
    """Return a row of ``outcomes`` with a count."""
    return EVENT | {"study_id": study_id, "arm_id": arm_id} | cells


def contrast(study_id: str = "alder_2014", **cells: str) -> dict[str, str]:
    """Return a row of ``contrasts`` with a mean difference and its interval."""
    return CONTRAST | {"study_id": study_id} | cells


def tables_of(
    outcomes: list[dict[str, str]] | None = None,
    contrasts: list[dict[str, str]] | None = None,
    arms: list[dict[str, str]] | None = None,
    studies: list[dict[str, str]] | None = None,
) -> Tables:
    """Return tables of invented trials; one parallel trial of two arms where not given."""
    words = [
        ("depression", "continuous", "mood"),
        ("anxiety_symptoms", "continuous", "anxiety"),
        ("memory", "continuous", "cognition"),
        ("pulse", "continuous", "vital_sign"),
        ("nausea", "event", "harm"),
        ("response", "event", "response"),
    ]
    return {
        "studies": [study()] if studies is None else studies,
        "arms": [arm(), arm("placebo", control=True)] if arms is None else arms,
        "outcomes": outcomes or [],
        "contrasts": contrasts or [],
        "risk_of_bias": [],
        "outcome_words": [
            {"outcome": name, "label": name, "kind": kind, "domain": domain, "direction": "neither"}
            for name, kind, domain in words
        ],
        "instruments": [
            {"instrument": name, "name": name, "measures": "symptoms", "direction": direction}
            for name, direction in SCALES.items()
        ],
    }


# --- from rows to effects -------------------------------------------------------------------------


def evidence_of(tables: Tables) -> Evidence:
    """Return tables as evidence, without files and without checks."""
    found: dict[str, tuple[Row, ...]] = {}
    for name, rows in tables.items():
        kinds = {column.name: column.kind for column in TABLES[name].columns}
        found[name] = tuple(
            Row(
                table=name,
                file=f"data/extracted/demo/{name}.csv",
                line=line,
                texts={key: text for key, text in row.items() if text},
                numbers={
                    key: float(text)
                    for key, text in row.items()
                    if text and kinds[key] in ("number", "integer")
                },
            )
            for line, row in enumerate(rows, start=2)
        )
    return Evidence(found, project=PROJECT)


def effects_of(tables: Tables, assumed: Assumptions | None = None) -> EffectTable:
    """Return the effects and the unused rows of tables."""
    return derive_effects(evidence_of(tables), assumed)


def one_effect(table: EffectTable, measure: str, **where: Any) -> dict[str, Any]:
    """Return the only effect of a measure (and of other cells) as a plain dictionary."""
    rows = table.effects[table.effects["measure"] == measure]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, rows[["effect_id"]].to_string()
    return dict(rows.to_dict("records")[0])


def reasons(table: EffectTable) -> dict[str, str]:
    """Return the code of every unused row by its source line, such as ``outcomes:3``."""
    return {
        f"{source.split('/')[-1].replace('.csv', '')}": code
        for source, code in zip(table.unused["source"], table.unused["code"], strict=True)
    }


def problem_lines(error: SpecError) -> list[str]:
    """Return what an error says is wrong, a line each: key, reason, remedy."""
    lines = []
    for item in error.findings:
        assert isinstance(item, Finding)
        why = item.why.removeprefix("it ")
        between = " " if why.startswith(("is ", "of ")) else ": " if item.column else ""
        rest = f"; {item.remedy}" if item.remedy else ""
        lines.append(f"{item.column}{between}{why}{rest}")
    return lines


# --- analyses and projects ------------------------------------------------------------------------


def write_analysis(folder: Path, name: str = "demo", text: str = ANALYSIS, more: str = "") -> Path:
    """Write an analysis file; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text + more, encoding="utf-8")
    return path


def arm_size(study_id: str, arm_id: str, subgroup: str, n: int, reason: str) -> ArmSize:
    """Return an assumed size of an arm."""
    return ArmSize(study_id=study_id, arm_id=arm_id, subgroup=subgroup, n=n, reason=reason)


def spec_of(folder: Path, more: str = "", text: str = ANALYSIS, name: str = "demo") -> AnalysisSpec:
    """Return the analysis of ``text + more``."""
    return load_spec(write_analysis(folder, name, text, more), project=PROJECT)


def headline_of_numbers(
    low: float | None, high: float | None, estimate: float | None = None, **more: Any
) -> Headline:
    """Return a headline of a standardised difference; what is not given is empty."""
    given: dict[str, Any] = {
        "rule": {"code": "few_trials", "sentence": ""}, "method": "a model",
        "interval": "credible", "k": 3,
        "effect": "standardised mean difference", "measure": "SMD", "level": 0.95, "people": 120,
        "is_ratio": False, "unit": "", "trials_without_size": 0, "estimate": estimate,
        "pools": 0, "sources": "3 trials",
        "ci_low": low, "ci_high": high, "tau": 0.2, "prior_scale": None, "weights": [],
        "pi_low": None, "pi_high": None, "prediction": "", "side": side_of(low, high),
        "direction": "", "population": "", "comparator": "", "background": "", "absolute": None,
        "absolute_withheld": "", "beside": [], "disagreement": "", "sentence": "",
    }  # fmt: skip
    return {**given, **more}


def two_arms(
    study_id: str, treatment: Mapping[str, str], control: Mapping[str, str], **cells: str
) -> Tables:
    """Return one parallel trial with a depression score in both arms."""
    return {
        "studies": [study(study_id, **cells)],
        "arms": [
            arm(study_id=study_id, n_randomised="60"),
            arm("placebo", study_id, control=True, n_randomised="60"),
        ],
        "outcomes": [
            score(study_id=study_id, **treatment),
            score("placebo", study_id, **control),
        ],
    }


def join_tables(*parts: Tables) -> Tables:
    """Return tables below one another, with the shared lists."""
    joined = tables_of(arms=[], studies=[])
    for part in parts:
        for name, rows in part.items():
            joined[name] = [*joined.get(name, []), *rows]
    return joined


#: Mean, SD and n of both arms of five invented trials.
TRIALS = {
    "alder_2014": (("12.1", "6.4", "30"), ("15.3", "6.9", "30")),
    "birch_2016": (("11.0", "5.9", "24"), ("16.4", "6.1", "22")),
    "cedar_2017": (("14.2", "7.2", "41"), ("14.9", "6.8", "40")),
    "elm_2019": (("10.3", "6.6", "18"), ("15.8", "7.4", "20")),
    "fir_2021": (("13.0", "6.0", "55"), ("15.1", "6.3", "57")),
}


def trials(count: int, **cells: str) -> Tables:
    """Return the first ``count`` invented trials."""
    return join_tables(
        *(
            two_arms(
                name,
                {"mean": t[0], "sd": t[1], "n": t[2]},
                {"mean": c[0], "sd": c[1], "n": c[2]},
                year=name[-4:],
                n_randomised="150",
                **cells,
            )
            for name, (t, c) in list(TRIALS.items())[:count]
        )
    )


def make_project(
    root: Path, tables: Tables | None = None, analyses: Mapping[str, str] | None = None
) -> ProjectPaths:
    """Write a whole invented project: tables, search record and analyses; return its paths.

    ``analyses`` maps names to the text of their files; one of depression when not given.
    """
    write_project(root, trials(3) if tables is None else tables)
    (root / "data" / "search.toml").write_text(SEARCH, encoding="utf-8")
    for table in ("exclusions", "registry"):
        path = table_path(root, table)
        if not path.exists():
            path.write_text(",".join(TABLES[table].column_names) + "\n", encoding="utf-8")
    for name, text in ({"demo": ANALYSIS} if analyses is None else analyses).items():
        write_analysis(root / "analyses", name, text)
    return project_paths(root)


def each(cases: Iterable[tuple[Any, ...]]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Make one test of many cases; when some fail, it names each of them and what it says.

    For grids of hundreds of references, where a test of its own costs more than the case.
    """
    grid = list(cases)
    assert grid, "a grid without a case tests nothing"

    def joined(test: Callable[..., None]) -> Callable[[], None]:
        def run() -> None:
            failed = []
            for case in grid:
                try:
                    test(*case)
                except (Exception, pytest.fail.Exception) as error:
                    named = [item for item in case if isinstance(item, (str, int, float, Path))]
                    failed.append(f"{named}: {type(error).__name__}: {error}")
            assert failed == [], "\n".join(failed)

        return run

    return joined


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process after the other in, where the system can: tests run in several."""
    with path.open("w") as stream:
        try:
            import fcntl
        except ImportError:
            yield
            return
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def without_figures(patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Put small files where figures and the PDF would be; give the figures in drawing order.

    What would run in parallel processes runs one after the other, in this one.
    """
    drawn: list[str] = []

    def draw(kind: str, _data: object, _words: str, path: Path, _pages: Path) -> None:
        drawn.append(path.stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<svg><title>{kind}</title></svg>", encoding="utf-8")

    def bind(
        context: Any, _: ProjectPaths, attachments: dict[str, str], document: str, __: object
    ) -> bytes:
        return f"{document} {context['stamp']} {sorted(attachments.items())}".encode()

    patch.setattr("ketameta.build.draw_figure", draw)
    patch.setattr("ketameta.report.pdf.render_pdf", bind)
    with joblib.parallel_config(backend="sequential"):
        yield drawn


__all__ = [
    "ANALYSIS",
    "BIAS",
    "PROJECT",
    "ROOT",
    "SCALES",
    "SEARCH",
    "TRIALS",
    "TWO_ANALYSES",
    "alone",
    "arm",
    "clean_tables",
    "contrast",
    "each",
    "effects_of",
    "event",
    "evidence_of",
    "join_tables",
    "make_project",
    "one_effect",
    "problem_lines",
    "reasons",
    "score",
    "spec_of",
    "study",
    "tables_of",
    "trials",
    "two_arms",
    "without_figures",
    "write_analysis",
]
