"""What a report is computed from: tables, questions and claims, read and checked together.

Effect tables by assumption stand here too, with a fingerprint of what each question can see.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketameta.errors import ExtractionError, SpecError
from ketameta.formatting import plural
from ketameta.measures import OUTCOME_KINDS
from ketameta.paths import Keep, ProjectPaths, made_anew

if TYPE_CHECKING:
    from ketameta.analyses.claims import Claim
    from ketameta.analyses.spec import AnalysisSpec
    from ketameta.evidence.checks.run import CheckReport
    from ketameta.evidence.derive import EffectTable
    from ketameta.evidence.findings import Finding
    from ketameta.evidence.pairing import Assumptions
    from ketameta.evidence.project import Project
    from ketameta.evidence.tables import Evidence

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a report is computed from, and what is wrong with it.

    Attributes
    ----------
    report : CheckReport
        What the checks say of every file.
    evidence : Evidence
        The corrected tables.
    specs : list of AnalysisSpec
    claims : list of Claim
    """

    report: CheckReport
    evidence: Evidence
    specs: list[AnalysisSpec]
    claims: list[Claim]


def read_inputs(
    paths: ProjectPaths,
    only: Sequence[str | Path] | None = None,
    say: Say = lambda _: None,
    keep: Keep = made_anew,
) -> Inputs:
    """Read and check every file that a report is computed from.

    Parameters
    ----------
    paths : ProjectPaths
    only : sequence of str or Path, optional
        Report what concerns these batches, folders or files; everything is still read.
    say : callable
        Called with one line per step.
    keep : callable
        Of :func:`ketameta.evidence.checks.run.checked_evidence`.
    """
    from ketameta.analyses.claims import read_claims
    from ketameta.analyses.spec_file import read_specs
    from ketameta.evidence.checks.run import checked_evidence
    from ketameta.evidence.checks.search import form_findings
    from ketameta.evidence.project import (
        analysis_problems,
        is_unread,
        problem_findings,
        unused_columns,
    )

    specs: list[AnalysisSpec] = []
    claims: list[Claim] = []

    def further(evidence: Evidence, found: Sequence[Finding]) -> Iterator[Finding]:
        say("Checking the questions and the public claims")
        known = known_words(evidence, _in_doubt(found))
        asked, wrong = read_specs(paths.analyses, known, evidence.project)
        unread = is_unread(found)
        specs.extend([] if unread else asked)
        yield from (item for item in wrong if not (unread and item.check == "analysis"))
        words = known.get("intervention")
        columns = () if words is None else unused_columns(evidence.project, words)
        yield from problem_findings(paths.root, columns, "write the word that arms.csv uses")
        names = [path.stem for path in paths.analyses.glob("*.toml")]
        problems = analysis_problems(paths.root, names)
        remedy = "name one there is, or write that analysis"
        yield from problem_findings(paths.root, problems, remedy)
        words_of = {"condition": ("registry", "condition"), "facts": ("harm_facts", "harm")}
        may_name = {name: known[name] for name in ("intervention",) if name in known} | {
            name: [row[column] for row in evidence.rows(table)]
            for name, (table, column) in words_of.items()
            if table not in _in_doubt(found)
        }
        may_name |= dict.fromkeys(("analyses", "indirect"), names)
        stated, wrong = read_claims(paths.data / "claims.toml", may_name)
        claims.extend(stated)
        yield from wrong
        yield from form_findings(paths)
        yield from _of_texts(paths, evidence.project, names)
        yield from _without_direction(evidence, specs)
        if not any(item.is_error for item in found):
            yield from _undecided(evidence, specs)

    report, evidence = checked_evidence(paths, only, further, say, keep)
    return Inputs(report, evidence, specs, claims)


def _of_texts(paths: ProjectPaths, project: Project, analyses: Sequence[str]) -> Iterator[Finding]:
    """Yield what is wrong with the texts that the pages of a project show."""
    from ketameta.analyses.sentences import TEXTS, text_problems
    from ketameta.evidence.findings import decode
    from ketameta.evidence.tables import is_link

    named = [item.text for item in project.question] + [item.text for item in project.front.card]
    for name in dict.fromkeys([*TEXTS, "answer", "ask", "check", *filter(None, named)]):
        path, file = paths.analyses / "text" / f"{name}.md", f"analyses/text/{name}.md"
        if path.is_file() and not is_link(path):
            source, doubt = decode(path.read_bytes(), file)
            unread = [] if doubt is None or not doubt.is_error else [doubt]
            yield from unread or text_problems(source, file, analyses)


