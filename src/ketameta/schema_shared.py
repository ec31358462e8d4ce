"""The tables that stand once, in ``data/``, column by column. Reads no file."""

from __future__ import annotations

from ketameta import vocabulary as words
from ketameta.project import Project
from ketameta.schema_columns import (
    STUDY_ID_PATTERN,
    Column,
    Table,
    count_column,
    instrument_column,
    outcome_column,
    topic_column,
)


def shared_tables(project: Project) -> tuple[Table, ...]:
    """Return the tables that stand once, for the words of a project."""
    outcome_words = Table(
        "outcome_words",
        "outcome",
        ("outcome",),
        (
            outcome_column(),
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
            instrument_column(),
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
    return outcome_words, instruments, exclusions, registry
