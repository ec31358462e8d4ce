"""Checks of single cells: filled, a known word, the right form, in bounds; and of moderators.

A room of its own because checks are kept by what they look at, and `run` lists them all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ketameta.declared import is_day
from ketameta.errors import did_you_mean, near_matches
from ketameta.evidence.checks.context import (
    Context,
    error,
    grouped,
    list_items,
    number_rule,
    of_columns,
    place,
    rule,
    warning,
)
from ketameta.evidence.findings import Finding, file_finding, harmless, kind_of_character, read_toml
from ketameta.evidence.schema import WORD_PATTERN, Column
from ketameta.evidence.tables import Row
from ketameta.measures import COVERS, SECONDARY, STUDY_NUMBERS
from ketameta.paths import ProjectPaths
from ketameta.typesetter import codes, not_shown

_URL = re.compile(r"https?://[^\s/]+\.[^\s/]+(?:/\S*)?")
_NOWHERE = re.compile(
    r"(?:n/?a|none|unknown|not (?:stated|reported|given)|nr|see (?:the )?(?:paper|source|article)"
    r"|paper|article|source|yes|[?.xX-]+)",
    re.IGNORECASE,
)
#: A letter that a TOML file writes out by its number.
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})")
#: So many characters that the PDF cannot show are named.
_NAMED = 5


@rule("required")
def check_required_cells_are_filled(context: Context) -> Iterator[Finding]:
    """Every column the schema calls required has a value; type what the source prints."""
    for name, table in context.evidence.schema.tables.items():
        required = [column for column in table.columns if column.required]
        for row in context.rows(name):
            for column in required:
                if column.name not in row.texts and not context.is_refused(row, column.name):
                    yield error(row, column.name, "the cell is empty", f"fill it: {column.meaning}")


@rule("unknown_word")
def check_words_are_known(context: Context) -> Iterator[Finding]:
    """Each column of controlled words holds one of them, in its exact spelling."""
    for row, column, text in context.cells:
        if column.kind == "words" and text not in column.allowed:
            listed = ", ".join(column.allowed)
            hint = did_you_mean(text, column.allowed)
            yield error(
                row, column.name, "not one of the words allowed here", f"one of {listed}{hint}"
            )


@rule("form")
def check_forms_fit(context: Context) -> Iterator[Finding]:
    """All identifiers and keys have the form of the schema (a DOI without its address)."""
    for row, column, text in context.cells:
        if column.kind == "url":
            if not _URL.fullmatch(text):
                yield error(row, column.name, "not an address", "write it whole, from https:// on")
            continue
        if not column.pattern or column.kind not in ("key", "list"):
            continue
        for item in list_items(text) if column.kind == "list" else [text]:
            if not re.fullmatch(column.pattern, item):
                why, remedy = _form_advice(column, item)
                yield error(row, column.name, why, remedy, value=item)


@rule("registry_form")
def check_registry_numbers_fit(context: Context) -> Iterator[Finding]:
    """Each entry of the registry list has a number in the form of its register."""
    column = context.evidence.schema["studies"].column("registry_id")
    for row in context.rows("registry"):
        text = row["registry_id"]
        is_read = text and not context.is_refused(row, "registry_id")
        if is_read and not re.fullmatch(column.pattern, text):
            why, remedy = _form_advice(column, text)
            yield warning(row, "registry_id", why, remedy)


def _form_advice(column: Column, item: str) -> tuple[str, str]:
    """Return why a value does not fit its pattern and what would."""
    name = column.name
    if name == "doi":
        bare = re.sub(r"(?i)^(?:https?://(?:dx\.)?doi\.org/|doi:?\s*)", "", item)
        fits = re.fullmatch(column.pattern, bare)
        return "not the form of a DOI", f"write {bare}" if fits else "write it as 10.xxxx/..."
    if name == "pmid":
        digits = re.sub(r"\.0+$|\D", "", item)
        fits = re.fullmatch(column.pattern, digits)
        return "not the form of a PubMed number", f"write {digits}" if fits else "digits only"
    if name == "registry_id":
        bare = re.sub(r"\s", "", item)
        for candidate in (bare, bare.upper()):
            if re.fullmatch(column.pattern, candidate):
                return "not the form of a registry number", f"write {candidate}"
        return (
            "not the form of a registry number",
            "compare it with the register (NCT has 8 digits)",
        )
    if name in ("study_id", "overlaps_with"):
        return (
            "not the form of a study_id",
            "write surname_year in lower-case letters without accents, such as alder_2014",
        )
    plain = re.sub(r"[^a-z0-9]+", "_", item.lower()).strip("_")
    hint = f", such as {plain}" if re.fullmatch(column.pattern, plain) else ""
    return "not a plain key", f"write lower-case letters, digits and underscores{hint}"


@number_rule("bounds")
def check_numbers_in_bounds(context: Context) -> Iterator[Finding]:
    """Each number lies in the bounds of its column: a standard deviation is above 0."""
    for row, column, _ in context.cells:
        number = row.number(column.name)
        if number is None:
            continue
        if column.above is not None and number <= column.above:
            why = f"it must be above {column.above:g}"
        elif column.minimum is not None and number < column.minimum:
            why = f"it must be at least {column.minimum:g}"
        elif column.maximum is not None and number > column.maximum:
            why = f"it must be at most {column.maximum:g}"
        else:
            continue
        yield error(row, column.name, why, f"compare it with the source. {column.meaning}")


@number_rule("proportion_in_count")
def check_counts_are_not_shares(context: Context) -> Iterator[Finding]:
    """Each count of people is not a proportion; a share goes into the percent column."""
    for row, column, text in context.cells:
        number = row.number(column.name)
        if column.kind == "integer" and number is not None and 0 < number < 1:
            why = "a share stands where a count of people belongs"
            remedy = (
                f"type the printed count, or {100 * number:g} into percent if only {text} "
                "is printed"
            )
            yield error(row, column.name, why, remedy)


@number_rule("share_in_percent")
def check_percentages_are_not_shares(context: Context) -> Iterator[Finding]:
    """Each percentage of a trial's people is a percentage, not a share of one."""
    columns = [
        column.name
        for column in context.evidence.schema["studies"].columns
        if column.kind == "number" and column.name.endswith("_percent")
    ]
    for row in context.rows("studies"):
        for column in columns:
            number = row.number(column)
            if number is not None and 0 < number <= 1:
                why = "this looks like a share of one"
                remedy = f"write {100 * number:g} if {100 * number:g}% is meant"
                yield warning(row, column, why, remedy)


