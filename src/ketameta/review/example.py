"""A worked example: one simulated trial, row by row, with the reason for each cell.

The trial does not exist; its name says so. It is used by the README of a new batch and by the help
sheet of the workbook.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Name of the simulated trial.
SIMULATED = "simulated_2020"

#: For each table: column, cell, and what a reviewer should think while typing it.
EXAMPLE: Mapping[str, tuple[tuple[str, str, str], ...]] = MappingProxyType(
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
            ("population", "outpatients with ADHD, combined presentation", "in your words"),
            ("diagnosis", "adhd", ""),
            ("age_group", "adults", ""),
            ("age_mean_years", "34.2", "as printed"),
            ("n_randomised", "60", "people, both arms together"),
            ("adhd_subtype", "combined", "not_reported where the paper does not say"),
            ("prior_treatment_resistance", "not_reported", "never guessed"),
        ),
        "arms": (
            ("study_id", SIMULATED, "the same word as in studies.csv"),
            ("arm_id", "ketamine", "short and unique within the trial"),
            ("intervention", "ketamine", "generic name"),
            ("drug_class", "nmda_antagonist", ""),
            ("role", "treatment", "the other arm is control"),
            ("dose", "0.5", "the number alone"),
            ("dose_unit", "mg_per_kg", ""),
            ("route", "intravenous", ""),
            ("schedule", "one infusion", ""),
            ("n_randomised", "30", ""),
        ),
        "outcomes": (
            ("study_id", SIMULATED, ""),
            ("arm_id", "ketamine", "one row per arm; the control arm has its own"),
            ("outcome", "adhd_total", "a word of data/outcome_words.csv"),
            ("instrument", "aisrs", "a word of data/instruments.csv"),
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
            ("arm_id", "ketamine", ""),
            ("comparator_arm_id", "placebo", ""),
            ("outcome", "adhd_total", ""),
            ("instrument", "aisrs", ""),
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


def example_row(table: str) -> dict[str, str]:
    """Return the example row of one table."""
    return {column: cell for column, cell, _ in EXAMPLE[table]}
