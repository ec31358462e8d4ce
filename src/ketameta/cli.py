"""The ``ketameta`` command: parses, calls, prints. Computes nothing; imports late.

A room of its own because the installed command and ``python -m ketameta`` both start here.
"""

# Annotations are evaluated here and once: texts of them cost a tenth of the start of a command.
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from ketameta.errors import KetametaError, UsageError, check_choice
from ketameta.formatting import plural, speak_plainly

if TYPE_CHECKING:
    from ketameta.paths import ProjectPaths
    from ketameta.review.diff import AnalysisChange
    from ketameta.review.document import Document, Picture


Root = Annotated[
    Path,
    typer.Option(
        "--root",
        help="Project folder (with data/ and analyses/); the present folder when not given.",
        show_default=False,
    ),
]
Style = Annotated[
    str, typer.Option("--format", help="text, markdown, or html (with forest plots).")
]
#: The same, for what draws nothing.
PlainStyle = Annotated[str, typer.Option("--format", help="text, markdown, or html.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="File to write; printed when not given. Missing folders are made.",
        show_default=False,
    ),
]
STYLES = ("text", "markdown", "html")
Called = TypeVar("Called", bound=Callable[..., None])
#: Where each command is told at length.
GUIDE = "docs/commands.md"


def command(
    short: str, *calls: str, name: str | None = None, **more: Any
) -> Callable[[Called], Called]:
    """Return what makes a function a command; below its help stand calls, and where to read on."""
    title = "Example:" if len(calls) == 1 else "Examples:"
    guide = f"Guide: {GUIDE}#{calls[0].split()[0]}"
    # The first character keeps the lines as they are.
    below = "\n".join(("\b", title, *(f"  ketameta {call}" for call in calls), guide))
    return app.command(name, short_help=short, epilog=below, **more)


def project(root: Path) -> "ProjectPaths":
    """Return the paths of the project at ``root``.

    Raises
    ------
    UsageError
        If there is no project, so that nothing is written where nobody looks.
    """
    from ketameta.paths import project_paths

    paths = project_paths(root)
    if not paths.data.is_dir():
        place = "here" if root == Path() else f"in {root}"
        raise UsageError(
            f"there is no data/ folder {place}; go to the folder of the project, "
            "or name it with --root, or start one with ketameta init"
        )
    return paths


