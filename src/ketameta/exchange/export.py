"""Exports the evidence for other programs: Metapsy, RevMan, reference managers, metafor.

Cells that a spreadsheet could run are guarded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ketameta.analyses.rows import study_rows
from ketameta.errors import UsageError, check_choice, did_you_mean
from ketameta.evidence.project import Project
from ketameta.evidence.tables import Evidence, Row
from ketameta.exchange.metapsy import GROUPS
from ketameta.formatting import csv_text, guarded
from ketameta.paths import ProjectPaths, write_atomically

if TYPE_CHECKING:
    from ketameta.analyses.result import AnalysisResult, StudyRow
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.derive import Effect, EffectTable


Say = Callable[[str], None]
FORMATS = ("metapsy", "revman", "ris", "metafor")


def export(
    paths: ProjectPaths,
    kind: str,
    output: Path,
    analyses: Sequence[str] = (),
    *,
    say: Say = lambda _: None,
) -> tuple[Path, ...]:
    """Write the evidence in another format and return the files.

    ``analyses`` are names, for ``revman`` and ``metafor`` (all when empty). Raises
    :class:`UsageError` where a name, the format or the kind of output does not fit, and
    :class:`ExtractionError` where the data have errors.
    """
    from ketameta.inputs import load_evidence

    check_choice("format", kind, FORMATS)
    if kind == "metafor" and output.exists() and not output.is_dir():
        raise UsageError(f"{output}: this is a file; metafor needs a folder")
    if kind != "metafor" and output.is_dir():
        raise UsageError(f"{output}: this is a folder; name a file in it")
    if analyses and kind not in ("revman", "metafor"):
        raise UsageError(f"{kind} holds all evidence; --analysis goes with revman and metafor")
    say("Reading and checking")
    evidence, _ = load_evidence(paths)
    if kind == "ris":
        files = {output: references(evidence)}
    elif kind == "metapsy":
        from ketameta.evidence.derive import derive_effects

        files = {output: metapsy_csv(derive_effects(evidence), evidence)}
    else:
        specs = _specs(paths, evidence, analyses)
        files = _of_analyses(kind, output, specs, evidence, say)
    for path, text in files.items():
        write_atomically(path, text)
    return tuple(files)


def _specs(paths: ProjectPaths, evidence: Evidence, names: Sequence[str]) -> list[AnalysisSpec]:
    """Return the analyses asked for."""
    from ketameta.analyses.spec_file import load_specs
    from ketameta.inputs import known_words

    specs = load_specs(paths.analyses, known_words(evidence), evidence.project)
    known = [spec.name for spec in specs]
    unknown = [f"{name!r}{did_you_mean(name, known)}" for name in names if name not in known]
    if unknown:
        raise UsageError(f"no such analysis: {'; '.join(unknown)} (one of {', '.join(known)})")
    return [spec for spec in specs if not names or spec.name in names]


def _of_analyses(
    kind: str,
    output: Path,
    specs: Sequence[AnalysisSpec],
    evidence: Evidence,
    say: Say,
) -> dict[Path, str]:
    """Return the files of a format that is about analyses."""
    from ketameta.analyses.run import run_analysis
    from ketameta.inputs import InputTables

    tables = InputTables(evidence)
    results = []
    files: dict[Path, str] = {}
    for spec in specs:
        say(f"Computing {spec.name}")
        table = tables.get(spec.assume)
        result = run_analysis(spec, table, evidence)
        results.append(result)
        if kind == "metafor":
            for name, text in metafor_files(spec, table, evidence, result).items():
                files[output / name] = text
    if kind == "revman":
        files[output] = data_rows_csv(results)
    return files


METAFOR_COLUMNS = (
    *("study_id", "label", "year", "yi", "vi", "sei", "n_treatment", "n_control"),
    *("events_treatment", "events_control", "intervention", "comparator", "outcome", "instrument"),
    *("time_days", "group", "route", "doi"),
)
#: metafor's word for each way to make the interval.
_TESTS = {
    "wald": "z",
    "knapp-hartung": "knha",
    "knapp-hartung-conservative": "adhoc",
}
#: Two searches for the same variance; the script asks metafor to stop at 1e-10, not at its 1e-5.
_TOLERANCE = "1e-6"


def metafor_files(
    spec: AnalysisSpec, table: EffectTable, evidence: Evidence, result: AnalysisResult
) -> dict[str, str]:
    """Return the CSV and the R script of one analysis by file name.

    The script compares metafor's numbers with ``result`` and stops where they differ.
    """
    from ketameta.analyses.selection import select_effects

    rows = [row for group in result["groups"] for row in group["rows"]]
    if len({row["study_id"] for row in rows}) < len(rows):
        # A trial in several groups: its effects are joined before they are pooled.
        selected = select_effects(spec, table, evidence)
        rows = study_rows(selected.used, spec.model.measure, "study_id", project=spec.project)
    columns = [*METAFOR_COLUMNS, *spec.project.categories]
    text = csv_text(columns, [_metafor_cells(row, columns) for row in rows])
    return {f"{spec.name}.csv": text, f"{spec.name}.R": _script(spec, result, len(rows))}


def _metafor_cells(row: StudyRow, columns: Sequence[str]) -> dict[str, str]:
    variance = row["se"] ** 2 if row.get("variance") is None else row["variance"]
    own = {"yi": _text(row["estimate"]), "vi": _text(variance), "sei": _text(row["se"])}
    return {name: own.get(name, _text(row.get(name))) for name in columns}


def _text(value: object) -> str:
    """Return a cell: a whole number without its point, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _script(spec: AnalysisSpec, result: AnalysisResult, k: int) -> str:
    """Return an R script that reads the CSV and recomputes the pooled result."""
    model = spec.model
    title = " ".join(spec.title.split())
    lines = [
        f"# {title}",
        f"# {model.measure.label}; recomputed with metafor from {spec.name}.csv.",
        f"# Run with: Rscript {spec.name}.R",
        "suppressMessages(library(metafor))",
        f'dat <- read.csv("{spec.name}.csv", stringsAsFactors = FALSE)',
    ]
    pooled = result["pooled"]
    if k == 0:
        return "\n".join([*lines, 'cat("No eligible trial.\\n")']) + "\n"
    if pooled is None or k < 2:
        why = "One trial; nothing is pooled." if k == 1 else "Groups are not pooled together."
        return "\n".join([*lines, "print(dat[, 2:6])", f'cat("{why}\\n")']) + "\n"
    expected = ", ".join(
        f"{name} = {pooled.get(name)!r}" for name in ("estimate", "ci_low", "ci_high", "tau2")
    )
    lines += [
        "fit <- rma(",
        f'  yi, vi, data = dat, slab = label, method = "{model.tau2_method}",',
        f'  test = "{_TESTS[model.ci_method]}", level = {100 * model.level:g},',
        "  control = list(threshold = 1e-10, tol = 1e-12, maxiter = 10000)",
        ")",
        "print(fit)",
        f"expected <- c({expected})",
        "found <- c(",
        "  estimate = as.numeric(fit$beta), ci_low = fit$ci.lb, ci_high = fit$ci.ub,",
        "  tau2 = fit$tau2",
        ")",
        "print(rbind(expected, found), digits = 10)",
        f"stopifnot(all(abs(found - expected) <= {_TOLERANCE} * (1 + abs(expected))))",
        'cat("metafor gives the same result.\\n")',
    ]
    return "\n".join(lines) + "\n"


