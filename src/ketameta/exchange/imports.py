"""Imports a file of another format: recognises it, reads it, writes the tables of a batch.

Citations (RIS, PubMed's nbib, BibTeX) go into the screening list, each report once. What RevMan
keeps beside tables of trials is read here too: its review files, and risk of bias.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from ketameta.errors import UsageError
from ketameta.evidence.findings import decode
from ketameta.evidence.reader import LARGEST_CSV, other_kind
from ketameta.evidence.schema import BATCH_TABLES
from ketameta.evidence.tables import Row, load_tables, read_rows
from ketameta.exchange.draft import (
    Cells,
    Declared,
    Draft,
    ImportedRow,
    ImportReport,
    Reader,
    Record,
    SourceCsv,
    Words,
    load_words,
    plain_text,
    quoted,
    read_source,
)
from ketameta.exchange.metapsy import JUDGEMENTS, SIGNATURE, MetapsyReader
from ketameta.exchange.wide import MappedReader, suggest, template_of
from ketameta.formatting import csv_text
from ketameta.measures import ROB_DOMAINS
from ketameta.paths import ProjectPaths, write_atomically
from ketameta.review.start import (
    check_project_folder,
    project_schema,
    readme,
    slug,
    table_csv,
    template_csv,
    write_batch,
)

#: The table of citations.
SCREENING = "screening"
#: The formats that an import recognises, in words.
FORMATS = (
    "a workbook from 'ketameta new --workbook' (.xlsx)",
    "a Metapsy database (.csv with study, condition_arm1, condition_arm2, outcome_type ...)",
    "the data rows of a RevMan data package (.csv with Analysis group, Study, Experimental N ...)",
    "a RevMan 5 review (.rm5)",
    "the study information, arms and results of RevMan and Covidence",
    "citations (RIS, nbib, BibTeX), which go into data/screening.csv",
    "any other table of trials, through the mapping that 'ketameta import FILE --suggest' drafts",
    "a risk-of-bias table of RevMan or Covidence (Study, Domain (judgement): ...) or for robvis "
    "(Study, D1, D2 ... Overall)",
)
#: Where the verdict on every row stands beside the tables.
ROWS_FILE = "import/rows.csv"


def import_file(
    paths: ProjectPaths,
    source: Path,
    batch: str = "",
    *,
    words: Path | None = None,
    replace_rows: bool = False,
    write: bool = True,
) -> tuple[ImportReport, tuple[Path, ...]]:
    """Import ``source`` into ``data/extracted/<batch>``; return the report and the files.

    The batch is named after the file when no name is given; ``write=False`` only reports. Raises
    :class:`UsageError` where the source cannot be opened, the words file is wrong, the batch
    already holds rows, or this is no project.
    """
    data = _bytes_of(source)
    schema = project_schema(paths)
    translations = load_words(words, schema) if words is not None else Words()
    if format_of(data):
        listed = [row.texts for row in read_list(paths)]
        report = read_citations(data, source.name, listed)
        report.account()
    else:
        report = read_import(data, source.name, translations, declared_words(paths))
    if not write or not any(report.tables.values()):
        return report, ()
    if SCREENING in report.tables:
        # Records are added to the list; decisions in it stay.
        path, table = paths.data / f"{SCREENING}.csv", schema[SCREENING]
        rows = [*(row.texts for row in read_list(paths)), *report.tables[SCREENING]]
        write_atomically(path, csv_text(table.column_names, rows))
        return report, (path,)
    name = batch or slug(source.stem)
    if not name.isprintable() or not name or "/" in name or name.startswith((".", "_")):
        raise UsageError(f"--batch is {name!r}; a folder name is needed")
    check_project_folder(paths)
    folder = paths.extracted / name
    files = batch_files(report, name, paths)
    if (folder / "README.md").exists():
        del files["README.md"]
    write_batch(folder, files, replace=replace_rows)
    return report, tuple(folder / file for file in files)


def read_list(paths: ProjectPaths) -> list[Row]:
    """Return the rows of the screening list; none where there is no such file."""
    path, table = paths.data / f"{SCREENING}.csv", project_schema(paths)[SCREENING]
    return read_rows(path, paths.relative(path), table)[0] if path.is_file() else []


def _bytes_of(source: Path) -> bytes:
    if source.is_dir():
        raise UsageError(f"{source}: this is a folder; name the file in it")
    if not source.is_file():
        raise UsageError(f"{source}: there is no such file")
    size = source.stat().st_size
    if size > LARGEST_CSV:
        raise UsageError(
            f"{source}: a file of {size:,} bytes is no table of trials; at most {LARGEST_CSV:,} "
            "bytes are read, so split it"
        )
    return source.read_bytes()


def suggestion(paths: ProjectPaths, source: Path) -> str:
    """Return the draft of a mapping file for a CSV."""
    data = _bytes_of(source)
    if kind := other_kind(data):
        raise UsageError(f"{source}: this is {kind}; save the sheet as CSV")
    return suggest(read_source(data), project_schema(paths))


def declared_words(paths: ProjectPaths) -> Declared:
    """Return the words that a project knows, and what it uses them for."""
    evidence, _ = load_tables(paths)
    measured: dict[str, set[str]] = {}
    for table in ("outcomes", "contrasts"):
        for row in evidence.rows(table):
            measured.setdefault(row["instrument"], set()).add(row["outcome"])
    return Declared(
        frozenset(row["outcome"] for row in evidence.rows("outcome_words")),
        frozenset(row["instrument"] for row in evidence.rows("instruments")),
        {row["intervention"]: row["drug_class"] for row in evidence.rows("arms")},
        evidence.project,
        {name: frozenset(outcomes) for name, outcomes in measured.items()},
        {row["instrument"]: row["name"] for row in evidence.rows("instruments")},
    )


def read_import(
    data: bytes, name: str, words: Words | None = None, declared: Declared | None = None
) -> ImportReport:
    """Return what the bytes of a file hold: what cannot be read is in the report.

    Raises :class:`ImportAccountError` where a row would be lost, or came from nowhere.
    """
    report = _read(data, name, words, declared)
    report.account()
    return report


def _read(data: bytes, name: str, words: Words | None, declared: Declared | None) -> ImportReport:
    translations, project = words or Words(), declared or Declared()
    if data.startswith(b"PK\x03\x04"):
        from ketameta.exchange.workbook import read_workbook

        return read_workbook(data, name, project.schema)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        why = "this is a workbook of the old format (.xls); save it as .xlsx"
        return ImportReport(name, problems=(why,))
    if data[:400].lstrip(b"\xef\xbb\xbf \r\n").startswith((b"<?xml", b"<COCHRANE_REVIEW")) and (
        b"<COCHRANE_REVIEW" in data[:2000]
    ):
        return _read_review(data, name, translations, project)
    kind = other_kind(data)
    if kind:
        why = f"this is {kind}, not a table; what can be read: {'; '.join(FORMATS)}"
        return ImportReport(name, problems=(why,))
    source = read_source(data)
    given = (source, name, translations, project)
    if not translations.columns:
        if set(SIGNATURE) <= set(source.columns):
            return MetapsyReader(*given).read()
        if is_risk_of_bias(source.columns):
            return RiskOfBiasReader(*given).read()
        if not template_of(source.columns)[0]:
            return _UnknownFormat(*given).read()
    return MappedReader(*given).read()


def _read_review(data: bytes, name: str, words: Words, declared: Declared) -> ImportReport:
    """Return what a RevMan 5 file holds: its data rows, then its judgements."""
    results, judged, given, problems = read_rm5(data, name)
    readers = {
        "analyses": MappedReader(results, name, words, declared, given),
        "risk of bias": RiskOfBiasReader(judged, name, words, declared),
    }
    reports = {sheet: reader.read() for sheet, reader in readers.items() if reader.source.filled}
    return ImportReport(
        name,
        RM5,
        tuple(
            replace(row, sheet=sheet) for sheet, report in reports.items() for row in report.rows
        ),
        (*problems, *(text for report in reports.values() for text in report.problems)),
        tuple(text for report in reports.values() for text in report.notes),
        {table: rows for report in reports.values() for table, rows in report.tables.items()},
        {table: found for report in reports.values() for table, found in report.undeclared.items()},
        "".join(report.words_file for report in reports.values()),
        sum(report.rows_in for report in reports.values()),
    )


class _UnknownFormat(Reader):
    """Refuses every row of a file whose header is not one of the formats, and says what is read."""

    def take(self, row: Record) -> list[str]:
        """Refuse a row."""
        row.refusals.append("the format is not recognised")
        return []

    def read(self) -> ImportReport:
        """Return the report, with what can be read."""
        columns = self.source.columns
        own = [t.name for t in BATCH_TABLES if len(t.core) > 1 and {*t.core} <= {*columns}]
        if own:
            self.problems.append(
                f"these are the columns of {own[0]}.csv: put the file under that name into a batch "
                "folder of 'ketameta new', and check it there"
            )
        elif columns:
            shown = ", ".join(columns[:8]) + (" ..." if len(columns) > 8 else "")
            self.problems.append(
                f"the format is not recognised (columns: {shown}); what can be read: "
                + "; ".join(FORMATS)
            )
        return super().read()


def batch_files(report: ImportReport, name: str, paths: ProjectPaths) -> dict[str, str]:
    """Return the files of a batch by name: its tables, its README, the verdict on every row."""
    schema = project_schema(paths)
    files = {
        f"{table.name}.csv": table_csv(table, report.tables.get(table.name, ()))
        if report.tables.get(table.name)
        else template_csv(table.name, schema)
        for table in schema.batch
    }
    files["README.md"] = readme(name, paths)
    files[ROWS_FILE] = report.rows_csv()
    return files


# --- citations ------------------------------------------------------------------------------------

#: A title with fewer letters is no ground to call two records one.
SHORTEST_TITLE = 20
#: A DOI may hold semicolons, brackets and commas, as those of the SICI form do.
_DOI = re.compile(r"10\.\d{4,9}/[^\s\"}]+")
_YEAR = re.compile(r"(?:19|20)\d\d")
_PMID = re.compile(r"(?<!\d)\d{1,8}(?!\d)")
#: What a record gives in these fields is left out where it has not this form.
_FORMS = {
    "year": "year from 1900 to 2099",
    "doi": "DOI (10., four to nine digits, a slash, a name)",
    "pmid": "PubMed number (up to eight digits)",
}


#: What the libraries of all formats call the fields of a record, the best name first.
_FIELDS = {
    "title": ("title", "primary_title", "translated_title"),
    "authors": ("authors", "first_authors", "author"),
    "year": ("year", "publication_year", "publication_date", "date"),
    "journal": (
        *("journal_name", "secondary_title", "alternate_title3"),
        *("journal", "journal_abbreviated", "journaltitle", "booktitle"),
    ),
    "doi": ("doi", "url"),
    "pmid": ("pubmed_id", "pmid"),
}


@dataclass(frozen=True, slots=True)
class _Format:
    """How a format's records start, and what reads one."""

    label: str
    start: re.Pattern[str]
    read: Callable[[str], Mapping[str, object]]


