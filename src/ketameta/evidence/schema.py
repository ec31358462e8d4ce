"""Every column of every table, once: type, unit, allowed words, meaning.

Feeds the checks, the data dictionary and the empty templates. Names, keys and order of the tables
are the same in every project; which words and moderators they hold, a project declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    kind : str
        ``text``, ``key`` (matches ``pattern``), ``number``, ``integer``, ``words`` (one of
        ``allowed``), ``list`` (keys joined by ``;``) or ``url``.
    meaning : str
        One sentence for the dictionary; also printed when a value is refused.
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
    kind: ColumnType
    meaning: str
    required: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    unit: str = ""
    pattern: str = ""
    rare: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its file name without ``.csv``, what a row is, its key and its columns."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    in_batch: bool = True

    @property
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


#: Columns that several tables have.
STUDY = Column(
    "study_id",
    "key",
    "The trial, as surname_year (plus a letter where two trials share it); one per trial, "
    "however many reports.",
    required=True,
    pattern=STUDY_ID_PATTERN,
)
OUTCOME = Column(
    "outcome", "key", "What was measured; a word of outcome_words.csv.", True, pattern=WORD_PATTERN
)
INSTRUMENT = Column(
    "instrument",
    "key",
    "The scale, test or way of finding events; a word of instruments.csv.",
    required=True,
    pattern=WORD_PATTERN,
)
TIME = Column(
    "time_days",
    "number",
    "Time of measurement in days since the first dose (2 hours is 0.083); empty when the "
    "source does not say.",
    minimum=0,
    unit="days",
)
CI_LEVEL = Column(
    "ci_level",
    "number",
    "Level of that interval in percent; empty is 95.",
    above=50,
    maximum=99.99,
)
READ_FROM = Column(
    "read_from",
    "words",
    "digitised where the numbers were measured from a figure; empty is printed.",
    allowed=words.READ_FROM,
    rare=True,
)
ANALYSIS_SET = Column(
    "analysis_set",
    "words",
    "Who was analysed. Two printed analyses of one result (all randomised, completers) each have a "
    "row; the analysis file says which one enters (choose.analysis).",
    allowed=words.ANALYSIS_SETS,
)
#: Where a row comes from and who typed it.
PROVENANCE = (
    Column(
        "locator",
        "text",
        "Where in the source the numbers stand: abstract, table, figure, page or registry "
        "field. A table of events that is read whole says how many rows it has: "
        "'Table 4, 25 rows'.",
        required=True,
    ),
    Column(
        "source_url",
        "url",
        "Address of the page that was read, when it is not the study's source_url.",
    ),
    Column("extracted_by", "text", "Initials of who typed the row."),
    Column("checked_by", "text", "Initials of who checked it against the source."),
    Column(
        "note",
        "text",
        "Anything a reader should know about this row; 'accept: <check> because <reason>' "
        "accepts a warning.",
    ),
)


def arm_column(name: str, meaning: str, *, required: bool = True) -> Column:
    """Return a key column that names an arm."""
    return Column(name, "key", meaning, required=required, pattern=WORD_PATTERN)


def subgroup_column(keys: Sequence[str]) -> Column:
    """Return the column that names a subgroup."""
    return Column(
        "subgroup",
        "text",
        "Empty for the whole arm; otherwise key=value pairs joined by ';' "
        f"(keys: {', '.join(keys)}), such as sex=female.",
    )


def topic_column(name: str, meaning: str, allowed: tuple[str, ...]) -> Column:
    """Return a column of words that the project declares; any plain word where it declares none."""
    if allowed:
        return Column(name, "words", meaning, True, allowed)
    return Column(name, "key", meaning, True, pattern=WORD_PATTERN)


def moderator_columns(project: Project) -> tuple[Column, ...]:
    """Return the columns of ``studies`` that hold the project's moderators without a basis."""
    found: list[Column] = []
    for item in project.moderator:
        if item.with_basis:
            continue
        if item.kind == "category":
            found.append(Column(item.name, "words", item.meaning, True, item.words))
        else:
            found.append(
                Column(
                    item.name,
                    "number",
                    item.meaning,
                    minimum=item.minimum,
                    maximum=item.maximum,
                    unit=item.unit,
                )
            )
        if item.definition:
            found.append(Column(item.definition, "text", "How the source defines it."))
    return tuple(found)


def count_column(name: str, meaning: str) -> Column:
    """Return a column of whole people."""
    return Column(name, "integer", meaning, minimum=0, unit="people")