#: Columns in the order of the Metapsy data standard, then additional ones.
METAPSY_COLUMNS = (
    *("study", "condition_arm1", "condition_arm2", "multi_arm1", "multi_arm2", "outcome_type"),
    *("instrument", "instrument_symptom", "time", "time_days", "time_weeks", "rating", "subgroup"),
    *("mean_arm1", "mean_arm2", "sd_arm1", "sd_arm2", "n_arm1", "n_arm2"),
    *("mean_change_arm1", "mean_change_arm2", "sd_change_arm1", "sd_change_arm2"),
    *("n_change_arm1", "n_change_arm2"),
    *("event_arm1", "event_arm2", "totaln_arm1", "totaln_arm2"),
    *("precalc_g", "precalc_g_se", "precalc_log_rr", "precalc_log_rr_se"),
    *("year", "diagnosis", "design", "blinding", "doi", "full_ref", "route"),
    *(".id", ".g", ".g_se", ".log_rr", ".log_rr_se"),
    *("analysis", "favours"),
    *(".event_arm1", ".event_arm2", ".totaln_arm1", ".totaln_arm2"),
)
_KEYS = [
    *("study_id", "arm_id", "comparator_arm_id", "outcome", "instrument", "time_days"),
    *("subgroup", "data_kind", "analysis"),
]
#: Forms in which a source prints one comparison, the best first: the format has room for one.
_FORMS = ("", "MD", "OR", "RR", "RD", "SMD", "test")
#: A cell of the format before it is written.
Cell = str | float | None
_BLINDING = {"double_blind": "double-blind", "single_blind": "single-blind"}


