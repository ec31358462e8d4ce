"""The ``ketameta`` command: parses, calls, prints. Computes nothing; imports late."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ketameta.cli_report import register as register_release
from ketameta.cli_review import register
from ketameta.errors import KetametaError

app = typer.Typer(
    name="ketameta",
    help=(
        "Meta-analysis of ketamine and ADHD, from extracted numbers to a report that can be "
        "checked.\n\nReviewers start with 'ketameta check', analysts with 'ketameta report'."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Root = Annotated[
    Path,
    typer.Option("--root", help="Project folder (with data/ and analyses/).", show_default=False),
]


@app.command()
def check(
    batches: Annotated[
        list[Path] | None,
        typer.Argument(help="Batch folders to check; all of data/extracted when none is given."),
    ] = None,
    style: Annotated[
        str, typer.Option("--format", help="text, json, or github (annotations).")
    ] = "text",
    root: Root = Path(),
) -> None:
    """Check the extracted tables: every problem at once, with file, line, column and remedy.

    Ends with 1 when something must be mended, with 0 otherwise (warnings included).
    """
    from ketameta.checks import check_project

    text, code = check_project(root, [str(batch) for batch in batches] if batches else None, style)
    typer.echo(text)
    raise typer.Exit(code)


@app.command()
def report(
    only: Annotated[
        str, typer.Option(help="'figures' stops after the figures.", show_default=False)
    ] = "",
    root: Root = Path(),
) -> None:
    """Build reports/: effects, results, figures, report.html and the manifest.

    Only what changed since the last build is computed again.
    """
    from ketameta.errors import UsageError
    from ketameta.numberformat import plural
    from ketameta.paths import project_paths
    from ketameta.pipeline import build

    if only not in {"", "figures"}:
        raise UsageError(f"--only is {only!r}; the one choice is 'figures'")
    begun = time.monotonic()
    done = build(project_paths(root), say=_say, figures_only=only == "figures")
    typer.echo(
        f"{plural(len(done.computed), 'analysis', 'analyses')} computed, "
        f"{len(done.kept)} unchanged; {plural(len(done.written), 'file')} written "
        f"in {time.monotonic() - begun:.1f} s."
    )


@app.command()
def effects(
    root: Root = Path(),
    output: Annotated[
        Path | None, typer.Option(help="File to write; printed when not given.")
    ] = None,
) -> None:
    """Derive every effect size from the extracted tables, with the route of each."""
    from ketameta.effect_table import derive_effects
    from ketameta.paths import project_paths, write_atomically
    from ketameta.pipeline import effects_csv, load_evidence

    evidence, _ = load_evidence(project_paths(root))
    text = effects_csv(derive_effects(evidence))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)


@app.command()
def run(
    analysis: Annotated[Path, typer.Argument(help="An analysis file, such as analyses/x.toml.")],
    root: Root = Path(),
) -> None:
    """Run one analysis file and print its results as JSON; writes nothing."""
    import json
    from functools import cache

    from ketameta.analyses.related import Related
    from ketameta.analyses.run import run_analysis
    from ketameta.analyses.spec_file import load_spec, load_specs
    from ketameta.effect_table import derive_effects
    from ketameta.paths import project_paths
    from ketameta.pipeline import known_words, load_evidence

    paths = project_paths(root)
    evidence, _ = load_evidence(paths)
    spec = load_spec(analysis, known_words(evidence))
    others = load_specs(paths.analyses, known_words(evidence)) if paths.analyses.is_dir() else []
    table = cache(lambda assumed: derive_effects(evidence, assumed))
    related = Related({**{other.name: other for other in others}, spec.name: spec}, table)
    result = run_analysis(spec, table(spec.assume), evidence, related)
    typer.echo(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True))


@app.command()
def verify(
    report: Annotated[
        Path | None, typer.Option(help="Published folder to verify; reports/ when not given.")
    ] = None,
    root: Root = Path(),
) -> None:
    """Rebuild everything from the CSVs in a temporary folder and compare it with the report.

    Names every difference (file, analysis, quantity, published and rebuilt value) and ends with 1
    when there is one.
    """
    from ketameta.paths import project_paths
    from ketameta.verify import verify as verified

    result = verified(project_paths(root), report=report, say=_say)
    typer.echo(str(result))
    raise typer.Exit(0 if result.holds else 1)


@app.command()
def dictionary(root: Root = Path()) -> None:
    """Write data/README.md (the data dictionary) and the empty templates from the schema."""
    from ketameta.dictionary import dictionary_markdown, template_csv
    from ketameta.paths import project_paths, write_atomically
    from ketameta.schema import BATCH_TABLES

    paths = project_paths(root)
    write_atomically(paths.data / "README.md", dictionary_markdown())
    typer.echo("wrote data/README.md")
    for table in BATCH_TABLES:
        write_atomically(paths.data / "templates" / f"{table.name}.csv", template_csv(table.name))
        typer.echo(f"wrote data/templates/{table.name}.csv")


register(app)
register_release(app)


def _say(line: str) -> None:
    """Say where a long step is, to a person; stay quiet in a pipe."""
    if sys.stderr.isatty():
        typer.echo(line, err=True)


#: Exit code of a command that somebody stopped (Ctrl+C), as shells count it.
STOPPED = 130


def main() -> None:
    """Run the command; a problem of the user's ends in its message, never in a traceback."""
    try:
        app(prog_name="ketameta")
    except KetametaError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
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
