"""Every column of every table, once: type, unit, allowed words, meaning.

Feeds the checks, the data dictionary and the empty templates. Names, keys and order of the tables
are the same in every project; which words and moderators they hold, a project declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from ketameta import measures as words
from ketameta.evidence.project import CONTROL_CLASSES, Project

ColumnType = Literal["text", "key", "number", "integer", "words", "list", "url"]

#: ``surname_year`` with a letter where two trials share it; ``nd`` where the year is not printed.
STUDY_ID_PATTERN = r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*_(?:\d{4}|nd)[a-z]?"
#: Arms, outcomes and instruments are lower-case words joined by underscores.
WORD_PATTERN = r"[a-z0-9]+(?:_[a-z0-9]+)*"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
    meaning : str
        One sentence for the dictionary; also printed when a value is refused.
    kind : str
        ``text``, ``key`` (matches ``pattern``), ``number``, ``integer``, ``words`` (one of
        ``allowed``), ``list`` (keys joined by ``;``) or ``url``.
    required : bool
        Whether the cell must be filled.
    allowed : tuple of str
        Controlled words of a ``words`` column.
    minimum, maximum : float or None
        Closed bounds of a number.
    above : float or None
        Open lower bound of a number.
    unit : str
    pattern : str
        Regular expression that a ``key`` or ``list`` item matches in full.
    rare : bool
        Whether a file may leave the column out without a word.
    """

    name: str
    meaning: str
    kind: ColumnType
    required: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    unit: str = ""
    pattern: str = ""
    rare: bool = False

    @property
    def is_number(self) -> bool:
        """Whether its cells are numbers, whole ones included."""
        return self.kind in ("number", "integer")


@dataclass(frozen=True)
class Table:
    """One table: its file name without ``.csv``, what a row is, its key and its columns."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    in_batch: bool = True

    @cached_property
    def core(self) -> tuple[str, ...]:
        """The key of a result, however often a source analyses it."""
        return tuple(name for name in self.key if name not in words.ANALYSIS)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(column.name for column in self.columns)

    @property
    def usual(self) -> tuple[Column, ...]:
        """The columns of an empty table: those that a file may not leave out without a word."""
        return tuple(column for column in self.columns if not column.rare)

    def column(self, name: str) -> Column:
        """Return the column called ``name``."""
        return next(column for column in self.columns if column.name == name)


#: A column of each kind, by its name and its meaning; a key is a plain word unless it says else.
text, address = partial(Column, kind="text"), partial(Column, kind="url")
key = partial(Column, kind="key", pattern=WORD_PATTERN)
several = partial(Column, kind="list", pattern=WORD_PATTERN)
word, number = partial(Column, kind="words"), partial(Column, kind="number")
whole, percent = partial(Column, kind="integer"), partial(number, minimum=0, maximum=100)
people = partial(whole, minimum=0, unit="people")
#: Columns that no row leaves empty.
named, needed, choice = (partial(kind, required=True) for kind in (key, text, word))
#: Columns that several tables have.
STUDY = named(
    "study_id",
    "The trial, as surname_year (plus a letter where two trials share it); one per trial, "
    "however many reports.",
    pattern=STUDY_ID_PATTERN,
)
OUTCOME = named("outcome", "What was measured; a word of outcome_words.csv.")
INSTRUMENT = named(
    "instrument", "The scale, test or way of finding events; a word of instruments.csv."
)
TIME = number(
    "time_days",
    "Time of measurement in days since the first dose (2 hours is 0.083); empty when the "
    "source does not say.",
    minimum=0,
    unit="days",
)
CI_LEVEL = number(
    "ci_level", "Level of that interval in percent; empty is 95.", above=50, maximum=99.99
)
READ_FROM = word(
    "read_from",
    "digitised where the numbers were measured from a figure; empty is printed.",
    allowed=words.READ_FROM,
    rare=True,
)
ANALYSIS_SET = word(
    "analysis_set",
    "Who was analysed. Two printed analyses of one result (all randomised, completers) each have a "
    "row; the analysis file says which one enters (choose.analysis).",
    allowed=words.ANALYSIS_SETS,
)
#: Where a row comes from and who typed it.
PROVENANCE = (
    needed(
        "locator",
        "Where in the source the numbers stand: abstract, table, figure, page or registry "
        "field. A table of events that is read whole says how many rows it has: "
        "'Table 4, 25 rows'.",
    ),
    address(
        "source_url", "Address of the page that was read, when it is not the study's source_url."
    ),
    text("extracted_by", "Initials of who typed the row."),
    text("checked_by", "Initials of who checked it against the source."),
    text(
        "note",
        "Anything a reader should know about this row; 'accept: <check> because <reason>' "
        "accepts a warning.",
    ),
)


def subgroup_column(keys: Sequence[str]) -> Column:
    """Return the column that names a subgroup."""
    return text(
        "subgroup",
        "Empty for the whole arm; otherwise key=value pairs joined by ';' "
        f"(keys: {', '.join(keys)}), such as sex=female.",
    )


def topic_column(name: str, meaning: str, allowed: tuple[str, ...]) -> Column:
    """Return a column of words that the project declares; any plain word where it declares none."""
    if allowed:
        return choice(name, meaning, allowed=allowed)
    return named(name, meaning)


def moderator_columns(project: Project) -> tuple[Column, ...]:
    """Return the columns of ``studies`` that hold the project's moderators without a basis."""
    found: list[Column] = []
    for item in project.moderator:
        if item.with_basis:
            continue
        if item.kind == "category":
            found.append(choice(item.name, item.meaning, allowed=item.words))
        else:
            found.append(
                number(
                    item.name,
                    item.meaning,
                    minimum=item.minimum,
                    maximum=item.maximum,
                    unit=item.unit,
                )
            )
        if item.definition:
            found.append(text(item.definition, "How the source defines it."))
    return tuple(found)