def _joined(value: object) -> str:
    """Return what a library gives for a field as one text."""
    if isinstance(value, Mapping):
        return str(value.get("author", ""))
    if isinstance(value, list):
        return "; ".join(_joined(item) for item in value)
    return " ".join(str(value or "").split())


def _ris(text: str) -> Mapping[str, object]:
    import rispy

    # A record without its last line is read all the same.
    whole = text if re.search(r"^ER  -", text, re.M) else f"{text.rstrip()}\nER  - \n"
    found = rispy.loads(whole, skip_unknown_tags=True)[0]
    return found | {"pmid": found.get("accession_number") if "pubmed" in text.lower() else ""}


def _nbib(text: str) -> Mapping[str, object]:
    import nbib

    return dict(nbib.read(text)[0])


def _bibtex(text: str) -> Mapping[str, object]:
    import bibtexparser
    from bibtexparser.customization import convert_to_unicode

    entries = [convert_to_unicode(entry) for entry in bibtexparser.loads(text).entries]
    if not entries and text.count("{") > text.count("}"):
        raise ValueError("it ends before its closing brace")
    plain = {name: re.sub(r"[{}]", "", str(value)) for name, value in entries[0].items()}
    return plain | {"author": _joined(plain.get("author")).replace(" and ", "; ")}