@number_rule("whole_number")
def check_counts_are_whole(context: Context) -> Iterator[Finding]:
    """Each count of people is a whole number."""
    for row, column, _ in context.cells:
        number = row.number(column.name)
        if column.kind != "integer" or number is None or 0 < number < 1:
            continue
        if number != int(number):
            yield error(row, column.name, "not a whole number", "type the count that is printed")


@rule("subgroup")
def check_subgroups_are_readable(context: Context) -> Iterator[Finding]:
    """Each subgroup is key=value pairs joined by ';', with keys and words of the vocabulary."""
    known = context.evidence.schema.subgroups
    for table in ("outcomes", "contrasts"):
        for row in context.rows(table):
            seen: set[str] = set()
            for item in list_items(row["subgroup"]):
                key, equals, value = (part.strip() for part in item.partition("="))
                why, remedy = _subgroup_advice(key, equals, value, seen, known)
                seen.add(key)
                if why:
                    yield error(row, "subgroup", why, remedy, value=item)


def _subgroup_advice(
    key: str, equals: str, value: str, seen: set[str], known: Mapping[str, Sequence[str]]
) -> tuple[str, str]:
    """Return why one pair of a subgroup cannot be read and what to write; empty if it can."""
    if not equals or not value:
        return "not a key=value pair", "write, for example, sex=female"
    if key not in known:
        return "no such key", f"one of {', '.join(known)}{did_you_mean(key, known)}"
    if key in seen:
        return "the key stands twice", "keep one; rows are about one subgroup"
    allowed = known[key]
    if allowed and value not in allowed:
        return "no such word", f"one of {', '.join(allowed)}{did_you_mean(value, allowed)}"
    if not allowed and not re.fullmatch(WORD_PATTERN, value):
        return "not a plain word", "write lower-case letters, digits and underscores"
    return "", ""


@rule("locator", "outcomes", "contrasts")
def check_locators_say_where(context: Context, row: Row) -> Iterator[Finding]:
    """Every number has a locator that leads to it: abstract, table, figure, page, field."""
    if _NOWHERE.fullmatch(row["locator"]):
        why = "this does not say where the numbers stand"
        remedy = "write abstract, or the table, figure, page or registry field"
        yield error(row, "locator", why, remedy)


@rule("not_in_pdf")
def check_texts_can_be_typeset(context: Context) -> Iterator[Finding]:
    """Every character of a text can be shown in the PDF; the web page shows it in any case."""
    texts = [
        (row, column.name, text)
        for row, column, text in context.cells
        if column.kind == "text" and not text.isascii()
    ]
    missing = not_shown(text for _, _, text in texts)
    for row, column, text in texts:
        if missing & set(text):
            yield warning(row, column, *_not_in_pdf(text, missing))