def shared_tables(project: Project) -> tuple[Table, ...]:
    """Return the tables that stand once, for the words of a project."""
    outcome_words = Table(
        "outcome_words",
        "outcome",
        ("outcome",),
        (
            OUTCOME,
            Column("label", "text", "The outcome as a reader sees it.", required=True),
            Column("kind", "words", "A score or an event.", True, words.OUTCOME_KINDS),
            topic_column("domain", "Group in the evidence map.", project.words.outcome_domain),
            Column(
                "direction",
                "words",
                "For events: whether fewer (harm) or more (response) is better; scores take theirs "
                "from the instrument.",
                required=True,
                allowed=words.DIRECTIONS,
            ),
            Column("meaning", "text", "What counts, in plain words."),
        ),
        in_batch=False,
    )
    instruments = Table(
        "instruments",
        "instrument",
        ("instrument",),
        (
            INSTRUMENT,
            Column("name", "text", "Full name.", required=True),
            Column("measures", "text", "What it measures.", required=True),
            Column("direction", "words", "Which way is better.", True, words.DIRECTIONS),
            Column("minimum", "number", "Lowest possible score."),
            Column("maximum", "number", "Highest possible score."),
            Column("range_source", "text", "Where the range is printed."),
            Column("usual_sd", "number", "Usual standard deviation of scores.", above=0),
            Column("usual_sd_source", "text", "Where that is printed."),
            Column("unit", "text", "Unit of a score that is not a scale point."),
            Column("notes", "text", "Versions, raters, subscales."),
        ),
        in_batch=False,
    )
    exclusions = Table(
        "exclusions",
        "study or group of records left out",
        ("study", "outcome", "reason_code"),
        (
            Column("study", "text", "study_id, or the source's own label when it has none.", True),
            Column("outcome", "text", "Outcome left out; 'all' for a whole study.", required=True),
            Column(
                "records", "integer", "How many extracted records this row covers.", True, (), 1
            ),
            Column(
                "reason_code",
                "words",
                "Kind of reason.",
                required=True,
                allowed=(
                    "no_number",
                    "no_variance",
                    "bound_only",
                    "not_convertible_statistic",
                    "arm_not_stated",
                    "denominator_not_stated",
                    "duplicate_of_included_row",
                    "overlapping_report",
                    "registry_entry",
                    "review_not_trial",
                    "not_a_comparison",
                    "printed_inconsistency",
                    "ineligible_population",
                    "derived_only",
                    "no_result",
                    "source_not_found",
                ),
            ),
            Column("reason", "text", "Why, in a sentence.", required=True),
            Column("citation", "text", "Citation of the source."),
            Column("source_url", "url", "Address of the page that was read."),
            Column("locator", "text", "Where in the source."),
            Column("date", "text", "Date of the decision (YYYY-MM-DD).", required=True),
            Column("decided_by", "text", "Initials of who decided."),
        ),
        in_batch=False,
    )
    registry = Table(
        "registry",
        "registered trial",
        ("registry_id",),
        (
            Column("registry_id", "text", "Registry number.", required=True),
            Column("title", "text", "What the trial asks, in our words.", required=True),
            Column("intervention", "text", "What is given.", required=True),
            Column("condition", "text", "Condition.", required=True),
            Column("status", "words", "Status as read.", True, words.REGISTRY_STATUSES),
            count_column("n_planned", "Planned number of people."),
            count_column("n_enrolled", "Enrolled number of people."),
            Column(
                "results_posted", "text", "Date of posted results, 'no', or empty when not read."
            ),
            Column("study_id", "key", "The trial in studies.csv.", pattern=STUDY_ID_PATTERN),
            Column("source_url", "url", "Address of the page that was read."),
            Column("locator", "text", "Where on it."),
            Column("notes", "text", "Anything else."),
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
            Column("record_id", "key", "Name of the record.", True, pattern=WORD_PATTERN),
            Column("title", "text", "Title as the database gives it."),
            Column("authors", "text", "Authors, joined by ';'."),
            Column("year", "integer", "Year of publication.", minimum=1800, maximum=2100),
            Column("journal", "text", "Journal."),
            Column("doi", "key", "DOI without address.", pattern=r"10\.\d{4,9}/\S+"),
            Column("pmid", "key", "PubMed number.", pattern=r"\d{1,8}"),
            Column("source", "text", "File or database it came from.", required=True),
            Column("duplicate_of", "key", "The record that is the same report.",
                   pattern=WORD_PATTERN),
            Column("title_abstract", "words", "Decision on title and abstract.",
                   allowed=words.SCREENED),
            Column("full_text", "words", "Decision on the full text.",
                   allowed=(*words.SCREENED, "not_retrieved")),
            Column("reason", "text", "Why it was excluded."),
            Column("study_id", "key", "The trial in studies.csv.", pattern=STUDY_ID_PATTERN),
            Column("decided_by", "text", "Initials of who decided."),
            Column("note", "text", "Anything else."),
        ),
        in_batch=False,
    )  # fmt: skip