app = typer.Typer(
    name="ketameta",
    help=(
        "Meta-analysis, and living reviews from extracted numbers to a report that can be "
        "checked.\n\n'ketameta fit' pools any CSV of trials. 'ketameta init' starts a review. "
        "Reviewers go on with 'ketameta new surname_year', fill the tables, then "
        "'ketameta check' and 'ketameta preview'; analysts with 'ketameta run' and "
        "'ketameta report'.\n\n"
        "Every command ends with 0 when all is well, 1 when something is to be mended or decided "
        "(it says what), 2 when the command itself was not understood, 130 when it was stopped. "
        f"Files are replaced whole or not at all. Guide: {GUIDE}"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from ketameta import __version__

        typer.echo(f"ketameta {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@command(
    "Start a review: a folder that builds at once.",
    "init caffeine",
    "init caffeine --title 'Caffeine for migraine' --question 'Does it help?'",
)
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    title: Annotated[str, typer.Option(help="Title of the review; asked for when not given.")] = "",
    question: Annotated[
        str, typer.Option(help="The main question, in a sentence; asked for when not given.")
    ] = "",
) -> None:
    """Start a review: project.toml, data, a first analysis, README, Makefile and a workflow.

    The folder builds at once: 'ketameta report' says that no eligible trial has been found yet.
    Ends with 2, and writes nothing, where a file of a project is there already.
    """
    from ketameta.review.start import start_project

    if not (title and question) and not sys.stdin.isatty():
        raise UsageError("init needs --title and --question where nobody can be asked")
    title = title or typer.prompt("Title of the review")
    question = question or typer.prompt("The main question, in a sentence")
    for path in start_project(folder, title, question):
        typer.echo(f"wrote {path}")
    typer.echo(f"Next: cd {folder}, then ketameta report, and open reports/report.html")


_COUNTS = "--events-treatment a --n-treatment n1 --events-control c --n-control n2"


class _ColumnsInHelp(TyperCommand):
    """A command whose help ends with columns and estimators, read when it is asked for."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, and the columns below them."""
        from ketameta.exchange.fit_csv import column_help

        super().format_epilog(ctx, formatter)
        formatter.write(f"\nColumns by measure (or one number for all trials):\n{column_help()}\n")


@command(
    "Fit any CSV of trials: no project needed.",
    f"fit trials.csv --measure OR {_COUNTS} --plot forest.svg",
    f"fit trials.csv --measure RR {_COUNTS} --labels author --moderators '~ dose'",
    "fit effects.csv --measure SMD --estimate g --variance v --output json > fit.json",
    cls=_ColumnsInHelp,
    context_settings={"ignore_unknown_options": True},
)
def fit(
    context: typer.Context,
    trials: Annotated[
        list[str],
        typer.Argument(
            metavar="TRIALS.csv --COLUMN NAME ...",
            help="A CSV of any separator, and which columns hold what: see below.",
        ),
    ],
    measure: Annotated[
        str, typer.Option(help="SMD, OR, RR, HR, PLO ...; see below.", show_default=False)
    ] = "",
    labels: Annotated[
        list[str] | None, typer.Option(help="Column with the names of trials; several are joined.")
    ] = None,
    moderators: Annotated[
        str, typer.Option(help="Formula of a meta-regression: '~ dose + design'.")
    ] = "",
    model: Annotated[str, typer.Option(help="random or common.")] = "random",
    tau2_method: Annotated[str, typer.Option(help="REML, DL, PM ...; see below.")] = "REML",
    ci_method: Annotated[
        str,
        typer.Option(
            help="wald, knapp-hartung or knapp-hartung-conservative (the default but for a common "
            "effect)."
        ),
    ] = "",
    level: Annotated[float, typer.Option(help="Of every interval.")] = 0.95,
    missing: Annotated[
        str, typer.Option(help="Trials without a value: refuse, or drop.")
    ] = "refuse",
    better: Annotated[
        str, typer.Option(help="lower or higher: says which side is favoured.", show_default=False)
    ] = "",
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Picture to write (.svg, .png, .pdf): forest plot, or bubbles of a moderator.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[str, typer.Option(help="What is printed: text, json or csv.")] = "text",
) -> None:
    """Compute the effects of a CSV of trials, pool or regress them, and draw the picture.

    Needs no project. Prints the fit; only the picture is written, whole or not at all. Ends with 1
    when the file must be mended (every problem, by line and column), with 2 when a column or a
    word is not known.
    """
    from ketameta.exchange import fit_csv

    check_choice("--output", output, fit_csv.OUTPUTS)
    own = [param.opts[0] for param in context.command.params]
    files, columns = fit_csv.column_options(trials, own)
    if len(files) != 1:
        found = f"{len(files)} were given: {', '.join(files)}" if files else "none was given"
        raise UsageError(f"fit takes one CSV file; {found}")
    if plot is not None:
        fit_csv.check_picture(plot)
    effects, found_fit = fit_csv.fit_file(
        Path(files[0]), columns, measure=measure, labels=labels or (), moderators=moderators,
        model=model, tau2_method=tau2_method, ci_method=ci_method, level=level, missing=missing,
        better=better,
    )  # fmt: skip
    text = fit_csv.fit_words(effects, found_fit, output, better)
    if plot is not None:
        fit_csv.draw_fit(found_fit, plot, better)
        typer.echo(f"wrote {plot}", err=True)
    typer.echo(text)


@command("Freeze the published report as a release.", "release 1.0")
def release(
    version: Annotated[str, typer.Argument(help="Two or three numbers, such as 1.0.")],
    root: Root = Path(),
) -> None:
    """Freeze the published report as reports/releases/VERSION, with one ZIP to rebuild it.

    A release that exists is never written over.
    """
    from ketameta.release import release as released

    typer.echo(str(released(project(root), version)))


@command(
    "Start a batch for a trial: headers, worked example, words.",
    "new murrough_2013",
    "new murrough_2013 --workbook",
    "new murrough_2013 --second",
)
def new(
    study: Annotated[str, typer.Argument(help="Name of the trial: surname_year.")],
    workbook: Annotated[
        bool,
        typer.Option("--workbook", help="Write STUDY.xlsx here instead of a folder of CSVs."),
    ] = False,
    second: Annotated[
        bool,
        typer.Option("--second", help="Start the second extraction of a batch of that name."),
    ] = False,
    root: Root = Path(),
) -> None:
    """Start a batch: a folder with the right headers, a worked example and the words to use.

    Writes data/extracted/STUDY/ with one CSV per table and a README that shows a filled row of
    each. Ends with 2 when the trial or the folder is already there. With --second, makes the empty
    folder in which a second person types the same trials without seeing the first extraction.
    """
    from ketameta.paths import write_atomically
    from ketameta.review.start import check_study_id, new_batch, new_second

    paths = project(root)
    if second:
        for path in new_second(paths, study):
            typer.echo(f"wrote {paths.relative(path)}")
        typer.echo(f"Type from the sources, then: ketameta agreement {study}")
        return
    if workbook:
        from ketameta.exchange.workbook import workbook_bytes

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


@command(
    "Turn a workbook, Metapsy or RevMan file into a batch.",
    "import murrough_2013.xlsx",
    "import trials.csv --batch metapsy --dry-run",
    "import data_rows.csv --words words.toml --replace",
    "import trials.csv --suggest > words.toml",
    name="import",
)
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
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Draft the mapping file for a CSV, and end.")
    ] = False,
    root: Root = Path(),
) -> None:
    """Turn a file of another format into a batch, and say what became of every row.

    Reads workbooks, Metapsy databases, RevMan 5 reviews, the data rows, templates and risk of bias
    of RevMan, Covidence and robvis, and any other table through the mapping that --suggest drafts.
    Writes data/extracted/BATCH/, whole or not at all, with import/rows.csv: the verdict on every
    row. Ends with 1 when a row was refused.
    """
    from ketameta.exchange.imports import import_file, suggestion
    from ketameta.review.document import print_document

    paths = project(root)
    if suggest:
        typer.echo(suggestion(paths, source), nl=False)
        return
    with progress() as say:
        say("Reading")
        report, files = import_file(
            paths, source, batch, words=words, replace_rows=replace, write=not dry_run
        )
    print_document(report.document())
    for path in files:
        typer.echo(f"wrote {paths.relative(path)}")
    if files:
        place = files[0].parent if len(files) > 1 else files[0]
        typer.echo(f"Next: ketameta check {paths.relative(place)}")
    raise typer.Exit(0 if report.is_whole else 1)