def _not_in_pdf(text: str, missing: frozenset[str]) -> tuple[str, str]:
    """Return which characters of a text the PDF cannot show, and what becomes of them."""
    found = [character for character in dict.fromkeys(text) if character in missing]
    named = [
        f"{character} ({number})" if character.isprintable() else number
        for character, number in zip(found, codes("".join(found), missing), strict=True)
    ]
    if len(named) > _NAMED:
        named[_NAMED:] = [f"{len(named) - _NAMED} more"]
    return (
        f"the PDF cannot show {', '.join(named)}",
        "leave it if it is what the source prints: the web page shows it, the PDF marks and "
        "lists it",
    )


def declaration_letters(paths: ProjectPaths) -> Iterator[Finding]:
    """Yield the lines of TOML files with letters that the PDF cannot show or nobody can see."""
    lines = [
        (path, number, line)
        for folder in (paths.data, paths.analyses)
        for path in sorted(folder.glob("*.toml"))
        for number, line in enumerate(_lines(path), 1)
    ]
    missing = not_shown(harmless(line) for _, _, line in lines)
    for path, number, line in lines:
        if harmless(line) != line:
            harmful = sorted({letter for letter in line if harmless(letter) != letter})[:_NAMED]
            named = (f"{kind_of_character(letter)} (U+{ord(letter):04X})" for letter in harmful)
            advice = f"the line contains {' and '.join(named)}, which is left out", "delete it"
            yield _letter_finding("hidden_character", paths.relative(path), number, line, advice)
        if missing & set(line):
            advice = _not_in_pdf(line, missing)
            yield _letter_finding("not_in_pdf", paths.relative(path), number, line, advice)


def _letter_finding(
    check: str, file: str, number: int, line: str, advice: tuple[str, str]
) -> Finding:
    value = line.strip()
    return file_finding(check, file, *advice, severity="warning", line=number, value=value)


def _lines(path: Path) -> list[str]:
    """Return the lines of a TOML file that are no comment, with written-out letters as letters.

    A file that cannot be read has none; that is said elsewhere.
    """
    document, lines, _ = read_toml(path, path.name)
    return [
        ""
        if line.lstrip().startswith("#")
        else _ESCAPED.sub(lambda found: chr(int(found[1] or found[2], 16)), line)
        for line in ([] if document is None else lines)
    ]


@rule("date", "exclusions")
def check_dates_are_dates(context: Context, row: Row) -> Iterator[Finding]:
    """Each date is written YYYY-MM-DD and exists in the calendar."""
    if row["date"] and not is_day(row["date"]) and not context.is_refused(row, "date"):
        yield error(row, "date", "not a date", "write YYYY-MM-DD")


@rule("dose_unit")
def check_units_of_doses_are_spelled_alike(context: Context) -> Iterator[Finding]:
    """No unit of dose that one study alone has is that of others misspelled."""
    rows = [row for row in context.rows("arms") if row["dose_unit"]]
    studies = Counter(unit for unit, _ in {(row["dose_unit"], row["study_id"]) for row in rows})
    common = [unit for unit, count in studies.items() if count > 1]
    parts = {part for unit in common for part in unit.split("_")}
    for row in rows:
        strange = studies[row["dose_unit"]] == 1 and {*row["dose_unit"].split("_")} - parts
        if strange and (near := near_matches(row["dose_unit"], common, most=1)):
            why = f"no other study has this unit, and {studies[near[0]]} have {near[0]}"
            remedy = f"write {near[0]} if it is meant: other units enter no dose analysis"
            yield warning(row, "dose_unit", why, remedy)


@rule("range_source", "instruments")
def check_scale_ranges_have_sources(context: Context, row: Row) -> Iterator[Finding]:
    """Every instrument's range is in order, and range and usual SD say where they are printed."""
    low, high = row.number("minimum"), row.number("maximum")
    if low is not None and high is not None and low >= high:
        why = "the lowest score is not below the highest"
        remedy = "compare both with the manual of the scale"
        yield error(row, "minimum", why, remedy)
    if (low is not None or high is not None) and not row["range_source"]:
        yield warning(
            row, "range_source", "a range stands without its source", "say where it is printed"
        )
    if row.number("usual_sd") is not None and not row["usual_sd_source"]:
        why = "a usual SD stands without its source"
        remedy = "say where it is printed"
        yield warning(row, "usual_sd_source", why, remedy)


# --- moderators: a value within its bounds, and of whom -------------------------------------------

#: What a share of people ends in, by its name; its value lies between 0 and 100.
_SHARE = "_percent"
#: Half a unit of the last place of a printed percentage, at most.
_ROUNDED = 0.5