def shared_tables(project: Project) -> tuple[Table, ...]:
    """Return the tables that stand once, for the words of a project."""
    outcome_words = Table(
        "outcome_words",
        "outcome",
        ("outcome",),
        (
            OUTCOME,
            needed("label", "The outcome as a reader sees it."),
            choice("kind", "A score or an event.", allowed=words.OUTCOME_KINDS),
            topic_column("domain", "Group in the evidence map.", project.words.outcome_domain),
            choice(
                "direction",
                "For events: whether fewer (harm) or more (response) is better; scores take theirs "
                "from the instrument.",
                allowed=words.DIRECTIONS,
            ),
            text("meaning", "What counts, in plain words."),
        ),
        in_batch=False,
    )
    instruments = Table(
        "instruments",
        "instrument",
        ("instrument",),
        (
            INSTRUMENT,
            needed("name", "Full name."),
            needed("measures", "What it measures."),
            choice("direction", "Which way is better.", allowed=words.DIRECTIONS),
            number("minimum", "Lowest possible score."),
            number("maximum", "Highest possible score."),
            text("range_source", "Where the range is printed."),
            number("usual_sd", "Usual standard deviation of scores.", above=0),
            text("usual_sd_source", "Where that is printed."),
            text("unit", "Unit of a score that is not a scale point."),
            text("notes", "Versions, raters, subscales."),
        ),
        in_batch=False,
    )
    exclusions = Table(
        "exclusions",
        "study or group of records left out",
        ("study", "outcome", "reason_code"),
        (
            needed("study", "study_id, or the source's own label when it has none."),
            needed("outcome", "Outcome left out; 'all' for a whole study."),
            whole(
                "records", "How many extracted records this row covers.", required=True, minimum=1
            ),
            choice("reason_code", "Kind of reason.", allowed=words.EXCLUDED),
            needed("reason", "Why, in a sentence."),
            text("citation", "Citation of the source."),
            address("source_url", "Address of the page that was read."),
            text("locator", "Where in the source."),
            needed("date", "Date of the decision (YYYY-MM-DD)."),
            text("decided_by", "Initials of who decided."),
            several("measured", "Words of outcome_words.csv, where outcome is none.", rare=True),
            word("diagnosis", "As in studies.csv.", allowed=project.words.diagnosis, rare=True),
            several("intervention", "As in arms.csv.", rare=True),
        ),
        in_batch=False,
    )
    registry = Table(
        "registry",
        "registered trial",
        ("registry_id",),
        (
            needed("registry_id", "Registry number."),
            needed("title", "What the trial asks, in our words."),
            needed("intervention", "What is given."),
            needed("condition", "Condition."),
            choice("status", "Status as read.", allowed=words.REGISTRY_STATUSES),
            people("n_planned", "Planned number of people."),
            people("n_enrolled", "Enrolled number of people."),
            text("results_posted", "Date of posted results, 'no', or empty when not read."),
            key("study_id", "The trial in studies.csv.", pattern=STUDY_ID_PATTERN),
            address("source_url", "Address of the page that was read."),
            text("locator", "Where on it."),
            text("notes", "Anything else."),
        ),
        in_batch=False,
    )
    return outcome_words, instruments, exclusions, registry, harm_fact_table(), screening_table()


