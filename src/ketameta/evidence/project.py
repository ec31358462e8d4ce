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

from pydantic import AfterValidator, Field

from ketameta.declared import (
    Flag,
    Known,
    NeededText,
    OptionalNumber,
    Problem,
    Table,
    Text,
    Words,
    one_of,
    problem,
    validate,
    words_of,
)
from ketameta.errors import SpecError, did_you_mean
from ketameta.evidence.findings import Finding as Said
from ketameta.evidence.findings import file_finding, key_finding, read_toml

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


def _fits(pattern: str, remedy: str) -> AfterValidator:
    """Return the check of a text that may be empty."""

    def check(value: str) -> str:
        if value and not re.fullmatch(pattern, value):
            raise problem(f" is {value!r}; {remedy}")
        return value

    return AfterValidator(check)


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise problem(f" is no regular expression: {error}") from error
    return value


_WORD = r"[a-z0-9]+(?:_[a-z0-9]+)*"
ColumnName = Annotated[NeededText, _fits(_WORD, "lower-case words joined by _ name a column")]
FITS_A_FILE = _fits(
    rf"(?!.{{61}}){_WORD}", "lower-case words joined by _, 60 letters at most, name a file"
)
FileName = Annotated[NeededText, FITS_A_FILE]
#: Words and a word that other tables of the file declare, and names of analyses.
Declared = Annotated[Words, words_of(said_by="[words] declares")]
ModeratorNames = Annotated[Words, words_of(said_by="the [[moderator]] tables declare")]
SectionKey = Annotated[Text, words_of(said_by="the [[section]] tables declare")]
PageKey = Annotated[Text, words_of(said_by="the [[question]] tables declare")]
Analyses = Annotated[Words, words_of(said_by="analyses/ has")]
Analysis = Annotated[Text, words_of(said_by="analyses/ has")]


_ADDRESS = r"https://[\w.-]+(?::\d+)?(?:/[\w.~-]+){2,}/?"
_WHOLE = "write the address of the repository whole, such as https://github.com/owner/name"


class About(Table):
    """Who asks what. What is not known is said to be not known; nobody is invented."""

    title: NeededText = ""
    short_title: Text = ""
    question: NeededText = ""
    lead: Text = ""
    description: Text = ""
    language: Text = "en"
    headline: Analysis = ""
    authors: Text = NOT_STATED
    funding: Text = NOT_STATED
    conflicts: Text = NOT_STATED
    protocol: Text = NOT_REGISTERED
    contact: Text = NOT_STATED
    repository: Annotated[Text, _fits(_ADDRESS, _WHOLE)] = ""
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
    meant_to_improve: Declared = ()
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

    name: ColumnName = ""
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
    """A part of the report, in reading order.

    Its key, lower-case words joined by ``_``, names a page and a PDF in ``supplement/``.
    """

    key: FileName = ""
    title: NeededText = ""
    intro: Text = ""


class MapRow(Table):
    """A row of the evidence map: who was studied, and what was measured.

    Without diagnoses it stands for everybody whom no other row names.
    """

    label: NeededText = ""
    diagnosis: Declared = ()
    domain: Declared = ()


class MapColumn(Table):
    """A column of the evidence map: what was given.

    ``sought`` are the diagnoses in which it was looked for, ``sought_domain`` the kinds of outcome;
    any where it is empty. Other cells are out of scope: nobody looked.
    """

    label: NeededText = ""
    intervention: Words = ()
    drug_class: Declared = ()
    sought: Declared = ()
    sought_domain: Declared = ()


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

    diagnosis: Declared = ()
    intervention: Words = ()
    related: Words = ()
    drug_class: Declared = ()
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
    analyses: Analyses = ()
    question: PageKey = ""
    listed: Flag = True


class HarmsSummary(Table):
    """The figure of all counted harms at the start of their section, and harms not counted.

    ``shared_ending`` lists ends of titles that are left out where every row would repeat them.
    """

    section: SectionKey = ""
    title: Text = "Harms against control"
    note: Text = ""
    shared_ending: Words = ()
    known: tuple[KnownHarm, ...] = ()

    def tells_of(self, analysis: str) -> bool:
        """Return whether facts that cannot be counted tell of what an analysis asks."""
        return any(analysis in item.analyses for item in self.known if item.facts)