_FORMATS = (
    _Format("RIS", re.compile(r"^TY  - ", re.M), _ris),
    _Format("PubMed (nbib)", re.compile(r"^PMID-", re.M), _nbib),
    _Format(
        "BibTeX", re.compile(r"^\s*@(?!comment|string|preamble)\w+\s*[{(]", re.M | re.I), _bibtex
    ),
)


def format_of(data: bytes) -> _Format | None:
    """Return the format of a file of citations; nothing for any other file."""
    text = decode(data[:4000])[0].lstrip("\ufeff\r\n ")
    return next((kind for kind in _FORMATS if kind.start.search(text)), None)


def read_citations(data: bytes, name: str, known: Sequence[Mapping[str, str]] = ()) -> ImportReport:
    """Return the records of a file for the screening list, duplicates marked.

    ``known`` are the rows of the list. Two records are one report where they share a DOI or a
    PubMed number, or a title of at least :data:`SHORTEST_TITLE` letters with no other year. The
    first stays, the other names it under ``duplicate_of``: both are counted, as the flow diagram
    asks.
    """
    kind = format_of(data)
    assert kind is not None
    text = decode(data)[0].lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    first: dict[str, Mapping[str, str]] = {}
    for row in known:
        for mark in _marks(row):
            first.setdefault(mark, row)
    draft = Draft()
    taken = {row["record_id"] for row in known}
    rows = []
    # What a BibTeX file abbreviates, once for all of its records.
    short = "".join(re.findall(r"^\s*@string\s*\{.*\n", text, re.M | re.I))
    starts = [found.start() for found in kind.start.finditer(text)]
    for place, (start, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True), 1):
        line = text.count("\n", 0, start) + 1
        cells, why, details = _record(kind, short + text[start:end])
        twin = next((first[mark] for mark in _marks(cells) if mark in first), None)
        if not why and twin is not None and (twin["source"], twin["title"]) == (
            name, cells["title"],
        ) and twin in known:  # fmt: skip
            why = f"it stands in the list already, as {twin['record_id']} from the same file"
        if why:
            rows.append(ImportedRow(line, quoted(text[start:end][:60]), "refused", (why,)))
            continue
        record = plain = f"{slug(name.rpartition('.')[0])}_{place}"
        if plain in taken:
            record = next(other for n in range(2, 10**6) if (other := f"{plain}_{n}") not in taken)
        taken.add(record)
        row = {"record_id": record, **cells, "source": name}
        if twin is not None:
            row["duplicate_of"] = twin.get("duplicate_of") or twin["record_id"]
            details += (f"the same report as {row['duplicate_of']}: marked, and screened once",)
        for mark in _marks(row):
            first.setdefault(mark, row)
        became = draft.add(SCREENING, row, line)
        verdict = "changed" if details else "taken"
        label = ", ".join(part for part in (cells["title"], cells["year"]) if part)
        rows.append(ImportedRow(line, label, verdict, details, (became,)))  # type: ignore[arg-type]
    return ImportReport(
        name,
        f"citations, {kind.label}",
        tuple(rows),
        tables=draft.tables(),
        rows_in=len(starts),
    )


