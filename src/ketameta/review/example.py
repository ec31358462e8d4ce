"""A worked example: one simulated trial, row by row, with the reason for each cell.

The trial does not exist; its name says so. It is used by the README of a new batch and by the help
sheet of the workbook. Words of the topic are those of the project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ketameta.schema import Schema

#: Name of the simulated trial.
SIMULATED = "simulated_2020"

#: For each table: column, cell, and what a reviewer should think while typing it.
_ROWS: Mapping[str, tuple[tuple[str, str, str], ...]] = MappingProxyType(
    {
        "studies": (
            ("study_id", SIMULATED, "surname_year of the main report, lower case"),
            (
                "citation",
                "Simulated S. A trial that does not exist. J Examples. 2020;1:1-9.",
                "as the journal prints it",
            ),
            ("year", "2020", ""),
            ("doi", "10.1234/simulated.2020", "without https://doi.org/"),
            ("registry_id", "NCT00000000", "several are joined by ;"),
            ("source_url", "https://example.org/simulated-2020", "the page you read"),
            ("source_type", "journal", "a word of the list"),
            ("access", "full_text", "what you could read, not what exists"),
            ("design", "parallel_rct", ""),
            ("blinding", "double_blind", ""),
            ("population", "outpatients of three clinics", "in your words"),
            ("diagnosis", "condition", "a word of the list"),
            ("age_group", "adults", ""),
            ("age_mean_years", "34.2", "as printed"),
            ("n_randomised", "60", "people, both arms together"),
        ),
        "arms": (
            ("study_id", SIMULATED, "the same word as in studies.csv"),
            ("arm_id", "active", "short and unique within the trial"),
            ("intervention", "medicine", "generic name"),
            ("drug_class", "other", "a word of the list"),
            ("role", "treatment", "the other arm is control"),
            ("dose", "0.5", "the number alone"),
            ("dose_unit", "mg_per_kg", ""),
            ("route", "intravenous", ""),
            ("schedule", "one infusion", ""),
            ("n_randomised", "30", ""),
        ),
        "outcomes": (
            ("study_id", SIMULATED, ""),
            ("arm_id", "active", "one row per arm; the control arm has its own"),
            ("outcome", "symptoms", "a word of data/outcome_words.csv"),
            ("instrument", "scale", "a word of data/instruments.csv"),
            ("time_days", "7", "days since the first dose"),
            ("statistic", "endpoint", "a score at a time; change and events are the others"),
            ("n", "28", "people analysed, not randomised"),
            ("mean", "24.1", "with the digits that are printed"),
            ("sd", "9.6", "a standard deviation; a standard error goes into se"),
            ("analysis_set", "full_analysis_set", ""),
            ("locator", "table 2", "where the numbers stand"),
            ("extracted_by", "AB", "your initials"),
        ),
        "contrasts": (
            ("study_id", SIMULATED, "only for what is printed as a comparison"),
            ("arm_id", "active", ""),
            ("comparator_arm_id", "placebo", ""),
            ("outcome", "symptoms", ""),
            ("instrument", "scale", ""),
            ("time_days", "14", ""),
            ("effect_type", "MD", "MD, SMD, OR, RR, RD, HR or test"),
            ("estimate", "-4.0", "as printed, treatment minus comparator"),
            ("ci_low", "-8.1", "mind the minus sign"),
            ("ci_high", "0.1", ""),
            ("p", "0.056", "0.001 with < goes into p and p_relation"),
            ("p_relation", "=", ""),
            ("favours", "treatment", "which arm did better, in the paper's words"),
            ("locator", "page 6, second paragraph", ""),
            ("extracted_by", "AB", ""),
        ),
        "risk_of_bias": (
            ("study_id", SIMULATED, ""),
            ("tool", "rob2", ""),
            ("domain", "overall", "one row per domain, and one called overall"),
            ("judgement", "some_concerns", ""),
            ("support", "allocation concealment not described (page 3)", "why, and where"),
            ("judged_by", "AB", ""),
        ),
    }
)


#: Words of the topic, by the column that holds them in the rows above.
_TOPIC = ("diagnosis", "drug_class", "outcome", "instrument")


def example(
    schema: Schema, declared: Mapping[str, Sequence[str]]
) -> dict[str, tuple[tuple[str, str, str], ...]]:
    """Return the example of each table: column, cell, and what to think while typing it.

    Parameters
    ----------
    schema : Schema
        Of the project; its moderators get a cell of their own.
    declared : mapping
        ``outcome`` and ``instrument`` words of the project, the first of which stand here.
    """
    found = {}
    for table in schema.batch:
        known = {column.name: column for column in table.columns}
        rows = []
        for name, cell, comment in _ROWS[table.name]:
            words = known[name].allowed or tuple(declared.get(name, ()))
            rows.append((name, words[0] if name in _TOPIC and words else cell, comment))
        told = {name for name, _, _ in rows}
        rows += [
            (column.name, "not_reported", "not_reported where the paper does not say")
            for column in table.columns
            if column.required and column.name not in told
        ]
        found[table.name] = tuple(rows)
    return found


def example_row(
    table: str, schema: Schema, declared: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return the example row of one table."""
    return {column: cell for column, cell, _ in example(schema, declared)[table]}