class Finding(Table):
    """A row of the clinician's table: an analysis, and its question in few words."""

    analysis: Annotated[NeededText, *Analysis.__metadata__] = ""
    words: NeededText = ""


class Card(Table):
    """A card of the front page: a heading, its text, icon arrays, and the page that says more."""

    kind: Annotated[str, one_of(CARD_KINDS)] = "benefit"
    title: NeededText = ""
    analyses: Analyses = ()
    text: Text = ""
    icon: tuple[Finding, ...] = ()
    question: PageKey = ""


class Front(Table):
    """The front page: cards, and the rows of the clinician's table.

    ``study_columns`` are moderators that the list of studies shows.
    """

    card: tuple[Card, ...] = ()
    finding: tuple[Finding, ...] = ()
    study_columns: ModeratorNames = ()
    untested: Text = "We found no study that tested this."


class Question(Table):
    """A page of the report that merges analyses.

    ``text`` names its prose in ``analyses/text/``, ``brief`` its title in lists of pages. With
    ``untested`` it holds the table of all questions without a trial, whichever page they are of.
    """

    key: FileName = ""
    title: NeededText = ""
    brief: Text = ""
    analyses: Analyses = ()
    text: Text = ""
    untested: Flag = False


class GlossaryTerm(Table):
    """A word of the topic that readers may not know; ``pattern`` finds it in running text."""

    id: NeededText = ""
    name: NeededText = ""
    meaning: NeededText = ""
    pattern: Annotated[NeededText, AfterValidator(_pattern)] = ""


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

    def section_title(self, key: str) -> str:
        """Return what a section is called; its key as a label where none is declared."""
        return next((item.title for item in self.section if item.key == key), self.label(key))


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
    if wrong := [item for item in findings if item.is_error]:
        raise SpecError("", wrong)
    return project


#: What is said of a file that names words and columns wrongly, or cannot be read.
_UNREAD = ("toml_unreadable", "file_missing", "project_words")


def is_unread(findings: Iterable[Said]) -> bool:
    """Return whether it cannot be known which words and moderators ``project.toml`` declares."""
    return any(item.file == FILE and item.check in _UNREAD for item in findings)


def missing_file(root: Path, columns: Sequence[str]) -> list[Said]:
    """Return that ``project.toml`` is missing where ``studies.csv`` has columns nobody declares."""
    if not columns or (root / FILE).exists():
        return []
    names = ", ".join(dict.fromkeys(columns))
    why = f"there is no such file, and nothing else says what studies.csv has in {names}"
    remedy = "put it back, or write [[moderator]] tables into it; ketameta init makes one"
    return [file_finding("file_missing", FILE, why, remedy)]


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
    raw = {"project": {}, **raw}
    project, problems = validate(Project, raw)
    if all(item.place[0] not in ("words", "moderator") for item in problems):
        # What other tables say of words and moderators is judged once these are known whole. Where
        # no section is declared, the analyses name them.
        known = _known(project)
        free = {} if project.section else {"section": [*known["section"], project.harms.section]}
        project, problems = validate(Project, raw, {**known, **free})
        problems += _rules(project)
    remedy = "mend it there; docs/project_file.md has every key"
    return project, (*findings, *problem_findings(path.parent, problems, remedy))


def _known(project: Project) -> Known:
    """Return the words that tables may use, by the key under which they use them."""
    words = project.words
    return {
        **dict.fromkeys(("diagnosis", "sought"), words.diagnosis),
        **dict.fromkeys(("domain", "sought_domain", "meant_to_improve"), words.outcome_domain),
        "drug_class": (*words.drug_class, *CONTROL_CLASSES),
        "study_columns": [item.name for item in project.moderator],
        "section": project.sections,
        "question": [page.key for page in project.question],
    }


