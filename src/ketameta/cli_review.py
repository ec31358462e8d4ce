"""The reviewers' commands: new, import, export, preview, diff, agreement, trace. Imports late."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ketameta.cli_options import STYLES, Output, PlainStyle, Root, Style, examples, project

if TYPE_CHECKING:
    from ketameta.review.document import Document, Picture


def register(app: typer.Typer) -> None:
    """Add the reviewers' commands to the command line."""
    app.command(
        "new",
        short_help="Start a batch for a trial: headers, worked example, words.",
        epilog=examples("new murrough_2013", "new murrough_2013 --workbook"),
    )(new)
    app.command(
        "import",
        short_help="Turn a workbook, Metapsy or RevMan file into a batch.",
        epilog=examples(
            "import murrough_2013.xlsx",
            "import depression.csv --batch metapsy --dry-run",
            "import data_rows.csv --words words.toml --replace",
        ),
    )(import_)
    app.command(
        "export",
        short_help="Write the evidence for Metapsy, RevMan, RIS or metafor.",
        epilog=examples(
            "export metapsy --output evidence.csv",
            "export ris --output references.ris",
            "export metafor --output for_r --analysis harm_nausea",
        ),
    )(export)
    app.command(
        "preview",
        short_help="Show what a batch changes, before anything is changed.",
        epilog=examples(
            "preview data/extracted/murrough_2013",
            "preview murrough_2013 --format html --output preview.html",
        ),
    )(preview)
    app.command(
        "diff",
        short_help="Compare the present data with a published release.",
        epilog=examples("diff reports", "diff 1.0 --format markdown"),
    )(diff)
    app.command(
        "agreement",
        short_help="Compare two extractions and list what is to be decided.",
        epilog=examples(
            "agreement murrough_2013", "agreement --format html --output agreement.html"
        ),
    )(agreement)
    app.command(
        "trace",
        short_help="Say where every row of a study went.",
        epilog=examples("trace murrough_2013", "trace"),
    )(trace)


def new(
    study: Annotated[str, typer.Argument(help="Name of the trial: surname_year.")],
    workbook: Annotated[
        bool,
        typer.Option("--workbook", help="Write STUDY.xlsx here instead of a folder of CSVs."),
    ] = False,
    root: Root = Path(),
) -> None:
    """Start a batch: a folder with the right headers, a worked example and the words to use.

    Writes data/extracted/STUDY/ with one CSV per table and a README that shows a filled row of
    each. Ends with 2 when the trial or the folder is already there.
    """
    from ketameta.errors import UsageError
    from ketameta.paths import write_atomically
    from ketameta.review.start import check_study_id, new_batch

    paths = project(root)
    if workbook:
        from ketameta.review.workbook import workbook_bytes

        check_study_id(study)
        path = Path(f"{study}.xlsx")
        if path.exists():
            raise UsageError(f"{path} already exists; fill it, or move it away")
        write_atomically(path, workbook_bytes(study, paths))
        typer.echo(f"wrote {path}; fill it, then: ketameta import {path}")
        return
    for path in new_batch(paths, study):
        typer.echo(f"wrote {paths.relative(path)}")
    typer.echo(f"Fill the tables, then: ketameta check {paths.relative(paths.extracted / study)}")