def metapsy_csv(table: EffectTable, evidence: Evidence) -> str:
    """Return every comparison of two arms as a row of the Metapsy format.

    Notes
    -----
    ``.g`` has the sign of arm 1 minus arm 2, as its means have, whichever way of the scale is
    better; it is computed with the exact small-sample factor. Arms joined from others are left
    out, because the format holds what sources print, and so are comparisons within one arm.
    """
    effects = table.effects
    effects = effects[
        ~effects["arm_id"].str.contains("+", regex=False)
        & ~effects["comparator_arm_id"].str.contains("+", regex=False)
        & (effects["comparator_arm_id"] != "")
    ]
    studies = {row["study_id"]: row for row in evidence.rows("studies")}
    # Interventions that a trial gives in more than one arm.
    given = Counter((row["study_id"], row["intervention"]) for row in evidence.rows("arms"))
    several = {arm for arm, count in given.items() if count > 1}
    lines = [";".join(METAPSY_COLUMNS)]
    numbers = effects.groupby(_KEYS, sort=True, dropna=False).ngroup()
    rows = sorted(
        zip(numbers, cast("list[Effect]", effects.to_dict("records")), strict=True),
        key=lambda numbered: (numbered[0], _FORMS.index(numbered[1]["printed_as"])),
    )
    for _, group in groupby(rows, key=itemgetter(0)):
        forms = [row for _, row in group]
        best = forms[0]["printed_as"]
        by_measure = {row["measure"]: row for row in forms if row["printed_as"] == best}
        first = next(iter(by_measure.values()))
        cells = _metapsy_cells(first, by_measure, several, evidence.project)
        if cells is None:
            continue
        study = studies[first["study_id"]]
        cells |= {
            "year": study["year"],
            "diagnosis": study["diagnosis"],
            "design": "crossover" if study["design"].startswith("crossover") else study["design"],
            "blinding": _BLINDING.get(study["blinding"], study["blinding"].replace("_", "-")),
            "doi": study["doi"],
            "full_ref": study["citation"],
        }
        lines.append(";".join(_cell(cells.get(name)) for name in METAPSY_COLUMNS))
    return "\n".join(lines) + "\n"


def _metapsy_cells(
    row: Effect, by_measure: Mapping[str, Effect], several: set[tuple[str, str]], project: Project
) -> dict[str, Cell] | None:
    """Return the cells of one comparison, or None where the format has no place for it."""
    kind, study, days = row["data_kind"], row["study_id"], row["time_days"]
    cells: dict[str, Cell] = {
        "study": project.study_label(study).replace("(no date)", "nd"),
        "condition_arm1": row["intervention"] or row["arm_id"],
        "condition_arm2": row["comparator"] or row["comparator_arm_id"],
        "outcome_type": {"endpoint": "msd", "change": "change"}.get(kind, row["outcome"]),
        "instrument": row["instrument"],
        "instrument_symptom": row["outcome"],
        "time": f"day {days:g}" if math.isfinite(days) else None,
        "time_days": days,
        "time_weeks": days / 7,
        "subgroup": row["subgroup"].replace(";", "|"),
        "route": row["route"],
        "analysis": row["analysis"],
        ".id": row["effect_id"].rsplit("/", 1)[0],
    }
    if (study, row["intervention"]) in several:
        cells["multi_arm1"] = row["arm_id"]
    if (study, row["comparator"]) in several:
        cells["multi_arm2"] = row["comparator_arm_id"]
    numbers, group = cast("Mapping[str, float]", row), GROUPS.get(kind, {})
    for ours, theirs in group.items():
        for arm, side in (("1", "treatment"), ("2", "control")):
            for dot in ("", ".") if kind == "events" else ("",):
                cells[f"{dot}{theirs}_arm{arm}"] = numbers[f"{ours}_{side}"]
    wanted = ("RR",) if kind == "events" else ("SMD",) if group else ("SMD", "RR")
    effect = next((by_measure[name] for name in wanted if name in by_measure), None)
    if effect is None:
        return cells if group else None
    name = "g" if effect["measure"] == "SMD" else "log_rr"
    turned = group and name == "g" and "direction_flipped" in effect["route"]
    estimate, se = effect["estimate"] * (-1 if turned else 1), math.sqrt(effect["variance"])
    cells |= {f".{name}": estimate, f".{name}_se": se}
    if not group:
        cells |= {f"precalc_{name}": estimate, f"precalc_{name}_se": se}
        if name == "g":
            favours = "treatment" if estimate < 0 else "control"
            cells |= {"outcome_type": "msd", "favours": favours}
    return cells


