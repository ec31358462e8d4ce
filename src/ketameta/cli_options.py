"""Options that several commands share, and the folder a command works on. Imports late."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ketameta.paths import ProjectPaths

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


def examples(*calls: str) -> str:
    """Return what stands below the help of a command: how it is called, line by line."""
    title = "Example:" if len(calls) == 1 else "Examples:"
    # The first character keeps the lines as they are.
    return "\n".join(("\b", title, *(f"  ketameta {call}" for call in calls)))


def project(root: Path) -> ProjectPaths:
    """Return the paths of the project at ``root``.

    Raises
    ------
    UsageError
        If there is no project, so that nothing is written where nobody looks.
    """
    from ketameta.errors import UsageError
    from ketameta.paths import project_paths

    paths = project_paths(root)
    if not paths.data.is_dir():
        place = "here" if root == Path() else f"in {root}"
        raise UsageError(
            f"there is no data/ folder {place}; go to the folder of the project, "
            "or name it with --root"
        )
    return paths