def _record(kind: _Format, text: str) -> tuple[dict[str, str], str, tuple[str, ...]]:
    """Return the cells of one record, or why it cannot be read, and what of it was left out."""
    try:
        read = kind.read(text)
    except Exception as error:
        # Each library meets a broken record with an error of its own; these say nothing.
        silent = isinstance(error, LookupError) or not str(error)
        reason = f"it is not in the form of {kind.label}" if silent else str(error)[:80]
        return {"title": "", "year": ""}, f"the record cannot be read ({reason})", ()
    found = {
        ours: next((said for name in theirs if (said := _joined(read.get(name)))), "")
        for ours, theirs in _FIELDS.items()
    }
    doi = _DOI.search(found["doi"]) or re.search(rf"({_DOI.pattern}) \[doi\]", text)
    year, pmid = _YEAR.search(found["year"]), _PMID.search(found["pmid"])
    cells = {
        **{name: found[name] for name in ("title", "authors", "journal")},
        "year": year.group() if year else "",
        "doi": (doi.group(1) if doi.groups() else doi.group()).rstrip(".,;") if doi else "",
        "pmid": pmid.group() if pmid else "",
    }
    if not (cells["title"] or cells["doi"] or cells["pmid"]):
        return cells, "the record has neither a title, a DOI nor a PubMed number", ()
    # An address without a DOI in it is no DOI that was lost.
    given = {**found, "doi": _joined(read.get("doi"))}
    left_out = tuple(
        f"{name}: {quoted(given[name])} was left out, because it is no {form}"
        for name, form in _FORMS.items()
        if given[name] and not cells[name]
    )
    return cells, "", left_out