def watch(
    paths: ProjectPaths,
    batch: Path,
    changes: Iterable[Any] | None = None,
    further: Callable[[], str] = lambda: "",
) -> Iterator[str]:
    """Yield what is left to mend in a batch, now and whenever a file is saved, the newest first.

    Parameters
    ----------
    paths : ProjectPaths
    batch : Path
        Folder of the batch.
    changes : iterable, optional
        One item per save; the library ``watchfiles`` sees them when not given.
    further : callable
        Gives a text where nothing is to be mended, such as a preview; it follows the findings,
        after an empty line, when it is ready.
    """
    from ketameta.evidence.checks.run import summary

    known: set[tuple[object, ...]] | None = None
    for _ in itertools.chain((None,), _saves(paths, batch) if changes is None else changes):
        start = time.perf_counter()
        report = read_inputs(paths, [batch]).report
        left = list(report.findings)
        fresh = [item for item in left if known is not None and _place(item) not in known]
        parts = [
            (f"New since the last save ({len(fresh)}):", fresh),
            ("Still there:" if fresh else "Left:", [item for item in left if item not in fresh]),
        ]
        lines = [
            line
            for title, items in parts
            for line in ([title, *(_told(item) for item in items), ""] if items else ())
        ]
        now = {_place(item) for item in left}
        if known is not None and (gone := len(known - now)):
            lines.append(f"{plural(gone, 'finding')} mended.")
        lines.append(summary(report))
        known = now
        took = time.perf_counter() - start
        lines.append(f"Checked in {took:.1f} s. Save a file to check again; Ctrl-C ends it.")
        yield "\n".join(lines)
        if not report.errors and (more := further()):
            yield f"\n{more}"


def _place(item: Finding) -> tuple[object, ...]:
    return (item.file, item.line, item.column, item.check)


def _told(item: Finding) -> str:
    about = f" ({item.row})" if item.row else ""
    return f"  {item.severity:<7}  {item} [{item.check}]{about}"


def _saves(paths: ProjectPaths, batch: Path) -> Iterator[None]:
    """Return what yields whenever a file of the project's inputs, or of a batch outside, is saved.

    What the library does not see (a save before it looks, a network drive) is seen by the clock.
    """
    folders = [item for item in {paths.data, paths.analyses, batch.resolve()} if item.is_dir()]

    def stamps() -> list[tuple[str, int]]:
        found = []
        for path in (path for folder in folders for path in folder.rglob("*")):
            with suppress(OSError):  # a file that is being replaced
                found.append((str(path), path.stat().st_mtime_ns))
        return sorted(found)

    def seen(before: list[tuple[str, int]]) -> Iterator[None]:
        from watchfiles import watch as saved

        # Spreadsheets write a file in several steps: a tenth of a second makes them one save.
        looks = saved(*folders, debounce=100, step=50, rust_timeout=1000, yield_on_timeout=True)
        for _ in looks:
            now = stamps()
            if now != before:
                before = now
                yield

    return seen(stamps())


def load_inputs(paths: ProjectPaths, keep: Keep = made_anew) -> Inputs:
    """Return everything that a report is computed from; ``keep`` as for :func:`read_inputs`.

    Raises
    ------
    ExtractionError
        With every problem of every file.
    """
    from ketameta.evidence.checks.run import format_findings

    inputs = read_inputs(paths, keep=keep)
    if inputs.report.errors:
        raise ExtractionError(format_findings(inputs.report), inputs.report.findings)
    return inputs


def _undecided(evidence: Evidence, specs: Sequence[AnalysisSpec]) -> Iterator[Any]:
    """Yield each analysis that meets two printed analyses of one result and prefers neither."""
    from ketameta.analyses.selection import select_effects

    results = [(*row.core,) for name in ("outcomes", "contrasts") for row in evidence.rows(name)]
    if len(set(results)) == len(results):
        return
    tables = InputTables(evidence)
    for spec in specs:
        try:
            select_effects(spec, tables.get(spec.assume), evidence)
        except SpecError as error:
            yield from error.findings


