"""What an evidence base says of itself: its words, moderators, sections, map, cards and people.

The toolkit knows no topic. Whatever is particular to one question stands in ``project.toml``, is
read here into a typed value, and is refused with every problem at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ketameta.declared import Flag, NeededText, Number, Table, Text, Words, one_of, validate
from ketameta.errors import SpecError, did_you_mean
from ketameta.evidence.findings import Finding as Said
from ketameta.evidence.findings import decode, file_finding, read_toml, toml_line

FILE = "project.toml"
NOT_STATED = "not stated"
NOT_REGISTERED = "not registered"
#: Classes of control arms, the same in every field of medicine.
CONTROL_CLASSES = ("placebo", "active_placebo", "usual_care", "no_treatment")
#: Words for what a source does not say, or what does not apply.
SILENT = ("mixed", "not_reported", "not_applicable")
MODERATOR_KINDS = ("category", "number")
DIRECTNESS = ("direct", "related", "indirect", "context")
CARD_KINDS = ("benefit", "harm", "alternatives")

OptionalNumber = Annotated[float | None, *Number.__metadata__]


class About(Table):
    """Who asks what. What is not known is said to be not known; nobody is invented."""

    title: NeededText = ""
    short_title: Text = ""
    question: NeededText = ""
    lead: Text = ""
    description: Text = ""
    language: Text = "en"
    headline: Text = ""
    authors: Text = NOT_STATED
    funding: Text = NOT_STATED
    conflicts: Text = NOT_STATED
    protocol: Text = NOT_REGISTERED
    contact: Text = NOT_STATED
    repository: Text = ""
    licence: Text = ""
    keywords: Words = ()


class Vocabulary(Table):
    """Words that ``studies``, ``arms`` and ``outcome_words`` may use for this topic.

    ``acronym`` names parts of words that are printed in capitals, ``meant_to_improve`` the
    domains in which a treatment is meant to do better than an inert control, ``includes`` the
    outcomes that hold others: people with remission are among those with a response.
    """

    diagnosis: Words = ()
    drug_class: Words = ()
    outcome_domain: Words = ()
    subgroup_key: Words = ()
    acronym: Words = ()
    meant_to_improve: Words = ()
    includes: Mapping[str, Words] = Field(default_factory=dict)


class Level(Table):
    """One level of a categorical moderator, in the order in which they are compared."""

    word: NeededText = ""
    meaning: Text = ""
    label: Text = ""


class Moderator(Table):
    """A characteristic that may change the effect, and the column that holds it.

    Attributes
    ----------
    name : str
        Column of ``studies.csv``, or a word of ``moderators.csv`` where ``with_basis``.
    label : str
    kind : str
        ``category`` (words, with ``level`` tables) or ``number``.
    meaning : str
        One sentence for the data dictionary.
    level : tuple of Level
        Levels that are compared.
    reference : tuple of str
        The level that others are compared with: the first of these that has enough trials.
    silent : tuple of str
        Words of the column that say nothing of the level; shown, never compared.
    definition : str
        Name of a text column beside it that says how the source defines it.
    unit, minimum, maximum
        Of a number.
    step : float or None
        Slopes are told per this many units.
    step_words : str
        The step in words, for sentences.
    with_basis : bool
        Whether its values stand in ``moderators.csv``, of trials or arms, each with its basis.
    share_of : str
        The whole of which a percentage is a part; the parts of one whole are at most 100 together.
    """

    name: NeededText = ""
    label: NeededText = ""
    kind: Annotated[str, one_of(MODERATOR_KINDS)] = "category"
    meaning: NeededText = ""
    level: tuple[Level, ...] = ()
    reference: Words = ()
    silent: Words = SILENT
    definition: Text = ""
    unit: Text = ""
    minimum: OptionalNumber = None
    maximum: OptionalNumber = None
    step: OptionalNumber = None
    step_words: Text = ""
    with_basis: Flag = False
    share_of: Text = ""

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that a categorical column may hold."""
        return (*(level.word for level in self.level), *self.silent)


