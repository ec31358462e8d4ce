"""The command that freezes a release. Registered on the main command; imports late."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ketameta.cli_options import Root, examples, project


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(
        "release",
        short_help="Freeze the published report as a release.",
        epilog=examples("release 1.0"),
    )(release)


def release(
    version: Annotated[str, typer.Argument(help="Two or three numbers, such as 1.0.")],
    root: Root = Path(),
) -> None:
    """Freeze the published report as reports/releases/VERSION, with one ZIP to rebuild it.

    A release that exists is never written over.
    """
    from ketameta.release import release as released

    typer.echo(str(released(project(root), version)))