def import_(
    source: Annotated[Path, typer.Argument(help="A workbook, or a CSV of another format.")],
    batch: Annotated[
        str,
        typer.Option(help="Name of the batch; from the file name when not given."),
    ] = "",
    words: Annotated[
        Path | None,
        typer.Option(help="Words file (TOML): what the source's words are called here."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over a batch that already holds rows.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would become of every row.")
    ] = False,
    root: Root = Path(),
) -> None:
    """Turn a file of another format into a batch, and say what became of every row.

    Reads workbooks, Metapsy databases, and the data rows and risk of bias of RevMan and Covidence.
    Writes data/extracted/BATCH/, whole or not at all, with import/rows.csv: the verdict on every
    row. Ends with 1 when a row was refused.
    """
    from ketameta.review.document import print_document
    from ketameta.review.imports import import_file

    paths = project(root)
    with progress() as say:
        say("Reading")
        report, files = import_file(
            paths, source, batch, words=words, replace_rows=replace, write=not dry_run
        )
    print_document(report.document())
    for path in files:
        typer.echo(f"wrote {paths.relative(path)}")
    if files:
        typer.echo(f"Next: ketameta check {paths.relative(files[0].parent)}")
    raise typer.Exit(0 if report.is_whole else 1)


def export(
    kind: Annotated[str, typer.Argument(help="metapsy, revman, ris or metafor.")],
    output: Annotated[Path, typer.Option(help="File to write; a folder for metafor.")],
    analysis: Annotated[
        list[str] | None,
        typer.Option(help="Name of an analysis (revman, metafor); all when not given."),
    ] = None,
    root: Root = Path(),
) -> None:
    """Write the evidence for another program: Metapsy, RevMan, RIS, or metafor with an R script.

    Writes the file (or, for metafor, the folder) that --output names.
    """
    from ketameta.numberformat import plural
    from ketameta.review.export import export as write_export

    with progress() as say:
        files = write_export(project(root), kind, output, analysis or (), say=say)
    typer.echo(f"wrote {plural(len(files), 'file')}: {output}")


def preview(
    batch: Annotated[Path, typer.Argument(help="A batch folder; it may lie outside the project.")],
    style: Style = "text",
    output: Output = None,
    root: Root = Path(),
) -> None:
    """Show what a batch changes: every analysis before and after. Changes nothing in the project.

    Also: each new effect with its route, and what becomes of every other row. Ends with 1 when the
    batch must be mended first.
    """
    from ketameta.errors import check_choice
    from ketameta.review.preview import preview_batch
    from ketameta.review.preview_figures import forest_pictures
    from ketameta.review.preview_words import preview_document

    check_choice("--format", style, STYLES)
    with progress() as say:
        found = preview_batch(project(root), batch, say=say)
        figures = _figures(lambda name: forest_pictures(found.results, name), style, say)
        document = preview_document(found, figures)
    _show(document, style, output, f"Preview of {found.batch}")


def diff(
    release: Annotated[
        str,
        typer.Argument(help="A release in reports/releases, or a folder with results files."),
    ],
    style: Style = "text",
    output: Output = None,
    root: Root = Path(),
) -> None:
    """Compare the present data with a published release: every analysis before and after.

    Changes nothing, and ends with 0 whether or not something differs.
    """
    from ketameta.errors import check_choice
    from ketameta.review.diff import diff_release
    from ketameta.review.preview_figures import forest_pictures
    from ketameta.review.preview_words import diff_document

    check_choice("--format", style, STYLES)
    with progress() as say:
        found = diff_release(project(root), release, say=say)
        figures = _figures(lambda name: forest_pictures(found.results, name), style, say)
        document = diff_document(
            found.release, found.changes, found.added, found.removed, found.same, figures
        )
    _show(document, style, output, f"Changes since {found.release}")


def agreement(
    batch: Annotated[
        Path | None, typer.Argument(help="A batch folder; all with a second extraction if none.")
    ] = None,
    style: PlainStyle = "text",
    output: Output = None,
    root: Root = Path(),
) -> None:
    """Compare two extractions of the same trials and write the table of their differences.

    The second extraction stands in data/extracted/BATCH/second. Writes second/reconciliation.csv
    there and keeps what is already decided in it; the build uses what is filled in under 'agreed'.
    Ends with 1 while a difference is undecided.
    """
    from ketameta.errors import check_choice
    from ketameta.review.agreement import agreement as compare
    from ketameta.review.agreement import agreement_document
    from ketameta.review.preview import find_batch

    check_choice("--format", style, STYLES)
    paths = project(root)
    found = compare(paths, None if batch is None else find_batch(paths, batch))
    _show(agreement_document(paths, found), style, output, "Agreement of two extractors")
    raise typer.Exit(1 if any(item.open for item in found) else 0)


def trace(
    study: Annotated[
        str, typer.Argument(help="A study_id; the totals of all rows when not given.")
    ] = "",
    style: PlainStyle = "text",
    output: Output = None,
    root: Root = Path(),
) -> None:
    """Say where every row of a study went: effects, analyses, or the reason why not.

    Changes nothing.
    """
    from ketameta.errors import check_choice
    from ketameta.review.trace import trace_document

    check_choice("--format", style, STYLES)
    with progress() as say:
        say("Following the rows")
        document = trace_document(project(root), study)
    _show(document, style, output, f"Trace of {study or 'every row'}")


Figures = Callable[[str], "Sequence[Picture]"]


def _figures(draw: Figures, style: str, say: Callable[[str], None]) -> Figures:
    """Return the figures of an analysis where the style can show them."""
    if style != "html":
        return lambda _: ()

    def drawn(name: str) -> Sequence[Picture]:
        say(f"Drawing {name}")
        return draw(name)

    return drawn


def _show(document: Document, style: str, output: Path | None, title: str) -> None:
    """Print a document, or write it into a file, in the style asked for."""
    from ketameta.paths import write_atomically
    from ketameta.review.document import as_html, as_markdown, as_text, print_document

    if style == "text" and output is None:
        print_document(document)
        return
    text = {
        "text": lambda: as_text(document),
        "markdown": lambda: as_markdown(document),
        "html": lambda: as_html(document, title),
    }[style]()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)
        typer.echo(f"wrote {output}")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show the present step to a person at a terminal; stay quiet in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("Starting") as status:
        yield lambda line: status.update(line)