#: Differences between two extractions of a batch, and what was agreed on.
RECONCILIATION = Table(
    "reconciliation",
    "difference between two extractions",
    ("table", "row", "column"),
    (
        Column("table", "text", "Table of the difference.", required=True),
        Column("row", "text", "Key of the row, its parts joined by ' / '.", required=True),
        Column("column", "text", "The cell, or '(row)' for a row only one extractor has.", True),
        Column("first", "text", "Value of the first extraction; empty where the cell is empty."),
        Column("first_locator", "text", "Where the first extractor found it."),
        Column("first_by", "text", "Initials of the first extractor."),
        Column("second", "text", "Value of the second extraction."),
        Column("second_locator", "text", "Where the second extractor found it."),
        Column("second_by", "text", "Initials of the second extractor."),
        Column(
            "agreed",
            "text",
            "The agreed value; '(empty)' for an empty cell, 'keep' or 'leave out' for a row.",
        ),
        Column("decided_by", "text", "Initials of who decided."),
        Column("reason", "text", "What settled it."),
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
            Column("source", "key", "The source, as surname_year.", True, pattern=STUDY_ID_PATTERN),
            Column("harm", "key", "What happened.", required=True, pattern=WORD_PATTERN),
            Column("how", "text", "How it was found: the scale, question or report."),
            Column("design", "words", "Kind of source.", True, words.FACT_DESIGNS),
            Column("setting", "words", "How the medicine was taken.", True, words.FACT_SETTINGS),
            Column("intervention", "text", "What was taken, and how much.", required=True),
            Column("people", "text", "Who took it; of whom a percentage is.", required=True),
            Column("period", "text", "Over what time."),
            count_column("n", "How many people, where printed."),
            count_column("events", "How many of them it happened to, where printed."),
            Column("percent", "number", "Their share, as printed.", minimum=0, maximum=100),
            Column("mean", "number", "Mean score."),
            Column("sd", "number", "Its standard deviation.", above=0),
            Column("statement", "text", "What the source says where it prints no such number."),
            Column("citation", "text", "Full citation.", required=True),
            Column("source_type", "words", "Kind of publication.", True, words.SOURCE_TYPES),
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
            Column("citation", "text", "Full citation of the main report.", required=True),
            Column("year", "integer", "Year of the main report.", minimum=1900, maximum=2100),
            Column("doi", "key", "DOI without address.", pattern=r"10\.\d{4,9}/\S+"),
            Column("pmid", "key", "PubMed number.", pattern=r"\d{1,8}"),
            Column(
                "registry_id",
                "list",
                "Registry numbers, several joined by ';'.",
                pattern=r"(?:NCT\d{8}|ACTRN\d{14}|IRCT[0-9N]+|EudraCT \d{4}-\d{6}-\d{2}"
                r"|\d{4}-\d{6}-\d{2}|ISRCTN\d{8}|ChiCTR[-A-Z0-9]+|UMIN\d{9}|JapicCTI-\d+|NTR\d+"
                r"|CTRI/\d{4}/\d{2,3}/\d{6}|DRKS\d{8}|TCTR\d{11}|jRCT[a-z]?\d+|PACTR\d+)",
            ),
            Column("source_url", "url", "Address of the page that was read.", required=True),
            Column(
                "source_type", "words", "Kind of source that was read.", True, words.SOURCE_TYPES
            ),
            Column("access", "words", "How much of it could be read.", True, words.ACCESS),
            Column("design", "words", "Design of the trial.", required=True, allowed=words.DESIGNS),
            Column("blinding", "words", "Who was masked.", required=True, allowed=words.BLINDING),
            Column("population", "text", "Who took part, in our words.", required=True),
            topic_column("diagnosis", "Main diagnosis.", project.words.diagnosis),
            Column("age_group", "words", "Age group.", required=True, allowed=words.AGE_GROUPS),
            Column("age_mean_years", "number", "Mean age.", minimum=0, maximum=110, unit="years"),
            Column("female_percent", "number", "Share of women and girls.", minimum=0, maximum=100),
            count_column(
                "n_randomised", "People randomised (enrolled, where nobody was randomised)."
            ),
            *moderator_columns(project),
            Column(
                "cluster_size",
                "number",
                "People per cluster on average, where clusters were randomised.",
                above=0,
                rare=True,
            ),
            Column(
                "icc",
                "number",
                "Intracluster correlation; both are needed before arms of a cluster trial enter.",
                minimum=0,
                maximum=1,
                rare=True,
            ),
            Column("country", "text", "Where it was done, as printed.", rare=True),
            Column("funding", "text", "Who paid, as printed; empty is not known.", rare=True),
            Column("conflicts", "text", "Interests that the authors declare.", rare=True),
            Column(
                "retraction", "text", "Retraction, correction or concern, with date.", rare=True
            ),
            Column(
                "unblinding", "text", "Whether people guessed their arm, as printed.", rare=True
            ),
            Column(
                "overlaps_with",
                "list",
                "Studies whose participants are (partly) the same: a pool lists its trials, a "
                "companion its parent. Joined by ';'.",
                pattern=STUDY_ID_PATTERN,
            ),
            Column("notes", "text", "Anything else a reader should know."),
        ),
    )
    arms = Table(
        "arms",
        "arm of a trial",
        ("study_id", "arm_id"),
        (
            STUDY,
            arm_column("arm_id", "Short name of the arm within its trial."),
            Column(
                "intervention",
                "key",
                "Generic name of what the arm tests (a medicine, placebo, usual_care ...).",
                required=True,
                pattern=WORD_PATTERN,
            ),
            Column("formulation", "text", "Formulation as printed (OROS, extended release)."),
            topic_column("drug_class", "Class of the intervention.", drug_classes(project)),
            Column("role", "words", "Treatment or control in its trial.", True, words.ROLES),
            Column("dose", "number", "Fixed or target dose; empty for a flexible one.", minimum=0),
            Column("dose_unit", "text", "Unit of dose (mg, mg_per_day, mg_per_kg ...)."),
            Column("dose_description", "text", "Dose as printed."),
            Column("route", "words", "Route.", required=True, allowed=words.ROUTES),
            Column("schedule", "text", "How often and for how long."),
            Column("background_treatment", "text", "Treatment given to every arm beside it."),
            count_column("n_randomised", "People randomised to the arm."),
            Column(
                "contains_arms",
                "list",
                "Arms of the same trial whose people are all in this one (a pooled-dose arm). "
                "Joined by ';'.",
                pattern=WORD_PATTERN,
            ),
            Column("notes", "text", "Anything else a reader should know."),
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
            arm_column("arm_id", "The arm (arms.csv)."),
            OUTCOME,
            INSTRUMENT,
            TIME,
            subgroup_column(keys),
            Column(
                "statistic",
                "words",
                "Score at a time (endpoint), change from baseline (change, end minus start as "
                "printed), change in percent of baseline (kept for reading), or number of people "
                "(events).",
                required=True,
                allowed=words.STATISTICS,
            ),
            count_column("n", "People analysed."),
            Column("mean", "number", "Mean score or mean change.", unit="scale points"),
            Column(
                "sd", "number", "Standard deviation of the scores (not a standard error).", above=0
            ),
            Column("se", "number", "Standard error of the mean.", above=0),
            Column(
                "ci_low",
                "number",
                "Lower limit of the interval of the mean (of percent, in a row of events).",
            ),
            Column("ci_high", "number", "Its upper limit."),
            CI_LEVEL,
            Column("median", "number", "Median."),
            Column("q1", "number", "First quartile."),
            Column("q3", "number", "Third quartile."),
            Column("minimum", "number", "Smallest score."),
            Column("maximum", "number", "Largest score."),
            count_column("events", "People with the event, as printed."),
            Column(
                "percent",
                "number",
                "Percentage of n with the event, as printed, where no count is printed.",
                minimum=0,
                maximum=100,
            ),
            Column(
                "person_time",
                "number",
                "Person-years at risk, where events stand over time and not over people.",
                above=0,
                unit="person-years",
                rare=True,
            ),
            Column("baseline_mean", "number", "Mean score before treatment."),
            Column("baseline_sd", "number", "Its standard deviation.", above=0),
            ANALYSIS_SET,
            Column(
                "sd_origin",
                "words",
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
            arm_column("arm_id", "The treatment arm (arms.csv)."),
            arm_column("comparator_arm_id", "The arm it is compared with (arms.csv)."),
            OUTCOME,
            INSTRUMENT,
            TIME,
            subgroup_column(keys),
            Column(
                "effect_type",
                "words",
                "What the estimate is; 'test' when only a test statistic or a p-value is printed. "
                "Ratios are entered as ratios, not as logarithms.",
                required=True,
                allowed=words.EFFECT_TYPES,
            ),
            Column("estimate", "number", "The estimate as printed, treatment minus comparator."),
            Column("se", "number", "Its standard error.", above=0),
            Column("ci_low", "number", "Lower limit of its interval."),
            Column("ci_high", "number", "Upper limit of its interval."),
            CI_LEVEL,
            Column("p", "number", "The p-value, as printed.", minimum=0, maximum=1),
            Column(
                "p_sided",
                "words",
                "Whether p is one-sided (in the direction that favours names) or two-sided; empty "
                "is two-sided.",
                allowed=words.P_SIDES,
            ),
            Column(
                "p_relation", "words", "Whether p is exact or a bound.", allowed=words.P_RELATIONS
            ),
            Column("t", "number", "t statistic."),
            Column("f", "number", "F statistic with one numerator degree of freedom.", minimum=0),
            Column("z", "number", "z statistic.", rare=True),
            Column(
                "chi2",
                "number",
                "Chi-square statistic with one degree of freedom; kept for reading.",
                minimum=0,
                rare=True,
            ),
            Column("df", "number", "Degrees of freedom of t, or of the denominator of F.", above=0),
            count_column("n_treatment", "People analysed in the treatment arm."),
            count_column("n_control", "People analysed in the comparator arm."),
            Column(
                "favours",
                "words",
                "Which arm did better, in the source's own words or by its sign; gives the sign "
                "where the printed number has none or the opposite one. Empty when unknown.",
                allowed=words.FAVOURS,
            ),
            Column(
                "correlation",
                "number",
                "Printed within-person correlation of a crossover.",
                minimum=-1,
                maximum=1,
            ),
            Column("sd_difference", "number", "Printed SD of paired differences.", above=0),
            ANALYSIS_SET,
            Column(
                "sd_origin",
                "words",
                "Whether the comparison is crude or adjusted (by a model with covariates).",
                allowed=words.SD_ORIGINS,
            ),
            Column("adjusted_for", "text", "What it is adjusted for, as printed.", rare=True),
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
            Column(
                "outcome",
                "key",
                "The outcome judged; empty for the whole trial.",
                pattern=WORD_PATTERN,
            ),
            Column("tool", "words", "The tool.", required=True, allowed=words.ROB_TOOLS),
            Column(
                "domain",
                "key",
                "Domain of the tool, or 'overall'; see the list of domains.",
                required=True,
                pattern=WORD_PATTERN,
            ),
            Column("judgement", "words", "The judgement.", True, words.ROB_JUDGEMENTS),
            Column("support", "text", "Why, with locator.", required=True),
            Column(
                "judged_by",
                "text",
                "Initials of who judged here, or the review that judged, by its citation. Two "
                "judges may differ; both stay.",
                required=True,
            ),
            Column("source_url", "url", "Address of the page of the review that judged."),
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
    word = "The level of a moderator that is a category."
    return Table(
        "moderators",
        "trial (or arm) x moderator x source",
        ("study_id", "arm_id", "moderator", "naive_to", "covers", "source_url"),
        (
            STUDY,
            arm_column("arm_id", "The arm (arms.csv); empty for the trial.", required=False),
            topic_column(
                "moderator", meaning, (*words.STUDY_NUMBERS, *declared) if declared else ()
            ),
            Column("value", "number", "The number, as printed or counted; a share in percent."),
            Column("word", "words", word, False, tuple(dict.fromkeys(rules)))
            if rules
            else Column("word", "key", word, pattern=WORD_PATTERN),
            Column("naive_to", "text", "Earlier treatment with what, where the value is about it."),
            Column(
                "basis",
                "words",
                "Whether the source prints it, it was worked out from what is printed (the note "
                "says how), or the rule of entry says it without anybody having counted.",
                required=True,
                allowed=words.BASES,
            ),
            Column("people", "text", "Whose share or mean it is: of all randomised, of two arms."),
            count_column("denominator", "How many people these are, where printed."),
            Column(
                "covers",
                "words",
                "Whether it is about all people of the trial (or arm), only some arms, an earlier "
                "or later phase, or those who were chosen to go on; the last two stand for nobody "
                "else.",
                required=True,
                allowed=words.COVERS,
            ),
            Column("source_type", "words", "Kind of source.", True, words.SOURCE_TYPES),
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
