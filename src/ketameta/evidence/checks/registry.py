"""Every check by its word, and the data dictionary: every column, then every check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ketameta.errors import check_choice
from ketameta.evidence.checks import keys, people, printed, rows, scores, values
from ketameta.evidence.checks.context import Context, Problem
from ketameta.evidence.findings import file_finding
from ketameta.evidence.schema import TABLES, Column, Schema, Table
from ketameta.formatting import csv_text


@dataclass(frozen=True, slots=True)
class Check:
    """One rule.

    Attributes
    ----------
    word : str
        Stable; what ``accept:`` in a note names.
    function : callable
        Yields every place where the rule does not hold; its docstring states the rule.
    """

    word: str
    function: Callable[[Context], Iterator[Problem]]

    @property
    def rule(self) -> str:
        """What must hold, in a sentence."""
        return (self.function.__doc__ or "").partition("\n")[0]


#: Rules about cells, keys and references. A declared ``flag`` does not excuse them.
STRUCTURE: tuple[Check, ...] = (
    Check("required", values.check_required_cells_are_filled),
    Check("unknown_word", values.check_words_are_known),
    Check("form", values.check_forms_fit),
    Check("registry_form", values.check_registry_numbers_fit),
    Check("subgroup", values.check_subgroups_are_readable),
    Check("locator", values.check_locators_say_where),
    Check("date", values.check_dates_are_dates),
    Check("not_in_pdf", values.check_texts_can_be_typeset),
    Check("duplicate_key", keys.check_keys_are_unique),
    Check("unknown_study", keys.check_studies_exist),
    Check("screening_duplicate", keys.check_duplicates_name_a_record),
    Check("unknown_overlap", keys.check_overlapping_studies_exist),
    Check("secondary_beside", keys.check_secondary_results_stand_alone),
    Check("unknown_arm", keys.check_arms_exist),
    Check("unknown_contained_arm", keys.check_contained_arms_exist),
    Check("arm_circle", rows.check_pooled_arms_are_no_circle),
    Check("control_role", rows.check_controls_are_called_so),
    Check("design_control", rows.check_uncontrolled_designs_have_no_control),
    Check("one_arm", rows.check_controlled_trials_have_a_comparator),
    Check("same_arm", keys.check_arms_of_a_contrast_differ),
    Check("unknown_outcome", keys.check_outcomes_are_declared),
    Check("unknown_instrument", keys.check_instruments_are_declared),
    Check("statistic_kind", keys.check_statistic_fits_outcome),
    Check("label_drift", keys.check_names_do_not_drift),
    Check("study_without_arms", keys.check_studies_have_arms),
    Check("study_without_results", keys.check_studies_have_results),
    Check("arm_without_results", keys.check_arms_have_results),
    Check("companion_as_trial", keys.check_companions_are_declared),
    Check("same_trial", keys.check_trials_differ),
    Check("registry_disagrees", keys.check_registry_entries_agree),
    Check("moderator_value", people.check_moderators_have_a_value),
    Check("share_of_whom", people.check_shares_say_of_whom),
    Check("range_source", values.check_scale_ranges_have_sources),
)
#: Rules about numbers.
NUMBERS: tuple[Check, ...] = (
    Check("bounds", values.check_numbers_in_bounds),
    Check("proportion_in_count", values.check_counts_are_not_shares),
    Check("share_in_percent", values.check_percentages_are_not_shares),
    Check("whole_number", values.check_counts_are_whole),
    Check("one_kind_of_data", rows.check_one_kind_of_data_per_row),
    Check("no_result", rows.check_rows_have_results),
    Check("events_above_n", rows.check_events_within_n),
    Check("events_percent", rows.check_events_agree_with_percent),
    Check("percent_of_n", rows.check_percent_is_possible),
    Check("order_statistics", rows.check_order_statistics_in_order),
    Check("interval_half", rows.check_intervals_are_whole),
    Check("interval_order", rows.check_intervals_are_in_order),
    Check("interval_contains", rows.check_intervals_contain_the_estimate),
    Check("interval_symmetry", rows.check_intervals_are_symmetric),
    Check("ratio_symmetry", rows.check_intervals_of_ratios_are_symmetric),
    Check("spreads_disagree", rows.check_spreads_agree),
    Check("ratio_positive", printed.check_ratios_are_positive),
    Check("risk_difference", printed.check_risk_differences_are_shares),
    Check("p_zero", printed.check_p_is_not_zero),
    Check("p_exact", printed.check_p_says_whether_it_is_exact),
    Check("p_contradicts", printed.check_p_agrees_with_the_effect),
    Check("p_one_sided", printed.check_one_sided_p_is_called_so),
    Check("contrast_spreads", printed.check_contrast_spreads_agree),
    Check("sign_unknown", printed.check_signs_are_known),
    Check("n_zero", people.check_somebody_was_analysed),
    Check("n_above_randomised", people.check_n_within_randomised),
    Check("n_above_study", people.check_n_within_study),
    Check("crossover_doubled", people.check_crossovers_count_people_once),
    Check("arms_above_study", people.check_arms_within_study),
    Check("trial_size", people.check_trial_size_is_told),
    Check("half_table", rows.check_tables_are_read_whole),
    Check("contrast_above_study", people.check_contrast_sizes_fit_the_trial),
    Check("shares_of_whole", people.check_shares_of_a_whole_add_up),
    Check("moderators_disagree", people.check_sources_agree_on_people),
    Check("moderator_people", people.check_other_people_are_called_so),
    Check("denominators", people.check_one_denominator),
    Check("score_range", scores.check_scores_are_on_the_scale),
    Check("change_as_endpoint", scores.check_endpoints_are_not_changes),
    Check("sd_impossible", scores.check_sds_are_possible),
    Check("se_as_sd", scores.check_sds_are_not_standard_errors),
    Check("sd_as_se", scores.check_standard_errors_are_not_sds),
    Check("sd_ratio", scores.check_sds_of_arms_are_similar),
    Check("implausible_effect", scores.check_effects_are_plausible),
    Check("wrong_direction", scores.check_effects_favour_the_likely_arm),
    Check("direction_disagrees", scores.check_scales_point_as_their_outcome),
    Check("contrast_disagrees", printed.check_contrasts_agree_with_arms),
    Check("includes", printed.check_larger_groups_hold_smaller_ones),
    Check("change_beside_endpoint", scores.check_arms_share_their_statistic),
    Check("change_sign", scores.check_changes_have_the_sign_of_change),
    Check("no_partner", scores.check_arms_have_partners),
    Check("duplicated_arm", keys.check_arms_are_not_copied),
    Check("duplicated_baseline", keys.check_baselines_are_not_copied),
    Check("copied_row", keys.check_rows_are_not_copied),
    Check("copied_contrast", keys.check_contrasts_are_not_copied),
    Check("harm_fact", rows.check_facts_say_something),
    Check("bias_overall", rows.check_overall_bias_covers_its_domains),
    Check("bias_without_overall", rows.check_assessments_have_an_overall),
    Check("bias_domain", rows.check_domains_are_of_the_tool),
    Check("bias_words", rows.check_judgements_fit_the_tool),
)
CHECKS: tuple[Check, ...] = (*STRUCTURE, *NUMBERS)
#: What the reading layer and the lists beside the tables report, by word.
READING: dict[str, str] = {
    "file_missing": "A file or folder that is needed is there.",
    "file_unknown": "Every file below data/ has the name of a table or list that is read.",
    "link": "Nothing below data/ or in analyses/ is a link.",
    "batch_name": "Batches are named by letters, digits, _ and -.",
    "file_unreadable": "Every file can be opened.",
    "too_large": "No file is larger, and no line wider, than any table can be.",
    "too_many": "No file holds more mistakes than anybody mends at once.",
    "not_csv": "A file that ends in .csv is one, not a workbook, a PDF or a picture.",
    "empty_file": "Every file has a header.",
    "empty_table": "A table has rows.",
    "encoding": "Every file is UTF-8.",
    "byte_order_mark": "No file starts with a byte-order mark.",
    "separator": "Cells are separated by commas.",
    "quotes": "Quotation marks pair up.",
    "header_missing": "The first line is the header of the table.",
    "line_above_header": "Nothing stands above the header.",
    "column_unnamed": "Every column that holds something has a name.",
    "column_unknown": "Every column is one of the schema, in its spelling.",
    "column_missing": "Every column of the schema is there.",
    "column_duplicated": "No column stands twice.",
    "blank_line": "No line is blank.",
    "ragged_row": "Every row has as many cells as the header.",
    "spreadsheet_error": "No cell holds a spreadsheet's error such as #REF!.",
    "formula": "No cell holds a formula.",
    "hidden_character": "No cell holds invisible characters.",
    "line_break": "No cell holds a line break.",
    "outer_space": "No cell starts or ends with a space.",
    "garbled_text": "No letter was garbled by a wrong encoding.",
    "decimal_comma": "Numbers have decimal points and no thousands separators.",
    "minus_sign": "A minus is a plain hyphen.",
    "not_a_number": "A column of numbers holds numbers; nothing printed is an empty cell.",
    "too_long": "No cell holds a whole text.",
    "date_from_range": "No range was turned into a date.",
    "scientific_id": "No identifier was turned into a number with an exponent.",
    "toml_unreadable": "Every TOML file can be read.",
    "correction": "Every correction is complete and matches one row with the value it expects.",
    "search_form": "The record of the search has what a report prints of it.",
    "search_flow": "The counts of the search add up.",
    "search_records": "The records extracted, converted and excluded add up.",
    "search_date": "The dates of the search are dates.",
    "analysis": "An analysis file asks for nothing that the words and the other files contradict.",
    "no_direction": "Scales of a standardised analysis have a better end.",
    "claim": "A public claim is complete, and names analyses that exist.",
    "accept": "What a note accepts is a warning of that row, with a reason.",
    "unreconciled": "Where two extractors differ, somebody has decided.",
    "third_value": "A value that neither extractor typed has a reason beside it.",
    "same_extractor": "Two extractions are by two people.",
    "reconciliation": "Every decision on two extractions fits the tables and can be used.",
}

_KINDS = {
    "text": "text",
    "key": "key",
    "number": "number",
    "integer": "whole number",
    "words": "one of",
    "list": "keys joined by `;`",
    "url": "address",
}
_EXAMPLE = file_finding(
    "sd_ratio",
    "data/extracted/demo/outcomes.csv",
    "3.6 times apart from placebo (8.3 in data/extracted/demo/outcomes.csv:15)",
    "compare both with the source; look for an SE, a range or a lost digit",
    severity="warning",
    line=14,
    column="sd",
    value="2.3",
)
_INTRODUCTION = f"""# The data, column by column

