"""What differs between two files, said by structure, by number, by line, or by byte."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from ketameta.formatting import PUBLISHED_DIGITS, plural

#: Differences listed per file; the rest are counted.
MOST_PER_FILE = 10
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
#: Numbers of a file; what is quoted is no number.
_NUMBERS = {
    ".json": re.compile(rf'"(?:[^"\\]|\\.)*"|(?P<number>{_NUMBER})'.encode()),
    ".csv": re.compile(rf'"(?:[^"]|"")*"|(?<![^,\n])(?P<number>{_NUMBER})(?![^,\r\n])'.encode()),
}
_CR_LF = b"\r\n"
#: What a ZIP says of each of its files.
_OF_AN_ENTRY = (
    *("date_time", "compress_type", "comment", "extra", "external_attr", "internal_attr"),
    *("create_system", "flag_bits"),
)
#: Text around the first differing character of a page.
_CONTEXT = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the published output is not what its inputs give.

    Attributes
    ----------
    file : str
        Relative to the project.
    where : str
        Analysis and quantity, row and column, or line.
    published, rebuilt : str
        Of a hash: as the manifest states it, and of the file.
    kinds : tuple of str
        What the two values are called.
    deviation : float or None
        Of a number at most one unit in its last published digit away: how far, relative to it.
    """

    file: str
    where: str
    published: str
    rebuilt: str
    kinds: tuple[str, str] = ("published", "rebuilt")
    deviation: float | None = None

    def __str__(self) -> str:
        place = f" {self.where}" if self.where else ""
        one, two = self.kinds
        return f"{self.file}{place}: {one} {self.published}, {two} {self.rebuilt}"


def explained(
    file: str, one: bytes, two: bytes, *, numbers: bool = False, most: int = MOST_PER_FILE
) -> list[Difference]:
    """Return what differs between the published and the rebuilt bytes of a file; never nothing.

    Parameters
    ----------
    file : str
    one, two : bytes
        Published and rebuilt; not equal.
    numbers : bool
        Whether a number may be one unit in its last digit away.
    most : int
        Differences listed; the rest are counted.
    """
    ending = PurePosixPath(file).suffix
    by_kind = {".json": _of_json, ".csv": _of_csv, ".zip": _of_zip}
    try:
        found = list(by_kind.get(ending, _of_text)(file, one, two))
    except (ValueError, RecursionError, csv.Error, zipfile.BadZipFile, NotImplementedError):
        found = [Difference(file, "", "bytes that cannot be read", "a file that can be")]
    if ending in _NUMBERS and all(item.deviation is not None for item in found):
        between = [_NUMBERS[ending].sub(_hidden, data) for data in (one, two)]
        if found and numbers and between[0] == between[1]:
            return found
        found += _of_text(file, *between)
    found = [replace(item, deviation=None) for item in found] or [_of_bytes(file, one, two)]
    if len(found) > most:
        left = Difference(file, "", f"{len(found) - most} more differences", "not listed")
        found = [*found[:most], left]
    return found


def _hidden(found: re.Match[bytes]) -> bytes:
    """Return 0 for a number, and what is quoted as it is."""
    return b"0" if found["number"] else found[0]


def deviation(published: str, rebuilt: str) -> float | None:
    """Return how far two numbers are apart, relative to the larger; nothing for a real difference.

    No real difference is one of at most one unit in the last published digit, between two numbers
    in their published form: a float of at most ``PUBLISHED_DIGITS`` digits, in the shortest words.
    """
    for text in (published, rebuilt):
        if not re.fullmatch(_NUMBER, text) or text.lstrip("-").isdigit():
            return None
        value = float(text)
        if value == 0 or repr(value) != text or float(f"{value:.{PUBLISHED_DIGITS - 1}e}") != value:
            return None
    one, two = Decimal(published), Decimal(rebuilt)
    larger = max(abs(one), abs(two))
    apart = abs(one - two)
    if apart > Decimal(1).scaleb(larger.adjusted() - PUBLISHED_DIGITS + 1):
        return None
    return float(apart / larger)


