"""The command that freezes a release. Registered on the main command; imports late."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[
    Path,
    typer.Option("--root", help="Project folder (with data/ and analyses/).", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("release")(release)


def release(
    version: Annotated[str, typer.Argument(help="Two or three numbers, such as 1.0.")],
    root: Root = Path(),
) -> None:
    """Freeze the published report as reports/releases/VERSION, with one ZIP to rebuild it."""
    from ketameta.paths import project_paths
    from ketameta.release import release as released

    typer.echo(str(released(project_paths(root), version)))