@command(
    "Write the evidence for Metapsy, RevMan, RIS or metafor.",
    "export metapsy --output evidence.csv",
    "export ris --output references.ris",
    "export metafor --output for_r --analysis harm_nausea",
)
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
    from ketameta.exchange.export import export as write_export

    with progress() as say:
        files = write_export(project(root), kind, output, analysis or (), say=say)
    typer.echo(f"wrote {plural(len(files), 'file')}: {output}")


@command(
    "Show what a batch changes, before anything is changed.",
    "preview data/extracted/murrough_2013",
    "preview murrough_2013 --format html --output preview.html",
)
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
    from ketameta.review.preview import preview_batch, preview_document

    check_choice("--format", style, STYLES)
    with progress() as say:
        found = preview_batch(project(root), batch, say=say)
        document = preview_document(found, _figures(style, say))
    _show(document, style, output, f"Preview of {found.batch}")


@command(
    "Compare the present data with a published release.",
    "diff reports",
    "diff 1.0 --format markdown",
)
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
    from ketameta.review.diff import diff_document, diff_release

    check_choice("--format", style, STYLES)
    with progress() as say:
        found = diff_release(project(root), release, say=say)
        document = diff_document(found, _figures(style, say))
    _show(document, style, output, f"Changes since {found.release}")


@command(
    "Compare two extractions and list what is to be decided.",
    "agreement murrough_2013",
    "agreement --format html --output agreement.html",
)
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
    from ketameta.evidence import agreement as compare
    from ketameta.review.preview import find_batch
    from ketameta.review.trace import agreement_document

    check_choice("--format", style, STYLES)
    paths = project(root)
    found = compare(paths, None if batch is None else find_batch(paths, batch))
    _show(agreement_document(paths, found), style, output, "Agreement of two extractors")
    raise typer.Exit(1 if any(item.open for item in found) else 0)


@command("Say where every row of a study went.", "trace murrough_2013", "trace")
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
    from ketameta.review.trace import trace_document

    check_choice("--format", style, STYLES)
    with progress() as say:
        say("Following the rows")
        document = trace_document(project(root), study)
    _show(document, style, output, f"Trace of {study or 'every row'}")