def _rules(project: Project) -> Iterator[Problem]:
    """Yield what contradicts itself across keys and tables."""
    for number, item in enumerate(project.moderator):
        levels = [level.word for level in item.level]
        for key, why in (
            ("level", item.kind == "category" and not item.level and
             "a category needs [[moderator.level]] tables"),
            ("level", item.kind == "number" and (item.level or item.reference) and
             "a number has no levels"),
            ("step", item.step is not None and item.step <= 0 and "a number above 0 is needed"),
            ("minimum", item.minimum is not None and item.maximum is not None
             and item.minimum > item.maximum and "it lies above the maximum"),
            *(("reference", f"{word!r} is not one of its levels{did_you_mean(word, levels)}")
              for word in item.reference if item.level and word not in levels),
        ):  # fmt: skip
            if why:
                yield Problem(f"moderator {item.name}: {key}: {why}", ("moderator", number, key))
    for number, row in enumerate(project.evidence_map.row):
        if not row.domain:
            what = f"{row.label!r} names no domain, so that it would stay empty"
            yield Problem(f"evidence_map.row: {what}", ("evidence_map", "row", number))
    for number, column in enumerate(project.evidence_map.column):
        if not (column.intervention or column.drug_class):
            what = f"{column.label!r} names neither intervention nor drug_class"
            yield Problem(f"evidence_map.column: {what}", ("evidence_map", "column", number))
    yield from _unknown("directness.figure", project.directness.figure, DIRECTNESS)
    moderators = {item.name: list(item.words) for item in project.categories.values()}
    known = _known(project)
    columns = {name: known[name] for name in ("diagnosis", "drug_class")} | moderators
    for name, aliases in project.alias.items():
        if name not in columns:
            yield Problem(f"alias.{name}: no such column{did_you_mean(name, columns)}")
        else:
            yield from _unknown(f"alias.{name}", aliases.values(), columns[name])
    for name, given in (
        ("section.key", project.sections),
        ("evidence_map.row.label", [row.label for row in project.evidence_map.row]),
        ("evidence_map.column.label", [item.label for item in project.evidence_map.column]),
        ("moderator.name", [item.name for item in project.moderator]),
        ("question.key", [item.key for item in project.question]),
        ("glossary.id", [item.id for item in project.glossary]),
    ):
        *table, key = name.split(".")
        for number, word in enumerate(given):
            if word and list(given).index(word) < number:
                yield Problem(f"{name}: {word!r} stands twice", (*table, number, key))


def _unknown(where: str, given: Iterable[str], known: Sequence[str]) -> Iterator[Problem]:
    for word in given:
        if word not in known:
            yield Problem(f"{where}: {word!r} is not known{did_you_mean(word, known)}")


def analysis_problems(root: Path, analyses: Sequence[str]) -> list[Problem]:
    """Return every place of ``project.toml`` that names an analysis which does not exist."""
    raw, _, _ = read_toml(root / FILE, FILE)
    known = dict.fromkeys(("analyses", "analysis", "headline"), analyses)
    project, problems = validate(Project, {"project": {}, **(raw or {})}, known)
    named = [item for item in problems if analyses and item.place[-1] in known]
    return [*named, *_unknown("earlier", project.earlier, analyses)]


def unused_columns(project: Project, given: Sequence[str]) -> Iterator[Problem]:
    """Yield each column of the evidence map that no arm can fill and nobody says was searched.

    ``given`` is every intervention of ``arms.csv``.
    """
    for number, column in enumerate(project.evidence_map.column):
        if column.drug_class or column.sought or set(column.intervention) & set(given):
            continue
        word = next(iter(column.intervention), "")
        yield Problem(
            f"evidence_map.column: no arm has the intervention {word!r}, so that the column "
            f"{column.label!r} would say 'none found'{did_you_mean(word, given)}",
            ("evidence_map", "column", number),
        )


def problem_findings(root: Path, problems: Iterable[Problem], remedy: str) -> Iterator[Said]:
    """Yield each problem of ``project.toml`` with the line of its value, or of its key."""
    _, lines, _ = read_toml(root / FILE, FILE)
    for item in problems:
        line = key_finding("project_file", item, FILE, lines).line
        names = re.match(r"\[?(words|moderator)\b", item.text) is not None
        check = "project_words" if names else "project_file"
        yield file_finding(check, FILE, item.text, remedy, line=line)
