"""Where things live inside a project folder. Every other module asks here."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


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


#: What a stopped command can leave: ``.name.new-<process>-<letters>`` is not finished yet, and
#: ``.name.old-<process>-<letters>`` is a folder that holds what stood at that name before.
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<kind>new|old)-(?P<process>\d+)-\w+")


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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=unfinished(path))
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


_PLAIN = (("builtins", "set"), ("builtins", "frozenset"), ("datetime", "date"))


class _Kept(pickle.Unpickler):
    """Makes values of plain types and of this package's classes: a file in between runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN or module.startswith("ketameta."):
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no value that a build keeps")


class Keep(Protocol):
    """Gives a part of a build by its name: what an earlier one made of the same things, or anew."""

    def __call__(self, name: str, make: Callable[[], T], of: str = "") -> T:
        """Return what ``make`` gives; ``of`` is what it rests on besides data and code."""
        ...


def made_anew(name: str, make: Callable[[], T], of: str = "") -> T:
    """Return what ``make`` gives: a :class:`Keep` that keeps nothing."""
    return make()


def kept_or_made(folder: Path, stamp: str, name: str, make: Callable[[], T], of: str = "") -> T:
    """Return what an earlier build made of the same things, or make it and keep it.

    Parameters
    ----------
    folder : Path
    stamp : str
        Stands for the data and the code that ``make`` reads. What was kept under another, or is
        not what was written, is made anew.
    name : str
        What it is; one of each name is kept.
    make : callable
        Gives the value, which must hold plain types and classes of this package alone.
    of : str
        What else it rests on.
    """
    rests_on = hashlib.sha256(f"{stamp}{of}".encode()).hexdigest()
    path = folder / f"{name}-{rests_on[:32]}.kept"
    with suppress(OSError, pickle.UnpicklingError, AttributeError, ImportError):
        kept: T = _opened(path)
        return kept
    found = make()  # there is none, or it holds what no build of this code keeps
    for old in folder.glob(f"{name}-*.kept"):
        old.unlink(missing_ok=True)
    data = pickle.dumps(found, protocol=5)
    write_atomically(path, hashlib.sha256(data).digest() + data)
    return found


def _opened(path: Path) -> Any:
    written, size = path.read_bytes(), hashlib.sha256().digest_size
    if hashlib.sha256(written[size:]).digest() != written[:size]:
        raise pickle.UnpicklingError(f"{path} is not what was written")
    return _Kept(io.BytesIO(written[size:])).load()


def kept_before(folder: Path, name: str) -> Any:
    """Return what :func:`kept_or_made` keeps by a name, of whatever it was made; or nothing."""
    for path in folder.glob(f"{name}-*.kept"):
        with suppress(Exception):  # other code may have kept what this one cannot read
            return _opened(path)
    return None


def unfinished(path: Path, kind: str = "new") -> str:
    """Return how the hidden name begins under which ``path`` is written before it takes its place.

    ``kind`` is ``"new"``, or ``"old"`` for the folder in which the old one waits meanwhile.
    """
    return f".{path.name}.{kind}-{os.getpid()}-"


def recover(*folders: Path) -> list[Path]:
    """Clean up after commands that were killed; return what was removed or put back.

    Parameters
    ----------
    *folders : Path
        Looked through to the bottom; links are not followed.

    Notes
    -----
    What a process that still runs is writing stays. A folder that was set aside and has no
    successor in its place is put back.
    """
    mended = []
    for path, name, kind in [found for folder in folders for found in _leftovers(folder)]:
        place = path.parent / name
        if kind == "old" and (path / name).exists() and not place.exists():
            os.rename(path / name, place)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        mended.append(path)
    return mended


def _leftovers(folder: Path) -> Iterator[tuple[Path, str, str]]:
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            found = _LEFTOVER.fullmatch(name)
            path = Path(parent) / name
            if found and not path.is_symlink() and not _runs(int(found["process"])):
                yield path, found["name"], found["kind"]
                if name in folders:
                    folders.remove(name)


def _runs(process: int) -> bool:
    """Return whether another process of this number runs (only POSIX tells without harm)."""
    if os.name != "posix" or process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