def _marks(row: Mapping[str, str]) -> Iterator[str]:
    """Yield what tells that two records are one report."""
    if row.get("doi"):
        yield f"doi {row['doi'].lower()}"
    if row.get("pmid"):
        yield f"pmid {row['pmid']}"
    title = re.sub(r"[\W_]+", "", row.get("title", "").lower())
    if len(title) >= SHORTEST_TITLE:
        yield f"title {title} {row.get('year', '')}"


# --- RevMan: its review files, and risk of bias ---------------------------------------------------

RM5 = "RevMan 5 review"
_KINDS = ("DICH", "CONT", "IV", "IPD")
#: Columns of the data rows, by attribute of a RevMan 5 file, for each kind of outcome.
_ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "DICH": {"EVENTS_1": "Experimental cases", "TOTAL_1": "Experimental N",
             "EVENTS_2": "Control cases", "TOTAL_2": "Control N"},
    "CONT": {"MEAN_1": "Experimental mean", "SD_1": "Experimental SD", "TOTAL_1": "Experimental N",
             "MEAN_2": "Control mean", "SD_2": "Control SD", "TOTAL_2": "Control N"},
    "IV": {"ESTIMATE": "GIV Mean", "SE": "GIV SE", "TOTAL_1": "Experimental N",
           "TOTAL_2": "Control N"},
    "IPD": {"O_E": "O-E", "VAR": "Variance", "TOTAL_1": "Experimental N", "TOTAL_2": "Control N"},
}  # fmt: skip
_RESULTS = {"YES": "low risk", "NO": "high risk", "UNKNOWN": "unclear risk"}
_MEASURES = {"OR": "OR", "PETO_OR": "OR", "RR": "RR", "RD": "RD", "MD": "MD", "SMD": "SMD"}