class Section(Table):
    """A part of the report, in reading order."""

    key: NeededText = ""
    title: NeededText = ""
    intro: Text = ""


class MapRow(Table):
    """A row of the evidence map: who was studied, and what was measured.

    Without diagnoses it stands for everybody whom no other row names.
    """

    label: NeededText = ""
    diagnosis: Words = ()
    domain: Words = ()


class MapColumn(Table):
    """A column of the evidence map: what was given.

    ``sought`` are the diagnoses in which it was looked for, ``sought_domain`` the kinds of outcome;
    any where it is empty. Other cells are out of scope: nobody looked.
    """

    label: NeededText = ""
    intervention: Words = ()
    drug_class: Words = ()
    sought: Words = ()
    sought_domain: Words = ()


class EvidenceMap(Table):
    """Rows and columns of the evidence map."""

    row: tuple[MapRow, ...] = ()
    column: tuple[MapColumn, ...] = ()


class Directness(Table):
    """What makes evidence direct: these people, given this.

    ``related`` interventions stand out beside it in a network, and analyses of them are indirect
    evidence of their own kind, in the words of ``related_words``; of two treatments of a trial, one
    of ``drug_class`` stands first. ``figure`` has shorter words for the subtitles of figures.
    """

    diagnosis: Words = ()
    intervention: Words = ()
    related: Words = ()
    drug_class: Words = ()
    topic: Text = "the question"
    condition: Text = "the question"
    figure: Mapping[str, str] = Field(default_factory=dict)
    people: Text = "the people asked about"
    treatment: Text = "the treatment asked about"
    direct: Text = "Direct evidence"
    related_words: Text = "related treatments"
    indirect: Text = "Indirect evidence"
    context: Text = "Context"

    def subtitle(self, kind: str) -> str:
        """Return the words under the title of a figure."""
        return self.figure.get(kind) or self.labels.get(kind, "")

    @property
    def labels(self) -> Mapping[str, str]:
        """Words for each kind of directness."""
        related = f"Indirect evidence: {self.related_words}"
        return {"direct": self.direct, "related": related, "indirect": self.indirect,
                "context": self.context}  # fmt: skip

    def tag(self, kind: str) -> str:
        """Return the kind of evidence of an analysis in a few words."""
        return f"indirect: {self.related_words}" if kind == "related" else f"{kind} evidence"


class KnownHarm(Table):
    """A harm known from labels or other designs, which no eligible trial lets us count.

    ``facts`` are words of ``harm_facts.csv`` that it rests on, ``question`` the page that shows
    them. One that is not ``listed`` stands on that page only; nor is one listed as not counted
    when one of its ``analyses`` has a trial.
    """

    words: NeededText = ""
    facts: Words = ()
    analyses: Words = ()
    question: Text = ""
    listed: Flag = True


class HarmsSummary(Table):
    """The figure of all counted harms at the start of their section, and harms not counted.

    ``shared_ending`` lists ends of titles that are left out where every row would repeat them.
    """

    section: Text = ""
    title: Text = "Harms against control"
    note: Text = ""
    shared_ending: Words = ()
    known: tuple[KnownHarm, ...] = ()


class Finding(Table):
    """A row of the clinician's table: an analysis, and its question in few words."""

    analysis: NeededText = ""
    words: NeededText = ""


class Card(Table):
    """A card of the front page: a heading, its text, icon arrays, and the page that says more."""

    kind: Annotated[str, one_of(CARD_KINDS)] = "benefit"
    title: NeededText = ""
    analyses: Words = ()
    text: Text = ""
    icon: tuple[Finding, ...] = ()
    question: Text = ""


class Front(Table):
    """The front page: cards, and the rows of the clinician's table.

    ``study_columns`` are moderators that the list of studies shows.
    """

    card: tuple[Card, ...] = ()
    finding: tuple[Finding, ...] = ()
    study_columns: Words = ()
    untested: Text = "We found no study that tested this."