def screening_table() -> Table:
    """Return the list of records that a search found, and what became of each."""
    return Table(
        "screening",
        "record found by a search",
        ("record_id",),
        (
            named("record_id", "Name of the record."),
            text("title", "Title as the database gives it."),
            text("authors", "Authors, joined by ';'."),
            whole("year", "Year of publication.", minimum=1800, maximum=2100),
            text("journal", "Journal."),
            key("doi", "DOI without address.", pattern=r"10\.\d{4,9}/\S+"),
            key("pmid", "PubMed number.", pattern=r"\d{1,8}"),
            needed("source", "File or database it came from."),
            key("duplicate_of", "The record that is the same report."),
            word("title_abstract", "Decision on title and abstract.", allowed=words.SCREENED),
            word(
                "full_text",
                "Decision on the full text.",
                allowed=(*words.SCREENED, "not_retrieved"),
            ),
            text("reason", "Why it was excluded."),
            key("study_id", "The trial in studies.csv.", pattern=STUDY_ID_PATTERN),
            text("decided_by", "Initials of who decided."),
            text("note", "Anything else."),
        ),
        in_batch=False,
    )


#: Differences between two extractions of a batch, and what was agreed on.
RECONCILIATION = Table(
    "reconciliation",
    "difference between two extractions",
    ("table", "row", "column"),
    (
        needed("table", "Table of the difference."),
        needed("row", "Key of the row, its parts joined by ' / '."),
        needed("column", "The cell, or '(row)' for a row only one extractor has."),
        text("first", "Value of the first extraction; empty where the cell is empty."),
        text("first_locator", "Where the first extractor found it."),
        text("first_by", "Initials of the first extractor."),
        text("second", "Value of the second extraction."),
        text("second_locator", "Where the second extractor found it."),
        text("second_by", "Initials of the second extractor."),
        text(
            "agreed",
            "The agreed value; '(empty)' for an empty cell, 'keep' or 'leave out' for a row.",
        ),
        text("decided_by", "Initials of who decided."),
        text("reason", "What settled it."),
    ),
    in_batch=False,
)


def harm_fact_table() -> Table:
    """Return the table of what is known of harm without a comparison: facts, not effects."""
    return Table(
        "harm_facts",
        "fact about harm from a source without a comparison",
        ("source", "harm", "how", "period", "source_url"),
        (
            named("source", "The source, as surname_year.", pattern=STUDY_ID_PATTERN),
            named("harm", "What happened."),
            text("how", "How it was found: the scale, question or report."),
            choice("design", "Kind of source.", allowed=words.FACT_DESIGNS),
            choice("setting", "How the medicine was taken.", allowed=words.FACT_SETTINGS),
            needed("intervention", "What was taken, and how much."),
            needed("people", "Who took it; of whom a percentage is."),
            text("period", "Over what time."),
            people("n", "How many people, where printed."),
            people("events", "How many of them it happened to, where printed."),
            percent("percent", "Their share, as printed."),
            number("mean", "Mean score."),
            number("sd", "Its standard deviation.", above=0),
            text("statement", "What the source says where it prints no such number."),
            needed("citation", "Full citation."),
            choice("source_type", "Kind of publication.", allowed=words.SOURCE_TYPES),
            *PROVENANCE,
        ),
        in_batch=False,
    )


def drug_classes(project: Project) -> tuple[str, ...]:
    """Return the classes that an arm may have: those declared, and those of control arms."""
    declared = project.words.drug_class
    return tuple(dict.fromkeys((*declared, *CONTROL_CLASSES))) if declared else ()