@rule("moderator_value")
def check_moderators_have_a_value(context: Context) -> Iterator[Finding]:
    """Each moderator has a number, or a word where it is a category, within its bounds."""
    declared = {item.name: item for item in context.evidence.project.moderator}
    for row in context.rows("moderators"):
        item = declared.get(row["moderator"])
        value = row.number("value")
        is_category = item is not None and item.kind == "category"
        column, other = ("word", "value") if is_category else ("value", "word")
        if not row[column] and not context.is_refused(row, column):
            yield error(row, column, f"{row['moderator']} has no {column}", "type it")
        if row[other]:
            remedy = f"leave it empty; {row['moderator']} has a {column}"
            yield error(row, other, f"{row['moderator']} has no {other}", remedy)
        elif item is not None and is_category and row["word"] not in ("", *item.words):
            remedy = f"one of {', '.join(item.words)}"
            yield error(row, "word", f"not a word of {item.name}", remedy)
        low, high = (item.minimum, item.maximum) if item is not None else (None, None)
        if row["moderator"].endswith(_SHARE):
            low, high = 0, 100
        if value is not None and not (low is None or low <= value):
            yield error(row, "value", f"below {low:g}", "look for a slip or another unit")
        if value is not None and not (high is None or value <= high):
            yield error(row, "value", f"above {high:g}", "look for a slip or another unit")


@rule("share_of_whom", "moderators")
def check_shares_say_of_whom(context: Context, row: Row) -> Iterator[Finding]:
    """Each percentage of people says of which people it is a percentage."""
    if row["moderator"].endswith(_SHARE) and not row["people"]:
        why = "a percentage, and nothing says of whom"
        yield error(row, "people", why, "write it: of all randomised, of two arms")


@number_rule("shares_of_whole")
def check_shares_of_a_whole_add_up(context: Context) -> Iterator[Finding]:
    """All parts of one whole are at most 100 percent together, but for rounding."""
    wholes = {item.name: item.share_of for item in context.evidence.project.moderator}
    parts_of = of_columns("study_id", "arm_id", "naive_to", "covers", "source_url", "people")
    shares = [row for row in context.rows("moderators") if row.number("value") is not None]
    parts = [row for row in shares if wholes.get(row["moderator"])]
    groups = grouped(parts, lambda row: (wholes[row["moderator"]], *parts_of(row)))
    for group, rows in groups.items():
        total = sum(row.number("value") or 0 for row in rows)
        if total > 100 + _ROUNDED * len(rows):
            listed = ", ".join(f"{row['moderator']} {row['value']}" for row in rows)
            why = f"the parts of {group[0]} are {total:g} percent together ({listed})"
            remedy = "compare them with the source, or say in people whose shares they are"
            yield error(rows[0], "value", why, remedy, others=rows[1:])


#: Percentage points by which two sources on the people of one trial may differ.
_APART = 5.0


@number_rule("moderators_disagree")
def check_sources_agree_on_people(context: Context) -> Iterator[Finding]:
    """Each share from a review or data set is near the one that the trial itself gives."""
    own: dict[tuple[str, str, str], tuple[float, Row]] = {}
    for row in context.rows("moderators"):
        value = row.number("value")
        whole = not row["arm_id"] and row["covers"] == COVERS[0]
        if value is not None and whole and row["source_type"] not in SECONDARY:
            own[row["study_id"], row["moderator"], row["naive_to"]] = value, row
    for study in context.rows("studies"):
        for name in (item for item in STUDY_NUMBERS if item.endswith(_SHARE)):
            value = study.number(name)
            if value is not None:
                own[study["study_id"], name, ""] = value, study
    for row in context.rows("moderators"):
        key, value = (row["study_id"], row["moderator"], row["naive_to"]), row.number("value")
        if row["source_type"] not in SECONDARY or value is None or key not in own:
            continue
        told, where = own[key]
        if row["moderator"].endswith(_SHARE) and abs(value - told) > _APART:
            why = f"the trial itself gives {told:g} percent ({place(where)})"
            remedy = "compare both with their pages; one may be of other people, or a slip"
            yield warning(row, "value", why, remedy, others=(where,))


@number_rule("moderator_people", "moderators")
def check_other_people_are_called_so(context: Context, row: Row) -> Iterator[Finding]:
    """Each share of more people than the trial randomised is of another phase."""
    for study, total in context.trial_size(row["study_id"]):
        if row["covers"] != "other_phase" and (row.number("denominator") or 0) > total:
            why = f"more than the {total:g} people of the trial ({place(study)})"
            remedy = "correct one of them, or write other_phase in covers"
            yield error(row, "denominator", why, remedy, others=(study,))