class Question(Table):
    """A page of the report that merges analyses.

    ``text`` names its prose in ``analyses/text/``, ``brief`` its title in lists of pages. With
    ``untested`` it holds the table of all questions without a trial, whichever page they are of.
    """

    key: NeededText = ""
    title: NeededText = ""
    brief: Text = ""
    analyses: Words = ()
    text: Text = ""
    untested: Flag = False


class GlossaryTerm(Table):
    """A word of the topic that readers may not know; ``pattern`` finds it in running text."""

    id: NeededText = ""
    name: NeededText = ""
    meaning: NeededText = ""
    pattern: NeededText = ""


class Project(Table):
    """An evidence base as ``project.toml`` declares it.

    ``labels`` say how words of the data are printed; ``alias`` what words of imported files mean
    here, by column (``diagnosis``, ``drug_class`` by the name of the intervention, a moderator).
    With ``earlier`` the report shows every headline before and after the rules of this edition; by
    analysis it has what stood before, and what changed, where the usual model does not say it.
    """

    project: About = Field(default_factory=About.model_construct)
    words: Vocabulary = Vocabulary()
    labels: Mapping[str, str] = Field(default_factory=dict)
    study_labels: Mapping[str, str] = Field(default_factory=dict)
    alias: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    moderator: tuple[Moderator, ...] = ()
    section: tuple[Section, ...] = ()
    evidence_map: EvidenceMap = EvidenceMap()
    directness: Directness = Directness()
    harms: HarmsSummary = HarmsSummary()
    front: Front = Front()
    question: tuple[Question, ...] = ()
    glossary: tuple[GlossaryTerm, ...] = ()
    earlier: Mapping[str, Words] = Field(default_factory=dict)

    @property
    def sections(self) -> tuple[str, ...]:
        """Keys of the sections, in order."""
        return tuple(section.key for section in self.section)

    @property
    def categories(self) -> Mapping[str, Moderator]:
        """Categorical moderators that are columns of ``studies.csv``, by name."""
        return {
            item.name: item
            for item in self.moderator
            if item.kind == "category" and not item.with_basis
        }

    @property
    def numbers(self) -> Mapping[str, Moderator]:
        """Moderators that are numbers, by name."""
        return {item.name: item for item in self.moderator if item.kind == "number"}

    def study_label(self, study_id: str) -> str:
        """Return a study's name for readers: ``adler_2022b`` is ``Adler 2022b``."""
        if study_id in self.study_labels:
            return self.study_labels[study_id]
        *names, year = study_id.split("_")
        words = " ".join(name.capitalize() for name in names)
        return f"{words} {'(no date)' if year.startswith('nd') else year}"

    def words_of(self, word: str) -> str:
        """Return a word of the data within a sentence, acronyms in capitals."""
        known = self.words.acronym
        return " ".join(part.upper() if part in known else part for part in word.split("_"))

    def label(self, word: str) -> str:
        """Return a word of the data as readers see it."""
        for moderator in self.moderator:
            for level in moderator.level:
                if level.word == word and level.label:
                    return level.label
        return self.labels.get(word) or word.replace("_", " ").capitalize()


#: Of a folder without ``project.toml``: every word is as good as another.
NOTHING_DECLARED = Project.model_construct()


def load_project(root: Path) -> Project:
    """Return what a project declares; an empty project where it has no ``project.toml``.

    Raises
    ------
    SpecError
        With every problem of the file, each naming the key, the value and the choices.
    """
    project, findings = read_project(root)
    wrong = [item for item in findings if item.is_error]
    if any(item.check != "project_file" for item in wrong):
        raise SpecError("", wrong)
    if wrong:
        listed = "\n".join(f"  {item.why}" for item in wrong)
        raise SpecError(f"{FILE}:\n{listed}")
    return project


def is_unread(findings: Iterable[Said]) -> bool:
    """Return whether ``project.toml`` could not be read, so that its words are not known."""
    return any(item.file == FILE and item.check == "toml_unreadable" for item in findings)


