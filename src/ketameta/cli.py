"""The ``ketameta`` command: parses, calls, prints. Computes nothing; imports late."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ketameta.cli_options import Output, Root, examples, project
from ketameta.cli_report import register as register_release
from ketameta.cli_review import register
from ketameta.errors import KetametaError, UsageError

if TYPE_CHECKING:
    from ketameta.paths import ProjectPaths

app = typer.Typer(
    name="ketameta",
    help=(
        "Meta-analysis of ketamine and ADHD, from extracted numbers to a report that can be "
        "checked.\n\nReviewers start with 'ketameta new surname_year', fill the tables, then "
        "'ketameta check' and 'ketameta preview'; analysts with 'ketameta report'.\n\n"
        "Every command ends with 0 when all is well, 1 when something is to be mended or decided "
        "(it says what), 2 when the command itself was not understood, 130 when it was stopped. "
        "Files are replaced whole or not at all."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command(
    short_help="Check every input: all problems at once, with their remedies.",
    epilog=examples("check", "check data/extracted/murrough_2013", "check --format github"),
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
    root: Root = Path(),
) -> None:
    """Check tables, questions and lists: every problem at once, with file, line and remedy.

    Looks at every file that a report is computed from, and writes nothing. Ends with 1 when
    something must be mended, with 0 otherwise (warnings included).
    """
    from ketameta.checks import check_project
    from ketameta.cli_review import progress
    from ketameta.inputs import read_inputs

    with progress() as say:
        text, code = check_project(
            root,
            [str(batch) for batch in batches] if batches else None,
            style,
            lambda paths, only: read_inputs(paths, only, say).report,
        )
    typer.echo(text)
    raise typer.Exit(code)


@app.command(
    short_help="Build reports/: results, figures, web page and PDF.",
    epilog=examples("report", "report --only figures"),
)
def report(
    only: Annotated[
        str, typer.Option(help="'figures' stops after the figures.", show_default=False)
    ] = "",
    root: Root = Path(),
) -> None:
    """Build reports/: effects, results, figures, report.html, report.pdf and the manifest.

    Only what changed since the last build is computed again. Ends with 1, and writes nothing, when
    the data or an analysis file must be mended first.
    """
    from ketameta.numberformat import plural
    from ketameta.pipeline import build

    if only not in {"", "figures"}:
        raise UsageError(f"--only is {only!r}; the one choice is 'figures'")
    begun = time.monotonic()
    done = build(project(root), say=_say, figures_only=only == "figures")
    typer.echo(
        f"{plural(len(done.computed), 'analysis', 'analyses')} computed, "
        f"{len(done.kept)} unchanged; {plural(len(done.written), 'file')} written "
        f"in {time.monotonic() - begun:.1f} s."
    )


@app.command(
    short_help="Derive every effect size, with its route.",
    epilog=examples("effects --output effects.csv", "effects | head"),
)
def effects(
    root: Root = Path(),
    output: Output = None,
) -> None:
    """Derive every effect size from the extracted tables, with the route of each.

    Prints a CSV, or writes it into the file that is named. Ends with 1 when the data must be
    mended first.
    """
    from ketameta.effect_table import derive_effects
    from ketameta.inputs import load_evidence
    from ketameta.paths import write_atomically
    from ketameta.pipeline import effects_csv

    evidence, _ = load_evidence(project(root))
    text = effects_csv(derive_effects(evidence))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)
        typer.echo(f"wrote {output}")


@app.command(
    short_help="Run one analysis and print its results as JSON.",
    epilog=examples("run harm_nausea", "run analyses/my_question.toml > result.json"),
)
def run(
    analysis: Annotated[
        Path, typer.Argument(help="An analysis file, or the name of one in analyses/.")
    ],
    root: Root = Path(),
) -> None:
    """Run one analysis file and print its results as JSON; writes nothing.

    What is printed is what 'ketameta report' publishes for it. Ends with 1 when the data or the
    analysis file must be mended first.
    """
    import json

    from ketameta.analyses.related import Related
    from ketameta.analyses.run import run_analysis
    from ketameta.analyses.spec_file import load_spec, load_specs
    from ketameta.inputs import InputTables, known_words, load_evidence

    paths = project(root)
    file = _analysis_file(paths, analysis)
    evidence, _ = load_evidence(paths)
    known = known_words(evidence)
    spec = load_spec(file, known)
    others = load_specs(paths.analyses, known) if paths.analyses.is_dir() else []
    tables = InputTables(evidence)
    related = Related({**{other.name: other for other in others}, spec.name: spec}, tables.get)
    result = run_analysis(spec, tables.get(spec.assume), evidence, related)
    typer.echo(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True))


@app.command(
    short_help="Rebuild everything elsewhere and compare it with the report.",
    epilog=examples(
        "verify", "verify --exact", "verify --release 1.0", "verify --report ../downloaded/reports"
    ),
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


@app.command(
    short_help="Write the data dictionary and the empty templates.",
    epilog=examples("dictionary"),
)
def dictionary(root: Root = Path()) -> None:
    """Write data/README.md (the data dictionary) and data/templates/ from the schema."""
    from ketameta.dictionary import dictionary_markdown, template_csv
    from ketameta.paths import write_atomically
    from ketameta.project import load_project
    from ketameta.schema import schema_of

    paths = project(root)
    schema = schema_of(load_project(paths.root))
    write_atomically(paths.data / "README.md", dictionary_markdown(schema))
    typer.echo("wrote data/README.md")
    for table in schema.batch:
        write_atomically(
            paths.data / "templates" / f"{table.name}.csv", template_csv(table.name, schema)
        )
        typer.echo(f"wrote data/templates/{table.name}.csv")


register(app)
register_release(app)


def _analysis_file(paths: ProjectPaths, analysis: Path) -> Path:
    """Return the file of an analysis given by path or by name."""
    from ketameta.errors import did_you_mean

    named = paths.analyses / f"{analysis.name.removesuffix('.toml')}.toml"
    if analysis.is_file():
        return analysis
    if len(analysis.parts) == 1 and named.is_file():
        return named
    names = sorted(path.stem for path in paths.analyses.glob("*.toml"))
    why = "this is a folder" if analysis.is_dir() else "there is no such analysis file"
    hint = did_you_mean(analysis.name.removesuffix(".toml"), names)
    raise UsageError(f"{analysis}: {why}{hint}")


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
    try:
        app(prog_name="ketameta")
    except KetametaError as error:
        from ketameta.findings import printable

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
        if end.code == STOPPED:
            typer.echo("Stopped; files already written are whole.", err=True)
        raise


if __name__ == "__main__":
    main()