def subgroup_words(project: Project) -> Mapping[str, tuple[str, ...]]:
    """Return the keys of a subgroup with their words; none where any plain word will do."""
    own = {name: item.words for name, item in project.categories.items()}
    return {**own, **dict.fromkeys((*words.SUBGROUP_KEYS, *project.words.subgroup_key), ())}


def batch_tables(project: Project) -> tuple[Table, ...]:
    """Return the tables of a batch folder, in reading order, for the words of a project."""
    keys = tuple(subgroup_words(project))
    studies = Table(
        "studies",
        "trial (not report)",
        ("study_id",),
        (
            STUDY,
            needed("citation", "Full citation of the main report."),
            whole("year", "Year of the main report.", minimum=1900, maximum=2100),
            key("doi", "DOI without address.", pattern=r"10\.\d{4,9}/\S+"),
            key("pmid", "PubMed number.", pattern=r"\d{1,8}"),
            several(
                "registry_id",
                "Registry numbers, several joined by ';'.",
                pattern=r"(?:NCT\d{8}|ACTRN\d{14}|IRCT[0-9N]+|EudraCT \d{4}-\d{6}-\d{2}"
                r"|\d{4}-\d{6}-\d{2}|ISRCTN\d{8}|ChiCTR[-A-Z0-9]+|UMIN\d{9}|JapicCTI-\d+|NTR\d+"
                r"|CTRI/\d{4}/\d{2,3}/\d{6}|DRKS\d{8}|TCTR\d{11}|jRCT[a-z]?\d+|PACTR\d+)",
            ),
            address("source_url", "Address of the page that was read.", required=True),
            choice("source_type", "Kind of source that was read.", allowed=words.SOURCE_TYPES),
            choice("access", "How much of it could be read.", allowed=words.ACCESS),
            choice("design", "Design of the trial.", allowed=words.DESIGNS),
            choice("blinding", "Who was masked.", allowed=words.BLINDING),
            needed("population", "Who took part, in our words."),
            topic_column("diagnosis", "Main diagnosis.", project.words.diagnosis),
            choice("age_group", "Age group.", allowed=words.AGE_GROUPS),
            number("age_mean_years", "Mean age.", minimum=0, maximum=110, unit="years"),
            percent("female_percent", "Share of women and girls."),
            people("n_randomised", "People randomised (enrolled, where nobody was randomised)."),
            *moderator_columns(project),
            number(
                "cluster_size",
                "People per cluster on average, where clusters were randomised.",
                above=0,
                rare=True,
            ),
            number(
                "icc",
                "Intracluster correlation; both are needed before arms of a cluster trial enter.",
                minimum=0,
                maximum=1,
                rare=True,
            ),
            text("country", "Where it was done, as printed.", rare=True),
            text("funding", "Who paid, as printed; empty is not known.", rare=True),
            text("conflicts", "Interests that the authors declare.", rare=True),
            text("retraction", "Retraction, correction or concern, with date.", rare=True),
            text("unblinding", "Whether people guessed their arm, as printed.", rare=True),
            several(
                "overlaps_with",
                "Studies whose participants are (partly) the same: a pool lists its trials, a "
                "companion its parent. Joined by ';'.",
                pattern=STUDY_ID_PATTERN,
            ),
            text("notes", "Anything else a reader should know."),
        ),
    )
    arms = Table(
        "arms",
        "arm of a trial",
        ("study_id", "arm_id"),
        (
            STUDY,
            named("arm_id", "Short name of the arm within its trial."),
            named(
                "intervention",
                "Generic name of what the arm tests (a medicine, placebo, usual_care ...).",
            ),
            text("formulation", "Formulation as printed (OROS, extended release)."),
            topic_column("drug_class", "Class of the intervention.", drug_classes(project)),
            choice("role", "Treatment or control in its trial.", allowed=words.ROLES),
            number("dose", "Fixed or target dose; empty for a flexible one.", minimum=0),
            text("dose_unit", "Unit of dose (mg, mg_per_day, mg_per_kg ...)."),
            text("dose_description", "Dose as printed."),
            choice("route", "Route.", allowed=words.ROUTES),
            text("schedule", "How often and for how long."),
            text("background_treatment", "Treatment given to every arm beside it."),
            people("n_randomised", "People randomised to the arm."),
            several(
                "contains_arms",
                "Arms of the same trial whose people are all in this one (a pooled-dose arm). "
                "Joined by ';'.",
            ),
            text("notes", "Anything else a reader should know."),
        ),
    )
    outcomes = Table(
        "outcomes",
        "arm x outcome x instrument x time x subgroup x statistic x analysis",
        (
            *("study_id", "arm_id", "outcome", "instrument", "time_days", "subgroup"),
            *("statistic", *words.ANALYSIS),
        ),
        (
            STUDY,
            named("arm_id", "The arm (arms.csv)."),
            OUTCOME,
            INSTRUMENT,
            TIME,
            subgroup_column(keys),
            choice(
                "statistic",
                "Score at a time (endpoint), change from baseline (change, end minus start as "
                "printed), change in percent of baseline (kept for reading), or number of people "
                "(events).",
                allowed=words.STATISTICS,
            ),
            people("n", "People analysed."),
            number("mean", "Mean score or mean change.", unit="scale points"),
            number("sd", "Standard deviation of the scores (not a standard error).", above=0),
            number("se", "Standard error of the mean.", above=0),
            number(
                "ci_low",
                "Lower limit of the interval of the mean (of percent, in a row of events).",
            ),
            number("ci_high", "Its upper limit."),
            CI_LEVEL,
            number("median", "Median."),
            number("q1", "First quartile."),
            number("q3", "Third quartile."),
            number("minimum", "Smallest score."),
            number("maximum", "Largest score."),
            people("events", "People with the event, as printed."),
            percent(
                "percent", "Percentage of n with the event, as printed, where no count is printed."
            ),
            number(
                "person_time",
                "Person-years at risk, where events stand over time and not over people.",
                above=0,
                unit="person-years",
                rare=True,
            ),
            number("baseline_mean", "Mean score before treatment."),
            number("baseline_sd", "Its standard deviation.", above=0),
            ANALYSIS_SET,
            word(
                "sd_origin",
                "Whether sd, se or interval describe the raw scores, imputed ones, or a model's "
                "mean (least squares). Two printed analyses of one result differ in it or in "
                "analysis_set; the analysis file says which one enters.",
                allowed=words.SD_ORIGINS,
            ),
            READ_FROM,
            *PROVENANCE,
        ),
    )
    contrasts = Table(
        "contrasts",
        "comparison x outcome x instrument x time x subgroup x analysis, where a source prints "
        "only (or also) the comparison",
        (
            "study_id",
            "arm_id",
            "comparator_arm_id",
            "outcome",
            "instrument",
            "time_days",
            "subgroup",
            "effect_type",
            *words.ANALYSIS,
        ),
        (
            STUDY,
            named("arm_id", "The treatment arm (arms.csv)."),
            named("comparator_arm_id", "The arm it is compared with (arms.csv)."),
            OUTCOME,
            INSTRUMENT,
            TIME,
            subgroup_column(keys),
            choice(
                "effect_type",
                "What the estimate is; 'test' when only a test statistic or a p-value is printed. "
                "Ratios are entered as ratios, not as logarithms.",
                allowed=words.EFFECT_TYPES,
            ),
            number("estimate", "The estimate as printed, treatment minus comparator."),
            number("se", "Its standard error.", above=0),
            number("ci_low", "Lower limit of its interval."),
            number("ci_high", "Upper limit of its interval."),
            CI_LEVEL,
            number("p", "The p-value, as printed.", minimum=0, maximum=1),
            word(
                "p_sided",
                "Whether p is one-sided (in the direction that favours names) or two-sided; empty "
                "is two-sided.",
                allowed=words.P_SIDES,
            ),
            word("p_relation", "Whether p is exact or a bound.", allowed=words.P_RELATIONS),
            number("t", "t statistic."),
            number("f", "F statistic with one numerator degree of freedom.", minimum=0),
            number("z", "z statistic.", rare=True),
            number(
                "chi2",
                "Chi-square statistic with one degree of freedom; kept for reading.",
                minimum=0,
                rare=True,
            ),
            number("df", "Degrees of freedom of t, or of the denominator of F.", above=0),
            people("n_treatment", "People analysed in the treatment arm."),
            people("n_control", "People analysed in the comparator arm."),
            word(
                "favours",
                "Which arm did better, in the source's own words or by its sign; gives the sign "
                "where the printed number has none or the opposite one. Empty when unknown.",
                allowed=words.FAVOURS,
            ),
            number(
                "correlation",
                "Printed within-person correlation of a crossover.",
                minimum=-1,
                maximum=1,
            ),
            number("sd_difference", "Printed SD of paired differences.", above=0),
            ANALYSIS_SET,
            word(
                "sd_origin",
                "Whether the comparison is crude or adjusted (by a model with covariates).",
                allowed=words.SD_ORIGINS,
            ),
            text("adjusted_for", "What it is adjusted for, as printed.", rare=True),
            READ_FROM,
            *PROVENANCE,
        ),
    )
    risk_of_bias = Table(
        "risk_of_bias",
        "study (x outcome) x domain x review that judged",
        ("study_id", "outcome", "tool", "domain", "source_url"),
        (
            STUDY,
            key("outcome", "The outcome judged; empty for the whole trial."),
            choice("tool", "The tool.", allowed=words.ROB_TOOLS),
            named("domain", "Domain of the tool, or 'overall'; see the list of domains."),
            choice("judgement", "The judgement.", allowed=words.ROB_JUDGEMENTS),
            needed("support", "Why, with locator."),
            needed(
                "judged_by",
                "Initials of who judged here, or the review that judged, by its citation. Two "
                "judges may differ; both stay.",
            ),
            address("source_url", "Address of the page of the review that judged."),
        ),
    )
    return studies, arms, outcomes, contrasts, moderator_table(project), risk_of_bias


