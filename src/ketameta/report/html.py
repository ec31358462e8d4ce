"""Renders the pages from their context. Every text is escaped; a missing name stops the build."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from html import escape, unescape
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import cast

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError, pass_context
from jinja2.bccache import FileSystemBytecodeCache
from jinja2.runtime import Context
from markupsafe import Markup

from ketameta import formatting
from ketameta.errors import ReportError, did_you_mean
from ketameta.evidence.findings import harmless
from ketameta.paths import Keep, ProjectPaths, kept_or_made, made_anew
from ketameta.report.analysis_view import Engine, Figure
from ketameta.report.context import Context as Report
from ketameta.report.estimates import Estimate
from ketameta.report.front import Page, error_report
from ketameta.report.manifest import (
    PICTURES,
    REPRODUCE,
    Change,
    code_hash,
    file_hash,
    frozen_results,
    releases,
    result_changes,
    text_hash,
)
from ketameta.report.prose import given_words, gloss
from ketameta.report.provenance import Card
from ketameta.report.tables import own_note, words_of_code
from ketameta.report.worked import number
from ketameta.typesetter import font_folder


@pass_context
def _glossed(context: Context, text: str) -> Markup:
    page = str(context["to"]("methods.html#x")).partition("#")[0]
    return gloss(text, context["glossary"], page, context["glossed"])


@cache
def environment() -> Environment:
    """Return the template environment: escaped, strict about names, with our number formats."""
    env = Environment(
        loader=PackageLoader("ketameta.report", "templates"),
        bytecode_cache=_compiled(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(
        number=formatting.format_number,
        percent=formatting.format_percent,
        level=formatting.format_level,
        count=formatting.format_count,
        p=formatting.format_p,
        significant=formatting.format_significant,
        worked=number,
        gloss=_glossed,
        words=words_of_code,
        own_note=own_note,
    )
    env.globals.update(
        plural=formatting.plural, trials_words=formatting.trials_words, picture=picture,
        error_report=error_report, given=given_words,
    )  # fmt: skip
    return env


def _compiled() -> FileSystemBytecodeCache | None:
    """Return where compiled templates are kept: in a temporary folder that only this user writes.

    Nowhere, where there is no such folder.
    """
    with suppress(RuntimeError, OSError):
        return FileSystemBytecodeCache(pattern=f"ketameta-{code_hash(())}-%s.cache")
    return None


@dataclass(frozen=True, slots=True)
class Links:
    """Where links of one page lead: names of analyses and files, as seen from that page."""

    page: str
    places: Mapping[str, str]

    def __call__(self, target: str) -> str:
        """Return the address of an analysis, a file below ``reports/`` or a place of either."""
        target = self.places.get(target, target)
        if target.startswith(("#", "https:", "http:")):
            return target
        file, hash_mark, place = target.partition("#")
        if file == self.page:
            return f"#{place or 'main'}"
        return posixpath.relpath(file, posixpath.dirname(self.page) or ".") + hash_mark + place


def render_pages(context: Report, cache: Path | None = None) -> dict[str, str]:
    """Return every page by its path below ``reports/``, each self-contained.

    Fonts are kept in the folder ``cache``, and pages of questions by all that their template sees.

    Raises
    ------
    ReportError
        When a template uses a name that the context does not provide.
    """
    rests_on = (code_hash(()), *map(metadata.version, ("jinja2", "fonttools", "matplotlib")))
    keep: Keep = partial(kept_or_made, cache, f"{rests_on}") if cache else made_anew
    shared = ("ask", "glossary", "lead", "living", "places", "project", "report_name", "title")
    of_all = {name: part for name, part in context.items() if name in (*shared, "versions")}

    pages = [replace(other, analyses=(), text=[]) for other in context["pages"]]
    same = text_hash(f"{of_all} {pages}")

    def question(page: Page) -> str:
        views = {name: context["views"][name] for name in page.analyses}
        own = {
            "page_figures": {page.key: context["page_figures"].get(page.key)},
            "page_facts": {page.key: context["page_facts"].get(page.key)},
            "untested": context["untested"] if page.untested else [],
        }
        contents = [view["content"] for view in views.values()]
        seen = cast("Report", {**of_all, "pages": pages, "views": views, **own})
        make = partial(render_page, seen, page.file, "question.html.j2", page, cache)
        return keep(f"page-{page.key}", make, of=f"{same} {page} {own} {contents}")

    return {
        "report.html": render_page(context, "report.html", "front.html.j2", cache=cache),
        **{page.file: question(page) for page in context["pages"]},
        "methods.html": render_page(context, "methods.html", "methods.html.j2", cache=cache),
    }


def render_page(
    context: Report,
    file: str,
    template: str,
    shown: Page | None = None,
    cache: Path | None = None,
) -> str:
    """Return one page, with the calculator where it shows analyses that can be recomputed."""
    views = [context["views"][name] for name in shown.analyses] if shown else []
    engines = [view["engine"] for view in views if view["engine"]]
    script = _script("engine.js", "page.js") if engines else _script("page.js")
    digest = hashlib.sha256(script.encode("utf-8")).digest()  # by which the page lets it run
    given: dict[str, object] = {
        **context,
        "page": shown,
        "analyses": views,
        "file": file,
        "to": Links(file, context["places"]),
        "glossed": set(),
        "font_css": _FONTS,
        "engine_json": _json_for_script(engines) if engines else "",
        "script": script,
        "script_hash": f"sha256-{base64.b64encode(digest).decode('ascii')}",
    }
    try:
        page = environment().get_template(template).render(given)
    except UndefinedError as error:
        found = re.search(r"'([^']+)' is undefined|no attribute '([^']+)'", str(error))
        name = next((part for part in found.groups() if part), "") if found else ""
        raise ReportError(
            f"the report's template uses a name no result provides: {error}"
            f"{did_you_mean(name, list(given)) if name else ''}"
        ) from error
    page = without_gaps(page).lstrip()
    # Words of a declaration may hold what no page can: control characters, halves of pairs.
    fonts = font_face(figure_letters([page]), cache)
    return harmless(page.replace(_FONTS, fonts, 1))


#: Stands where the page's font will be: its letters are known when the page is.
_FONTS = "/* fonts */"


def without_gaps(text: str) -> str:
    """Return ``text`` without empty lines."""
    return re.sub(r"\n\s*\n+", "\n", text)


_ROOT = re.compile(r"<svg\b([^>]*)>")
_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
#: Family names of the page's own font, so that an installed one cannot take its place.
FAMILY = "Ketameta Sans"


def inline_svg(text: str, alternative: str) -> str:
    """Return a figure as one inline ``svg`` element.

    Parameters
    ----------
    text : str
        The file that was drawn; its identifiers are those of this figure alone.
    alternative : str
        What a reader who cannot see the figure is told.

    Raises
    ------
    ReportError
        When the text is no SVG.
    """
    root = _ROOT.search(text)
    if root is None:
        raise ReportError("a figure is no SVG; delete it and build again")
    box = _BOX.search(root.group(1))
    width, height = box.groups() if box else ("100", "100")
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {width} {height}"'
        f' style="aspect-ratio:{width}/{height}"'
        f' aria-label="{escape(alternative, quote=True)}">{text[root.end() :].rstrip()}'
    )


def linked(svg: str, rows: Sequence[Card | Estimate]) -> str:
    """Return an inline figure in which the name of each row, in its order, leads to its card."""
    place, parts, found_any = 0, [], False
    for row in rows:
        words = re.escape(escape(row.label, quote=False))
        found = re.compile(rf"<text\b[^>]*>{words}</text>").search(svg, place)
        if found is None:
            continue
        found_any = True
        link = f'<a href="#{row.card_id}">{found.group()}</a>'
        parts += [svg[place : found.start()], link]
        place = found.end()
    if not found_any:
        return svg
    # A picture of one piece may hold no link.
    return "".join([*parts, svg[place:]]).replace('role="img"', 'role="group"', 1)


def picture(figure: Figure, rows: Sequence[Card | Estimate] = ()) -> Markup:
    """Return a figure of the report as an inline element, its rows as links."""
    return Markup(linked(inline_svg(figure["svg"], figure["alt"]), rows))


def figure_letters(svgs: Iterable[str]) -> str:
    """Return every character that inline figures print, sorted."""
    used: set[str] = set()
    for svg in svgs:
        for words in re.findall(r"<text[^>]*>([^<]*)</text>", svg):
            used.update(unescape(words))
    # Plots that the page draws itself use some of these; pages of the same letters share a font.
    used.update(map(chr, range(32, 127)), "²·×äçèéíöøüʸΓΣτ–“”′›₀₁₂₃₄←→−√≥")
    return "".join(sorted(used))


@cache
def font_face(letters: str, cache_folder: Path | None = None) -> str:
    """Return style rules that carry DejaVu Sans, regular and bold, cut to ``letters``.

    They are kept in ``cache_folder``, by letters, code and fonts.
    """

    def rules() -> str:
        found = []
        for name, weight in (("DejaVuSans", "400"), ("DejaVuSans-Bold", "700")):
            data = base64.b64encode(_subset(font_folder() / f"{name}.ttf", letters)).decode("ascii")
            found.append(
                f"@font-face{{font-family:'{FAMILY}';font-weight:{weight};"
                f"src:url(data:font/ttf;base64,{data}) format('truetype')}}"
            )
        return "\n".join(found)

    made_of = [file_hash(Path(__file__)), *map(metadata.version, ("fonttools", "matplotlib"))]
    stamp, name = text_hash("\n".join(made_of)), f"font-{text_hash(letters)[:16]}"
    return kept_or_made(cache_folder, stamp, name, rules) if cache_folder else rules()


@cache
def _subset(path: Path, letters: str) -> bytes:
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options(hinting=False, recalc_timestamp=False, name_IDs=[1, 2, 13])
    options.drop_tables += ["FFTM"]
    options.layout_features = ["kern"]
    options.notdef_outline = True
    font = TTFont(path, recalcTimestamp=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=letters)
    subsetter.subset(font)
    stream = io.BytesIO()
    font.save(stream, reorderTables=False)
    return stream.getvalue()


#: Files that a release offers, with what each is.
_OFFERED = (
    ("report.html", "Report"),
    ("report.pdf", "Report as PDF"),
    ("supplement.pdf", "Supplement as PDF"),
    ("effects.csv", "Every effect"),
    ("manifest.json", "Manifest"),
    (REPRODUCE, "Everything needed to build it again"),
)


@dataclass(frozen=True, slots=True)
class _Release:
    """A release: files it offers, what changed since the one before, and endings by figure."""

    version: str
    files: list[tuple[str, str]]
    changes: list[Change] | None
    figures: list[tuple[str, list[str]]]


def index_html(paths: ProjectPaths) -> str:
    """Return the page that lists the releases, newest first, with what changed in each."""
    listed: list[_Release] = []
    before = None
    for version in releases(paths):
        folder = paths.reports / "releases" / version
        parts = [
            (f"supplement/{path.name}", f"Supplement: {words_of_code(path.stem)}")
            for path in sorted((folder / "supplement").glob("*.pdf"))
        ]
        now = frozen_results(paths, sorted((folder / "results").glob("*.json")))
        listed.append(
            _Release(
                version,
                [*(item for item in _OFFERED if (folder / item[0]).is_file()), *parts],
                None if before is None else result_changes(before, now),
                [
                    (path.stem, [end for end in ("svg", *PICTURES)
                                 if path.with_suffix(f".{end}").is_file()])
                    for path in sorted((folder / "figures").glob("*.svg"))
                ],
            )
        )  # fmt: skip
        before = now
    template = environment().get_template("releases.html.j2")
    return template.render(releases=listed[::-1])


def _script(*names: str) -> str:
    """Return the page's script: the calculator, where there is one, then the page."""
    folder = files("ketameta.report").joinpath("templates")
    text = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return without_gaps(text)


def _json_for_script(value: Sequence[Engine]) -> str:
    """Return JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