Written by `ketameta dictionary` from the schema; edit the schema, not this file.

The tables hold what sources print, and nothing derived. Tables of a batch stand in
`data/extracted/<batch>/`, one folder per topic, trial or reviewer; a table is the union of all
files of its name, and keys are unique across all of them. The shared lists stand in `data/`.

Files are UTF-8, separated by commas, with decimal points, a header in the order below and rows
sorted by key. An empty cell means that the source does not print the value. Numbers are typed as
printed, with their trailing zeros.

`ketameta check` finds what is wrong and says where, why and what to do:

    {_EXAMPLE}

A warning that turns out to be right is accepted in the row's note, with a reason:
`accept: sd_ratio because both SDs were compared with Table 2`. It is then listed as accepted.

A known error in a source stays in the table as printed and is put right in `corrections.toml`.
"""
_CORRECTIONS = """## corrections.toml

One `[[correction]]` per wrong value. A correction that matches no row or several, or whose
`expect` is no longer there, stops the build: it may no longer be needed. What the checks say about
the numbers of a flagged row counts as accepted.

| field | meaning |
| --- | --- |
| `id` | Name of the correction, unique. |
| `table` | Table of the wrong value. |
| `where` | Columns and values that single out one row; `""` is an empty cell. |
| `column` | The wrong cell (may be left out for `drop`). |
| `action` | `override` puts `value` into the cell; `drop` leaves the row out; `flag` marks it. |
| `value` | What belongs there (`override`); `""` empties the cell. |
| `expect` | The wrong value as printed. |
| `reason` | Why it is wrong. |
| `source` | Where that can be seen. |
| `date` | Date of the decision (YYYY-MM-DD). |
| `status` | `active`, or `retired` once it is no longer needed. |
"""
_SEARCH = """## search.toml