def read_rm5(
    data: bytes, name: str
) -> tuple[SourceCsv, SourceCsv, dict[str, dict[str, str]], tuple[str, ...]]:
    """Return a RevMan 5 file as its exports: data rows, judgements, what it says of each analysis.

    Lines are counted, because the file has no rows; the last part is what is wrong with it.
    """
    nothing = SourceCsv()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return nothing, nothing, {}, ("the file declares entities, which RevMan never does",)
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        return nothing, nothing, {}, (f"the file is no whole XML ({error})",)
    studies = {item.get("ID", ""): item for item in root.iter("STUDY")}
    rows: list[dict[str, str]] = []
    given: dict[str, dict[str, str]] = {}
    for comparison in root.iter("COMPARISON"):
        for outcome in comparison:
            kind = outcome.tag.partition("_")[0]
            if kind not in _KINDS or not outcome.tag.endswith("_OUTCOME"):
                continue
            number = f"{comparison.get('NO', '')}.{outcome.get('NO', '')}"
            measure = outcome.get("EFFECT_MEASURE") or _text_of(outcome, "EFFECT_MEASURE")
            given[number] = {
                "treatment": slug(_text_of(outcome, "GROUP_LABEL_1")),
                "control": slug(_text_of(outcome, "GROUP_LABEL_2")),
                "effect_type": _MEASURES.get(measure, "") if kind == "IV" else "",
            }
            for part in (outcome, *outcome.findall(f"{kind}_SUBGROUP")):
                rows += [
                    {
                        "Analysis group": comparison.get("NO", ""),
                        "Analysis number": outcome.get("NO", ""),
                        "Analysis name": f"{_text_of(comparison, 'NAME')}: "
                        f"{_text_of(outcome, 'NAME')}",
                        "Subgroup": "" if part is outcome else _text_of(part, "NAME"),
                        **_study_of(studies, item),
                        **{to: item.get(of, "") for of, to in _ATTRIBUTES[kind].items()},
                    }
                    for item in part.findall(f"{kind}_DATA")
                ]
    judged: dict[str, dict[str, str]] = {}
    for quality in root.iter("QUALITY_ITEM"):
        domain = _text_of(quality, "NAME")
        for entry in quality.iter("QUALITY_ITEM_DATA_ENTRY"):
            cells = judged.setdefault(entry.get("STUDY_ID", ""), _study_of(studies, entry))
            judgement = _RESULTS.get(entry.get("RESULT", ""), entry.get("RESULT", ""))
            cells.setdefault(f"Domain (judgement): {domain}", judgement)
            support = " ".join("".join(entry.itertext()).split())
            cells.setdefault(f"Domain (support): {domain}", support)
    problems = () if rows or judged else ("the review holds no result and no judgement",)
    return _as_source(rows), _as_source(list(judged.values())), given, problems


def _text_of(element: ElementTree.Element, tag: str) -> str:
    child = element.find(tag)
    return "" if child is None else " ".join("".join(child.itertext()).split())


def _study_of(
    studies: Mapping[str, ElementTree.Element], item: ElementTree.Element
) -> dict[str, str]:
    study = studies.get(item.get("STUDY_ID", ""))
    if study is None:
        return {"Study": item.get("STUDY_ID", ""), "Study year": ""}
    return {"Study": study.get("NAME", ""), "Study year": study.get("YEAR", "").strip(".")}


def _as_source(rows: Sequence[Mapping[str, str]]) -> SourceCsv:
    """Return rows as a source whose lines are counted."""
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    asked: set[str] = set()
    records = tuple(
        Record(line, Cells({name: row.get(name, "") for name in columns}, asked))
        for line, row in enumerate(rows, 1)
    )
    return SourceCsv(columns, records, filled=len(rows), asked=asked)


_JUDGEMENT = re.compile(r"Domain \(judgement\): ?(.+)", re.IGNORECASE)
#: Columns of a table for robvis that are no domain.
_NO_DOMAIN = ("study", "weight", "weights", "study year")
#: A table for robvis has more domains than this, its overall judgement included.
MIN_DOMAINS = 4


def is_risk_of_bias(columns: Sequence[str]) -> bool:
    """Return whether a header is that of a risk-of-bias table of RevMan, Covidence or robvis."""
    if "Study" not in columns:
        return False
    return any(_JUDGEMENT.fullmatch(name) for name in columns) or (
        "Overall" in columns and len(_domain_columns(columns)) > MIN_DOMAINS
    )