def moderator_table(project: Project) -> Table:
    """Return the table of what is known of the people of a trial, each value with its basis."""
    declared = tuple(item.name for item in project.moderator if item.with_basis)
    rules = tuple(
        word
        for item in project.moderator
        if item.with_basis and item.kind == "category"
        for word in item.words
    )
    meaning = "What the value is: a moderator of the project, or a number of studies.csv."
    level = "The level of a moderator that is a category."
    return Table(
        "moderators",
        "trial (or arm) x moderator x source",
        ("study_id", "arm_id", "moderator", "naive_to", "covers", "source_url"),
        (
            STUDY,
            key("arm_id", "The arm (arms.csv); empty for the trial."),
            topic_column(
                "moderator", meaning, (*words.STUDY_NUMBERS, *declared) if declared else ()
            ),
            number("value", "The number, as printed or counted; a share in percent."),
            word("word", level, allowed=tuple(dict.fromkeys(rules)))
            if rules
            else key("word", level),
            text("naive_to", "Earlier treatment with what, where the value is about it."),
            choice(
                "basis",
                "Whether the source prints it, it was worked out from what is printed (the note "
                "says how), or the rule of entry says it without anybody having counted.",
                allowed=words.BASES,
            ),
            text("people", "Whose share or mean it is: of all randomised, of two arms."),
            people("denominator", "How many people these are, where printed."),
            choice(
                "covers",
                "Whether it is about all people of the trial (or arm), only some arms, an earlier "
                "or later phase, or those who were chosen to go on; the last two stand for nobody "
                "else.",
                allowed=words.COVERS,
            ),
            choice("source_type", "Kind of source.", allowed=words.SOURCE_TYPES),
            *PROVENANCE,
        ),
    )


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one project.

    ``batch`` are those of a batch folder, in reading order, ``shared`` those that stand once, in
    ``data/``; ``subgroups`` the keys of a subgroup, with the words each may have (none where any
    plain word will do).
    """

    batch: tuple[Table, ...]
    shared: tuple[Table, ...]
    subgroups: Mapping[str, tuple[str, ...]]

    @property
    def tables(self) -> Mapping[str, Table]:
        """Every table by name."""
        return {table.name: table for table in (*self.batch, *self.shared)}

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]


def schema_of(project: Project) -> Schema:
    """Return the tables with the words and moderators that a project declares."""
    return Schema(batch_tables(project), shared_tables(project), subgroup_words(project))


_PLAIN = schema_of(Project.model_construct())
#: Names, keys and order of the tables, which no project changes; their columns are those of a
#: project without a topic.
BATCH_TABLES, SHARED_TABLES, TABLES = _PLAIN.batch, _PLAIN.shared, _PLAIN.tables