class _Token(str):
    """A number of a JSON text, as it is written."""


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object, as they are written."""


def _of_json(file: str, one: bytes, two: bytes) -> Iterator[Difference]:
    def read(data: bytes) -> Any:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_Pairs,
            parse_float=_Token,
            parse_int=_Token,
            parse_constant=_Token,
        )

    yield from _of_values(file, "", read(one), read(two))


def _of_values(file: str, path: str, one: Any, two: Any) -> Iterator[Difference]:
    """Yield what differs between two values of JSON texts."""
    if isinstance(one, _Pairs) and isinstance(two, _Pairs):
        here, there = [key for key, _ in one], [key for key, _ in two]
        mine, yours = dict(one), dict(two)
        for key in dict.fromkeys([*here, *there]):
            place = f"{path}.{key}" if path else key
            if here.count(key) > 1:
                yield Difference(file, place, f"{here.count(key)} times", "once")
            elif key not in yours:
                yield Difference(file, place, _brief(mine[key]), "nothing")
            elif key not in mine:
                yield Difference(file, place, "nothing", _brief(yours[key]))
            else:
                yield from _of_values(file, place, mine[key], yours[key])
        if here != there and sorted(here) == sorted(there):
            yield Difference(file, path, f"keys in the order {_brief(here)}", _brief(there))
    elif type(one) is type(two) is list:
        for index, (left, right) in enumerate(zip(one, two, strict=False)):
            names = dict(right) if isinstance(right, _Pairs) else {}
            label = f"{index}:{names['study_id']}" if "study_id" in names else f"{index}"
            yield from _of_values(file, f"{path}[{label}]", left, right)
        if len(one) != len(two):
            yield Difference(file, path, plural(len(one), "item"), plural(len(two), "item"))
    elif type(one) is not type(two) or one != two:
        numbers = type(one) is type(two) is _Token
        apart = deviation(one, two) if numbers else None
        yield Difference(file, path, _brief(one), _brief(two), deviation=apart)


def _brief(value: Any) -> str:
    """Return a value of a JSON text in a few words, in its own spelling."""
    if isinstance(value, _Pairs):
        return "{}" if not value else f"{{{plural(len(value), 'key')}}}"
    if isinstance(value, list):
        return "[]" if not value else f"[{', '.join(map(str, value))}]"[:80]
    if isinstance(value, str):
        return _shown(value[:80])
    return json.dumps(value)


def _shown(text: str) -> str:
    """Return a text in which every character that cannot be seen is named."""
    return "".join(mark if mark.isprintable() else f"<U+{ord(mark):04X}>" for mark in text)


def _of_csv(file: str, one: bytes, two: bytes) -> Iterator[Difference]:
    if one.count(b"\r\n") != two.count(b"\r\n"):
        yield _both(file, "line ends", one, two, lambda data: f"{data.count(_CR_LF)} times CR LF")
    theirs, ours = (
        list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""))) for data in (one, two)
    )
    if len(theirs) != len(ours):
        yield _both(file, "", theirs, ours, lambda rows: plural(len(rows), "line"))
    header = ours[0] if ours else []
    for line, (left, right) in enumerate(zip(theirs, ours, strict=False), start=1):
        if len(left) != len(right):
            yield _both(file, f"line {line}", left, right, lambda row: plural(len(row), "cell"))
        for name, cell, other in zip(header, left, right, strict=False):
            if cell != other:
                place = f"line {line} {name} ({_shown(right[0])})"
                found = _both(file, place, cell, other, lambda text: _shown(text[:80]))
                yield replace(found, deviation=deviation(cell, other))


def _of_text(file: str, one: bytes, two: bytes) -> Iterator[Difference]:
    if file.endswith((".png", ".pdf")):
        yield _of_bytes(file, one, two)
        return
    theirs, ours = one.decode("utf-8").split("\n"), two.decode("utf-8").split("\n")
    section = ""
    for line, (left, right) in enumerate(zip(theirs, ours, strict=False), start=1):
        heading = re.search(r'<(?:article|section) id="([^"]+)"', right)
        section = heading.group(1) if heading else section
        if left != right:
            begin = max(0, _alike(left, right) - _CONTEXT // 2)
            part = slice(begin, begin + _CONTEXT)
            where = f"line {line}" + (f" in {section}" if section else "")
            yield Difference(file, where, _shown(left[part]), _shown(right[part]))
    if len(theirs) != len(ours):
        yield _both(file, "", theirs, ours, lambda lines: plural(len(lines), "line"))


def _of_bytes(file: str, one: bytes, two: bytes) -> Difference:
    place = f"from byte {_alike(one, two) + 1} on"
    return _both(file, place, one, two, lambda data: f"{_sha(data)}, {len(data)} bytes")


def _of_zip(file: str, one: bytes, two: bytes) -> Iterator[Difference]:
    with zipfile.ZipFile(io.BytesIO(one)) as theirs, zipfile.ZipFile(io.BytesIO(two)) as ours:
        here = [entry.filename for entry in theirs.infolist()]
        there = [entry.filename for entry in ours.infolist()]
        for name in dict.fromkeys([*here, *there]):
            if here.count(name) != there.count(name):
                counts = here.count(name), there.count(name)
                yield _both(file, name, *counts, lambda count: plural(count, "time"))
                continue
            left, right = theirs.getinfo(name), ours.getinfo(name)
            if left.file_size != right.file_size or theirs.read(name) != ours.read(name):
                yield _both(file, name, theirs.read(name), ours.read(name), _sha)
            for what in _OF_AN_ENTRY:
                values = getattr(left, what), getattr(right, what)
                if values[0] != values[1]:
                    yield _both(file, f"{name} ({what})", *values, str)
        if here != there and sorted(here) == sorted(there):
            yield Difference(file, "", "files in another order", "in the order of their names")
        if theirs.comment:
            yield Difference(file, "comment", _shown(theirs.comment.decode("latin-1")), "nothing")
        first = theirs.infolist()[0].header_offset if here else 0
        if first:
            yield Difference(file, "before its first file", f"{first} bytes", "nothing")


def _both(file: str, where: str, one: Any, two: Any, say: Callable[[Any], str]) -> Difference:
    return Difference(file, where, say(one), say(two))


def _sha(data: bytes) -> str:
    return f"SHA-256 {hashlib.sha256(data).hexdigest()[:12]}"


def _alike(one: Sequence[object], two: Sequence[object]) -> int:
    """Return how long two texts are the same."""
    places = enumerate(zip(one, two, strict=False))
    return next((place for place, (a, b) in places if a != b), min(len(one), len(two)))