def read_project(root: Path) -> tuple[Project, tuple[Said, ...]]:
    """Return what a project declares and everything wrong with it, wrong values left out."""
    path = root / FILE
    if not path.is_file():
        return Project.model_construct(), ()
    stamp = path.stat()
    return _read(path, stamp.st_mtime_ns, stamp.st_size)


@cache
def _read(path: Path, _modified: int, _size: int) -> tuple[Project, tuple[Said, ...]]:
    raw, _, findings = read_toml(path, FILE)
    if raw is None:
        return Project.model_construct(), findings
    project, problems = validate(Project, {"project": {}, **raw})
    wrong = dict.fromkeys((*problems, *_rules(project)))
    remedy = "mend it there; docs/project_file.md has every key"
    return project, (*findings, *problem_findings(path.parent, [*wrong], remedy))


def _rules(project: Project) -> Iterator[str]:
    """Yield what contradicts itself across tables."""
    words, home = project.words, project.project.repository
    if home and not re.fullmatch(r"https://[\w.-]+(?::\d+)?(?:/[\w.~-]+){2,}/?", home):
        yield (
            f"project.repository is {home!r}; write the address of the repository whole, such as "
            "https://github.com/owner/name"
        )
    for item in project.moderator:
        where = f"moderator {item.name}"
        if item.name and not re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", item.name):
            yield f"{where}: name: lower-case words joined by _ are needed; it names a column"
        if item.kind == "category" and not item.level:
            yield f"{where}: a category needs [[moderator.level]] tables"
        if item.kind == "number" and (item.level or item.reference):
            yield f"{where}: a number has no levels"
        if item.minimum is not None and item.maximum is not None and item.minimum > item.maximum:
            yield f"{where}: minimum: it lies above the maximum"
        if item.step is not None and item.step <= 0:
            yield f"{where}: step: a number above 0 is needed"
        levels = [level.word for level in item.level]
        yield from _unknown(f"{where}: reference", item.reference, levels)
    known = (*words.drug_class, *CONTROL_CLASSES)
    domains, direct = words.outcome_domain, project.directness
    for row in project.evidence_map.row:
        yield from _unknown("evidence_map.row: diagnosis", row.diagnosis, words.diagnosis)
        yield from _unknown("evidence_map.row: domain", row.domain, domains)
        if not row.domain:
            yield f"evidence_map.row: {row.label!r} names no domain, so that it would stay empty"
    for column in project.evidence_map.column:
        if not (column.intervention or column.drug_class):
            yield f"evidence_map.column: {column.label!r} names neither intervention nor drug_class"
        yield from _unknown("evidence_map.column: drug_class", column.drug_class, known)
        yield from _unknown("evidence_map.column: sought", column.sought, words.diagnosis)
        yield from _unknown("evidence_map.column: sought_domain", column.sought_domain, domains)
    yield from _unknown("words.meant_to_improve", words.meant_to_improve, domains)
    yield from _unknown("directness.diagnosis", direct.diagnosis, words.diagnosis)
    yield from _unknown("directness.drug_class", direct.drug_class, known)
    if project.harms.section:
        section = [project.harms.section]
        yield from _unknown("harms.section", section, project.sections, "a [[section]]")
    yield from _unknown("directness.figure", list(direct.figure), DIRECTNESS, "a kind of evidence")
    pages = [item.key for item in project.question]
    asked = [card.question for card in project.front.card]
    for key in filter(None, (*asked, *(harm.question for harm in project.harms.known))):
        if key not in pages:
            yield f"no [[question]] has the key {key!r}{did_you_mean(key, pages)}"
    for key in pages:
        if key and not re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", key):
            yield f"question {key!r}: lower-case words joined by _ are needed; it names a file"
    columns_shown = [item.name for item in project.moderator]
    shown = project.front.study_columns
    yield from _unknown("front.study_columns", shown, columns_shown, "a [[moderator]]")
    for name, aliases in project.alias.items():
        moderators = {item.name: list(item.words) for item in project.categories.values()}
        columns = {"diagnosis": list(words.diagnosis), "drug_class": list(known), **moderators}
        if name not in columns:
            yield f"alias.{name}: no such column{did_you_mean(name, columns)}"
        else:
            yield from _unknown(f"alias.{name}", list(aliases.values()), columns[name])
    for name, given in (
        ("section.key", project.sections),
        ("evidence_map.row.label", [row.label for row in project.evidence_map.row]),
        ("evidence_map.column.label", [item.label for item in project.evidence_map.column]),
        ("moderator.name", [item.name for item in project.moderator]),
        ("question.key", [item.key for item in project.question]),
        ("glossary.id", [item.id for item in project.glossary]),
    ):
        for key in dict.fromkeys(given):
            if list(given).count(key) > 1:
                yield f"{name}: {key!r} stands twice"
    for term in project.glossary:
        try:
            re.compile(term.pattern)
        except re.error as error:
            yield f"glossary {term.id}: pattern is no regular expression: {error}"


