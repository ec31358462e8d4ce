"""The tables of a batch folder, column by column. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping

from ketameta import vocabulary as words
from ketameta.project import CONTROL_CLASSES, Project
from ketameta.schema_columns import (
    STUDY_ID_PATTERN,
    WORD_PATTERN,
    Column,
    Table,
    arm_column,
    count_column,
    instrument_column,
    moderator_columns,
    outcome_column,
    provenance_columns,
    study_id_column,
    subgroup_column,
    time_column,
    topic_column,
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
            study_id_column(),
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
            study_id_column(),
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
        references=(("study_id", "studies", "study_id"),),
    )
    outcomes = Table(
        "outcomes",
        "arm x outcome x instrument x time x subgroup x statistic",
        ("study_id", "arm_id", "outcome", "instrument", "time_days", "subgroup", "statistic"),
        (
            study_id_column(),
            arm_column("arm_id", "The arm (arms.csv)."),
            outcome_column(),
            instrument_column(),
            time_column(),
            subgroup_column(keys),
            Column(
                "statistic",
                "words",
                "Score at a time (endpoint), change from baseline (change, end minus start as "
                "printed), or number of people (events).",
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
            Column(
                "ci_level",
                "number",
                "Level of that interval in percent; empty is 95.",
                above=50,
                maximum=99.99,
            ),
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
            Column("baseline_mean", "number", "Mean score before treatment."),
            Column("baseline_sd", "number", "Its standard deviation.", above=0),
            Column("analysis_set", "words", "Who was analysed.", allowed=words.ANALYSIS_SETS),
            Column(
                "sd_origin",
                "words",
                "Whether sd, se or interval describe the raw scores or a model's mean (least "
                "squares).",
                allowed=words.SD_ORIGINS,
            ),
            *provenance_columns(),
        ),
        references=(("study_id", "studies", "study_id"), ("outcome", "outcome_words", "outcome")),
    )
    contrasts = Table(
        "contrasts",
        "comparison x outcome x instrument x time x subgroup, where a source prints only (or also) "
        "the comparison",
        (
            "study_id",
            "arm_id",
            "comparator_arm_id",
            "outcome",
            "instrument",
            "time_days",
            "subgroup",
            "effect_type",
        ),
        (
            study_id_column(),
            arm_column("arm_id", "The treatment arm (arms.csv)."),
            arm_column("comparator_arm_id", "The arm it is compared with (arms.csv)."),
            outcome_column(),
            instrument_column(),
            time_column(),
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
            Column(
                "ci_level",
                "number",
                "Level of that interval in percent; empty is 95.",
                above=50,
                maximum=99.99,
            ),
            Column("p", "number", "Two-sided p-value.", minimum=0, maximum=1),
            Column(
                "p_relation", "words", "Whether p is exact or a bound.", allowed=words.P_RELATIONS
            ),
            Column("t", "number", "t statistic."),
            Column("f", "number", "F statistic with one numerator degree of freedom.", minimum=0),
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
            Column("analysis_set", "words", "Who was analysed.", allowed=words.ANALYSIS_SETS),
            Column(
                "sd_origin",
                "words",
                "Whether the precision comes from raw scores or from a model with covariates.",
                allowed=words.SD_ORIGINS,
            ),
            *provenance_columns(),
        ),
        references=(("study_id", "studies", "study_id"), ("outcome", "outcome_words", "outcome")),
    )
    risk_of_bias = Table(
        "risk_of_bias",
        "study (x outcome) x domain",
        ("study_id", "outcome", "tool", "domain"),
        (
            study_id_column(),
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
                "Domain of the tool, or 'overall'.",
                required=True,
                pattern=WORD_PATTERN,
            ),
            Column("judgement", "words", "The judgement.", True, words.ROB_JUDGEMENTS),
            Column("support", "text", "Why, with locator.", required=True),
            Column("judged_by", "text", "Initials of who judged."),
        ),
        references=(("study_id", "studies", "study_id"),),
    )
    return studies, arms, outcomes, contrasts, risk_of_bias