def _cell(value: Cell) -> str:
    """Return a cell: decimal comma, NA for missing, no semicolon or quotation mark, no formula."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return "NA"
    if isinstance(value, (int, float)):
        text = f"{int(value)}" if float(value).is_integer() else repr(float(value))
        return text.replace(".", ",")
    return guarded(" ".join(str(value).split()).replace(";", ",").replace('"', "'"))


#: Columns of the data rows in the order of the data package specification.
REVMAN_COLUMNS = (
    *("Analysis group", "Analysis number", "Analysis name", "Subgroup", "Applicability", "Study"),
    *("Study year", "GIV Mean", "GIV SE", "Experimental mean", "Experimental SD"),
    *("Experimental cases", "Experimental N", "Control mean", "Control SD", "Control cases"),
    *("Control N", "O-E", "Variance", "Weight", "Mean", "CI start", "CI end", "Footnotes"),
)


def data_rows_csv(results: Sequence[AnalysisResult]) -> str:
    """Return the rows of all analyses, one group of analyses per part of the report.

    Notes
    -----
    ``GIV Mean`` and ``GIV SE`` are on the analysis scale (logarithms for ratios), ``Mean`` and its
    interval on the scale a reader sees, as in RevMan's own files. Counts and means are filled where
    one comparison stands behind a row.
    """
    sections = list(dict.fromkeys(result["section"] for result in results))
    numbers: dict[str, int] = {}
    rows: list[dict[str, str]] = []
    for result in results:
        group = sections.index(result["section"]) + 1
        numbers[result["section"]] = numbers.get(result["section"], 0) + 1
        rows.extend(_rows(result, group, numbers[result["section"]]))
    return csv_text(REVMAN_COLUMNS, rows)


#: Columns of the data rows that are a number of a row: theirs -> ours.
_REVMAN: Mapping[str, str] = {
    "Study year": "year", "GIV Mean": "estimate", "GIV SE": "se", "Weight": "weight",
    **{f"{theirs} {name}": f"{ours}_{side}"
       for theirs, side in (("Experimental", "treatment"), ("Control", "control"))
       for name, ours in (("mean", "mean"), ("SD", "sd"), ("cases", "events"), ("N", "n"))},
}  # fmt: skip


def _rows(result: AnalysisResult, group: int, number: int) -> Iterator[dict[str, str]]:
    for part in result["groups"]:
        for row in part["rows"]:
            notes = (row.get("note"), row.get("assumption"), f"study_id {row['study_id']}")
            yield {
                "Analysis group": str(group),
                "Analysis number": str(number),
                "Analysis name": result["title"],
                "Subgroup": part["label"] or "",
                "Study": row["label"],
                **{theirs: _text(row.get(ours)) for theirs, ours in _REVMAN.items()},
                "Mean": _shown(row["estimate"], result),
                "CI start": _shown(row["ci_low"], result),
                "CI end": _shown(row["ci_high"], result),
                "Footnotes": "; ".join(text for text in notes if text),
            }


def _shown(value: float | None, result: AnalysisResult) -> str:
    return _text(math.exp(value) if value is not None and result["is_ratio"] else value)


#: RIS type by kind of source; anything else is GEN.
_TYPES = {"journal": "JOUR", "dataset": "DATA", "registry": "DBASE"}


def references(evidence: Evidence) -> str:
    """Return one RIS record per trial, in order of their names.

    Notes
    -----
    Citations are free text in the tables, so that the whole citation stands in ``TI`` and is not
    cut into authors and title by guessing. ``ID`` is the trial's name here, ``ST`` the label that
    the figures print.
    """
    rows = sorted(evidence.rows("studies"), key=lambda row: row["study_id"])
    return "".join(_record(row, evidence.project) for row in rows)


def _record(row: Row, project: Project) -> str:
    lines = [
        ("TY", _TYPES.get(row["source_type"], "GEN")),
        ("ID", row["study_id"]),
        ("TI", row["citation"]),
        ("ST", project.study_label(row["study_id"])),
        ("PY", row["year"]),
        ("DO", row["doi"]),
        ("AN", f"PMID {row['pmid']}" if row["pmid"] else ""),
        ("C1", row["registry_id"]),
        ("UR", row["source_url"]),
    ]
    # RIS ends lines with CRLF; ER has no value.
    texts = [f"{tag}  - {' '.join(value.split())}\r\n" for tag, value in lines if value]
    return "".join(texts) + "ER  - \r\n"