def _figures(style: str, say: Callable[[str], None]) -> "Callable[..., Sequence[Picture]]":
    """Return what draws the figures of an analysis where the style can show them."""
    from ketameta.review.diff import forest_pictures, no_figures

    def drawn(change: "AnalysisChange") -> "Sequence[Picture]":
        say(f"Drawing {change.name}")
        return forest_pictures(change)

    return drawn if style == "html" else no_figures


def _show(document: "Document", style: str, output: Path | None, title: str) -> None:
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


@command(
    "Check every input: all problems at once, with their remedies.",
    "check",
    "check data/extracted/murrough_2013",
    "check murrough_2013 --watch --preview",
    "check --format github",
)
def check(
    batches: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Batches to check, by name, folder or file; everything when none is given."
        ),
    ] = None,
    style: Annotated[
        str, typer.Option("--format", help="text, json, or github (annotations).")
    ] = "text",
    watch: Annotated[
        bool, typer.Option("--watch", help="Check one batch again whenever a file is saved.")
    ] = False,
    beside: Annotated[
        bool, typer.Option("--preview", help="With --watch: show the preview beside it.")
    ] = False,
    root: Root = Path(),
) -> None:
    """Check tables, questions and lists: every problem at once, with file, line and remedy.

    Looks at every file that a report is computed from, and writes nothing. Ends with 1 when
    something must be mended, with 0 otherwise (warnings included).
    """
    from ketameta.evidence.checks.run import check_project
    from ketameta.inputs import read_inputs

    paths = project(root)
    if watch or beside:
        _watch(paths, batches or [], beside)
        return
    with progress() as say:
        text, code = check_project(
            root,
            [str(batch) for batch in batches] if batches else None,
            style,
            lambda here, only: read_inputs(here, only, say).report,
        )
    typer.echo(text)
    raise typer.Exit(code)


def _watch(paths: "ProjectPaths", batches: Sequence[Path], beside: bool) -> None:
    """Show what is left to mend in a batch, again and again, until it is stopped."""
    from rich.console import Console

    from ketameta.inputs import watch
    from ketameta.review.document import as_text
    from ketameta.review.preview import find_batch, preview_batch, preview_document

    if len(batches) != 1:
        raise UsageError("--watch looks at one batch; name its folder")
    folder = find_batch(paths, batches[0])

    def preview() -> str:
        return as_text(preview_document(preview_batch(paths, folder))) if beside else ""

    for text in watch(paths, folder, further=preview):
        if sys.stdout.isatty() and not text.startswith("\n"):
            Console().clear()
        typer.echo(text)


@command(
    "Build reports/: results, figures, web page and PDF.",
    "report",
    "report --only figures",
    "report --only primary",
)
def report(
    only: Annotated[
        str,
        typer.Option(
            help="'figures', or the name of one question, whose page is built into build/.",
            show_default=False,
        ),
    ] = "",
    root: Root = Path(),
) -> None:
    """Build reports/: effects, results, figures, pages, both PDFs and the manifest.

    Only what changed since the last build is computed again. Ends with 1, and writes nothing, when
    the data or an analysis file must be mended first. With the name of a question or analysis,
    only build/questions/NAME.html is written, with its figures and numbers.
    """
    paths = project(root)
    begun = time.monotonic()
    if only not in {"", "figures"}:
        from ketameta.question import write_page

        typer.echo(f"wrote {paths.relative(write_page(paths, only))}")
        return
    from ketameta.build import build

    done = build(paths, say=_say, figures_only=only == "figures")
    typer.echo(
        f"{plural(len(done.computed), 'analysis', 'analyses')} computed, "
        f"{len(done.kept)} unchanged; {plural(len(done.written), 'file')} written "
        f"in {time.monotonic() - begun:.1f} s."
    )


@command(
    "Derive every effect size, with its route.", "effects --output effects.csv", "effects | head"
)
def effects(
    root: Root = Path(),
    output: Output = None,
) -> None:
    """Derive every effect size from the extracted tables, with the route of each.

    Prints a CSV, or writes it into the file that is named. Ends with 1 when the data must be
    mended first.
    """
    from ketameta.build import effects_csv
    from ketameta.evidence.derive import derive_effects
    from ketameta.inputs import load_evidence
    from ketameta.paths import write_atomically

    evidence, _ = load_evidence(project(root))
    text = effects_csv(derive_effects(evidence))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)
        typer.echo(f"wrote {output}")