def _domain_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return the columns that hold judgements, with the domain that each names."""
    found = {column: m.group(1) for column in columns if (m := _JUDGEMENT.fullmatch(column))}
    found = found or {name: name for name in columns if name.lower() not in _NO_DOMAIN}
    return {column: name.split(": All outcomes")[0].strip() for column, name in found.items()}


class RiskOfBiasReader(Reader):
    """Reads a risk-of-bias table, one judgement per study and domain.

    The tool is ROBINS-I where a judgement is moderate, serious or critical, RoB 2 where a domain
    speaks of the randomisation process or there are five numbered ones, and its predecessor
    otherwise.
    """

    kind = "risk of bias"

    def read(self) -> ImportReport:
        """Return the report; the tool and its domains are told first."""
        columns = _domain_columns(self.source.columns)
        self.tool = self._tool(columns)
        self.domains: dict[str, str] = {}
        for column, domain in columns.items():
            if self.domains.setdefault(_domain(domain, self.tool), column) != column:
                self.problems.append(f"the domain {domain!r} stands twice; only the first is read")
        return super().read()

    def _tool(self, columns: Mapping[str, str]) -> str:
        said = {row.cells.peek(name).lower() for row in self.source.records for name in columns}
        if said & {"moderate", "serious", "critical"}:
            return "robins_i"
        numbered = sum(bool(re.fullmatch(r"D[0-9]", domain)) for domain in columns.values())
        process = any(re.search("randomi[sz]ation", domain, re.I) for domain in columns.values())
        return "rob2" if process or numbered == MIN_DOMAINS + 1 else "rob1"

    def label(self, row: Record) -> str:
        """Return the study."""
        return row["Study"]

    def notes(self, rows: Sequence[ImportedRow]) -> list[str]:
        """Return which tool was read."""
        return [
            *super().notes(rows),
            f"the tool was read as {self.tool} from its domains and judgements",
        ]

    def take(self, row: Record) -> list[str]:
        """Return the judgements that a row becomes; refusals are left in ``row``."""
        remedy = "name it under [study_id] in the words file"
        study = self.study_id(row, row["Study"], row["Study year"], remedy)
        found = []
        for domain, column in self.domains.items() if study else ():
            given = re.sub(r" risk( of bias)?$", "", row[column].strip(), flags=re.IGNORECASE)
            if not given:
                continue
            judgement = JUDGEMENTS.get(given.lower())
            if judgement is None:
                row.refusals.append(f"{domain}: {quoted(row[column])} is no judgement")
                continue
            beside = column.replace("judgement", "support")
            support = plain_text(row[beside]) if beside != column else ""
            found.append(
                {
                    "study_id": study,
                    "tool": self.tool,
                    "domain": domain,
                    "judgement": judgement,
                    "support": support or f"as judged in {self.name}, row {row.line}",
                    "judged_by": self.name,
                }
            )
        clash = [c["domain"] for c in found if self.draft.differing("risk_of_bias", c)]
        if clash:
            row.refusals.append(f"the study is judged twice, differently: {', '.join(clash)}")
        elif not found and not row.refusals:
            row.refusals.append("no domain is judged")
        if row.refusals:
            return []
        return [self.draft.add("risk_of_bias", cells, row.line) for cells in found]


def _domain(name: str, tool: str) -> str:
    """Return the word of a domain in the tables: one of its tool where it can be told."""
    known = [word for word in ROB_DOMAINS[tool] if word != "overall"]
    if numbered := re.fullmatch(r"D([0-9])", name):
        place = int(numbered.group(1)) - 1
        return known[place] if place < len(known) else slug(name)
    plain = slug(name).replace("_of_", "_").replace("randomiz", "randomis")
    plain = plain.replace("missing_outcome_data", "missing_data")
    if "overall" in plain:
        return "overall"
    if "reported_result" in plain or "selective" in plain:
        return "selective_reporting"
    if "sequence_generation" in plain:
        plain = "random_sequence_generation"
    return next((word for word in known if word in plain), slug(name))