def _without_direction(evidence: Evidence, specs: Sequence[AnalysisSpec]) -> Iterator[Finding]:
    """Yield each standardised analysis whose trials nobody can turn, with the scales at fault."""
    from ketameta.evidence.findings import file_finding
    from ketameta.measures import Measure

    scales = {row["instrument"]: row["direction"] for row in evidence.rows("instruments")}
    drugs = {(row["study_id"], row["arm_id"]): row for row in evidence.rows("arms")}
    outcomes = [row for row in evidence.rows("outcomes") if row["statistic"] != "events"]
    for spec in specs:
        if spec.model.measure is not Measure.SMD:
            continue
        asked = {"intervention": spec.select.intervention, "drug_class": spec.select.drug_class}
        seen: dict[str, set[str]] = {}
        for row in outcomes:
            given = drugs.get((row["study_id"], row["arm_id"]))
            if given is None or row["outcome"] not in spec.select.outcome:
                continue
            if all(not wanted or given[name] in wanted for name, wanted in asked.items()):
                seen.setdefault(row["study_id"], set()).add(row["instrument"])
        lost = {
            study: used
            for study, used in seen.items()
            if all(scales.get(name) == "neither" for name in used)
        }
        if lost:
            names = ", ".join(sorted(set().union(*lost.values())))
            yield file_finding(
                "no_direction",
                f"analyses/{spec.name}.toml",
                f"{plural(len(lost), 'trial')} ({', '.join(sorted(lost))}) cannot enter: "
                f"instruments.csv gives {names} no better end, so there is no SMD",
                "say there which way is better, or ask for measure = 'MD'",
                severity="warning",
                column="model.measure",
            )


def _in_doubt(found: Sequence[Finding]) -> frozenset[str]:
    """Return the tables of which something was not read: their words are not known for certain."""
    return frozenset(Path(item.file).stem for item in found if item.is_error)


def load_evidence(paths: ProjectPaths) -> tuple[Evidence, tuple[Any, ...]]:
    """Return the checked and corrected evidence and the corrections applied.

    Raises
    ------
    ExtractionError
        With every problem of every file.
    """
    from ketameta.evidence.checks.run import checked_evidence, format_findings

    report, evidence = checked_evidence(paths)
    if report.errors:
        raise ExtractionError(format_findings(report), report.findings)
    return evidence, report.applied


def known_words(
    evidence: Evidence, in_doubt: Collection[str] = frozenset()
) -> dict[str, list[str]]:
    """Return the words the data use, for checking analysis files against them.

    Parameters
    ----------
    evidence : Evidence
    in_doubt : collection of str
        Tables that could not be read whole. Nothing is refused for want of their words, nor of
        those of a table that has no row yet.
    """

    def words(table: str, column: str) -> list[str]:
        return sorted({row[column] for row in evidence.rows(table)})

    arms = evidence.rows("arms")
    classes = {f"{row['intervention']} {row['drug_class']}" for row in arms if row["drug_class"]}
    outcomes = evidence.rows("outcome_words")
    ends = better_ends(evidence)
    found = {
        "outcome_words": {
            **{
                end: sorted(name for name in ends if ends[name] == end)
                for end in ("lower", "higher")
            },
            **(
                {"counted": sorted({row["outcome"] for row in outcomes if row["kind"] == "event"})}
                if all(row["kind"] in OUTCOME_KINDS for row in outcomes)
                else {}
            ),
            "outcome": words("outcome_words", "outcome"),
        },
        "instruments": {"instrument": words("instruments", "instrument")},
        "arms": {
            "intervention_class": sorted(classes),
            "intervention": words("arms", "intervention"),
            "comparator": words("arms", "intervention"),
        },
        "studies": {"study_id": words("studies", "study_id")},
    }
    schema = evidence.schema
    classes_known = list(schema["arms"].column("drug_class").allowed)
    declared = {
        "diagnosis": list(schema["studies"].column("diagnosis").allowed),
        "drug_class": classes_known,
        "comparator_class": classes_known,
        "subgroup_keys": list(schema.subgroups),
        **{name: list(item.words) for name, item in evidence.project.categories.items()},
    }
    return {
        **{name: listed for name, listed in declared.items() if listed},
        **{
            name: listed
            for table, columns in found.items()
            if table not in in_doubt and evidence.rows(table)
            for name, listed in columns.items()
        },
    }


def better_ends(evidence: Evidence) -> dict[str, str]:
    """Return ``lower`` or ``higher`` for the outcomes of which one end is known to be better.

    The outcome says so, or else all instruments that measured it and have a better end.
    """
    ends = {"lower_is_better": "lower", "higher_is_better": "higher"}
    known = {row["outcome"]: ends.get(row["direction"]) for row in evidence.rows("outcome_words")}
    scales = {row["instrument"]: ends.get(row["direction"]) for row in evidence.rows("instruments")}
    seen: dict[str, set[str]] = {}
    for table in ("outcomes", "contrasts"):
        for row in evidence.rows(table):
            if end := scales.get(row["instrument"]):
                seen.setdefault(row["outcome"], set()).add(end)
    found = {name: end or "/".join(seen.get(name, ())) for name, end in known.items()}
    return {name: end for name, end in found.items() if end in ends.values()}