def analysis_problems(project: Project, analyses: Sequence[str]) -> list[str]:
    """Return every place of ``project.toml`` that names an analysis which does not exist."""
    named: list[tuple[str, str]] = []
    if project.project.headline:
        named.append(("project.headline", project.project.headline))
    for card in project.front.card:
        names = (*card.analyses, *(item.analysis for item in card.icon))
        named += [(f"front.card {card.title!r}", name) for name in names]
    named += [("front.finding", item.analysis) for item in project.front.finding]
    for harm in project.harms.known:
        named += [(f"harms.known {harm.words!r}", name) for name in harm.analyses]
    named += [("earlier", name) for name in project.earlier]
    for page in project.question:
        named += [(f"question {page.key}", name) for name in page.analyses]
    return [
        f"{where}: no analysis {name!r}{did_you_mean(name, analyses)}"
        for where, name in named
        if name not in analyses
    ]


def unused_columns(project: Project, given: Sequence[str]) -> Iterator[str]:
    """Yield each column of the evidence map that no arm can fill and nobody says was searched.

    ``given`` is every intervention of ``arms.csv``.
    """
    for column in project.evidence_map.column:
        if column.drug_class or column.sought or set(column.intervention) & set(given):
            continue
        word = next(iter(column.intervention), "")
        yield (
            f"evidence_map.column: no arm has the intervention {word!r}, so that the column "
            f"{column.label!r} would say 'none found'{did_you_mean(word, given)}"
        )


def _unknown(
    where: str, given: Sequence[str], known: Sequence[str], place: str = "declared in [words]"
) -> Iterator[str]:
    for word in given:
        if word not in known:
            yield f"{where}: {word!r} is not {place}{did_you_mean(word, known)}"


def problem_findings(root: Path, problems: Sequence[str], remedy: str) -> Iterator[Said]:
    """Yield each problem of ``project.toml`` with the line of its value, or of its key."""
    path = root / FILE
    lines = decode(path.read_bytes())[0].splitlines() if path.is_file() else []
    for problem in problems:
        yield file_finding("project_file", FILE, problem, remedy, line=_line_of(problem, lines))


def _line_of(problem: str, lines: Sequence[str]) -> int:
    """Return the line that a problem is about; 0 where it cannot be told."""
    where, _, _ = problem.partition(": ")
    first = where.split(" ")[0]
    quoted = re.search(r"'([^']+)'", problem)
    table, found = "", []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("["):
            table = text.strip("[]").partition("]")[0]
        key = f"{table}.{text.partition('=')[0].strip()}" if "=" in text else table
        known = f"{first}.".startswith(f"{table}.") or f"{table}.".startswith(f"{first}.")
        if quoted and re.search(rf"""["']{re.escape(quoted[1])}["']""", text) and known:
            found.append((key != first, number))
    return min(found)[1] if found else toml_line(lines, first)
