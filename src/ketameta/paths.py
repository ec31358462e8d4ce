"""Where things live inside a project folder. Every other module asks here."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProjectPaths:
    """The folders and files of one evidence base, all derived from its root."""

    root: Path

    @property
    def data(self) -> Path:
        """Folder of the evidence: extraction batches and the shared lists beside them."""
        return self.root / "data"

    @property
    def extracted(self) -> Path:
        """Folder with one subfolder per batch of extracted tables."""
        return self.data / "extracted"

    @property
    def analyses(self) -> Path:
        """Folder with one TOML file per declared question."""
        return self.root / "analyses"

    @property
    def build(self) -> Path:
        """Folder of intermediate files, ignored by git."""
        return self.root / "build"

    @property
    def reports(self) -> Path:
        """Folder of the published output."""
        return self.root / "reports"

    @property
    def results(self) -> Path:
        """Folder with one results file per analysis."""
        return self.reports / "results"

    @property
    def figures(self) -> Path:
        """Folder of the published figures."""
        return self.reports / "figures"

    @property
    def pages(self) -> Path:
        """Folder of the pages that figures too tall for paper are cut into."""
        return self.build / "pages"

    def relative(self, path: Path) -> str:
        """Return ``path`` as printed in messages and files: relative to the root, with slashes."""
        try:
            return path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return path.as_posix()
        except (OSError, RuntimeError):
            # It cannot be followed: a link that leads to itself.
            absolute, root = path.absolute(), self.root.absolute()
            inside = absolute.is_relative_to(root)
            return (absolute.relative_to(root) if inside else path).as_posix()


def project_paths(root: str | os.PathLike[str] | None = None) -> ProjectPaths:
    """Return the paths of the project at ``root`` (the working directory when not given)."""
    return ProjectPaths(Path(root) if root is not None else Path.cwd())


def write_atomically(path: Path, content: str | bytes) -> None:
    r"""Replace ``path`` by ``content`` in one step, so that a reader never sees half a file.

    Text is written as UTF-8 with ``\n`` line ends on every platform.

    Raises
    ------
    OSError
        Naming ``path``: it is a folder, or its folder may not be written into.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder; name a file in it", str(path))
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        # A device or a pipe (/dev/stdout) takes the text; nothing may stand in its place.
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise type(error)(error.errno, why, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