@command(
    "Run one analysis: a summary, JSON, or its figure.",
    "run harm_nausea",
    "run harm_nausea --plot forest.svg",
    "run analyses/my_question.toml --format json > result.json",
)
def run(
    analysis: Annotated[
        Path, typer.Argument(help="An analysis file, or the name of one in analyses/.")
    ],
    style: Annotated[
        str,
        typer.Option("--format", help="text, markdown, html, or json (all that is published)."),
    ] = "text",
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Picture to write: its forest plot (.svg, .png, .pdf).", show_default=False
        ),
    ] = None,
    root: Root = Path(),
) -> None:
    """Run one analysis file and print what it found; only the picture is written.

    The JSON is what 'ketameta report' publishes for it. Ends with 1 when the data or the analysis
    file must be mended first.
    """
    from ketameta import question as one

    check_choice("--format", style, (*STYLES, "json"))
    if plot is not None:
        from ketameta.exchange.fit_csv import check_picture

        check_picture(plot)
    ((result, plots),) = one.answers(project(root), [analysis])
    if plot is not None:
        typer.echo(f"wrote {one.draw(plots, plot)}", err=True)
    if style == "json":
        typer.echo(one.result_json(result))
    else:
        _show(one.result_document(result), style, None, result["title"])


@command(
    "Rebuild everything elsewhere and compare it with the report.",
    "verify",
    "verify --exact",
    "verify --release 1.0",
    "verify --report ../downloaded/reports",
)
def verify(
    report: Annotated[
        Path | None,
        typer.Option(help="Published folder, or folder of a release; reports/ when not given."),
    ] = None,
    release: Annotated[
        str, typer.Option("--release", help="Only this release.", show_default=False)
    ] = "",
    releases: Annotated[
        bool, typer.Option("--releases/--no-releases", help="Rebuild the releases too.")
    ] = True,
    exact: Annotated[bool, typer.Option("--exact", help="Accept the same bytes only.")] = False,
    root: Root = Path(),
) -> None:
    """Rebuild everything from its inputs in a temporary folder and compare it with the report.

    Changes nothing. Names every difference (file, analysis, quantity, published and rebuilt value).
    Ends with 0 when all is identical; without --exact also when it agrees: numbers of results,
    tables and effects at most one unit in the last published digit away, as can be on another
    platform. Ends with 1 otherwise.
    """
    from ketameta.verify import verify as verified

    paths = project(root)
    published = paths.reports if report is None else report
    if not release and not published.is_dir():
        raise UsageError(f"{published}: there is no published folder to verify")
    begun = time.monotonic()
    result = verified(paths, report=report, version=release, with_releases=releases, say=_say)
    typer.echo(str(result))
    typer.echo(f"Verified in {time.monotonic() - begun:.0f} s.")
    raise typer.Exit(0 if result.identical or (result.holds and not exact) else 1)


@command("Write the data dictionary and the empty templates.", "dictionary")
def dictionary(root: Root = Path()) -> None:
    """Write data/README.md (the data dictionary) and data/templates/ from the schema."""
    from ketameta.review.start import write_dictionary

    paths = project(root)
    for path in write_dictionary(paths):
        typer.echo(f"wrote {paths.relative(path)}")


def _say(line: str) -> None:
    """Say where a long step is, to a person; stay quiet in a pipe."""
    if sys.stderr.isatty():
        typer.echo(line, err=True)


#: Exit code of a command that was not understood, as the parser of the command line counts it.
NOT_UNDERSTOOD = 2
#: Exit code of a command that somebody stopped (Ctrl+C), as shells count it.
STOPPED = 130


def main() -> None:
    """Run the command; a problem of the user's ends in its message, never in a traceback."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # threads of a small product wait for each other
    # A command makes much and ends soon: looking for garbage after every 700 objects is a tenth of
    # its time.
    gc.set_threshold(500_000, 20, 100)
    speak_plainly(sys.stdout, sys.stderr)
    try:
        app(prog_name="ketameta")
    except KetametaError as error:
        from ketameta.evidence.findings import printable

        typer.echo("\n".join(printable(line) for line in str(error).split("\n")), err=True)
        sys.exit(NOT_UNDERSTOOD if isinstance(error, UsageError) else 1)
    except BrokenPipeError:
        # The reader of the output has seen enough; what follows has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"{place}{error.strerror or error}", err=True)
        sys.exit(1)
    except SystemExit as end:
        gc.freeze()  # nothing is searched for garbage at the end
        if end.code == STOPPED:
            typer.echo("Stopped; files already written are whole.", err=True)
        raise


if __name__ == "__main__":
    main()