class InputTables:
    """Effect tables by assumption, derived once each.

    Parameters
    ----------
    evidence : Evidence
    keep : callable
        Given the name of a table and what derives it.
    earlier : callable
        Gives what was kept by a name of other data: trials that are the same are not derived again.
    code : str
        Stands for the code that derives.
    """

    def __init__(
        self,
        evidence: Evidence,
        keep: Keep = made_anew,
        earlier: Callable[[str], Any] = lambda _: None,
        code: str = "",
    ) -> None:
        self._evidence, self._keep, self._earlier, self._code = evidence, keep, earlier, code
        self.derived: dict[str, tuple[dict[str, str], EffectTable]] = {}

    def get(self, assumed: Assumptions) -> EffectTable:
        """Return the effects under assumptions."""
        name = f"derived-{hashlib.sha256(repr(assumed).encode()).hexdigest()[:16]}"
        if name not in self.derived:
            self.derived[name] = self._keep(name, partial(self._derived, assumed, name))
        return self.derived[name][1]

    def _derived(self, assumed: Assumptions, name: str) -> tuple[dict[str, str], EffectTable]:
        """Return what each trial was derived from, and the effects; another form, another name."""
        from ketameta.evidence.derive import concerned, derive_again, derive_effects
        from ketameta.evidence.pairing import Assumptions

        evidence, seen = self._evidence, self._seen
        without = None if assumed == Assumptions() else self.get(Assumptions())
        if known := self._earlier(name):
            before, table = known
            changed = {key for key in {*seen, *before} if seen.get(key) != before.get(key)}
            return seen, derive_again(evidence, assumed, table, changed, without)
        if without is None:
            return seen, derive_effects(evidence)
        return seen, derive_again(evidence, assumed, without, concerned(evidence, assumed))

    @cached_property
    def _seen(self) -> dict[str, str]:
        """By trial a hash of all that its effects are derived from."""
        told: dict[str, list[Any]] = {}
        for row in (row for rows in self._evidence.tables.values() for row in rows):
            cells = (row.table, row.file, row.line, row.texts, row.numbers, row.flags)
            told.setdefault(row["study_id"], []).append(cells)
        shared = repr((self._code, self._evidence.project, told.pop("", [])))
        return {
            study: hashlib.sha256(f"{shared}{rows!r}".encode()).hexdigest()
            for study, rows in {"": [], **told}.items()
        }

    def stamp(self, studies: Iterable[str]) -> str:
        """Return what stands for all rows of some trials, and for the rows of no trial."""
        from ketameta.evidence.pairing import Assumptions

        self.get(Assumptions())
        seen, _ = next(iter(self.derived.values()))
        return " ".join(str(seen.get(name)) for name in ("", *studies))

    def fingerprint(self, spec: AnalysisSpec) -> str:
        """Return a hash of what ``spec`` can see of the data and of the words of the project."""
        from ketameta.analyses.bubble import study_numbers
        from ketameta.analyses.selection import study_facts

        evidence, table, outcomes = self._evidence, self.get(spec.assume), spec.select.outcome
        project, effects = evidence.project, table.rows.on(outcomes)
        unused = table.unused_rows.on(outcomes)
        left = [row for row in evidence.left_out if row["outcome"] in outcomes]
        names = {str(row["study_id"]) for row in (*effects, *unused, *left)} & {*evidence.facts}
        scales = {*spec.select.instrument, *(row["instrument"] for row in (*effects, *unused))}
        wanted = (*study_facts(project), *study_numbers(project))
        seen = (
            (project.words, project.labels, project.study_labels, project.moderator),
            (project.sections, project.directness, project.harms),
            effects,
            unused,
            left,
            [row.texts for row in evidence.rows("instruments") if row["instrument"] in scales],
            [[evidence.facts[name][key] for key in wanted] for name in sorted(names)],
            [(at, facts) for at, facts in table.arm_facts.items() if at[0] in names],
            [
                [row[key] for key in ("study_id", "arm_id", "schedule")]
                if at == "arms"
                else row.texts
                for at in ("arms", "risk_of_bias", "moderators")
                for row in evidence.rows(at)
                if row["study_id"] in names
            ],
        )
        return hashlib.sha256(repr(seen).encode()).hexdigest()