What was searched and found. A `[flow]` table holds the counts of a PRISMA diagram under the names
`identified`, `removed_before_screening`, `screened`, `excluded`, `sought`, `not_retrieved`,
`assessed`, `excluded_full_text` and `included`, as far as they are known; a count of records left
out may be a table of reasons. Where three neighbours are given, they must add up. `[[near_miss]]`
(`study`, `told`, `source_url`) is a study that comes near the question without answering it,
`[[not_reached]]` (`looked_for`, `where`, `date`, `found`) a source that could not be read.
"""


def dictionary_markdown(schema: Schema) -> str:
    """Return the text of ``data/README.md``; the same bytes for the same schema."""
    parts = [_INTRODUCTION, "## Contents\n", _contents(schema)]
    parts.extend(_table_section(table) for table in schema.batch)
    parts.extend(_table_section(table) for table in schema.shared)
    parts.extend((_CORRECTIONS, _SEARCH, _checks_section()))
    return "\n".join(parts).rstrip("\n") + "\n"


def template_csv(table: str, schema: Schema) -> str:
    """Return an empty table: the header without rare columns, and nothing else.

    Parameters
    ----------
    table : str
        Name of a table, such as ``"outcomes"``.
    schema : Schema
        Of the project.

    Raises
    ------
    UsageError
        If there is no such table.
    """
    check_choice("table", table, tuple(TABLES))
    return csv_text([column.name for column in schema[table].usual], ())


def _contents(schema: Schema) -> str:
    """Return the list of tables with what a row is."""
    lines = ["| table | one row per | key |", "| --- | --- | --- |"]
    for table in schema.tables.values():
        key = ", ".join(f"`{name}`" for name in table.key)
        lines.append(f"| [`{table.name}.csv`](#{table.name}csv) | {table.row} | {key} |")
    return "\n".join(lines) + "\n"


def _table_section(table: Table) -> str:
    """Return the section of one table."""
    lines = [
        f"## {table.name}.csv",
        "",
        f"One row per {table.row}. Key: {', '.join(f'`{name}`' for name in table.key)}.",
        "",
        "| column | type | needed | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for column in table.columns:
        needed = "yes" if column.required else "may be added" if column.rare else ""
        meaning = _escaped(column.meaning)
        lines.append(f"| `{column.name}` | {_type_in_words(column)} | {needed} | {meaning} |")
    return "\n".join(lines) + "\n"


def _type_in_words(column: Column) -> str:
    """Return the type of a column with its words, bounds and unit."""
    text = _KINDS[column.kind]
    if column.allowed:
        text += " " + ", ".join(f"`{_escaped(word)}`" for word in column.allowed)
    bounds = []
    if column.above is not None:
        bounds.append(f"above {column.above:g}")
    if column.minimum is not None:
        bounds.append(f"at least {column.minimum:g}")
    if column.maximum is not None:
        bounds.append(f"at most {column.maximum:g}")
    if bounds:
        text += ", " + " and ".join(bounds)
    return f"{text} ({column.unit})" if column.unit else text


def _checks_section() -> str:
    """Return the list of checks with the rule each one holds."""
    lines = [
        "## What the checks look for",
        "",
        "The word is what stands in brackets behind a finding, and what `accept:` names.",
        "",
        "| word | what must hold |",
        "| --- | --- |",
    ]
    lines.extend(f"| `{check.word}` | {_escaped(check.rule)} |" for check in CHECKS)
    lines.extend(f"| `{word}` | {_escaped(rule)} |" for word, rule in READING.items())
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return text that cannot end a cell of a Markdown table."""
    return text.replace("|", r"\|")
