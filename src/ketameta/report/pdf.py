"""Typesets the report as PDFs, from the same context as the pages: article and supplement.

The supplement is one PDF of what all analyses share, one of what they rest on, and one of the
analyses of each section: a reader takes one subject, and what did not change is not set again.
Texts reach the typesetter as data, so nothing in them can act as markup. What its fonts cannot
show is marked in the text and listed at the end; no character stops the report.

A room of its own because texts become typeset pages here and nowhere else.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import unescape
from importlib.resources import files
from pathlib import Path
from textwrap import wrap

from ketameta.errors import ReportError, check_choice
from ketameta.evidence.findings import harmless
from ketameta.formatting import format_count, plural
from ketameta.paths import Keep, ProjectPaths, made_anew
from ketameta.report.analysis_view import Figure, tables_in
from ketameta.report.context import Context, Section
from ketameta.report.manifest import text_hash
from ketameta.report.prose import Parts, given_words
from ketameta.report.tables import Table
from ketameta.typesetter import MARK, STANDARDS, codes, fonts, not_shown

#: What a template of the typesetter reads: texts, numbers, and lists and tables of them.
Plain = str | float | bool | None | Sequence["Plain"] | Mapping[str, "Plain"]
Texts = Mapping[str, Plain]
#: The article of a dozen pages, what all analyses share, and what they rest on. Beside the last
#: stands a PDF for each section; no key of a section has a hyphen.
ARTICLE, SUPPLEMENT, SOURCES = "report", "supplement", "supplement/studies-and-search"


#: Keys whose texts are not drawn: names, addresses, and what is read out in place of a picture.
_NOT_DRAWN = frozenset({"alt", "name", "link", "mime", "relationship", "description"})
#: Words that a figure holds as words, because its own font lacks them.
_WORDS_OF_FIGURE = re.compile(r"(<text\b[^>]*>)([^<]*)(</text>)")
#: A text is listed by so many of its characters, and so many that are left out.
_LISTED, _LISTED_CODES = 90, 60
#: So many characters of a text of the methods stand beside others in a paragraph.
_SHORT = 250
#: Attached files: path below reports/, relationship, type, and what it is.
_ATTACHED = (
    ("effects.csv", "source", "text/csv", "Every effect size, with seven digits"),
    ("results.json", "data", "application/json", "Every result, with seven digits"),
    ("inputs.json", "data", "application/json", "SHA-256 of every input, and versions"),
)


def render_pdf(
    context: Context,
    paths: ProjectPaths,
    attachments: Mapping[str, str],
    document: str = ARTICLE,
    keep: Keep = made_anew,
) -> bytes:
    """Return a part of the report as PDF/UA-1 and PDF/A-3a; the same bytes for the same context.

    Parameters
    ----------
    context : mapping
        Of :func:`ketameta.report.context.report_context`.
    paths : ProjectPaths
        Where the figures are.
    attachments : mapping
        Text of each attached file by its name; only the article has any.
    document : str
        One of :func:`documents_of`.
    keep : callable
        Given a name, what makes a PDF, and all that it prints: what did not change is not set
        again.

    Raises
    ------
    ReportError
        With the typesetter's message.

    Notes
    -----
    The typesetter is asked beforehand which characters it can show, one by one. Should it refuse
    a text all the same, because several alphabets meet in it, the report is set in its own font
    alone.
    """
    attached = attachments if document == ARTICLE else {}
    listed: Plain = [
        {"name": name, "relationship": relationship, "mime": mime, "description": description}
        for name, relationship, mime, description in _ATTACHED
        if name in attached
    ]
    data: Texts = {**pdf_data(context, document), "attachments": listed}
    wanted = _figure_names(data)
    pictures = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted([*paths.figures.glob("*.svg"), *paths.pages.glob("*.svg")])
        if path.stem in wanted
    }
    printed = text_hash(json.dumps([data, pictures, attached]))
    stamp = f"contents {printed[:12]}"
    if document == ARTICLE:
        stamp = f"data {context['stamp']} \u00b7 results {context['results_stamp']}"
    data = {**data, "stamp": f"ketameta {context['versions']['ketameta']} \u00b7 {stamp}"}
    template = _KINDS[document][0] if document in _KINDS else "section"
    make = partial(_shown, data, pictures, attached, template)
    return keep(f"pdf-{document.replace('/', '_')}", make, of=f"{printed}{stamp}")


def _shown(
    data: Texts, pictures: Mapping[str, str], attached: Mapping[str, str], template: str
) -> bytes:
    """Return the PDF of texts and figures, marked where it cannot show them."""
    import typst

    for alone in (False, True):
        try:
            return _typeset(*_showable(data, pictures, alone=alone), attached, template)
        except typst.TypstError as error:
            refused = error
    raise ReportError(f"the PDF could not be typeset: {refused}") from refused


def _typeset(
    data: Texts, pictures: Mapping[str, str], attachments: Mapping[str, str],
    template: str,
) -> bytes:  # fmt: skip
    """Return the PDF of texts and figures, all of which it can show."""
    import typst

    with tempfile.TemporaryDirectory(prefix="ketameta-pdf-") as folder:
        root = Path(folder)
        for name in ("style.typ", f"{template}.typ"):
            file = files("ketameta.report").joinpath(f"templates/{name}")
            (root / name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
        (root / "report.json").write_text(text, encoding="utf-8")
        (root / "figures").mkdir()
        (root / "attached").mkdir()
        for name, picture in pictures.items():
            (root / "figures" / name).write_text(picture, encoding="utf-8", newline="\n")
        for name, content in attachments.items():
            (root / "attached" / name).write_text(content, encoding="utf-8", newline="\n")
        made: bytes = typst.compile(
            str(root / f"{template}.typ"),
            root=str(root),
            format="pdf",
            font_paths=fonts(),
            pdf_standards=[*STANDARDS],
            timestamp=0,
        )
    return made


def _showable(
    data: Texts, pictures: Mapping[str, str], *, alone: bool
) -> tuple[Texts, dict[str, str]]:
    """Return texts and figures with a mark for what cannot be shown, and with the list of it."""
    drawn: dict[str, None] = {}

    def seen(text: str) -> str:
        drawn[text] = None
        return text

    clean = {key: _each_text(value, harmless, harmless, key) for key, value in data.items()}
    _each_text(clean, seen, str)
    words = [
        unescape(found[2])
        for picture in pictures.values()
        for found in _WORDS_OF_FIGURE.finditer(picture)
    ]
    missing = not_shown([*drawn, *words], alone=alone)

    def marked(text: str) -> str:
        return "".join(MARK if character in missing else character for character in text)

    lost = [text for text in dict.fromkeys([*drawn, *words]) if missing & set(text)]
    unshown = [
        [
            marked(text[:_LISTED]) + ("\u2026" if len(text) > _LISTED else ""),
            " ".join(numbers[:_LISTED_CODES]) + (" \u2026" if len(numbers) > _LISTED_CODES else ""),
        ]
        for text in lost
        for numbers in [codes(text, missing)]
    ]
    shown = {
        name: _WORDS_OF_FIGURE.sub(lambda found: found[1] + marked(found[2]) + found[3], picture)
        for name, picture in pictures.items()
    }
    texts = {key: _each_text(value, marked, str, key) for key, value in clean.items()}
    return {**texts, "unshown": unshown}, shown


def _each_text(
    value: Plain, drawn: Callable[[str], str], other: Callable[[str], str], key: str = ""
) -> Plain:
    """Return ``value`` with every text changed: those that are drawn one way, others another."""
    if isinstance(value, str):
        return (other if key in _NOT_DRAWN else drawn)(value)
    if isinstance(value, Mapping):
        return {name: _each_text(item, drawn, other, name) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_each_text(item, drawn, other, key) for item in value]
    return value


def documents_of(context: Context) -> list[str]:
    """Return the names of the PDFs, as paths below ``reports/`` without their ending."""
    parts = [part.key for part in context["sections"] if part.analyses]
    return [*_KINDS, *(f"{SUPPLEMENT}/{key}" for key in parts)]


def pdf_data(context: Context, document: str = ARTICLE) -> Texts:
    """Return every text of a PDF, in the order of its pages; nothing but plain values."""
    check_choice("document", document, documents_of(context))
    search, living, about = context["search"], context["living"], context["project"].project
    shared: Texts = {
        "lead": context["lead"],
        "author": about.authors,
        "keywords": about.keywords,
        "report": context["title"],
        "closed": [int(part) for part in living["searched"].split("-") if part],
        "dates": f"Search closed {living['searched']}; next search due {living['due']}."
        if living["due"]
        else f"{search.search.kind}.",
        "check": context["check_words"],
        "citation": context["citation"],
    }
    if document in _KINDS:
        return {**shared, **_KINDS[document][1](context)}
    key = document.rpartition("/")[2]
    part = next(part for part in context["sections"] if part.key == key)
    return {**shared, **_section(part, context)}


def _article(context: Context) -> Texts:
    views, drawn = context["views"], context["map_figure"]
    return {
        "title": context["title"],
        "answer": [words for _, said in context["answer"] for words in said],
        "abstract": _headed(context["abstract"]),
        "findings": _table(context["clinicians"]),
        "questions": [
            {
                "title": page.title,
                "sentences": page.part(""),
                "others": _headed(page.others),
                # Without a summary the first figure that leaves room for words on its page.
                "figures": [
                    figure
                    for view in context["page_figures"].get(page.key, ())
                    for figure in _pages(view)
                ]
                or [
                    figure
                    for view in (views[name] for name in page.analyses)
                    if view["k"] > 1 and _is_low(view["figures"][0])
                    for figure in _pages(view["figures"][0])
                ][:1],
            }
            for page in context["pages"]
            if not page.untested
        ],
        "untested": [_table(table) for table in context["untested"]],
        "map": drawn is not None,
        "map_figure": {"name": "evidence_map", "alt": drawn["alt"] if drawn else ""},
        "claims": _table(context["listed"]["verdicts"]),
        "who": context["who"],
        "methods": _paragraphs(context["methods"]),
        "limitations": context["limitations"],
    }


def _supplement(context: Context) -> Texts:
    listed = context["listed"]
    titles = {f"{SUPPLEMENT}/{part.key}": part.title for part in context["sections"]}
    return {
        "title": f"Supplement: {context['title']}",
        "all_findings": _table(context["all_findings"]),
        "several": context["several"],
        "untested": [_table(table) for table in context["untested"]],
        "parts": [
            [titles.get(name, "What was searched and read: studies, references and corrections"),
             f"{name}.pdf"]
            for name in documents_of(context) if name.startswith(f"{SUPPLEMENT}/")
        ],
        "moderators": _table(listed["moderators"]),
        "headlines": _table(listed["headlines"]),
        "claims": [_table(listed[name]) for name in ("claims", "untraceable") if listed[name]],
        "map": _table(context["map_table"]),
        "methods": context["methods"],
        "routes": _table(listed["routes"]),
        "software": ", ".join(f"{name} {value}" for name, value in context["versions"].items()),
        "limitations": context["limitations"],
        "glossary": [{"term": term.name, "meaning": term.meaning} for term in context["glossary"]],
    }  # fmt: skip


def _sources(context: Context) -> Texts:
    search, flow, bias = context["search"], context["flow"], context["bias_figure"]
    listed, counts = context["listed"], flow.counts
    boxes = [*flow.before]
    if counts is not None:
        boxes += [
            ("Records extracted", counts.extracted),
            ("Records excluded, each with its reason", counts.excluded),
            ("Records that stand in the tables", counts.converted),
        ]
    boxes.append(("Studies that enter an analysis", flow.studies_used))
    return {
        "title": "What was searched and read",
        "kind": f"{search.search.kind}. {search.search.counts_note}",
        "search": _headed(
            [
                ("Searched", [f"{item.name}: {item.searched_for}." for item in search.source]),
                ("Searched for, and not found", [x.looked_for for x in search.nothing_found]),
                ("Near misses", [f"{item.study}: {item.told}." for item in search.near_miss]),
                (
                    "Looked for, and not reachable",
                    [
                        f"{x.looked_for}: {x.where} ({x.date}). {x.found}"
                        for x in search.not_reached
                    ],
                ),
            ]
        ),
        "flow": [
            {
                "label": label,
                "missing": count is None,
                "count": "number not kept" if count is None else format_count(count),
            }
            for label, count in boxes
        ],
        "studies": _table(listed["studies"]),
        "bias": _judged(context),
        "bias_figures": [] if bias is None else _pages(bias),
        "corrections": _table(listed["corrections"]),
        "registry": _table(
            listed["registry"] and listed["registry"].only("Registry", "Trial", "Status as read")
        ),
        "registry_counts": "; ".join(
            f"{label} {count}" for label, count in context["registry_counts"]
        ),
        "exclusions": _table(listed["exclusion_reasons"]),
        "references": [
            {
                "number": str(study.number),
                "citation": study.facts["citation"],
                "link": study.link,
                "words": study.link_words,
            }
            for study in context["studies"]
        ],
    }


def _paragraphs(texts: Sequence[str]) -> list[str]:
    """Return texts with the short ones, such as rules, run on."""
    found = [""]
    for text in texts:
        found[-1] = f"{found[-1]} {text}".strip()
        if len(text) > _SHORT:
            found.append("")
    return [text for text in found if text]


def _judged(context: Context) -> list[str]:
    """Return of how many studies somebody judged the risk of bias, and who."""
    rows = context["risk_of_bias"]
    if not rows:
        return [context["no_risk_of_bias"]]
    used = {study.facts["study_id"] for study in context["studies"]}
    judged = {row["study_id"] for row in rows} & used
    by = dict.fromkeys(row["judged_by"] for row in rows if row["study_id"] in used)
    return [
        f"{format_count(len(judged))} of {plural(len(used), 'study', 'studies')} were judged, by:",
        *by,
        "The web page of the methods lists each judgement with its reason.",
    ]


def _is_low(figure: Figure) -> bool:
    """Return whether a figure is less than eleven centimetres high."""
    height = re.search(r'<svg[^>]*? height="([\d.]+)pt"', figure["svg"])
    return height is not None and float(height[1]) < 11 / 2.54 * 72


def _headed(parts: Parts) -> Plain:
    return [{"heading": heading, "sentences": said} for heading, said in parts]


def _table(table: Table | None) -> Plain:
    """Return a table of the report as plain values; ``None`` where it has no row.

    ``shares`` of the width go by the root of how much a column says; a column of numbers has none.
    """
    if table is None or not table.rows:
        return None
    columns = zip(table.columns, zip(*table.texts, strict=True), strict=True)
    shares = [
        None
        if column.kind == "n"
        else max((sum(map(len, texts)) / len(texts)) ** 0.6, len(column.label) / 1.8, 8)
        for column, texts in columns
    ]
    heads = ["\n".join(wrap(one.label, 9, break_long_words=False)) if one.kind == "n" else one.label
             for one in table.columns]  # fmt: skip
    return {"caption": table.caption, "header": heads, "shares": shares, "rows": table.texts}


def _figure_names(value: Plain) -> set[str]:
    """Return the names of the figures that texts of a PDF stand beside."""
    if isinstance(value, Mapping):
        own = {str(value["name"])} if {"name", "alt"} <= set(value) else set()
        return own.union(*map(_figure_names, value.values()))
    return set().union(*map(_figure_names, value)) if isinstance(value, list | tuple) else set()


def _pages(figure: Figure) -> list[dict[str, str]]:
    """Return a figure, or the pages it was cut into, with what each shows in words."""
    names = figure["pages"] or [figure["name"]]
    more = [f"{figure['alt']} Page {number}." for number in range(2, len(names) + 1)]
    return [
        {"name": name, "alt": alt} for name, alt in zip(names, [figure["alt"], *more], strict=True)
    ]


#: Tables of an analysis that the supplement prints, in order.
_TABLES = ("beside", "sensitivity", "over_time", "doses", "network")


def _section(section: Section, context: Context) -> Texts:
    own = {item["name"] for item in section.analyses}
    left = (
        dataclasses.replace(table, rows=tuple(row for row in table.rows if row[0].id in own))
        for table in (one.only("Asked", "Looked for", "Found") for one in context["untested"])
    )
    told = section.key == context["project"].harms.section
    return {
        "title": section.title,
        "intro": section.intro,
        "untested": [_table(table) for table in left if table.rows],
        "facts": _table(context["all_facts"]) if told else None,
        "figures": [page for item in section.figures for page in _pages(item)],
        "analyses": [
            {
                "name": item["name"],
                "title": item["title"],
                "tags": f"{item['directness']} evidence \u00b7 {item['status_words']} \u00b7 "
                + item["drawn_as"]
                + (f" \u00b7 given: {given_words(item)}" if item["k"] else ""),
                "question": item["question"],
                "sentences": " ".join(item["sentences"]),
                "figures": [page for figure in item["figures"] for page in _pages(figure)],
                "numbers": item["numbers"],
                "caveats": [caveat["message"] for caveat in item["caveats"]],
                "small": item["small_study_words"],
                "note": item["note"],
                "next": plan.get("sentences", []) if (plan := item.get("next_trial")) else [],
                "tables": [
                    _table(table)
                    for name in _TABLES
                    for table in tables_in(item["tables"][name])
                    if table.rows
                ],
            }
            for item in section.analyses
            if item["k"]
        ],
    }


#: Documents that every report has: their template, and what gives their texts.
_KINDS: Mapping[str, tuple[str, Callable[[Context], Texts]]] = {
    ARTICLE: ("report", _article),
    SUPPLEMENT: ("supplement", _supplement),
    SOURCES: ("sources", _sources),
}
